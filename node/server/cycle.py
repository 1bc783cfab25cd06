"""One HTTP request and its answer, between h11 and an ASGI application.

What the connection does before and after is in `node.server.http1`. Here are the deadlines
for body, answer and whole request, and what becomes of an application that fails.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from urllib.parse import unquote

import h11
import trio

from node.asgi import App, ClientGone, Message, Scope, problem, problem_of, respond
from node.errors import WillcallError
from node.ports import Clock
from node.server.admission import FOREVER, ServerLimits
from node.units import KIB, SECOND

log = logging.getLogger(__name__)

CHUNK = 64 * KIB
"""Bytes read or written at once."""
BUG = "This node failed to answer; its owner can see why."


def seconds(length: int) -> float:
    """Milliseconds as trio counts; FOREVER is without end."""
    return math.inf if length >= FOREVER else length / 1000


class Late(Exception):
    """The other side was slower than the floor rate. Never leaves the server."""


class Meter:
    """Time spent waiting for bytes to move, against what they may take at the floor rate.

    The app's own pauses don't count, and no progress buys more than its rate: a client that
    takes one chunk just before each deadline is over after `slack` all the same.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._slack = seconds(limits.slack)
        self._rate = limits.rate
        self._moved = 0
        self._spent = 0.0

    @contextmanager
    def moving(self, count: int) -> Iterator[None]:
        """Bounds one transfer; `count` bytes are sure to move. Raises Late."""
        self._moved += count
        start = trio.current_time()
        left = self._slack + self._moved / self._rate - self._spent
        with trio.move_on_at(start + left) as scope:
            yield
        self._spent += trio.current_time() - start
        if scope.cancelled_caught:
            raise Late

    def moved(self, count: int) -> None:
        """Notes bytes whose number was not known before."""
        self._moved += count


class House:
    """What the connections of one server share."""

    def __init__(self, app: App, limits: ServerLimits, clock: Clock | None) -> None:
        self.app = app
        self.limits = limits
        self.stopping = False
        self._clock = clock
        self._date = (0, b"")

    def date(self) -> list[tuple[bytes, bytes]]:
        """The Date field, printed once a second; none without a clock."""
        if self._clock is None:
            return []
        second = self._clock.now() // SECOND
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode("ascii"))
        return [(b"date", self._date[1])]


