"""Following archives: asked politely, verified to the last byte, kept; nobody knows who follows.

    head ─┬─ 304 ─────────────────────────────▶ nothing new
          ├─ the same size, or smaller ───────▶ held against our tiles: the same, older, or a fork
          └─ larger ─▶ bundles from our edge on ─▶ their root is the head's? ─▶ believed
                                                   └ no ─▶ its own tiles tell: wrong bundles, or
                                                           another past: a fork
    believed entries ─▶ messages wanted, or erased ─▶ bodies, the newest first

Our edge with the new entries behind it must give the signed root: that is the proof of consistency,
and no hash tile is fetched for it. Entries are stored as they come, and believed only then, so
a sync that was killed goes on where it was. A fork is two signed heads that can't be of one log:
both are kept, and trust stops. Spec: 12.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice

import trio

from node import limits
from node.archive import append, entry, note, place, tile, tree
from node.archive.entry import Entry, Removal
from node.archive.note import Checkpoint
from node.archive.tile import WIDTH, Tile
from node.archive.tree import Frontier
from node.crypto.note import Verifier
from node.encoding.cid import Cid
from node.errors import (
    Conflict,
    Malformed,
    Refused,
    StoreFailed,
    Unreachable,
    Unverified,
    Usage,
    WillcallError,
)
from node.machines import follow as machine
from node.machines.rows import Archive, Item, Log, Owner
from node.objects import archive as abouts
from node.objects import message as messages
from node.objects.archive import About
from node.objects.message import Message
from node.ports import Tables
from node.services import library
from node.services.core import Core, together
from node.services.desk import Desk
from node.services.publish import erase, grow_tiles
from node.services.reach import Reach
from node.units import SECOND, Instant, Key, Millis

AT_ONCE = 4
"""Archives that are asked at the same time, and bundles that are fetched ahead."""
FILES = 8
"""Messages that are looked at, and large parts fetched and written, at the same time."""
FIRST = Millis(5 * SECOND)
"""After `follow` the messages are fetched in the background; a `poll` by hand comes before."""
STEP = 256
"""Entries that become wanted, or erased, in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a poll found.

    Attributes:
        before, after: entries that are believed.
        verified: signature, consistency and all entries, and every body that is served.
        missing: bodies that nobody served as they should be.
        requests: how many it took.
    """

    name: str
    before: int
    after: int
    verified: bool
    missing: int = 0
    requests: int = 0


class Fork(Unverified):
    """Two signed heads that can't be of one log.

    Args:
        text: one line.
        theirs: the head that came; ours is in the store.
    """

    reason = "forked"

    def __init__(self, text: str, theirs: bytes) -> None:
        super().__init__(text, next="willcall archive show NAME   (both heads, to be shown)")
        self.theirs = theirs


class Follower:
    """Follows archives, for their readers and as a mirror."""

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core, self._desk = core, desk
        self._locks: dict[bytes, trio.Lock] = {}
        self._ending: set[bytes] = set()

    # --- the task ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Asks what is due until cancelled."""
        async with trio.open_nursery() as nursery:
            busy: set[bytes] = set()
            while True:
                now = self._core.now()
                due, pause = self._core.db.read(lambda tx, now=now: _due(tx, now, busy))  # type: ignore[misc]
                for row in due[: AT_ONCE - len(busy)]:
                    busy.add(row.id)
                    nursery.start_soon(self._one, row, busy)
                await self._core.polls.wait(pause)

    async def _one(self, row: Archive, busy: set[bytes]) -> None:
        try:
            await self.poll(row)
        except StoreFailed as error:
            self._core.warn("following-pauses", archive=row.name, why=error.text)
            await trio.sleep(AT_ONCE)
        except WillcallError as error:
            self._core.note("not-followed", archive=row.name, reason=error.reason, why=error.text)
        finally:
            busy.discard(row.id)
            self._core.polls.ring()

    # --- by hand -----------------------------------------------------------------------------

    async def follow(self, owner: Owner, texts: list[str], name: str | None) -> Archive:
        """Begins to follow an archive at one address or several; its head is verified first.

        Again: the same row, with the new addresses as well.

        Raises:
            Malformed: no addresses; Unreachable: nobody answers; Unverified: what they say.
            Conflict: another archive is called so here.
        """
        places = [place.parse(text) for text in texts]
        if not 0 < len(places) <= limits.FOLLOW_ADDRESSES:
            raise Usage(
                f"1 to {limits.FOLLOW_ADDRESSES} addresses", next="willcall archive follow URL"
            )
        pinned = next((each.owner for each in places if each.owner is not None), None)
        block, pins = await self._introduced(places, pinned)
        about = abouts.decode(block).claim
        called = name or about.name
        place.check_name(called)
        id, now = self._core.randomness.bytes(16), self._core.now()
        urls = tuple(dict.fromkeys(each.url for each in places))

        def work(tx: Tables) -> Archive:
            row = tx.archives.called("named", owner.owner + library.digest(called))
            if row is None:
                row = Archive(
                    owner=owner.owner, id=id, name=called, publisher=about.owner, created=now,
                    epoch=about.epoch, urls=urls, pins=pins, poll_at=Instant(now + FIRST),
                )  # fmt: skip
                tx.logs.put(_empty(row, block))
            elif not row.urls or row.publisher != about.owner or _named(tx, row) != about.name:
                raise Conflict(
                    f"another archive is called {called!r} here; nothing was changed",
                    next="--as NAME",
                )
            else:
                urls_now = tuple(dict.fromkeys((*row.urls, *urls)))[: limits.FOLLOW_ADDRESSES]
                row = row.but(urls=urls_now)
            tx.archives.put(row)
            return row

        row = await self._core.db.transact(work)
        self._core.polls.ring()
        return row

    async def _introduced(
        self, places: list[place.Place], pinned: Key | None
    ) -> tuple[bytes, dict[str, bytes]]:
        """What the owner says of the archive, verified, at the first address that tells."""
        failed: WillcallError | None = None
        for at in places:
            reach = Reach(self._core.exchange, at, None)
            try:
                block = await reach.about()
                about = abouts.decode(block).verify()
                _check_owner(about, pinned)
                found = await reach.checkpoint("")
                assert found is not None, "no tag was sent"
                note.verify(found[0], about.verifier)
            except (Malformed, Unverified, Unreachable) as error:
                failed = failed or error
                continue
            return block, {} if reach.pin is None else {at.origin: reach.pin}
        assert failed is not None, "there is an address at least"
        raise failed

    async def poll(self, row: Archive, by: place.Place | None = None) -> Polled:
        """Asks for what is new, verifies it, and fetches the messages.

        Args:
            row: which.
            by: another place than usual; an own archive that was restored catches up there.

        Raises:
            Refused: it forked before. Unverified, Malformed: what came does not hold.
            Unreachable: nobody answered.
        """
        async with self._locks.setdefault(row.id, trio.Lock()):
            found = self._core.db.read(lambda tx: tx.archives.get(row.id))
            if found is None:
                raise Refused(f"{row.name} is not followed any more", reason="no-archive")
            if found.fork:
                raise Refused(
                    found.reason or "it forked", reason="forked",
                    next=f"willcall archive show {row.name}",
                )  # fmt: skip
            return await self._polled(found, by)

    async def _polled(self, row: Archive, by: place.Place | None) -> Polled:
        places = [by] if by else [place.parse(url) for url in _turned(row)]
        failed: WillcallError | None = None
        for at in places:
            reach = Reach(self._core.exchange, at, row.pins.get(at.origin))
            try:
                run = _Poll(self._core, self._desk, row, reach, lambda: row.id in self._ending)
                polled = await run.run()
            except Fork as fork:
                await self._forked(row, fork)
                raise
            except (Malformed, Unverified, Unreachable) as error:
                # What does not hold is worse than silence: it is what is told in the end.
                if failed is None or isinstance(failed, Unreachable):
                    failed = error
                continue
            await self._done(row, reach, by)
            return polled
        assert failed is not None, "there is an address at least"
        if not by:
            await self._failed(row, failed)
        raise failed

    async def _done(self, row: Archive, reach: Reach, by: place.Place | None) -> None:
        now, jitter = self._core.now(), self._core.jitter()
        kept = machine.lifetime(reach.kept)

        def work(tx: Tables) -> None:
            stored = tx.archives.get(row.id)
            if stored is None:
                return
            if reach.pin is not None:
                stored = stored.but(pins=stored.pins | {reach.place.origin: reach.pin})
            if stored.urls:
                stored = machine.on_polled(stored, now, jitter, kept)
            elif by is not None:
                stored = stored.but(behind=False, verified=now)
            tx.archives.put(stored)

        await self._core.db.transact(work)

    async def _failed(self, row: Archive, error: WillcallError) -> None:
        now, jitter = self._core.now(), self._core.jitter()

        def work(tx: Tables) -> None:
            stored = tx.archives.get(row.id)
            if stored is not None and stored.urls:
                tx.archives.put(machine.on_failed(stored, now, jitter, error.text))

        await self._core.db.transact(work)

    async def _forked(self, row: Archive, fork: Fork) -> None:
        def work(tx: Tables) -> None:
            stored, log = tx.archives.get(row.id), tx.logs.get(row.id, row.epoch)
            if stored is not None and log is not None and not stored.fork:
                tx.archives.put(machine.on_fork(stored, log.note, fork.theirs, fork.text))

        await self._core.db.transact(work)
        self._core.warn("archive-forked", archive=row.name, why=fork.text)

    @asynccontextmanager
    async def ended(self, owner: Owner, name: str) -> AsyncIterator[Archive]:
        """Nothing is asked of it any more, and nothing under way will write: it can be dropped."""

        def work(tx: Tables) -> Archive:
            row = library.find(tx, owner.owner, name)
            if not row.urls:
                raise Usage(f"{name} is yours", next=f"willcall archive drop {name}")
            tx.archives.put(row.but(poll_at=None))
            return row

        row = await self._core.db.transact(work)
        self._ending.add(row.id)
        try:
            async with self._locks.setdefault(row.id, trio.Lock()):
                yield row
        finally:
            self._ending.discard(row.id)
            self._locks.pop(row.id, None)

    async def again(self, row: Archive) -> None:
        """What nobody served is wanted once more."""

        def work(tx: Tables) -> int:
            items = list(islice(tx.items.by("missing", row.id), STEP))
            for item in items:
                tx.items.put(item.but(state="wanted"))
            return len(items)

        while await self._core.db.transact(work) == STEP:
            pass

    async def verify(self, row: Archive) -> tuple[int, int]:
        """Computes all of it again from what is stored: entries, bodies, signatures.

        Returns:
            Entries, and messages whose bodies are here and hold.

        Raises:
            Unverified, Damaged: something does not.
        """
        reading, count, good = library.Library(self._core), 0, 0
        for epoch in range(1, row.epoch + 1):
            log = self._core.db.read(lambda tx, epoch=epoch: tx.logs.get(row.id, epoch))  # type: ignore[misc]
            if log is None:
                continue
            _check_head(log)
            edge = Frontier()
            for start in range(0, log.size, WIDTH):
                raw = self._core.db.read(
                    lambda tx, log=log, start=start: list(  # type: ignore[misc]
                        library.entries_of(tx, log, start, start + WIDTH)
                    )
                )
                edge, _ = tree.append(edge, [tree.leaf(each) for _, each in raw])
                for numbered in reading.entries(row, start, WIDTH, epoch):
                    if numbered.item is not None and numbered.item.state == "here":
                        await _check_body(reading, numbered.item)
                        good += 1
                await trio.lowlevel.checkpoint()
            if edge != Frontier(log.size, log.peaks) or edge.size != log.size:
                raise Unverified(f"the entries of {row.name} are not those of its checkpoint")
            count += log.size
        return count, good


