"""What every inbound adapter shares: bounded bodies, answers.

The peer calls, the local API and the archive pages are plain ASGI 3 applications. This
file gives them one way to read a body (never more than they allow) and one way to send an
answer; how errors look is in `node.problems`. Which calls exist is theirs to say.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Self

from node.errors import Malformed, TooLarge
from node.ports import Response
from node.units import ByteCount

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-disposition", b"attachment"),
    (b"content-security-policy", b"sandbox"),
)
"""What a peer chose must never run in a browser under our name: not sniffed into HTML, not
shown in place, and without scripts, forms or origin when it is opened all the same."""

AGAIN = "willcall.again"
"""Where `respond` puts its `again`."""

LENGTH_DIGITS = 16
"""More digits than any length we take; also bounds the quadratic cost of `int`."""


class Traffic:
    """What a server has answered so far.

    Attributes:
        answers: how many, by method, route (never a path: it may name a message) and status.
        open: connections that are open now; refused: those that were closed unheard.
        failed: requests that met a bug.
    """

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str, int]] = Counter()
        self.open = 0
        self.refused = 0
        self.failed = 0


class ClientGone(OSError):
    """The client left before the answer was complete.

    ASGI asks for an OSError here. It is no WillcallError: nobody is left to read its text,
    so an application lets it pass and the server ends the connection quietly.
    """


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of one request header field; None when it is absent.

    Raises:
        Malformed: the field is there twice, so it has no one meaning.
    """
    found: list[bytes] = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise Malformed(f"The header field {name.decode('ascii', 'replace')} is there twice.")
    return found[0] if found else None


def content_length(scope: Scope) -> ByteCount:
    """The declared size of the body; 0 when none was declared, as RFC 9112 §6.3 reads it.

    Raises:
        Malformed: it is not a plain decimal number.
    """
    text = header(scope, b"content-length") or b"0"
    if not text.isdigit() or len(text) > LENGTH_DIGITS:
        raise Malformed("Content-Length is not a number.")
    return ByteCount(int(text))


class Body:
    """A request body as a stream of chunks, never longer than was declared or allowed.

    Args:
        limit: the largest declared size that is taken.

    Raises:
        TooLarge: the declared size is over `limit`; nothing was read.
        Malformed: the declared size is no number.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: ByteCount) -> None:
        self.size = content_length(scope)
        # Before a byte is read: declaring 2 GB costs nothing, so it may cost us nothing.
        if self.size > limit:
            raise TooLarge(f"{self.size} bytes; at most {limit} are taken here.")
        self._receive = receive
        self._left = int(self.size)
        self._done = False

    async def chunk(self) -> bytes | None:
        """The next bytes; None at the end.

        Raises:
            Malformed: the body is longer than declared, or its sender left in the middle.
        """
        while not self._done:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Malformed("The body ended early.", reason="disconnected")
            self._done = not message.get("more_body", False)
            data: bytes = message.get("body", b"")
            self._left -= len(data)
            if self._left < 0:
                raise TooLarge("The body is longer than its Content-Length.")
            if data:
                return data
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        # No generator: one that is dropped half-way would have to be closed by whoever held it.
        data = await self.chunk()
        if data is None:
            raise StopAsyncIteration
        return data


async def read_body(scope: Scope, receive: Receive, limit: ByteCount) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises:
        TooLarge: the declared size is over `limit`; nothing was read.
        Malformed: the size is no number, or the body ended early.
    """
    return b"".join([data async for data in Body(scope, receive, limit)])


async def respond(
    send: Send, response: Response, *, head: bool = False, again: Callable[[], bool] | None = None
) -> None:
    """Sends a whole answer with its length and the security headers.

    A header the answer carries itself wins over ours: an own page says
    `Content-Disposition: inline` and its own policy.

    Args:
        head: send the header section of the answer only (HEAD), its length included.
        again: says, and counts, whether an equal request may be told the same once more; only for
            answers without a body. An extension of ASGI that our server knows.
    """
    start: Message = {
        "type": "http.response.start",
        "status": response.status,
        "headers": _headers(response),
        AGAIN: again,
    }
    await send(start)
    await send({"type": "http.response.body", "body": b"" if head else response.body})


def _headers(response: Response) -> list[tuple[bytes, bytes]]:
    own = [
        (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.headers
    ]
    named = {name for name, _ in own}
    ours = [pair for pair in SECURITY_HEADERS if pair[0] not in named]
    if b"content-type" not in named and response.body:
        ours.append((b"content-type", response.content_type.encode("ascii")))
    # A 204 must not carry a length (RFC 9110 §8.6).
    if b"content-length" not in named and response.status not in (204, 304):
        ours.append((b"content-length", str(len(response.body)).encode("ascii")))
    return own + ours
