"""One HTTP request and its answer, between h11 and an ASGI application.

What the connection does before and after is in `node.server.http1`. Here are the deadlines
for body, answer and whole request, and what becomes of an application that fails.
"""

import logging
import math
from email.utils import formatdate
from urllib.parse import unquote

import h11
import trio

from node.asgi import AGAIN, App, ClientGone, Message, Scope, Traffic, respond
from node.errors import WillcallError
from node.ports import Clock, Response
from node.problems import problem, problem_of
from node.server.admission import FOREVER, ServerLimits
from node.server.repeats import Repeats, Told
from node.units import KIB, SECOND

log = logging.getLogger(__name__)

CHUNK = 64 * KIB
"""Bytes read or written at once."""

Fields = list[tuple[bytes, bytes]]


def seconds(length: int) -> float:
    """Milliseconds as trio counts; FOREVER is without end."""
    return math.inf if length >= FOREVER else length / SECOND


class House:
    """What the connections of one server share."""

    def __init__(
        self, app: App, limits: ServerLimits, clock: Clock | None, traffic: Traffic
    ) -> None:
        self.app = app
        self.traffic = traffic
        self.limits = limits
        self.stopping = False
        self.repeats = Repeats()
        self._clock = clock
        self._date = (0, b"")

    def date(self) -> bytes:
        """What the field Date says, printed once a second; nothing without a clock."""
        if self._clock is None:
            return b""
        second = self._clock.now() // SECOND
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode("ascii"))
        return self._date[1]


class Line:
    """A client's connection: its bytes, its HTTP state, and the one deadline that holds now.

    One cancel scope serves for all deadlines, one after the other: a scope for each step
    took a quarter of the time of a request.
    """

    def __init__(
        self, house: House, stream: trio.abc.Stream, client: tuple[str, int] | None
    ) -> None:
        self.house = house
        self.stream = stream
        self.client = client
        limit = int(house.limits.section)
        self.wire = h11.Connection(h11.SERVER, max_incomplete_event_size=limit)
        self.scope = trio.CancelScope()


class Meter:
    """Time that moving bytes may take: `slack`, and the floor rate for each of them.

    The app's own pauses don't count. Time saved is not kept (or a client that took the
    first megabytes fast could then stall for minutes), time overdrawn is: one that takes a
    chunk just before each deadline is soon over.
    """

    def __init__(self, limits: ServerLimits) -> None:
        self._left = self._slack = seconds(limits.slack)
        self._rate = limits.rate

    def until(self, start: float, count: int) -> float:
        """When a transfer that starts now has to be over; `count` bytes are sure to move."""
        self._left += count / self._rate
        return start + self._left

    def spent(self, length: float, count: int = 0) -> None:
        """Notes how long it took, and bytes whose number was not known before."""
        self._left = min(self._slack, self._left + count / self._rate - length)


