"""The HTTP client: carries one request to a peer and brings the whole answer back.

The only module that builds an HTTP client. A peer is not trusted with anything: not with
redirects, cookies, compression or declared sizes, and not with our time. Where it may
connect to is decided in `node.client.guard`, whose certificate is right in
`node.client.tls`; what is asked and believed is its callers'.

One small pool per peer, because a pool over many idle hosts slows down with each of them
(41 requests/s at 300). The transport is used without `httpx.AsyncClient`: what that adds
(cookies, redirects, environment, authentication) is what is not wanted here, and costs as
much again as the exchange itself.
"""

import ssl
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore
import httpx
import trio

from node.client.guard import AimedBackend, Allowed, GuardedBackend, Resolve, resolve
from node.client.tls import Contexts, TlsBackend, pin_of
from node.encoding import names, origin
from node.errors import Unreachable
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.units import SECOND, ByteCount, Millis

AGENT = "willcall"
"""Who calls. No version: it helps an attacker more than a peer, who reads the node document."""
CLOSING = 1.0
"""Seconds for a connection to say goodbye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """What the client keeps open."""

    peers: int = 256
    """Peers with a pool of their own; the one not called for longest goes."""
    connections: int = 4
    """Connections to one peer at once: two pickups, notifications, a poll."""
    idle_connections: int = 2
    """Connections to one peer that stay open between calls: 512 descriptors in all."""
    idle: Millis = Millis(45 * SECOND)
    """How long they stay: less than a server's 60 s, so that we close first."""


class _Transport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool that reaches the network through the guard.

    `super().__init__` is left out on purpose: it would load the system's roots for every
    peer (20 ms) and build a pool that is not guarded.
    """

    def __init__(
        self,
        limits: ClientLimits,
        backend: httpcore.AsyncNetworkBackend,
        context: ssl.SSLContext | None,
    ) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.connections,
            max_keepalive_connections=limits.idle_connections,
            keepalive_expiry=limits.idle / SECOND,
            http1=True,
            http2=False,
            retries=0,
            network_backend=backend,
        )


class _Peer:
    """One endpoint's pool, and how many exchanges use it."""

    def __init__(self, transport: _Transport) -> None:
        self.transport = transport
        self.using = 0
        self.dropped = False
        self.last = trio.current_time()


class _Stale(Exception):
    """The connection ended before the answer began. Never leaves this file."""


