"""Backups on their way back: a home is built beside the place where it belongs, or for trial.

    header, words → a folder of its own → rows and files → read back, compared, looked through
                  → brought to this schema → awakened ─ restore ▶ renamed to the home
                                                      └ verify ─▶ removed

So there is a whole home or none, and what `backup verify` tries is what `restore` does. Nothing
here needs a running node. Spec: 11.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import msgspec
import trio

from node import config as configs
from node.crypto import phrase
from node.encoding import names, origin
from node.errors import (
    Absent,
    AlreadyRunning,
    Conflict,
    Damaged,
    DiskFull,
    Malformed,
    Refused,
    StoreFailed,
    Unverified,
    WillcallError,
)
from node.homes import Home, opened
from node.objects import backup
from node.objects.backup import Header, HomeFile
from node.objects.signed import Signed
from node.ports import Tables
from node.services import views
from node.services.awaken import Awakened, awaken
from node.store import migrate
from node.store.backup import Found, Inspection, write
from node.store.files import BlockFiles, sync
from node.store.leveldb import FULL, LevelDbKv
from node.store.lock import HomeLock
from node.system import SystemClock, SystemThreads
from node.units import MIB

SPARE = 64 * MIB
"""Room beside the size of the backup: the database's log and what it compacts."""
SCRATCH = "willcall-verify-"
DEEPEST = 2
"""Names in the path of a small file: `drafts/3`."""


class Backup:
    """A backup file that is being read.

    Attributes:
        path: of the file; size: its bytes; done: how many of them were read.
        header: what it says of itself; its signature was checked.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._file = file
        self.path, self.done = path, 0
        self.size = os.fstat(file.fileno()).st_size
        self.signed: Signed[Header] = backup.read_header(self.read)
        try:
            self.header = self.signed.verify()
        except Unverified as error:
            raise Unverified("the head of this backup was changed", next=backup.ANOTHER) from error

    def read(self, count: int) -> bytes:
        """The next bytes; fewer only at the end."""
        try:
            data = self._file.read(count)
        except OSError as error:
            raise StoreFailed(f"{self.path} can't be read: {error.strerror}") from error
        self.done += len(data)
        return data

    def key(self, words: str) -> bytes:
        """What opens it, out of its box.

        Raises:
            Malformed: these are no 24 words.
            Unverified: they are another owner's.
        """
        return backup.stream_key(self.signed, phrase.seed(words))


@contextmanager
def reading(path: Path) -> Iterator[Backup]:
    """A backup file, to be read once.

    Raises:
        Absent, Refused, StoreFailed: it can't be opened.
        Malformed, Unverified: it is no backup, or its head was changed.
        Damaged: its rows are a newer program's.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        found = Backup(path, file)
        migrate.check_schema(found.header.schema)
        yield found


