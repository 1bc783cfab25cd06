"""A running server for a test, and a client that writes any bytes it likes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11
import trio

from node.asgi import App, Message, Receive, Scope, Send, read_body
from node.server.http1 import ServerLimits, open_tcp, serve
from node.units import KIB, MIB, ByteCount, Instant, Millis

QUICK = ServerLimits(
    head=Millis(150),
    idle=Millis(300),
    request=Millis(600),
    slack=Millis(150),
    rate=ByteCount(4 * MIB),
    linger=Millis(150),
    grace=Millis(300),
)
"""The same rules with deadlines a test can wait for."""

PATIENT = ServerLimits()
"""Deadlines no test reaches."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Tick:
    def now(self) -> Instant:
        return Instant(784_111_777_000)

    def steady(self) -> Millis:
        return Millis(0)


@dataclass
class Echo:
    """Answers with what it got, and remembers it."""

    scopes: list[Scope] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    limit: ByteCount = ByteCount(64 * KIB)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body = await read_body(scope, receive, self.limit)
        self.bodies.append(body)
        await say(send, body or b"hello")


async def say(send: Send, body: bytes, status: int = 200) -> None:
    start: Message = {"type": "http.response.start", "status": status, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def running(
    app: App, limits: ServerLimits = PATIENT, stop: trio.Event | None = None
) -> AsyncIterator[int]:
    """The port of a server that runs as long as the block, ten seconds at most."""
    listeners = await open_tcp("127.0.0.1", 0)
    port = int(listeners[0].socket.getsockname()[1])
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[None]) -> None:
                await serve(
                    app, listeners, limits, clock=Tick(), stop=stop, task_status=task_status
                )

            await nursery.start(run)
            yield port
            nursery.cancel_scope.cancel()


async def dial(port: int, source: str = "127.0.0.1") -> trio.SocketStream:
    sock = trio.socket.socket()
    try:
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return trio.SocketStream(sock)


async def rest(stream: trio.SocketStream) -> bytes:
    """Everything up to the end; a reset is an end too."""
    found = b""
    try:
        async for chunk in stream:
            found += bytes(chunk)
    except trio.BrokenResourceError:
        pass
    return found


async def talk(port: int, data: bytes) -> bytes:
    """What the server says to these bytes until it closes the connection."""
    async with await dial(port) as stream:
        await stream.send_all(data)
        return await rest(stream)


async def asked(port: int, data: bytes) -> bytes:
    """What the server says to these bytes from a client that sends nothing more."""
    async with await dial(port) as stream:
        await stream.send_all(data)
        await stream.send_eof()
        return await rest(stream)


class Client:
    """An honest client on one connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.wire = h11.Connection(h11.CLIENT)

    async def ask(
        self, method: str = "GET", target: str = "/", body: bytes = b""
    ) -> tuple[h11.Response, bytes]:
        headers = [("Host", "a"), ("Content-Length", str(len(body)))]
        request = h11.Request(method=method, target=target, headers=headers)
        out = (self.wire.send(request) or b"") + (self.wire.send(h11.Data(data=body)) or b"")
        await self.stream.send_all(out + (self.wire.send(h11.EndOfMessage()) or b""))
        answer, found = await self._event(), b""
        assert isinstance(answer, h11.Response)
        while isinstance(event := await self._event(), h11.Data):
            found += event.data
        if self.wire.our_state is h11.DONE:
            self.wire.start_next_cycle()
        return answer, found

    async def _event(self) -> object:
        while (event := self.wire.next_event()) is h11.NEED_DATA:
            self.wire.receive_data(bytes(await self.stream.receive_some()))
        return event


def status(answer: bytes) -> int:
    """The status of the first answer; 0 when there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
