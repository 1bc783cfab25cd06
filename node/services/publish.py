"""Publishing archives: what is added, removed, said of them and signed.

    messages ─▶ signed roots, named by their bytes ─▶ one transaction: blocks, items, the tiles at
    the edge, the head with its checkpoint ─▶ served once that is durable

A checkpoint is signed over what is in the same transaction, and leaves the node when that is
durable: so for one size there is one (I15). Imported mail has its owner as author and `created`
0, so the same bytes are the same message, and importing again adds nothing. Spec: 12.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from node import limits
from node.archive import append, entry, note, place
from node.archive.entry import Entry, Removal
from node.archive.note import Checkpoint
from node.archive.tile import WIDTH
from node.archive.tree import Frontier
from node.crypto import keys
from node.crypto.note import Verifier
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent, Conflict, TooLarge
from node.machines import rows
from node.machines.rows import Archive, Item, Log, Owner
from node.mail import scan
from node.objects import archive as abouts
from node.objects import content as seals
from node.objects import message as messages
from node.objects.archive import About, Previous
from node.objects.message import Message, Part
from node.objects.readers import NONCE
from node.ports import Tables
from node.services import grants, ledger, library
from node.services.core import Core, together
from node.services.desk import Desk
from node.units import Instant, Key

IMPORTED = Instant(0)
"""What the root of imported mail says of its time."""
FILES = 8
"""Files written at the same time: each waits for the disk twice."""
TOLD = 100
"""Broken messages that are named one by one."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of messages that were added.

    Attributes:
        added, known: how many are new, and were here already by their content.
        broken: how many of either have no author or no date; which: the first of their places.
        size: entries of the log now.
    """

    added: int = 0
    known: int = 0
    broken: int = 0
    which: list[int] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A message that is signed and not stored yet.

    Attributes:
        block: the root; message: its name.
        parts: the other blocks.
        date: when it says it was written; 0: it does not.
        broken: it has no author or no date.
        under: the archive key, where it is sealed; nonce: of its entry then; digest: SHA-256 of
            the content, by which it is known.
    """

    message: Cid
    block: bytes
    size: int
    date: Instant
    broken: bool
    parts: tuple[tuple[Part, bytes], ...] = ()
    under: bytes = b""
    nonce: bytes = b""
    digest: bytes = b""


