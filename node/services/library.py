"""The read model of archives: everything that shows, serves or exports one asks here.

    Archive row ─▶ Log rows, one for each epoch ─▶ bundles of entries ─▶ messages by CID

Published and followed archives look alike: what is read of either was verified before it was
stored. Entries are read from bundles, by their place in the log, so that a derived index
(threads, months, search) can be brought up from where it stands, or made again from nothing.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from node.archive import entry as entries
from node.archive import place, tile, tree
from node.archive.append import ReadTile, reader
from node.archive.entry import AnyEntry, Removal, Sealed
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent, Damaged, Malformed, NoContact, Refused, Usage
from node.machines.rows import Archive, Item, Log, Owner
from node.objects import archive as abouts
from node.objects import content as seals
from node.objects import message as messages
from node.objects.archive import About
from node.objects.message import Message
from node.ports import Tables
from node.services import grants
from node.services.core import Core
from node.units import Key

SHORTEST = 8
"""Last characters of a CID that name it: one in a million million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """An entry at its place in the log.

    Attributes:
        index: from 0.
        entry: what it says.
        item: the message that it names; None for a removal.
    """

    index: int
    entry: AnyEntry
    item: Item | None


# --- rows ------------------------------------------------------------------------------


def check_given(name: str) -> None:
    """Raises Usage unless an archive can be called so here: somebody has just typed it."""
    try:
        place.check_new_name(name)
    except Malformed as error:
        raise Usage(error.text, next=error.next) from error


def find(tx: Tables, owner: Key, name: str) -> Archive:
    """The owner's archive of that name, published or followed.

    Raises:
        NoContact: there is none.
    """
    row = tx.archives.called("named", owner + digest(name))
    if row is None:
        raise NoContact(
            f"there is no archive {name[:100]!r}", reason="no-archive", next="willcall archive list"
        )
    return row


def digest(name: str) -> bytes:
    """The hash under which a name is found."""
    return cids.of_raw(name.encode("utf-8", "replace"))[4:]


def own(tx: Tables, owner: Owner, name: str) -> Archive:
    """The same, which the owner publishes itself.

    Raises:
        NoContact: there is none.
        Refused: it is followed.
    """
    row = find(tx, owner.owner, name)
    if row.urls:
        raise Refused(
            f"{name} is followed, not published here; only its owner changes it",
            reason="followed",
            next=f"willcall archive show {name}",
        )
    return row


def check_signs(row: Archive) -> None:
    """Raises Refused where more may have been signed of an own archive than is known here."""
    if row.fork:
        raise Refused(
            row.reason or f"{row.name} has two histories",
            reason="forked",
            next=f"willcall archive publish {row.name} --new-epoch",
        )
    if row.behind:
        raise Refused(
            f"{row.name} was restored from a backup, and may have published more since; "
            "signing now could rewrite its history",
            reason="behind",
            next=f"willcall archive poll {row.name} --from URL   (a mirror), or "
            f"willcall archive publish {row.name} --new-epoch",
        )


def served(tx: Tables, name: str) -> Archive | None:
    """The archive that this node serves under that name: to everybody, or to its readers."""
    return next(tx.archives.by("public", digest(name)), None)


def public(tx: Tables, name: str) -> Archive | None:
    """The archive that this node serves to everybody under that name."""
    row = served(tx, name)
    return None if row is None or row.private else row


def log_of(tx: Tables, row: Archive, epoch: int | None = None) -> Log:
    """One of its logs; the newest unless told otherwise.

    Raises:
        Absent: there is no such epoch here.
    """
    found = tx.logs.get(row.id, row.epoch if epoch is None else epoch)
    if found is None:
        raise Absent(
            f"{row.name} has no epoch {epoch} here: who follows has those since it began to",
            reason="no-epoch",
            next=f"willcall archive list {row.name}",
        )
    return found


def about_of(log: Log) -> About:
    """What its owner says of it."""
    return abouts.decode(log.about).claim


def tiles_of(tx: Tables, log: Log) -> ReadTile:
    """The stored tiles of a log."""

    def read(level: int | None, index: int) -> bytes:
        found = tx.tiles.get(log.archive, log.epoch, _row(level), index)
        return b"" if found is None else found.data

    return read


