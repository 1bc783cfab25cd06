"""One poll of one archive at one place: its head, its entries, what they mean, their bodies.

    head ─┬─ 304 ─────────────────────────────▶ nothing new
          ├─ the same size, or smaller ───────▶ held against our tiles: the same, older, or a fork
          └─ larger ─▶ bundles from our edge on ─▶ their root is the head's? ─▶ believed
                                                   └ no ─▶ its own tiles tell: wrong bundles, or
                                                           another past: a fork
    believed entries ─▶ messages wanted, or erased ─▶ bodies, the newest first

Our edge with the new entries behind it must give the signed root: that is the proof of consistency,
and no hash tile is fetched for it. Entries are stored as they come, and believed only then, so
a sync that was killed goes on where it was. Nothing of it leaves the node meanwhile, so the disk is
waited for where much was written, and in the end. A fork is two signed heads that can't be of one
log: both are kept, and trust stops. Spec: 12.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import islice

import trio

from node.archive import append, entry, note, tile, tree
from node.archive.entry import AnyEntry, Entry, Sealed
from node.archive.note import Checkpoint
from node.archive.tile import WIDTH, Tile
from node.archive.tree import Frontier
from node.crypto.note import Verifier
from node.encoding.cid import Cid
from node.errors import (
    Malformed,
    Refused,
    StoreFailed,
    Unreachable,
    Unverified,
    WillcallError,
)
from node.machines.rows import Archive, Item, Log
from node.objects import archive as abouts
from node.objects import readers as grants_of
from node.objects.archive import About
from node.objects.readers import Readers as Grants
from node.ports import Tables
from node.services import grants, library, readers
from node.services.bodies import Bodies
from node.services.core import Core, together
from node.services.desk import Desk
from node.services.publish import erase, grow_tiles
from node.services.reach import Reach
from node.units import Instant, Key

AT_ONCE = 2
"""Bundles that are fetched at the same time: as many as connections stay open between two calls
(`ClientLimits.idle_connections`); more would be opened anew each time."""
STEP = 256
"""Entries that become wanted, or erased, in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a poll found.

    Attributes:
        before, after: entries of its log that are believed.
        verified: signature, consistency and all entries, and every body that is served.
        missing: bodies that nobody served as they should be.
        requests: how many it took.
        epoch: of the log, where that is a new one; of it nothing was here before.
    """

    name: str
    before: int
    after: int
    verified: bool
    missing: int = 0
    requests: int = 0
    epoch: int | None = None


class Fork(Unverified):
    """Two signed heads that can't be of one log.

    Args:
        text: one line.
        theirs: the head that came; ours is in the store.
        name: of the archive.
    """

    reason = "forked"

    def __init__(self, text: str, theirs: bytes, name: str) -> None:
        super().__init__(text, next=f"willcall archive show {name}   (both heads, to be shown)")
        self.theirs = theirs


class Poll:
    """One archive asked once at one place."""

    def __init__(
        self, core: Core, desk: Desk, row: Archive, reach: Reach, ending: Callable[[], bool]
    ) -> None:
        self._core, self._desk, self._row, self._reach = core, desk, row, reach
        self._ending = ending
        self._log = core.db.read(lambda tx: library.log_of(tx, row))

    async def run(self) -> Polled:
        """Asks, verifies, and fetches.

        Raises:
            Fork: the history was rewritten. Unverified, Malformed: what came does not hold.
            Unreachable: it did not come, or not all of it. Refused: it is followed no more.
        """
        before, epoch = self._log.size, self._log.epoch
        await self._head()
        await self._apply()
        bodies = Bodies(self._core, self._row, self._reach, self._check_alive)
        await bodies.fetch()
        renewed = self._log.epoch != epoch
        return Polled(
            name=self._row.name,
            before=0 if renewed else before,
            after=self._log.size,
            verified=not bodies.missing,
            missing=bodies.missing,
            requests=self._reach.requests,
            epoch=self._log.epoch if renewed else None,
        )

    # --- head --------------------------------------------------------------------------------

    async def _head(self) -> None:
        url = self._reach.place.url
        known = self._row.etags.get(url, "") if self._log.note else ""
        found = await self._reach.checkpoint(known)
        if found is None:
            return
        data, etag = found
        try:
            said = self._said(data)
        except Unverified as error:
            if not await self._next_epoch(error):
                raise
            said = self._said(data)
        await self._grown(said, data)
        await self._granted()
        etags = {key: tag for key, tag in self._row.etags.items() if key in self._row.urls}
        self._store(lambda row: row.but(etags=etags | {url: etag} if etag else etags))

    def _said(self, data: bytes) -> Checkpoint:
        return note.verify(data, Verifier(name=self._log.origin, key=self._log.key))

    async def _grown(self, said: Checkpoint, data: bytes) -> None:
        """What a signed head means for the one that we have."""
        ours = Frontier(self._log.size, self._log.peaks)
        if said.size > ours.size or not self._log.note:
            await self._extend(said, data)
            return
        log = self._log
        root = ours.root
        if said.size < ours.size:
            root = self._core.db.read(lambda tx: library.root_at(tx, log, said.size))
        if root != said.root:
            raise self._fork(said, data)
        if said.size < ours.size:
            raise Unverified(
                f"{self._reach.place.origin} shows an older head than it did: of size {said.size}, "
                f"after one of {ours.size}; what is newer stays here",
                reason="rolled-back",
            )

    def _fork(self, said: Checkpoint, data: bytes) -> Fork:
        return Fork(
            f"{self._row.name} was rewritten: its key signed two histories, of "
            f"{self._log.size} and of {said.size} entries, that can't be of one log",
            data,
            self._row.name,
        )

    async def _next_epoch(self, error: Unverified) -> bool:
        """Whether the owner has begun a new log; then that is the one from now on."""
        block = await self._reach.about()
        about = abouts.decode(block).verify()
        check_owner(about, self._row.publisher)
        # An own one was restored, from before that log: it is caught up with, and has no key here.
        if about.epoch <= self._log.epoch or not (self._row.urls or self._row.behind):
            return False
        if (about.access == abouts.PRIVATE) != self._row.private:
            raise Unverified(
                f"{self._row.name} was {'private' if self._row.private else 'public'}, and its "
                "owner says otherwise now",
                reason="other-access",
                next=f"willcall archive unfollow {self._row.name}, and follow it anew",
            )
        await self._finish()
        self._check_previous(about, block)
        row, log = self._row.but(epoch=about.epoch), self._log
        made = empty_log(row, block)
        self._store(lambda stored: stored.but(epoch=about.epoch, etags={}), made)
        self._core.note("new-epoch", archive=row.name, epoch=about.epoch, before=log.epoch)
        return True

    async def _finish(self) -> None:
        """The old log up to its last head, as far as it is still told."""
        newest, self._reach = self._reach, self._reach.of_epoch(self._log.epoch)
        try:
            found = await self._reach.checkpoint("")
            if found is not None:
                await self._grown(self._said(found[0]), found[0])
                await self._granted()
                await self._apply()
        except (Malformed, Unreachable, Unverified) as error:
            # Entries that are none end what can be had of it; its operator began anew for that.
            # Who was restored from a backup has less of it than we have: that is no other past.
            if isinstance(error, Unverified) and error.reason != "rolled-back":
                raise
            self._core.note("old-epoch-gone", archive=self._row.name, why=error.text)
        finally:
            self._reach = newest

    def _check_previous(self, about: About, block: bytes) -> None:
        """A new log must name a head of the old one that agrees with what we have of it."""
        named, log = about.previous, self._log
        if named is None or named.epoch != log.epoch:
            if log.size and (named is None or named.epoch < log.epoch):
                raise Fork(
                    f"{self._row.name} began a new log that does not know of the {log.size} "
                    "entries before",
                    block,
                    self._row.name,
                )
            return
        if named.size > log.size:
            return
        root = self._core.db.read(lambda tx: library.root_at(tx, log, named.size))
        if root != named.root:
            raise Fork(
                f"{self._row.name} was rewritten: its new log names another past than its old one",
                block,
                self._row.name,
            )

    # --- readers -----------------------------------------------------------------------------

    async def _granted(self) -> None:
        """Who reads a private archive, as its owner last said; its keys, if we do."""
        if not self._row.private:
            return
        block = await self._reach.readers()
        said = grants_of.decode(block).verify()
        if (said.owner, said.log) != (self._row.publisher, self._log.origin):
            raise Unverified("the readers that are named are not those of this log")
        await self._core.db.transact(partial(self._take, said, block))
        self._desk.changed(self._row.name)

    def _take(self, said: Grants, block: bytes, tx: Tables) -> None:
        log, owner = self._log, tx.owners.get(self._row.owner)
        before = grants.object_of(tx, log)
        older = bool(before) and grants_of.decode(before).claim.issued >= said.issued
        row = tx.archives.get(self._row.id)
        if older or owner is None or row is None:
            return  # a mirror may be behind: what was said later holds
        grants.put_object(tx, log, block)
        self._row = row.but(readers=readers.merged(tx, owner, row, said))
        tx.archives.put(self._row)
        try:
            keys = grants_of.opened(said, owner.owner, [secret for secret, _ in owner.sealing])
        except Unverified as error:
            self._core.warn("archive-key-not-opened", archive=row.name, why=error.text)
            return
        known = dict(log.keys)
        new = [start for start, key in keys if known.get(start) != key]
        # Entries that were passed over are looked at again, now that they open.
        applied = min([log.applied, *new])
        held = known | dict(keys)
        self._put_log(tx, log.but(keys=tuple(sorted(held.items())), applied=applied))

    # --- entries -----------------------------------------------------------------------------

    async def _extend(self, said: Checkpoint, data: bytes) -> None:
        """Fetches the entries behind our edge; they are believed if they give the signed root."""
        log = self._log
        edge = (
            Frontier(log.ahead, log.edge) if log.ahead > log.size else Frontier(log.size, log.peaks)
        )
        if edge.size > said.size:
            edge = await self._back()
        try:
            async with aclosing(self._bundles(edge.size, said.size)) as bundles:
                async for raw in bundles:
                    edge = await self._ahead(edge, raw)
            if edge.root != said.root:
                raise Unverified(
                    f"{self._reach.place.origin} gives entries that are not those of its head",
                    reason="wrong-entries",
                )
        except (Malformed, Unverified) as error:
            await self._back()
            if not await self._told_fork(said, data):
                error.text += f"; {_UNTOLD}"
            raise
        made = self._log.but(
            size=edge.size, peaks=edge.peaks, note=data, ahead=0, edge=(),
        )  # fmt: skip
        self._core.db.apply(lambda tx: self._put_log(tx, made))
        self._desk.changed(self._row.name)

    async def _bundles(self, start: int, stop: int) -> AsyncGenerator[list[bytes], None]:
        """New entries, bundle by bundle in their order, some fetched ahead."""
        # Never a list of all: a head may claim any size.
        wanted = tile.row(None, start, stop) if start < stop else iter(())
        while some := list(islice(wanted, AT_ONCE)):
            got = await self._some(some)
            for each in some:
                raw = entry.unbundle(got[each], each.width)
                for one in raw:
                    entry.decode(one)
                yield raw[max(0, start - each.index * WIDTH) :]

    async def _some(self, wanted: list[Tile]) -> dict[Tile, bytes]:
        if len(wanted) == 1:
            return {wanted[0]: await self._reach.tile(wanted[0])}
        got: dict[Tile, bytes] = {}

        async def one(each: Tile) -> None:
            got[each] = await self._reach.tile(each)

        await together([partial(one, each) for each in wanted], AT_ONCE)
        return got

    async def _ahead(self, edge: Frontier, raw: list[bytes]) -> Frontier:
        """Stores entries that are not believed yet."""

        def work(tx: Tables) -> Log:
            grown = grow_tiles(tx, self._log, edge, raw)
            made: Log = self._log.but(ahead=grown.size, edge=grown.peaks)
            return self._put_log(tx, made)

        made = self._core.db.apply(work)
        await trio.lowlevel.checkpoint()
        return Frontier(made.ahead, made.edge)

    async def _back(self) -> Frontier:
        """Forgets the entries that were not believed."""
        log = self._log

        def work(tx: Tables) -> None:
            _cut(tx, log)
            self._put_log(tx, log.but(ahead=0, edge=()))

        await self._core.db.transact(work)
        return Frontier(log.size, log.peaks)

    def _put_log(self, tx: Tables, log: Log) -> Log:
        self._check_alive()
        self._check_written(tx)
        tx.logs.put(log)
        self._log = log
        return log

    def _check_written(self, tx: Tables) -> None:
        """Raises StoreFailed if what this poll wrote before is lost: nothing may stand on it."""
        if tx.logs.get(self._log.archive, self._log.epoch) != self._log:
            raise StoreFailed("What came before was not written.", next="it is asked for again")

    def _check_alive(self) -> None:
        if self._ending():
            raise Refused(f"{self._row.name} is not followed any more", reason="no-archive")

    async def _told_fork(self, said: Checkpoint, data: bytes) -> bool:
        """Raises Fork if the log of that head, by its own tiles, does not begin with ours.

        Returns:
            Whether they told it: tiles that are withheld, or wrong as well, prove nothing.
        """
        got: dict[tuple[int, int], bytes] = {}

        def read(level: int | None, index: int) -> bytes:
            assert level is not None, "roots are made of hashes"
            if (level, index) not in got:
                raise _Needed(level, index)
            return got[level, index]

        try:
            if await self._rooted(partial(tree.root, said.size), read, got, said) != said.root:
                return False
            if not self._log.size:
                return True
            theirs = await self._rooted(partial(tree.root, self._log.size), read, got, said)
        except WillcallError as error:
            name, at = self._row.name, self._reach.place.origin
            self._core.warn("fork-not-told", archive=name, origin=at, why=error.text)
            return False
        if theirs != Frontier(self._log.size, self._log.peaks).root:
            raise self._fork(said, data)
        return True

    async def _rooted(
        self,
        work: Callable[[tree.Read], bytes],
        read: append.ReadTile,
        got: dict[tuple[int, int], bytes],
        said: Checkpoint,
    ) -> bytes:
        while True:
            try:
                return work(append.reader(read))
            except _Needed as needed:
                held = (said.size >> (8 * needed.level)) - needed.index * WIDTH
                wanted = Tile(needed.level, needed.index, min(WIDTH, held))
                got[needed.level, needed.index] = await self._reach.tile(wanted)

    # --- what entries mean -------------------------------------------------------------------

    async def _apply(self) -> None:
        """Messages of believed entries become wanted, or are erased, as far as it was not done."""
        while (left := self._log.size - self._log.applied) > 0:
            names = await self._names()
            if left > STEP:
                await self._core.db.transact(partial(self._apply_some, names))
            else:
                self._core.db.apply(partial(self._apply_some, names))

    async def _names(self) -> bytes:
        """What the next entries name, where they are sealed and no key of theirs is here."""
        log, start = self._log, self._log.applied // WIDTH
        if not self._row.private or log.keys:
            return b""
        some = Tile(None, start, min(WIDTH, log.size - start * WIDTH))
        names = await self._reach.names(some)
        return names[log.applied % WIDTH * grants.NAME :]

    def _apply_some(self, names: bytes, tx: Tables) -> None:
        log, told = self._log, list[bytes]()
        stop = min(log.applied + (len(names) // grants.NAME or STEP), log.size)
        for index, raw in library.entries_of(tx, log, log.applied, stop):
            found = grants.opened(log, index, raw)
            name = grants.name_of(found)
            if isinstance(found, Sealed):
                at = (index - log.applied) * grants.NAME
                name = names[at : at + grants.NAME] or name
            told.append(name)
            self._apply_one(tx, index, raw, found, name)
        if self._row.private:
            grants.put_names(tx, log, log.applied, told)
        self._put_log(tx, log.but(applied=stop))

    def _apply_one(self, tx: Tables, index: int, raw: bytes, found: AnyEntry, name: bytes) -> None:
        kind, message = grants.named(name)
        item = None if message is None else tx.items.get(message, self._row.id)
        if kind == grants.REMOVES and item is not None and item.state != "removed":
            erase(tx, item)
        elif kind == grants.MESSAGE and message is not None:
            made = self._wanted(index, message, found, grants.message_key(self._log, index, raw))
            if item is None:
                tx.items.insert(made)
            elif made.key and not item.key:  # kept unread until its key came
                tx.items.put(item.but(key=made.key, size=made.size, date=made.date))

    def _wanted(self, index: int, message: Cid, found: AnyEntry, key: bytes) -> Item:
        size, date = (found.size, found.date) if isinstance(found, Entry) else (0, Instant(0))
        return Item(
            archive=self._row.id,
            message=message,
            epoch=self._log.epoch,
            index=index,
            size=size,
            date=date,
            state="large" if size > self._core.config.message else "wanted",
            key=key if isinstance(found, Entry) else b"",
        )

    def _store(self, change: Callable[[Archive], Archive], made: Log | None = None) -> None:
        """Changes the archive's row, and begins a log where one was made."""

        def work(tx: Tables) -> None:
            self._check_alive()
            self._check_written(tx)
            stored = tx.archives.get(self._row.id)
            if stored is not None:
                self._row = change(stored)
                tx.archives.put(self._row)
                if made is not None:
                    tx.logs.put(made)
                    self._log = made

        self._core.db.apply(work)