class Publisher:
    """Keeps the archives that the node's owners publish."""

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core, self._desk = core, desk

    # --- archives --------------------------------------------------------------------------

    async def create(
        self, owner: Owner, name: str, *, posting: str = "off", private: bool = False
    ) -> Archive:
        """A new, empty archive, served to nobody yet; a private one is sealed to its readers.

        Raises:
            Usage: no name for one.
            Conflict: the owner has one of that name.
        """
        library.check_given(name)
        core = self._core
        id, now = core.randomness.bytes(16), core.now()
        seed, key = core.randomness.bytes(32), core.randomness.bytes(32)

        def work(tx: Tables) -> Archive:
            _check_new(tx, owner.owner, name)
            if posting != "off":
                _check_only(tx, owner.owner)
            row = Archive(
                owner=owner.owner, id=id, name=name, publisher=owner.owner, created=now,
                posting=posting, posted=ledger.account(tx, owner.owner).mails, verified=now,
                private=private,
            )  # fmt: skip
            tx.archives.put(row)
            log = _empty(row, owner, 1, seed, core.config.origin, now)
            tx.logs.put(grants.begin(tx, owner, row, log, key, now) if private else log)
            return row

        return await core.db.transact(work)

    async def publish(self, owner: Owner, name: str) -> Archive:
        """Serves it from now on: an own one, or a followed one as a mirror. Again: the same.

        Raises:
            Conflict: another owner of this node serves one under that name.
            Absent: a follower is not through yet.
        """

        def work(tx: Tables) -> Archive:
            row = library.find(tx, owner.owner, name)
            place.check_name(row.name)
            other = library.served(tx, name)
            if other is not None and other.id != row.id:
                raise Conflict(
                    f"this node serves another archive as {name!r}",
                    next="another name: willcall archive create NAME, or follow URL --as NAME",
                )
            if not library.log_of(tx, row).note:
                raise Absent(f"nothing of {name} is here yet", next=f"willcall archive poll {name}")
            made: Archive = row.but(public=True)
            tx.archives.put(made)
            return made

        row = await self._core.db.transact(work)
        self._desk.changed(name)
        return row

    async def new_epoch(self, owner: Owner, name: str) -> Archive:
        """A new log under a new key, which names the last head of the one before."""
        core = self._core
        seed, key, now = core.randomness.bytes(32), core.randomness.bytes(32), core.now()

        def work(tx: Tables) -> Archive:
            row = library.own(tx, owner, name)
            old = library.log_of(tx, row)
            before = Previous(
                epoch=old.epoch, size=old.size, root=Frontier(old.size, old.peaks).root
            )
            made: Archive = row.but(epoch=row.epoch + 1, behind=False, reason=None, fork=())
            tx.archives.put(made)
            log = _empty(made, owner, made.epoch, seed, core.config.origin, now, before)
            tx.logs.put(grants.begin(tx, owner, made, log, key, now) if made.private else log)
            return made

        row = await core.db.transact(work)
        self._desk.changed(name)
        return row

    async def drop(self, owner: Owner, name: str) -> Archive:
        """Removes an archive, own or followed, with all that only it needs."""
        row = self._core.db.read(lambda tx: library.find(tx, owner.owner, name))
        # Out of sight first; then piece by piece, so that a million rows hold up nobody.
        gone: Archive = row.but(public=False, poll_at=None)
        await self._core.db.transact(lambda tx: _hide(tx, gone))
        self._desk.changed(name)
        while await self._core.db.transact(lambda tx: _clear(tx, row)):
            pass
        await self._desk.gone(row)
        return row

    async def say_where(self) -> None:
        """Signs again what is said of each own archive, where the node has moved since."""
        core, now = self._core, self._core.now()

        def work(tx: Tables) -> None:
            for row in list(tx.archives.scan()):
                owner, log = tx.owners.get(row.owner), tx.logs.get(row.id, row.epoch)
                if row.urls or owner is None or log is None:
                    continue
                about = library.about_of(log)
                if about.origins != (core.config.origin,):
                    said = replace(about, origins=(core.config.origin,), issued=now)
                    tx.logs.put(log.but(about=abouts.sign(said, owner.signing)))

        await core.db.transact(work)

    # --- messages --------------------------------------------------------------------------

    def under(self, owner: Owner, name: str) -> bytes:
        """The key that the next entries of a private archive are sealed under; of others: none.

        Raises:
            NoContact: there is no such archive of the owner's.
        """

        def work(tx: Tables) -> bytes:
            row = library.own(tx, owner, name)
            return library.log_of(tx, row).keys[-1][1] if row.private else b""

        return self._core.db.read(work)

    def sign(self, owner: Owner, content: bytes, under: bytes = b"") -> Plain:
        """A message of an archive, whose author is the owner; sealed, if `under` a key.

        In an archive for everybody its name depends on its bytes alone.

        Raises:
            TooLarge: more than the node takes.
        """
        if len(content) > self._core.config.message:
            raise TooLarge(
                f"a message has at most {self._core.config.message:,} bytes here, "
                f"this has {len(content):,}",
                next="capacity.message in config.toml raises it, up to 1GiB",
            )
        date, whole = scan.dated(content)
        if under:
            nonce = self._core.randomness.bytes(NONCE)
            return sealed(owner, content, date or Instant(0), under, nonce, broken=not whole)
        return plain(owner, content, date or Instant(0), broken=not whole)

    async def add(self, owner: Owner, name: str, found: Sequence[Plain], tally: Tally) -> None:
        """Appends messages that are not known, in their order, in one transaction.

        Durable when it returns; served with `serve`.

        Raises:
            Refused: the archive was restored and did not catch up; nothing of these was added.
            StoreFailed: the same.
        """
        new = self._core.db.read(lambda tx: _unknown(tx, library.own(tx, owner, name), found))
        large = [
            (part.cid, data)
            for each in new
            for part, data in each.parts
            if len(data) > limits.SMALL_BLOCK
        ]
        self._core.check_disk(sum(len(data) for _, data in large))
        async with self._core.files_lock:
            self._core.keeping.update(name for name, _ in large)
        try:
            keep = self._core.files.keep
            await together([partial(keep, part, data) for part, data in large], FILES)

            def work(tx: Tables) -> Tally:
                return _enter(tx, owner, library.own(tx, owner, name), found)

            made = await self._core.db.transact(work)
        finally:
            self._core.keeping.subtract(name for name, _ in large)
            self._core.keeping += Counter()
        tally.added += made.added
        tally.known += made.known
        tally.broken += made.broken
        tally.which += made.which[: TOLD - len(tally.which)]
        tally.size = made.size

    def serve(self, name: str) -> None:
        """What was added, and is durable, is served from now on."""
        self._desk.changed(name)

    async def remove(self, owner: Owner, name: str, ref: str, reason: str) -> Removal:
        """Erases a message's bytes; the log says so, and why.

        Raises:
            Absent: there is no such message; Conflict: it is removed already.
            Malformed: no reason.
        """
        now = self._core.now()
        nonces = [self._core.randomness.bytes(NONCE) for _ in range(2)]

        def work(tx: Tables) -> Removal:
            row = library.own(tx, owner, name)
            item = library.item_of(tx, row, ref)
            if item.state == "removed":
                raise Conflict(
                    f"message {item.index} of {name} is removed already",
                    next=f"willcall archive list {name}",
                )
            log = library.log_of(tx, row)
            again, said = _removing(log, item, reason, now)
            append_to(tx, row, log, list(zip([*again, said], nonces, strict=False)))
            erase(tx, item)
            return said

        said = await self._core.db.transact(work)
        self._desk.changed(name)
        return said


