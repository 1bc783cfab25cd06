"""The pages of an archive as files: which there are, with which tags, and their bytes.

A page is asked for as a browser would, so a file has the bytes that are served. Two are made for
files:

    search/index.html          there is no program that searches; it says so
    id/MESSAGE-ID/index.html   leads to the message, as a redirect does over HTTP

Tags come from asking with `If-None-Match: *`, which costs the rows that a page follows from.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from urllib.parse import quote, unquote

import trio

from node.encoding import cid as cids
from node.errors import Absent, RateLimited
from node.machines.rows import Archive
from node.ports import Response
from node.services.desk import File
from node.web import looks
from node.web.catalogue import Row
from node.web.feeds import FEED
from node.web.frame import MONTH, Frame, Made, View
from node.web.letters import mboxes

STEP = 256
"""Rows of a catalogue that are read at once."""
NAMED = 200
"""Bytes of a Message-ID that is a folder's name: 255 is what file systems take."""
ALIASES = 100
"""Messages of one Message-ID that are listed."""


class Leaves:
    """All pages of an archive.

    Args:
        frame: what pages share.
        view: of an archive, whose catalogue has seen all of it.
        page: answers for a page below an archive.
        with_it: what belongs to a message's page.
    """

    def __init__(
        self,
        frame: Frame,
        view: Callable[[Archive], Awaitable[View]],
        page: Callable[[View, str], Awaitable[Response | None]],
        with_it: Callable[[View, str], Awaitable[list[str]]],
    ) -> None:
        self._frame, self._view, self._page, self._with_it = frame, view, page, with_it

    async def units(self, row: Archive) -> AsyncGenerator[tuple[str, str], None]:
        """Paths below the archive's own, and their tags: what is linked to before what links."""
        view = await self._view(row)
        asking = replace(view, request=replace(view.request, if_none_match="*"))
        async for path in self._paths(view):
            answer = await self._answer(asking, path)
            if answer is not None:
                yield path, _tag(answer)

    async def count(self, row: Archive) -> int:
        """About how many paths there are."""
        return 4 * await (await self._view(row)).catalogue.count()

    async def files(self, row: Archive, path: str) -> AsyncGenerator[File, None]:
        """A page, and what belongs to a message's; none where it is not there any more."""
        view = await self._view(row)
        paths = [path]
        if path.startswith("message/"):
            name = path.removeprefix("message/").removesuffix(".html")
            # First what the page links to.
            paths = [*await self._with_it(view, name), path]
        for each in paths:
            answer = await self._answer(view, each)
            if answer is not None and answer.status == 200:
                yield File(path, _on_disk(each), answer.body, _tag(answer) if each == path else "")

    async def _answer(self, view: View, path: str) -> Response | None:
        try:
            if path == "search":
                return await self._no_search(view)
            if path.startswith("id/"):
                return await self._moved(view, unquote(path.removeprefix("id/")))
            return await self._page(view, path)
        except (Absent, RateLimited):
            return None  # removed meanwhile, or too much for one file: no page links to it

    async def _paths(self, view: View) -> AsyncGenerator[str, None]:
        catalogue = view.catalogue
        async for row in _all(lambda after: catalogue.span(after + 1, STEP)):
            yield f"message/{cids.show(row.message)}.html"
        async for row in _all(lambda after: catalogue.conversations(after, STEP)):
            name, sizes = cids.show(row.message), await catalogue.sizes_of_thread(row.message)
            for path in (*mboxes(name, sizes), f"{name}.html"):
                yield f"thread/{path}"
        after = ""
        while names := await catalogue.identities(after, STEP):
            for name in names:
                if _fits(name):
                    yield f"id/{quote(name, safe='')}"
            after = names[-1]
        for path in await self._lists(view):
            yield path

    async def _lists(self, view: View) -> Sequence[str]:
        made = []
        for month, messages, _ in await view.catalogue.months():
            made += mboxes(month, await view.catalogue.sizes(month))
            made += [f"{month}.p{part}.html" for part in range(2, -(-messages // MONTH) + 1)]
            made.append(f"{month}.html")
        full = await view.catalogue.count() // FEED
        for number in range(1, full + 1):
            made += [f"feed/{number}.atom", f"feed/{number}.json"]
        return (*made, "feed.atom", "feed.json", "search", "")

    # --- made for files ---------------------------------------------------------------------

    async def _no_search(self, view: View) -> Response | None:
        view = replace(view, path="search/")
        url = f"{self._frame.url(view.row)}search"

        async def make(view: View) -> Made:
            title = f"Find in {view.row.name}"
            return Made(self._frame.html(view, "nosearch", title, url=url))

        return await self._frame.kept(view, make, known=url)

    async def _moved(self, view: View, identity: str) -> Response | None:
        rows = await view.catalogue.called(identity, ALIASES)
        if not rows:
            return None
        view = replace(view, path=f"id/{quote(identity, safe='')}/")
        return await self._frame.kept(view, self._leading(rows), known=rows)

    def _leading(self, rows: Sequence[Row]) -> Callable[[View], Awaitable[Made]]:
        async def make(view: View) -> Made:
            listed = [looks.shown(row) for row in rows]
            await trio.lowlevel.checkpoint()
            if len(rows) == 1:
                return Made(self._frame.html(view, "moved", "A message", rows=listed))
            return Made(self._frame.html(view, "called", "Several messages", rows=listed))

        return make


async def _all(
    some: Callable[[int], Awaitable[list[Row]]],
) -> AsyncGenerator[Row, None]:
    after = 0
    while rows := await some(after):
        for row in rows:
            yield row
        after = rows[-1].id


def _fits(identity: str) -> bool:
    """Whether it can be the name of a folder, on any file system that takes UTF-8."""
    plain = identity.isprintable() and not set(identity) & set('/\\:*?"<>|')
    return plain and 0 < len(identity.encode()) <= NAMED and identity[0] != "." != identity[-1]


def _on_disk(path: str) -> str:
    """Where a page lies: a web server gives `index.html` for a folder."""
    if path in ("", "search"):
        return f"{path}/index.html".lstrip("/")
    if path.startswith("id/"):
        return f"id/{unquote(path.removeprefix('id/'))}/index.html"
    return path


def _tag(answer: Response) -> str:
    return next(value for name, value in answer.headers if name == "ETag")
