"""An archive as plain files, for any web server or object store.

The same paths as over HTTP, each with the bytes that are served there. What is exported is told
in units, each with a tag: whoever has the files of a unit with that tag has nothing to fetch. The
order is that of a careful copy: messages, pages that name them, tiles, and the heads in the end, so
that whoever looks while files are copied sees an older archive, never one with holes.

    ipfs/CID                        a message: its root, and its parts
    archives/NAME/…                 pages, as `desk.Pages` has them
    archives/NAME[/EPOCH]/tile/…    a tile, or a bundle of entries
    archives/NAME[/EPOCH]/about, checkpoint      told with their bytes: the log grows meanwhile
"""

import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import trio

from node.archive import append, tile
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent, Malformed
from node.machines.rows import Archive, Item, Log
from node.ports import Tables
from node.services import library
from node.services.core import Core
from node.services.desk import Desk, File
from node.services.library import Library

_TILE = re.compile(r"(?:(?P<epoch>[1-9][0-9]{0,8})/)?(?P<tile>tile/.+)")
PAGE = 256
"""Entries looked at before other tasks get their turn."""


class Unit(NamedTuple):
    """Files that change together.

    Attributes:
        name: what they are asked for by.
        tag: another one where they are others; "": whoever asks compares the bytes.
        data: of a head, which is one file called like its unit.
    """

    name: str
    tag: str
    data: bytes | None = None


class Static:
    """Gives the files of archives."""

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core, self._desk, self._library = core, desk, Library(core)

    async def units(self, row: Archive) -> AsyncGenerator[Unit, None]:
        """All that an archive is made of; the newest head comes last."""
        logs = self._core.db.read(lambda tx: list(_logs(tx, row)))
        for log in logs:
            async for item in self._items(row, log):
                yield Unit(f"ipfs/{cids.show(item.message)}", "here")
        if self._desk.pages is not None:
            async for path, tag in self._desk.pages.units(row):
                yield Unit(f"archives/{row.name}/{path}", tag)
        for log in logs:
            # Tiles never change. Another log, under the same name, has others.
            tag = sha256(log.key).hexdigest()[:16]
            for folder in _folders(row, log):
                for wanted in _tiles(log.size):
                    yield Unit(folder + tile.path(wanted), tag)
        for name in ("about", "checkpoint"):
            for log in logs:
                for folder in _folders(row, log):
                    yield Unit(f"{folder}{name}", "", log.about if name == "about" else log.note)

    async def _items(self, row: Archive, log: Log) -> AsyncGenerator[Item, None]:
        for start in range(0, log.size, PAGE):
            for each in self._library.entries(row, start, PAGE, log.epoch):
                item = each.item
                if item is None or item.state != "here":
                    continue
                if (item.epoch, item.index) == (log.epoch, each.index):
                    yield item
            await trio.lowlevel.checkpoint()

    async def count(self, row: Archive) -> int:
        """About how many units there are."""
        logs = self._core.db.read(lambda tx: list(_logs(tx, row)))
        pages = 0 if self._desk.pages is None else await self._desk.pages.count(row)
        return pages + sum(log.size + 2 * (log.size // tile.WIDTH + 2) for log in logs)

    async def files(self, row: Archive, names: Sequence[str]) -> AsyncGenerator[File, None]:
        """The files of some units; none of a unit that is not there any more."""
        for name in names:
            if name.startswith("ipfs/"):
                async for file in self._message(row, name):
                    yield file
                continue
            path = name.removeprefix(f"archives/{row.name}/")
            tiles = _TILE.fullmatch(path)
            if tiles is not None:
                epoch = int(tiles["epoch"] or row.epoch)
                yield File(name, name, self._tile(row, epoch, tiles["tile"]))
            elif self._desk.pages is not None:
                async for file in self._desk.pages.files(row, path):
                    yield File(name, f"archives/{row.name}/{file.path}", file.data, file.tag)

    async def _message(self, row: Archive, name: str) -> AsyncGenerator[File, None]:
        try:
            root = cids.parse(name.removeprefix("ipfs/"))
        except Malformed:
            return
        item = self._core.db.read(lambda tx: tx.items.get(root, row.id))
        if item is None or item.state != "here":
            return
        for each in (*item.parts, root):
            data = await self._block(each)
            if data is not None:
                yield File(name, f"ipfs/{cids.show(each)}", data)

    async def _block(self, name: Cid) -> bytes | None:
        try:
            return await self._library.block(name)
        except Absent:
            return None  # removed since it was listed

    def _tile(self, row: Archive, epoch: int, path: str) -> bytes:
        """A tile as it was when it was listed: what came since is cut off.

        Raises:
            Absent: there is no such tile.
        """

        def work(tx: Tables) -> bytes:
            log = library.log_of(tx, row, epoch)
            wanted = tile.parse(path)
            if not tile.has(wanted, log.size):
                raise Absent("this log is not that large")
            return append.cut(wanted, library.tiles_of(tx, log)(wanted.level, wanted.index))

        try:
            return self._core.db.read(work)
        except Malformed as error:
            raise Absent(error.text) from error

    async def lists(self, row: Archive, names: Sequence[str]) -> AsyncGenerator[File, None]:
        """What lies above all archives: their list, and their feeds, of those that are named."""
        if self._desk.pages is not None:
            for file in self._desk.pages.lists(row, names):
                yield file


def _logs(tx: Tables, row: Archive) -> Iterator[Log]:
    for epoch in range(1, row.epoch + 1):
        log = tx.logs.get(row.id, epoch)
        if log is not None:
            yield log


def _folders(row: Archive, log: Log) -> list[str]:
    own = f"archives/{row.name}/{log.epoch}/"
    return [own, f"archives/{row.name}/"] if log.epoch == row.epoch else [own]


def _tiles(size: int) -> Iterator[tile.Tile]:
    yield from tile.row(None, 0, size)
    yield from tile.grown(0, size)
