"""The messages of a followed archive: fetched when their entries are believed, the newest first.

    wanted ─┬─ hash, form, signature, cipher and size as its entry says ─▶ here
            └─ not served, or something else ─▶ missing, until somebody asks again

The next answer is under way while one is verified and stored. Spec: 12 §12.5.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice

import trio

from node import limits
from node.encoding.cid import Cid
from node.errors import (
    Malformed,
    StoreFailed,
    Unreachable,
    Unverified,
    WillcallError,
)
from node.machines.rows import Archive, Item
from node.objects import message as messages
from node.objects.message import Message
from node.ports import Tables
from node.services.core import Core, together
from node.services.reach import Reach

FILES = 8
"""Messages that are looked at, and large parts fetched and written, at the same time."""


class Bodies:
    """Fetches what is wanted of one archive, from one place.

    Args:
        alive: raises Refused once the archive is not followed any more.

    Attributes:
        missing: how many nobody served as they should be.
    """

    def __init__(self, core: Core, row: Archive, reach: Reach, alive: Callable[[], None]) -> None:
        self._core, self._row, self._reach, self._check_alive = core, row, reach, alive
        self.missing = 0

    async def fetch(self) -> None:
        """Fetches what is wanted, the newest first; the next answer is under way meanwhile."""
        send, receive = trio.open_memory_channel[tuple[list[Item], dict[Cid, bytes]]](1)
        failed: list[WillcallError] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fetch, send, failed)
            async with receive:
                async for items, got in receive:
                    await self._keep(items, got)
        if failed:
            raise failed[0]

    async def _fetch(
        self,
        send: trio.MemorySendChannel[tuple[list[Item], dict[Cid, bytes]]],
        failed: list[WillcallError],
    ) -> None:
        after: int | None = None
        async with send:
            try:
                while items := self._core.db.read(lambda tx, after=after: self._next(tx, after)):  # type: ignore[misc]
                    after = limits.INTEGER - items[-1].index
                    got = await self._reach.blocks([item.message for item in items])
                    await send.send((items, got))
            except (Unreachable, Malformed) as error:
                failed.append(error)

    def _next(self, tx: Tables, after: int | None) -> list[Item]:
        found: list[Item] = []
        room = int(limits.FOLLOW_GROUP)
        for item in islice(tx.items.by("wanted", self._row.id, after=after), limits.BATCH):
            room -= min(item.size, limits.BODY) + limits.ROOT_FRAME
            if room < 0 and found:
                break
            found.append(item)
        return found

    async def _keep(self, items: list[Item], got: dict[Cid, bytes]) -> None:
        """Stores the messages that are what their entries say, in one transaction."""
        good: list[tuple[Item, Message, bytes]] = []
        bad: list[Item] = []

        async def one(item: Item) -> None:
            block = got.get(item.message)
            root = None if block is None else _believed(item, block)
            if block is None or root is None or not await self._parts(root):
                bad.append(item)
            else:
                good.append((item, root, block))

        try:
            await together([partial(one, item) for item in items], FILES)
            await self._store_all(good, bad)
        finally:
            self._release(good)
        self.missing += len(bad)

    async def _store_all(self, good: list[tuple[Item, Message, bytes]], bad: list[Item]) -> None:
        good.sort(key=lambda each: -each[0].index)

        def work(tx: Tables) -> None:
            self._check_alive()
            for item, root, block in good:
                if tx.items.get(item.message, item.archive) == item:
                    _arrived(tx, item, root, block)
            for item in bad:
                if tx.items.get(item.message, item.archive) == item:
                    tx.items.put(item.but(state="missing"))

        await self._core.db.transact(work)

    async def _parts(self, root: Message) -> bool:
        """Whether all parts of a large message are files now."""
        if not root.parts:
            return True
        async with self._core.files_lock:
            self._core.keeping.update(part.cid for part in root.parts)
        for part in root.parts:
            try:
                await self._part(part.cid)
            except WillcallError as error:
                self._core.keeping.subtract(part.cid for part in root.parts)
                if isinstance(error, Unreachable | StoreFailed):
                    raise
                return False
        return True

    async def _part(self, name: Cid) -> None:
        try:
            await self._core.files.read(name)  # from an earlier, interrupted attempt
        except WillcallError:
            await self._core.files.keep(name, await self._reach.block(name))

    def _release(self, good: list[tuple[Item, Message, bytes]]) -> None:
        for _, root, _ in good:
            self._core.keeping.subtract(part.cid for part in root.parts)


def _believed(item: Item, block: bytes) -> Message | None:
    """The root, if it is signed and what its entry says; its hash was checked."""
    try:
        root = messages.KIND.decode(block).verify()
        check_root(root, item)
    except (Malformed, Unverified):
        return None
    return root


def _arrived(tx: Tables, item: Item, root: Message, block: bytes) -> None:
    for part in root.parts:
        tx.blocks.add(part.cid, part.size, None, author=root.author, message=item.message)
    tx.blocks.add(item.message, len(block), block, author=root.author, message=item.message)
    tx.items.put(item.but(state="here", parts=tuple(part.cid for part in root.parts)))


def check_root(root: Message, item: Item) -> None:
    """Raises Unverified unless the root is the plain message that its entry names."""
    if root.cipher != messages.PLAIN or root.size != item.size:
        raise Unverified(f"message {item.index} is not what its entry says")
