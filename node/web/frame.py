"""What pages of archives share: the request, the archive, tags, what is kept as it was made."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from node.archive import place
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Malformed
from node.machines.rows import Archive, Item, Log
from node.ports import Request, Response, Tables
from node.services import library
from node.services.core import Core
from node.services.desk import answered, matches, tag
from node.web.catalogue import Catalogue, Row
from node.web.looks import HTML, Looks

MINUTE = "public, max-age=60"
WEEK = "public, max-age=604800"
MONTH = 200
"""Messages on a page of a month."""
KEPT = 64
"""Pages that are kept as they were made: feeds are asked for by many."""
KEPT_SIZE = 256 * 1024
"""Bytes of a page that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One request for a page of an archive.

    Attributes:
        behind: entries that the catalogue has not seen yet.
        url: where the archive's pages are; path: below it.
    """

    request: Request
    row: Archive
    log: Log
    catalogue: Catalogue
    behind: int
    url: str
    path: str
    query: str

    @property
    def state(self) -> str:
        """Changes when the log grows, a body comes, or trust stops."""
        trusted = f"{self.row.verified} {bool(self.row.fork)}"
        return f"{self.log.note!r} {self.row.epoch} {trusted} {self.behind}"


class Made(NamedTuple):
    """The bytes of a page; `whole` unless something of it could not be made in time."""

    body: bytes
    whole: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    """In place of those of a page."""


class Frame:
    """Makes answers. Kept are pages whose tag follows from what is known before they are made."""

    def __init__(self, core: Core) -> None:
        self.core, self.looks = core, Looks()
        self._kept: OrderedDict[str, Made] = OrderedDict()

    async def kept(
        self,
        view: View,
        make: Callable[[View], Awaitable[Made | None]],
        *,
        known: object = None,
        kind: str = HTML,
        lifetime: str = MINUTE,
    ) -> Response | None:
        """A page that is made only if it is wanted, and if it is small only once.

        Args:
            view: which.
            make: its bytes; None: there is no such page.
            known: all that they follow from, as a value that prints the same when it is the same;
                None: the state of the whole archive.
            kind, lifetime: what is said of it.
        """
        state = view.state if known is None else repr(known)
        named = f"{self.looks.version} {view.url}{view.path} {state}"
        etag = tag(named.encode("utf-8", "replace"))
        if view.request.if_none_match and matches(view.request.if_none_match, etag):
            return answered(view.request, b"", kind, lifetime, etag)
        made = self._kept.get(etag) or await make(view)
        if made is None:
            return None
        headers = made.headers or self.looks.own
        if not made.whole:
            # Another time there may be more of it.
            return answered(view.request, made.body, kind, MINUTE, tag(made.body), headers)
        self._keep(etag, made)
        return answered(view.request, made.body, kind, lifetime, etag, headers)

    def _keep(self, etag: str, page: Made) -> None:
        if len(page.body) <= KEPT_SIZE:
            self._kept[etag] = page
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def html(self, view: View, name: str, title: str, **values: Any) -> bytes:
        """A page of an archive from a template."""
        up = "../" * view.path.count("/") or "./"
        at = library.place_of(view.row, self.core.config.origin)
        link = place.link(at.url, view.row.publisher)
        forked = view.row.reason if view.row.fork else None
        # Above an address that its reader alone knows there is no list, and no block.
        public = view.url == self.url(view.row)
        archive = {"name": view.row.name, "link": link, "forked": forked, "public": public}
        return self.looks.page(name, title=title, archive=archive, up=up, **values)

    def answer(self, view: View, page: bytes) -> Response:
        """A page that was made already."""
        return answered(view.request, page, HTML, MINUTE, tag(page), self.looks.own)

    def url(self, row: Archive) -> str:
        """Where an archive is served here."""
        return place.Place(origin=self.core.config.origin, root="", name=row.name).url

    def states(self, row: Archive, rows: Sequence[Row]) -> list[tuple[Cid, str]]:
        """Messages, and where their bytes are: what those say follows from that."""

        def work(tx: Tables) -> list[tuple[Cid, str]]:
            found = [(each.message, tx.items.get(each.message, row.id)) for each in rows]
            return [(name, "" if item is None else item.state) for name, item in found]

        return self.core.db.read(work)

    def item(self, row: Archive, message: Cid) -> Item | None:
        """The stored row of a message."""
        return self.core.db.read(lambda tx: tx.items.get(message, row.id))


async def found(view: View, name: str) -> Row | None:
    """A message by its printed CID."""
    try:
        return await view.catalogue.message(cids.parse(name))
    except Malformed:
        return None


def served(tx: Tables, name: str) -> tuple[Archive, Log] | None:
    """The archive that is served under a name, and its newest log."""
    row = library.public(tx, name)
    log = None if row is None else tx.logs.get(row.id, row.epoch)
    return None if row is None or log is None or not log.note else (row, log)


def all_served(tx: Tables) -> list[tuple[Archive, Log]]:
    """All archives that are served here, by name."""
    each = [served(tx, row.name) for row in tx.archives.scan() if row.public]
    return sorted((one for one in each if one is not None), key=lambda one: one[0].name)
