"""HTTP/1.1 on trio: h11 parses heads, this file sets the limits, any ASGI 3 application answers.

One connection is one task. What a client can make it wait for has a deadline, what it can
make it hold has a size. Where TLS is spoken, a handshake comes first; too slow: closed.

    waiting ──head──▶ answering ──answer──▶ waiting …
       │                  │
       ├ idle, evicted, stop: closed; head too slow: 408, closed
       └ not of our form: refused, lingering, closed
                          ├ body slower than the floor rate: 408, closed
                          ├ answer taken slower than that: closed
                          └ whole-request deadline: 503 when nothing was sent, closed

HTTP/1.0 (but to read: text browsers speak it), chunked requests and absolute targets are
refused. An `Upgrade` is not taken up,
as RFC 9110 §7.8 lets a server do: the request gets its HTTP/1.1 answer. Requests sent
ahead (pipelining) wait and are answered one after the other.
Who may connect is counted in `node.server.admission`; the calls are the application's.
"""

import logging
import math
import socket
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import h11
import trio

from node.asgi import App, ClientGone, Traffic
from node.ports import Clock, Response
from node.problems import problem
from node.server.admission import ConnectionCaps, ServerLimits
from node.server.cycle import CHUNK, Cycle, House, Line, seconds
from node.server.heads import END, Head
from node.server.listen import open_tcp, open_unix
from node.units import KIB

__all__ = ["ServerLimits", "open_tcp", "open_unix", "serve"]

log = logging.getLogger(__name__)

Listener: TypeAlias = trio.abc.Listener[trio.abc.Stream]

HEAD_CHUNK = 8 * KIB
"""Bytes read at once while a head is awaited; more is a body or a flood."""
LINGERED = 4
"""Chunks read away after a refusal, so that a small body does not reset our answer."""


