"""What a peer may answer, and what the client makes of it. On real sockets of loopback."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
import trio

from node.asgi import Receive, Scope, Send, read_body, respond
from node.client.guard import Allowed
from node.client.http import ClientLimits, HttpExchange
from node.errors import Malformed, Unreachable
from node.objects.record import Endpoint
from node.ports import DAG_CBOR, RAW, Request, Response
from node.server.http1 import ServerLimits, open_tcp, serve
from node.units import MIB, ByteCount, Millis

LIMIT = ByteCount(1000)
SOON = Millis(3000)
LOCAL = Allowed(loopback=True)
GET = Request(method="GET", path="/v1/blocks/bafy")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Peer:
    """A server that says what it is told to say."""

    answer: Callable[[trio.SocketStream, int], Awaitable[None]]
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            with suppress(trio.BrokenResourceError):
                await self.answer(stream, self.connections)

    async def heard(self, stream: trio.SocketStream) -> bool:
        """Takes one request without a body; False when the client left."""
        found = b""
        while not found.endswith(b"\r\n\r\n"):
            data = await stream.receive_some()
            if not data:
                return False
            found += bytes(data)
        self.requests.append(found)
        return True


@asynccontextmanager
async def at(handler: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """The origin of a server that runs as long as the block, ten seconds at most."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, handler, [listener])
            yield f"127.0.0.1:{listener.socket.getsockname()[1]}"
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(
    allowed: Allowed = LOCAL, limits: ClientLimits | None = None
) -> AsyncIterator[HttpExchange]:
    exchange = HttpExchange(allowed, limits=limits)
    try:
        yield exchange
    finally:
        await exchange.aclose()


async def said(data: bytes, *, limit: ByteCount = LIMIT, request: Request = GET) -> Response:
    """What the client makes of these bytes, after which the connection ends."""

    async def answer(stream: trio.SocketStream, number: int) -> None:
        await peer.heard(stream)
        await stream.send_all(data)

    peer = Peer(answer)
    async with at(peer.handle) as origin, client() as exchange:
        return await exchange.exchange(Endpoint(origin=origin), request, limit=limit, deadline=SOON)


async def refusal(data: bytes, *, limit: ByteCount = LIMIT) -> str:
    try:
        await said(data, limit=limit)
    except BaseExceptionGroup as group:
        _, rest = group.split(Unreachable)
        assert rest is None
        (error,) = leaves(group)
        return error.reason
    raise AssertionError("it was taken")


def leaves(group: BaseExceptionGroup[BaseException]) -> list[Unreachable]:
    found: list[Unreachable] = []
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            found += leaves(each)
        elif isinstance(each, Unreachable):
            found.append(each)
    return found


async def test_an_answer_comes_back_whole() -> None:
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nX: y\r\n"
    answer = await said(head + b"Content-Length: 2\r\n\r\n{}")
    assert (answer.status, answer.body) == (404, b"{}")
    assert answer.content_type == "application/problem+json"
    assert ("x", "y") in answer.headers


async def test_an_answer_may_be_chunked_or_end_with_the_connection() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    assert (await said(chunked)).body == b"ok"
    assert (await said(b"HTTP/1.1 200 OK\r\n\r\nok")).body == b"ok"


async def test_head_has_no_body_whatever_its_length() -> None:
    head = Request(method="HEAD", path="/v1/blocks/x")
    answer = await said(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", request=head)
    assert (answer.status, answer.body) == (200, b"")


LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001
REFUSED = {
    "declared too large": (LONG, "too-large-answer"),
    "absurdly declared": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "too-large-answer",
    ),
    "too large, chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001,
        "too-large-answer",
    ),
    "too large, without a length": (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001, "too-large-answer"),
    "cut off": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", "gone-away"),
    "cut off in a chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx",
        "gone-away",
    ),
    "cut off in the head": (b"HTTP/1.1 200 OK\r\nContent-", "gone-away"),
    "nothing": (b"", "gone-away"),
    "garbage": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "gone-away"),
    "a bad status line": (b"HTTP/1.1 2000 OK\r\n\r\n", "gone-away"),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "gone-away",
    ),
    "an endless head": (b"HTTP/1.1 200 OK\r\na: " + b"x" * 200_000, "gone-away"),
    "compressed": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        "compressed",
    ),
    "switching protocols": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "gone-away"),
    **{
        f"redirected {status}": (
            b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n" % status,
            "redirected",
        )
        for status in (300, 301, 302, 303, 307, 308)
    },
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_whole_answer(name: str) -> None:
    data, expected = REFUSED[name]
    assert await refusal(data) == expected


