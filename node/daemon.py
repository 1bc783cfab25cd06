"""The composition root: the only place that knows everything.

`init` makes a home; `run` opens it in this order: lock, configuration, store, local socket,
public port; then says ready. Stopping goes the other way round.
"""

import gc
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import trio
from publicsuffixlist import PublicSuffixList

from node import config as configs
from node import journal, supervisor
from node.asgi import App, Traffic
from node.client.dns import DnsResolver
from node.client.guard import PORTS, resolve
from node.client.http import HttpExchange
from node.config import Config
from node.crypto import phrase
from node.discovery import seeds
from node.encoding import names, origin
from node.errors import (
    ConfigBroken,
    Conflict,
    Damaged,
    Malformed,
    PortInUse,
    StoreFailed,
    Unverified,
    WillcallError,
)
from node.localapi.app import LocalApi
from node.localapi.monitor import Watched
from node.objects import report
from node.objects.record import Endpoint
from node.policy import rdap
from node.search.index import SqliteShelf
from node.search.reader import ChildReader
from node.server import http1
from node.server.admission import FOREVER, Proxies, ServerLimits
from node.server.door import Door
from node.server.listen import check_free, free_port, open_tcp, open_unix
from node.server.peer import PeerFace
from node.server.tls import Tls, TlsListener, keep
from node.services import node as nodes
from node.services import owners, views
from node.services.evidence import World
from node.services.node import Node
from node.steering import Running, allowed, obey_signals
from node.store import migrate
from node.store.committer import Committed
from node.store.files import BlockFiles, sync
from node.store.lock import HomeLock
from node.store.tables import TableStore
from node.system import (
    SystemClock,
    SystemProcess,
    SystemRandomness,
    SystemThreads,
    descriptors,
    room,
)
from node.units import DAY, KIB, MIB, ByteCount, Millis
from node.web.opened import Pages

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
        """Raises ConfigBroken unless this is a home."""
        self.check_length()
        if self.unfinished.exists() or not self.config.is_file():
            raise ConfigBroken(f"there is no home in {self.folder}", next="willcall init")

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
            raise ConfigBroken(f"{self.config} can't be read: {error}") from error


# --- init -------------------------------------------------------------------------------


async def init(
    home: Home, *, name: str, listen: str | None, at: str | None, recover: str | None = None
) -> dict[str, str | None]:
    """Makes a home with its first owner; the document that `init` prints.

    Args:
        home: where.
        name: what others see its owner called.
        listen: `host:port`; None: the next free port.
        at: the origin; None: as `listen`.
        recover: the recovery phrase of an owner that lost its home; None: a new owner.

    Raises:
        Conflict: there is one; nothing was changed.
        Malformed: the phrase is none; nothing was changed.
        PortInUse, Refused, ConfigBroken: nobody can listen there; nothing was made.
    """
    home.check_new()
    if recover is not None:
        phrase.seed(recover)
    chosen = listen if listen is not None else await free_port(_spoken_for(home))
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


def _spoken_for(home: Home) -> set[str]:
    """Where the homes beside this one listen when they run.

    Two homes that are made before either of them runs would else get the same port.
    """
    found = set()
    for path in islice(home.folder.parent.glob("*/config.toml"), HOMES_BESIDE):
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
    own = _own(home, config)
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


# --- reports ----------------------------------------------------------------------------


def verify_report(data: bytes) -> dict[str, Any]:
    """What a report proves; needs no node.

    Raises:
        Malformed, Unverified: nothing.
    """
    proved = report.verify(data)
    times = ("issued", "keep_until", "created")
    return proved | {word: views.time(proved[word]) for word in times if word in proved}


# --- run --------------------------------------------------------------------------------


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


