"""The engine on LevelDB, with the traps of LevelDB and plyvel closed.

    handle good      reads and writes use the handle
    handle spoiled   a write failed: reads see the snapshot taken before it; the next write looks
                     whether there is room, then closes, opens and *undoes* (below)
    no handle        opening again failed: every call tries it again

A write that failed may still lie whole in LevelDB's log (the fsync failed, not the write), and
would come back when the log is replayed: rows that were reported as failed, under counters that
were computed without them. So the first thing written by a new handle is the old value of every
key of the failed write. After a crash in between it may come back, like any write whose answer
was never given. Measured facts: `promises.md`, LevelDB through plyvel.

LevelDB takes a log that was cut short, or is gone, for the end of it: rows go missing without an
error. So every write also counts itself, in a row of its own and, once it is durable, in a file
beside (`tally`). At opening the row must not be behind the file. The file is not synced: after a
power cut it may be behind the row, never ahead. A last record that a cut left half-written is
another thing: it was never acknowledged, and is cut off (`node/store/tail.py`).
"""

import errno
import os
import struct
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from threading import Condition, Lock, RLock
from typing import TYPE_CHECKING, Self

import plyvel

from node.errors import Damaged, DiskFull, StoreFailed
from node.store.kv import Row
from node.store.tail import Torn, torn
from node.units import KIB, MIB

if TYPE_CHECKING:
    from plyvel import DB, RawIterator, Snapshot

CACHE = 8 * MIB
"""Uncompressed blocks kept: the indexes of a busy node; the system's page cache holds the rest."""
WRITE_BUFFER = 8 * MIB
"""Twice so much memory at most; larger ones make fewer, longer compactions and a longer start."""
BLOCK = 4 * KIB
"""What one read of a row loads and checks: LevelDB's default; rows are small."""
OPEN_FILES = 256
"""Tables held open: at 2 MiB each half a gigabyte of rows, far from the usual 1,024 descriptors."""
BLOOM_BITS = 10
"""1 % of look-ups for absent keys touch the disk; they are most of what strangers cause."""
ROOM = 4 * WRITE_BUFFER
"""Free space before a spoiled handle is given up for a new one: opening writes the log's rows
into a table, a new manifest and a new log, and without a handle nothing could be read."""
PATIENCE = 10
"""Seconds a new handle waits for the scans of the old one: they run inside one `work`."""

COUNT = b"\xff" * 16
"""The row that counts writes, behind all others and in no scan."""
TALLY = "tally"
"""The file that counts them too."""
u64 = struct.Struct(">Q")

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says when there is no room."""
FORBIDDEN = (errno.EACCES, errno.EPERM)
"""What it says of another user's file."""