async def test_an_answer_of_the_limit_s_size_is_taken() -> None:
    assert len((await said(LONG.replace(b"1001", b"1000")[:-1])).body) == 1000


# --- time ---------------------------------------------------------------------------------


async def late(stream: trio.SocketStream, number: int) -> None:
    await stream.receive_some()
    await trio.sleep_forever()


async def dripping(stream: trio.SocketStream, number: int) -> None:
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    while True:
        await trio.sleep(0.02)  # the slowness is what is tested
        await stream.send_all(b"x")


async def dripping_head(stream: trio.SocketStream, number: int) -> None:
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        await trio.sleep(0.02)
        await stream.send_all(b"x")


async def informing(stream: trio.SocketStream, number: int) -> None:
    await stream.receive_some()
    while True:
        await trio.sleep(0.02)
        await stream.send_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")


@pytest.mark.parametrize("answer", [late, dripping, dripping_head, informing])
async def test_the_deadline_is_for_everything(
    answer: Callable[[trio.SocketStream, int], Awaitable[None]],
) -> None:
    async with at(Peer(answer).handle) as origin, client() as exchange:
        start = trio.current_time()
        with pytest.raises(Unreachable) as caught:
            await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=Millis(200))
        assert caught.value.reason == "timeout"
        assert trio.current_time() - start < 1


async def test_the_deadline_is_for_the_look_up_too() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await trio.sleep_forever()
        raise AssertionError

    exchange = HttpExchange(LOCAL, resolver=never)
    with pytest.raises(Unreachable) as caught:
        await exchange.exchange(
            Endpoint(origin="slow.example:443"), GET, limit=LIMIT, deadline=Millis(100)
        )
    assert caught.value.reason == "timeout"
    await exchange.aclose()


async def test_who_is_not_there_refuses() -> None:
    listeners = await open_tcp("127.0.0.1", 0)
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    async with client() as exchange:
        with pytest.raises(Unreachable) as caught:
            await exchange.exchange(
                Endpoint(origin=f"127.0.0.1:{port}"), GET, limit=LIMIT, deadline=SOON
            )
    assert caught.value.reason == "no-connection"


@pytest.mark.parametrize(
    ("origin", "allowed", "reason"),
    [
        ("127.0.0.1:4625", Allowed(), "guarded"),
        ("localhost:4625", Allowed(private=True), "guarded"),
        ("[::1]:4625", Allowed(), "guarded"),
        ("10.0.0.1:4625", LOCAL, "guarded"),
        ("169.254.169.254:80", Allowed(private=True), "guarded"),
        ("8.8.8.8:25", LOCAL, "guarded"),
        ("192.0.2.1:443", Allowed(loopback=True, private=True), "guarded"),
        ("no-such-host.invalid:443", Allowed(), "dns"),
    ],
)
async def test_the_guard_stands_before_every_connection(
    origin: str, allowed: Allowed, reason: str
) -> None:
    async with client(allowed) as exchange:
        with pytest.raises(Unreachable) as caught:
            await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON)
    assert caught.value.reason == reason


async def test_what_is_no_origin_is_malformed() -> None:
    async with client() as exchange:
        with pytest.raises(Malformed):
            await exchange.exchange(
                Endpoint(origin="evil@127.0.0.1:80"), GET, limit=LIMIT, deadline=SOON
            )