def plain(owner: Owner, content: bytes, date: Instant, *, broken: bool = False) -> Plain:
    """Content as a signed message that anybody can read."""
    parts: list[tuple[Part, bytes]] = []
    body: bytes | None = content
    if not messages.fits_body(len(content), messages.PLAIN):
        body = None
        for at in range(0, len(content), limits.PART):
            data = content[at : at + limits.PART]
            parts.append((Part(cid=cids.of_raw(data), size=len(data)), data))
    root = Message(
        author=owner.owner,
        created=IMPORTED,
        size=len(content),
        cipher=messages.PLAIN,
        body=body,
        parts=tuple(part for part, _ in parts),
    )
    block = messages.KIND.sign(root, owner.signing)
    return Plain(
        message=cids.of_object(block),
        block=block,
        size=len(content),
        date=date,
        broken=broken,
        parts=tuple(parts),
    )


def sealed(
    owner: Owner, content: bytes, date: Instant, under: bytes, nonce: bytes, *, broken: bool = False
) -> Plain:
    """Content as a signed message for readers of a private archive.

    Args:
        owner: its author.
        content: the message.
        date: when it says it was written.
        under: the archive key of its entry.
        nonce: of its entry; 24 random bytes.
        broken: it has no author or no date.
    """
    key, author, size = entry.message_key(under, nonce), owner.owner, len(content)
    parts: list[tuple[Part, bytes]] = []
    if messages.fits_body(size):
        block = seals.seal_body(key, author, IMPORTED, content, owner.signing)
    else:
        count = seals.part_count(size)
        for number in range(count):
            piece = content[number * limits.PART : (number + 1) * limits.PART]
            made = seals.seal_part(key, author, number, count, piece)
            parts.append((Part(cid=made.cid, size=len(made.block)), made.block))
        named = [part for part, _ in parts]
        block = seals.seal_root(key, author, IMPORTED, size, named, owner.signing)
    return Plain(
        message=cids.of_object(block),
        block=block,
        size=size,
        date=date,
        broken=broken,
        parts=tuple(parts),
        under=under,
        nonce=nonce,
        digest=sha256(content).digest(),
    )