class LevelDbKv:
    """An ordered map in one LevelDB. Made by `open`; only one may be open for a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._directory = -1
        self._tally = -1
        self._count = 0
        self._db: DB | None = None
        # What reads see: the handle, or the snapshot before the write that spoiled it.
        self._view: DB | Snapshot | None = None
        self._doubtful: dict[bytes, bytes | None] = {}
        self._closed = False
        self._scans = 0
        self.era = 0  # how many handles there were: a snapshot ends with its own
        self._writer = Lock()
        # Held for a moment by readers, for long by who changes the handle: closing it under a
        # running read would crash the process. Re-entrant, because the garbage collector may
        # end a forgotten scan in the middle of another call.
        self._gate = RLock()
        self._quiet = Condition(self._gate)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Opens the store in `folder`, making both when absent.

        Raises:
            Damaged: the folder holds something that LevelDB did not write.
            DiskFull: opening needs a little room.
            StoreFailed: anything else, such as missing permissions.
        """
        store = cls(folder)
        try:
            _prepare(folder)
            store._directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            store._tally = os.open(folder / TALLY, os.O_RDWR | os.O_CREAT, 0o600)
            with store._gate:
                store._revive()
        except (plyvel.Error, OSError) as error:
            raise store._failure(error) from error
        finally:
            if store._db is None:
                store.close()
        return store

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        with self._gate:
            view = self._view or self._again()
            try:
                return view.get(key, verify_checksums=True)
            except plyvel.Error as error:
                raise self._failure(error) from error

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Generator[Row, None, None]:
        """The rows in [start, stop) as they were when the first one was taken.

        A scan left half-way holds a snapshot until it is closed.
        """
        with self._gate:
            view = self._view or self._again()
            self._scans += 1
        yield from self._scan(view, start, stop, reverse)

    def _scan(
        self, view: "DB | Snapshot", start: bytes, stop: bytes, reverse: bool
    ) -> Generator[Row, None, None]:
        """Scans what was counted as a scan before, so that nobody closed it since."""
        try:
            with closing(view.raw_iterator(verify_checksums=True)) as cursor:
                yield from (_backward if reverse else _forward)(cursor, start, stop)
        except plyvel.Error as error:
            raise self._failure(error) from error
        finally:
            with self._gate:
                self._scans -= 1
                self._quiet.notify_all()

    def freeze(self) -> "LevelDbFrozen":
        """What is written now: a snapshot; of a spoiled handle, the one that reads see already."""
        with self._gate:
            view = self._view or self._again()
            if view is not self._db:
                return LevelDbFrozen(self, view)
            return LevelDbFrozen(self, view.snapshot(), own=True)

    def scan_frozen(
        self, frozen: "LevelDbFrozen", start: bytes, stop: bytes
    ) -> Generator[Row, None, None]:
        """The rows of a snapshot whose handle is still open."""
        with self._gate:
            if frozen.era != self.era:
                raise StoreFailed(
                    f"The mail store in {self._folder} had to be opened again meanwhile.",
                    next="begin again",
                )
            self._scans += 1
        yield from self._scan(frozen.view, start, stop, False)

    def write(self, puts: Mapping[bytes, bytes | None]) -> None:
        """Sets all of these, or deletes where None; durable when it returns."""
        with self._writer:
            db = self._sound()
            before = db.snapshot()
            try:
                self._commit(db, puts)
            except (plyvel.Error, OSError) as error:
                with self._gate:
                    self._view, self._doubtful = before, dict.fromkeys(puts)
                raise self._failure(error) from error
            before.close()

    def compact(self, start: bytes, stop: bytes) -> None:
        """Gives the space of deleted keys in [start, stop) back to the disk.

        The handle is held as by a scan, so a range should be over in a second or two.

        Raises:
            DiskFull: there is no room for what is written anew: LevelDB would refuse all further
                writes until it is opened again.
        """
        with self._gate:
            db = self._db
            if db is None or self._spoiled():
                return  # the next write opens a new one; there will be another time
            self._scans += 1
        try:
            if size := db.approximate_size(start, stop):
                self._check_room(size)
                db.compact_range(start=start, stop=stop)
        except (plyvel.Error, OSError) as error:
            raise self._failure(error) from error
        finally:
            with self._gate:
                self._scans -= 1
                self._quiet.notify_all()

    def _check_room(self, size: int) -> None:
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < size + ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Lets go of the files."""
        with self._writer, self._gate:
            self._closed = True
            self._quiet.wait_for(lambda: not self._scans, PATIENCE)
            self._drop()
            for fd in (self._directory, self._tally):
                if fd >= 0:
                    os.close(fd)
            self._directory = self._tally = -1

    def _sound(self) -> "DB":
        """The handle, after opening a new one if a write has spoiled it."""
        if self._spoiled():
            self._probe()  # not under the gate: a full disk must not keep the readers waiting
        with self._gate:
            if self._spoiled():
                self._retire()
            return self._db or self._again()

    def _spoiled(self) -> bool:
        return self._view is not None and self._view is not self._db

    def _again(self) -> "DB":
        """Opens where opening failed before. The gate is held."""
        if self._closed:
            raise StoreFailed(f"The mail store in {self._folder} is closed.")
        try:
            return self._revive()
        except (plyvel.Error, OSError) as error:
            raise self._failure(error) from error

    def _probe(self) -> None:
        """Finds out whether opening again would succeed, while the old handle still reads."""
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                os.posix_fallocate(file.fileno(), 0, ROOM)
                os.fsync(file.fileno())
        except OSError as error:
            raise self._failure(error) from error

    def _retire(self) -> None:
        """Closes the spoiled handle, with the old values of the failed write in hand."""
        assert self._view is not None
        if not self._quiet.wait_for(lambda: not self._scans, PATIENCE):
            raise StoreFailed("The mail store is busy: a scan is still open.")
        try:
            for key in self._doubtful:
                self._doubtful[key] = self._view.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise self._failure(error) from error
        self._drop()

    def _revive(self) -> "DB":
        """A new handle in which nothing of the failed write is left.

        Raises:
            plyvel.Error, OSError: there is none.
        """
        db = self._start()
        try:
            self._recount(db)
            # The log that was just begun is durable only with its name (17 of 150 power cuts).
            os.fsync(self._directory)
            if self._doubtful:
                self._commit(db, self._doubtful)
        except (plyvel.Error, OSError, StoreFailed):
            db.close()
            raise
        self._db = self._view = db
        self._doubtful = {}
        return db

    def _start(self) -> "DB":
        try:
            return self._open()
        except plyvel.CorruptionError:
            if not self._cut_tails():
                raise
        return self._open()

    def _open(self) -> "DB":
        return plyvel.DB(
            os.fspath(self._folder),
            create_if_missing=True,
            paranoid_checks=True,
            write_buffer_size=WRITE_BUFFER,
            lru_cache_size=CACHE,
            block_size=BLOCK,
            max_open_files=OPEN_FILES,
            bloom_filter_bits=BLOOM_BITS,
            # Sealed mail is as random as bytes can be, and what is not was a third of the processor
            # time of a sync: decision 0015.
            compression=None,
        )

    def _recount(self, db: "DB") -> None:
        """Takes up the count; Damaged when writes are missing that were durable once."""
        stored = db.get(COUNT, verify_checksums=True)
        self._count = u64.unpack(stored)[0] if stored else 0
        if (missing := self._tallied() - self._count) > 0:
            tally = self._folder / TALLY
            raise Damaged(
                f"The mail store in {self._folder} is damaged: its last {missing:,} writes, "
                "which were on the disk, are missing.",
                next="stop the node, keep a copy of that folder, and restore a backup: "
                f"willcall restore FILE. To go on with what is left: rm {tally}",
            )

    def _tallied(self) -> int:
        """What the file says; 0 where it is new."""
        noted = os.pread(self._tally, u64.size, 0)
        return int(u64.unpack(noted)[0]) if len(noted) == u64.size else 0

    def _cut_tails(self) -> bool:
        """Cuts off what a power cut left half-written; whether there was any."""
        logs = sorted(self._folder.glob("*.log"))[-1:]
        current = (self._folder / "CURRENT").read_bytes().strip()
        manifests = [
            path for path in self._folder.glob("MANIFEST-*") if os.fsencode(path.name) == current
        ]
        found = [(path, torn(path.read_bytes())) for path in (*logs, *manifests)]
        ends = [(path, end) for path, end in found if end is not None and self._is_last(path, end)]
        for path, end in ends:
            with path.open("r+b") as file:
                file.truncate(end.length)
                os.fsync(file.fileno())
        return bool(ends)

    def _is_last(self, path: Path, end: Torn) -> bool:
        """Whether nothing behind it was ever durable: the count is the last thing in a record."""
        if path.suffix != ".log" or not end.last:
            return True  # `_recount` will say
        return self._tallied() <= int(u64.unpack(end.last)[0])

    def _commit(self, db: "DB", puts: Mapping[bytes, bytes | None]) -> None:
        self._count += 1
        # Without `transaction` an exception in the block would write the half of it.
        with db.write_batch(transaction=True, sync=True) as batch:
            for key, value in puts.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
            batch.put(COUNT, u64.pack(self._count))
        # The batch may have begun a new log file: see `_revive`.
        os.fsync(self._directory)
        with suppress(OSError):  # behind is harmless
            os.pwrite(self._tally, u64.pack(self._count), 0)

    def _drop(self) -> None:
        view, db = self._view, self._db
        self._view = self._db = None
        self.era += 1
        if view is not None and view is not db:
            view.close()
        if db is not None:
            db.close()

    def _failure(self, error: Exception) -> StoreFailed:
        # LevelDB passes the system's words on, never its number.
        text = _said(error)
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, plyvel.CorruptionError):
            return _damaged(self._folder, text)
        if number in FULL or any(os.strerror(full) in text for full in FULL):
            return DiskFull(
                f"The disk of the mail store in {self._folder} is full.",
                next="make room; it goes on by itself",
            )
        mine = any(os.strerror(each) in text for each in FORBIDDEN)
        look = f"every file in there has to be this user's: ls -l {self._folder}"
        return StoreFailed(
            f"The mail store in {self._folder} failed: {text}.", next=look if mine else None
        )


def _said(error: Exception) -> str:
    """The words of an error; LevelDB's own come as bytes."""
    said = error.args[0] if error.args else ""
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(error)