async def test_no_trust_no_connection() -> None:
    """A name (TLS by the roots) that leads to a server without any certificate we trust."""

    async def plain(stream: trio.SocketStream, number: int) -> None:
        await stream.receive_some()
        await stream.send_all(OK)

    async def here(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with at(Peer(plain).handle) as origin:
        exchange = HttpExchange(LOCAL, resolver=here)
        endpoint = Endpoint(origin=f"peer.example:{origin.rpartition(':')[2]}")
        with pytest.raises(Unreachable) as caught:
            await exchange.exchange(endpoint, GET, limit=LIMIT, deadline=SOON)
        assert caught.value.reason == "tls"
        assert exchange._contexts.roots().verify_mode is ssl.CERT_REQUIRED
        await exchange.aclose()


# --- connections --------------------------------------------------------------------------


async def test_a_stale_connection_is_replaced_unseen() -> None:
    """The server closes each connection after one answer, in the moment the next call comes."""

    async def once(stream: trio.SocketStream, number: int) -> None:
        await peer.heard(stream)
        await stream.send_all(OK)
        await peer.heard(stream)

    peer = Peer(once)
    async with at(peer.handle) as origin, client() as exchange:
        for _ in range(5):
            answer = await exchange.exchange(
                Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON
            )
            assert answer.body == b"ok"
    assert peer.connections == 5


async def test_a_peer_that_never_answers_is_asked_twice_only() -> None:
    async def never(stream: trio.SocketStream, number: int) -> None:
        await peer.heard(stream)

    peer = Peer(never)
    async with at(peer.handle) as origin, client() as exchange:
        with pytest.raises(Unreachable) as caught:
            await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON)
    assert caught.value.reason == "gone-away"
    assert peer.connections == 2


async def test_connections_are_kept_and_nothing_else() -> None:
    async def cookies(stream: trio.SocketStream, number: int) -> None:
        while await peer.heard(stream):
            await stream.send_all(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"))

    peer = Peer(cookies)
    async with at(peer.handle) as origin, client() as exchange:
        for _ in range(10):
            await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON)
    assert peer.connections == 1
    assert set(peer.requests) == {
        b"GET /v1/blocks/bafy HTTP/1.1\r\n"
        b"Host: %s\r\nUser-Agent: willcall\r\nAccept-Encoding: identity\r\n\r\n" % origin.encode()
    }


async def test_few_connections_and_few_peers_are_kept() -> None:
    async def slowly(stream: trio.SocketStream, number: int) -> None:
        while await peer.heard(stream):
            await trio.lowlevel.checkpoint()
            await stream.send_all(OK)

    peer = Peer(slowly)
    limits = ClientLimits(peers=2, connections=2)
    async with client(limits=limits) as exchange, at(peer.handle) as one:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(call, exchange, one)
        assert peer.connections <= 2
        async with at(peer.handle) as two, at(peer.handle) as three:
            for origin in (two, three, two, one):
                await call(exchange, origin)
            assert [each.origin for each in exchange._peers] == [two, one]


async def call(exchange: HttpExchange, origin: str) -> None:
    answer = await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON)
    assert answer.body == b"ok"


async def test_a_peer_that_is_let_go_finishes_what_runs() -> None:
    begun, go_on = trio.Event(), trio.Event()

    async def slowly(stream: trio.SocketStream, number: int) -> None:
        await peer.heard(stream)
        begun.set()
        await go_on.wait()
        await stream.send_all(OK)

    async def at_once(stream: trio.SocketStream, number: int) -> None:
        await other.heard(stream)
        await stream.send_all(OK)

    peer, other = Peer(slowly), Peer(at_once)
    limits = ClientLimits(peers=1)
    async with client(limits=limits) as exchange, at(peer.handle) as one, at(other.handle) as two:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, exchange, one)
            await begun.wait()
            await call(exchange, two)
            go_on.set()
        assert [each.origin for each in exchange._peers] == [two]


