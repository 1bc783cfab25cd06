"""Bots: keys that sign whatever they like, from addresses and domains of their own.

They speak HTTP by hand over kept connections, because a client that is as careful as ours would
be the slower side. Live ones answer call-backs over TLS; some name a third party as their origin.
"""

import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from node.crypto import keys
from node.encoding import names
from node.encoding.cid import OBJECT_PREFIX, Cid
from node.objects import notification, record
from node.objects.notification import Notification
from node.objects.record import Endpoint, Record
from node.units import DAY, Instant, Key

HEAD = (
    "POST /v1/notifications HTTP/1.1\r\nHost: node\r\n"
    "Content-Type: application/vnd.ipld.dag-cbor\r\nContent-Length: {}\r\n{}\r\n"
)


def now() -> Instant:
    """The wall clock."""
    return Instant(int(time.time() * 1000))


@dataclass(kw_only=True)
class Bot:
    """One bot.

    Attributes:
        host: its domain; source: the address it comes from; port: where it answers.
        proxied: its address is in a header, as a proxy writes it.
        origin: what it says of itself: its own, or somebody else's.
    """

    number: int
    host: str
    source: str
    port: int
    proxied: bool = False
    up: bool = True
    origin: str = ""
    called: int = 0
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = keys.derive(self.number.to_bytes(32, "big"))
        self.key = keys.public(self.keys.signing)
        self.origin = self.origin or f"{self.host}:{self.port}"

    def record(self, pin: bytes) -> bytes:
        """Its address record."""
        made = Record(
            id=self.key,
            sealing=keys.sealing_public(self.keys.sealing),
            recovery=keys.public(self.keys.recovery),
            nodes=(Endpoint(origin=self.origin, pin=pin),),
            seq=1,
            issued=now(),
            expires=Instant(now() + 90 * DAY),
        )
        return record.sign(made, self.keys.signing)

    def request(self, to: Key) -> bytes:
        """One more notification, signed, as a whole request."""
        item = Notification(
            sender=self.key,
            to=to,
            message=Cid(OBJECT_PREFIX + os.urandom(32)),
            size=1_000,
            key=os.urandom(80),
            ticket=os.urandom(16),
            issued=now(),
            keep_until=Instant(now() + 30 * DAY),
            origin=self.origin,
        )
        raw = notification.encode(item)
        batch = notification.sign_batch(self.key, [raw], self.keys.signing)
        body = notification.encode_batch(batch)
        extra = f"X-Forwarded-For: {self.source}\r\n" if self.proxied else ""
        return HEAD.format(len(body), extra).encode() + body


class Line:
    """One kept connection from an address of one's own."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    @classmethod
    async def open(cls, source: str, port: int) -> "Line":
        """Connects to the node from `source`."""
        sock = trio.socket.socket()
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", port))
        return cls(trio.SocketStream(sock))

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer."""
        await self._stream.send_all(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        at = head.lower().index(b"content-length:") + 15
        size = int(head[at:].split(b"\r\n")[0])
        while len(body) < size:
            body += await self._more()
        assert head.startswith(b"HTTP/1.1 200"), head
        return body

    async def _more(self) -> bytes:
        data = await self._stream.receive_some(65_536)
        assert data, "the node hung up"
        return bytes(data)

    async def close(self) -> None:
        """Hangs up."""
        await self._stream.aclose()


class Homes:
    """Where live bots answer: one TLS server for all their names."""

    def __init__(self, bots: Sequence[Bot], pin: bytes) -> None:
        self._by_path = {f"/v1/owners/{names.z(bot.key)}": bot for bot in bots}
        self._pin = pin

    async def serve(
        self,
        port: int,
        context: ssl.SSLContext,
        *,
        task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Answers call-backs on every address of this machine until cancelled."""
        await trio.serve_ssl_over_tcp(
            self._one, port, context, host="0.0.0.0", task_status=task_status
        )

    async def _one(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            head = bytes(await stream.receive_some(8_192))
            path = head.split(b" ")[1].decode() if head.count(b" ") > 1 else ""
            bot = self._by_path.get(path)
            if bot is not None:
                bot.called += 1
            if bot is None or not bot.up:
                return
            body = bot.record(self._pin)
            said = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
            await stream.send_all(said.encode() + body)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