# --- inside a transaction ------------------------------------------------------------------


def _check_new(tx: Tables, owner: Key, name: str) -> None:
    if tx.archives.called("named", owner + library.digest(name)) is not None:
        raise Conflict(
            f"there is an archive {name!r} already; nothing was changed",
            next=f"willcall archive show {name}",
        )


def _check_only(tx: Tables, owner: Key) -> None:
    """Letters to one owner go to one archive: a second list has an owner of its own."""
    taken = [row.name for row in tx.archives.by("owner", owner) if row.posting != "off"]
    if taken:
        raise Conflict(
            f"mail to this owner is for {taken[0]} already; nothing was changed",
            next="willcall owner add NAME, then --owner NAME archive create",
        )


def _empty(
    row: Archive,
    owner: Owner,
    epoch: int,
    seed: bytes,
    origin: str,
    now: Instant,
    previous: Previous | None = None,
) -> Log:
    """A log without entries, its checkpoint, and what its owner says of it."""
    line = f"{origin}/archives/{row.name}/{epoch}"
    key = keys.public(seed)
    about = About(
        owner=owner.owner,
        name=row.name,
        epoch=epoch,
        vkey=str(Verifier(name=line, key=key)),
        origins=(origin,),
        access=abouts.PRIVATE if row.private else abouts.PUBLIC,
        issued=now,
        previous=previous,
    )
    log = Log(
        archive=row.id,
        epoch=epoch,
        origin=line,
        key=key,
        signing=seed,
        about=abouts.sign(about, owner.signing),
    )
    return _signed(log, Frontier())


def _signed(log: Log, frontier: Frontier) -> Log:
    said = Checkpoint(origin=log.origin, size=frontier.size, root=frontier.root)
    made: Log = log.but(size=frontier.size, peaks=frontier.peaks, note=note.sign(said, log.signing))
    return made


def append_to(
    tx: Tables, row: Archive, log: Log, found: Sequence[tuple[Entry | Removal, bytes]]
) -> Log:
    """A log with more entries: tiles at its edge, and the signed head.

    Args:
        tx: the transaction.
        row: the archive; log: its newest.
        found: entries, each with 24 random bytes, under which a private archive seals it.

    Raises:
        Refused: this archive was restored from a backup: it may have signed more than it knows.
    """
    library.check_signs(row)
    blocks = [entry.encode(each) for each, _ in found]
    if row.private:
        key = log.keys[-1][1]
        blocks = [
            entry.encode(entry.seal(each, key, nonce, log.origin, index))
            for index, (each, nonce) in enumerate(found, log.size)
        ]
        grants.put_names(tx, log, log.size, [grants.name_of(each) for each, _ in found])
    made = grow_tiles(tx, log, Frontier(log.size, log.peaks), blocks)
    log = _signed(log, made)
    tx.logs.put(log)
    return log


def grow_tiles(tx: Tables, log: Log, frontier: Frontier, blocks: Sequence[bytes]) -> Frontier:
    """Writes the tiles of a log that grows; its right edge then."""
    grown = append.grow(frontier, blocks, library.tiles_of(tx, log))
    for level, index, data in grown.tiles:
        at = 0 if level is None else level + 1
        tile = rows.Tile(archive=log.archive, epoch=log.epoch, row=at, index=index, data=data)
        tx.tiles.put(tile)
    return grown.frontier


def _enter(tx: Tables, owner: Owner, row: Archive, found: Sequence[Plain]) -> Tally:
    """Appends those that are not known."""
    log, tally = library.log_of(tx, row), Tally()
    made: list[tuple[Entry | Removal, bytes]] = []
    for each in found:
        item = _known(tx, row, each)
        if item is not None:
            tally.known += 1
        else:
            item = _item(row, log, log.size + len(made), each)
            _put(tx, owner.owner, item, each)
            said = Entry(message=each.message, size=each.size, date=each.date)
            made.append((said, each.nonce))
            tally.added += 1
        if each.broken:
            tally.broken += 1
            tally.which.append(item.index)
    tally.size = append_to(tx, row, log, made).size if made else log.size
    return tally


