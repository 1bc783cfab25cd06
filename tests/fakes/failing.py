"""An engine whose disk fails when told to."""

from collections.abc import Callable, Generator, Mapping

from node.errors import DiskFull, StoreFailed
from node.ports import FrozenRows
from node.store.kv import KeyValue, Row


def broken_disk() -> StoreFailed:
    return StoreFailed("The disk failed, as the test wanted.")


def full_disk() -> StoreFailed:
    return DiskFull("The disk is full, as the test wanted.")


class FailingKv:
    """Passes everything on, but fails at one write.

    Args:
        inner: the engine that keeps the rows.
        at: which write fails, counted from 1; None: none.
        times: how many writes fail in a row.
        after: it fails when everything was written, but before saying so; else before.
        error: makes what is raised.
    """

    def __init__(
        self,
        inner: KeyValue,
        *,
        at: int | None = None,
        times: int = 1,
        after: bool = False,
        error: Callable[[], StoreFailed] = broken_disk,
    ) -> None:
        self.inner = inner
        self.writes = 0
        self._at = at
        self._times = times
        self._after = after
        self._error = error
        self.unreadable = 0
        """So many looks at rows fail from now on."""
        self.full = False
        """No write finds room."""

    def get(self, key: bytes) -> bytes | None:
        return self.inner.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Generator[Row, None, None]:
        if self.unreadable:
            self.unreadable -= 1
            raise self._error()
        return self.inner.scan(start, stop, reverse=reverse)

    def write(self, puts: Mapping[bytes, bytes | None]) -> None:
        self.writes += 1
        if self.full:
            raise full_disk()
        fails = self._at is not None and self._at <= self.writes < self._at + self._times
        if not fails or self._after:
            self.inner.write(puts)
        if fails:
            raise self._error()

    def fail_next(self, *, after: bool = False) -> None:
        """The next write fails."""
        self._at, self._times, self._after = self.writes + 1, 1, after

    def fail_at(self, number: int) -> None:
        """The `number`-th write from now fails, counted from 1."""
        self._at, self._times, self._after = self.writes + number, 1, False

    def heal(self) -> None:
        """No write fails any more."""
        self._at, self.full = None, False

    def freeze(self) -> FrozenRows:
        return self.inner.freeze()

    def compact(self, start: bytes, stop: bytes) -> None:
        self.inner.compact(start, stop)

    def close(self) -> None:
        self.inner.close()
