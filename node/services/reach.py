"""Getting the pieces of an archive from where it is served.

Anybody may answer: a piece proves itself, by the key of the log, by a root hash, by its name. So
the certificate that is met first is noted, and wanted again only to keep connections open.
Spec: 12.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from node import limits
from node.archive import append, entry, tile
from node.archive.place import Place
from node.archive.tile import Tile
from node.crypto import note
from node.encoding import car, cid, origin
from node.encoding.cid import Cid
from node.errors import Absent, Gone, Malformed, Unreachable, Unverified
from node.objects import answer
from node.objects.answer import Wanted
from node.objects.record import Endpoint
from node.ports import Exchange, Request, Response
from node.services import grants
from node.services.core import together
from node.services.readers import Shown
from node.units import SECOND, ByteCount, Millis

QUICK = Millis(20 * SECOND)
"""For a head or a tile."""
SLOW = Millis(120 * SECOND)
"""For bodies: 16 MiB at about 1 Mbit/s."""
_ELSE = ("too-large-answer", "redirected", "compressed")
"""Somebody answered, and with something else than what was asked for."""
_LATER = (408, 425, 429, 502, 503, 504)
"""What says nothing of what was asked for: it is asked for again."""
SINGLY = 2
"""Blocks that are asked for by themselves at the same time: as many as connections stay open."""
NAMES = ByteCount(tile.WIDTH * grants.NAME)
"""Bytes of the names of a full bundle."""
HASHES = ByteCount(tile.WIDTH * append.HASH)
"""Bytes of the largest hash tile."""


class Reach:
    """One archive at one place.

    Args:
        exchange: carries requests.
        place: where.
        pin: of the certificate that was met there before.
        epoch: of an earlier log; None: the newest.
        shown: says who asks, where the archive is private.

    Attributes:
        requests: how many were made.
        pin: of the certificate that is met there; None: plain HTTP, or not known yet.
        kept: what the last head said of its lifetime (`Cache-Control`).
    """

    def __init__(
        self,
        exchange: Exchange,
        place: Place,
        pin: bytes | None,
        epoch: int | None = None,
        shown: Shown | None = None,
    ) -> None:
        self._exchange, self.place, self._shown = exchange, place, shown
        self._base = place.base + ("" if epoch is None else f"{epoch}/")
        self.pin, self.requests, self.kept = pin, 0, ""
        self._singly = False

    def of_epoch(self, epoch: int) -> "Reach":
        """An earlier log of the same archive."""
        return Reach(self._exchange, self.place, self.pin, epoch, self._shown)

    async def about(self) -> bytes:
        """What its owner says of it, not yet believed."""
        found = await self._get(f"{self._base}about", limits.ABOUT)
        return _body(self.place, found)

    async def checkpoint(self, etag: str) -> tuple[bytes, str] | None:
        """Its head, and the head's tag; None: it is still that of `etag`."""
        found = await self._get(f"{self._base}checkpoint", ByteCount(note.NOTE), etag)
        self.kept = field(found, "cache-control")
        if found.status == 304 and etag:
            return None
        return _body(self.place, found), field(found, "etag")

    async def readers(self) -> bytes:
        """Who reads a private archive, not yet believed."""
        return _body(self.place, await self._get(f"{self._base}readers", limits.READERS_OBJECT))

    async def names(self, wanted: Tile) -> bytes:
        """What the entries of a bundle name, in a private archive.

        Raises:
            Malformed: another number of names.
        """
        path = tile.path(wanted).removeprefix("tile/entries/")
        data = _body(self.place, await self._get(f"{self._base}names/{path}", NAMES))
        if len(data) != wanted.width * grants.NAME:
            raise Malformed(f"{self.place.origin} gives another number of names")
        return data

    async def tile(self, wanted: Tile) -> bytes:
        """A tile, or a bundle that is still to be taken apart.

        Raises:
            Malformed: it is no tile of its width; Unreachable: there is none.
        """
        limit = HASHES if wanted.level is not None else ByteCount(entry.BUNDLE)
        base = self._base
        found = await self._get(base + tile.path(wanted), limit)
        if found.status == 404 and wanted.partial:
            # Once it is full a server may keep the full one only.
            full = Tile(wanted.level, wanted.index)
            found = await self._get(base + tile.path(full), limit)
            return append.cut(wanted, self._piece(found))
        data = self._piece(found)
        if wanted.level is not None and len(data) != wanted.width * append.HASH:
            raise Malformed(f"{self.place.origin} gives a tile of another width")
        return data

    def _piece(self, found: Response) -> bytes:
        """A part of the log, which must be there: the head says so."""
        if found.status == 404:
            raise Unreachable(
                f"{self.place.origin} lacks entries that the head of {self.place.base} counts",
                reason="not-here",
                next="ask its owner; willcall archive follow URL adds a mirror of it",
            )
        return _body(self.place, found)

    async def blocks(self, names: Sequence[Cid]) -> dict[Cid, bytes]:
        """Blocks, each what it is named; what is missing is not served, or not as it should be.

        One that is answered with something else, however large, holds up no other.
        """
        found = {} if self._singly else await self._together(names)

        async def one(name: Cid) -> None:
            with suppress(Absent, Unverified):
                found[name] = await self.block(name)

        await together([partial(one, name) for name in names if name not in found], SINGLY)
        return found

    async def _together(self, names: Sequence[Cid]) -> dict[Cid, bytes]:
        """Many in one answer. A site made of files knows no such call: then each by itself."""
        body = answer.encode_wanted([Wanted(ticket=None, cids=tuple(names))])
        request = Request(method="POST", path=f"{self.place.root}/v1/blocks", body=body)
        try:
            found = await self._send(request, limits.CAR_ANSWER, SLOW)
        except Unreachable as error:
            if error.reason not in _ELSE:
                raise
            return {}
        if found.status != 200:
            self._singly = found.status in (403, 405, 411, 415, 501)
            return {}
        try:
            got = dict(car.read(found.body))
        except (Malformed, Unverified):
            return {}  # each by itself, and the bad one is found
        return {name: got[name] for name in names if name in got}

    async def block(self, name: Cid) -> bytes:
        """One block.

        Raises:
            Absent: it is not served (Gone: not any more); Unverified: it is not what it is named.
            Unreachable: nobody answered, or who did has too much to do.
        """
        path = f"{self.place.root}/ipfs/{cid.show(name)}"
        try:
            found = await self._get(path, limits.BLOCK, deadline=SLOW)
        except Unreachable as error:
            if error.reason in _ELSE:
                raise Unverified("something else is served than this message") from error
            raise
        if found.status == 410:
            raise Gone("this message was removed")
        if found.status != 200 and found.status not in _LATER:
            raise Absent("this message is not served")
        data = _body(self.place, found)
        cid.check(name, data)
        return data

    async def _get(
        self, path: str, limit: ByteCount, etag: str = "", deadline: Millis = QUICK
    ) -> Response:
        request = Request(method="GET", path=path, if_none_match=etag)
        return await self._send(request, limit, deadline)

    async def _send(self, request: Request, limit: ByteCount, deadline: Millis) -> Response:
        self.requests += 1
        at = self.place.origin
        if self._shown is not None:
            request = replace(request, reading=self._shown.block())
        if origin.is_plain(at) or self.pin is not None:
            try:
                return await self._exchange.exchange(
                    Endpoint(origin=at, pin=self.pin), request, limit=limit, deadline=deadline
                )
            except Unreachable as error:
                if not error.reason.startswith("tls"):
                    raise
        greeting = _greeting(request)
        found = await self._exchange.exchange(
            Endpoint(origin=at), greeting, limit=limit, deadline=deadline
        )
        self.pin = found.pin
        return found


def _greeting(request: Request) -> Request:
    return replace(request, greeting=True)


def field(found: Response, name: str) -> str:
    """A header field of an answer; "" where it is not there."""
    return next((value for key, value in found.headers if key.lower() == name), "")


def _body(place: Place, found: Response) -> bytes:
    if found.status == 200:
        return found.body
    if found.status == 404:
        raise Unreachable(
            f"{place.origin} has no {place.base} as asked for",
            reason="not-here",
            next="is the address copied whole? if it is private, its owner adds you as a reader",
        )
    raise Unreachable(f"{place.origin} answered {found.status}", reason=f"status-{found.status}")