async def serve(
    app: App,
    listeners: Sequence[Listener],
    limits: ServerLimits,
    *,
    clock: Clock | None = None,
    stop: trio.Event | None = None,
    traffic: Traffic | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answers requests on the listeners, which it closes in the end.

    Cancelling it ends everything at once. Setting `stop` ends it cleanly: it stops
    listening, closes idle connections, and gives running requests `limits.grace`.

    Args:
        app: any ASGI 3 application; only `http` scopes are opened, no lifespan.
        clock: for the Date field; none is sent without.
        traffic: where connections and failures are counted.
    """
    server = _Server(app, limits, clock, traffic or Traffic())
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as accepting:
            accepting.start_soon(
                partial(trio.serve_listeners, handler_nursery=connections),
                server.handle,
                list(listeners),
            )
            task_status.started()
            if stop is None:
                await trio.sleep_forever()
            else:
                await stop.wait()
            accepting.cancel_scope.cancel()
        server.wind_down()
        connections.cancel_scope.deadline = trio.current_time() + seconds(limits.grace)


class _Server(House):
    """The open connections of one `serve`, and who of them may stay."""

    def __init__(
        self, app: App, limits: ServerLimits, clock: Clock | None, traffic: Traffic
    ) -> None:
        super().__init__(app, limits, clock, traffic)
        self._caps = ConnectionCaps(limits.connections, limits.per_network, limits.proxies)
        # Those that wait for a head, oldest first; newcomers apart from those once answered.
        self.newcomers: dict[_Connection, None] = {}
        self.known: dict[_Connection, None] = {}

    async def handle(self, stream: trio.abc.Stream) -> None:
        """Serves one accepted connection to its end."""
        try:
            client = _peer(stream)
        except OSError:  # gone between accept and here
            await trio.aclose_forcefully(stream)
            return
        connection = _Connection(self, stream, client)
        if not self._admit(connection):
            # Closed without a word: an answer would cost us more than it costs a flooder.
            self.traffic.refused += 1
            await trio.aclose_forcefully(stream)
            return
        try:
            await connection.run()
        except Exception:
            # As with an application that fails (`Cycle`): whoever meets a bug of ours by what it
            # sends must not end the node with it.
            self.traffic.failed += 1
            log.exception("connection-failed")
        finally:
            self.release(connection)

    def wind_down(self) -> None:
        """Closes whoever waits; the others end with their running request."""
        self.stopping = True
        for connection in [*self.newcomers, *self.known]:
            connection.scope.cancel()

    def release(self, connection: "_Connection") -> None:
        """Gives the connection's place back, once."""
        if connection.admitted:
            connection.admitted = False
            self._caps.leave(connection.address)
            self.traffic.open = self._caps.open

    def _admit(self, connection: "_Connection") -> bool:
        # The network's own cap first: who has met it must not push others out.
        if self._caps.crowded(connection.address):
            return False
        if self._caps.full():
            self._evict()
        connection.admitted = self._caps.enter(connection.address)
        self.traffic.open = self._caps.open
        return connection.admitted

    def _evict(self) -> None:
        # Refusing the newest would let whoever came first keep everybody out by saying
        # nothing. The one that waited longest goes, those never answered before all others.
        oldest = next(iter(self.newcomers), None) or next(iter(self.known), None)
        if oldest is not None:
            oldest.scope.cancel()
            self.newcomers.pop(oldest, None)
            self.known.pop(oldest, None)
            self.release(oldest)


def _peer(stream: trio.abc.Stream) -> tuple[str, int] | None:
    """The client's address and port; None over a Unix socket, or a stream without a socket."""
    while isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if not isinstance(stream, trio.SocketStream) or stream.socket.family == socket.AF_UNIX:
        return None
    name = stream.socket.getpeername()
    return str(name[0]), int(name[1])


class _Connection(Line):
    """One client, from accept to close."""

    def __init__(
        self, server: _Server, stream: trio.abc.Stream, client: tuple[str, int] | None
    ) -> None:
        super().__init__(server, stream, client)
        self.address = client[0] if client else ""
        self.admitted = False
        self._server = server
        self._cycle: Cycle | None = None
        self._answered = self._unheard = False

    async def run(self) -> None:
        """Answers requests until one side has enough."""
        try:
            with self.scope:
                await self._shake_hands()
                while await self._one():
                    self._answered = True
                await self._linger()
            if self.scope.cancelled_caught:
                await self._overdue()
        except (trio.BrokenResourceError, ClientGone):
            pass  # they left: nobody to tell
        finally:
            # Shielded, or a TLS connection that is cancelled would never say goodbye.
            with trio.move_on_after(seconds(self.house.limits.linger), shield=True):
                await self.stream.aclose()

    async def _shake_hands(self) -> None:
        """TLS, where it is spoken: counted like one that waits, and no longer than its deadline."""
        if not isinstance(self.stream, trio.SSLStream):
            return
        self.scope.deadline = trio.current_time() + seconds(self.house.limits.handshake)
        self._server.newcomers[self] = None
        try:
            await self.stream.do_handshake()
        finally:
            self._server.newcomers.pop(self, None)

    async def _one(self) -> bool:
        """One request; True when the connection can take another."""
        self._cycle = None
        try:
            head = await self._head()
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            reason = "too-large" if status == 431 else "malformed"
            self._unheard = True
            await self._refuse(problem(status, str(error), reason))
            return False
        if head is None:
            return False
        cycle = self._cycle = Cycle(self, head)
        if head.refusal is not None:
            self._unheard = True
            await cycle.refuse(head.refusal)
            return False
        stays = await cycle.run()
        self._unheard = cycle.unread > 0
        if stays and cycle.told is not None and not head.length:
            self.house.repeats.note(head.raw, cycle.told)
        return stays

    async def _head(self) -> Head | None:
        """The next request; None when the connection ends here."""
        if self.house.stopping:
            return None
        self._wait()
        try:
            return await self._read_head()
        finally:
            self._go()

    def _wait(self) -> None:
        """From now on it is idle, and may be closed to make room."""
        queue = self._server.known if self._answered else self._server.newcomers
        self.scope.deadline = trio.current_time() + seconds(self.house.limits.idle)
        queue[self] = None

    def _go(self) -> None:
        self._server.known.pop(self, None)
        self._server.newcomers.pop(self, None)

    async def _read_head(self) -> Head | None:
        deadline, searched = math.inf, 0
        while (end := END.search(self.ahead, searched)) is None:
            searched = max(0, len(self.ahead) - 2)
            self._check_begun()
            if self.ahead and deadline == math.inf:
                deadline = trio.current_time() + seconds(self.house.limits.head)
                self.scope.deadline = min(self.scope.deadline, deadline)
            data = bytes(await self.stream.receive_some(HEAD_CHUNK))
            if not data:
                self._check_ended()
                return None
            self.ahead += data if self.ahead else await self._repeated(data)
        raw, self.ahead = self.ahead[: end.end()], self.ahead[end.end() :]
        return self.house.heads.read(raw)

    def _check_begun(self) -> None:
        """What came so far may be the beginning of a head."""
        if len(self.ahead) > self.house.limits.section:
            raise h11.RemoteProtocolError("This head is too long.", error_status_hint=431)
        if self.ahead and self.ahead[0] < 0x21:
            raise h11.RemoteProtocolError("This is no request.")

    def _check_ended(self) -> None:
        """They said that nothing follows: nor was anything begun."""
        if self.ahead:
            raise h11.RemoteProtocolError("The head ended early.")

    async def _repeated(self, data: bytes) -> bytes:
        """Answers the requests that came before, byte for byte; what is left to be parsed."""
        out, rest = self.house.repeats.answers(data, self.house.date())
        if out:
            self._go()
            self.scope.deadline = trio.current_time() + seconds(self.house.limits.slack)
            await self.stream.send_all(out)
            self._answered = True
            self._wait()
            if self.house.stopping:
                self.scope.cancel()  # as it is done with all that wait
        return rest

    async def _overdue(self) -> None:
        """A last word to who was too slow; none to who was merely idle, or had to make room."""
        if self._unheard:
            return  # who was refused has had the last word, and only lingered
        answer = self._cycle.overdue() if self._cycle else None
        if self._cycle is None and self.scope.deadline <= trio.current_time():
            begun = bool(self.ahead)
            answer = problem(408, "The head did not arrive in time.", "timeout") if begun else None
        if answer is not None:
            self._unheard = self._cycle is None or self._cycle.unread > 0
            with trio.move_on_after(seconds(self.house.limits.linger)):
                await self._refuse(answer)
                await self._linger()

    async def _refuse(self, answer: Response) -> None:
        await (self._cycle or Cycle(self, None)).refuse(answer)

    async def _linger(self) -> None:
        # Bytes that nobody reads turn our close into a reset, and the answer is lost.
        if not self._unheard:
            return
        self.scope.deadline = trio.current_time() + seconds(self.house.limits.linger)
        if isinstance(self.stream, trio.SocketStream):
            await self.stream.send_eof()
        for _ in range(LINGERED):
            if not await self.stream.receive_some(CHUNK):
                return
