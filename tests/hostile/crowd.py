"""Many clients at once, from many addresses of 127/8, that mean a node no good."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import trio

Act = Callable[[trio.SocketStream], Awaitable[None]]

EACH = 60
"""Connections of one address: below what a network may have."""


def address(number: int) -> str:
    """The address of client `number`; loopback addresses count for themselves alone."""
    number //= EACH
    return f"127.66.{number // 250}.{number % 250 + 1}"


@dataclass
class Crowd:
    """Clients of one port that do all the same, again and again.

    Attributes:
        count: how many they are.
        begun: connections that were made.
        there: set when there were as many as there are clients.
    """

    port: int
    act: Act
    count: int
    begun: int = 0
    there: trio.Event = field(default_factory=trio.Event)

    async def one(self, number: int, forever: bool) -> None:
        """Client `number`: connects, acts, and does it again where `forever`."""
        while True:
            with suppress(OSError, trio.BrokenResourceError):
                async with await dial(self.port, address(number)) as stream:
                    self.begun += 1
                    if self.begun == self.count:
                        self.there.set()
                    await self.act(stream)
            if not forever:
                return
            await trio.sleep(0.05)  # as fast as a flooder, not as fast as a loop


async def dial(port: int, source: str) -> trio.SocketStream:
    """A connection to 127.0.0.1 from another of its addresses."""
    with ExitStack() as unless_connected:
        sock = trio.socket.socket()
        unless_connected.callback(sock.close)
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", port))
        unless_connected.pop_all()
    return trio.SocketStream(sock)


@asynccontextmanager
async def crowd(port: int, count: int, act: Act, *, forever: bool = False) -> AsyncIterator[Crowd]:
    """So many clients, all of which have connected, as long as the block."""
    made = Crowd(port, act, count)
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(made.one, number, forever)
        await made.there.wait()
        yield made
        nursery.cancel_scope.cancel()


async def silent(stream: trio.SocketStream) -> None:
    """Says nothing until it is thrown out."""
    while await stream.receive_some(4096):
        pass


def dripping(start: bytes) -> Act:
    """Begins, and then sends a byte a second."""

    async def act(stream: trio.SocketStream) -> None:
        await stream.send_all(start)
        while True:
            await trio.sleep(1)
            await stream.send_all(b"x")

    return act


def saying(data: bytes) -> Act:
    """Sends all of it and reads what is answered."""

    async def act(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(data)
        await silent(stream)

    return act


def greedy(request: bytes, times: int) -> Act:
    """Asks many times and takes no answer."""

    async def act(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await stream.send_all(request * times)
        await trio.sleep_forever()

    return act
