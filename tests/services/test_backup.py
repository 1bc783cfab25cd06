"""Backups of a node in the middle of its work: whole, of one moment, and tried without words."""

import io
from contextlib import aclosing

import pytest
import trio

from node import limits
from node.crypto import phrase
from node.errors import Absent, StoreFailed
from node.objects import backup
from node.objects.backup import End, Header, HomeFile, LargeBlock, Record, StoredRow
from node.objects.signed import Signed
from node.services import backup as backups
from node.services.mailbox import Mailbox
from node.store.backup import Inspection, write
from node.store.memory import MemoryFiles, MemoryKv
from node.units import MINUTE
from tests.fakes.audit import Audit
from tests.fakes.world import Machine, until, world
from tests.services.test_delivery import key_of


async def made(machine: Machine) -> bytes:
    """A whole backup."""
    async with aclosing(machine.on.backups.stream()) as pieces:
        return b"".join([piece async for piece in pieces])


def opened(data: bytes, machine: Machine) -> tuple[Signed[Header], list[Record]]:
    """Its header and records, with the words."""
    file = io.BytesIO(data)
    header = backup.read_header(file.read)
    assert machine.phrase is not None
    seed = phrase.seed(machine.phrase)
    return header, list(backup.open_records(file.read, header, seed))


def small(file: HomeFile) -> None:
    raise AssertionError(f"a machine in memory has no file {file.path}")


async def test_a_backup_holds_one_moment_while_mail_goes_on(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        first = [await anna.send([to], b"x" * size) for size in (10, 30_000, 2_500_000)]
        await until(lambda: {anna.state(each, to) for each in first} == {"confirmed"}, 600)
        await anna.flushed()
        before = dict(anna.disk.copy().scan(b"", b"\x7f"))
        pieces: list[bytes] = []
        async with aclosing(anna.on.backups.stream()) as stream:
            async for piece in stream:
                pieces.append(piece)
                await anna.send([to], b"meanwhile" * 9_000)
                await trio.sleep(1)
        header, records = opened(b"".join(pieces), anna)
        assert header.verify().made <= anna.now()
        rows = {r.key: r.value for r in records if isinstance(r, StoredRow)}
        assert rows == before
        large = [r for r in records if isinstance(r, LargeBlock)]
        assert sum(len(r.data or b"") for r in large) == 2_500_000 + 3 * limits.SEAL
        engine, files = MemoryKv(), MemoryFiles()
        end = await write(iter(records), engine, files, small)
        found = await Inspection(engine, files).everything()
        assert (found.complaints, found.missing, found.blocks) == ([], 0, 3)
        assert (found.sent, found.contacts, found.owners) == (3, 1, ["anna"])
        assert Inspection(engine, files).digest() == end.digest
        assert Audit(engine, files, anna.now(), resting=False).complaints() == []
        node = anna.on.core.db.read(lambda tx: tx.node())
        assert (node.backed_up, node.verified) == (header.claim.made, 0)


async def test_what_is_freed_meanwhile_stays_until_it_is_read(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await anna.send([key_of(ben)], b"x" * 1_500_000)
        await until(lambda: ben.inbox() != [], 600)
        assert len(ben.files._blocks) == 2
        stream = ben.on.backups.stream()
        async with aclosing(stream):
            pieces = [await anext(stream)]
            await Mailbox(ben.on.core).delete(ben.owner(), ["1"])
            await trio.sleep(300)
            assert len(ben.files._blocks) == 2
            pieces += [piece async for piece in stream]
        _, records = opened(b"".join(pieces), ben)
        assert [r.data is None for r in records if isinstance(r, LargeBlock)] == [False, False]
        await until(lambda: not ben.files._blocks, 3600)


async def test_a_reader_that_hangs_gets_no_backup(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        stream = anna.on.backups.stream()
        async with aclosing(stream):
            await anext(stream)
            await trio.sleep(11 * MINUTE / 1000)
            with pytest.raises(StoreFailed, match="too slowly"):
                await anext(stream)
        assert anna.on.backups.failed is not None
        assert anna.on.core.db.read(lambda tx: tx.node()).backed_up == 0


async def test_a_damaged_block_does_not_cost_the_rest(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await anna.send([key_of(ben)], b"x" * 1_500_000)
        await until(lambda: ben.inbox() != [], 600)
        name, block = next(iter(ben.files._blocks.items()))
        ben.files.damage(name)
        _, records = opened(await made(ben), ben)
        end = records[-1]
        assert isinstance(end, End)
        assert (end.blocks, end.missing) == (1, 1)
        assert any("backup-misses-a-block" in note for note in ben.notes)
        last = ben.on.backups.last
        assert last is not None
        assert last.end == end
        await ben.files.keep(name, block)


async def test_the_newest_can_be_opened_by_its_node(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), await w.add("eve")
        db = anna.on.core.db
        first = io.BytesIO(await made(anna))
        header = backup.read_header(first.read)
        file = io.BytesIO(await made(anna))
        with pytest.raises(Absent, match="newest") as caught:
            db.read(lambda tx: backups.remembered(tx, header.block))
        assert caught.value.reason == "no-key"
        newest = backup.read_header(file.read)
        key = db.read(lambda tx: backups.remembered(tx, newest.block))
        assert isinstance(list(backup.open_with(file.read, newest, key))[-1], End)
        claim = newest.claim
        await db.transact(lambda tx: backups.verified(tx, claim))
        assert db.read(lambda tx: tx.node()).verified == claim.made
        with pytest.raises(Absent):
            await eve.on.core.db.transact(lambda tx: backups.verified(tx, claim))


async def test_two_at_once(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await anna.send([key_of(anna)], b"x" * 3_000_000)
        found: list[bytes] = []

        async def one() -> None:
            found.append(await made(anna))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        for data in found:
            assert isinstance(opened(data, anna)[1][-1], End)
