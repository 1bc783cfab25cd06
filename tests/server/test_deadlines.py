"""Each deadline of a request by itself, in virtual time: none stands in for another."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair

from node.asgi import App, Receive, Scope, Send
from node.server.cycle import Meter
from node.server.http1 import ServerLimits, serve
from node.units import KIB, MIB, SECOND, ByteCount, Millis
from tests.server.web import GET, Echo, say

HOUR = Millis(3600 * SECOND)
Streams = tuple[trio.abc.Stream, trio.abc.Stream]


class Door(trio.abc.Listener[trio.abc.Stream]):
    """Where one client comes in, without a socket."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._coming = deque([stream])

    async def accept(self) -> trio.abc.Stream:
        if not self._coming:
            await trio.sleep_forever()
        return self._coming.popleft()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def served(app: App, limits: ServerLimits, pair: Streams) -> AsyncIterator[trio.abc.Stream]:
    """The client's end of a connection to a server that runs as long as the block."""
    ours, theirs = pair
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, app, [Door(theirs)], limits)
        yield ours
        nursery.cancel_scope.cancel()


async def heard(stream: trio.abc.Stream) -> tuple[bytes, float]:
    """All that is said until the end, and how long it took."""
    start, found = trio.current_time(), b""
    while data := await stream.receive_some(64 * KIB):
        found += bytes(data)
    return found, trio.current_time() - start


@pytest.mark.parametrize("seconds", [5, 20, 40, 59])
async def test_an_answer_has_the_time_of_a_request(autojump_clock: object, seconds: int) -> None:
    """Neither that of the head before it, nor that of an idle connection."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep(seconds)
        await say(send, b"late")

    limits = ServerLimits(head=Millis(2 * SECOND), idle=Millis(3 * SECOND))
    async with served(app, limits, memory_stream_pair()) as client:
        await client.send_all(GET)
        found, took = await heard(client)
    assert found.startswith(b"HTTP/1.1 200")
    assert took == pytest.approx(seconds + 3)  # then it is idle


async def test_no_answer_is_waited_for_longer(autojump_clock: object) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep_forever()

    limits = ServerLimits(idle=HOUR, head=HOUR)
    async with served(app, limits, memory_stream_pair()) as client:
        await client.send_all(GET)
        found, took = await heard(client)
    assert found.startswith(b"HTTP/1.1 503")
    assert took == pytest.approx(60)


async def test_an_answer_that_nobody_takes_is_given_up(autojump_clock: object) -> None:
    """After the slack and the time of one slice, however long a request may last."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began = trio.current_time()
        try:
            await say(send, bytes(4 * MIB))
        finally:
            ended.append(trio.current_time() - began)

    ended: list[float] = []
    limits = ServerLimits(request=HOUR, idle=HOUR, head=HOUR)
    async with served(app, limits, lockstep_stream_pair()) as client:
        await client.send_all(GET)
        await trio.sleep(600)
    assert ended == [pytest.approx(10 + 64 / 16, abs=0.1)]


async def test_a_body_that_stops_is_given_up(autojump_clock: object) -> None:
    limits = ServerLimits(request=HOUR, idle=HOUR, head=HOUR)
    async with served(Echo(), limits, memory_stream_pair()) as client:
        await client.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        found, took = await heard(client)
    assert found.startswith(b"HTTP/1.1 408")
    assert 10 <= took < 13


def test_time_that_was_saved_is_not_kept_and_time_overdrawn_is() -> None:
    meter = Meter(ServerLimits(slack=Millis(10 * SECOND), rate=ByteCount(1000)))
    assert meter.until(0, 0) == 10
    meter.spent(0, 50_000)  # 50 s of the floor rate in no time
    assert meter.until(0, 0) == 10
    meter.spent(4)
    assert meter.until(0, 0) == 6
    meter.spent(5, 1000)
    assert meter.until(7, 2000) == 7 + 4
    meter.spent(0)
    assert meter.until(0, 0) == 4