def _removing(log: Log, item: Item, reason: str, now: Instant) -> tuple[tuple[Entry, ...], Removal]:
    """What a log says of a removal; a message of an older log is entered before: it stands in none.

    Raises:
        Malformed: followers would not take this reason.
    """
    again: tuple[Entry, ...] = ()
    index = item.index
    if item.epoch != log.epoch:
        again = (Entry(message=item.message, size=item.size, date=item.date),)
        index = log.size
    said = Removal(index=index, message=item.message, reason=reason, at=now)
    entry.decode(entry.encode(said))  # the reason comes from a person
    return again, said


def _unknown(tx: Tables, row: Archive, found: Sequence[Plain]) -> list[Plain]:
    """Those whose files are to be written: sealed, known content would make new ones each time."""
    if not row.private:
        return list(found)
    once = {each.digest: each for each in reversed(found)}
    return [each for each in once.values() if _known(tx, row, each) is None]


def _known(tx: Tables, row: Archive, found: Plain) -> Item | None:
    if row.private:
        return next(tx.items.by("digest", row.id + found.digest), None)
    return tx.items.get(found.message, row.id)


def _item(row: Archive, log: Log, index: int, found: Plain) -> Item:
    if row.private and found.under != log.keys[-1][1]:
        raise Conflict(
            f"the readers of {row.name} changed meanwhile: this was sealed for those before",
            reason="readers-changed",
            next="the same command again",
        )
    return Item(
        archive=row.id,
        message=found.message,
        epoch=log.epoch,
        index=index,
        size=found.size,
        date=found.date,
        parts=tuple(part.cid for part, _ in found.parts),
        key=entry.message_key(found.under, found.nonce) if row.private else b"",
        digest=found.digest,
    )


def _put(tx: Tables, author: Key, item: Item, found: Plain) -> None:
    tx.items.insert(item)
    for part, data in found.parts:
        small = data if len(data) <= limits.SMALL_BLOCK else None
        tx.blocks.add(part.cid, part.size, small, author=author, message=item.message)
    tx.blocks.add(item.message, len(found.block), found.block, author=author, message=item.message)


def erase(tx: Tables, item: Item) -> Item:
    """The bytes of a message go; its row says that they were removed."""
    if item.state == "here":
        for name in (*item.parts, item.message):
            tx.blocks.drop(name)
    made: Item = item.but(state="removed", parts=())
    tx.items.put(made)
    return made


def _hide(tx: Tables, gone: Archive) -> None:
    tx.archives.put(gone)
    for token in [each for each in tx.tokens.scan(gone.owner) if each.archive == gone.id]:
        tx.tokens.delete(token)


def _clear(tx: Tables, row: Archive) -> bool:
    """Removes some of what an archive holds, its newest bundle first; False: it is all gone."""
    for log in tx.logs.scan(row.id):
        for tile in tx.tiles.scan(row.id, log.epoch, 0, reverse=True):
            for index, raw in enumerate(entry.pieces(tile.data), tile.index * WIDTH):
                _clear_item(tx, row, library.message_of(tx, log, index, raw))
            tx.tiles.delete(tile)
            return True
        for tile in list(tx.tiles.scan(row.id, log.epoch)):
            tx.tiles.delete(tile)
        tx.logs.delete(log)
        return True
    tx.archives.delete(row)
    return False


def _clear_item(tx: Tables, row: Archive, message: Cid | None) -> None:
    item = None if message is None else tx.items.get(message, row.id)
    if item is None:
        return
    if item.state == "here":
        for name in (*item.parts, item.message):
            tx.blocks.drop(name)
    for name in (*item.parts, item.message):
        tx.blocks.forget(name)
    tx.items.delete(item)
