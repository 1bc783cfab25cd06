"""Room that is given back: measured on a real disk, with the real engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from node.config import Config
from node.encoding import cid as cids
from node.errors import DiskFull
from node.ports import Tables
from node.services import space
from node.services.core import Core
from node.services.space import Space
from node.store.committer import Committed
from node.store.files import BlockFiles
from node.store.leveldb import LevelDbKv
from node.store.tables import TableStore
from node.units import KIB, MIB
from tests.fakes.ports import FakeClock, FakeRandomness, noted
from tests.store.threads import RealThreads

SMALL = 5 * KIB


def used(folder: Path) -> int:
    """What the folder takes on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


class Rig:
    """A store on the disk; blocks made of a seed."""

    def __init__(self, folder: Path, kv: LevelDbKv, committed: Committed) -> None:
        self.folder, self.kv = folder, kv
        self.notes: list[str] = []
        self.clock, self.random = FakeClock(), FakeRandomness(1)
        self.core = Core(
            db=TableStore(committed),
            files=BlockFiles(folder / "blocks", RealThreads()),
            clock=self.clock,
            randomness=self.random,
            exchange=None,  # type: ignore[arg-type]
            endpoints=(),
            config=Config(),
            note=noted(self.notes),
            warn=noted(self.notes),
        )
        self.space = Space(self.core)

    async def small(self, count: int) -> list[bytes]:
        blocks = [self.random.bytes(SMALL) for _ in range(count)]
        for at in range(0, count, 500):
            some = blocks[at : at + 500]

            def work(tx: Tables, some: list[bytes] = some) -> None:
                for block in some:
                    tx.blocks.add(cids.of_raw(block), len(block), block)

            await self.core.db.transact(work)
        return list(map(cids.of_raw, blocks))

    async def large(self, count: int) -> list[bytes]:
        made: list[bytes] = []
        for _ in range(count):
            block = self.random.bytes(MIB)
            name = cids.of_raw(block)
            await self.core.files.keep(name, block)
            await self.core.db.transact(lambda tx, n=name: tx.blocks.add(n, MIB, None))  # type: ignore[misc]
            made.append(name)
        return made

    async def drop(self, names: list[bytes]) -> int:
        return await self.core.db.transact(lambda tx: sum(map(tx.blocks.drop, names)))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    kv = LevelDbKv.open(tmp_path / "db")
    committed = Committed(kv, RealThreads())
    async with trio.open_nursery() as nursery:
        await nursery.start(committed.run)
        made = Rig(tmp_path, kv, committed)
        from node.services.owners import found_node

        await made.core.db.transact(lambda tx: found_node(tx, made.random))
        yield made
        await committed.close()
        nursery.cancel_scope.cancel()
    kv.close()


@pytest.mark.slow
async def test_small_blocks_leave_the_disk(rig: Rig) -> None:
    empty = used(rig.folder)
    names = await rig.small(8_000)
    full = used(rig.folder)
    assert full - empty > 8_000 * SMALL
    kept = names[::20]
    freed = await rig.drop([name for name in names if name not in set(kept)])
    assert freed == 7_600 * SMALL
    await rig.space.once()
    left = used(rig.folder)
    assert left - empty < 3 * 400 * SMALL
    assert full - left > 0.9 * freed
    assert rig.space.returned == freed
    assert rig.notes == [f"room-returned bytes={freed} of=small blocks"]
    for name in kept:
        block = rig.core.db.read(lambda tx, n=name: tx.blocks.get(n))  # type: ignore[misc]
        assert block is not None
        assert rig.core.db.read(lambda tx, b=block: tx.blocks.data(b)) is not None  # type: ignore[misc]
    await rig.space.once()
    assert len(rig.notes) == 1


async def test_a_little_is_left_until_it_is_worth_it(rig: Rig) -> None:
    names = await rig.small(1_000)
    await rig.drop(names)
    await rig.space.once()
    assert rig.notes == []
    # A node that is started again remembers.
    rig.core.db.take_dead()
    again = Space(rig.core)
    await rig.drop(await rig.small(2_500))
    await again.once()
    assert again.returned == 3_500 * SMALL
    assert rig.core.db.read(lambda tx: tx.node().dead) == 0


async def test_files_leave_the_disk_at_once(rig: Rig) -> None:
    names = await rig.large(12)
    before = used(rig.folder)
    assert await rig.drop(names[2:]) == 10 * MIB
    await rig.space.once()
    assert before - used(rig.folder) >= 10 * MIB
    assert rig.space.returned == 10 * MIB
    assert rig.notes == [f"room-returned bytes={10 * MIB} of=10 files"]


async def test_more_files_than_one_look(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "AT_ONCE", 3)
    names = await rig.large(8)
    rig.core.keeping[names[0]] += 1
    await rig.drop(names)
    await rig.space.once()
    assert rig.space.returned == 7 * MIB
    rig.core.keeping[names[0]] -= 1
    await rig.space.once()
    assert rig.space.returned == 8 * MIB


async def test_shared_blocks_stay(rig: Rig) -> None:
    names = await rig.large(2)
    await rig.core.db.transact(lambda tx: tx.blocks.add(names[0], MIB, None))
    assert await rig.drop(names) == MIB
    await rig.space.once()
    assert rig.space.returned == MIB
    assert len(await rig.core.files.read(names[0])) == MIB


async def test_without_room_it_waits(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*, tables: bool = False) -> None:
        raise DiskFull("the disk is full")

    await rig.drop(await rig.small(3_500))
    monkeypatch.setattr(rig.core.db, "compact", full)
    await rig.space.once()
    await rig.space.once()
    assert rig.notes == ["shrinking-pauses why=the disk is full"]
    monkeypatch.undo()
    rig.space._not_before = rig.clock.steady()
    await rig.space.once()
    assert rig.space.returned == 3_500 * SMALL