class Cycle:
    """One request and its answer: the `receive` and `send` of ASGI.

    Args:
        client: the client's address and port; None over a Unix socket.
        request: None to answer what could not be read as a request.
    """

    def __init__(
        self,
        house: House,
        stream: trio.abc.Stream,
        wire: h11.Connection,
        client: tuple[str, int] | None,
        request: h11.Request | None,
    ) -> None:
        self._house = house
        self._stream = stream
        self._wire = wire
        self._client = client
        self._request = request
        self._left = _declared(request)
        self._inward = Meter(self._house.limits)
        self._outward = Meter(self._house.limits)
        self._scope = trio.CancelScope()
        self._start: Message | None = None
        self._started = self._complete = False
        self._told = self._gone = self._late = False
        self._ahead = 0

    async def run(self) -> bool:
        """Lets the app answer; True when the connection can take another request."""
        if self._left == 0:
            self._wire.next_event()  # the end of a request without a body
        self._scope.deadline = trio.current_time() + seconds(self._house.limits.request)
        with self._scope:
            await self._call()
        await self._make_up()
        return await self._reusable()

    async def _call(self) -> None:
        assert self._request is not None
        scope = self._described(self._request)
        try:
            await self._house.app(scope, self.receive, self.send)
        except WillcallError as error:
            answer = problem_of(error)
        except Exception:
            # The one place that catches everything: elsewhere an unforeseen error ends the
            # node, loudly; here it would let any request that meets a bug end it. So it is
            # loud in the log only, and the client learns nothing of it. When the client is
            # gone, whatever the app raises is how it noticed.
            if self._gone:
                return
            log.exception("%s failed", self._named())
            answer = problem(500, BUG, "bug")
        else:
            return
        if not self._started and not self._gone:
            await respond(self.send, answer)

    async def _make_up(self) -> None:
        """Answers for an app that was stopped, or said nothing."""
        if self._started or (self._gone and not self._late):
            return  # an answer cut off ends without its end, which tells the client
        if self._late:
            answer = problem(408, "The body did not arrive in time.", "timeout")
        elif self._scope.cancelled_caught:
            answer = problem(503, "The answer took too long.", "timeout")
        else:
            log.error("%s was not answered by the application", self._named())
            answer = problem(500, BUG, "bug")
        self._gone = False
        await respond(self.send, answer)

    async def _reusable(self) -> bool:
        while self._wire.our_state is h11.DONE and self._left > 0 and not self._gone:
            await self.receive()
        return (self._wire.our_state, self._wire.their_state) == (h11.DONE, h11.DONE)

    def _described(self, request: h11.Request) -> Scope:
        raw, _, query = bytes(request.target).partition(b"?")
        path = raw.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method.decode("ascii"),
            "scheme": "https" if isinstance(self._stream, trio.SSLStream) else "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": list(request.headers),
            "client": self._client,
            "server": None,
        }

    def _named(self) -> str:
        assert self._request is not None
        # Without the query, which may hold what is not for a log.
        path = self._request.target.partition(b"?")[0][:200]
        return f"{self._request.method.decode('ascii')} {path.decode('ascii')}"

    # --- from the client --------------------------------------------------------------

    async def receive(self) -> Message:
        """ASGI: the parts of the body; after them it returns when the client has left."""
        if not self._gone and not self._told:
            data = await self._read_part() if self._left else b""
            if data is not None:
                return self._part(data)
            self._gone = True
        if not self._gone:
            await self._until_gone()
        return {"type": "http.disconnect"}

    def _part(self, data: bytes) -> Message:
        self._left -= len(data)
        self._told = self._left == 0
        if data and self._told:
            self._wire.next_event()  # the end of the body, which h11 hands out apart
        return {"type": "http.request", "body": data, "more_body": not self._told}

    async def _read_part(self) -> bytes | None:
        """Bytes of the body, as soon as there are any; None when they don't come."""
        try:
            while (event := self._wire.next_event()) is h11.NEED_DATA:
                if self._wire.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self._write(self._wire.send(go_on) or b"")
                await self._read()
        except Late:
            self._late = True
            return None
        except (h11.RemoteProtocolError, trio.BrokenResourceError):
            return None  # they left in the middle
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _read(self) -> None:
        with self._inward.moving(0):
            data = await self._stream.receive_some(CHUNK)
        self._inward.moved(len(data))
        self._scope.deadline += len(data) / self._house.limits.rate
        self._wire.receive_data(bytes(data))

    async def _until_gone(self) -> None:
        try:
            # What was sent ahead waits in h11, but only so much of it.
            while self._ahead <= CHUNK:
                data = await self._stream.receive_some(CHUNK)
                self._wire.receive_data(bytes(data))
                self._ahead += len(data)
                if not data:
                    break
            else:
                await trio.sleep_forever()
        except trio.BrokenResourceError:
            pass
        self._gone = True

    # --- to the client ----------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """ASGI: the head of the answer, then its body.

        Raises:
            ClientGone: nobody takes it any more.
        """
        if self._gone:
            raise ClientGone("the client left")
        if message["type"] == "http.response.start":
            self._start = message
            return
        await self._body(message.get("body", b""), more=bool(message.get("more_body", False)))

    async def _body(self, data: bytes, *, more: bool) -> None:
        out = self._opening(len(data), more=more)
        if self._request is not None and self._request.method == b"HEAD":
            data = b""
        # In slices, so that progress is seen, and a large answer is not copied as a whole.
        for at in range(0, len(data), CHUNK):
            out += self._wire.send(h11.Data(data=data[at : at + CHUNK])) or b""
            if at + CHUNK < len(data):
                await self._write(out)
                out = b""
        if not more:
            out += self._wire.send(h11.EndOfMessage()) or b""
        await self._write(out)

    def _opening(self, size: int, *, more: bool) -> bytes:
        """The head of the answer, when it has not left yet."""
        if self._start is None:
            if not self._started:
                raise RuntimeError("http.response.body came before http.response.start")
            return b""
        fields = [*self._start.get("headers", ()), *self._house.date()]
        if not more and not any(name.lower() == b"content-length" for name, _ in fields):
            fields.append((b"content-length", str(size).encode("ascii")))
        if self._last():
            fields.append((b"connection", b"close"))
        event = h11.Response(status_code=self._start["status"], headers=fields)
        self._start, self._started = None, True
        return self._wire.send(event) or b""

    def _last(self) -> bool:
        """Whether the connection ends with this answer."""
        unread = self._left > self._house.limits.unread
        unsent = self._wire.they_are_waiting_for_100_continue
        return self._house.stopping or self._request is None or self._late or unread or unsent

    async def _write(self, data: bytes) -> None:
        try:
            with self._outward.moving(len(data)):
                await self._stream.send_all(data)
        except (Late, trio.BrokenResourceError) as error:
            self._gone = True
            raise ClientGone("the client left, or reads too slowly") from error
        self._scope.deadline += len(data) / self._house.limits.rate


def _declared(request: h11.Request | None) -> int:
    # h11 has checked the number, and that there is only one.
    fields = request.headers if request is not None else ()
    return next((int(value) for name, value in fields if name == b"content-length"), 0)
