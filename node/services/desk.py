"""Archives as anybody can read them over HTTP: C2SP tlog-tiles, and blocks by CID.

    /archives/NAME[/EPOCH]/about        who publishes it, signed        five minutes
    /archives/NAME[/EPOCH]/checkpoint   the signed head of the log      ten seconds
    /archives/NAME[/EPOCH]/tile/…       tiles and entry bundles         for ever
    /archives/NAME[/EPOCH]/readers, …/names/…    of a private archive
    /ipfs/CID                           a block: raw, or a CAR          a week: removal gets around

A private archive is for who shows a `reading` of one of its readers, and no cache keeps it; for all
others it is not here. Everything has a strong entity tag. A head is kept in memory once it is
durable, so a poll that finds nothing new reads nothing from the disk; it can't tell what a power
cut would take back.
Spec: 12.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple, Protocol

from node import limits
from node.archive import append, tile
from node.encoding import car, cid
from node.encoding.cid import Cid
from node.errors import Absent, Gone, Malformed, RateLimited
from node.machines.rows import Archive, Log
from node.objects import message
from node.ports import CARV1, DAG_CBOR, RAW, Request, Response, Tables
from node.services import grants, library
from node.services.core import Core
from node.services.library import Library
from node.services.readers import Doorman
from node.units import Key

TEXT = "text/plain; charset=utf-8"
TILE = "application/octet-stream"

_SHORT = "public, max-age=10"
_MINUTES = "public, max-age=300"
_WEEK = "public, max-age=604800"
_NEVER = "private, no-store"
_EVER = "public, max-age=31536000, immutable"
_FORMS = ("Vary", "Accept")
"""A block is raw, or a CAR: a cache that does not look at what was asked for mixes them up."""
_ANYONE = ("Access-Control-Allow-Origin", "*")


class File(NamedTuple):
    """A file of an export.

    Attributes:
        unit: what it was asked for by.
        path: where it lies.
        tag: that of the page, where it is one.
    """

    unit: str
    path: str
    data: bytes
    tag: str = ""


class Pages(Protocol):
    """Archives for people and feed readers."""

    async def __call__(self, request: Request, path: str) -> Response | None:
        """The page at a path below `/archives/`; None: it has no such page."""
        ...

    async def to_reader(
        self, request: Request, here: tuple[Archive, Log], url: str, path: str
    ) -> Response | None:
        """A page of any archive of this node, at `path` below an address that its reader knows."""
        ...

    async def gone(self, archive: bytes) -> None:
        """Forgets what is derived from an archive: it is dropped, or followed no more."""
        ...

    def units(self, row: Archive) -> AsyncGenerator[tuple[str, str], None]:
        """All pages of an archive for an export: paths below its own, and a tag for each."""
        ...

    async def count(self, row: Archive) -> int:
        """About how many that are."""
        ...

    def files(self, row: Archive, path: str) -> AsyncGenerator[File, None]:
        """The files of one of them."""
        ...

    def lists(self, row: Archive, names: Sequence[str]) -> Sequence[File]:
        """What lies above all archives, of this one and others that are named."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """What is served of a log: durable, all of it."""

    log: Log
    etag: str
    about_etag: str
    row: Archive
    readers: bytes = b""


class Desk:
    """Answers for the archives that this node serves.

    Attributes:
        doorman: tells who asks.
        pages: for people and feed readers.
    """

    def __init__(self, core: Core, doorman: Doorman) -> None:
        self._core, self._library, self.doorman = core, Library(core), doorman
        self._heads: dict[tuple[str, str], Head] = {}
        self.pages: Pages | None = None

    def changed(self, name: str) -> None:
        """An archive of that name has another head, durable by now, or is served no more."""
        for key in [key for key in self._heads if key[0] == name]:
            del self._heads[key]

    async def gone(self, row: Archive) -> None:
        """An archive is not here any more."""
        self.changed(row.name)
        if self.pages is not None:
            await self.pages.gone(row.id)

    async def answer(self, request: Request) -> Response:
        """A page under `/archives/`.

        Raises:
            Absent: there is no such thing.
        """
        who = self.doorman.who(request)
        path = request.path.partition("?")[0].removeprefix("/archives/")
        name, _, rest = path.partition("/")
        epoch, slash, last = rest.partition("/")
        if not (slash and epoch.isascii() and epoch.isdigit()):
            epoch, last = "", rest
        if last == "checkpoint":
            head = await self._head(name, epoch, who)
            answer = _given(head, request, head.log.note, TEXT, _SHORT, head.etag)
            if head.row.private:
                return answer  # who asks is looked at each time
            return replace(answer, holds=lambda: self._heads.get((name, epoch)) is head)
        if last == "about":
            head = await self._head(name, epoch, who)
            return _given(head, request, head.log.about, DAG_CBOR, _MINUTES, head.about_etag)
        if last.startswith("tile/"):
            return await self._tile(request, await self._head(name, epoch, who), last)
        if last == "readers" or last.startswith("names/"):
            return self._sealed(request, await self._head(name, epoch, who), last)
        found = None if self.pages is None else await self.pages(request, path)
        if found is None:
            raise Absent("there is no such page", reason="no-such-page")
        return found

    async def _head(self, name: str, epoch: str, who: Key | None) -> Head:
        found = await self._loaded(name, epoch)
        if not grants.may_read(found.row, who):
            raise _unknown(name)
        return found

    async def _loaded(self, name: str, epoch: str) -> Head:
        found = self._heads.get((name, epoch))
        if found is None:
            if epoch.startswith("0") or len(epoch) > 9:
                raise _unknown(name)
            self._core.db.read(lambda tx: _load(tx, name, epoch))
            # Once more, now with what was read on the disk: a head must never be taken back.
            found = await self._core.db.transact(lambda tx: _load(tx, name, epoch))
            self._heads[name, epoch] = found
        return found

    def _sealed(self, request: Request, head: Head, path: str) -> Response:
        """What only private archives have: who reads, and which messages their entries name."""
        if not head.row.private:
            raise Absent("there is no such page", reason="no-such-page")
        if path == "readers":
            return _given(head, request, head.readers, DAG_CBOR, _NEVER, tag(head.readers))
        wanted = _wanted(f"tile/entries/{path.removeprefix('names/')}", head.log)
        names = self._core.db.read(lambda tx: grants.names_of(tx, head.log, wanted.index))
        data = names[: wanted.width * grants.NAME]
        if len(data) < wanted.width * grants.NAME:
            raise Absent("not all of these entries are known here yet")
        return _given(head, request, data, TILE, _NEVER, tag(data))

    async def _tile(self, request: Request, head: Head, path: str) -> Response:
        wanted = _wanted(path, head.log)
        stored = self._core.db.read(
            lambda tx: library.tiles_of(tx, head.log)(wanted.level, wanted.index)
        )
        data = append.cut(wanted, stored)
        return _given(head, request, data, TILE, _EVER, tag(data))

    async def block(self, request: Request) -> Response:
        """A block under `/ipfs/`: raw unless a CAR is asked for.

        Raises:
            Gone: its message was removed.
            Absent: there is no such block for everybody, or it is too much for one CAR.
            RateLimited: there is no room for that CAR now.
        """
        who = self.doorman.who(request)
        path, _, query = request.path.partition("?")
        try:
            name = cid.parse(path.removeprefix("/ipfs/"))
        except Malformed as error:
            raise Absent("there is no such block") from error
        found, open_to_all, gone = self._core.db.read(
            lambda tx: (
                library.serves(tx, name, who),
                library.serves(tx, name),
                library.was_served(tx, name, who),
            )
        )
        if not found:
            raise Gone("this message was removed") if gone else Absent("there is no such block")
        lifetime = _WEEK if open_to_all else _NEVER
        if request.car:
            return await self._car(request, name, query, lifetime)
        headers = (("X-Ipfs-Path", f"/ipfs/{cid.show(name)}"), _FORMS)
        kept = f'"{cid.show(name)}"'
        if request.if_none_match == kept:
            return answered(request, b"", RAW, lifetime, kept, headers)
        data = await self._library.block(name)
        return answered(request, data, RAW, lifetime, kept, headers)

    async def _car(self, request: Request, name: Cid, query: str, lifetime: str) -> Response:
        kept = f'"{cid.show(name)}.car"'
        if request.if_none_match == kept:
            return answered(request, b"", CARV1, lifetime, kept, (_FORMS,))
        root = await self._library.block(name)
        blocks = [(name, root)]
        whole = "dag-scope=block" not in query and cid.is_object(name)
        parts = message.KIND.decode(root).claim.parts if whole else ()
        _check_room(request, [len(root), *(part.size for part in parts)])
        for part in parts:
            blocks.append((part.cid, await self._library.block(part.cid)))
        kind = f"{CARV1}; version=1"
        return answered(request, _rooted(blocks), kind, lifetime, kept, (_FORMS,))


def _check_room(request: Request, sizes: Sequence[int]) -> None:
    """Before anything is read: an answer lies in memory whole. One block is always given."""
    size = car.HEADER + car.ROOT + sum(car.FRAME + size for size in sizes)
    if size <= request.room or len(sizes) == 1:
        return
    if size <= limits.CAR:
        raise RateLimited("too many answers are under way: try again later")
    raise Absent(
        f"all blocks of this message are {size:,} bytes: take them one by one",
        reason="too-large",
    )


def _rooted(blocks: list[tuple[Cid, bytes]]) -> bytes:
    """A CAR with one root, the block that was asked for, as the trustless gateway has it."""
    return car.write(blocks[:1], blocks[1:])


def _load(tx: Tables, name: str, epoch: str) -> Head:
    row = library.served(tx, name)
    if row is None:
        raise _unknown(name)
    log = tx.logs.get(row.id, int(epoch) if epoch else row.epoch)
    if log is None or not log.note:
        raise _unknown(name)
    readers = grants.object_of(tx, log) if row.private else b""
    # New readers make a new tag: who polls looks at them then, in the same request as ever.
    return Head(log, tag(log.note + readers), tag(log.about), row, readers)


def _wanted(path: str, log: Log) -> tile.Tile:
    try:
        wanted = tile.parse(path)
    except Malformed as error:
        raise Absent(error.text) from error
    if not tile.has(wanted, log.size):
        raise Absent("this log is not that large")
    return wanted


def _given(
    head: Head, request: Request, data: bytes, kind: str, lifetime: str, etag: str
) -> Response:
    return answered(request, data, kind, _NEVER if head.row.private else lifetime, etag)


def _unknown(name: str) -> Absent:
    return Absent(f"there is no archive {name[:64]!r} here", reason="no-archive")


def tag(data: bytes) -> str:
    """A strong entity tag."""
    return f'"{sha256(data).hexdigest()[:32]}"'


def answered(
    request: Request,
    data: bytes,
    kind: str,
    lifetime: str,
    etag: str,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """The bytes, or 304 where they are there already."""
    anyone = () if lifetime == _NEVER else (_ANYONE,)
    fields = (("ETag", etag), ("Cache-Control", lifetime), *anyone, *headers)
    if request.if_none_match and matches(request.if_none_match, etag):
        return Response(status=304, headers=fields)
    return Response(status=200, body=data, content_type=kind, headers=fields)


def matches(asked: str, etag: str) -> bool:
    """Whether If-None-Match names this tag; weak ones too, as RFC 9110 §13.1.2 compares them."""
    if asked in (etag, "*"):
        return True
    return any(each.strip().removeprefix("W/") == etag for each in asked.split(","))
