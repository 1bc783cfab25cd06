"""Store engines without a disk: for simulations and tests, under the same contracts.

A crash is played by `copy()`: what was written is in the copy, as it would be on the disk.
"""

from collections.abc import Generator, Mapping
from threading import Lock

from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent, Damaged, StoreFailed, Unverified
from node.store.files import fanout_of
from node.store.kv import Change, Ordered, Row, walk
from node.units import ByteCount

PURGE = 1_024
"""Deleted keys are kept as marks until there are so many, and more than live ones: then the
work of dropping them, once over all keys, is spread over as many deletes."""


class MemoryKv:
    """An ordered map in memory; good for up to a million keys.

    Durable means: in the copy. It takes a writer thread beside the reader, as a disk does.
    """

    def __init__(self) -> None:
        self._rows = Ordered()
        self._deleted = 0
        self._closed = False
        # Sorting and writing both change the key list; a walk holds this for one chunk only.
        self._lock = Lock()

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        self._check()
        return self._rows.values.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Generator[Row, None, None]:
        """The rows with keys in [start, stop), in order (last first when `reverse`)."""
        for key, value in walk(self._chunk, start, stop, reverse):
            if value is not None:
                yield key, value

    def write(self, puts: Mapping[bytes, bytes | None]) -> None:
        """Sets all of these, or deletes where None."""
        self._check()
        with self._lock:
            self._rows.update(puts)
            self._deleted += sum(value is None for value in puts.values())
            if self._deleted > max(PURGE, len(self._rows.values) // 2):
                self._purge()

    def freeze(self) -> "MemoryKv":
        """What is written now."""
        self._check()
        return self.copy()

    def copy(self) -> "MemoryKv":
        """What a crash now would leave: an open engine with the same rows."""
        twin = MemoryKv()
        with self._lock:
            twin._rows.update({k: v for k, v in self._rows.values.items() if v is not None})
        return twin

    def compact(self, start: bytes, stop: bytes) -> None:
        """Nothing is kept of what was deleted."""
        self._check()

    def close(self) -> None:
        """Refuses all later calls."""
        self._closed = True

    def _chunk(self, start: bytes, stop: bytes, reverse: bool) -> list[Change]:
        self._check()
        with self._lock:
            return self._rows.chunk(start, stop, reverse)

    def _purge(self) -> None:
        rows = Ordered()
        rows.update({k: v for k, v in self._rows.values.items() if v is not None})
        self._rows, self._deleted = rows, 0

    def _check(self) -> None:
        if self._closed:
            raise StoreFailed("The store is closed.")


class MemoryFiles:
    """Large blocks in a dict, under the contract of `BlockFiles`."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, bytes] = {}

    async def keep(self, cid: bytes, block: bytes) -> None:
        """Keeps the block; keeping it again is harmless."""
        self._blocks[bytes(cid)] = bytes(block)

    async def read(self, cid: bytes) -> bytes:
        """The bytes, whose hash was checked.

        Raises:
            Absent: there is none.
            Damaged: there were other bytes; they are gone.
        """
        block = self._blocks.get(cid)
        if block is None:
            raise Absent(f"There is no block {cids.show(cid)} here.")
        try:
            cids.check(cid, block)
        except Unverified as error:
            del self._blocks[cid]
            raise Damaged(f"The block {cids.show(cid)} is damaged.") from error
        return block

    async def drop(self, cid: bytes) -> ByteCount:
        """Removes the block; absent is fine."""
        return ByteCount(len(self._blocks.pop(cid, b"")))

    async def clean(self) -> None:
        """Nothing is ever half-written here."""

    async def names(self, fanout: int) -> list[Cid]:
        """The blocks of one of the FANOUT parts."""
        return sorted(Cid(cid) for cid in self._blocks if fanout_of(cid) == fanout)

    def copy(self) -> "MemoryFiles":
        """What a crash now would leave."""
        twin = MemoryFiles()
        twin._blocks = dict(self._blocks)
        return twin

    def damage(self, cid: bytes) -> None:
        """Flips one bit, for tests."""
        block = self._blocks[cid]
        self._blocks[cid] = bytes([block[0] ^ 1]) + block[1:]
