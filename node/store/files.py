"""Large blocks as files, one each, named by their CID.

    <folder>/<last two characters of the CID>/<CID>     whole and durable, or not there
    <folder>/part/                                      being written; emptied at start
    <folder>/quarantine/                                held other bytes than its name says

Freed space returns to the disk at once, and a file costs no write amplification, where LevelDB
would rewrite a block of random key five to seven times. Spec: design §2 "At rest"; I9, I12.
"""

import errno
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent, Damaged, DiskFull, Malformed, StoreFailed, Unverified
from node.ports import Threads
from node.units import ByteCount

FANOUT = 256
"""Folders for the files: the last two characters of a CID are its last 8 bits, spread evenly. A
million blocks are 4,000 a folder, which any file system lists in milliseconds."""

_PART = "part"
_QUARANTINE = "quarantine"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


def fanout_of(cid: bytes) -> int:
    """Which of the FANOUT folders holds the block: the CID's last byte."""
    return cid[-1]


def fanout_name(fanout: int) -> str:
    """The folder's name: the last two characters of the CIDs in it.

    36 bytes are 57.6 characters of base32: the last byte is one whole character, then three
    bits and two zero bits.
    """
    return _BASE32[fanout >> 3] + _BASE32[(fanout & 7) << 2]


class BlockFiles:
    """The port `Files` on a file system. Each call is one piece of work in a thread.

    Args:
        folder: made when absent; nobody else writes in it.
        threads: where the disk is waited for.
    """

    def __init__(self, folder: Path, threads: Threads) -> None:
        self._folder = folder
        self._threads = threads
        self._durable: set[Path] = set()
        self._serial = 0

    async def keep(self, cid: bytes, block: bytes) -> None:
        """Writes the block; durable when it returns. Keeping it again is harmless, and heals.

        `block` must be the one that `cid` names: here it is not held against it.

        Raises:
            DiskFull: no room; nothing was kept.
            StoreFailed: the disk refused; nothing was kept that would be served wrongly.
        """
        self._serial += 1
        await self._threads.run(partial(self._keep, cid, block, self._serial))

    async def read(self, cid: bytes) -> bytes:
        """The bytes, whose hash was checked.

        Raises:
            Absent: there is no such file.
            Damaged: it held other bytes; it lies in quarantine now and the next read is Absent.
            StoreFailed: the disk refused.
        """
        return await self._threads.run(partial(self._read, cid))

    async def drop(self, cid: bytes) -> ByteCount:
        """Removes the file; its bytes. A power cut may bring it back: see `names`.

        Raises:
            StoreFailed: the disk refused.
        """
        return await self._threads.run(partial(self._drop, cid))

    async def clean(self) -> None:
        """Removes what a crash left half-written. Only at start, before anything is kept.

        Raises:
            StoreFailed: the disk refused.
        """
        await self._threads.run(self._clean)

    async def names(self, fanout: int) -> list[Cid]:
        """The blocks in one of the FANOUT folders, for a sweep that finds files without a row.

        Raises:
            StoreFailed: the disk refused.
        """
        return await self._threads.run(partial(self._names, fanout))

    # --- in a thread ----------------------------------------------------------------------

    def _keep(self, cid: bytes, block: bytes, serial: int) -> None:
        path = self._path(cid)
        part = self._folder / _PART / f"{path.name}.{serial}"
        try:
            self._make(part.parent)
            self._make(path.parent)
            try:
                _write(part, block)
                # Only now: a name must never be seen, after a cut, before its bytes are there.
                part.rename(path)
            finally:
                part.unlink(missing_ok=True)
            # And the name itself is durable only with its folder.
            sync(path.parent)
        except OSError as error:
            raise _translated("kept", cid, error) from error

    def _read(self, cid: bytes) -> bytes:
        path = self._path(cid)
        try:
            block = path.read_bytes()
        except FileNotFoundError as error:
            raise Absent(f"There is no block {path.name} here.") from error
        except OSError as error:
            raise _translated("read", cid, error) from error
        try:
            cids.check(cid, block)
        except Unverified as error:
            raise self._quarantined(path, cid) from error
        return block

    def _quarantined(self, path: Path, cid: bytes) -> Damaged:
        place = self._folder / _QUARANTINE / path.name
        try:
            self._make(place.parent)
            path.replace(place)
        except OSError as error:
            # It stays where it is and is checked again on every read: never served either way.
            return Damaged(f"The block {path.name} is damaged ({error.strerror}).")
        return Damaged(f"The block {path.name} is damaged; the file is now {place}.")

    def _drop(self, cid: bytes) -> ByteCount:
        path = self._path(cid)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return ByteCount(0)
        except OSError as error:
            raise _translated("removed", cid, error) from error
        return ByteCount(size)

    def _clean(self) -> None:
        try:
            self._make(self._folder / _PART)
            for part in (self._folder / _PART).iterdir():
                part.unlink()
        except OSError as error:
            raise _failure(f"The folder {self._folder} can't be used", error) from error

    def _names(self, fanout: int) -> list[Cid]:
        folder = self._folder / fanout_name(fanout)
        found: list[Cid] = []
        try:
            for name in os.listdir(folder):
                with suppress(Malformed):  # somebody's stray file is not ours to judge
                    found.append(cids.parse(name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failure(f"The folder {folder} can't be read", error) from error
        return sorted(found)

    def _make(self, folder: Path) -> None:
        """Makes the folder and its name durable, once per process.

        Asking whether it exists would not do: a process killed between mkdir and fsync leaves a
        folder that exists and is lost at the next power cut, with all that was kept in it.
        """
        if folder in self._durable:
            return
        if folder != self._folder:
            self._make(self._folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)
        self._durable.add(folder)

    def _path(self, cid: bytes) -> Path:
        name = cids.show(cid)
        return self._folder / name[-2:] / name


def _write(path: Path, block: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb", buffering=0) as file:
        rest = memoryview(block)
        while rest:
            rest = rest[file.write(rest) :]
        os.fdatasync(fd)


def sync(folder: Path) -> None:
    """Makes the names in a folder durable; a file's own sync does not.

    Raises:
        OSError: the disk refused.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _translated(done: str, cid: bytes, error: OSError) -> StoreFailed:
    return _failure(f"The block {cids.show(cid)} can't be {done}", error)


def _failure(text: str, error: OSError) -> StoreFailed:
    if error.errno in _FULL:
        return DiskFull(f"{text}: the disk is full.", next="make room; it goes on by itself")
    return StoreFailed(f"{text}: {error.strerror}.")