def _row(level: int | None) -> int:
    return 0 if level is None else level + 1


def root_at(tx: Tables, log: Log, size: int) -> bytes:
    """The root hash of the first `size` entries of a log, out of its tiles."""
    return tree.root(size, reader(tiles_of(tx, log)))


def entries_of(tx: Tables, log: Log, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    """Entries as they lie in the log, from `start` up to `stop` or the end."""
    stop = min(stop, log.size)
    for each in tile.row(None, start, stop) if start < stop else ():
        found = tx.tiles.get(log.archive, log.epoch, 0, each.index)
        if found is None:
            raise Damaged("a bundle of an archive is missing", next="restore a backup")
        first = each.index * tile.WIDTH
        for index, raw in enumerate(entries.pieces(found.data), first):
            if start <= index < stop:
                yield index, raw


def message_of(tx: Tables, log: Log, index: int, raw: bytes) -> Cid | None:
    """The message that an entry names, opened or not; None: it names none, or that is not known."""
    found = grants.opened(log, index, raw)
    if isinstance(found, Sealed):
        return grants.message_at(tx, log, index)
    return found.message if isinstance(found, entries.Entry) else None


def serves(tx: Tables, name: Cid, who: Key | None = None) -> bool:
    """Whether a block is of a message that this node serves to everybody, or to `who`."""
    return shelf(tx, name, who=who) is not None


def shelf(tx: Tables, name: Cid, near: bytes | None = None, who: Key | None = None) -> bytes | None:
    """An archive (its id) that this node serves to whoever asks, and whose message a block is of.

    Args:
        tx: the transaction.
        name: the block.
        near: where to look first: blocks that are asked for together lie together.
        who: who asks; None: nobody says.
    """
    block = tx.blocks.get(name)
    if block is None or not block.refs or block.message is None:
        return None
    if near is not None and (item := tx.items.get(block.message, near)) and _shown(tx, item, who):
        return near
    found = tx.items.scan(block.message)
    return next((item.archive for item in found if _shown(tx, item, who)), None)


def _shown(tx: Tables, item: Item, who: Key | None) -> bool:
    return item.state == "here" and _serves(tx, item, who)


def _serves(tx: Tables, item: Item, who: Key | None) -> bool:
    row = tx.archives.get(item.archive)
    return row is not None and row.public and grants.may_read(row, who)


def was_served(tx: Tables, name: Cid, who: Key | None = None) -> bool:
    """Whether it was one, and is gone for good."""
    block = tx.blocks.get(name)
    message = name if block is None or block.message is None else block.message
    return any(
        item.state == "removed" and _serves(tx, item, who) for item in tx.items.scan(message)
    )


# --- reading ---------------------------------------------------------------------------


class Library:
    """Reads archives: entries by place, messages by name, bytes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def entries(
        self, row: Archive, start: int, count: int, epoch: int | None = None
    ) -> list[Numbered]:
        """Entries of a log from `start` on, at most `count`; in a private archive: opened.

        Raises:
            Absent: there is no such epoch.
        """

        def work(tx: Tables) -> list[Numbered]:
            log = log_of(tx, row, epoch)
            found = entries_of(tx, log, start, start + count)
            return [numbered(tx, row, log, index, raw) for index, raw in found]

        return self._core.db.read(work)

    def item(self, row: Archive, ref: str) -> Item:
        """A message of an archive by its number in the newest log, or by its CID (8 characters).

        Raises:
            Absent: there is none.
        """
        return self._core.db.read(lambda tx: item_of(tx, row, ref))

    async def content(self, item: Item) -> AsyncGenerator[bytes, None]:
        """The bytes of a message, piece by piece, each held against its name.

        Raises:
            Absent: they are not here, or no key of theirs is.
            Damaged: they are not what they are named.
        """
        root = self._core.db.read(lambda tx: self._root(tx, item))
        if root.cipher == messages.SEALED:
            if not item.key:
                raise _sealed(f"message {item.index}")
            seals.check_key(root, item.key)
        if root.body is not None:
            yield seals.open_body(root, item.key) if item.key else root.body
            return
        for number, part in enumerate(root.parts):
            data = await self.block(part.cid)
            yield seals.open_part(root, item.key, number, data) if item.key else data

    def _root(self, tx: Tables, item: Item) -> Message:
        block = tx.blocks.get(item.message)
        data = None if block is None or not block.refs else tx.blocks.data(block)
        if item.state != "here" or data is None:
            raise Absent(
                f"message {item.index} is {_WHERE[item.state]}",
                reason=item.state,
                next=self._next(tx, item),
            )
        return messages.KIND.decode(data).claim

    @staticmethod
    def _next(tx: Tables, item: Item) -> str | None:
        """What may help where a message is not here; None: nothing that is known."""
        row = tx.archives.get(item.archive)
        if row is None:
            return None
        polls = item.state in ("wanted", "missing")
        return f"willcall archive {'poll' if polls else 'list'} {row.name}"

    async def block(self, name: Cid) -> bytes:
        """One stored block.

        Raises:
            Absent: it is not here.
        """

        def work(tx: Tables) -> bytes | None:
            block = tx.blocks.get(name)
            return None if block is None or not block.refs else tx.blocks.data(block)

        data = self._core.db.read(work)
        return data if data is not None else await self._core.files.read(name)


_WHERE = {
    "here": "not here, though it should be",
    "wanted": "not fetched yet",
    "missing": "served by nobody who was asked",
    "large": "larger than this node takes (capacity.message)",
    "removed": "removed by its archive",
}


def numbered(tx: Tables, row: Archive, log: Log, index: int, raw: bytes) -> Numbered:
    """An entry, opened if its key is here, with what is known of its message."""
    message = message_of(tx, log, index, raw)
    item = None if message is None else tx.items.get(message, row.id)
    return Numbered(index=index, entry=grants.opened(log, index, raw), item=item)


def item_of(tx: Tables, row: Archive, ref: str) -> Item:
    """As `Library.item`."""
    if ref.isascii() and ref.isdigit() and len(ref) < 16:
        return _at(tx, row, int(ref))
    if len(ref) == cids.PRINTED:
        try:
            found = tx.items.get(cids.parse(ref), row.id)
        except Malformed:
            found = None
        if found is not None:
            return found
    elif len(ref) >= SHORTEST:
        tails = [each for each in items_of(tx, row) if cids.show(each.message).endswith(ref)]
        if len(tails) == 1:
            return tails[0]
    raise Absent(
        f"{row.name} has no message {ref[:100]!r}", next=f"willcall archive list {row.name}"
    )


def _sealed(what: str) -> Absent:
    return Absent(
        f"{what} is sealed, and not to you",
        reason="sealed",
        next="ask its owner to add you as a reader",
    )


def _at(tx: Tables, row: Archive, index: int) -> Item:
    log = log_of(tx, row)
    for at, raw in entries_of(tx, log, index, index + 1):
        entry = grants.opened(log, at, raw)
        if isinstance(entry, Removal):
            raise Absent(
                f"entry {at} of {row.name} removes message {entry.index}: {entry.reason}",
                reason="removal",
                next=f"willcall archive list {row.name}",
            )
        found = numbered(tx, row, log, at, raw).item
        if found is not None:
            return found
        if isinstance(entry, Sealed):
            raise _sealed(f"entry {at} of {row.name}")
    raise Absent(
        f"{row.name} has {log.size} entries, and none of number {index}",
        next=f"willcall archive list {row.name}",
    )


def items_of(tx: Tables, row: Archive) -> Iterator[Item]:
    """Every message of an archive, by epoch and place in its log; each once."""
    for epoch in range(1, row.epoch + 1):
        log = tx.logs.get(row.id, epoch)
        if log is None:
            continue
        for index, raw in entries_of(tx, log, 0, log.size):
            item = numbered(tx, row, log, index, raw).item
            if item is not None and (item.epoch, item.index) == (epoch, index):
                yield item


def page(found: Iterator[Item], count: int) -> Sequence[Item]:
    """The next of them."""
    return list(islice(found, count))


def place_of(row: Archive, origin: str) -> place.Place:
    """Where it is served: here, or else where it is followed."""
    if row.urls and not row.public:
        return place.parse(row.urls[0])
    return place.Place(origin=origin, root="", name=row.name)
