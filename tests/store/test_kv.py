"""All engines under one contract."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from node.store.kv import CHUNK, FEW, KeyValue, Ordered
from node.store.leveldb import LevelDbKv
from node.store.memory import PURGE, MemoryKv
from tests.fakes.failing import FailingKv
from tests.store.kv_contract import LAST, KvContract, Opener


class TestMemoryKv(KvContract):
    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Opener:
        return MemoryKv


class TestFailingKv(KvContract):
    """It never does, so it changes nothing."""

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Opener:
        return lambda: FailingKv(MemoryKv())


class TestLevelDbKv(KvContract):
    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Iterator[Opener]:
        numbers = count()
        with ExitStack() as opened:

            def fresh() -> KeyValue:
                kv = LevelDbKv.open(tmp_path / str(next(numbers)))
                opened.callback(kv.close)
                return kv

            yield fresh


def test_a_copy_of_a_memory_engine_is_what_a_crash_would_leave() -> None:
    kv = MemoryKv()
    kv.write({b"a": b"1", b"b": b"2"})
    kv.write({b"b": None})
    twin = kv.copy()
    kv.write({b"c": b"3"})
    kv.close()
    assert list(twin.scan(b"", LAST)) == [(b"a", b"1")]


def test_deleted_keys_of_a_memory_engine_are_let_go() -> None:
    kv = MemoryKv()
    for turn in range(20):
        kv.write({b"%d-%d" % (turn, n): b"v" for n in range(PURGE)})
        kv.write({b"%d-%d" % (turn, n): None for n in range(PURGE)})
    assert list(kv.scan(b"", LAST)) == []
    assert len(kv._rows.values) <= 3 * PURGE


@pytest.mark.parametrize("size", [0, 1, FEW, FEW + 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_walk_takes_every_key_once_whatever_its_length(size: int, reverse: bool) -> None:
    rows = Ordered()
    for n in range(size):
        rows.put(b"%05d" % (n * 7919 % 10_007), b"v")
    assert [key for key, _ in rows.walk(b"", LAST, reverse)] == sorted(rows.values, reverse=reverse)


def test_touches_knows_marks_of_deletion_too() -> None:
    rows = Ordered()
    rows.update({b"b": None})
    assert rows.touches(b"a", b"c")
    assert rows.touches(b"b", b"c")
    assert not rows.touches(b"a", b"b")
    assert not rows.touches(b"c", b"d")
