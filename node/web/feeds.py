"""Feeds of an archive: the newest messages, and older ones in documents that are full for ever."""

from collections.abc import Sequence
from dataclasses import replace

import trio

from node.archive import feed
from node.archive.feed import Feed
from node.encoding import names
from node.mail.display import SHOWN
from node.mail.mask import masked
from node.ports import Response
from node.units import KIB
from node.web import looks
from node.web.catalogue import Row
from node.web.frame import Frame, Made, View
from node.web.reading import Reading

FEED = 50
"""Entries of a feed, and of each of its archived documents."""
ENTRY = 16 * KIB
"""Bytes of an entry's text; nearly all letters are shorter. Then it says where the whole is."""
TEXTS = 160 * KIB
"""Bytes of all texts of a document, before only beginnings are left: it is kept as it was made."""
LEAST = KIB
"""Bytes of a beginning."""
DOCUMENT = 10.0
"""Seconds for all the texts of a document: two mails that take as long as one may. The usual fifty
take a quarter of one."""
ATOM = "application/atom+xml; charset=utf-8"
JSON = "application/feed+json; charset=utf-8"


class Feeds:
    """Answers for feeds.

    Args:
        frame: what pages share.
        reading: opens messages.
    """

    def __init__(self, frame: Frame, reading: Reading) -> None:
        self._frame, self._reading = frame, reading
        self._last: tuple[object, list[feed.Item]] | None = None

    async def current(self, view: View) -> Response | None:
        """The feed that is subscribed to, as Atom or as JSON Feed."""
        return await self._frame.kept(view, self._current, kind=_kind(view))

    async def _current(self, view: View) -> Made:
        rows = await view.catalogue.newest(FEED)
        return await self._document(view, rows, before=(rows[0].id if rows else 0) // FEED)

    async def archived(self, view: View, number: int) -> Response | None:
        """A document that is full (RFC 5005 §4), from 1; None: it is not full yet."""
        rows = await view.catalogue.span((number - 1) * FEED + 1, 2 * FEED)
        if len(rows) < FEED:
            return None
        after = number + 1 if len(rows) == 2 * FEED else 0

        rows = rows[:FEED][::-1]

        async def make(view: View) -> Made:
            return await self._document(view, rows, before=number - 1, after=after)

        # Fifty messages are taken apart for it: not again for whoever has it.
        known = (rows, after, self._frame.states(view.row, rows))
        return await self._frame.kept(view, make, known=known, kind=_kind(view))

    async def _document(
        self, view: View, rows: Sequence[Row], before: int = 0, after: int = 0
    ) -> Made:
        """The document; whole if it has every text that it should have."""
        url, ending = view.url, view.path.rpartition(".")[2]
        rows = [row for row in rows if not row.removed]
        items = await self._items(view, rows)
        whole = len(items) == len(rows)
        items = items + [_bare(url, row) for row in rows[len(items) :]]
        document = Feed(
            id=f"{names.did(view.row.publisher)}#{_called(view)}",
            title=view.row.name,
            home=url,
            url=url + view.path,
            current=None if view.path.startswith("feed.") else f"{url}feed.{ending}",
            before=f"{url}feed/{before}.{ending}" if before else None,
            after=f"{url}feed/{after}.{ending}" if after else None,
            items=items,
        )
        return Made((feed.atom if ending == "atom" else feed.json_feed)(document), whole)

    async def _items(self, view: View, rows: Sequence[Row]) -> list[feed.Item]:
        """The entries that can be made in time; once for both forms, which come in turn."""
        known = (view.url, rows, self._frame.states(view.row, rows))
        if self._last is not None and self._last[0] == known:
            return self._last[1]
        items, left = list[feed.Item](), TEXTS
        with trio.move_on_after(DOCUMENT):
            for row in rows:
                most = min(ENTRY, max(LEAST, left))
                items.append(await self._entry(view, view.url, row, most))
                left -= len(items[-1].text.encode("utf-8", "replace"))
        if len(items) == len(rows):
            self._last = known, items
        return items

    async def _entry(self, view: View, url: str, row: Row, most: int) -> feed.Item:
        item = self._frame.item(view.row, row.message)
        shown = None if item is None else await self._reading.page(item)
        if item is None or shown is None:
            return _bare(url, row)
        found = await self._reading.signature(item, SHOWN)
        author = looks.credited(row.sender, found.did if found else "")
        bare = _bare(url, row)
        return replace(bare, text=_cut(shown.text, most, bare.url), author=author)


def _bare(url: str, row: Row) -> feed.Item:
    """An entry without its text."""
    it = looks.shown(row)
    return feed.Item(
        id=f"ipfs://{it['cid']}",
        url=f"{url}message/{it['cid']}.html",
        title=it["subject"],
        author=looks.credited(row.sender, ""),
        date=row.date,
        text="",
    )


def _kind(view: View) -> str:
    return JSON if view.path.endswith(".json") else ATOM


def _called(view: View) -> str:
    """What the archive is called where it is published, whatever a mirror calls it."""
    return view.log.origin.split("/")[-2]


def _cut(text: str, most: int, url: str) -> str:
    """The text, its addresses masked, of at most so many bytes, and where all of it is."""
    head = text[: 4 * most]
    if len(head) < len(text):
        head = (head.rsplit(None, 1) or [""])[0]  # else half an address would be none
    data = masked(head).encode("utf-8", "replace")
    if len(head) == len(text) and len(data) <= most:
        return data.decode()
    return f"{data[:most].decode('utf-8', 'ignore').rstrip()}\n\n… cut; whole: {url}"
