"""The committer: what is seen, what is durable, who is told."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from node.errors import Damaged, DiskFull, StoreFailed
from node.ports import Store, Threads, Tx
from node.store.committer import Committed
from node.store.kv import KeyValue
from node.store.leveldb import LevelDbKv
from node.store.memory import MemoryKv
from tests.fakes.failing import FailingKv
from tests.store.threads import InlineThreads, RealThreads, SteppedThreads

Rows = dict[bytes, bytes]
LAST = b"\xff" * 8


@asynccontextmanager
async def running(engine: KeyValue, threads: Threads) -> AsyncIterator[Committed]:
    async with trio.open_nursery() as nursery:
        store = Committed(engine, threads)
        await nursery.start(store.run)
        yield store
        nursery.cancel_scope.cancel()


def put(key: bytes, value: bytes = b"v") -> Callable[[Tx], None]:
    return lambda tx: tx.put(key, value)


def put_all(keys: Iterable[bytes]) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        for key in keys:
            tx.put(key, b"v")

    return work


def get(key: bytes) -> Callable[[Tx], bytes | None]:
    return lambda tx: tx.get(key)


def every(tx: Tx) -> list[tuple[bytes, bytes]]:
    return list(tx.scan(b"", LAST))


async def all_of(work: Callable[[int], Awaitable[None]], tasks: range) -> None:
    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(work, task)


class Waiter:
    """A task in `transact` or `flush`, and what became of it."""

    def __init__(self) -> None:
        self.done = False
        self.error: StoreFailed | None = None

    async def run(self, store: Store, work: Callable[[Tx], object]) -> None:
        try:
            await store.transact(work)
        except StoreFailed as error:
            self.error = error
        self.done = True


# --- visible and durable ------------------------------------------------------------------


async def test_a_write_is_seen_at_once_and_durable_when_transact_returns() -> None:
    engine = MemoryKv()
    async with running(engine, InlineThreads()) as store:
        store.apply(put(b"a", b"1"))
        assert store.read(get(b"a")) == b"1"
        assert engine.get(b"a") is None
        await store.transact(put(b"b", b"2"))
        assert list(engine.scan(b"", LAST)) == [(b"a", b"1"), (b"b", b"2")]


async def test_it_gives_what_work_gives() -> None:
    async with running(MemoryKv(), InlineThreads()) as store:
        assert store.apply(lambda tx: 1) == 1
        assert await store.transact(lambda tx: 2) == 2
        assert store.read(lambda tx: 3) == 3


async def test_an_answer_waits_for_what_it_read() -> None:
    threads = SteppedThreads()
    async with running(MemoryKv(), threads) as store, trio.open_nursery() as nursery:
        store.apply(put(b"a"))
        reader = Waiter()
        nursery.start_soon(reader.run, store, get(b"a"))
        await wait_all_tasks_blocked()
        assert not reader.done
        threads.step()
        await wait_all_tasks_blocked()
        assert reader.done


async def test_it_waits_for_the_group_behind_the_one_being_written() -> None:
    threads = SteppedThreads()
    engine = MemoryKv()
    async with running(engine, threads) as store, trio.open_nursery() as nursery:
        first, second, third = Waiter(), Waiter(), Waiter()
        nursery.start_soon(first.run, store, put(b"a"))
        await wait_all_tasks_blocked()
        nursery.start_soon(second.run, store, put(b"b"))
        await wait_all_tasks_blocked()
        nursery.start_soon(third.run, store, get(b"a"))
        await wait_all_tasks_blocked()
        threads.step()
        await wait_all_tasks_blocked()
        assert (first.done, second.done, third.done) == (True, False, False)
        assert engine.get(b"b") is None
        assert store.read(every) == [(b"a", b"v"), (b"b", b"v")]
        threads.step()
        await wait_all_tasks_blocked()
        assert second.done
        assert third.done


async def test_with_nothing_pending_it_does_not_wait() -> None:
    threads = SteppedThreads()
    async with running(MemoryKv(), threads) as store:
        await store.transact(get(b"a"))
        await store.flush()
        assert threads.waiting == 0


async def test_many_tasks_share_a_group() -> None:
    engine = FailingKv(MemoryKv())
    async with running(engine, RealThreads()) as store:
        await all_of(lambda n: store.transact(put(b"%d" % n)), range(100))
        assert engine.writes <= 3
        assert len(store.read(every)) == 100


async def test_a_caller_that_stops_waiting_leaves_its_write() -> None:
    threads = SteppedThreads()
    engine = MemoryKv()
    async with running(engine, threads) as store:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.transact(put(b"a"))
        assert scope.cancelled_caught
        assert store.read(get(b"a")) == b"v"
        threads.step()
        await store.flush()
        assert engine.get(b"a") == b"v"


async def test_writes_before_run_wait_for_it() -> None:
    engine = MemoryKv()
    store = Committed(engine, InlineThreads())
    store.apply(put(b"a"))
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        await store.flush()
        assert engine.get(b"a") == b"v"
        nursery.cancel_scope.cancel()


# --- works --------------------------------------------------------------------------------


async def test_a_work_that_raises_writes_nothing() -> None:
    def fails(tx: Tx) -> None:
        tx.put(b"a", b"1")
        tx.delete(b"kept")
        raise KeyError("no")

    async with running(MemoryKv(), InlineThreads()) as store:
        await store.transact(put(b"kept"))
        with pytest.raises(KeyError):
            store.apply(fails)
        with pytest.raises(KeyError):
            await store.transact(fails)
        assert store.read(every) == [(b"kept", b"v")]


async def test_a_work_sees_its_own_writes() -> None:
    def work(tx: Tx) -> None:
        tx.put(b"b", b"2")
        tx.delete(b"a")
        tx.delete(b"never")
        assert tx.get(b"a") is None
        assert tx.get(b"b") == b"2"
        assert list(tx.scan(b"", LAST)) == [(b"b", b"2"), (b"c", b"v")]
        tx.put(b"a", b"3")
        assert list(tx.scan(b"", b"b")) == [(b"a", b"3")]

    async with running(MemoryKv(), InlineThreads()) as store:
        await store.transact(put_all([b"a", b"c"]))
        store.apply(work)


async def test_a_scan_does_not_meet_what_its_work_moves_ahead_of_it() -> None:
    def move(tx: Tx) -> int:
        put_all(b"own%03d" % n for n in range(100))(tx)
        turns = 0
        for key, value in tx.scan(b"", LAST):
            tx.delete(key)
            tx.put(key + b"later", value)
            turns += 1
        return turns

    async with running(MemoryKv(), InlineThreads()) as store:
        store.apply(put_all(b"%03d" % n for n in range(200)))
        assert store.apply(move) == 300
        await store.flush()
        assert store.apply(move) == 400


async def test_a_read_cant_write() -> None:
    async with running(MemoryKv(), InlineThreads()) as store:
        with pytest.raises(TypeError, match="read"):
            store.read(put(b"a"))
        with pytest.raises(TypeError, match="read"):
            store.read(lambda tx: tx.delete(b"a"))


async def test_a_work_cant_begin_another_change() -> None:
    async with running(MemoryKv(), InlineThreads()) as store:
        with pytest.raises(RuntimeError, match="another"):
            store.apply(lambda tx: store.apply(put(b"a")))
        with pytest.raises(RuntimeError, match="another"):
            store.read(lambda tx: store.apply(put(b"a")))
        assert store.apply(lambda tx: store.read(every)) == []


async def test_a_tx_ends_with_its_work() -> None:
    kept: list[Tx] = []
    scans: list[Iterator[tuple[bytes, bytes]]] = []

    def leak(tx: Tx) -> None:
        kept.append(tx)
        scans.extend((tx.scan(b"", LAST), tx.scan(b"", LAST)))
        next(scans[0])

    async with running(MemoryKv(), InlineThreads()) as store:
        store.apply(put_all(b"%d" % n for n in range(9)))
        store.apply(leak)
        for call in (get(b"a"), put(b"a"), lambda tx: tx.delete(b"a"), every):
            with pytest.raises(RuntimeError, match="ends with its work"):
                call(kept[0])
        for scan in scans:
            with pytest.raises(RuntimeError, match="ends with its work"):
                next(scan)
        with pytest.raises(TypeError, match="scan"):
            store.read(lambda tx: tx.scan(b"", LAST))


async def test_a_scan_left_half_way_lets_the_engine_go(tmp_path: Path) -> None:
    engine = LevelDbKv.open(tmp_path / "db")
    kept: list[object] = []

    def leave(tx: Tx) -> None:
        for reverse in (False, True):
            scan = tx.scan(b"", LAST, reverse=reverse)
            next(scan)
            kept.append(scan)
        raise KeyError("with scans open")

    async with running(engine, RealThreads()) as store:
        await store.transact(put_all(b"%d" % n for n in range(9)))
        with pytest.raises(KeyError):
            store.apply(leave)
        assert engine._scans == 0
    engine.close()


# --- failures -----------------------------------------------------------------------------


async def test_a_failed_group_takes_what_is_behind_it_along() -> None:
    threads = SteppedThreads()
    engine = FailingKv(MemoryKv(), at=2, error=lambda: DiskFull("full", next="make room"))
    async with running(engine, threads) as store, trio.open_nursery() as nursery:
        threads.step()
        await store.transact(put(b"kept"))
        first, second, third = Waiter(), Waiter(), Waiter()
        seen: list[list[tuple[bytes, bytes]]] = []
        store.dropped.append(lambda: seen.append(store.read(every)))
        nursery.start_soon(first.run, store, put(b"a"))
        await wait_all_tasks_blocked()
        nursery.start_soon(second.run, store, put(b"b"))
        nursery.start_soon(third.run, store, get(b"a"))
        await wait_all_tasks_blocked()
        threads.step()
        await wait_all_tasks_blocked()
        for waiter in (first, second, third):
            assert isinstance(waiter.error, DiskFull)
            assert (waiter.error.text, waiter.error.next) == ("full", "make room")
        assert first.error is not second.error
        assert seen == [[(b"kept", b"v")]]
        assert store.read(every) == [(b"kept", b"v")]
        threads.step()
        await store.transact(put(b"c"))
        assert store.read(every) == [(b"c", b"v"), (b"kept", b"v")]


async def test_a_rebuilding_callback_may_write() -> None:
    engine = FailingKv(MemoryKv(), at=1)
    async with running(engine, InlineThreads()) as store:
        store.dropped.append(lambda: store.apply(put(b"rebuilt")))
        with pytest.raises(StoreFailed):
            await store.transact(put(b"a"))
        await store.flush()
        assert list(engine.scan(b"", LAST)) == [(b"rebuilt", b"v")]


async def test_damage_ends_the_committer_after_all_were_told() -> None:
    waiter = Waiter()
    engine = FailingKv(MemoryKv(), at=1, error=lambda: Damaged("damaged"))
    with pytest.RaisesGroup(Damaged, flatten_subgroups=True):
        async with trio.open_nursery() as outer, running(engine, InlineThreads()) as store:
            outer.start_soon(waiter.run, store, put(b"a"))
            await trio.sleep_forever()
    assert isinstance(waiter.error, Damaged)


async def test_when_run_ends_nobody_waits_for_ever() -> None:
    waiter = Waiter()
    async with trio.open_nursery() as outer:
        async with running(MemoryKv(), SteppedThreads()) as store:
            outer.start_soon(waiter.run, store, put(b"a"))
            await wait_all_tasks_blocked()
        with pytest.raises(StoreFailed, match="stopped"):
            await store.transact(put(b"b"))
        assert store.read(every) == []
    assert isinstance(waiter.error, StoreFailed)


async def test_close_writes_what_is_pending_and_takes_no_more() -> None:
    engine = MemoryKv()
    async with running(engine, InlineThreads()) as store:
        store.apply(put(b"a"))
        await store.close()
        assert engine.get(b"a") == b"v"
        with pytest.raises(StoreFailed, match="stopped"):
            store.apply(put(b"b"))
        assert await store.transact(get(b"a")) == b"v"


def three(task: int, turn: int) -> list[bytes]:
    return [b"%s-%d-%02d" % (side, task, turn) for side in (b"a", b"m", b"z")]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 26))
async def test_failing_at_each_write_loses_nothing_that_was_acknowledged(
    at: int, after: bool
) -> None:
    inner = MemoryKv()
    acknowledged: set[tuple[int, int]] = set()

    async def work(task: int) -> None:
        for turn in range(6):
            try:
                await store.transact(put_all(three(task, turn)))
            except StoreFailed:
                continue
            acknowledged.add((task, turn))

    engine = FailingKv(inner, at=at, times=2, after=after)
    async with running(engine, RealThreads()) as store:
        await all_of(work, range(4))
    reopened = inner.copy()
    for task in range(4):
        for turn in range(6):
            there = [reopened.get(key) is not None for key in three(task, turn)]
            assert len(set(there)) == 1, "all or nothing"
            assert there[0] or (task, turn) not in acknowledged


# --- against a plain dict -----------------------------------------------------------------

KEYS = st.binary(max_size=2)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=3), min_size=1, max_size=6)
RANGE = st.tuples(st.just("scan"), KEYS, st.binary(max_size=3), st.booleans())
STEPS = st.one_of(
    st.tuples(st.just("apply"), CHANGES),
    st.tuples(st.just("transact"), CHANGES),
    st.tuples(st.just("raise"), CHANGES),
    st.just(("barrier",)),
    RANGE,
    RANGE,
    st.just(("written",)),
    st.just(("written",)),
    st.tuples(st.just("failed"), st.booleans()),
)


class Model:
    """What the store must show, as three dicts."""

    def __init__(self) -> None:
        self.durable: Rows = {}
        self.writing: dict[bytes, bytes | None] = {}
        self.pending: dict[bytes, bytes | None] = {}
        self.behind: list[Waiter] = []
        self.waiting: list[Waiter] = []
        self.drops = 0

    def visible(self) -> Rows:
        return laid(laid(self.durable, self.writing), self.pending)

    def rotate(self) -> None:
        if not self.writing:
            self.writing, self.pending = self.pending, {}
            self.waiting, self.behind = self.behind, []

    def written(self) -> list[Waiter]:
        told, self.waiting = self.waiting, []
        self.durable, self.writing = laid(self.durable, self.writing), {}
        self.rotate()
        return told

    def failed(self, after: bool) -> list[Waiter]:
        told = self.waiting + self.behind
        if after:
            self.durable = laid(self.durable, self.writing)
        self.writing, self.pending, self.waiting, self.behind = {}, {}, [], []
        self.drops += 1
        return told

    def wait(self, waiter: Waiter) -> bool:
        (self.behind if self.pending else self.waiting).append(waiter)
        return bool(self.pending or self.writing)


def laid(rows: Rows, changes: dict[bytes, bytes | None]) -> Rows:
    both: dict[bytes, bytes | None] = {**rows, **changes}
    return {key: value for key, value in both.items() if value is not None}


def change(changes: dict[bytes, bytes | None]) -> Callable[[Tx], None]:
    def work(tx: Tx) -> None:
        for key, value in changes.items():
            if value is None:
                tx.delete(key)
            else:
                tx.put(key, value)

    return work


class Play:
    """Runs steps on a store and on its model, and compares after each."""

    def __init__(self, store: Committed, engine: FailingKv, threads: SteppedThreads) -> None:
        self.store, self.engine, self.threads = store, engine, threads
        self.model = Model()
        self.drops = 0
        store.dropped.append(self.on_dropped)

    def on_dropped(self) -> None:
        self.drops += 1

    async def step(self, nursery: trio.Nursery, step: tuple[object, ...]) -> None:
        match step:
            case ("apply", dict(changes)):
                self.store.apply(change(changes))
                self.model.pending |= changes
            case ("transact", dict(changes)):
                await self.transact(nursery, changes)
            case ("barrier",):
                await self.transact(nursery, {})
            case ("raise", dict(changes)):
                self.raising(changes)
            case ("scan", bytes(start), bytes(stop), bool(reverse)):
                self.compare(start, stop, reverse)
            case ("written",):
                await self.finish(None)
            case ("failed", bool(after)):
                await self.finish(after)
            case _:
                raise AssertionError(step)
        await wait_all_tasks_blocked()
        self.model.rotate()
        assert self.store.read(every) == sorted(self.model.visible().items())
        assert self.drops == self.model.drops
        assert (self.store._writing is not None) is bool(self.model.writing)

    async def transact(self, nursery: trio.Nursery, changes: dict[bytes, bytes | None]) -> None:
        waiter = Waiter()
        nursery.start_soon(waiter.run, self.store, change(changes))
        self.model.pending |= changes
        waits = self.model.wait(waiter)
        await wait_all_tasks_blocked()
        assert waiter.done is not waits
        if not waits:
            self.model.waiting.remove(waiter)

    def raising(self, changes: dict[bytes, bytes | None]) -> None:
        def work(tx: Tx) -> None:
            change(changes)(tx)
            assert dict(tx.scan(b"", LAST)) == laid(self.model.visible(), changes)
            raise KeyError

        with pytest.raises(KeyError):
            self.store.apply(work)

    def compare(self, start: bytes, stop: bytes, reverse: bool) -> None:
        rows = sorted(row for row in self.model.visible().items() if start <= row[0] < stop)
        found = self.store.read(lambda tx: list(tx.scan(start, stop, reverse=reverse)))
        assert found == (rows[::-1] if reverse else rows)
        for key, value in rows:
            assert self.store.read(get(key)) == value

    async def finish(self, after: bool | None) -> None:
        """Lets the group in the thread be written (None), or fail before or after it was."""
        if not self.model.writing:
            return
        if after is not None:
            self.engine.fail_next(after=after)
        self.threads.step()
        await wait_all_tasks_blocked()
        told = self.model.written() if after is None else self.model.failed(after)
        assert all(waiter.done for waiter in told)
        assert all((waiter.error is None) is (after is None) for waiter in told)
        assert not any(waiter.done for waiter in self.model.waiting + self.model.behind)
        assert dict(self.engine.inner.scan(b"", LAST)) == self.model.durable


@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=30))
async def test_it_is_a_dict_with_a_memory_of_what_is_durable(
    steps: list[tuple[object, ...]],
) -> None:
    engine, threads = FailingKv(MemoryKv()), SteppedThreads()
    async with running(engine, threads) as store, trio.open_nursery() as nursery:
        play = Play(store, engine, threads)
        for step in steps:
            await play.step(nursery, step)
        nursery.cancel_scope.cancel()


# --- on a real disk -----------------------------------------------------------------------


async def test_tasks_that_read_and_write_on_leveldb(tmp_path: Path) -> None:
    """Counters count every step of every task, and survive."""

    def count(tx: Tx) -> int:
        total = int(tx.get(b"total") or b"0") + 1
        tx.put(b"total", b"%d" % total)
        tx.put(b"n-%06d" % total, b"v")
        assert sum(1 for _ in tx.scan(b"n-%06d" % max(total - 10, 0), b"n-~")) == min(total, 11)
        return total

    async def work(task: int) -> None:
        for _ in range(40):
            mine = await store.transact(count)
            assert engine.get(b"n-%06d" % mine) == b"v"

    engine = LevelDbKv.open(tmp_path / "db")
    async with running(engine, RealThreads()) as store:
        await all_of(work, range(20))
        await store.close()
    engine.close()
    engine = LevelDbKv.open(tmp_path / "db")
    assert engine.get(b"total") == b"800"
    assert sum(1 for _ in engine.scan(b"n-", b"n-~")) == 800
    engine.close()


# --- what is frozen -----------------------------------------------------------------------


async def test_what_is_frozen_is_durable_and_whole(tmp_path: Path) -> None:
    """Writers in pairs go on meanwhile: never one of a pair without the other."""
    engine = LevelDbKv.open(tmp_path / "db")
    async with running(engine, RealThreads()) as store, trio.open_nursery() as nursery:

        async def churn(task: int) -> None:
            for turn in range(60):
                name = b"%d-%03d" % (task, turn)
                await store.transact(put_all([b"a" + name, b"b" + name]))

        store.apply(put(b"first"))
        frozen = await store.freeze()
        assert dict(frozen.scan(b"", LAST)) == {b"first": b"v"}
        frozen.close()
        for task in range(4):
            nursery.start_soon(churn, task)
        for _ in range(20):
            await trio.sleep(0.005)
            frozen = await store.freeze()
            keys = {key for key, _ in frozen.scan(b"", LAST)} - {b"first"}
            frozen.close()
            assert {k[1:] for k in keys if k[:1] == b"a"} == {k[1:] for k in keys if k[:1] == b"b"}
    engine.close()


async def test_what_was_refused_is_not_frozen() -> None:
    engine = FailingKv(MemoryKv(), at=1)
    async with running(engine, InlineThreads()) as store:
        store.apply(put(b"lost"))
        with pytest.raises(StoreFailed):
            await store.freeze()
        store.apply(put(b"kept"))
        frozen = await store.freeze()
        assert [key for key, _ in frozen.scan(b"", LAST)] == [b"kept"]
