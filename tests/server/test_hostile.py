"""What clients do that mean us no good, or know no better."""

import re
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio

from node.asgi import Receive, Scope, Send
from node.server.http1 import ServerLimits
from node.units import MIB, SECOND, ByteCount, Millis
from tests.server.web import (
    GET,
    PATIENT,
    QUICK,
    Client,
    Echo,
    dial,
    rest,
    running,
    say,
    status,
    talk,
)

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"

REFUSED = {
    "two lengths of two kinds": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
    "a list of lengths": (POST + b"Content-Length: 5, 6\r\n\r\nabcdef", 400),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "a length with a sign": (POST + b"Content-Length: +5\r\n\r\nabcde", 400),
    "a hex length": (POST + b"Content-Length: 0x5\r\n\r\nabcde", 400),
    "a length of a thousand digits": (POST + b"Content-Length: " + b"9" * 1000 + b"\r\n\r\n", 400),
    "chunked": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 411),
    "chunked in other words": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 501),
    "2 GB declared": (POST + b"Content-Length: 2147483648\r\n\r\n", 413),
    "2 GB declared and begun": (POST + b"Content-Length: 2147483648\r\n\r\n" + b"x" * 50_000, 413),
    "3,000 fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 3000 + b"\r\n", 431),
    "65 fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 64 + b"\r\n", 431),
    "one long field": (b"GET / HTTP/1.1\r\nHost: a\r\nb: " + b"x" * 17_000 + b"\r\n\r\n", 431),
    "a section without end": (b"GET / HTTP/1.1\r\nHost: a\r\nb: " + b"x" * 40_000, 431),
    "a huge target": (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a target without end": (b"GET /" + b"x" * 40_000, 431),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\n\r\n", 505),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, 400),
    "a method with a space": (b"GE T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a method of no token": (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an absolute target": (b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", 400),
    "a target with a space": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a target of other bytes": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a NUL in a field": (b"GET / HTTP/1.1\r\nHost: a\r\nb: c\x00d\r\n\r\n", 400),
    "a field without a name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "a blank before the colon": (POST + b"Content-Length : 5\r\n\r\nabcde", 400),
    "a bare CR": (b"GET / HTTP/1.1\r\nHost: a\r\nb: c\rd: e\r\n\r\n", 400),
    "folded lines first": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_not_of_our_form_is_refused(name: str) -> None:
    data, expected = REFUSED[name]
    echo = Echo()
    async with running(echo) as port, await dial(port) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(pour, stream, data)
        answer = await rest(stream)
    assert status(answer) == expected, answer
    assert b"\r\nconnection: close\r\n" in answer.lower()
    assert b'"reason": ' in answer
    if expected == 431:
        assert b'"reason": "too-large"' in answer
    # Nothing that follows a refused request may be read as another one.
    assert len(re.findall(rb"HTTP/1.1 \d", answer)) == 1
    assert echo.bodies == []


async def pour(stream: trio.SocketStream, data: bytes) -> None:
    """Sends what the other side takes, and says that this was all."""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(data)
        await stream.send_eof()


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"\0" + GET,
        GET + b"\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n" + GET,
        b"HEAD / HTTP/1.1\nHost: a\r\n\r\n" + GET,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000,
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + GET,
        POST + b"Content-Length: 90000\r\n\r\n" + GET,
    ],
)
async def test_who_was_refused_and_stays_hears_one_answer_and_ends_nothing(data: bytes) -> None:
    async with running(Echo(), QUICK) as port:
        async with await dial(port) as stream:
            await stream.send_all(data)
            await trio.sleep((QUICK.idle + QUICK.linger * 2) / SECOND)
            heard = await rest(stream)
        assert heard.count(b"HTTP/1.1 4") == 1
        assert status(await talk(port, GET.replace(b"\r\n\r\n", CLOSE))) == 200