class HttpExchange:
    """Implements `ports.Exchange` over HTTP/1.1 and TLS.

    Args:
        allowed: where this node may connect to.
        resolver: gives the addresses of a name; the system's unless told otherwise.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        limits: ClientLimits | None = None,
        resolver: Resolve = resolve,
    ) -> None:
        self._limits = limits or ClientLimits()
        self._backend = GuardedBackend(allowed, resolver)
        self._peers: OrderedDict[Endpoint, _Peer] = OrderedDict()
        self._contexts = Contexts()

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        """One request and its whole answer. Safe to repeat, as all calls between nodes are.

        Args:
            limit: the most body bytes that are taken.
            deadline: milliseconds for everything: look-up, connection, TLS and answer.

        Raises:
            Unreachable: no whole answer came; `reason` is no-connection, timeout, dns,
                too-large-answer, redirected, compressed, gone-away, guarded, or one of
                `node.client.tls`: tls-pin, tls-expired, tls-early, tls-name, tls-untrusted, tls.
            Malformed: the endpoint's origin is none.
        """
        outgoing = _outgoing(endpoint, request)
        try:
            with trio.fail_after(deadline / SECOND):
                if request.only is not None:
                    backend = AimedBackend(self._backend, request.only)
                    return await self._alone(endpoint, outgoing, limit, backend, request.greeting)
                if request.greeting and not _is_plain(endpoint):
                    return await self._alone(endpoint, outgoing, limit, self._backend, True)
                return await self._twice(endpoint, outgoing, limit)
        except trio.TooSlowError as error:
            text = f"{endpoint.origin} did not answer in time."
            raise Unreachable(text, reason="timeout") from error

    async def allow(self, allowed: Allowed) -> None:
        """Connects to these places from now on; open connections end with their exchange."""
        self._backend.allowed = allowed
        for endpoint in list(self._peers):
            await self._drop(endpoint)

    async def aclose(self) -> None:
        """Closes all connections; running exchanges fail."""
        while self._peers:
            _, peer = self._peers.popitem()
            await _close(peer.transport)

    async def _alone(
        self,
        endpoint: Endpoint,
        outgoing: httpx.Request,
        limit: ByteCount,
        backend: httpcore.AsyncNetworkBackend,
        greeting: bool,
    ) -> Response:
        """The answer over a connection that is used for nothing else.

        Args:
            backend: the network.
            greeting: anybody may answer.
        """
        transport = self._transport(endpoint, backend, greeting=greeting)
        try:
            return await _carried(transport, endpoint, outgoing, limit)
        except _Stale as error:
            raise _gone(endpoint) from error
        finally:
            await _close(transport)

    async def _twice(
        self, endpoint: Endpoint, outgoing: httpx.Request, limit: ByteCount
    ) -> Response:
        try:
            return await self._once(endpoint, outgoing, limit)
        except _Stale:
            # Most likely the peer closed an idle connection while the request was under way.
            # All its other connections are as old, so the second try gets a new pool.
            await self._drop(endpoint)
        try:
            return await self._once(endpoint, outgoing, limit)
        except _Stale as error:
            raise _gone(endpoint) from error

    async def _once(
        self, endpoint: Endpoint, outgoing: httpx.Request, limit: ByteCount
    ) -> Response:
        peer = await self._peer(endpoint)
        peer.using += 1
        try:
            return await _carried(peer.transport, endpoint, outgoing, limit)
        finally:
            peer.using -= 1
            peer.last = trio.current_time()
            if peer.dropped and not peer.using:
                await _close(peer.transport)

    async def _peer(self, endpoint: Endpoint) -> _Peer:
        peer = self._peers.get(endpoint)
        if peer is None:
            peer = self._peers[endpoint] = _Peer(self._transport(endpoint, self._backend))
        self._peers.move_to_end(endpoint)
        # Before the first await of this exchange nobody else may drop it.
        peer.using += 1
        try:
            await self._tidy()
        finally:
            peer.using -= 1
        return peer

    async def _tidy(self) -> None:
        """Lets go of pools over the cap, and of those whose connections are all too old."""
        expired = trio.current_time() - self._limits.idle / SECOND
        while self._peers:
            endpoint, peer = next(iter(self._peers.items()))
            if len(self._peers) <= self._limits.peers and (peer.using or peer.last > expired):
                return
            await self._drop(endpoint)

    async def _drop(self, endpoint: Endpoint) -> None:
        peer = self._peers.pop(endpoint, None)
        if peer is None:
            return
        peer.dropped = True
        if not peer.using:
            await _close(peer.transport)

    def _transport(
        self,
        endpoint: Endpoint,
        backend: httpcore.AsyncNetworkBackend,
        *,
        greeting: bool = False,
    ) -> _Transport:
        if _is_plain(endpoint):
            return _Transport(self._limits, backend, None)
        pin = None if greeting else endpoint.pin
        anybody = greeting or pin is not None
        context = self._contexts.anybody() if anybody else self._contexts.roots()
        network = TlsBackend(backend, endpoint.origin, pin)
        return _Transport(self._limits, network, context)


async def _carried(
    transport: _Transport, endpoint: Endpoint, outgoing: httpx.Request, limit: ByteCount
) -> Response:
    with _translated(endpoint.origin, begun=False):
        incoming = await transport.handle_async_request(outgoing)
    try:
        with _translated(endpoint.origin, begun=True):
            return await _whole(endpoint.origin, outgoing.method, incoming, limit)
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):
            await incoming.aclose()


async def _close(transport: _Transport) -> None:
    # Shielded: a pool that is let go half-closed keeps its descriptors until the process ends.
    with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSING):
        await transport.aclose()


def _is_plain(endpoint: Endpoint) -> bool:
    # A record that carries a pin says TLS, wherever it points to.
    return origin.is_plain(endpoint.origin) and endpoint.pin is None


def _gone(endpoint: Endpoint) -> Unreachable:
    text = f"{endpoint.origin} closed the connection without an answer."
    return Unreachable(text, reason="gone-away")


def _outgoing(endpoint: Endpoint, request: Request) -> httpx.Request:
    host, port = origin.split(endpoint.origin)
    try:
        url = httpx.URL(
            scheme="http" if _is_plain(endpoint) else "https",
            host=host,
            port=port,
            raw_path=request.path.encode("ascii"),
        )
        _ = url.host  # httpx decodes A-labels where it needs the name: here, not later
    except (UnicodeError, httpx.InvalidURL) as error:
        # A peer chose this name: an A-label that is none must end one call, not the node.
        text = f"{endpoint.origin} is no name that can be looked up."
        raise Unreachable(text, reason="dns") from error
    # No compression: a bomb unpacks to a thousand times what was counted.
    headers = [("User-Agent", AGENT), ("Accept-Encoding", "identity")]
    if request.method in ("POST", "PUT"):
        headers.append(("Content-Type", request.content_type))
        headers.append(("Content-Length", str(len(request.body))))
    if request.ticket is not None:
        headers.append(("Authorization", f"Willcall {names.b64(request.ticket)}"))
    if request.reading:
        headers.append(("Authorization", f"Willcall {names.b64(request.reading)}"))
    if request.if_none_match:
        headers.append(("If-None-Match", request.if_none_match))
    if request.accept:
        headers.append(("Accept", request.accept))
    return httpx.Request(request.method, url, headers=headers, content=request.body or None)


async def _whole(where: str, method: str, incoming: httpx.Response, limit: ByteCount) -> Response:
    """The answer, when it is one we take."""
    status = incoming.status_code
    # 304 leads nowhere else; 1xx as a final answer is a change of protocol.
    if status < 200 or (300 <= status < 400 and status != 304):
        raise Unreachable(f"{where} points elsewhere ({status}).", reason="redirected")
    if incoming.headers.get("content-encoding", "identity") != "identity":
        raise Unreachable(f"{where} answered compressed, unasked.", reason="compressed")
    declared = incoming.headers.get("content-length", "0")
    if method != "HEAD" and int(declared) > limit:
        raise _too_large(where, limit)
    body = bytearray()
    # Cancelled, not left: httpx's generators have to be unwound from the innermost, or trio
    # finds them half-way when they are collected.
    with trio.CancelScope() as enough:
        async for chunk in incoming.aiter_raw():
            body += chunk
            if len(body) > limit:
                enough.cancel()
    if len(body) > limit:
        raise _too_large(where, limit)
    return Response(
        status=status,
        body=bytes(body),
        content_type=incoming.headers.get("content-type", ""),
        headers=tuple(incoming.headers.items()),
        pin=pin_of(incoming.extensions["network_stream"]),
    )


def _too_large(where: str, limit: ByteCount) -> Unreachable:
    text = f"The answer of {where} is larger than {limit} bytes."
    return Unreachable(text, reason="too-large-answer")


@contextmanager
def _translated(where: str, *, begun: bool) -> Iterator[None]:
    """Foreign exceptions as ours."""
    try:
        yield
    except (httpx.RemoteProtocolError, httpx.NetworkError) as error:
        if not begun:
            raise _Stale from error
        text = f"{where} ended the connection in the middle of its answer."
        raise Unreachable(text, reason="gone-away") from error
