"""Logs that a power cut tore, told from damaged ones, on logs that LevelDB wrote."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from node.errors import Damaged
from node.store.kv import KeyValue
from node.store.leveldb import TALLY, LevelDbKv
from node.store.tail import BLOCK, torn
from tests.store.kv_contract import LAST

Harm = Callable[[bytearray, list[int]], None]


def written(folder: Path, sizes: list[int]) -> tuple[bytes, list[int]]:
    """A log of writes of these sizes, and where each ends."""
    kv, ends, chance = LevelDbKv.open(folder), list[int](), random.Random(3)
    for n, size in enumerate(sizes):
        kv.write({b"k%03d" % n: chance.randbytes(size)})
        ends.append(next(folder.glob("*.log")).stat().st_size)
    kv.close()
    return next(folder.glob("*.log")).read_bytes(), ends


SIZES = [100, 40_000, 30, BLOCK - 200, 70_000, 10, 90_000]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[int]]:
    return written(tmp_path_factory.mktemp("tail") / "db", SIZES)


def test_a_whole_log_is_not_torn(log: tuple[bytes, list[int]]) -> None:
    assert torn(log[0]) is None
    assert torn(b"") is None


def test_a_log_that_ends_early_is_whole_to_leveldb(log: tuple[bytes, list[int]]) -> None:
    data, ends = log
    for cut in range(ends[-2], len(data), 9_973):
        assert torn(data[:cut]) is None


def test_zeros_at_the_end_are_a_torn_record(log: tuple[bytes, list[int]]) -> None:
    data, ends = log
    for start in range(ends[-2] + 7, len(data) - 8, 20_011):
        found = torn(data[:start] + bytes(len(data) - start))
        assert found is not None
        assert (found.length, int.from_bytes(found.last, "big")) == (ends[-2], len(SIZES) - 1)


@pytest.mark.parametrize("over", range(12))
def test_the_count_is_found_where_a_block_ends_in_it(over: int, tmp_path: Path) -> None:
    """The record before the torn one has so many bytes in its second block."""
    bare = written(tmp_path / "bare", [0])[1][0]
    data, ends = written(tmp_path / "db", [BLOCK - bare - 2 + over, 30_000])
    found = torn(data[: ends[0] + 100] + bytes(len(data) - ends[0] - 100))
    assert found is not None
    assert (found.length, found.last) == (ends[0], (1).to_bytes(8, "big"))


def test_a_hole_in_the_last_record_is_torn(log: tuple[bytes, list[int]]) -> None:
    data, ends = log
    for start in range(ends[-2] + 512, len(data) - 512, 20_011):
        found = torn(data[:start] + bytes(512) + data[start + 512 :])
        assert found is not None
        assert found.length == ends[-2]


def test_a_broken_record_before_a_whole_one_is_damage(log: tuple[bytes, list[int]]) -> None:
    data, ends = log
    for at in range(20, ends[-3], 17_011):
        assert torn(data[:at] + bytes([data[at] ^ 8]) + data[at + 1 :]) is None


# --- what the store makes of it -----------------------------------------------------------


def rows(kv: KeyValue) -> set[bytes]:
    found = {key for key, _ in kv.scan(b"", LAST)}
    kv.close()
    return found


def changed(folder: Path, data: bytes) -> None:
    next(folder.glob("*.log")).write_bytes(data)


def test_a_torn_record_is_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    data, ends = written(folder, SIZES)
    (folder / TALLY).write_bytes((len(SIZES) - 1).to_bytes(8, "big"))  # it was not acknowledged
    changed(folder, data[: ends[-2] + 600] + bytes(len(data) - ends[-2] - 600))
    kv = LevelDbKv.open(folder)
    kv.write({b"more": b""})
    assert rows(kv) == {b"k%03d" % n for n in range(len(SIZES) - 1)} | {b"more"}
    assert b"more" in rows(LevelDbKv.open(folder))


def test_a_record_that_was_acknowledged_is_not_cut_off(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    data, ends = written(folder, SIZES)
    harmed = data[: ends[-2] + 600] + bytes(len(data) - ends[-2] - 600)
    changed(folder, harmed)
    with pytest.raises(Damaged, match="Nothing was changed"):
        LevelDbKv.open(folder)
    assert next(folder.glob("*.log")).read_bytes() == harmed


@pytest.mark.parametrize("left", [0, 1, 5])
def test_a_log_cut_short_is_noticed_again_and_again(left: int, tmp_path: Path) -> None:
    folder = tmp_path / "db"
    data, ends = written(folder, SIZES)
    changed(folder, data[: ends[left] - 3])
    for _ in range(2):
        with pytest.raises(Damaged, match=f"last {len(SIZES) - left:,} writes") as caught:
            LevelDbKv.open(folder)
        assert str(folder / TALLY) in str(caught.value.next)
    (folder / TALLY).unlink()  # as it was told
    assert rows(LevelDbKv.open(folder)) == {b"k%03d" % n for n in range(left)}


def test_a_lost_log_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    written(folder, SIZES)
    next(folder.glob("*.log")).unlink()
    with pytest.raises(Damaged, match="writes"):
        LevelDbKv.open(folder)


def test_a_store_that_never_counted_opens(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    written(folder, [10, 10])
    (folder / TALLY).unlink()
    assert rows(LevelDbKv.open(folder)) == {b"k000", b"k001"}
