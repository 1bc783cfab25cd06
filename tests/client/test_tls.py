"""TLS by the system's roots, against our own server."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.client.guard import Allowed
from node.client.http import HttpExchange
from node.errors import Unreachable
from node.objects.record import Endpoint
from node.ports import Request
from node.server.http1 import ServerLimits, open_tcp, serve
from node.units import ByteCount, Millis
from tests.server.web import Echo

HOST = "peer.example"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for HOST that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def listening(certificate: Path, echo: Echo) -> AsyncIterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    plain = await open_tcp("127.0.0.1", 0)
    listeners = [trio.SSLListener(each, context, https_compatible=True) for each in plain]
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, echo, listeners, ServerLimits())
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


async def call(exchange: HttpExchange, origin: str, body: bytes = b"") -> bytes:
    answer = await exchange.exchange(
        Endpoint(origin=origin),
        Request(method="POST", path="/v1/poll", body=body),
        limit=ByteCount(1000),
        deadline=Millis(3000),
    )
    return answer.body


async def test_what_the_roots_trust_is_trusted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    echo = Echo()
    async with listening(certificate, echo) as port, client() as exchange:
        for number in range(5):
            assert await call(exchange, f"{HOST}:{port}", b"%d" % number) == b"%d" % number
        # The name that was asked for stays in Host and in TLS, the address is the judged one.
        assert dict(echo.scopes[0]["headers"])[b"host"] == f"{HOST}:{port}".encode()
        assert echo.scopes[0]["scheme"] == "https"
        assert len({scope["client"] for scope in echo.scopes}) == 1


async def test_a_certificate_for_another_name_is_refused(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    echo = Echo()
    async with listening(certificate, echo) as port, client() as exchange:
        with pytest.raises(Unreachable, match=r"other\.example") as caught:
            await call(exchange, f"other.example:{port}")
    assert caught.value.reason == "tls"
    assert not echo.scopes


async def test_an_own_certificate_is_refused(certificate: Path) -> None:
    echo = Echo()
    async with listening(certificate, echo) as port, client() as exchange:
        with pytest.raises(Unreachable, match="self-signed") as caught:
            await call(exchange, f"{HOST}:{port}")
    assert caught.value.reason == "tls"
    assert not echo.scopes


async def test_a_server_of_tls_survives_who_speaks_none(certificate: Path) -> None:
    echo = Echo()
    async with listening(certificate, echo) as port:
        for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01", b"", bytes(5000)):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(data)
                await stream.send_eof()
                try:
                    async for _ in stream:
                        pass
                except trio.BrokenResourceError:
                    pass
    assert not echo.scopes
