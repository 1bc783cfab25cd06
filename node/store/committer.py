"""Transactions over an engine: everybody's writes go to the disk in groups.

    work ──▶ its own writes ──▶ pending ──▶ writing ──▶ engine
             (one Tx)           (next group) (in a thread)

A read looks from left to right and takes the first that knows the key. So a write is visible to
all at once, and durable when its group is. While a group is written the next one gathers: no
delay is ever added, and the busier the node, the larger the groups.

One task, `run`, is the only writer. When a group fails, it and everything pending behind it are
dropped: what is pending may have been computed from what was lost.

Why reads stay right while the thread writes: the engine shows all of the writing group or
nothing of it, key by key the same values that the layer above it holds, so laying the layer over
either gives the same rows. The layer is removed in the event loop, between two works, and only
after the engine has it all. A MemoryKv scan that sees half of the group is right for the same
reason: every key of that half is hidden by the layer.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from types import GeneratorType
from typing import Final, TypeVar

import trio

from node.errors import Damaged, StoreFailed
from node.ports import FrozenRows, Threads, Tx
from node.store.kv import Change, KeyValue, Ordered, Row

T = TypeVar("T")


class Committed:
    """The port `Store` over one engine.

    Args:
        engine: nobody else writes to it.
        threads: where the engine's write waits for the disk.
    """

    def __init__(self, engine: KeyValue, threads: Threads) -> None:
        self.dropped: Final[list[Callable[[], None]]] = []
        """Called after writes that were visible have been dropped (and before anybody is told):
        what was derived from them in memory must be read again."""
        self._engine = engine
        self._threads = threads
        self._pending = _Group()
        self._writing: _Group | None = None
        self._filled = trio.Event()
        self._works = 0
        self._stopped = False

    def read(self, work: Callable[[Tx], T]) -> T:
        """The result of `work`, which sees what is pending too; it can't write."""
        return self._inside(_View(self._engine, self._layers()), work)

    def apply(self, work: Callable[[Tx], T]) -> T:
        """Runs `work`; its writes are visible at once and go with the next group.

        Nobody is told when that group fails, but `dropped`. When `work` raises, nothing of it
        is written. What is pending is held in memory: who writes much waits with `flush`.

        Raises:
            StoreFailed: the store has stopped.
        """
        if self._works:
            raise RuntimeError("a work can't begin another change: what it read would be stale")
        tx = _Change(self._engine, self._layers())
        result = self._inside(tx, work)
        self._take(tx.own.values)
        return result

    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Runs `work` at once, then waits until what it read and wrote is durable.

        That is a barrier: a work that wrote nothing waits too for what others have pending,
        because an answer must not leave before what it tells is durable. A caller cancelled
        while waiting leaves its writes in place; they become durable or not with their group.

        Raises:
            StoreFailed: its group, or one before, was not written, and all of it is dropped.
        """
        result = self.apply(work)
        await self.flush()
        return result

    async def flush(self) -> None:
        """Waits until everything written so far is durable.

        Raises:
            StoreFailed: it was not written, and is dropped.
        """
        group = self._pending if self._pending.rows.values else self._writing
        if group is None:
            await trio.lowlevel.checkpoint()
            return
        await group.done.wait()
        if group.error is not None:
            raise _again(group.error) from group.error

    async def freeze(self) -> FrozenRows:
        """All rows, with what was written so far; durable, and whole groups only. Close it.

        Raises:
            StoreFailed: what was written so far is lost.
        """
        await self.flush()
        return self._engine.freeze()

    async def compact(self, start: bytes, stop: bytes) -> None:
        """Gives the space of deleted keys in [start, stop) back to the disk.

        Raises:
            StoreFailed: it could not.
        """
        await self.flush()
        await self._threads.run(partial(self._engine.compact, start, stop))

    async def close(self) -> None:
        """Writes what is pending and takes no more; then cancel `run` and close the engine.

        Raises:
            StoreFailed: the last writes are lost.
        """
        self._stopped = True
        await self.flush()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The committer: writes group after group until cancelled.

        Who still waits then gets StoreFailed, so stop it last: `close` first.

        Raises:
            Damaged: the engine met damage while writing; who waited was told the same.
        """
        task_status.started()
        try:
            while True:
                while not self._pending.rows.values:
                    self._filled = trio.Event()
                    await self._filled.wait()
                await self._write_group()
        finally:
            self._stopped = True
            _tell(self._drop(StoreFailed("The store stopped before this was written.")))

    async def _write_group(self) -> None:
        group, self._pending = self._pending, _Group()
        self._writing = group
        try:
            await self._threads.run(partial(self._engine.write, group.rows.values))
        except StoreFailed as error:
            lost = self._drop(error)
            for rebuild in self.dropped:
                rebuild()
            _tell(lost)
            if isinstance(error, Damaged):
                raise  # I13: who writes on over damage makes it worse; the node ends loudly
        else:
            self._writing = None
            group.done.set()

    def _drop(self, error: StoreFailed) -> "list[_Group]":
        """Forgets all that is not written; later works start from what is durable."""
        lost = [self._pending] if self._writing is None else [self._writing, self._pending]
        self._writing, self._pending = None, _Group()
        for group in lost:
            group.error = error
        return lost

    def _take(self, changes: Mapping[bytes, bytes | None]) -> None:
        if not changes:
            return
        if self._stopped:
            raise StoreFailed("The store has stopped.", next="start the node again")
        self._pending.rows.update(changes)
        self._filled.set()

    def _layers(self) -> tuple[Ordered, ...]:
        """The layers above the engine that hold anything, topmost first."""
        pending, writing = self._pending.rows, self._writing
        if writing is None:
            return (pending,) if pending.values else ()
        return (pending, writing.rows) if pending.values else (writing.rows,)

    def _inside(self, tx: "_View", work: Callable[[Tx], T]) -> T:
        self._works += 1
        try:
            result = work(tx)
        finally:
            self._works -= 1
            tx.end()
        if isinstance(result, GeneratorType):
            raise TypeError("a scan ends with its work: return a list of what you need")
        return result


