"""The pages of a node, opened when the first one is asked for: templates cost memory and time."""

from pathlib import Path
from typing import TYPE_CHECKING

from node.ports import Reader, Request, Response, Threads
from node.services.core import Core
from node.services.library import Library

if TYPE_CHECKING:
    from node.web.pages import Site
    from node.web.reading import Reading
    from node.web.shelf import Catalogues


class Pages:
    """`services.desk.Pages`, closed with the node.

    Args:
        core: the ports.
        folder: where catalogues lie.
        threads: where SQLite works.
        readers: two that take mail apart: for pages, and for the words of a search.
    """

    def __init__(
        self, core: Core, folder: Path, threads: Threads, readers: tuple[Reader, Reader]
    ) -> None:
        self._core, self._folder, self._threads, self._readers = core, folder, threads, readers
        self._open: tuple[Site, Catalogues, Reading] | None = None

    async def __call__(self, request: Request, path: str) -> Response | None:
        """The page at a path below `/archives/`; None: there is no such page."""
        if self._open is None:
            self._open = self._opened()
        return await self._open[0](request, path)

    def _opened(self) -> tuple["Site", "Catalogues", "Reading"]:
        from node.web.pages import Site
        from node.web.reading import Reading
        from node.web.shelf import Catalogues

        catalogues = Catalogues(self._core, self._folder, self._threads, self._readers[1])
        catalogues.clean()
        reading = Reading(Library(self._core), self._readers[0])
        return Site(self._core, catalogues, reading), catalogues, reading

    async def aclose(self) -> None:
        """Lets go of files and children."""
        if self._open is not None:
            _, catalogues, reading = self._open
            await catalogues.close()
            await reading.close()
