"""A home: the files of one node.

`init` makes one, and says so last: what was cut off before is no home. `opened` gives its store
and its files, to a node or to whoever looks at it while none runs.
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path

import msgspec
import trio

from node import config as configs
from node import journal
from node.config import Config
from node.crypto import phrase
from node.encoding import names, origin
from node.errors import (
    ConfigBroken,
    Conflict,
    Damaged,
    Refused,
    StoreFailed,
    WillcallError,
)
from node.objects.record import Endpoint
from node.server.listen import check_free, free_port
from node.server.tls import Tls
from node.services import owners
from node.store import migrate
from node.store.committer import Committed
from node.store.files import BlockFiles, sync
from node.store.lock import HomeLock
from node.store.tables import TableStore
from node.system import (
    SystemClock,
    SystemRandomness,
    SystemThreads,
)
from node.units import MIB

LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path that every system takes (Linux: 107)."""
HOMES_BESIDE = 1000
"""Other homes that `init` looks at: a folder of people has no more, a large one is no such."""


class Home:
    """The files of one node.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.config = self.folder / "config.toml"
        self.unfinished = self.folder / "unfinished"
        self.lock = self.folder / "lock"
        self.socket = self.folder / "socket"
        self.db = self.folder / "db"
        self.blocks = self.folder / "blocks"
        self.search = self.folder / "search"
        self.pages = self.folder / "pages"
        self.certificate = self.folder / "tls-certificate.pem"
        self.key = self.folder / "tls-key.pem"

    def check_length(self) -> None:
        """Raises ConfigBroken when the path is too long for a socket."""
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            raise ConfigBroken(
                f"the path of this home is too long for a socket: {self.folder}",
                next="choose a shorter one with --home",
            )

    def check_new(self) -> None:
        """Raises Conflict when there is a home already."""
        self.check_length()
        if not self.unfinished.exists() and (self.config.exists() or self.db.exists()):
            raise Conflict(
                f"there is a home in {self.folder} already; nothing was changed",
                next="willcall run, or another --home",
            )

    def check(self) -> None:
        """Raises ConfigBroken unless this is a home, Refused where nobody may look."""
        self.check_length()
        try:
            here = self.config.is_file() and not self.unfinished.exists()
            lost = not here and self.db.exists() and not self.unfinished.exists()
        except PermissionError as error:
            raise Refused(
                f"{self.folder} may not be read by this user", next=f"ls -ld {self.folder}"
            ) from error
        if lost:
            raise ConfigBroken(
                f"{self.config} is missing; nothing was changed",
                next="put it back: a backup holds it. An empty one means the usual settings",
            )
        if not here:
            raise ConfigBroken(f"there is no home in {self.folder}", next="willcall init")

    def check_rights(self) -> None:
        """Raises Refused when a node of this user could not write what it has to.

        LevelDB would say so of one file, and nobody could tell that from a failing disk.
        """
        for path in (self.folder, self.lock, self.db, self.db / "LOCK", self.blocks):
            wanted = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
            if path.exists() and not os.access(path, wanted):
                raise Refused(
                    f"{path} may not be written to by this user",
                    next=f"ls -ld {path} says whose it is; "
                    f"findmnt -T {path} whether its disk is mounted read-only",
                )

    def check_store(self) -> None:
        """Raises Damaged when there is no store to open: an empty one would hide the loss."""
        if not (self.db / "CURRENT").is_file():
            raise Damaged(
                f"the mail store of this home is missing: {self.db}; nothing was changed",
                next="put that folder back, or restore a backup: willcall restore FILE",
            )

    def kept(self) -> Iterator[tuple[str, bytes]]:
        """The small files that belong into a backup: settings, certificates, letters begun."""
        for path in [self.config, *sorted(self.folder.glob("*.pem")), *self._drafts()]:
            try:
                data = path.read_bytes()
            except OSError as error:
                # A letter may be sent just now; for the rest, a backup without it is better than
                # none, and it is told.
                journal.warn("backup-misses-a-file", path=path, why=error.strerror)
                continue
            yield str(path.relative_to(self.folder)), data

    def _drafts(self) -> list[Path]:
        folder = self.folder / "drafts"
        found = [path for path in sorted(folder.glob("*")) if path.name.isdigit()]
        return [path for path in found if path.stat().st_size < MIB]

    def load(self) -> Config:
        """The configuration."""
        try:
            return configs.parse(self.config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise configs.unreadable(str(self.config), error) from error


# --- init -------------------------------------------------------------------------------


async def init(
    home: Home,
    *,
    name: str,
    listen: str | None,
    at: str | None,
    recover: str | None = None,
    usual: Home | None = None,
) -> dict[str, str | None]:
    """Makes a home with its first owner; the document that `init` prints.

    Args:
        home: where.
        name: what others see its owner called.
        listen: `host:port`; None: the next free port.
        at: the origin; None: as `listen`.
        recover: the recovery phrase of an owner that lost its home; None: a new owner.
        usual: where this user's home is when nobody says otherwise; its port is left to it.

    Raises:
        Conflict: there is one; nothing was changed.
        Malformed: the phrase is none; nothing was changed.
        PortInUse, Refused, ConfigBroken: nobody can listen there; nothing was made.
    """
    home.check_new()
    if recover is not None:
        phrase.seed(recover)
    chosen = listen if listen is not None else await free_port(_spoken_for(home, usual or home))
    config = _first_config(chosen, at)
    await check_free(chosen)
    if name:
        owners.checked_name(name)
    os.umask(0o077)
    _make_folder(home.folder)
    with HomeLock(home.lock):
        _begin(home)
        made = await _found(home, config, name, recover)
        _write_config(home, config)
        _finish(home)
    did = names.did(made.owner.owner)
    return {
        "name": name,
        "did": did,
        "address": f"{did}@{config.origin}",
        "origin": config.origin,
        "listen": chosen,
        "home": str(home.folder),
        "recovery_phrase": made.phrase,
    }


def _spoken_for(home: Home, usual: Home) -> set[str]:
    """Where the homes beside this one, and the usual one, listen when they run.

    Two homes that are made before either of them runs would else get the same port.
    """
    found = set()
    beside = islice(home.folder.parent.glob("*/config.toml"), HOMES_BESIDE)
    for path in (*beside, usual.config):
        with suppress(OSError, UnicodeDecodeError, WillcallError):
            found.add(configs.parse(path.read_text(encoding="utf-8")).network.listen)
    return found


def _first_config(listen: str, at: str | None) -> Config:
    """As asked for; who names a private address as the origin means to call its neighbours too."""
    config = Config(network=configs.Network(listen=listen, origin=at, private=True))
    configs.check(config)
    private = origin.is_private(config.origin)
    return Config(network=msgspec.structs.replace(config.network, private=private))


def _make_folder(folder: Path) -> None:
    """Makes the home, and every folder above it that is not there, durably."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        for place in missing:
            sync(place.parent)
    except OSError as error:
        raise StoreFailed(f"{folder} can't be made: {error.strerror}") from error