async def run(home: Home, ready: Callable[[str], None], *, verbose: bool = False) -> None:
    """Runs the node until SIGTERM or SIGINT.

    Args:
        home: whose.
        ready: called with `ready <did> <listen> <origin>` once everything serves.
        verbose: log what is worth knowing, whatever the configuration says.

    Raises:
        ConfigBroken, AlreadyRunning, PortInUse, Damaged: it did not start.
    """
    home.check()
    os.umask(0o077)
    handed = supervisor.handed(os.environ, os.getpid())
    config = home.load()
    journal.open_log(config.log, verbose=verbose)
    with HomeLock(home.lock):
        home.check_store()
        tls = tls_of(home, config)
        if tls is not None:
            tls.open(SystemClock().now())
            _check_port(config)
        async with opened(home) as (db, files):
            await files.clean()
            dns = _dns(config)
            resolver = dns.resolve if config.network.dns else resolve
            async with aclosing(HttpExchange(allowed(config), resolver=resolver)) as exchange:
                node = nodes.make(
                    db=db,
                    files=files,
                    clock=SystemClock(),
                    randomness=SystemRandomness(),
                    exchange=exchange,
                    config=config,
                    pin=None if tls is None else tls.pin,
                    kept=home.kept,
                    seeds=_seeds(),
                    world=_world(config, dns),
                    room=partial(room, home.folder),
                    threads=SystemThreads(),
                    note=journal.note,
                    warn=journal.warn,
                    found_by=(SqliteShelf(home.search, SystemThreads()), ChildReader()),
                )
                await node.start()
                running = Running(
                    load=home.load,
                    core=node.core,
                    clock=node.core.clock,
                    exchange=exchange,
                    proxies=Proxies(config.proxies),
                    tls=tls,
                    verbose=verbose,
                    supervisor=supervisor.supervisor(os.environ, os.getpid()),
                    monotonic=SystemClock().monotonic,
                )
                readers = tuple(ChildReader() for _ in range(3))
                pages = Pages(node.core, home.pages, SystemThreads(), readers)
                async with aclosing(pages):
                    node.desk.pages = pages
                    await _serve(home, node, running, handed, ready)


def _own(home: Home, config: Config) -> Tls:
    """The certificate that lies in the home."""
    return Tls(home.certificate, home.key, origin.split(config.origin)[0], own=True)


def tls_of(home: Home, config: Config) -> Tls | None:
    """The certificate that callers meet; None: they speak plain HTTP, or to a proxy."""
    if config.is_plain or config.tls.by == "proxy":
        return None
    if config.tls.by == "own":
        return _own(home, config)
    host, _ = origin.split(config.origin)
    certificate, key = config.tls.certificate or "", config.tls.key or ""
    return Tls(home.folder / certificate, home.folder / key, host, own=False)


def _check_port(config: Config) -> None:
    _, port = origin.split(config.origin)
    if port not in PORTS:
        usual = ", ".join(map(str, sorted(PORTS)))
        journal.warn("unusual-port", port=port, why=f"others call {usual} only, unless told so")


def _seeds() -> tuple[Endpoint, ...]:
    """The directories that came with this release; none where their list does not verify."""
    try:
        return seeds.verify((resources.files("bootstrap") / "seeds.txt").read_bytes()).places
    except (OSError, ModuleNotFoundError, Malformed, Unverified) as error:
        journal.warn("seeds-unusable", why=str(error))
        return ()


def _dns(config: Config) -> DnsResolver:
    """The DNS, by the system's servers or given ones."""
    return DnsResolver(config.network.dns)


def _world(config: Config, dns: DnsResolver) -> World:
    """Whom the node asks about strangers."""
    # Registries sell names under ICANN's suffixes; under private ones they cost nothing.
    suffixes = PublicSuffixList(accept_unknown=False, only_icann=True)
    registry = rdap.parse_base(config.strangers.rdap)
    listed = (resources.files("node.client") / "rdap-dns.json").read_bytes()
    return World(
        resolver=dns,
        registrable=suffixes.privatesuffix,
        registries=rdap.parse_list(listed) if config.strangers.rdap == "iana" else {},
        registry=registry,
    )


async def _let_go(stop: trio.Event, node: Node) -> None:
    """At the end, who watches for arrivals is answered: an end need not wait for them."""
    await stop.wait()
    node.core.arrivals.ring()


