"""Blocks in the store and on their way back into one: never other bytes than their names say."""

from collections.abc import Callable

import pytest

from node.encoding import cid as cids
from node.errors import Damaged, Malformed, StoreFailed, Unverified
from node.machines import rows
from node.objects.backup import Counter, End, LargeBlock, Record, StoredRow, encode
from node.ports import Tables
from node.store import backup, keyspace
from node.store.committer import Committed
from node.store.memory import MemoryFiles, MemoryKv
from node.store.tables import TableStore
from node.units import MIB, Instant
from tests import factories as make
from tests.fakes.ports import InlineThreads

DATA = b"hello" * 100
NAME = cids.of_object(DATA)
LARGE = cids.of_raw(b"large")


async def kept(kv: MemoryKv, *works: Callable[[Tables], object]) -> TableStore:
    """The tables over an engine, after these works, whose writes are all in it."""
    db = TableStore(store := Committed(kv, InlineThreads()))
    for work in works:
        db.apply(work)
    await store._write_group()
    return TableStore(Committed(kv, InlineThreads()))


def add(tx: Tables) -> None:
    tx.blocks.add(NAME, len(DATA), DATA)


def data_of(tx: Tables) -> bytes | None:
    row = tx.blocks.get(NAME)
    assert row is not None
    return tx.blocks.data(row)


async def test_a_small_block_is_held_against_its_name() -> None:
    kv = MemoryKv()
    db = await kept(kv, add)
    assert db.read(data_of) == DATA
    (body,) = kv.scan(keyspace.BODY, keyspace.stop_of(keyspace.BODY))
    for wrong in (b"", DATA[:-1], DATA + b"\0", bytes([DATA[0] ^ 1]) + DATA[1:]):
        kv.write({body[0]: wrong})
        with pytest.raises(Damaged, match="is damaged"):
            db.read(data_of)
    kv.write({body[0]: None})
    with pytest.raises(Damaged, match="is missing"):
        db.read(data_of)


async def test_a_file_that_is_needed_again_is_no_trash() -> None:
    def add_large(tx: Tables) -> None:
        tx.blocks.add(LARGE, MIB, None)

    db = await kept(MemoryKv(), add_large, lambda tx: tx.blocks.drop(LARGE))
    assert db.read(lambda tx: list(tx.trash.scan())) == [rows.Trash(cid=LARGE)]
    db = await kept(MemoryKv(), add_large, lambda tx: tx.blocks.drop(LARGE), add_large)
    assert db.read(lambda tx: list(tx.trash.scan())) == []


async def test_a_block_is_stored_once_and_goes_with_its_last_row() -> None:
    kv = MemoryKv()
    await kept(kv, add, add)
    assert len(list(kv.scan(keyspace.BODY, keyspace.stop_of(keyspace.BODY)))) == 1
    db = await kept(kv, lambda tx: tx.blocks.drop(NAME))
    assert db.read(data_of) == DATA
    await kept(kv, lambda tx: tx.blocks.drop(NAME))
    assert list(kv.scan(keyspace.BODY, keyspace.stop_of(keyspace.BODY))) == []


async def test_a_large_block_is_never_a_row() -> None:
    with pytest.raises(StoreFailed, match="before its row"):
        await kept(MemoryKv(), lambda tx: tx.blocks.add(LARGE, MIB, bytes(MIB)))


# --- what peers made ----------------------------------------------------------------------

MADE = {
    "waiting": (3, lambda tx: tx.pickups.put(make.pickup_row(message=make.named(1)))),
    "again": (3, lambda tx: tx.pickups.put(make.pickup_row(message=make.named(1), step=3))),
    "failed": (4, lambda tx: tx.mails.put(make.mail_row(n=9, state="failed"))),
    "shown": (3, lambda tx: tx.mails.put(make.mail_row(n=9, state="deleted"))),
    "gone": (2, lambda tx: tx.pickups.delete(make.pickup_row(message=make.named(1)))),
    "gone before": (2, lambda tx: tx.pickups.delete(make.pickup_row(message=make.named(5)))),
    "another's": (2, lambda tx: tx.pickups.put(make.pickup_row(make.ALICE, make.BOB))),
    "the last": (1, lambda tx: tx.pickups.delete(make.pickup_row())),
}
"""A step and how many there are then, of two to begin with."""


async def test_rows_that_a_peer_made_are_counted() -> None:
    """By whatever way they come and go; and what is said of them is held against them."""
    kv, gone = MemoryKv(), make.pickup_row()
    withdrawn = rows.Withdrawn(
        owner=gone.owner, sender=gone.sender, message=gone.message, block=b"", until=Instant(1)
    )
    await kept(kv, lambda tx: tx.pickups.insert(gone), lambda tx: tx.withdrawn.put(withdrawn))
    for word, (count, work) in MADE.items():
        db = await kept(kv, work)
        assert db.read(lambda tx: tx.made(gone.owner, gone.sender)) == count, word
        assert await complaints(kv) == []
    await kept(kv, lambda tx: tx.withdrawn.delete(withdrawn))
    counts = list(kv.scan(keyspace.MADE, keyspace.stop_of(keyspace.MADE)))
    assert [key for key, _ in counts] == [keyspace.MADE + make.ALICE.key + make.BOB.key]
    kv.write({counts[0][0]: keyspace.u64(2)})
    assert await complaints(kv) == ["what peers made is not as much as is said"]


async def complaints(kv: MemoryKv) -> list[str]:
    return (await backup.Inspection(kv, MemoryFiles()).everything()).complaints


# --- out of a backup ----------------------------------------------------------------------

ROW = StoredRow(key=b"k", value=b"v")


def end_of(*records: Record) -> End:
    counter = Counter()
    for each in records:
        if isinstance(each, LargeBlock):
            counter.block(each)
        else:
            counter.row(encode(each))
    return counter.end()


async def restored(*records: Record) -> dict[bytes, bytes]:
    kv = MemoryKv()
    await backup.write(iter(records), kv, MemoryFiles(), lambda small: None)
    return dict(kv.scan(b"", keyspace.END))


async def test_what_a_backup_holds_is_what_its_end_says() -> None:
    right = LargeBlock(cid=LARGE, data=b"large")
    assert await restored(ROW, right, end_of(ROW, right)) == {b"k": b"v"}
    other = StoredRow(key=b"k", value=b"w")
    for end in (end_of(right), end_of(ROW), end_of(other, right), end_of(ROW, ROW, right)):
        with pytest.raises(Malformed, match="what its end says"):
            await restored(ROW, right, end)
    with pytest.raises(Malformed, match="no end"):
        await restored(ROW)


async def test_a_block_of_a_backup_is_held_against_its_name() -> None:
    wrong = LargeBlock(cid=LARGE, data=b"largf")
    with pytest.raises(Unverified):
        await restored(wrong, end_of(wrong))
