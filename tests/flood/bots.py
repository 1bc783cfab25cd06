"""Bots: keys that sign whatever they like, from addresses and domains of their own.

They speak HTTP by hand over kept connections, because a client that is as careful as ours would
be the slower side. Live ones answer call-backs over TLS; some name a third party as their origin.
"""

import os
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from node.crypto import keys, sealed
from node.encoding import car, cid, names
from node.encoding.cid import OBJECT_PREFIX, Cid
from node.objects import answer as answers
from node.objects import content, notification, record
from node.objects.notification import Notification
from node.objects.record import Endpoint, Record
from node.units import DAY, Instant, Key

HEAD = (
    "POST /v1/notifications HTTP/1.1\r\nHost: node\r\n"
    "Content-Type: application/vnd.ipld.dag-cbor\r\nContent-Length: {}\r\n{}\r\n"
)
SPAM = b"Subject: a once in a lifetime offer\r\n\r\n" + b"Only today! " * 80
"""About 1 KB, as the usual advertisement."""


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
        called: how often the node came to it; sent: some requests, to be said again.
        letters: roots of real letters, which it serves.
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
    letters: dict[Cid, bytes] = field(default_factory=dict)

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

    def request(self, to: Key, sealing: bytes | None = None) -> bytes:
        """One more notification, signed, as a whole request.

        Args:
            to: the addressee.
            sealing: its sealing key: then there is a real letter, and the box opens.
        """
        message, box = Cid(OBJECT_PREFIX + os.urandom(32)), os.urandom(80)
        if sealing is not None:
            key = os.urandom(32)
            root = content.seal_body(key, self.key, now(), SPAM, self.keys.signing)
            message, box = cid.of_object(root), sealed.box(key, sealing)
            self.letters[message] = root
        item = Notification(
            sender=self.key,
            to=to,
            message=message,
            size=len(SPAM),
            key=box,
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
    @asynccontextmanager
    async def opened(cls, source: str, port: int) -> AsyncIterator["Line"]:
        """Connected to the node from `source`."""
        sock = trio.socket.socket()
        await sock.bind((source, 0))
        await sock.connect(("127.0.0.1", port))
        async with trio.SocketStream(sock) as stream:
            yield cls(stream)

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


class Homes:
    """Where live bots answer: one TLS server for all their names.

    Attributes:
        came: connections so far.
    """

    def __init__(self, bots: Sequence[Bot], pin: bytes) -> None:
        self._by_path = {f"/v1/owners/{names.z(bot.key)}": bot for bot in bots}
        self._pin, self.came = pin, 0

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
        self.came += 1
        try:
            while (asked := await _asked(stream)) is not None:
                body = self._answer(*asked)
                if body is None:
                    return
                said = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                await stream.send_all(said.encode() + body)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    def _answer(self, path: str, body: bytes) -> bytes | None:
        """What a live bot says; None: nobody is there."""
        bot = self._by_path.get(path)
        if path == "/v1/blocks":
            return self._blocks(answers.decode_wanted(body))
        if path.startswith("/v1/receipts"):
            return answers.encode(answers.ACCEPTED)
        if bot is None:
            return None
        bot.called += 1
        return bot.record(self._pin) if bot.up else None

    def _blocks(self, wanted: Sequence[answers.Wanted]) -> bytes | None:
        names = [name for each in wanted for name in each.cids]
        found = [
            (name, bot.letters[name])
            for bot in self._by_path.values()
            for name in names
            if name in bot.letters
        ]
        return car.write(found) if found else None


async def _asked(stream: trio.SSLStream[trio.SocketStream]) -> tuple[str, bytes] | None:
    """Path and body of the next request; None: they are done."""
    data = bytes(await stream.receive_some(65_536))
    while data and b"\r\n\r\n" not in data:
        data += bytes(await stream.receive_some(65_536))
    if not data:
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    told = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    size = int(told[0].partition(b":")[2]) if told else 0
    while len(body) < size and (more := bytes(await stream.receive_some(65_536))):
        body += more
    return head.split(b" ")[1].decode(), body
