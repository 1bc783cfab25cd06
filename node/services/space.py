"""Room goes back to the disk: files nobody needs, and the store's own files after deletions.

    a block's last row goes ─▶ small: dead bytes in the store ─▶ compacted, once they are many
                            └▶ large: its file is trash ─▶ removed

How much it was is said in the log, and counted. Spec: 04 §retention.
"""

from itertools import islice

from node.errors import StoreFailed
from node.machines.rows import Trash
from node.ports import Tables
from node.services.core import Core
from node.units import HOUR, MIB, ByteCount, Millis

FANOUT = 256
"""Folders of files; one is looked through at each look."""
AT_ONCE = 500
"""Files looked up at once."""
DEAD = ByteCount(16 * MIB)
"""Dead bytes before the store is compacted: rewriting it for less would wear the disk."""
AGAIN = Millis(1 * HOUR)
"""How long a compaction that failed, mostly for want of room, is let be."""


class Space:
    """Removes what is not needed any more.

    Attributes:
        returned: bytes given back to the disk since the node started.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._folder = 0
        self._not_before = Millis(0)
        self.returned = ByteCount(0)

    async def once(self) -> None:
        """One look at everything."""
        await self._find_orphans()
        await self._empty_trash()
        await self._compact()

    def _give(self, count: int, what: str) -> None:
        if count:
            self.returned = ByteCount(self.returned + count)
            self._core.note("room-returned", bytes=count, of=what)

    # --- files -------------------------------------------------------------------------

    async def _find_orphans(self) -> None:
        """Files that a crash left without a row go to the trash, one folder at a time.

        A pickup that was interrupted loses its parts by this, and fetches them again.
        """
        names = await self._core.files.names(self._folder)
        self._folder = (self._folder + 1) % FANOUT

        def work(tx: Tables) -> None:
            drafted = {part for draft in tx.drafts.scan() for part in draft.parts}
            for name in names:
                block = tx.blocks.get(name)
                if (block is None or not block.refs) and name not in drafted:
                    tx.trash.put(Trash(cid=name))

        if names:
            self._core.db.apply(work)

    async def _empty_trash(self) -> None:
        """Files that no row needs are removed, one at a time, under the files' lock."""
        more = True
        while more:
            doomed = self._core.db.read(lambda tx: list(islice(tx.trash.scan(), AT_ONCE)))
            gone = [size for row in doomed if (size := await self._remove(row)) is not None]
            self._give(sum(gone), f"{len(gone)} files")
            more = len(doomed) == AT_ONCE and bool(gone)

    async def _remove(self, row: Trash) -> ByteCount | None:
        """Its bytes; None: a task, or a backup, needs the file just now."""
        core, freed = self._core, ByteCount(0)
        async with core.files_lock:
            if core.keeping[row.cid] > 0 or core.clock.steady() < core.files_held:
                return None
            block = core.db.read(lambda tx: tx.blocks.get(row.cid))
            if block is None or not block.refs:
                # The row that freed it must be durable before its bytes are gone.
                await core.db.transact(lambda tx: None)
                freed = await core.files.drop(row.cid)
            core.db.apply(lambda tx: tx.trash.delete(row))
        return freed

    # --- the store ---------------------------------------------------------------------

    async def _compact(self) -> None:
        """The store's files shrink, once enough of what they hold is dead."""
        dead, steady = self._note_dead(), self._core.clock.steady()
        if dead >= DEAD and steady >= self._not_before:
            try:
                await self.compact()
            except StoreFailed as error:
                self._not_before = Millis(steady + AGAIN)
                self._core.warn("shrinking-pauses", why=error.text)

    async def compact(self, *, tables: bool = False) -> None:
        """Gives back what is dead in the store.

        That is what is counted, not what the files lost: the engine rewrites them at times of its
        own, so their sizes before and after say little.

        Args:
            tables: rows too, not only blocks: after an owner went.

        Raises:
            StoreFailed: there is no room for it, or the disk failed.
        """
        dead = self._note_dead()
        await self._core.db.compact(tables=tables)
        self._core.db.apply(lambda tx: tx.put_node(tx.node().but(dead=0)))
        self._give(dead, "small blocks")

    def _note_dead(self) -> int:
        """Dead bytes in the store; remembered, so that a restart does not forget them."""
        fresh = self._core.db.take_dead()

        def work(tx: Tables) -> int:
            node = tx.node()
            if fresh:
                node = node.but(dead=node.dead + fresh)
                tx.put_node(node)
            return int(node.dead)

        return self._core.db.apply(work) if fresh else self._core.db.read(lambda tx: tx.node().dead)