async def test_old_connections_are_let_go() -> None:
    async def always(stream: trio.SocketStream, number: int) -> None:
        while await peer.heard(stream):
            await stream.send_all(OK)

    peer = Peer(always)
    limits = ClientLimits(idle=Millis(0))
    async with client(limits=limits) as exchange, at(peer.handle) as one, at(peer.handle) as two:
        await call(exchange, one)
        await call(exchange, two)
        assert [each.origin for each in exchange._peers] == [two]


async def test_a_cancelled_call_leaves_the_pool_usable() -> None:
    async def mostly(stream: trio.SocketStream, number: int) -> None:
        while await peer.heard(stream):
            if len(peer.requests) > 4:
                await stream.send_all(OK)

    peer = Peer(mostly)
    limits = ClientLimits(connections=1)
    async with at(peer.handle) as origin, client(limits=limits) as exchange:
        for _ in range(4):
            with pytest.raises(Unreachable):
                await exchange.exchange(
                    Endpoint(origin=origin), GET, limit=LIMIT, deadline=Millis(50)
                )
        await call(exchange, origin)


# --- with our own server --------------------------------------------------------------------


async def test_client_and_server_understand_each_other() -> None:
    heard: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope)
        body = await read_body(scope, receive, ByteCount(2 * MIB))
        answer = Response(status=200, body=body or b"none", content_type=RAW)
        await respond(send, answer, head=scope["method"] == "HEAD")

    listeners = await open_tcp("127.0.0.1", 0)
    origin = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"
    async with client() as exchange, trio.open_nursery() as nursery:
        nursery.start_soon(serve, app, listeners, ServerLimits())
        for request, expected in (
            (Request(method="GET", path="/v1/owners/x", ticket=bytes(16)), b"none"),
            (Request(method="HEAD", path="/v1/blocks/x"), b""),
            (Request(method="POST", path="/v1/poll"), b"none"),
            (Request(method="PUT", path="/v1/records/x", body=b"x" * 300), b"x" * 300),
            (Request(method="POST", path="/v1/blocks", body=bytes(MIB)), bytes(MIB)),
        ):
            answer = await exchange.exchange(
                Endpoint(origin=origin), request, limit=ByteCount(MIB), deadline=SOON
            )
            assert (answer.status, answer.body, answer.content_type) == (200, expected, RAW)
        nursery.cancel_scope.cancel()
    first, _, post, put, _ = [dict(scope["headers"]) for scope in heard]
    assert first[b"authorization"] == b"Willcall " + b"A" * 22
    assert b"content-type" not in first
    assert post[b"content-length"] == b"0"
    assert put[b"content-type"] == DAG_CBOR.encode()
    assert len({scope["client"] for scope in heard}) == 1


async def test_a_name_that_is_no_a_label_ends_one_call_and_nothing_else() -> None:
    exchange = HttpExchange(Allowed(loopback=True))
    with pytest.raises(Unreachable) as caught:
        await exchange.exchange(
            Endpoint(origin="xn--0:443"),
            Request(method="GET", path="/v1/owners/x"),
            limit=ByteCount(100),
            deadline=Millis(1000),
        )
    assert caught.value.reason == "dns"


async def test_what_is_allowed_may_change_while_connections_are_open() -> None:
    async def answer(stream: trio.SocketStream, number: int) -> None:
        while await peer.heard(stream):
            await stream.send_all(OK)

    peer = Peer(answer)
    async with at(peer.handle) as origin, client() as exchange:
        for _ in range(2):
            await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON)
        await exchange.allow(Allowed(loopback=False))
        with pytest.raises(Unreachable) as caught:
            await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON)
        assert caught.value.reason == "guarded"
        await exchange.allow(LOCAL)
        await exchange.exchange(Endpoint(origin=origin), GET, limit=LIMIT, deadline=SOON)
