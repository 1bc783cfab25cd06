"""The messages of a followed archive: fetched when their entries are believed, the newest first.

    wanted ─┬─ hash, form, signature, cipher and size as its entry says ─▶ here
            └─ not served, or something else ─▶ missing, until somebody asks again

    asking ──roots──▶ checking, and asking for parts ──groups──▶ storing

The three go on at the same time: an answer is under way while the one before is verified in a
thread, and the disk is waited for while that goes on. Spec: 12 §12.5.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import trio

from node import limits
from node.encoding.cid import Cid
from node.errors import Malformed, Unverified, WillcallError
from node.machines.rows import Archive, Item
from node.objects import content as seals
from node.objects import message as messages
from node.objects.message import Message, Part
from node.ports import Tables
from node.services.core import Core, together
from node.services.reach import Reach

FILES = 8
"""Large parts that are written at the same time: each waits for the disk twice."""


@dataclass(slots=True)
class _Group:
    """Messages of one answer that were looked at.

    Attributes:
        good: what their entries say; bad: not served, or something else.
        parts: of the good ones, files that no row needs yet.
    """

    good: list[tuple[Item, Message, bytes]] = field(default_factory=list)
    bad: list[Item] = field(default_factory=list)
    parts: dict[Cid, Part] = field(default_factory=dict)


_Answer = tuple[list[Item], dict[Cid, bytes]]


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
        self._held: Counter[Cid] = Counter()

    async def fetch(self) -> None:
        """Fetches what is wanted, the newest first.

        Raises:
            Unreachable, Malformed: not all of it came. StoreFailed, Refused: it can't be kept.
                What was verified before is stored.
        """
        to_check, answers = trio.open_memory_channel[_Answer](0)
        to_store, groups = trio.open_memory_channel[_Group](0)
        stages = (
            partial(self._ask, to_check),
            partial(self._check, answers, to_store),
            partial(self._store, groups),
        )
        try:
            await together(stages, len(stages))
        finally:
            self._release(self._held.elements())

    async def _ask(self, send: trio.MemorySendChannel[_Answer]) -> None:
        after: int | None = None
        async with send:
            while items := self._core.db.read(lambda tx, after=after: self._next(tx, after)):  # type: ignore[misc]
                after = limits.INTEGER - items[-1].index
                got = await self._reach.blocks([item.message for item in items])
                try:
                    await send.send((items, got))
                except trio.BrokenResourceError:
                    return  # whoever took them has failed, and says so

    def _next(self, tx: Tables, after: int | None) -> list[Item]:
        found: list[Item] = []
        room = int(limits.FOLLOW_GROUP)
        for item in islice(tx.items.by("wanted", self._row.id, after=after), limits.BATCH):
            room -= min(item.size, limits.BODY) + limits.ROOT_FRAME
            if room < 0 and found:
                break
            found.append(item)
        return found

    async def _check(
        self, receive: trio.MemoryReceiveChannel[_Answer], send: trio.MemorySendChannel[_Group]
    ) -> None:
        async with receive, send:
            async for items, got in receive:
                group = await self._core.threads.run(partial(self._looked_at, items, got))
                await self._with_parts(group)
                try:
                    await send.send(group)
                except trio.BrokenResourceError:
                    return

    def _looked_at(self, items: list[Item], got: dict[Cid, bytes]) -> _Group:
        """Each message held against its entry. In a thread: most of it is what signatures cost."""
        group = _Group()
        for item in items:
            block = got.get(item.message)
            root = None if block is None else self._believed(item, block)
            if block is None or root is None:
                group.bad.append(item)
            else:
                group.good.append((item, root, block))
                group.parts.update((part.cid, part) for part in root.parts)
        return group

    def _believed(self, item: Item, block: bytes) -> Message | None:
        """The root, if it is signed and what its entry says; its hash was checked."""
        try:
            root = messages.KIND.decode(block).verify()
            check_root(root, item, private=self._row.private)
        except (Malformed, Unverified):
            return None
        return None if root.size > self._core.config.message else root

    # --- parts -------------------------------------------------------------------------------

    async def _with_parts(self, group: _Group) -> None:
        """Makes files of the parts of large messages; a message that lacks one is bad."""
        if not group.parts:
            return
        async with self._core.files_lock:
            self._core.keeping.update(list(group.parts))
            self._held.update(list(group.parts))
        lost: set[Cid] = set()
        for some in _shares(await self._lacking(group)):
            lost |= await self._fetched(some)
        for each in [each for each in group.good if each[0].key and each[1].parts]:
            if lost.isdisjoint(_parts(each[1])) and not await self._opens(each[0], each[1]):
                lost.update(_parts(each[1]))
        for each in [each for each in group.good if not lost.isdisjoint(_parts(each[1]))]:
            group.good.remove(each)
            group.bad.append(each[0])

    async def _opens(self, item: Item, root: Message) -> bool:
        """Whether the parts of a sealed message are what its key says."""
        for number, part in enumerate(root.parts):
            data = await self._core.files.read(part.cid)
            try:
                seals.open_part(root, item.key, number, data)
            except Unverified:
                return False
        return True

    async def _lacking(self, group: _Group) -> list[Part]:
        """Parts to be fetched: of long messages some may be here, from an interrupted attempt."""
        wanted = dict(group.parts)
        long = {name for _, root, _ in group.good if len(root.parts) > 1 for name in _parts(root)}

        async def look(name: Cid) -> None:
            try:
                await self._core.files.read(name)
            except WillcallError:
                return
            wanted.pop(name)

        await together([partial(look, name) for name in long], FILES)
        return list(wanted.values())

    async def _fetched(self, parts: list[Part]) -> set[Cid]:
        """Makes files of parts; those that nobody gave as they should be."""
        got = await self._reach.blocks([part.cid for part in parts])
        good = {part.cid for part in parts if len(got.get(part.cid, b"")) == part.size}
        await together([partial(self._core.files.keep, name, got[name]) for name in good], FILES)
        return {part.cid for part in parts} - good

    # --- storing -----------------------------------------------------------------------------

    async def _store(self, receive: trio.MemoryReceiveChannel[_Group]) -> None:
        async with receive:
            async for group in receive:
                await self._core.db.transact(partial(self._enter, group))
                self._release(group.parts)
                self.missing += len(group.bad)

    def _enter(self, group: _Group, tx: Tables) -> None:
        self._check_alive()
        for item, root, block in group.good:
            if tx.items.get(item.message, item.archive) == item:
                _arrived(tx, item, root, block)
        for item in group.bad:
            if tx.items.get(item.message, item.archive) == item:
                tx.items.put(item.but(state="missing"))

    def _release(self, parts: Iterable[Cid]) -> None:
        """Files that a row needs by now, or that nobody will need."""
        names = list(parts)
        self._held.subtract(names)
        self._core.keeping.subtract(names)
        for counter in (self._held, self._core.keeping):
            counter += Counter()  # leaves out what nobody needs any more


def _parts(root: Message) -> list[Cid]:
    return [part.cid for part in root.parts]


def _shares(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Parts, so many at a time that they fit into one answer."""
    share: list[Part] = []
    room = int(limits.FOLLOW_GROUP)
    for part in parts:
        if share and (part.size > room or len(share) == limits.BATCH):
            yield share
            share, room = [], int(limits.FOLLOW_GROUP)
        share.append(part)
        room -= part.size
    if share:
        yield share


def _arrived(tx: Tables, item: Item, root: Message, block: bytes) -> None:
    for part in root.parts:
        tx.blocks.add(part.cid, part.size, None, author=root.author, message=item.message)
    tx.blocks.add(item.message, len(block), block, author=root.author, message=item.message)
    tx.items.put(item.but(state="here", parts=tuple(part.cid for part in root.parts)))


def check_root(root: Message, item: Item, *, private: bool) -> None:
    """Raises Unverified unless the root is the message that its entry names.

    A mirror of a private archive can't open the entry: to it any sealed message may be the one.
    """
    if private:
        _check_sealed(root, item)
    elif root.cipher != messages.PLAIN or root.size != item.size:
        raise Unverified(f"message {item.index} is not what its entry says")


def _check_sealed(root: Message, item: Item) -> None:
    if root.cipher != messages.SEALED or (item.key and root.size != item.size):
        raise Unverified(f"message {item.index} is not what its entry says")
    if item.key:
        seals.check_key(root, item.key)
        if root.body is not None:
            seals.open_body(root, item.key)
