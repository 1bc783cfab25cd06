"""An archive as plain files, for any web server or object store.

The same paths as over HTTP, each with the bytes that are served there. The order is that of a
careful copy: messages, tiles, and the checkpoint in the end, so that whoever looks while files
are copied sees an older log, never one with holes.
"""

from collections.abc import AsyncIterator, Iterator

from node.archive import append, tile
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent
from node.machines.rows import Archive, Log
from node.ports import Tables
from node.services import library
from node.services.core import Core
from node.services.library import Library

PAGE = 256
"""Entries looked at before other tasks get their turn."""

File = tuple[str, bytes]


class Static:
    """Gives the files of archives."""

    def __init__(self, core: Core) -> None:
        self._core, self._library = core, Library(core)

    async def files(self, row: Archive) -> AsyncIterator[File]:
        """Paths below the root of a site, and what is in them; the newest head comes last."""
        for epoch in range(1, row.epoch + 1):
            log = self._core.db.read(lambda tx, epoch=epoch: tx.logs.get(row.id, epoch))  # type: ignore[misc]
            if log is None:
                continue
            async for file in self._log(row, log):
                yield file

    async def _log(self, row: Archive, log: Log) -> AsyncIterator[File]:
        for start in range(0, log.size, PAGE):
            for each in self._library.entries(row, start, PAGE, log.epoch):
                if each.item is None or each.item.state != "here":
                    continue
                for name in (*each.item.parts, each.item.message):
                    data = await self._block(name)
                    if data is not None:
                        yield f"ipfs/{cids.show(name)}", data
        folders = [f"archives/{row.name}/{log.epoch}/"]
        if log.epoch == row.epoch:
            folders.append(f"archives/{row.name}/")
        for wanted in _tiles(log.size):
            data = self._core.db.read(lambda tx, wanted=wanted: _tile(tx, log, wanted))  # type: ignore[misc]
            for folder in folders:
                yield folder + tile.path(wanted), data
        for folder in folders:
            yield f"{folder}about", log.about
        for folder in folders:
            yield f"{folder}checkpoint", log.note

    async def _block(self, name: Cid) -> bytes | None:
        try:
            return await self._library.block(name)
        except Absent:
            return None  # removed since its entry was read


def _tiles(size: int) -> Iterator[tile.Tile]:
    yield from tile.row(None, 0, size)
    yield from tile.grown(0, size)


def _tile(tx: Tables, log: Log, wanted: tile.Tile) -> bytes:
    return append.cut(wanted, library.tiles_of(tx, log)(wanted.level, wanted.index))