class LevelDbFrozen:
    """The rows at one moment: what is deleted or changed since stays on the disk until `close`.

    Args:
        store: whose rows.
        view: what shows them, as long as the store's handle is the same.
        own: whether nobody else uses the view.
    """

    def __init__(self, store: LevelDbKv, view: "DB | Snapshot", *, own: bool = False) -> None:
        self._store, self.view, self._own = store, view, own
        self.era = store.era

    def scan(self, start: bytes, stop: bytes) -> Generator[Row, None, None]:
        """The rows in [start, stop). They are lost when the store is opened again."""
        return self._store.scan_frozen(self, start, stop)

    def close(self) -> None:
        """Lets go of the snapshot; harmless when its handle is closed already."""
        if self._own:
            self.view.close()


# plyvel's own `iterator` is not used: at its end it forgets to ask whether damage ended it, so
# rows went missing without an error; and in reverse it skips a row that is alone in its range
# and equal to `start`. The raw one asks at every step.


def _forward(cursor: "RawIterator", start: bytes, stop: bytes) -> Iterator[Row]:
    cursor.seek(start)
    while cursor.valid():
        row = cursor.item()
        if row[0] >= stop:
            return
        yield row
        cursor.next()


def _backward(cursor: "RawIterator", start: bytes, stop: bytes) -> Iterator[Row]:
    cursor.seek(stop)
    if cursor.valid():
        cursor.prev()
    else:
        cursor.seek_to_last()
    while cursor.valid():
        row = cursor.item()
        if row[0] < start:
            return
        yield row
        cursor.prev()


def _prepare(folder: Path) -> None:
    """Makes the folder durably, and refuses one whose rows LevelDB would silently start over."""
    folder.mkdir(mode=0o700, exist_ok=True)
    parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    if (folder / "CURRENT").exists():
        return
    # A cut during the very first start leaves a manifest and perhaps an empty log: that is fine.
    rows = [*folder.glob("*.ldb"), *folder.glob("*.sst"), *folder.glob("*.log")]
    if any(path.stat().st_size for path in rows):
        raise _damaged(folder, "the file CURRENT is missing")


def _damaged(folder: Path, detail: str) -> Damaged:
    return Damaged(
        f"The mail store in {folder} is damaged ({detail}). Nothing was changed.",
        next="stop the node, keep a copy of that folder, and restore a backup: "
        "willcall restore FILE",
    )
