"""Catalogues of the archives that are served, brought up to their logs when somebody looks.

Reading on is a few header sections a millisecond; the words of texts, which take a parser that is
killed when it hangs, are entered only when somebody searches. Either stops after some seconds, and
the page says what is still to come: the next one goes on from there.
"""

from pathlib import Path

import trio

from node import limits
from node.archive.entry import Entry, Removal, Sealed
from node.encoding.cid import Cid
from node.machines.rows import Archive, Item, Log
from node.mail import references, scan
from node.mail.display import SHOWN
from node.ports import Reader, Threads, Words
from node.services.core import Core, beginning
from node.services.library import Library, Numbered
from node.units import Instant
from node.web.catalogue import Catalogue, Gone, New, Seen
from node.web.looks import month_of

TOGETHER = 100
"""Entries that are read and entered at once: some milliseconds."""
PATIENCE = 5.0
"""Seconds that a page waits for its catalogue."""


class Catalogues:
    """The catalogues of a node.

    Args:
        core: the ports.
        folder: where they lie.
        threads: where SQLite works.
        reader: what takes mail apart.
    """

    def __init__(self, core: Core, folder: Path, threads: Threads, reader: Reader) -> None:
        self._core, self._library = core, Library(core)
        self._folder, self._threads, self._reader = folder, threads, reader
        self._open: dict[bytes, tuple[Catalogue, trio.Lock]] = {}
        self._parser = trio.Lock()

    async def current(self, row: Archive) -> tuple[Catalogue, int]:
        """An archive's catalogue, and how many entries of its newest log it has not seen yet."""
        catalogue, lock = self._of(row)
        async with lock:
            with trio.move_on_after(PATIENCE):
                while await self._step(row, catalogue):
                    pass
            return catalogue, self._behind(row, await catalogue.seen())

    async def searched(self, row: Archive, catalogue: Catalogue) -> int:
        """Enters words of texts; how many messages are left without (at most 100 are counted)."""
        _, lock = self._of(row)
        async with lock:
            with trio.move_on_after(PATIENCE):
                while found := await catalogue.wordless(TOGETHER):
                    words = [(each.id, await self._words(row, each.message)) for each in found]
                    await catalogue.enter_words(words)
            return len(await catalogue.wordless(TOGETHER))

    def _of(self, row: Archive) -> tuple[Catalogue, trio.Lock]:
        if row.id not in self._open:
            file = self._folder / f"{row.id.hex()}.sqlite"
            self._open[row.id] = Catalogue(file, row.id, self._threads), trio.Lock()
        return self._open[row.id]

    def clean(self) -> None:
        """Removes the catalogues of archives that are not here any more."""
        rows = self._core.db.read(lambda tx: {row.id.hex() for row in tx.archives.scan()})
        for file in self._folder.glob("*.sqlite*"):
            if file.name.partition(".")[0] not in rows:
                file.unlink(missing_ok=True)

    async def gone(self, archive: bytes) -> None:
        """Lets go of the catalogue of an archive that is not here any more, for good."""
        catalogue, lock = self._open.pop(archive, (None, None))
        if catalogue is not None and lock is not None:
            async with lock:
                await catalogue.end()

    async def close(self) -> None:
        """Lets go of all files."""
        for catalogue, _ in self._open.values():
            await catalogue.close()
        self._open.clear()

    # --- reading on -------------------------------------------------------------------------

    async def _step(self, row: Archive, catalogue: Catalogue) -> bool:
        """Enters what comes next; whether there may be more."""
        seen = await catalogue.seen()
        log = self._log(row, seen.epoch)
        if log is not None and seen.entries < log.size:
            found = self._library.entries(row, seen.entries, TOGETHER, seen.epoch)
            made = [
                await self._new(row, each) for each in found if not isinstance(each.entry, Sealed)
            ]
            await catalogue.add(made, Seen(seen.epoch, seen.entries + len(found)))
            return True
        if seen.epoch < row.epoch:
            await catalogue.add([], Seen(seen.epoch + 1, 0))
            return True
        await self._come_later(row, catalogue, seen)
        return False

    async def _come_later(self, row: Archive, catalogue: Catalogue, seen: Seen) -> None:
        """Messages whose bytes have come since they were listed."""
        items = [self._item(row, name) for name in await catalogue.pending(TOGETHER)]
        here = [item for item in items if item is not None and item.state == "here"]
        if here:  # else each look at a page would be a write, and wait for the disk
            await catalogue.add([await self._listed(item) for item in here], seen)

    def _log(self, row: Archive, epoch: int) -> Log | None:
        return self._core.db.read(lambda tx: tx.logs.get(row.id, epoch))

    def _item(self, row: Archive, name: Cid) -> Item | None:
        return self._core.db.read(lambda tx: tx.items.get(name, row.id))

    def _behind(self, row: Archive, seen: Seen) -> int:
        log = self._log(row, row.epoch)
        size = 0 if log is None else log.size
        return max(0, size - seen.entries) if seen.epoch == row.epoch else size

    async def _new(self, row: Archive, each: Numbered) -> New | Gone:
        if isinstance(each.entry, Removal):
            return Gone(each.entry.message, each.entry.reason)
        assert isinstance(each.entry, Entry)
        if each.item is None:
            return _unread(each.entry.message, each.entry.size, each.entry.date)
        return await self._listed(each.item)

    async def _listed(self, item: Item) -> New:
        if item.state != "here":
            return _unread(item.message, item.size, item.date)
        head = await beginning(self._library.content(item), limits.SCANNED)
        known = scan.scan(head)
        return New(
            message=item.message,
            date=item.date,
            month=month_of(item.date),
            size=item.size,
            subject=known.subject or "",
            sender=known.sender or "",
            identity=references.identity(head),
            above=references.above(head),
        )

    async def _words(self, row: Archive, name: Cid) -> Words:
        item = self._item(row, name)
        content = b"" if item is None else await beginning(self._library.content(item), SHOWN)
        async with self._parser:
            found = await self._reader.words(content) if content else None
        return found or Words(subject="", people="", body="")


def _unread(message: Cid, size: int, date: Instant) -> New:
    """A message whose bytes are not here: its place is."""
    return New(
        message=message,
        date=date,
        month=month_of(date),
        size=size,
        subject="",
        sender="",
        identity=None,
        above=(),
        here=False,
    )
