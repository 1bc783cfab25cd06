"""The listener's certificate: made, renewed, given, tried; and clients that don't shake hands."""

import logging
import os
import ssl
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from node.errors import ConfigBroken
from node.server.certificate import LIFE, make
from node.server.http1 import ServerLimits, open_tcp, serve
from node.server.tls import RENEWED, Tls, TlsListener
from node.system import SystemClock
from node.units import Instant, Millis
from tests.server.certificates import DAY, Authority, Files
from tests.server.web import GET, PATIENT, QUICK, Client, Echo, rest

HOST = "node.example"


def now() -> Instant:
    return SystemClock().now()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def own(tmp_path: Path) -> Tls:
    return Tls(tmp_path / "c.pem", tmp_path / "k.pem", HOST, own=True)


def given(files: Files, host: str = HOST) -> Tls:
    return Tls(files.certificate, files.key, host, own=False)


# --- our own ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [HOST, "9.9.9.9", "2a00::1", "a." * 47 + "example"])
def test_an_own_certificate_is_made_once(tmp_path: Path, host: str) -> None:
    files = tmp_path / "c.pem", tmp_path / "k.pem"
    tls = Tls(*files, host, own=True)
    tls.open(now())
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in files} == {0o600}
    assert tls.pin is not None
    assert len(tls.pin) == 32
    assert abs(tls.expires - (now() + LIFE)) < 60_000
    before = [path.read_bytes() for path in files]
    again = Tls(*files, host, own=True)
    again.open(now())
    assert [path.read_bytes() for path in files] == before
    assert (again.pin, again.refresh(now())) == (tls.pin, False)
    assert sorted(os.listdir(tmp_path)) == ["c.pem", "k.pem"]


def test_it_is_renewed_with_the_same_key(own: Tls, tmp_path: Path) -> None:
    due = Instant(now() - LIFE + RENEWED)
    make(tmp_path / "c.pem", tmp_path / "k.pem", HOST, Instant(due + 60_000))
    own.open(now())
    pin, first, context = own.pin, own.expires, own.context
    assert not own.refresh(now())
    assert abs(first - (now() + RENEWED)) < 61_000
    make(tmp_path / "c.pem", tmp_path / "k.pem", HOST, Instant(due - 60_000))
    assert own.refresh(now())
    assert own.pin == pin
    assert abs(own.expires - (now() + LIFE)) < 60_000
    assert own.context is not context


def test_one_that_was_left_to_expire_is_renewed_at_start(own: Tls, tmp_path: Path) -> None:
    long_ago = Instant(now() - 2 * LIFE)
    make(tmp_path / "c.pem", tmp_path / "k.pem", HOST, long_ago)
    key = (tmp_path / "k.pem").read_bytes()
    own.open(now())
    assert own.expires > now()
    assert (tmp_path / "k.pem").read_bytes() == key


def test_a_node_that_moved_gets_one_for_its_new_name(own: Tls, tmp_path: Path) -> None:
    own.open(now())
    moved = Tls(tmp_path / "c.pem", tmp_path / "k.pem", "elsewhere.example", own=True)
    moved.open(now())
    assert moved.pin == own.pin
    made = x509.load_pem_x509_certificate((tmp_path / "c.pem").read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["elsewhere.example"]


def test_a_wrong_clock_makes_a_certificate_that_is_soon_replaced(own: Tls, tmp_path: Path) -> None:
    for wrong in (0, -10_000, 86_400_000):
        make(tmp_path / "c.pem", tmp_path / "k.pem", HOST, Instant(wrong))
    own.open(now())
    assert own.expires > now()


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_never_replaced(own: Tls, tmp_path: Path, content: bytes) -> None:
    own.open(now())
    (tmp_path / "k.pem").write_bytes(content)
    with pytest.raises(ConfigBroken, match="nothing was changed") as caught:
        Tls(tmp_path / "c.pem", tmp_path / "k.pem", HOST, own=True).open(now())
    assert "backup" in str(caught.value.next)
    assert (tmp_path / "k.pem").read_bytes() == content
    assert not own.refresh(now())


def test_a_key_of_another_kind_is_not_ours(own: Tls, tmp_path: Path) -> None:
    secret = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "k.pem").write_bytes(secret)
    with pytest.raises(ConfigBroken, match=r"k\.pem is no key of ours"):
        own.open(now())