def _turned(row: Archive) -> tuple[str, ...]:
    turn = row.turn % len(row.urls) if row.urls else 0
    return row.urls[turn:] + row.urls[:turn]


def _due(tx: Tables, now: Instant, busy: set[bytes]) -> tuple[list[Archive], float]:
    """What is due and not being asked; seconds until the next is."""
    found: list[Archive] = []
    for row in tx.archives.by("due"):
        assert row.poll_at is not None, "the index holds no others"
        if row.poll_at > now:
            return found, (row.poll_at - now) / SECOND
        if row.id not in busy:
            found.append(row)
    return found, 3600.0


def _empty(row: Archive, block: bytes) -> Log:
    about = abouts.decode(block).claim
    named = about.verifier
    return Log(archive=row.id, epoch=about.epoch, origin=named.name, key=named.key, about=block)


def _named(tx: Tables, row: Archive) -> str:
    log = tx.logs.get(row.id, row.epoch)
    return "" if log is None else log.origin.split("/")[-2]


def _check_owner(about: About, owner: Key | None) -> None:
    if owner is not None and about.owner != owner:
        raise Unverified("this archive is another owner's than the link says", reason="other-owner")


def _check_head(log: Log) -> None:
    said = note.verify(log.note, Verifier(name=log.origin, key=log.key))
    if (said.size, said.root) != (log.size, Frontier(log.size, log.peaks).root):
        raise Unverified("a stored checkpoint is not that of its log")


