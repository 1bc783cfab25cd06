"""What LevelDB alone can do wrong: spoiled handles, full disks, a missing CURRENT."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import plyvel
import pytest
import trio

from node.errors import Damaged, DiskFull, StoreFailed
from node.ports import Tx
from node.store.committer import Committed
from node.store.leveldb import LevelDbKv
from tests.store.disks import file_size_limit, fill, tmpfs
from tests.store.kv_contract import LAST
from tests.store.threads import RealThreads


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "db"


@pytest.fixture
def kv(folder: Path) -> Iterator[LevelDbKv]:
    kv = LevelDbKv.open(folder)
    yield kv
    kv.close()


class Unsyncable:
    """Makes the folder's fsync fail: the write before it is in LevelDB, whole."""

    def __init__(self, kv: LevelDbKv) -> None:
        self._kv = kv

    def __enter__(self) -> None:
        self._good, self._kv._directory = self._kv._directory, 9_999

    def __exit__(self, *_: object) -> None:
        self._kv._directory = self._good


def test_rows_outlive_the_handle(folder: Path) -> None:
    for turn in range(3):
        kv = LevelDbKv.open(folder)
        kv.write({b"%d" % turn: b"v"})
        assert len(list(kv.scan(b"", LAST))) == turn + 1
        kv.close()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_batch_that_breaks_off_leaves_nothing(kv: LevelDbKv) -> None:
    """A batch without `transaction` writes what it had by then."""
    with pytest.raises(TypeError):
        kv.write({b"a": b"1", b"b": "no bytes"})  # type: ignore[dict-item]
    kv.write({b"c": b"3"})
    assert dict(kv.scan(b"", LAST)) == {b"c": b"3"}


def test_a_second_open_is_refused_and_harms_nobody(kv: LevelDbKv, folder: Path) -> None:
    kv.write({b"a": b"1"})
    with pytest.raises(StoreFailed, match="lock"):
        LevelDbKv.open(folder)
    kv.write({b"b": b"2"})
    assert dict(kv.scan(b"", LAST)) == {b"a": b"1", b"b": b"2"}


def test_a_folder_that_cant_be_is_store_failed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", tmp_path / "no" / "where"):
        with pytest.raises(StoreFailed):
            LevelDbKv.open(place)


# --- a write that fails -------------------------------------------------------------------


def test_a_write_that_failed_is_undone_though_it_lies_in_the_log(
    kv: LevelDbKv, folder: Path
) -> None:
    kv.write({b"a": b"old", b"gone": b"old"})
    with Unsyncable(kv), pytest.raises(StoreFailed):
        kv.write({b"a": b"new", b"gone": None, b"b": b"new"})
    expected = {b"a": b"old", b"gone": b"old"}
    assert dict(kv.scan(b"", LAST)) == expected
    assert kv.get(b"a") == b"old"
    kv.write({b"c": b"next"})
    expected[b"c"] = b"next"
    assert dict(kv.scan(b"", LAST)) == expected
    kv.close()
    reopened = LevelDbKv.open(folder)
    assert dict(reopened.scan(b"", LAST)) == expected
    reopened.close()


def test_while_nothing_helps_everything_fails_and_then_nothing_does(kv: LevelDbKv) -> None:
    kv.write({b"a": b"old"})
    with Unsyncable(kv):
        for _ in range(3):
            with pytest.raises(StoreFailed):
                kv.write({b"a": b"new"})
        with pytest.raises(StoreFailed):
            kv.get(b"a")
        with pytest.raises(StoreFailed):
            list(kv.scan(b"", LAST))
    assert kv.get(b"a") == b"old"
    kv.write({b"b": b"2"})
    assert dict(kv.scan(b"", LAST)) == {b"a": b"old", b"b": b"2"}


def test_a_new_handle_waits_for_the_scans_of_the_old_one(kv: LevelDbKv) -> None:
    rows = {b"%04d" % n: b"v" for n in range(2_000)}
    kv.write(dict(rows))
    with Unsyncable(kv), pytest.raises(StoreFailed):
        kv.write({b"x": b"lost"})
    scan = kv.scan(b"", LAST)
    seen = dict([next(scan)])
    writer = Thread(target=kv.write, args=({b"y": b"kept"},))
    writer.start()
    writer.join(0.3)
    assert writer.is_alive()
    seen |= dict(scan)
    writer.join()
    assert seen == rows
    assert dict(kv.scan(b"", LAST)) == rows | {b"y": b"kept"}


def test_what_is_frozen_is_lost_with_its_handle_and_says_so(kv: LevelDbKv) -> None:
    rows = {b"%04d" % n: b"v" for n in range(2_000)}
    kv.write(dict(rows))
    frozen = kv.freeze()
    with Unsyncable(kv), pytest.raises(StoreFailed):
        kv.write({b"x": b"lost"})
    spoiled = kv.freeze()
    assert dict(frozen.scan(b"", LAST)) == dict(spoiled.scan(b"", LAST)) == rows
    kv.write({b"y": b"kept"})
    for each in (frozen, spoiled):
        with pytest.raises(StoreFailed, match="again"):
            list(each.scan(b"", LAST))
        each.close()
    assert dict(kv.scan(b"", LAST)) == rows | {b"y": b"kept"}


def test_closing_waits_for_a_look_at_what_is_frozen(kv: LevelDbKv) -> None:
    kv.write({b"%04d" % n: b"v" for n in range(2_000)})
    frozen = kv.freeze()
    scan = frozen.scan(b"", LAST)
    seen = [next(scan)]
    closer = Thread(target=kv.close)
    closer.start()
    closer.join(0.2)
    assert closer.is_alive()
    seen += scan
    closer.join()
    assert len(seen) == 2_000
    with pytest.raises(StoreFailed):
        list(frozen.scan(b"", LAST))
    frozen.close()


