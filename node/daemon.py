"""The composition root: the only place that knows everything.

`run` opens a home in this order: lock, configuration, store, local socket, public port; then says
ready. Stopping goes the other way round.
"""

import gc
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from importlib import resources
from typing import Any

import trio
from publicsuffixlist import PublicSuffixList

from node import journal, supervisor
from node.asgi import App, Traffic
from node.client.dns import DnsResolver
from node.client.guard import PORTS, resolve
from node.client.http import HttpExchange
from node.config import Config
from node.discovery import seeds
from node.encoding import names, origin
from node.errors import (
    Malformed,
    PortInUse,
    Unverified,
)
from node.homes import Home, opened, tls_of
from node.localapi.app import LocalApi
from node.localapi.monitor import Watched
from node.objects import report
from node.objects.record import Endpoint
from node.policy import rdap
from node.ports import Database, Files
from node.search.index import SqliteShelf
from node.search.reader import ChildReader
from node.server import http1
from node.server.admission import FOREVER, Proxies, ServerLimits
from node.server.door import Door
from node.server.listen import free_port, open_tcp, open_unix
from node.server.peer import PeerFace
from node.server.tls import Tls, TlsListener, keep
from node.services import node as nodes
from node.services import owners, views
from node.services.evidence import World
from node.services.node import Node
from node.steering import Running, allowed, obey_signals
from node.store.lock import HomeLock
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


async def run(home: Home, ready: Callable[[str], None], *, verbose: bool = False) -> None:
    """Runs the node until SIGTERM or SIGINT.

    Args:
        home: whose.
        ready: called with `ready <did> <listen> <origin>` once everything serves.
        verbose: log what is worth knowing, whatever the configuration says.

    Raises:
        ConfigBroken, Refused, AlreadyRunning, PortInUse, Damaged: it did not start.
    """
    home.check()
    os.umask(0o077)
    handed = supervisor.handed(os.environ, os.getpid())
    config = home.load()
    journal.open_log(config.log, verbose=verbose)
    home.check_rights()
    with HomeLock(home.lock):
        home.check_store()
        tls = tls_of(home, config)
        if tls is not None:
            tls.open(SystemClock().now())
            _check_port(config)
        async with opened(home) as (db, files):
            await files.clean()
            dns = DnsResolver(config.network.dns)
            resolver = dns.resolve if config.network.dns else resolve
            async with aclosing(HttpExchange(allowed(config), resolver=resolver)) as exchange:
                node = _wired(home, config, db, files, exchange, dns, tls)
                await node.start()
                running = _steered(home, node, exchange, tls, verbose=verbose)
                readers = tuple(ChildReader() for _ in range(3))
                pages = Pages(node.core, home.pages, SystemThreads(), readers)
                async with aclosing(pages):
                    node.desk.pages = pages
                    await _serve(home, node, running, handed, ready)


def _wired(
    home: Home,
    config: Config,
    db: Database,
    files: Files,
    exchange: HttpExchange,
    dns: DnsResolver,
    tls: Tls | None,
) -> Node:
    """The services over what this system has."""
    return nodes.make(
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


def _steered(
    home: Home, node: Node, exchange: HttpExchange, tls: Tls | None, *, verbose: bool
) -> Running:
    """What a running node is told from outside reaches all of this."""
    return Running(
        load=home.load,
        core=node.core,
        clock=node.core.clock,
        exchange=exchange,
        proxies=Proxies(node.core.config.proxies),
        tls=tls,
        verbose=verbose,
        supervisor=supervisor.supervisor(os.environ, os.getpid()),
        monotonic=SystemClock().monotonic,
    )


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
                doors = _Doors(home, node, running, stop)
                await doors.open(servers, local, remote, public)
                _settle()
                owner = node.core.db.read(lambda tx: owners.find(tx, None))
                ready(f"ready {names.did(owner.owner)} {at} {config.origin}")
                journal.note("ready", listen=at, origin=config.origin)
                told.ready(running.status)
            nursery.cancel_scope.cancel()
    finally:
        home.socket.unlink(missing_ok=True)


class _Doors:
    """The servers of a node: for this machine, for programs elsewhere, for everybody."""

    def __init__(self, home: Home, node: Node, running: Running, stop: trio.Event) -> None:
        self._node, self._proxies = node, running.proxies
        self._traffic = {name: Traffic() for name in ("public", "socket", "remote")}
        self._watched = Watched(traffic=self._traffic, process=SystemProcess(home.folder))
        self._serve = partial(_server, stop=stop, by=self._traffic)

    async def open(
        self,
        servers: trio.Nursery,
        local: trio.SocketListener,
        remote: Sequence[trio.SocketListener],
        public: Sequence[http1.Listener],
    ) -> None:
        """Everybody last: then all else answers already."""
        node, start, watched = self._node, partial(servers.start, self._serve), self._watched
        await start("socket", LocalApi(node, watched=watched), [local], _LOCAL)
        if remote:
            door = _door(node, node.core.config, watched)
            await start("remote", door, remote, _REMOTE)
        first, calm = node.gate.friends.knows, node.core.calm.wait
        face = PeerFace(node.peers, self._proxies, self._traffic["public"], first, calm)
        await start("public", face, public, _public_bounds(self._proxies))


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
