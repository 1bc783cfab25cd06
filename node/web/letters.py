"""Pages of one message: text, HTML made safe, bytes, what is attached; and mail as mbox."""

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import trio
from markupsafe import Markup

from node import limits
from node.encoding import cid as cids
from node.errors import Absent
from node.machines.rows import Item
from node.mail import mbox
from node.mail.display import HTML, SHOWN
from node.mail.mask import masked, masked_name
from node.ports import Response, Shown
from node.units import KIB
from node.web import looks, sanitise
from node.web.catalogue import Row
from node.web.frame import WEEK, Frame, Made, View, found
from node.web.reading import Reading, Signature

THREAD = 500
"""Messages of a conversation that are listed."""
WHOLE = limits.CAR
"""Bytes of mail that are put into one answer: it is made in memory, as a pickup's is."""
PIECE = 256 * KIB
"""Bytes that are compressed before others have their turn: some ten milliseconds."""
GZIP = 31
"""To zlib: gzip's form. Its head has no time, so the same mail is the same file."""


class Letters:
    """Answers for messages.

    Args:
        frame: what pages share.
        reading: opens messages.
    """

    def __init__(self, frame: Frame, reading: Reading) -> None:
        self._frame, self._reading = frame, reading

    async def message(self, view: View, name: str, kind: str) -> Response | None:
        """A message as a page, `eml` or `body.html`; None: it is not in the archive."""
        row = await found(view, name)
        item = None if row is None else self._frame.item(view.row, row.message)
        if row is None or item is None:
            return None
        if kind == "eml":
            return await self._eml(view, item)
        if kind == "body.html":
            return await self._body(view, row, item)
        thread = await view.catalogue.thread(row.message, THREAD + 1)
        root = (await view.catalogue.roots([row.root]))[row.root]

        async def make(view: View) -> Made:
            shown = None if row.removed else await self._reading.page(item)
            signature = await self._signature(view, item) if shown else None
            it = looks.shown(row)
            page = self._frame.html(
                view,
                "message",
                it["subject"],
                it=it,
                rows=looks.tree(thread[:THREAD]),
                listed=THREAD if len(thread) > THREAD else None,
                root=cids.show(root),
                **_inside(row, item, shown, signature),
            )
            return Made(page, shown is not None or item.state != "here")

        return await self._frame.kept(view, make, known=(row, item.state, thread))

    async def _signature(self, view: View, item: Item) -> Signature | None:
        if SHOWN < item.size <= WHOLE:
            view.request.reserve(item.size)
        return await self._reading.signature(item, WHOLE)

    async def _eml(self, view: View, item: Item) -> Response | None:
        async def make(view: View) -> Made:
            view.request.reserve(item.size)
            return Made(
                await self._reading.whole(item, WHOLE),
                headers=(saved_as(f"{cids.show(item.message)[-8:]}.eml"),),
            )

        known = (item.message, item.state)
        return await self._frame.kept(view, make, known=known, kind="message/rfc822", lifetime=WEEK)

    async def _body(self, view: View, row: Row, item: Item) -> Response | None:
        async def make(view: View) -> Made | None:
            markup = None if row.removed else await self._reading.html(item)
            if markup is None:
                return None
            it, cleaned = looks.shown(row), Markup(sanitise.clean(markup))
            cut = item.size > SHOWN or len(markup) >= HTML
            page = self._frame.html(view, "body", it["subject"], it=it, cleaned=cleaned, cut=cut)
            return Made(page, headers=self._frame.looks.sandboxed)

        return await self._frame.kept(view, make, known=(row, item.state), lifetime=WEEK)

    async def file(self, view: View, name: str, number: int) -> Response | None:
        """What is attached, by its place from 1; never as the type that it claims to be."""
        row = await found(view, name)
        item = None if row is None else self._frame.item(view.row, row.message)
        if item is None:
            return None

        async def make(view: View) -> Made | None:
            view.request.reserve(item.size)
            file = await self._reading.file(item, number - 1, WHOLE)
            return (
                None
                if file is None
                else Made(file.data, headers=(saved_as(masked_name(file.name)),))
            )

        known = (item.message, item.state, number)
        return await self._frame.kept(
            view, make, known=known, kind="application/octet-stream", lifetime=WEEK
        )

    async def with_it(self, view: View, name: str) -> list[str]:
        """The paths of what belongs to a message's page: its bytes, its HTML, what is attached."""
        row = await found(view, name)
        item = None if row is None else self._frame.item(view.row, row.message)
        if row is None or item is None or item.state != "here":
            return []
        shown = await self._reading.page(item)
        made = [f"message/{name}.eml"] if item.size <= WHOLE else []
        if shown is not None and shown.html:
            made.append(f"message/{name}.body.html")
        if shown is not None and item.size <= WHOLE:
            made += [f"message/{_attached(name, n)}" for n in range(1, len(shown.files) + 1)]
        return made

    async def mbox(self, view: View, rows: Sequence[Row], name: str, part: int) -> Response | None:
        """Some of these messages as a compressed mboxrd file, the bytes of each as they came.

        Args:
            view: the archive.
            rows: all messages of a month or conversation.
            name: what that is called in the name of the file.
            part: which of their files, from 1.

        Raises:
            Absent: each message is too much for one answer.
        """
        files = volumes([weight(row) for row in rows], WHOLE)
        if rows and not files:
            raise Absent("this is too much for one file", next="take the blocks from /ipfs/")
        if not rows or part > len(files):
            return None
        rows = [rows[at] for at in files[part - 1]]
        size = sum(map(weight, rows))
        name = name if part == 1 else f"{name}.{part}"

        async def make(view: View) -> Made:
            # The bytes come one message at a time; what is made of them may be as large.
            view.request.reserve(size)
            saved = saved_as(f"{view.row.name}-{name}.mbox.gz")
            return Made(await self._packed(view, rows), headers=(saved,))

        known = [row.date for row in rows], self._frame.states(view.row, rows)
        return await self._frame.kept(view, make, known=known, kind="application/gzip")

    async def _packed(self, view: View, rows: Sequence[Row]) -> bytes:
        packer, made = zlib.compressobj(wbits=GZIP), bytearray()
        for row in rows:
            item = self._frame.item(view.row, row.message)
            if item is not None and item.state == "here":
                whole = await self._reading.whole(item, WHOLE)
                for piece in mbox.write(row.date, _pieces(whole)):
                    made += packer.compress(piece)
                    # All of it at once would stop the node for a second, for whoever asks.
                    await trio.lowlevel.checkpoint()
        return bytes(made + packer.flush())


