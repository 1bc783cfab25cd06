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
from node.web import looks
from node.web.catalogue import Row
from node.web.frame import Frame, Made, View
from node.web.reading import Reading

FEED = 50
"""Entries of a feed, and of each of its archived documents."""
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

    async def current(self, view: View) -> Response | None:
        """The feed that is subscribed to, as Atom or as JSON Feed."""
        kind = ATOM if view.path == "feed.atom" else JSON
        return await self._frame.kept(view, self._current, kind=kind)

    async def _current(self, view: View) -> Made:
        rows = await view.catalogue.newest(FEED)
        full = (rows[0].id if rows else 0) // FEED
        if view.path == "feed.json":
            document, whole = await self._document(view, rows)
            return Made(feed.json_feed(document), whole)
        document, whole = await self._document(view, rows, before=full)
        return Made(feed.atom(document), whole)

    async def archived(self, view: View, number: int) -> Response | None:
        """A document that is full (RFC 5005 §4), from 1; None: it is not full yet."""
        rows = await view.catalogue.span((number - 1) * FEED + 1, 2 * FEED)
        if len(rows) < FEED:
            return None
        after = number + 1 if len(rows) == 2 * FEED else 0

        rows = rows[:FEED][::-1]

        async def make(view: View) -> Made:
            document, whole = await self._document(view, rows, before=number - 1, after=after)
            return Made(feed.atom(document), whole)

        # Fifty messages are taken apart for it: not again for whoever has it.
        known = (rows, after, self._frame.states(view.row, rows))
        return await self._frame.kept(view, make, known=known, kind=ATOM)

    async def _document(
        self, view: View, rows: Sequence[Row], before: int = 0, after: int = 0
    ) -> tuple[Feed, bool]:
        """The document, and whether it has every text that it should have."""
        url = view.url
        rows = [row for row in rows if not row.removed]
        items: list[feed.Item] = []
        with trio.move_on_after(DOCUMENT):
            for row in rows:
                items.append(await self._entry(view, url, row))
        whole = len(items) == len(rows)
        items += [_bare(url, row) for row in rows[len(items) :]]
        document = Feed(
            id=f"{names.did(view.row.publisher)}#{view.row.name}",
            title=view.row.name,
            home=url,
            url=url + view.path,
            current=None if view.path.startswith("feed.") else f"{url}feed.atom",
            before=f"{url}feed/{before}.atom" if before else None,
            after=f"{url}feed/{after}.atom" if after else None,
            items=items,
        )
        return document, whole

    async def _entry(self, view: View, url: str, row: Row) -> feed.Item:
        item = self._frame.item(view.row, row.message)
        shown = None if item is None else await self._reading.page(item)
        if item is None or shown is None:
            return _bare(url, row)
        found = await self._reading.signature(item, SHOWN)
        author = looks.credited(row.sender, found.did if found else "")
        return replace(_bare(url, row), text=masked(shown.text), author=author)


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
