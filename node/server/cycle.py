"""One HTTP request and its answer, between a connection and an ASGI application.

What the connection does before and after is in `node.server.http1`. Here are the deadlines
for body, answer and whole request, and what becomes of an application that fails.

A body has the length that its head declares (chunks are refused), an answer the one that it
declares itself; one without is sent in chunks (RFC 9112 §7.1), or ends with the connection where
HTTP/1.0 asked.
"""

import logging
import math
import re
from collections.abc import Iterable, Sequence
from email.utils import formatdate

import trio

from node.asgi import AGAIN, App, ClientGone, Message, Scope, Traffic, respond
from node.errors import WillcallError
from node.ports import Clock, Response
from node.problems import problem, problem_of
from node.server.admission import FOREVER, ServerLimits
from node.server.heads import Head, Heads, closes
from node.server.repeats import Repeats, Told
from node.units import KIB, SECOND

log = logging.getLogger(__name__)

CHUNK = 64 * KIB
"""Bytes read or written at once."""

GO_ON = b"HTTP/1.1 100 \r\n\r\n"
"""A client that asked first may send its body now (RFC 9110 §15.2.1)."""
BODILESS = (204, 304)
"""Statuses of answers without a body, whatever they declare (RFC 9112 §6.3)."""
_FRAMING = frozenset((b"connection", b"content-length", b"transfer-encoding"))
"""Fields of an answer that say how it is sent."""
_HEAD = re.compile(
    rb"HTTP/1\.1 [2-9][0-9][0-9] \r\n(?:[\w!#$%&'*+.^`|~-]++: [^\0\r\n]*+\r\n)*+\r\n", re.ASCII
)
"""A final answer and its fields (RFC 9112 §4, RFC 9110 §5.1, §5.5)."""


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
        self.heads = Heads(limits)
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
    """A client's connection: its bytes, and the one deadline that holds now.

    One cancel scope serves for all deadlines, one after the other: a scope for each step
    took a quarter of the time of a request.

    Attributes:
        ahead: bytes that came and were not used yet.
    """

    def __init__(
        self, house: House, stream: trio.abc.Stream, client: tuple[str, int] | None
    ) -> None:
        self.house = house
        self.stream = stream
        self.client = client
        self.ahead = b""
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
        head: None to answer what could not be read as a request.

    Attributes:
        unread: bytes of the body that did not come yet.
        told: an answer that may be told again to an equal request.
    """

    def __init__(self, line: Line, head: Head | None) -> None:
        self._line = line
        self._house = line.house
        self._head = head
        self.unread = head.length if head is not None else 0
        self._waits = head is not None and head.waits
        self._inward = Meter(line.house.limits)
        self._outward = Meter(line.house.limits)
        self._whole = math.inf
        self._start: Message | None = None
        self._started = self._told = self._gone = self._reading = self._done = False
        self._closing = head is None or not head.stays
        self._owed: int | None = 0
        self._chunked = False
        self.told: Told | None = None

    async def run(self) -> bool:
        """Lets the app answer; True when the connection can take another request."""
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
            # Here, and where a connection ends in `http1`, everything is caught: elsewhere an
            # unforeseen error ends the node, loudly; here it would let any request that meets a
            # bug end it. So it is loud in the log only, and the client learns nothing of it. When
            # the client is gone, whatever the app raises is how it noticed.
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
        if not self._done or self._closing:
            return False
        while self.unread > 0 and not self._gone:
            await self.receive()
        return not self._gone

    def _scope(self) -> Scope:
        head = self._head
        assert head is not None
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": head.method,
            "scheme": "https" if isinstance(self._line.stream, trio.SSLStream) else "http",
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.fields,
            "client": self._line.client,
            "server": None,
        }

    def _named(self) -> dict[str, dict[str, str]]:
        """The call, as facts for `node.journal`."""
        assert self._head is not None
        # Without the query, which may hold what is not for a log.
        path = self._head.raw_path[:200].decode("ascii")
        return {"facts": {"call": f"{self._head.method} {path}"}}

    # --- from the client --------------------------------------------------------------

    async def receive(self) -> Message:
        """ASGI: the parts of the body; after them it returns when the client has left."""
        if not self._gone and not self._told:
            data = await self._read_part() if self.unread else b""
            if data is not None:
                return self._part(data)
            self._gone = True
        if not self._gone:
            await self._until_gone()
        return {"type": "http.disconnect"}

    def _part(self, data: bytes) -> Message:
        self.unread -= len(data)
        self._told = self.unread == 0
        return {"type": "http.request", "body": data, "more_body": not self._told}

    async def _read_part(self) -> bytes | None:
        """Bytes of the body, as soon as there are any; None when their sender left."""
        line = self._line
        try:
            if not line.ahead:
                if self._waits:
                    self._waits = False  # at once: the app may stop waiting for the body
                    await self._write(GO_ON)
                await self._read()
        except trio.BrokenResourceError:
            return None
        self._waits = False
        data, line.ahead = line.ahead[: self.unread], line.ahead[self.unread :]
        return data or None

    async def _read(self) -> None:
        line, start = self._line, trio.current_time()
        self._reading = True
        line.scope.deadline = min(self._whole, self._inward.until(start, 0))
        line.ahead = bytes(await line.stream.receive_some(CHUNK))
        self._reading = False
        self._inward.spent(trio.current_time() - start, len(line.ahead))
        self._whole += len(line.ahead) / self._house.limits.rate
        line.scope.deadline = self._whole

    async def _until_gone(self) -> None:
        line = self._line
        try:
            # What was sent ahead waits here, but only so much of it.
            while len(line.ahead) <= CHUNK:
                data = bytes(await line.stream.receive_some(CHUNK))
                line.ahead += data
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
            RuntimeError: it is no answer, or a second one.
        """
        if self._gone:
            raise ClientGone("the client left")
        if message["type"] == "http.response.start":
            if self._started:
                raise RuntimeError("the answer has begun already")
            self._start = message
            return
        await self._body(message.get("body", b""), more=bool(message.get("more_body", False)))

    async def _body(self, data: bytes, *, more: bool) -> None:
        out = self._opening(len(data), more=more)
        if self._head is not None and self._head.method == "HEAD":
            data = b""
        self._count(len(data), more=more)
        # In slices, so that progress is seen, and a large answer is not copied as a whole.
        for at in range(0, len(data), CHUNK):
            out += self._framed(data[at : at + CHUNK])
            if at + CHUNK < len(data):
                await self._write(out)
                out = b""
        if not more and self._chunked:
            out += b"0\r\n\r\n"
        await self._write(out)
        self._done = not more
        if more:
            self._line.scope.deadline = self._whole

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _count(self, size: int, *, more: bool) -> None:
        """What was declared is sent: the next answer would begin in the middle of this one."""
        if self._owed is None:
            return
        self._owed -= size
        if self._owed < 0 or (self._owed and not more):
            self._owed = -1  # for good: parts of it, or its head, have not left
            raise RuntimeError("the body has not the length that was declared")

    def _opening(self, size: int, *, more: bool) -> bytes:
        """The head of the answer, when it has not left yet."""
        if self._start is None:
            if not self._started or self._done:
                raise RuntimeError("http.response.body has no http.response.start")
            return b""
        date, again = self._house.date(), self._start.get(AGAIN)
        out = self._printed(self._start, size, date, more=more)
        self._start, self._started = None, True
        if again is not None and not size and not more:
            before, _, after = out.partition(date) if date else (out, b"", b"")
            self.told = Told(before, after, again)
        return out

    def _printed(self, start: Message, size: int, date: bytes, *, more: bool) -> bytes:
        """The head of an answer; from now on it is known how its body is told apart."""
        status, fields = start["status"], list[tuple[bytes, bytes]]()
        length = self._take(start.get("headers", ()), fields)
        if length is None and not more and status not in BODILESS:
            length = b"%d" % size
            fields.append((b"content-length", length))
        self._frame(status, length, fields)
        if date:
            fields.append((b"date", date))
        self._closing = self._closing or self._last()
        if self._closing:
            fields.append((b"connection", b"close"))
        return printed(status, fields)

    def _take(
        self, said: Iterable[tuple[bytes, bytes]], fields: list[tuple[bytes, bytes]]
    ) -> bytes | None:
        """Takes over what an app may say; the length it declares."""
        length = None
        for field in said:
            name, value = field[0].lower(), field[1]
            if name not in _FRAMING:
                fields.append(field)
            elif name == b"connection":
                self._closing = self._closing or closes(value)
            elif name == b"content-length":
                if length is not None or not value.isdigit():
                    raise RuntimeError("the length of an answer is one number")
                length = value
                fields.append(field)
        return length

    def _frame(self, status: int, length: bytes | None, fields: list[tuple[bytes, bytes]]) -> None:
        old = self._head is None or self._head.old
        bodiless = status in BODILESS or (self._head is not None and self._head.method == "HEAD")
        if length is None and status not in BODILESS:
            self._closing = self._closing or old
            if not old:
                fields.append((b"transfer-encoding", b"chunked"))
        self._chunked = length is None and not old and not bodiless
        declared = None if length is None else int(length)
        self._owed = 0 if bodiless else declared

    def _last(self) -> bool:
        """Whether the connection ends with this answer."""
        return self._house.stopping or self.unread > self._house.limits.unread or self._waits

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


def printed(status: int, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer as it goes out.

    Raises:
        RuntimeError: it would not be read as it is meant: a field is none, or more than one.
    """
    lines = [b"%b: %b\r\n" % field for field in fields]
    made = b"HTTP/1.1 %d \r\n%b\r\n" % (status, b"".join(lines))
    if made.count(b"\n") != len(lines) + 2 or not _HEAD.fullmatch(made):
        raise RuntimeError("the head of an answer is malformed")
    return made
