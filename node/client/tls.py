"""TLS to a peer: whose certificate is right, and what to say when it is not.

    pin      the server's key has the SHA-256 that the owner's record says: nothing else counts,
             neither names nor dates nor issuers
    roots    no pin: valid for the host by this system's roots, as in a browser
    anybody  a greeting: the answer is a signed record, and counts only if the pin in it is that
             of this very connection (`node.services.calls`)

It is checked between handshake and request: a server that is not right learns nothing but that
somebody called. Spec: 07 §7.1.
"""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field

import httpcore

from node.crypto import spki
from node.errors import Malformed, Unreachable

EXPIRED, EARLY = 10, 9
"""X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_CERT_NOT_YET_VALID."""
OTHER_NAME = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""


@dataclass(slots=True)
class Contexts:
    """The two TLS contexts of a client, made when first needed: the roots cost 20-30 ms."""

    _roots: ssl.SSLContext | None = field(default=None)
    _anybody: ssl.SSLContext | None = field(default=None)

    def roots(self) -> ssl.SSLContext:
        """Trusts what this system trusts."""
        if self._roots is None:
            self._roots = _modern(ssl.create_default_context())
        return self._roots

    def anybody(self) -> ssl.SSLContext:
        """Asks no certificate for anything; whoever uses it checks the key itself."""
        if self._anybody is None:
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
            self._anybody = _modern(made)
        return self._anybody


def _modern(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class TlsBackend(httpcore.AsyncNetworkBackend):
    """The network for one peer's pool, where each connection becomes TLS.

    Args:
        network: connects.
        where: the peer's origin, for words.
        pin: what the server's key must be; None: the context decides.
    """

    def __init__(self, network: httpcore.AsyncNetworkBackend, where: str, pin: bytes | None):
        self._network, self._where, self._pin = network, where, pin

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connects; the handshake follows.

        Raises:
            Unreachable: as the network's own.
        """
        made = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Greeted(made, self._where, self._pin)

    async def sleep(self, seconds: float) -> None:
        """Waits, as httpcore asks for between its own retries (we use none)."""
        await self._network.sleep(seconds)


class _Greeted(httpcore.AsyncNetworkStream):
    """A connection before its handshake, and nothing else: httpcore starts TLS first of all."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, where: str, pin: bytes | None) -> None:
        self._stream, self._where, self._pin = stream, where, pin

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """The same connection after its handshake, with the right server.

        Raises:
            Unreachable: tls-pin, tls-expired, tls-early, tls-name, tls-untrusted or tls.
        """
        try:
            made = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except httpcore.ConnectError as error:
            raise _refused(self._where, error) from error
        if self._pin is not None and pin_of(made) != self._pin:
            await made.aclose()
            raise wrong_pin(self._where)
        return made

    async def aclose(self) -> None:
        """Closes it."""
        await self._stream.aclose()


def pin_of(stream: httpcore.AsyncNetworkStream) -> bytes | None:
    """The pin of whoever is at the other end; None: nobody that could be pinned."""
    met: ssl.SSLObject | None = stream.get_extra_info("ssl_object")
    certificate = None if met is None else met.getpeercert(binary_form=True)
    try:
        return None if certificate is None else spki.pin(certificate)
    except Malformed:
        return None


def wrong_pin(where: str) -> Unreachable:
    """Whoever answers at `where` is not who the owner's record says."""
    return Unreachable(
        f"{where} shows another key than the record of its owner says: it was replaced, or "
        "somebody stands in between; nothing was sent",
        reason="tls-pin",
        next="ask the owner of that node; a new record of theirs mends it by itself",
    )


def _refused(where: str, error: BaseException) -> Unreachable:
    """Why there is no TLS, found among the causes of `error`."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        text = f"{where} answers, but not in TLS: the handshake failed"
        return Unreachable(text, reason="tls", next="is that its port? ask the owner of that node")
    code, ask = cause.verify_code, "the owner of that node has to renew or replace it"
    if code == EXPIRED:
        text, reason = "has expired, or this machine's clock is ahead", "tls-expired"
    elif code == EARLY:
        text, reason = "is not valid yet, or this machine's clock is behind", "tls-early"
    elif code in OTHER_NAME:
        text, reason = "is for another name", "tls-name"
    else:
        text, reason = f"is trusted by nobody here ({cause.verify_message})", "tls-untrusted"
    return Unreachable(f"The certificate of {where} {text}.", reason=reason, next=ask)