class Cycle:
    """One request and its answer: the `receive` and `send` of ASGI.

    Args:
        request: None to answer what could not be read as a request.
        fields: the request's header fields.

    Attributes:
        told: an answer that may be told again to an equal request.
    """

    def __init__(self, line: Line, request: h11.Request | None, fields: Fields) -> None:
        self._line = line
        self._house = line.house
        self._wire = line.wire
        self._request = request
        self._fields = fields
        # h11 has checked the number, and that there is only one.
        self._left = next((int(value) for name, value in fields if name == b"content-length"), 0)
        self._inward = Meter(line.house.limits)
        self._outward = Meter(line.house.limits)
        self._whole = math.inf
        self._start: Message | None = None
        self._started = self._told = self._gone = self._reading = False
        self._closing = request is None
        self._ahead = 0
        self.told: Told | None = None

    async def run(self) -> bool:
        """Lets the app answer; True when the connection can take another request."""
        if self._left == 0:
            self._wire.next_event()  # the end of a request without a body
        self._whole = trio.current_time() + seconds(self._house.limits.request)
        self._line.scope.deadline = self._whole
        answer = await self._call()
        if answer is not None and not self._started and not self._gone:
            await respond(self.send, answer)
        return await self._reusable()

    async def refuse(self, answer: Response) -> None:
        """Sends this answer in place of the app's; the connection ends with it."""
        self._closing = True
        self._start = None
        await respond(self.send, answer)

    def overdue(self) -> Response | None:
        """What to say after the line's deadline ended this cycle; None in mid-answer."""
        if self._started or self._gone:
            return None
        if self._reading:
            return problem(408, "The body did not arrive in time.", "timeout")
        return problem(503, "The answer took too long.", "timeout")

    async def _call(self) -> Response | None:
        """The answer that the app left to us, if it did."""
        try:
            await self._house.app(self._scope(), self.receive, self.send)
        except WillcallError as error:
            return problem_of(error)
        except Exception:
            # The one place that catches everything: elsewhere an unforeseen error ends the
            # node, loudly; here it would let any request that meets a bug end it. So it is
            # loud in the log only, and the client learns nothing of it. When the client is
            # gone, whatever the app raises is how it noticed.
            if self._gone:
                return None
            self._house.traffic.failed += 1
            log.exception("request-failed", extra=self._named())
        except BaseExceptionGroup as group:
            # It failed while its time ran out. The failure must not leave with the
            # cancellation, which is ours to pass on.
            cancelled, failed = group.split(trio.Cancelled)
            if cancelled is None or not isinstance(failed, ExceptionGroup):
                raise
            self._house.traffic.failed += 1
            log.error("request-failed", extra=self._named(), exc_info=failed)
            raise cancelled from None
        else:
            if self._started or self._gone:
                return None
            self._house.traffic.failed += 1
            log.error("request-unanswered", extra=self._named())
        return problem(500, "This node failed to answer; its owner can see why.", "bug")

    async def _reusable(self) -> bool:
        while self._wire.our_state is h11.DONE and self._left > 0 and not self._gone:
            await self.receive()
        return (self._wire.our_state, self._wire.their_state) == (h11.DONE, h11.DONE)

    def _scope(self) -> Scope:
        assert self._request is not None
        raw, _, query = bytes(self._request.target).partition(b"?")
        path = raw.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self._request.method.decode("ascii"),
            "scheme": "https" if isinstance(self._line.stream, trio.SSLStream) else "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": self._fields,
            "client": self._line.client,
            "server": None,
        }

    def _named(self) -> dict[str, dict[str, str]]:
        """The call, as facts for `node.journal`."""
        assert self._request is not None
        # Without the query, which may hold what is not for a log.
        path = self._request.target.partition(b"?")[0][:200]
        return {"facts": {"call": f"{self._request.method.decode('ascii')} {path.decode('ascii')}"}}

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
        """Bytes of the body, as soon as there are any; None when their sender left."""
        try:
            while (event := self._wire.next_event()) is h11.NEED_DATA:
                if self._wire.they_are_waiting_for_100_continue:
                    go_on = h11.InformationalResponse(status_code=100, headers=[])
                    await self._write(self._wire.send(go_on) or b"")
                await self._read()
        except (h11.RemoteProtocolError, trio.BrokenResourceError):
            return None
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _read(self) -> None:
        line, start = self._line, trio.current_time()
        self._reading = True
        line.scope.deadline = min(self._whole, self._inward.until(start, 0))
        data = await line.stream.receive_some(CHUNK)
        self._reading = False
        self._inward.spent(trio.current_time() - start, len(data))
        self._whole += len(data) / self._house.limits.rate
        line.scope.deadline = self._whole
        self._wire.receive_data(bytes(data))

    async def _until_gone(self) -> None:
        try:
            # What was sent ahead waits in h11, but only so much of it.
            while self._ahead <= CHUNK:
                data = await self._line.stream.receive_some(CHUNK)
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
        if more:
            self._line.scope.deadline = self._whole

    def _opening(self, size: int, *, more: bool) -> bytes:
        """The head of the answer, when it has not left yet."""
        if self._start is None:
            if not self._started:
                raise RuntimeError("http.response.body came before http.response.start")
            return b""
        date, again = self._house.date(), self._start.get(AGAIN)
        fields = [*self._start.get("headers", ())]
        if date:
            fields.append((b"date", date))
        if not more and not any(name.lower() == b"content-length" for name, _ in fields):
            fields.append((b"content-length", str(size).encode("ascii")))
        if self._last():
            fields.append((b"connection", b"close"))
        event = h11.Response(status_code=self._start["status"], headers=fields)
        self._start, self._started = None, True
        out = self._wire.send(event) or b""
        if again is not None and not size and not more:
            before, _, after = out.partition(date) if date else (out, b"", b"")
            self.told = Told(before, after, again)
        return out

    def _last(self) -> bool:
        """Whether the connection ends with this answer."""
        unread = self._left > self._house.limits.unread
        unsent = self._wire.they_are_waiting_for_100_continue
        return self._house.stopping or self._closing or unread or unsent

    async def _write(self, data: bytes) -> None:
        line, start = self._line, trio.current_time()
        line.scope.deadline = min(self._whole, self._outward.until(start, len(data)))
        try:
            await line.stream.send_all(data)
        except trio.BrokenResourceError as error:
            self._gone = True
            raise ClientGone("the client left") from error
        self._outward.spent(trio.current_time() - start)
        self._whole += len(data) / self._house.limits.rate