class _Group:
    """Writes that become durable, or fail, together."""

    __slots__ = ("done", "error", "rows")

    def __init__(self) -> None:
        self.rows = Ordered()
        self.done = trio.Event()
        self.error: StoreFailed | None = None


class _View:
    """A Tx that reads: layers of changes over the engine, topmost first."""

    __slots__ = ("_engine", "_layers", "_over", "_own", "_scans")

    def __init__(self, engine: KeyValue, layers: tuple[Ordered, ...]) -> None:
        self._engine = engine
        self._layers = layers
        self._own: Ordered | None = None
        self._scans: set[Generator[Row, None, None]] = set()
        self._over = False

    def get(self, key: bytes) -> bytes | None:
        self._check()
        for layer in self._layers:
            if key in layer.values:
                return layer.values[key]
        return self._engine.get(key)

    def scan(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[Row]:
        self._check()
        bottom = self._engine.scan(start, stop, reverse=reverse)
        rows: Iterator[Change] = bottom
        for layer in reversed(self._layers):
            if layer.touches(start, stop):
                rows = _over(rows, self._changes(layer, start, stop, reverse), reverse)
        return self._shown(rows, bottom)

    def put(self, key: bytes, value: bytes) -> None:
        raise TypeError("a read can't put: use apply or transact")

    def delete(self, key: bytes) -> None:
        raise TypeError("a read can't delete: use apply or transact")

    def end(self) -> None:
        """Closes every scan that was left half-way: it holds a snapshot of the engine."""
        self._over = True
        for scan in list(self._scans):
            scan.close()

    def _changes(
        self, layer: Ordered, start: bytes, stop: bytes, reverse: bool
    ) -> Iterator[Change]:
        changes = layer.walk(start, stop, reverse)
        # A work may write while it scans (move each due row to a later key): what it writes
        # after the scan began is not shown, or it would never end. Other layers stand still.
        return iter(list(changes)) if layer is self._own else changes

    def _shown(
        self, rows: Iterator[Change], bottom: Generator[Row, None, None]
    ) -> Generator[Row, None, None]:
        self._check()
        self._scans.add(bottom)
        try:
            for key, value in rows:
                if value is not None:
                    yield key, value
                    self._check()
        finally:
            bottom.close()
            self._scans.discard(bottom)

    def _check(self) -> None:
        if self._over:
            raise RuntimeError("a Tx ends with its work")


class _Change(_View):
    """A Tx that writes: its own changes are the topmost layer."""

    __slots__ = ("own",)

    def __init__(self, engine: KeyValue, layers: tuple[Ordered, ...]) -> None:
        self.own = Ordered()
        super().__init__(engine, (self.own, *layers))
        self._own = self.own

    def put(self, key: bytes, value: bytes) -> None:
        self._check()
        self.own.put(key, value)

    def delete(self, key: bytes) -> None:
        self._check()
        self.own.put(key, None)


def _over(lower: Iterator[Change], upper: Iterator[Change], reverse: bool) -> Iterator[Change]:
    """Two ordered runs as one; where both have a key, the upper's change hides the lower's."""
    low, up = next(lower, None), next(upper, None)
    while low is not None and up is not None:
        if low[0] == up[0]:
            low = next(lower, None)
        elif (low[0] < up[0]) is not reverse:
            yield low
            low = next(lower, None)
        else:
            yield up
            up = next(upper, None)
    if low is not None:
        yield low
        yield from lower
    elif up is not None:
        yield up
        yield from upper


def _tell(groups: list[_Group]) -> None:
    for group in groups:
        group.done.set()


def _again(error: StoreFailed) -> StoreFailed:
    """The same news for one more waiter: a raised exception belongs to one task."""
    return type(error)(error.text, reason=error.reason, next=error.next)
