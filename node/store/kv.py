"""The port to an ordered key-value engine, and the ordered map used above and inside it.

The contract of `KeyValue` is an executable suite (`tests/store/kv_contract.py`) that every
engine passes. Decides nothing about what keys mean: that is `keyspace`.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Protocol

from node.ports import FrozenRows

Row = tuple[bytes, bytes]
"""A key and its value."""
Change = tuple[bytes, bytes | None]
"""A key and its new value; None: deleted."""

CHUNK = 64
"""Rows taken at a time while walking a map that may change meanwhile: two microseconds' worth."""
FEW = 32
"""So many new keys are inserted one by one; more are sorted in. Timsort looks at every key, an
insert only moves memory: at 100,000 keys the two cost the same at about this many."""


class KeyValue(Protocol):
    """An ordered map of bytes to bytes on a disk.

    One thread reads and one thread writes, at the same time. Errors are StoreFailed and its
    kinds, nothing else: DiskFull (try again when there is room), Damaged (a person must act).
    """

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Generator[Row, None, None]:
        """The rows with keys in [start, stop), in order (last first when `reverse`).

        What a write changes during a scan may be shown or not; what it does not touch is shown
        once. Close a scan that is left half-way: it may hold a snapshot.
        """
        ...

    def write(self, puts: Mapping[bytes, bytes | None]) -> None:
        """Sets all of these, or deletes where None; atomic, and durable when it returns.

        When it raises, either all or nothing was written; the reads that follow show which, and
        don't change their mind while this engine is open. The next call works again by itself
        once the cause is gone.
        """
        ...

    def freeze(self) -> FrozenRows:
        """What is written now, however it changes meanwhile. Close it.

        It is lost, and says so, when the engine had to be opened again.
        """
        ...

    def compact(self, start: bytes, stop: bytes) -> None:
        """Gives the space of deleted keys in [start, stop) back to the disk; no row changes.

        From a thread of its own, beside one that reads and one that writes.
        """
        ...

    def close(self) -> None:
        """Lets go of the files. Closing twice is harmless; any other later call StoreFailed."""
        ...


class Ordered:
    """A dict of changes whose keys can be walked in order; None marks a deleted key.

    Putting is a dict's put: keys are sorted when somebody walks. `values` is for reading.
    """

    __slots__ = ("_fresh", "_keys", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}
        self._keys: list[bytes] = []
        self._fresh: list[bytes] = []

    def put(self, key: bytes, value: bytes | None) -> None:
        """Sets one key."""
        if key not in self.values:
            self._fresh.append(key)
        self.values[key] = value

    def update(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Sets many keys."""
        known = self.values
        self._fresh += [key for key in changes if key not in known]
        known.update(changes)

    def touches(self, start: bytes, stop: bytes) -> bool:
        """Whether there is a change in [start, stop)."""
        keys = self._sorted()
        at = bisect_left(keys, start)
        return at < len(keys) and keys[at] < stop

    def chunk(self, start: bytes, stop: bytes, reverse: bool) -> list[Change]:
        """The first CHUNK changes in [start, stop); the last ones, last first, if `reverse`."""
        keys, values = self._sorted(), self.values
        low, high = bisect_left(keys, start), bisect_left(keys, stop)
        if reverse:
            low = max(low, high - CHUNK)
            return [(key, values[key]) for key in reversed(keys[low:high])]
        return [(key, values[key]) for key in keys[low : min(high, low + CHUNK)]]

    def walk(self, start: bytes, stop: bytes, reverse: bool) -> Iterator[Change]:
        """All changes in [start, stop), in order; what is put meanwhile may be shown or not."""
        return walk(self.chunk, start, stop, reverse)

    def _sorted(self) -> list[bytes]:
        keys, fresh = self._keys, self._fresh
        if len(fresh) > FEW:
            keys += fresh
            keys.sort()
        else:
            for key in fresh:
                insort(keys, key)
        fresh.clear()
        return keys


def walk(
    chunk: Callable[[bytes, bytes, bool], list[Change]], start: bytes, stop: bytes, reverse: bool
) -> Iterator[Change]:
    """The changes in [start, stop), a chunk at a time; each chunk starts behind the last key."""
    while True:
        changes = chunk(start, stop, reverse)
        yield from changes
        if len(changes) < CHUNK:
            return
        if reverse:
            stop = changes[-1][0]
        else:
            start = changes[-1][0] + b"\0"
