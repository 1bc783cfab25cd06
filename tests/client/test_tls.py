"""Whose certificate is right, and what is said when it is not. Against our own server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from node.asgi import App
from node.client.guard import Allowed
from node.client.http import HttpExchange
from node.crypto import spki
from node.errors import Unreachable
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.server.http1 import ServerLimits, open_tcp, serve
from node.server.tls import Tls, TlsListener
from node.system import SystemClock
from node.units import ByteCount, Millis
from tests.server.certificates import DAY, Authority, Files, der_of
from tests.server.web import Echo

HOST = "peer.example"
NOBODY = bytes(32)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The same, and this system's roots know it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


class Shown(Tls):
    """A certificate that is shown without having been tried, as a careless server would."""

    def __init__(self, files: Files) -> None:
        super().__init__(files.certificate, files.key, HOST, own=False)
        self.context = files.context()


@asynccontextmanager
async def listening(tls: Tls, app: App) -> AsyncIterator[int]:
    plain = await open_tcp("127.0.0.1", 0)
    listeners = [TlsListener(each, tls) for each in plain]
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, app, listeners, ServerLimits())
            yield int(plain[0].socket.getsockname()[1])
            nursery.cancel_scope.cancel()


async def here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@asynccontextmanager
async def client() -> AsyncIterator[HttpExchange]:
    exchange = HttpExchange(Allowed(loopback=True), resolver=here)
    try:
        yield exchange
    finally:
        await exchange.aclose()


async def call(
    exchange: HttpExchange,
    origin: str,
    body: bytes = b"",
    *,
    pin: bytes | None = None,
    greeting: bool = False,
) -> Response:
    return await exchange.exchange(
        Endpoint(origin=origin, pin=pin),
        Request(method="POST", path="/v1/poll", body=body, greeting=greeting),
        limit=ByteCount(1000),
        deadline=Millis(3000),
    )


async def refusal(tls: Tls, host: str = HOST, pin: bytes | None = None) -> Unreachable:
    """What the client says to this certificate; nothing of the request has left by then."""
    echo = Echo()
    async with listening(tls, echo) as port, client() as exchange:
        with pytest.raises(Unreachable) as caught:
            await call(exchange, f"{host}:{port}", b"secret", pin=pin)
        assert not echo.scopes
        assert host in caught.value.text
        assert caught.value.next
    return caught.value


# --- by the roots -------------------------------------------------------------------------


async def test_what_the_roots_trust_is_trusted(trusted: Authority) -> None:
    echo = Echo()
    async with listening(Shown(trusted.issue(HOST)), echo) as port, client() as exchange:
        for number in range(5):
            answer = await call(exchange, f"{HOST}:{port}", b"%d" % number)
            assert answer.body == b"%d" % number
        # The name that was asked for stays in Host and in TLS, the address is the judged one.
        assert dict(echo.scopes[0]["headers"])[b"host"] == f"{HOST}:{port}".encode()
        assert echo.scopes[0]["scheme"] == "https"
        assert len({scope["client"] for scope in echo.scopes}) == 1


@pytest.mark.parametrize(
    ("host", "begins", "ends", "reason", "words"),
    [
        (HOST, -2 * DAY, -1 * DAY, "tls-expired", "has expired"),
        (HOST, 1 * DAY, 2 * DAY, "tls-early", "not valid yet"),
        ("other.example", -1 * DAY, 1 * DAY, "tls-name", "another name"),
        ("127.0.0.2", -1 * DAY, 1 * DAY, "tls-name", "another name"),
    ],
)
async def test_a_certificate_that_is_not_right(
    trusted: Authority, host: str, begins: timedelta, ends: timedelta, reason: str, words: str
) -> None:
    error = await refusal(Shown(trusted.issue(host, begins=begins, ends=ends)))
    assert error.reason == reason
    assert words in error.text


async def test_a_certificate_of_nobody_we_know(authority: Authority, tmp_path: Path) -> None:
    error = await refusal(Shown(authority.issue(HOST)))
    assert error.reason == "tls-untrusted"
    own = Tls(tmp_path / "c.pem", tmp_path / "k.pem", HOST, own=True)
    own.open(SystemClock().now())
    assert (await refusal(own)).reason == "tls-untrusted"


async def test_a_server_without_tls() -> None:
    async def plain(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with client() as exchange, trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, plain, [listener])
        origin = f"{HOST}:{listener.socket.getsockname()[1]}"
        for pin in (None, NOBODY):
            with pytest.raises(Unreachable, match="not in TLS") as caught:
                await call(exchange, origin, pin=pin)
            assert caught.value.reason == "tls"
        nursery.cancel_scope.cancel()


# --- by pin -------------------------------------------------------------------------------


async def test_a_pin_is_all_that_counts(authority: Authority) -> None:
    """Expired, for another name, from nobody we know: the key is the one in the record."""
    files = authority.issue("other.example", begins=-2 * DAY, ends=-1 * DAY)
    pin = spki.pin(der_of(files))
    async with listening(Shown(files), Echo()) as port, client() as exchange:
        for number in range(3):
            answer = await call(exchange, f"{HOST}:{port}", b"%d" % number, pin=pin)
            assert answer.body == b"%d" % number


async def test_another_key_is_refused_even_with_a_certificate_of_the_roots(
    trusted: Authority,
) -> None:
    error = await refusal(Shown(trusted.issue(HOST)), pin=NOBODY)
    assert error.reason == "tls-pin"
    assert "another key" in error.text


async def test_a_renewed_certificate_keeps_the_pin_a_new_key_does_not(tmp_path: Path) -> None:
    tls = Tls(tmp_path / "c.pem", tmp_path / "k.pem", HOST, own=True)
    tls.open(SystemClock().now())
    pin = tls.pin
    async with listening(tls, Echo()) as port, client() as exchange:
        await call(exchange, f"{HOST}:{port}", pin=pin)
        (tmp_path / "c.pem").unlink()
        assert tls.refresh(SystemClock().now())
        assert tls.pin == pin
        await exchange.aclose()
        await call(exchange, f"{HOST}:{port}", pin=pin)
        (tmp_path / "k.pem").unlink()
        assert tls.refresh(SystemClock().now())
        assert tls.pin != pin
        await exchange.aclose()
        with pytest.raises(Unreachable) as caught:
            await call(exchange, f"{HOST}:{port}", pin=pin)
        assert caught.value.reason == "tls-pin"


async def test_one_origin_by_two_pins_is_two_peers(authority: Authority) -> None:
    """A connection that was right for one record is not taken for another."""
    files = authority.issue(HOST)
    pin = spki.pin(der_of(files))
    async with listening(Shown(files), Echo()) as port, client() as exchange:
        await call(exchange, f"{HOST}:{port}", pin=pin)
        with pytest.raises(Unreachable) as caught:
            await call(exchange, f"{HOST}:{port}", pin=NOBODY)
        assert caught.value.reason == "tls-pin"
        with pytest.raises(Unreachable) as caught:
            await call(exchange, f"{HOST}:{port}")
        assert caught.value.reason == "tls-untrusted"


# --- greetings ----------------------------------------------------------------------------


async def test_a_greeting_tells_who_answered_and_nothing_else_uses_its_connection(
    authority: Authority,
) -> None:
    echo, files = Echo(), authority.issue("other.example", begins=-2 * DAY, ends=-1 * DAY)
    async with listening(Shown(files), echo) as port, client() as exchange:
        for pin in (None, NOBODY):
            answer = await call(exchange, f"{HOST}:{port}", b"hi", pin=pin, greeting=True)
            assert (answer.body, answer.pin) == (b"hi", spki.pin(der_of(files)))
        with pytest.raises(Unreachable):
            await call(exchange, f"{HOST}:{port}")
        assert len({scope["client"] for scope in echo.scopes}) == 2
        assert not exchange._peers or all(not peer.using for peer in exchange._peers.values())


async def test_contexts_are_made_once(trusted: Authority) -> None:
    async with listening(Shown(trusted.issue(HOST)), Echo()) as port, client() as exchange:
        await call(exchange, f"{HOST}:{port}")
        roots = exchange._contexts.roots()
        await exchange.aclose()
        await call(exchange, f"{HOST}:{port}")
        await call(exchange, f"{HOST}:{port}", greeting=True)
        assert exchange._contexts.roots() is roots
        assert exchange._contexts.anybody() is exchange._contexts.anybody()
        assert roots.minimum_version.name == "TLSv1_2"
