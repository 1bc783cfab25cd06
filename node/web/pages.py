"""Archives for people and feed readers: `/archives/…`, all but the log itself.

    /archives/                     the archives of this node      archives.opml
    /archives/NAME/                newest conversations, months   feed.atom  feed.json  search?q=
    …/YYYY-MM.html                 a month (.pN.html: its next pages; .mbox.gz: its mail)
    …/thread/CID.html              a conversation (.mbox.gz)
    …/YYYY-MM.N.mbox.gz            more of it, where it is much; of a conversation as well
    …/message/CID.html             a message (.eml .body.html; CID/N.bin: what is attached)
    …/id/MESSAGE-ID                to the message, or the few that are called so
    …/feed/N.atom, N.json          the N-th fifty of the archive (RFC 5005)

Every address is a file's name, so an export looks the same. Tags come from the head of the log
wherever they can: who has a page already costs no work. No script anywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from node.archive import feed
from node.encoding import cid as cids
from node.encoding import origin
from node.encoding.cid import Cid
from node.errors import Absent
from node.machines.rows import Archive, Log
from node.ports import Request, Response
from node.services import library
from node.services.core import Core
from node.services.desk import File, answered, tag
from node.web import looks
from node.web.catalogue import ALL, Row, words_of
from node.web.feeds import Feeds
from node.web.frame import MINUTE, MONTH, Frame, Made, View, all_served, found, served
from node.web.leaves import Leaves
from node.web.letters import THREAD, Letters, mboxes, oversized
from node.web.looks import HTML
from node.web.reading import Reading
from node.web.shelf import Catalogues

NEWEST = 100
"""Messages that the first page looks at."""
FOUND = 100
"""Messages that a search shows."""
QUESTION = 200
"""Characters of a search that are looked at."""
_PATHS = re.compile(
    r"(?P<index>)"
    r"|(?P<feed>feed\.(?:atom|json))|feed/(?P<page>[1-9][0-9]{0,8})\.(?:atom|json)"
    r"|(?P<search>search)"
    r"|(?P<month>[0-9]{4}-[0-9]{2}|undated)(?:\.p(?P<part>[2-9]|[1-9][0-9]{1,4}))?\.html"
    r"|(?P<mbox>[0-9]{4}-[0-9]{2}|undated)(?:\.(?P<volume>[2-9]|[1-9][0-9]{1,4}))?\.mbox\.gz"
    r"|thread/(?P<thread>b[a-z2-7]+)\.html"
    r"|thread/(?P<mail>b[a-z2-7]+)(?:\.(?P<piece>[2-9]|[1-9][0-9]{1,4}))?\.mbox\.gz"
    r"|message/(?P<message>b[a-z2-7]+)\.(?P<kind>html|eml|body\.html)"
    r"|message/(?P<with>b[a-z2-7]+)/(?P<file>[1-9][0-9]{0,2})\.bin"
    r"|id/(?P<identity>[^/]+)"
)


class Site:
    """`services.desk.Pages`.

    Args:
        core: the ports.
        catalogues: of the archives.
        reading: opens messages for their pages; feeding: for feeds.
    """

    def __init__(
        self, core: Core, catalogues: Catalogues, reading: Reading, feeding: Reading
    ) -> None:
        self._core, self._catalogues = core, catalogues
        self._frame = Frame(core)
        self._feeds = Feeds(self._frame, feeding)
        self._letters = Letters(self._frame, reading)

    async def __call__(self, request: Request, path: str) -> Response | None:
        """The page at a path below `/archives/`; None: there is no such page.

        Raises:
            Absent: the same, with words, for whoever takes no HTML.
        """
        try:
            found = await self._found(request, path)
            text = "Nothing is at this address, or not any more."
        except Absent as error:
            if not _reads(request):
                raise
            found, text = None, error.text
        return self._absent(path, text) if found is None and _reads(request) else found

    def _absent(self, path: str, text: str) -> Response:
        up = "../" * path.count("/") or "./"
        page = self._frame.looks.page("absent", title="No such page", text=text, up=up)
        fields = (*self._frame.looks.own, ("Vary", "Accept"))
        return Response(status=404, body=page, content_type=HTML, headers=fields)

    async def _found(self, request: Request, path: str) -> Response | None:
        if path in ("", "archives.opml"):
            return self._all(request, path)
        name, slash, rest = path.partition("/")
        here = self._core.db.read(lambda tx: served(tx, name))
        if here is None:
            return None
        if not slash:
            return Response(status=301, headers=(("Location", f"{quote(name)}/"),))
        return await self.shown(request, here, self._frame.url(here[0]), rest)

    async def shown(
        self, request: Request, here: tuple[Archive, Log], url: str, rest: str
    ) -> Response | None:
        """A page of one archive, to whoever may see it.

        Args:
            request: the request.
            here: the archive and its newest log.
            url: where its pages are.
            rest: the path below that.
        """
        parts = _PATHS.fullmatch(rest)
        if parts is None:
            return None
        catalogue, behind = await self._catalogues.current(here[0])
        view = View(
            request=request,
            row=here[0],
            log=here[1],
            catalogue=catalogue,
            behind=behind,
            url=url,
            path=rest,
            query=request.path.partition("?")[2],
        )
        return await self._page(view, _given(parts))

    # --- for files ---------------------------------------------------------------------------

    @property
    def leaves(self) -> Leaves:
        """All pages of an archive, as files."""
        return Leaves(self._frame, self._whole, self._below, self._letters.with_it)

    async def _whole(self, row: Archive) -> View:
        """An archive whose catalogue has seen all of it."""
        catalogue, behind = await self._catalogues.current(row)
        while behind:
            catalogue, behind = await self._catalogues.current(row)
        log = self._core.db.read(lambda tx: library.log_of(tx, row))
        request = Request(method="GET", path="/")
        return View(request=request, row=row, log=log, catalogue=catalogue, behind=0,
                    url=self._frame.url(row), path="", query="")  # fmt: skip

    async def _below(self, view: View, path: str) -> Response | None:
        parts = _PATHS.fullmatch(path)
        return None if parts is None else await self._page(replace(view, path=path), _given(parts))

    def lists(self, row: Archive, names: Sequence[str]) -> list[File]:
        """The list of archives and of their feeds, of those among them that are exported."""
        log = self._core.db.read(lambda tx: library.log_of(tx, row))
        others = self._core.db.read(all_served)
        rows = [each for each in others if each[0].name in names and each[0].name != row.name]
        rows = sorted([*rows, (row, log)], key=lambda each: each[0].name)
        paths = ("archives/archives.opml", "archives/index.html")
        return [File(path, path, self._listed(rows, path.endswith(".opml"))) for path in paths]

    async def _page(self, view: View, given: dict[str, str]) -> Response | None:
        match given:
            case {"feed": _}:
                return await self._feeds.current(view)
            case {"page": number}:
                return await self._feeds.archived(view, int(number))
            case {"search": _}:
                return await self._search(view)
            case {"month": month}:
                part = int(given.get("part", 1))
                return await self._month(view, month, part)
            case {"mbox": month}:
                rows = await view.catalogue.month(month, 0, ALL)
                return await self._letters.mbox(view, rows, month, int(given.get("volume", 1)))
            case {"mail": name}:
                return await self._mail(view, name, int(given.get("piece", 1)))
            case {"thread": name}:
                return await self._thread(view, name)
            case {"message": name, "kind": kind}:
                return await self._letters.message(view, name, kind)
            case {"with": name, "file": number}:
                return await self._letters.file(view, name, int(number))
            case {"identity": identity}:
                return await self._called(view, unquote(identity).strip("<>"))
            case _:
                return await self._frame.kept(view, self._index)

    def _all(self, request: Request, path: str) -> Response:
        page = self._listed(self._core.db.read(all_served), bool(path))
        if path:
            return answered(request, page, "text/x-opml; charset=utf-8", MINUTE, tag(page))
        return answered(request, page, HTML, MINUTE, tag(page), self._frame.looks.own)

    def _listed(self, rows: Sequence[tuple[Archive, Log]], opml: bool) -> bytes:
        if opml:
            title = f"Archives of {origin.split(self._core.config.origin)[0]}"
            urls = [(row.name, self._frame.url(row)) for row, _ in rows]
            return feed.opml(title, [(name, f"{url}feed.atom", url) for name, url in urls])
        listed = [{"name": row.name, "size": log.size} for row, log in rows]
        return self._frame.looks.page("list", title="Archives of this node", rows=listed)

    async def _index(self, view: View) -> Made:
        rows = await view.catalogue.newest(NEWEST)
        page = self._frame.html(
            view,
            "archive",
            view.row.name,
            rows=_conversations(rows, await view.catalogue.roots([row.root for row in rows])),
            months=await view.catalogue.months(),
            count=view.log.size,
            behind=view.behind,
        )
        return Made(page)

    async def _month(self, view: View, month: str, part: int) -> Response | None:
        months = {each.month: each for each in await view.catalogue.months()}
        rows = await view.catalogue.month(month, (part - 1) * MONTH, MONTH)
        if not rows:
            raise Absent(f"there is no mail of {month} on this page", reason="no-such-page")
        total, pages = months[month], ceil(months[month].messages / MONTH)
        beside = _beside(list(months), month, part, pages)
        files = mboxes(month, await view.catalogue.sizes(month))

        async def make(view: View) -> Made:
            page = self._frame.html(
                view,
                "month",
                f"{view.row.name}: {month}",
                month=month,
                page=part,
                pages=pages,
                total=total.messages,
                files=files,
                over=oversized(rows),
                rows=looks.tree(rows),
                beside=beside,
            )
            return Made(page)

        return await self._frame.kept(view, make, known=(total, files, rows, beside))

    async def _mail(self, view: View, name: str, part: int) -> Response | None:
        row = await found(view, name)
        if row is None:
            return None
        rows = await view.catalogue.thread(row.message, ALL)
        root = cids.show((await view.catalogue.roots([row.root]))[row.root])
        return await self._letters.mbox(view, rows, root[-8:], part)

    async def _thread(self, view: View, name: str) -> Response | None:
        row = await found(view, name)
        if row is None:
            return None
        rows = await view.catalogue.thread(row.message, THREAD + 1)
        root = cids.show((await view.catalogue.roots([row.root]))[row.root])
        files = mboxes(root, await view.catalogue.sizes_of_thread(row.message))

        async def make(view: View) -> Made:
            page = self._frame.html(
                view,
                "thread",
                looks.shown(rows[0])["subject"],
                rows=looks.tree(rows[:THREAD]),
                cut=len(rows) > THREAD,
                root=root,
                files=files,
                over=oversized(rows),
            )
            return Made(page)

        return await self._frame.kept(view, make, known=(rows, files))

    async def _search(self, view: View) -> Response:
        q = parse_qs(view.query).get("q", [""])[0][:QUESTION]
        words = words_of(q)
        behind = await self._catalogues.searched(view.row, view.catalogue) if words else 0
        rows = [looks.shown(row) for row in await view.catalogue.find(words, FOUND)]
        title = f"Find in {view.row.name}"
        return self._frame.answer(
            view,
            self._frame.html(view, "search", title, q=q, behind=behind, rows=rows, most=FOUND),
        )

    async def _called(self, view: View, identity: str) -> Response | None:
        rows = await view.catalogue.called(identity, FOUND)
        if len(rows) == 1:
            where = f"../message/{cids.show(rows[0].message)}.html"
            return Response(status=302, headers=(("Location", where),))
        listed = [looks.shown(row) for row in rows]
        page = self._frame.html(view, "called", "Several messages", rows=listed)
        return self._frame.answer(view, page) if rows else None


def _given(parts: re.Match[str]) -> dict[str, str]:
    return {name: part for name, part in parts.groupdict().items() if part is not None}


def _reads(request: Request) -> bool:
    """Whether whoever asks shows pages to a person."""
    return "text/html" in request.accept


def _conversations(rows: list[Row], roots: dict[int, Cid]) -> list[dict[str, Any]]:
    """The newest message of each conversation, and how many of it are among the newest."""
    order: dict[int, list[Row]] = {}
    for row in rows:
        order.setdefault(row.root, []).append(row)
    return [
        {**looks.shown(each[0]), "count": len(each), "root": cids.show(roots[root])}
        for root, each in order.items()
    ]


def _beside(months: list[str], month: str, part: int, pages: int) -> list[tuple[str, str]]:
    """Where to go on from a page of a month: its other pages, and the months beside it."""
    made = []
    if part > 1:
        made.append((f"{month}.html" if part == 2 else f"{month}.p{part - 1}.html", "page before"))
    if part < pages:
        made.append((f"{month}.p{part + 1}.html", "next page"))
    at = months.index(month)
    if at + 1 < len(months):
        made.append((f"{months[at + 1]}.html", months[at + 1]))
    if at > 0:
        made.append((f"{months[at - 1]}.html", months[at - 1]))
    return made