_UNTOLD = "nor does it give the tiles that tell whether it was rewritten: ask a mirror"
"""Who forked a log will rather give nothing than the proof."""


class _Needed(Exception):
    """A tile is needed to go on."""

    def __init__(self, level: int, index: int) -> None:
        self.level, self.index = level, index


def _cut(tx: Tables, log: Log) -> None:
    """Tiles as they were at the head of a log, without what was stored ahead of it."""
    ends: list[tuple[int, int]] = [(0, log.size)]
    ends += [(level + 1, log.size >> (8 * level)) for level in range(tile.LEVELS)]
    for row, end in ends:
        for stored in list(tx.tiles.scan(log.archive, log.epoch, row, reverse=True)):
            held = end - stored.index * WIDTH
            if held >= WIDTH:
                break
            if held <= 0:
                tx.tiles.delete(stored)
            else:
                level = None if row == 0 else row - 1
                data = append.cut(Tile(level, stored.index, held), stored.data)
                tx.tiles.put(stored.but(data=data))


def empty_log(row: Archive, block: bytes) -> Log:
    """A log of which nothing is here yet, as its owner's verified words describe it."""
    about = abouts.decode(block).claim
    named = about.verifier
    return Log(archive=row.id, epoch=about.epoch, origin=named.name, key=named.key, about=block)


def check_owner(about: About, owner: Key | None) -> None:
    """Raises Unverified if it is another's than was pinned."""
    if owner is not None and about.owner != owner:
        raise Unverified("this archive is another owner's than the link says", reason="other-owner")
