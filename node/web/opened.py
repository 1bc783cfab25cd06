"""The pages of a node, opened when the first one is asked for: templates cost memory and time."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from node.machines.rows import Archive, Log
from node.ports import Reader, Request, Response, Threads
from node.services.core import Core
from node.services.desk import File
from node.services.library import Library

if TYPE_CHECKING:
    from node.web.pages import Site
    from node.web.shelf import Catalogues


class Pages:
    """`services.desk.Pages`, closed with the node.

    Args:
        core: the ports.
        folder: where catalogues lie.
        threads: where SQLite works.
        readers: three that take mail apart: for pages, for feeds, and for the words of a search.
    """

    def __init__(
        self, core: Core, folder: Path, threads: Threads, readers: Sequence[Reader]
    ) -> None:
        self._core, self._folder, self._threads, self._readers = core, folder, threads, readers
        self._open: tuple[Site, Catalogues] | None = None

    async def __call__(self, request: Request, path: str) -> Response | None:
        """The page at a path below `/archives/`; None: there is no such page."""
        return await self._site(request, path)

    def units(self, row: Archive) -> AsyncGenerator[tuple[str, str], None]:
        """As `services.desk.Pages` says; so are the next."""
        return self._site.leaves.units(row)

    async def count(self, row: Archive) -> int:
        """About how many units there are."""
        return await self._site.leaves.count(row)

    def files(self, row: Archive, path: str) -> AsyncGenerator[File, None]:
        """The files of one of them."""
        return self._site.leaves.files(row, path)

    def lists(self, row: Archive, names: Sequence[str]) -> Sequence[File]:
        """What lies above all archives."""
        return self._site.lists(row, names)

    async def to_reader(
        self, request: Request, here: tuple[Archive, Log], url: str, path: str
    ) -> Response | None:
        """A page of an archive at `path` below `url`, which only its reader knows."""
        return await self._site.shown(request, here, url, path)

    @property
    def _site(self) -> "Site":
        if self._open is None:
            self._open = self._opened()
        return self._open[0]

    async def gone(self, archive: bytes) -> None:
        """Removes the catalogue of an archive."""
        if self._open is not None:
            await self._open[1].gone(archive)
        for file in self._folder.glob(f"{archive.hex()}.sqlite*"):
            file.unlink(missing_ok=True)

    def _opened(self) -> tuple["Site", "Catalogues"]:
        from node.web.pages import Site
        from node.web.reading import Reading
        from node.web.shelf import Catalogues

        pages, feeds, words = self._readers
        catalogues = Catalogues(self._core, self._folder, self._threads, words)
        catalogues.clean()
        library = Library(self._core)
        threads = self._core.threads
        readings = Reading(library, pages, threads), Reading(library, feeds, threads)
        return Site(self._core, catalogues, *readings), catalogues

    async def aclose(self) -> None:
        """Lets go of files and children."""
        if self._open is not None:
            await self._open[1].close()
        for reader in self._readers:
            await reader.close()