async def _check_body(reading: library.Library, item: Item) -> None:
    block = await reading.block(item.message)
    root = messages.KIND.decode(block).verify()
    _check_root(root, item)
    for part in root.parts:
        await reading.block(part.cid)


def _check_root(root: Message, item: Item) -> None:
    if root.cipher != messages.PLAIN or root.size != item.size:
        raise Unverified(f"message {item.index} is not what its entry says")


# --- one poll ------------------------------------------------------------------------------


class _Poll:
    """One archive asked once at one place."""

    def __init__(
        self, core: Core, desk: Desk, row: Archive, reach: Reach, ending: Callable[[], bool]
    ) -> None:
        self._core, self._desk, self._row, self._reach = core, desk, row, reach
        self._ending = ending
        self._log = core.db.read(lambda tx: library.log_of(tx, row))
        self._missing = 0

    async def run(self) -> Polled:
        before = self._log.size
        await self._head()
        await self._apply()
        await self._bodies()
        return Polled(
            name=self._row.name,
            before=before,
            after=self._log.size,
            verified=not self._missing,
            missing=self._missing,
            requests=self._reach.requests,
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
        etags = {key: tag for key, tag in self._row.etags.items() if key in self._row.urls}
        await self._store(lambda row: row.but(etags=etags | {url: etag} if etag else etags))

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
                f"{self._reach.place.origin} shows an older head than it did: {said.size} entries "
                f"after {ours.size}; the newer ones stay here",
                reason="rolled-back",
            )

    def _fork(self, said: Checkpoint, data: bytes) -> Fork:
        return Fork(
            f"{self._row.name} was rewritten: its key signed two histories, of "
            f"{self._log.size} and of {said.size} entries, that can't be of one log",
            data,
        )

    async def _next_epoch(self, error: Unverified) -> bool:
        """Whether the owner has begun a new log; then that is the one from now on."""
        block = await self._reach.about()
        about = abouts.decode(block).verify()
        _check_owner(about, self._row.publisher)
        if about.epoch <= self._log.epoch or not self._row.urls:
            return False
        await self._finish()
        self._check_previous(about, block)
        row, log = self._row.but(epoch=about.epoch), self._log
        self._log = _empty(row, block)
        await self._store(lambda stored: stored.but(epoch=about.epoch, etags={}))
        self._core.note("new-epoch", archive=row.name, epoch=about.epoch, before=log.epoch)
        return True

    async def _finish(self) -> None:
        """The old log up to its last head, as far as it is still told."""
        newest, self._reach = self._reach, self._reach.of_epoch(self._log.epoch)
        try:
            found = await self._reach.checkpoint("")
            if found is not None:
                await self._grown(self._said(found[0]), found[0])
                await self._apply()
        except (Unreachable, Unverified) as error:
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
                )
            return
        if named.size > log.size:
            return
        root = self._core.db.read(lambda tx: library.root_at(tx, log, named.size))
        if root != named.root:
            raise Fork(
                f"{self._row.name} was rewritten: its new log names another past than its old one",
                block,
            )

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
        except (Malformed, Unverified):
            await self._back()
            await self._check_fork(said, data)
            raise
        made = self._log.but(
            size=edge.size, peaks=edge.peaks, note=data, ahead=0, edge=(),
        )  # fmt: skip
        await self._core.db.transact(lambda tx: self._put_log(tx, made))
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
        tx.logs.put(log)
        self._log = log
        return log

    def _check_alive(self) -> None:
        if self._ending():
            raise Refused(f"{self._row.name} is not followed any more", reason="no-archive")

    async def _check_fork(self, said: Checkpoint, data: bytes) -> None:
        """Raises Fork if the log of that head, by its own tiles, does not begin with ours."""
        got: dict[tuple[int, int], bytes] = {}

        def read(level: int | None, index: int) -> bytes:
            assert level is not None, "roots are made of hashes"
            if (level, index) not in got:
                raise _Needed(level, index)
            return got[level, index]

        try:
            if await self._rooted(partial(tree.root, said.size), read, got, said) != said.root:
                return  # its tiles are wrong as well: nothing is proved
            if not self._log.size:
                return
            theirs = await self._rooted(partial(tree.root, self._log.size), read, got, said)
        except WillcallError:
            return
        if theirs != Frontier(self._log.size, self._log.peaks).root:
            raise self._fork(said, data)

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
        while self._log.applied < self._log.size:
            await self._core.db.transact(self._apply_some)

    def _apply_some(self, tx: Tables) -> None:
        log = self._log
        stop = min(log.applied + STEP, log.size)
        for index, raw in library.entries_of(tx, log, log.applied, stop):
            found = entry.decode(raw)
            if isinstance(found, Entry) and tx.items.get(found.message, self._row.id) is None:
                tx.items.insert(self._wanted(index, found))
            elif isinstance(found, Removal):
                item = tx.items.get(found.message, self._row.id)
                if item is not None and item.state != "removed":
                    erase(tx, item)
        self._put_log(tx, log.but(applied=stop))

    def _wanted(self, index: int, found: Entry) -> Item:
        large = found.size > self._core.config.message
        return Item(
            archive=self._row.id,
            message=found.message,
            epoch=self._log.epoch,
            index=index,
            size=found.size,
            date=found.date,
            state="large" if large else "wanted",
        )

    # --- bodies ------------------------------------------------------------------------------

    async def _bodies(self) -> None:
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
        self._missing += len(bad)

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

    async def _store(self, change: Callable[[Archive], Archive]) -> None:
        def work(tx: Tables) -> None:
            stored = tx.archives.get(self._row.id)
            if stored is not None:
                self._row = change(stored)
                tx.archives.put(self._row)
                tx.logs.put(self._log)

        await self._core.db.transact(work)


class _Needed(Exception):
    """A tile is needed to go on."""

    def __init__(self, level: int, index: int) -> None:
        self.level, self.index = level, index


def _believed(item: Item, block: bytes) -> Message | None:
    """The root, if it is signed and what its entry says; its hash was checked."""
    try:
        root = messages.KIND.decode(block).verify()
        _check_root(root, item)
    except (Malformed, Unverified):
        return None
    return root


def _arrived(tx: Tables, item: Item, root: Message, block: bytes) -> None:
    for part in root.parts:
        tx.blocks.add(part.cid, part.size, None, author=root.author, message=item.message)
    tx.blocks.add(item.message, len(block), block, author=root.author, message=item.message)
    tx.items.put(item.but(state="here", parts=tuple(part.cid for part in root.parts)))


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