def _begin(home: Home) -> None:
    """Says that what is here is no home yet, and removes what an `init` left that was cut off.

    Until `_finish` nobody has been told of this home: nothing of it can be missed.
    """
    try:
        if home.unfinished.exists():
            for place in (home.db, home.blocks):
                shutil.rmtree(place, ignore_errors=True)
            for path in (home.config, home.certificate, home.key):
                path.unlink(missing_ok=True)
                path.with_suffix(".new").unlink(missing_ok=True)
        home.unfinished.touch(mode=0o600)
        sync(home.folder)
    except OSError as error:
        raise StoreFailed(f"{home.folder} can't be used: {error.strerror}") from error


def _write_config(home: Home, config: Config) -> None:
    temporary = home.config.with_suffix(".new")
    try:
        with open(temporary, "x", encoding="utf-8", opener=_private) as file:
            file.write(configs.print_toml(config))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(home.config)
        sync(home.folder)
    except OSError as error:
        raise StoreFailed(f"{home.config} can't be written: {error.strerror}") from error


def _finish(home: Home) -> None:
    """From here on this is a home, whatever happens: `init` returns, and changes it no more."""
    try:
        home.unfinished.unlink()
        sync(home.folder)
    except OSError as error:
        raise StoreFailed(f"{home.folder} can't be used: {error.strerror}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


async def _found(home: Home, config: Config, name: str, recover: str | None) -> owners.Made:
    now = SystemClock().now()
    # Wanted or not: who goes public later has the pin from the first backup on.
    own = own_certificate(home, config)
    own.open(now)
    pin = None if tls_of(home, config) is None else own.pin
    async with opened(home) as (db, _):
        return await owners.make(
            db,
            SystemRandomness(),
            name=name,
            endpoints=(Endpoint(origin=config.origin, pin=pin),),
            now=now,
            quota=config.quota,
            found=True,
            recover=recover,
        )


# --- what is in it ----------------------------------------------------------------------


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[tuple[TableStore, BlockFiles]]:
    """The store, of this schema and with its committer running; flushed and closed in the end."""
    threads = SystemThreads()
    engine = migrate.open_store(home.db, SystemClock().now(), journal.warn)
    try:
        committed = Committed(engine, threads)
        files = BlockFiles(home.blocks, threads)
        async with trio.open_nursery() as nursery:
            await nursery.start(committed.run)
            yield TableStore(committed), files
            await committed.close()
            nursery.cancel_scope.cancel()
    finally:
        engine.close()


def own_certificate(home: Home, config: Config) -> Tls:
    """The certificate that lies in the home."""
    return Tls(home.certificate, home.key, origin.split(config.origin)[0], own=True)


def tls_of(home: Home, config: Config) -> Tls | None:
    """The certificate that callers meet; None: they speak plain HTTP, or to a proxy."""
    if config.is_plain or config.tls.by == "proxy":
        return None
    if config.tls.by == "own":
        return own_certificate(home, config)
    host, _ = origin.split(config.origin)
    certificate, key = config.tls.certificate or "", config.tls.key or ""
    return Tls(home.folder / certificate, home.folder / key, host, own=False)