def _unreadable(path: Path, error: OSError) -> WillcallError:
    if isinstance(error, FileNotFoundError):
        return Absent(f"there is no file {path}", next="is the name right?")
    if isinstance(error, IsADirectoryError):
        return Absent(f"{path} is a folder, and a backup is a file", next="is the name right?")
    if isinstance(error, PermissionError):
        return Refused(f"{path} may not be read by this user")
    return StoreFailed(f"{path} can't be read: {error.strerror}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a backup became.

    Attributes:
        header: of the backup.
        found: what its rows hold.
        awakened: what was prepared for its new life.
        tokens: devices that can open a mailbox of it.
    """

    header: Header
    found: Found
    awakened: Awakened
    tokens: int

    def document(self) -> dict[str, object]:
        """The facts, for programs."""
        found = self.found
        return {
            "made": views.time(self.header.made),
            "did": names.did(self.header.owner),
            "owners": found.owners,
            "contacts": found.contacts,
            "received": found.received,
            "sent": found.sent,
            "rows": found.rows,
            "blocks": found.blocks,
            "size": found.size,
            "missing": found.missing,
            "tokens": self.tokens,
            "complaints": found.complaints,
        }


def verify(found: Backup, key: bytes) -> Report:
    """Restores a backup into a folder that goes again, and compares.

    Raises:
        Malformed, Unverified: it was changed or cut short, or the key is another's.
        Damaged: it holds what contradicts itself.
        StoreFailed: there is no room for the trial (DiskFull), or the disk failed.
    """
    parent = Path(os.environ.get("TMPDIR") or "/var/tmp")
    with _folder(parent, SCRATCH, found.size, "TMPDIR=DIR names another disk") as place:
        report = trio.run(partial(_build, found, key, Home(place)))
    if report.found.complaints:
        raise Damaged(
            f"this backup is whole, and the store in it contradicts itself: "
            f"{'; '.join(report.found.complaints[:3])}",
            next="make a new one and verify that; an older one may be better",
        )
    return report


def restore(
    found: Backup, key: bytes, home: Home, *, listen: str | None = None, at: str | None = None
) -> Report:
    """Makes a home of a backup: whole under its name when it returns, or not there.

    Args:
        found: the backup.
        key: what opens it.
        home: where; nothing may be there.
        listen: `host:port`; None: as in the backup.
        at: the origin; None: as in the backup.

    Raises:
        Conflict: there is something already; nothing was changed.
        Malformed, Unverified, Damaged, StoreFailed: as `verify`; nothing is left of it.
    """
    check_free(home)
    try:
        home.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreFailed(f"{home.folder.parent} can't be made: {error.strerror}") from error
    prefix = f".{home.folder.name}.restoring-"
    with _folder(home.folder.parent, prefix, found.size, "make room") as place:
        made = Home(place)
        report = trio.run(partial(_build, found, key, made))
        if listen is not None or at is not None:
            _move(made, listen, at)
        _settle(place, home.folder)
    return report


def check_free(home: Home) -> None:
    """Raises Conflict where a restored home would have to share its folder."""
    home.check_new()
    folder = home.folder
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and _is_empty(folder))):
        raise Conflict(
            f"{folder} exists; nothing was changed", next="name a folder that does not exist"
        )


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _settle(place: Path, folder: Path) -> None:
    """The last step: from here on there is a home."""
    try:
        sync(place)
        place.rename(folder)
        sync(folder.parent)
    except OSError as error:
        raise StoreFailed(f"{folder} can't be made: {error.strerror}") from error


# --- building -----------------------------------------------------------------------------


async def _build(found: Backup, key: bytes, home: Home) -> Report:
    """A home out of a backup, in an empty folder; compared, looked through, awakened."""
    now = SystemClock().now()
    await _write(found, key, home)
    home.load()
    files = BlockFiles(home.blocks, SystemThreads())
    engine = migrate.open_store(home.db, now, _unheard)
    try:
        held = await Inspection(engine, files).everything()
    finally:
        engine.close()
    for snapshot in home.folder.glob(f"{home.db.name}.schema-*"):
        shutil.rmtree(snapshot)  # of an older schema; the backup is still there

    def work(tx: Tables) -> tuple[Awakened, int]:
        return awaken(tx, found.header.made, now), sum(1 for _ in tx.tokens.scan())

    async with opened(home) as (db, _):
        awakened, tokens = await db.transact(work)
    return Report(header=found.header, found=held, awakened=awakened, tokens=tokens)


async def _write(found: Backup, key: bytes, home: Home) -> None:
    files = BlockFiles(home.blocks, SystemThreads())
    engine = LevelDbKv.open(home.db)
    try:
        records = backup.open_with(found.read, found.signed, key)
        end = await write(records, engine, files, partial(_small, home.folder))
        if Inspection(engine, files).digest() != end.digest:
            raise Damaged("the disk gives back other rows than were written to it")
    finally:
        engine.close()


def _unheard(_: str) -> None:
    """Of the schema nobody needs to hear: what is brought up is a copy."""


def _small(folder: Path, file: HomeFile) -> None:
    """Writes a small file of the home. Only the owner's node could seal it; and it is checked."""
    parts = file.path.split("/")
    if len(parts) > DEEPEST or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise Malformed(f"the backup holds a file {file.path[:40]!r} that belongs into no home")
    path = folder.joinpath(*parts)
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with open(path, "xb", opener=_private) as out:
            out.write(file.data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise _failed(path, error) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _move(home: Home, listen: str | None, at: str | None) -> None:
    """The restored node will be somewhere else."""
    known = home.load()
    network = msgspec.structs.replace(
        known.network, listen=listen or known.network.listen, origin=at or known.network.origin
    )
    private = network.private or origin.is_private(network.origin or network.listen)
    changed = msgspec.structs.replace(
        known, network=msgspec.structs.replace(network, private=private)
    )
    configs.check(changed)
    try:
        home.config.unlink()
        with open(home.config, "x", encoding="utf-8", opener=_private) as file:
            file.write(configs.print_toml(changed))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreFailed(f"{home.config} can't be written: {error.strerror}") from error


# --- the folder ---------------------------------------------------------------------------


@contextmanager
def _folder(parent: Path, prefix: str, size: int, room: str) -> Iterator[Path]:
    """A new folder that is gone in the end, whatever happens, unless it was renamed.

    What a killed program left behind goes first: nobody holds the lock in it.
    """
    os.umask(0o077)
    _remove_left(parent, prefix)
    _check_room(parent, size, room)
    try:
        place = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise _failed(parent, error) from error
    before = {each: signal.signal(each, partial(_end, place)) for each in _ENDING}
    try:
        with HomeLock(place / "lock"):
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        for each, handler in before.items():
            signal.signal(each, handler)


_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""What ends a program without a word; here it has to clean up first."""


def _end(place: Path, number: int, _frame: object) -> None:
    """Cleans up and dies of the signal. An exception instead could get lost on its way."""
    shutil.rmtree(place, ignore_errors=True)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _remove_left(parent: Path, prefix: str) -> None:
    for left in parent.glob(f"{prefix}*"):
        facts = left.lstat()
        if facts.st_uid != os.geteuid() or left.is_symlink() or not (left / "lock").is_file():
            continue
        try:
            with HomeLock(left / "lock"):
                shutil.rmtree(left, ignore_errors=True)
        except (AlreadyRunning, StoreFailed):
            continue  # somebody else's trial is going on


def _check_room(parent: Path, size: int, room: str) -> None:
    try:
        disk = os.statvfs(parent)
    except OSError as error:
        raise _failed(parent, error) from error
    if disk.f_bavail * disk.f_frsize < size + SPARE:
        raise DiskFull(f"there is not enough room in {parent} for this backup", next=room)


def _failed(path: Path, error: OSError) -> StoreFailed:
    if error.errno in FULL:
        return DiskFull(f"{path} can't be written: the disk is full", next="make room")
    return StoreFailed(f"{path} can't be written: {error.strerror}")