@pytest.mark.parametrize("method", [b"BREW", b"OPTIONS", b"TRACE", b"get", b"X" * 200])
async def test_odd_methods_are_the_application_s_to_refuse(method: bytes) -> None:
    echo = Echo()
    async with running(echo) as port:
        answer = await talk(port, GET.replace(b"GET", method).replace(b"\r\n\r\n", CLOSE))
    assert status(answer) == 200
    assert echo.scopes[0]["method"].encode() == method


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_refused_head_gets_no_body(version: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep_forever()

    async with running(app, QUICK) as port:
        answer = await talk(port, b"HEAD / HTTP/%s\r\nHost: a\r\n\r\n" % version)
    assert status(answer) in (503, 505)
    assert answer.endswith(b"\r\n\r\n")


async def test_an_app_that_fails_while_its_time_runs_out_ends_nothing() -> None:
    async def fail() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the clean-up")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(trio.sleep_forever)

    async with running(app, QUICK) as port:
        for _ in range(2):
            assert status(await talk(port, GET)) in (500, 503)


CLOSE = b"\r\nConnection: close\r\n\r\n"


# --- slow clients ---------------------------------------------------------------------------


async def drip(port: int, start: bytes, more: bytes) -> bytes:
    """What the server says to a client that sends a byte now and then."""
    async with await dial(port) as stream, trio.open_nursery() as nursery:

        async def dripping() -> None:
            await stream.send_all(start)
            for at in range(len(more)):
                await trio.sleep(0.02)  # the slowness is what is tested
                await stream.send_all(more[at : at + 1])

        async def quietly() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await dripping()

        nursery.start_soon(quietly)
        answer = await rest(stream)
        nursery.cancel_scope.cancel()
    return answer


async def test_a_head_that_drips_is_cut_off() -> None:
    async with running(Echo(), QUICK) as port:
        answer = await drip(port, b"GET / HTTP/1.1\r\nHost: a\r\nb: ", b"x" * 400)
    assert status(answer) == 408


async def test_a_head_that_stops_is_cut_off() -> None:
    async with running(Echo(), QUICK) as port:
        assert status(await talk(port, b"GET / HTTP/1.1\r\n")) == 408


async def test_a_client_that_says_nothing_is_cut_off() -> None:
    async with running(Echo(), QUICK) as port:
        assert await talk(port, b"") == b""


async def test_an_idle_connection_is_closed() -> None:
    async with running(Echo(), QUICK) as port, await dial(port) as stream:
        await Client(stream).ask()
        assert await rest(stream) == b""


@pytest.mark.parametrize("declared", [400, 60_000])
async def test_a_body_that_drips_is_cut_off_however_large_it_is_declared(declared: int) -> None:
    echo = Echo()
    # The floor is above the drip's 50 bytes/s.
    limits = type(QUICK)(
        head=QUICK.head, slack=Millis(150), rate=ByteCount(1000), linger=Millis(100)
    )
    async with running(echo, limits) as port:
        answer = await drip(port, POST + b"Content-Length: %d\r\n\r\n" % declared, b"x" * 400)
    assert status(answer) == 408
    assert echo.bodies == []


async def test_a_body_above_the_floor_rate_takes_its_time() -> None:
    limits = type(QUICK)(slack=Millis(100), rate=ByteCount(20), linger=Millis(100))
    echo = Echo()
    async with running(echo, limits) as port:
        # 0.3 s, three times the slack, at 50 bytes/s.
        answer = await drip(
            port, POST + b"Content-Length: 15\r\nConnection: close\r\n\r\n", b"x" * 15
        )
    assert status(answer) == 200
    assert echo.bodies == [b"x" * 15]


@pytest.mark.parametrize("reads", [0, 1])
async def test_an_answer_that_is_not_read_is_given_up(reads: int) -> None:
    given_up = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await say(send, bytes(64 * MIB))
        finally:
            given_up.set()

    async with running(app, QUICK) as port, await dial(port) as stream:
        await stream.send_all(GET)
        with trio.move_on_after(5):
            while not given_up.is_set():
                await trio.sleep(0.05)  # a reader of 20 bytes/s
                if reads:
                    await stream.receive_some(reads)
        assert given_up.is_set()
        assert len(await rest(stream)) < 64 * MIB


async def test_a_flood_of_requests_that_reads_nothing_is_given_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, bytes(100_000))

    async with running(app, QUICK) as port, await dial(port) as stream:
        with suppress(trio.BrokenResourceError):
            while True:  # ends when the server does not take it any more, or with the test's time
                await stream.send_all(GET * 1000)


# --- many connections -----------------------------------------------------------------------


async def test_one_address_has_so_many_connections_and_others_have_theirs() -> None:
    limits = ServerLimits(per_network=3)
    async with running(Echo(), limits) as port, trio.open_nursery() as nursery:
        streams = [await dial(port) for _ in range(3)]
        for stream in streams:
            await Client(stream).ask()
        async with await dial(port) as fourth:
            assert await rest(fourth) == b""
        async with await dial(port, "127.0.0.2") as other:
            assert (await Client(other).ask())[1] == b"hello"
        await streams[0].aclose()
        await until(nursery, lambda: works(port))
        for stream in streams:
            await stream.aclose()


async def works(port: int, source: str = "127.0.0.1") -> bool:
    try:
        async with await dial(port, source) as stream:
            return (await Client(stream).ask())[1] == b"hello"
    except (OSError, trio.BrokenResourceError, AssertionError):
        return False


async def until(nursery: trio.Nursery, holds: Callable[[], object]) -> None:
    """Waits for what the other side of a socket has to see first."""
    with trio.fail_after(3):
        while not await holds():  # type: ignore[misc]
            await trio.lowlevel.checkpoint()


async def test_when_all_places_are_taken_silent_ones_make_room() -> None:
    limits = ServerLimits(connections=4)
    async with running(Echo(), limits) as port, await dial(port) as kept:
        client = Client(kept)
        await client.ask()
        silent = [await dial(port, f"127.0.0.{number}") for number in range(2, 5)]
        for number in range(5, 25):
            assert await works(port, f"127.0.0.{number}")
        # The first to go were those that never asked anything, oldest first.
        assert await rest(silent[0]) == b""
        assert (await client.ask())[1] == b"hello"
        for stream in silent:
            await stream.aclose()


async def test_when_all_places_are_busy_newcomers_are_closed_at_once() -> None:
    begun, go_on = [trio.Event() for _ in range(2)], trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun[int(scope["path"][1:])].set()
        await go_on.wait()
        await say(send, b"hello")

    limits = ServerLimits(connections=2)
    async with running(app, limits) as port, trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(talk, port, GET.replace(b"/ ", b"/%d " % number, 1))
            await begun[number].wait()
        assert await talk(port, b"") == b""
        go_on.set()
        nursery.cancel_scope.cancel()


async def test_five_hundred_silent_connections_do_not_disturb_a_good_client() -> None:
    async with running(Echo(), PATIENT) as port, await dial(port) as stream:
        silent = [await dial(port, f"127.0.1.{number % 250 + 1}") for number in range(500)]
        client = Client(stream)
        for _ in range(50):
            with trio.fail_after(1):
                assert (await client.ask())[1] == b"hello"
        assert await works(port)
        for each in silent:
            each.socket.close()
