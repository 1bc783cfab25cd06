"""Files without a row: what a crash leaves of large mail is removed, and nothing else."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from node.encoding import cid as cids
from node.errors import StoreFailed
from node.machines.rows import Draft
from node.services.submit import Terms
from tests.fakes.world import until, world

DAY = 86_400.0


async def test_files_without_a_row_go_and_the_others_stay(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = ben.owner().owner
        message = await anna.send([to], b"x" * 3_000_000)
        await until(lambda: anna.state(message, to) == "confirmed", 60)
        kept = [name for at in range(256) for name in await anna.files.names(at)]
        orphan = b"y" * 100_000
        await anna.files.keep(cids.of_raw(orphan), orphan)

        async def left() -> list[bytes]:
            return [name for at in range(256) for name in await anna.files.names(at)]

        assert len(await left()) == len(kept) + 1
        for _ in range(2 * 256):
            await anna.on.sweeper.once()
        assert sorted(await left()) == sorted(kept)
        assert len(kept) == 3


async def test_large_mail_that_a_crash_cut_off_goes_at_the_next_start(
    autojump_clock: object,
) -> None:
    """Even where the clock is in doubt, and nothing expires for a day."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        terms = Terms(to=(ben.owner().owner,))

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield bytes(2_500_000)
            await w.off(anna)
            yield b"the rest"

        async with aclosing(pieces()) as chunks:
            with pytest.raises(StoreFailed):
                await anna.on.submission.large(anna.owner(), chunks, 2_500_008, terms)
        assert anna.files._blocks
        anna.clock.step(400 * 86_400_000)
        await w.back(anna)
        assert not anna.on.sweeper.believes
        assert anna.on.core.db.read(lambda tx: list(tx.drafts.scan())) == []
        await until(lambda: not anna.files._blocks, 600)


async def test_a_draft_whose_task_is_gone_goes_and_one_that_is_written_stays(
    autojump_clock: object,
) -> None:
    """The disk failed its writer, and then its cleaning up."""
    async with world() as w:
        anna = await w.add("anna")
        core, me = anna.on.core, anna.owner().owner
        left, written = (Draft(owner=me, key=bytes([n]) * 32) for n in (1, 2))
        core.drafting.add(written.key)
        for draft in (left, written):
            await core.db.transact(lambda tx, d=draft: tx.drafts.put(d))  # type: ignore[misc]
        await anna.on.sweeper.once()
        assert core.db.read(lambda tx: list(tx.drafts.scan())) == [written]