# --- given files --------------------------------------------------------------------------


def test_a_given_certificate_has_no_pin(authority: Authority) -> None:
    tls = given(authority.issue(HOST))
    tls.open(now())
    assert tls.pin is None
    assert tls.expires > now()


def damaged(authority: Authority, tmp_path: Path, what: str) -> Files:
    secret = ec.generate_private_key(ec.SECP256R1())
    good = authority.issue(HOST, file="good", key=secret)
    other = authority.issue(HOST, file="other")
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    text = tmp_path / "text"
    text.write_text("no PEM ü")
    return {
        "missing": replace(good, certificate=tmp_path / "nowhere.pem"),
        "key missing": replace(good, key=tmp_path / "nowhere.key"),
        "folder": replace(good, certificate=tmp_path),
        "text": replace(good, certificate=text),
        "key text": replace(good, key=text),
        "swapped": Files(good.key, good.certificate),
        "locked": replace(good, key=locked),
        "another key": replace(good, key=other.key),
        "expired": authority.issue(HOST, begins=-2 * DAY, ends=-DAY, file="expired"),
        "early": authority.issue(HOST, begins=DAY, ends=2 * DAY, file="early"),
        "another name": authority.issue("other.example"),
    }[what]


UNUSABLE = {
    "missing": r"nowhere\.pem .* No such file",
    "key missing": r"nowhere\.key .* No such file",
    "folder": "Is a directory",
    "text": "no PEM certificate and key",
    "key text": "no PEM certificate and key",
    "swapped": "no PEM certificate and key",
    "locked": "encrypted",
    "another key": r"other\.key .* not the key of .*good\.pem",
    "expired": "certificate has expired",
    "early": "not yet valid",
    "another name": r"(?i)hostname mismatch.*node\.example",
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_can_t_be_used_is_said_at_start(
    authority: Authority, tmp_path: Path, what: str
) -> None:
    with pytest.raises(ConfigBroken, match=UNUSABLE[what]) as caught:
        given(damaged(authority, tmp_path, what)).open(now())
    assert "[tls]" in str(caught.value.next)


def test_new_files_are_taken_up_and_bad_ones_are_not(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = given(authority.issue(HOST))
    tls.open(now())
    assert not tls.refresh(now())
    first, expires = tls.context, tls.expires
    authority.issue(HOST, ends=40 * DAY)
    assert tls.refresh(now())
    assert tls.context is not first
    assert tls.expires > expires
    shown = tls.context
    authority.issue(HOST, begins=-2 * DAY, ends=-DAY)
    caplog.clear()
    assert not tls.refresh(now())
    assert tls.context is shown
    assert "stays as it was" in caplog.text
    assert "expired" in caplog.text


def test_a_chain_the_roots_don_t_know_and_the_last_week_are_warned_of(
    authority: Authority, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    given(authority.issue(HOST)).open(now())
    assert "is its chain whole?" in caplog.text
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    caplog.clear()
    given(authority.issue(HOST)).open(now())
    assert not caplog.records
    given(authority.issue(HOST, ends=3 * DAY)).open(now())
    assert "expires on" in caplog.text


# --- handshakes ---------------------------------------------------------------------------


@asynccontextmanager
async def serving(own: Tls, echo: Echo, limits: ServerLimits = PATIENT) -> AsyncIterator[int]:
    own.open(now())
    plain = await open_tcp("127.0.0.1", 0)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, echo, [TlsListener(each, own) for each in plain], limits)
            yield int(plain[0].socket.getsockname()[1])
            nursery.cancel_scope.cancel()


def trusting(**changes: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for word, value in changes.items():
        setattr(context, word, value)
    return context


async def connected(
    port: int, context: ssl.SSLContext | None = None
) -> trio.SSLStream[trio.SocketStream]:
    plain = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(plain, context or trusting(), https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def is_served(port: int) -> bool:
    try:
        async with await connected(port):
            return True
    except trio.BrokenResourceError:
        return False


async def test_requests_over_tls(own: Tls) -> None:
    echo = Echo()
    async with serving(own, echo) as port, await connected(port) as stream:
        client = Client(stream)  # type: ignore[arg-type]
        for number in range(3):
            answer, body = await client.ask("POST", "/", b"%d" % number)
            assert (answer.status_code, body) == (200, b"%d" % number)
    assert {scope["scheme"] for scope in echo.scopes} == {"https"}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_versions_are_not_spoken(own: Tls) -> None:
    old = trusting(minimum_version=ssl.TLSVersion.MINIMUM_SUPPORTED)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(own, Echo()) as port:
        with pytest.raises(trio.BrokenResourceError):
            await connected(port, old)
        last = trusting(maximum_version=ssl.TLSVersion.TLSv1_2)
        async with await connected(port, last) as stream:
            assert stream.version() == "TLSv1_2".replace("_", ".")


async def test_the_certificate_is_replaced_without_a_restart(own: Tls, tmp_path: Path) -> None:
    async with serving(own, Echo()) as port, await connected(port) as first:
        before = first.getpeercert(binary_form=True)
        (tmp_path / "c.pem").unlink()
        assert own.refresh(now())
        async with await connected(port) as second:
            assert second.getpeercert(binary_form=True) != before
        await first.send_all(GET)  # who is connected stays so
        assert bytes(await first.receive_some()).startswith(b"HTTP/1.1 200")


async def test_who_speaks_no_tls_gets_nothing(own: Tls) -> None:
    echo = Echo()
    async with serving(own, echo) as port:
        for data in (GET, b"\x16\x03\x01", b"", bytes(5000), b"\x16\x03\x01\x02\x00" + bytes(512)):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(data)
                    await stream.send_eof()
                assert b"HTTP/1.1" not in await rest(stream)
    assert not echo.scopes


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00\x01"])
async def test_a_handshake_has_a_deadline(own: Tls, data: bytes) -> None:
    limits = replace(QUICK, handshake=Millis(200), idle=Millis(60_000))
    async with serving(own, Echo(), limits) as port:
        start = time.monotonic()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(data)
            await rest(stream)
        assert 0.1 < time.monotonic() - start < 3


async def test_a_dripped_handshake_has_the_same_deadline(own: Tls) -> None:
    limits = replace(QUICK, handshake=Millis(300), idle=Millis(60_000))
    async with serving(own, Echo(), limits) as port:
        start = time.monotonic()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with suppress(trio.BrokenResourceError):
                while time.monotonic() - start < 5:
                    await stream.send_all(b"\x16")
                    await trio.sleep(0.02)  # the slowness is what is tested
        assert time.monotonic() - start < 3


async def test_connections_are_counted_before_their_handshake(own: Tls) -> None:
    limits = replace(PATIENT, per_network=3)
    async with serving(own, Echo(), limits) as port:
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        with pytest.raises(trio.BrokenResourceError):
            await connected(port)
        await idle.pop().aclose()
        with trio.fail_after(5):
            while not await is_served(port):  # noqa: ASYNC110 - the server has no event to wait for
                await trio.sleep(0.01)
        for each in idle:
            await each.aclose()


async def test_who_waits_with_its_handshake_makes_room_first(own: Tls) -> None:
    limits = replace(PATIENT, connections=3)
    async with serving(own, Echo(), limits) as port:
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3)]
        async with await connected(port) as stream:
            await stream.send_all(GET)
            assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200")
        assert await idle[0].receive_some() == b""  # the oldest was closed
        for each in idle:
            await each.aclose()


async def test_a_stop_does_not_wait_for_handshakes(own: Tls) -> None:
    own.open(now())
    plain = await open_tcp("127.0.0.1", 0)
    port = plain[0].socket.getsockname()[1]
    stop = trio.Event()
    with trio.fail_after(3):
        async with trio.open_nursery() as nursery:
            listeners = [TlsListener(each, own) for each in plain]

            async def run() -> None:
                await serve(Echo(), listeners, PATIENT, stop=stop)

            nursery.start_soon(run)
            idle = await trio.open_tcp_stream("127.0.0.1", port)
            async with idle, await connected(port):
                stop.set()
                assert await idle.receive_some() == b""