def weight(row: Row) -> int:
    """The bytes of a message that there still are."""
    return 0 if row.removed else row.size


def volumes(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Messages put into files, in their order: whole ones, of at most `most` bytes together.

    Returns:
        The places of those in each file. Larger ones are in none; without those there is one file.
    """
    files, room = list[list[int]](), 0
    for at, size in enumerate(sizes):
        if size > most:
            continue
        if not files or size > room:
            files.append([])
            room = most
        files[-1].append(at)
        room -= size
    return files or ([] if sizes else [[]])


def mboxes(name: str, sizes: Sequence[int]) -> list[str]:
    """The files of mail of a month or conversation, as pages name them."""
    more = range(2, len(volumes(sizes, WHOLE)) + 1)
    first = [] if sizes and min(sizes) > WHOLE else [f"{name}.mbox.gz"]
    return [*first, *(f"{name}.{part}.mbox.gz" for part in more)]


def oversized(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Those that no file of mail holds, as lists show them."""
    return [looks.shown(row) for row in rows if weight(row) > WHOLE]


def _attached(name: str, number: int) -> str:
    """Where something attached is.

    Whatever name its sender gave it, any web server takes `.bin` for bytes that are saved.
    """
    return f"{name}/{number}.bin"


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def _inside(
    row: Row, item: Item, shown: Shown | None, signature: Signature | None
) -> dict[str, Any]:
    """What a page says of a message's inside."""
    if shown is None:
        why = "" if row.removed else "Its bytes are not here, or can't be taken apart."
        return {"why": why, "headers": [], "marks": [], "text": "", "files": [], "html": False,
                "size": "", "signer": "", "claimed": True}  # fmt: skip
    cid = cids.show(row.message)
    signer, why = signature or ("", "")
    files = []
    for number, each in enumerate(shown.files, 1):
        url = _attached(cid, number) if item.size <= WHOLE else ""
        size = "" if each.size is None else f"{each.size:,} bytes"
        files.append((url, masked_name(each.name), masked(each.type), size))
    return {
        "why": "",
        "headers": [(name, masked(value)) for name, value in shown.headers.items() if value],
        "marks": [masked(mark) for mark in shown.marks] + ([why] if why else []),
        "signer": signer,
        "claimed": not looks.is_from(shown.headers.get("From", ""), signer),
        "text": masked(shown.text),
        "files": files,
        "html": shown.html,
        "size": "" if item.size <= WHOLE else f"{item.size:,}",
    }


def saved_as(name: str) -> tuple[str, str]:
    """A header that makes a browser save what it gets (RFC 6266, RFC 8187)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    encoded = quote(name, safe="")
    return "Content-Disposition", f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
