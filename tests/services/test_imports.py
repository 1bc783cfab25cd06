"""Imported mail: named by its content, charged, bounded, and nothing of it left behind."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from hashlib import sha256

import pytest
import trio

from node.errors import Malformed, OverQuota, StoreFailed
from node.services.imports import Import, Item
from node.services.mailbox import Contents, Mailbox, find_mail
from node.units import Instant
from tests.fakes.world import Machine, until, world

LARGE = b"Subject: large\n\n" + bytes(3 << 20)


def item(content: bytes, **more: bool) -> Item:
    return Item(size=len(content), digest=sha256(content).digest(), at=Instant(7), **more)


async def pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(content), 100_000):
        yield content[at : at + 100_000]
        await trio.lowlevel.checkpoint()


async def brought(machine: Machine, *contents: bytes, dry: bool = False, **more: bool) -> Import:
    """One run over these contents."""
    run = Import(machine.on.core, machine.on.submission, machine.owner(), dry)
    await run.look()
    for content in contents:
        about = item(content, **more)
        if not await run.is_known(about):
            await stored(run, about, content)
    return run


async def stored(run: Import, about: Item, content: bytes) -> None:
    if len(content) > 40_000:
        await run.large(about, pieces(content))
    else:
        await run.small([(about, content)])


async def test_the_same_content_is_one_message(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        first = await brought(anna, b"one", LARGE, b"one", b"")
        assert (first.tally.added, first.tally.known) == (3, 1)
        again = await brought(anna, LARGE, b"one", b"")
        assert (again.tally.added, again.tally.known) == (0, 3)
        names = {bytes(name) for _, name, _ in anna.inbox()}
        assert len(names) == 3
        # Sent mail is another place: its bytes are stored once, and charged to both.
        sent = await brought(anna, b"one", LARGE, sent=True)
        assert sent.tally.added == 2
        # An mbox of a whole mailbox holds what was sent as well.
        assert (await brought(anna, LARGE)).tally.known == 1
        assert await anna.complaints() == []
        await w.audit()


async def test_nothing_of_it_leaves(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(100)
        calls = len(w.net.calls)
        await brought(anna, b"one", b"two", sent=True)
        await brought(anna, b"one", b"three")
        await trio.sleep(3600)
        assert len(w.net.calls) == calls
        row = anna.on.core.db.read(lambda tx: next(tx.sent.by("order", anna.owner().owner)))
        block = anna.on.core.db.read(lambda tx: tx.blocks.get(row.message))
        # As if it had never been heard of: not 410, 404.
        assert block is not None
        assert block.author is None


async def test_what_was_received_is_known_by_its_content(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        for content in (b"hello", LARGE):
            message = await ben.send([anna.owner().owner], content)
            await until(lambda m=message: ben.state(m, anna.owner().owner) == "confirmed")  # type: ignore[misc]
        assert (await brought(anna, b"hello", LARGE)).tally.known == 2
        assert (await brought(ben, b"hello", LARGE)).tally.known == 2
        # The same size is not the same content.
        assert (await brought(anna, b"hullo", LARGE[:-1] + b"\1")).tally.added == 2


async def test_what_is_not_what_it_says_is_not_stored(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        for content in (b"one", LARGE):
            run = Import(anna.on.core, anna.on.submission, anna.owner(), dry=False)
            wrong = content[:-1] + b"\1"
            with pytest.raises(Malformed):
                await stored(run, item(content), wrong)
        await trio.sleep(3600)
        assert anna.inbox() == []
        assert await anna.complaints() == []
        assert anna.files._blocks == {}


async def test_a_full_mailbox(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna", quota="1MiB")
        dry = await brought(anna, LARGE, b"x", dry=True)
        with pytest.raises(OverQuota):
            dry.check_room()
        assert anna.inbox() == []
        with pytest.raises(OverQuota):
            await brought(anna, b"x", LARGE)
        assert len(anna.inbox()) == 1
        await brought(anna, b"x", dry=True)
        (await brought(anna, b"x", dry=True)).check_room()
        await trio.sleep(3600)
        assert await anna.complaints() == []
        assert anna.files._blocks == {}


async def test_a_crash_in_the_middle(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        anna.slow = 0.5
        async with trio.open_nursery() as nursery:

            async def work() -> None:
                with trio.CancelScope() as scope, suppress(StoreFailed):
                    nursery.start_soon(crash, scope)
                    await brought(anna, b"one", LARGE, LARGE[1:])

            async def crash(scope: trio.CancelScope) -> None:
                await trio.sleep(4)
                anna.crash()
                scope.cancel()

            nursery.start_soon(work)
        await w.back(anna)
        anna.slow = 0.0
        before = len(anna.inbox())
        run = await brought(anna, b"one", LARGE, LARGE[1:])
        assert run.tally.known == before
        assert len(anna.inbox()) == 3
        await trio.sleep(24 * 3600)
        assert await anna.complaints() == []


async def test_deleted_and_imported_again(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await brought(anna, b"one", b"two")
        await Mailbox(anna.on.core).delete(anna.owner(), ["1"])
        await brought(anna, b"one", b"two")
        assert [(n, state) for n, _, state in anna.inbox()] == [(2, "read"), (3, "read")]
        assert await anna.complaints() == []


async def test_imported_again_before_its_file_was_removed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The same content has the same parts: the trash, which is emptied meanwhile, has them too."""
    content = b"x" * 2_500_000

    async def slow() -> AsyncGenerator[bytes, None]:
        yield content[:1_500_000]
        await trio.sleep(150)
        yield content[1_500_000:]

    async with world() as w:
        anna = await w.add("anna")
        await brought(anna, content)
        await Mailbox(anna.on.core).delete(anna.owner(), ["1"])
        run = await brought(anna)
        await run.large(item(content), slow())
        await trio.sleep(150)
        row = anna.on.core.db.read(lambda tx: find_mail(tx, anna.owner().owner, "2"))
        assert b"".join([piece async for piece in Contents(anna.on.core).read(row)]) == content
        assert not anna.on.core.keeping
        assert await anna.complaints() == []
