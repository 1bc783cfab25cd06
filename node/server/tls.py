"""TLS at the public listener: which certificate is shown, and that it can be.

A certificate is tried before it is shown, by a handshake with ourselves: what a caller would
object to (another name, an expired date, a key that does not fit) is said at start, in words,
and not to callers.

    own:    made when missing, for another name, or soon over; the same key, so the same pin
    files:  read at start and again by `refresh`; what can't be used leaves the old one in place

Handshakes begin in `node.server.http1`, after the connection was counted. A new certificate is a
new context, never a second chain in the old one: OpenSSL keeps one chain for each kind of key,
and would go on showing the old one to some callers. Spec: 07 §7.1.
"""

import hashlib
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import trio

from node.crypto import spki
from node.errors import ConfigBroken, WillcallError
from node.server import certificate as certificates
from node.units import DAY, HOUR, SECOND, Instant, Millis

log = logging.getLogger("willcall")

RENEWED = Millis(60 * DAY)
"""An own certificate with less time left is made anew: two months for a node that was off."""
WARNED = Millis(7 * DAY)
"""A given one with less time left is spoken of: whoever renews it is late by then."""
LOOKED = Millis(1 * HOUR)
"""How often the files are looked at while the node runs."""
FLIGHTS = 8
"""Steps of a handshake with ourselves; TLS 1.3 needs three."""


class Tls:
    """The certificate of one origin.

    Args:
        certificate: its PEM file, with the chain.
        key: the PEM file of its key.
        host: the origin's name or address.
        own: whether it is ours to make and renew.

    Attributes:
        context: what handshakes use from now on.
        pin: the SPKI SHA-256 of an own certificate; None: callers go by their roots.
        expires: the end of the certificate's dates.
    """

    context: ssl.SSLContext
    pin: bytes | None
    expires: Instant

    def __init__(self, certificate: Path, key: Path, host: str, *, own: bool) -> None:
        self._certificate, self._key, self._host, self._own = certificate, key, host, own
        self._seen = b""

    def open(self, now: Instant) -> None:
        """Reads the files; an own certificate is made or renewed first, where that is due.

        Raises:
            ConfigBroken: they can't be used; says why.
            StoreFailed: the disk.
        """
        if self._own and self._is_due(now):
            certificates.make(self._certificate, self._key, self._host, now)
        self._load()
        if not self._own:
            self._warn(now)

    def look(self) -> None:
        """Reads the files, and changes nothing.

        Raises:
            ConfigBroken: they can't be used; says why.
        """
        self._load()

    def _warn(self, now: Instant) -> None:
        """What is no error here, and may become one at a caller's."""
        if self.expires - now < WARNED:
            log.warning("%s expires on %s", self._certificate, _day(self.expires))
        try:
            _met(self.context, ssl.create_default_context(), self._host)
        except ssl.SSLCertVerificationError as error:
            text = "callers with this system's roots would refuse %s: %s; is its chain whole?"
            log.warning(text, self._certificate, error.verify_message)

    def refresh(self, now: Instant) -> bool:
        """The same while the node runs, if there is something new; True when there was.

        What can't be used changes nothing but the log. For SIGHUP and for `keep`.
        """
        try:
            if (self._own and self._is_due(now)) or self._digest() != self._seen:
                self.open(now)
                return True
        except WillcallError as error:
            log.warning("the certificate stays as it was: %s", error.text)
        return False

    def _is_due(self, now: Instant) -> bool:
        if not self._certificate.exists() or not self._key.exists():
            return True
        try:
            _, expires = _tried(self._certificate, self._key, self._host)
        except ConfigBroken:
            return True  # dates, name or damage: made anew; a damaged key is spoken of there
        return expires - now < RENEWED

    def _load(self) -> None:
        seen = self._digest()
        self.context, self.expires = _tried(self._certificate, self._key, self._host)
        pem = self._certificate.read_text(encoding="ascii")
        self.pin = spki.pin(ssl.PEM_cert_to_DER_cert(_first(pem))) if self._own else None
        self._seen = seen

    def _digest(self) -> bytes:
        made = hashlib.sha256()
        for path in (self._certificate, self._key):
            made.update(hashlib.sha256(_read(path)).digest())
        return made.digest()


async def keep(tls: Tls, now: Callable[[], Instant]) -> None:
    """Looks every hour whether there is a new certificate, or an old one to renew."""
    while True:
        await trio.sleep(LOOKED / SECOND)
        tls.refresh(now())


class TlsListener(trio.abc.Listener[trio.SSLStream[trio.SocketStream]]):
    """Connections of a listener as TLS streams; the handshake is the server's to do.

    Args:
        inner: takes the connections.
        tls: its context at that moment is used.
    """

    def __init__(self, inner: trio.SocketListener, tls: Tls) -> None:
        self._inner, self._tls = inner, tls

    async def accept(self) -> trio.SSLStream[trio.SocketStream]:
        """The next connection, before its handshake."""
        stream = await self._inner.accept()
        return trio.SSLStream(stream, self._tls.context, server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        """Listens no more."""
        await self._inner.aclose()


# --- trying -----------------------------------------------------------------------------


def _tried(certificate: Path, key: Path, host: str) -> tuple[ssl.SSLContext, Instant]:
    """A context with this certificate, and when it expires; it was met as `host` just now.

    Raises:
        ConfigBroken: a caller could not be content with it.
    """
    context = _context(certificate, key)
    try:
        met = _met(context, _trusting(certificate.read_text(encoding="ascii")), host)
    except ssl.SSLCertVerificationError as error:
        raise _unusable(certificate, f"{error.verify_message} (for {host})") from error
    except (ssl.SSLError, ValueError) as error:
        raise _unusable(certificate, str(error)) from error
    ends = ssl.cert_time_to_seconds(str((met.getpeercert() or {})["notAfter"]))
    return context, Instant(ends * SECOND)


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    for path in (certificate, key):
        _read(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Tickets would be remembered by nobody: our client keeps connections, not sessions.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password: a node that starts by itself can't be asked for one.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _unusable(key, f"it is not the key of {certificate}") from error
        text = "these are no PEM certificate and key, or the key is encrypted"
        raise _unusable(certificate, f"with {key}: {text}") from error
    return context


def _trusting(pem: str) -> ssl.SSLContext:
    """A client's context for which the chain's own certificates are as good as roots."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=pem)
    return client


def _met(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """The client's side of a handshake in memory."""
    out, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = client.wrap_bio(back, out, server_hostname=host)
    ours = server.wrap_bio(out, back, server_side=True)
    for _ in range(FLIGHTS):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return theirs


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _unusable(path: Path, why: str) -> ConfigBroken:
    return ConfigBroken(
        f"{path} can't be used for TLS: {why}",
        next="mend the file, or what [tls] in config.toml says; then: willcall run",
    )


def _first(pem: str) -> str:
    """The first certificate of a chain: the server's own."""
    end = "-----END CERTIFICATE-----"
    return pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]


def _day(at: Instant) -> str:
    return datetime.fromtimestamp(at / SECOND, UTC).date().isoformat()