def test_a_record_torn_in_the_middle_costs_nothing_that_was_acknowledged(
    kv: LevelDbKv, folder: Path
) -> None:
    kept: dict[bytes, bytes | None] = {}
    for turn in range(8):
        kept[b"kept-%d" % turn] = os.urandom(5_000)
        kv.write({b"kept-%d" % turn: kept[b"kept-%d" % turn]})
        log = max(path.stat().st_size for path in folder.glob("*.log"))
        with file_size_limit(log + 40_000), pytest.raises(StoreFailed):
            kv.write({b"torn-%d-%d" % (turn, n): os.urandom(30_000) for n in range(3)})
        assert dict(kv.scan(b"", LAST)) == kept
    kv.write({b"last": b"v"})
    kept[b"last"] = b"v"
    kv.close()
    reopened = LevelDbKv.open(folder)
    assert dict(reopened.scan(b"", LAST)) == kept
    reopened.close()


def test_a_full_disk_refuses_reads_on_and_recovers_by_itself(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "96m") as disk:
        kv = LevelDbKv.open(disk / "db")
        kept: dict[bytes, bytes | None] = {}
        for turn in range(3):
            kept[b"before-%d" % turn] = os.urandom(20_000)
            kv.write({b"before-%d" % turn: kept[b"before-%d" % turn]})
            filler = fill(disk)
            for n in range(3):
                with pytest.raises(DiskFull, match="full"):
                    kv.write({b"refused-%d-%d" % (turn, n): os.urandom(200_000)})
                assert dict(kv.scan(b"", LAST)) == kept
            filler.unlink()
            kv.write({b"after-%d" % turn: b"v"})
            kept[b"after-%d" % turn] = b"v"
        kv.close()
        kv = LevelDbKv.open(disk / "db")
        assert dict(kv.scan(b"", LAST)) == kept
        kv.close()


def put(key: bytes) -> Callable[[Tx], None]:
    return lambda tx: tx.put(key, os.urandom(2_000))


async def test_a_full_disk_under_many_tasks(tmp_path: Path) -> None:
    """Nothing that was acknowledged is missing, nothing that was refused is there."""
    outcome: dict[bytes, bool] = {}

    async def work(store: Committed, task: int) -> None:
        for turn in range(10):
            key = b"%d-%d-%d" % (len(outcome), task, turn)
            try:
                await store.transact(put(key))
            except DiskFull:
                outcome[key] = False
            else:
                outcome[key] = True

    async def burst(store: Committed) -> None:
        async with trio.open_nursery() as nursery:
            for task in range(10):
                nursery.start_soon(work, store, task)

    with tmpfs(tmp_path / "disk", "96m") as disk:
        kv = LevelDbKv.open(disk / "db")
        async with trio.open_nursery() as nursery:
            store = Committed(kv, RealThreads())
            await nursery.start(store.run)
            await burst(store)
            filler = fill(disk)
            await burst(store)
            os.unlink(filler)
            await burst(store)
            await store.close()
            nursery.cancel_scope.cancel()
        kv.close()
        kv = LevelDbKv.open(disk / "db")
        assert {key for key, _ in kv.scan(b"", LAST)} == {key for key, ok in outcome.items() if ok}
        assert set(outcome.values()) == {True, False}
        kv.close()


# --- a store that would start over --------------------------------------------------------


def test_a_missing_current_is_damage_not_an_empty_store(folder: Path) -> None:
    kv = LevelDbKv.open(folder)
    kv.write({b"a": b"1"})
    kv.close()
    (folder / "CURRENT").unlink()
    with pytest.raises(Damaged, match="CURRENT") as caught:
        LevelDbKv.open(folder)
    assert str(folder) in caught.value.text
    assert "restore" in str(caught.value.next)


def test_a_first_start_that_was_cut_off_starts_again(folder: Path) -> None:
    LevelDbKv.open(folder).close()
    (folder / "CURRENT").unlink()
    for log in folder.glob("*.log"):
        log.write_bytes(b"")
    kv = LevelDbKv.open(folder)
    kv.write({b"a": b"1"})
    kv.close()


def test_compacting_without_room_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "96m") as disk:
        kv = LevelDbKv.open(disk / "db")
        for n in range(200):
            kv.write({b"%03d" % n: os.urandom(50_000)})
        kv.write({b"%03d" % n: None for n in range(200) if n % 2})
        before = dict(kv.scan(b"", LAST))
        filler = fill(disk)
        with pytest.raises(DiskFull, match="full"):
            kv.compact(b"", LAST)
        filler.unlink()
        kv.write({b"after": b"v"})  # LevelDB was not spoiled
        assert kv.era == 0
        kv.compact(b"", LAST)
        assert sum(file.stat().st_size for file in (disk / "db").glob("*.ldb")) < 5_500_000
        assert dict(kv.scan(b"", LAST)) == before | {b"after": b"v"}
        kv.close()


def test_what_leveldb_says_is_told_in_words(kv: LevelDbKv) -> None:
    failed = kv._failure(plyvel.IOError(b"IO error: db/7.ldb: Permission denied"))
    assert failed.text.endswith("failed: IO error: db/7.ldb: Permission denied.")
    assert failed.next is not None
    assert failed.next.startswith("every file in there has to be this user's: ls -l ")
    assert kv._failure(plyvel.IOError(b"IO error: db/7.ldb: Input/output error")).next is None