async def _serve(
    home: Home,
    node: Node,
    running: Running,
    handed: Sequence[socket.socket],
    ready: Callable[[str], None],
) -> None:
    config, tls, stop = node.core.config, running.tls, trio.Event()
    local = open_unix(home.socket)
    try:
        async with trio.open_nursery() as nursery:
            # Last come, first cancelled: the services run until both servers are done.
            at, sockets = await _public(home, config, handed)
            public = _secured(sockets, tls)
            remote = await _listen(home, "local.listen", config.local.listen)
            nursery.start_soon(node.run)
            if tls is not None:
                nursery.start_soon(keep, tls, SystemClock().now)
            told = running.supervisor
            nursery.start_soon(obey_signals, stop, running.reload, told.stopping)
            nursery.start_soon(told.keep_telling)
            nursery.start_soon(_let_go, stop, node)
            async with trio.open_nursery() as servers:
                traffic = {name: Traffic() for name in ("public", "socket", "remote")}
                watched = Watched(traffic=traffic, process=SystemProcess(home.folder))
                serve = partial(_server, stop=stop, by=traffic)
                api = LocalApi(node, watched=watched)
                await servers.start(serve, "socket", api, [local], _LOCAL)
                if remote:
                    door = _door(node, config, watched)
                    await servers.start(serve, "remote", door, remote, _REMOTE)
                first, calm = node.gate.friends.knows, node.core.calm.wait
                face = PeerFace(node.peers, running.proxies, traffic["public"], first, calm)
                bounds = _public_bounds(running.proxies)
                await servers.start(serve, "public", face, public, bounds)
                _settle()
                owner = node.core.db.read(lambda tx: owners.find(tx, None))
                ready(f"ready {names.did(owner.owner)} {at} {config.origin}")
                journal.note("ready", listen=at, origin=config.origin)
                told.ready(running.status)
            nursery.cancel_scope.cancel()
    finally:
        home.socket.unlink(missing_ok=True)


def _settle() -> None:
    """What is here now stays: no collection looks at it again: 16 ms amid a letter."""
    gc.collect()
    gc.freeze()


def _door(node: Node, config: Config, watched: Watched) -> Door:
    """The local API for whoever is not on this machine."""
    api = LocalApi(node, trusted=False, watched=watched)
    return Door(api, config.local.names, SystemClock(), journal.warn)


async def _public(
    home: Home, config: Config, handed: Sequence[socket.socket]
) -> tuple[str, list[trio.SocketListener]]:
    """Where others are heard: at the sockets that were handed over, else as configured."""
    at = config.network.listen
    if not handed:
        return at, await _listen(home, "network.listen", at)
    where = [supervisor.address(each) for each in handed]
    if origin.split(at)[1] not in [origin.split(each)[1] for each in where]:
        journal.warn("listens-elsewhere", handed=", ".join(where), configured=at)
        at = where[0]
    return at, [trio.SocketListener(trio.socket.from_stdlib_socket(each)) for each in handed]


async def _listen(home: Home, key: str, at: str | None) -> list[trio.SocketListener]:
    """The sockets of a setting; none where it is none."""
    if at is None:
        return []
    try:
        return await open_tcp(*origin.split(at))
    except PortInUse as error:
        free = await free_port(at)
        raise PortInUse(
            error.text, next=f'stop that program, or set {key} = "{free}" in {home.config}'
        ) from error


def _secured(listeners: list[trio.SocketListener], tls: Tls | None) -> Sequence[http1.Listener]:
    return listeners if tls is None else [TlsListener(each, tls) for each in listeners]


async def _server(
    name: str,
    app: App,
    listeners: Sequence[http1.Listener],
    bounds: ServerLimits,
    *,
    stop: trio.Event,
    by: Mapping[str, Traffic],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    await http1.serve(
        app,
        listeners,
        bounds,
        clock=SystemClock(),
        stop=stop,
        traffic=by[name],
        task_status=task_status,
    )


DESCRIPTORS = 4_096
"""Files and connections: 1,024 who call, 512 whom we call, 256 of owners elsewhere, and as many
again; where the system gives fewer, fewer may call."""


def _public_bounds(proxies: Proxies) -> ServerLimits:
    """What callers may take; half of all descriptors is the store's, and for whom we call."""
    usual = ServerLimits(proxies=proxies)
    return replace(usual, connections=min(usual.connections, descriptors(DESCRIPTORS) // 2))


_LOCAL = ServerLimits(
    request=FOREVER,
    slack=FOREVER,
    idle=FOREVER,
    rate=ByteCount(1),
    target=ByteCount(1 * MIB),
    section=ByteCount(1 * MIB),
)
"""The owner's own programs may take their time, and name 10,000 addressees in a target."""


_REMOTE = ServerLimits(
    request=Millis(1 * DAY),
    section=ByteCount(64 * KIB),
    target=ByteCount(64 * KIB),
    connections=256,
)
"""Whoever has a token may wait for its mail to be decided; whoever has none is answered at once."""
