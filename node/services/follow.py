"""Following archives: asked politely, verified to the last byte, kept; nobody knows who follows.

    due ─▶ one poll at the next of its addresses ─┬─ it holds ──▶ due again later
                                                  ├─ it does not, or silence ─▶ the next address,
                                                  │                             then later
                                                  └─ a fork ─▶ both heads kept, never again

What a poll does is in `catchup`; when the next is due, in `node.machines.follow`. Spec: 12.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice

import trio

from node import limits
from node.archive import note, place, tree
from node.archive.tile import WIDTH
from node.archive.tree import Frontier
from node.crypto.note import Verifier
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
from node.objects import content as seals
from node.objects import message as messages
from node.ports import Tables
from node.services import library
from node.services.bodies import check_root
from node.services.catchup import Fork, Poll, Polled, check_owner, empty_log
from node.services.core import Core, together
from node.services.desk import Desk
from node.services.reach import Reach
from node.services.readers import Shown
from node.units import DAY, SECOND, Instant, Key, Millis

AT_ONCE = 4
"""Archives that are asked at the same time."""
FIRST = Millis(5 * SECOND)
"""After `follow` the messages are fetched in the background; a `poll` by hand comes before."""
TOLD = Millis(1 * DAY)
"""What is said of an archive is asked for again after this, or a start: it changes with a move."""
_WHERE = "is the address right, and does its node run?"
_LATER = "does its node run? it is asked again by itself"
_ELSEWHERE = "ask its owner; willcall archive follow URL adds a mirror of it"
STEP = 256
"""Messages that become wanted again in one transaction."""
DAILY = 16
"""Such steps a day that nobody has to ask for: who withholds a million costs us no more."""


class Follower:
    """Follows archives, for their readers and as a mirror."""

    def __init__(self, core: Core, desk: Desk) -> None:
        self._core, self._desk = core, desk
        self._locks: dict[bytes, trio.Lock] = {}
        self._ending: set[bytes] = set()
        self._told: dict[bytes, Instant] = {}

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
            Malformed: no addresses; Unreachable: nobody answers; Unverified: what they say, or
                two of them serve different archives.
            Usage: no name for one.
            Conflict: another archive is called so here.
        """
        places = [place.parse(text) for text in texts]
        if not 0 < len(places) <= limits.FOLLOW_ADDRESSES:
            raise Usage(
                f"1 to {limits.FOLLOW_ADDRESSES} addresses", next="willcall archive follow URL"
            )
        if name:
            library.check_given(name)
        pinned = next((each.owner for each in places if each.owner is not None), None)
        block, pins = await self._introduced(owner, places, pinned)
        about = abouts.decode(block).claim
        called = name or about.name
        place.check_new_name(called)
        now = self._core.now()
        made = Archive(
            owner=owner.owner,
            id=self._core.randomness.bytes(16),
            name=called,
            publisher=about.owner,
            created=now,
            epoch=about.epoch,
            urls=tuple(dict.fromkeys(each.url for each in places)),
            pins=pins,
            poll_at=Instant(now + FIRST),
            private=about.access == abouts.PRIVATE,
        )
        row = await self._core.db.transact(lambda tx: _entered(tx, made, block))
        self._told[row.id] = now
        self._core.polls.ring()
        return row

    async def _introduced(
        self, owner: Owner, places: list[place.Place], pinned: Key | None
    ) -> tuple[bytes, dict[str, bytes]]:
        """What the owner says of the archive, verified, at the first address that tells.

        Raises:
            Unverified, Malformed: what somebody answers does not hold, or is of another archive.
            Unreachable: nobody answers.
        """
        told: dict[int, tuple[bytes, bytes | None]] = {}
        silent: dict[int, Unreachable] = {}

        async def ask(number: int) -> None:
            try:
                told[number] = await self._told_at(owner, places[number], pinned)
            except Unreachable as error:
                silent[number] = error

        try:
            await together([partial(ask, number) for number in range(len(places))], AT_ONCE)
        except (Malformed, Unverified) as error:
            raise _advised(error, silent=_WHERE, wrong="is the link right? ask its owner") from None
        if not told:
            raise _advised(silent[min(silent)], silent=_WHERE, wrong=_WHERE)
        first = min(told)
        for number, (block, _) in told.items():
            _check_same(places[first], told[first][0], places[number], block)
        pins = {places[number].origin: pin for number, (_, pin) in told.items() if pin is not None}
        return told[first][0], pins

    async def _told_at(
        self, owner: Owner, at: place.Place, pinned: Key | None
    ) -> tuple[bytes, bytes | None]:
        """What is said at one address, its head verified; the pin of who answers there."""
        reach, block = await self._described(owner, at)
        about = abouts.decode(block).verify()
        check_owner(about, pinned)
        check_owner(about, at.owner)
        found = await reach.checkpoint("")
        assert found is not None, "no tag was sent"
        note.verify(found[0], about.verifier)
        return block, reach.pin

    async def _described(self, owner: Owner, at: place.Place) -> tuple[Reach, bytes]:
        """What is said at one address: to nobody in particular, else to a reader."""
        reach = Reach(self._core.exchange, at, None)
        try:
            return reach, await reach.about()
        except Unreachable as error:
            if error.reason != "not-here":
                raise
        shown = Shown(self._core, owner, at.origin)
        reach = Reach(self._core.exchange, at, reach.pin, shown=shown)
        return reach, await reach.about()

    async def poll(self, row: Archive, by: place.Place | None = None) -> Polled:
        """Asks for what is new, verifies it, and fetches the messages.

        Args:
            row: which.
            by: another place than usual; an own archive that was restored catches up there.

        Raises:
            Unverified, Malformed: what came does not hold, or it forked before.
            Unreachable: nobody answered. Refused: it is not followed any more; or it was restored,
                and nothing newer than its backup is there.
        """
        async with self._locks.setdefault(row.id, trio.Lock()):
            found = self._core.db.read(lambda tx: tx.archives.get(row.id))
            if found is None:
                raise Refused(f"{row.name} is not followed any more", reason="no-archive")
            if found.fork:
                raise Unverified(
                    found.reason or "it forked", reason="forked",
                    next=f"willcall archive show {row.name}",
                )  # fmt: skip
            return await self._polled(found, by)

    async def _polled(self, row: Archive, by: place.Place | None) -> Polled:
        places = [by] if by else [place.parse(url) for url in _turned(row)]
        failed: WillcallError | None = None
        for at in places:
            reach = self._reach(row, at)
            try:
                run = Poll(self._core, self._desk, row, reach, lambda: row.id in self._ending)
                polled = await run.run()
            except Fork as fork:
                await self._forked(row, fork)
                raise
            except (Malformed, Unverified, Unreachable) as error:
                if row.behind and error.reason == "rolled-back":
                    raise self._still_behind(row) from error
                # What does not hold is worse than silence: it is what is told in the end.
                if failed is None or isinstance(failed, Unreachable):
                    failed = error
                continue
            await self._refreshed(row, reach)
            done = await self._done(row, reach, by)
            if done.behind:
                raise self._still_behind(done)
            return polled
        assert failed is not None, "there is an address at least"
        if by:
            raise _advised(failed, silent=_WHERE, wrong="is it a mirror of this archive?")
        await self._failed(row, failed)
        raise _advised(failed, silent=_LATER, wrong=_ELSEWHERE)

    async def _refreshed(self, row: Archive, reach: Reach) -> None:
        """What the owner says of its archive, once a day: it may be served elsewhere by now.

        As often what nobody served is wanted once more, with the next poll.
        """
        now = self._core.now()
        if not row.urls or now < self._told.get(row.id, 0) + TOLD:
            return
        self._told[row.id] = now
        await self.again(row, DAILY)
        try:
            block = await reach.about()
            said = abouts.decode(block).verify()
        except (Malformed, Unverified, Unreachable) as error:
            self._core.note("about-not-told", archive=row.name, why=error.text)
            return

        def work(tx: Tables) -> bool:
            log = tx.logs.get(row.id, said.epoch)
            known = None if log is None else library.about_of(log)
            if log is None or known is None or said.owner != row.publisher:
                return False
            # The same log, and newer words; another log is the next head's to tell.
            if said.verifier != known.verifier or said.issued <= known.issued:
                return False
            tx.logs.put(log.but(about=block))
            return True

        if await self._core.db.transact(work):
            self._desk.changed(row.name)

    def _reach(self, row: Archive, at: place.Place) -> Reach:
        owner = self._core.db.read(lambda tx: tx.owners.get(row.owner)) if row.private else None
        shown = None if owner is None else Shown(self._core, owner, at.origin)
        return Reach(self._core.exchange, at, row.pins.get(at.origin), shown=shown)

    async def _done(self, row: Archive, reach: Reach, by: place.Place | None) -> Archive:
        """The row after a poll that went through; one that was restored may be behind still."""
        now, jitter = self._core.now(), self._core.jitter()
        kept = machine.lifetime(reach.kept)

        def work(tx: Tables) -> Archive:
            stored = tx.archives.get(row.id)
            if stored is None:
                return row
            if reach.pin is not None:
                stored = stored.but(pins=stored.pins | {reach.place.origin: reach.pin})
            if stored.urls:
                stored = machine.on_polled(stored, now, jitter, kept)
            elif by is not None:
                log = library.log_of(tx, stored)
                behind = stored.behind and (log.size <= stored.backed or not log.signing)
                stored = stored.but(behind=behind, verified=now)
            tx.archives.put(stored)
            return stored

        return await self._core.db.transact(work)

    def _still_behind(self, row: Archive) -> Refused:
        """Why an archive that was restored signs nothing, though a mirror was asked."""
        log = self._core.db.read(lambda tx: library.log_of(tx, row))
        begin = f"willcall archive publish {row.name} --new-epoch"
        if not log.signing:
            return Refused(
                f"epoch {row.epoch} of {row.name} began after the backup, which has no key of it; "
                "what the mirror has of it is here now",
                reason="behind",
                next=begin,
            )
        return Refused(
            f"nothing newer there than the backup had, {row.backed} of its entries; others may "
            f"have seen more of {row.name}, so it still signs nothing",
            reason="behind",
            next=f"another mirror: willcall archive poll {row.name} --from URL, or {begin}",
        )

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
            self._told.pop(row.id, None)

    async def again(self, row: Archive, steps: int = limits.INTEGER) -> None:
        """What nobody served is wanted once more, the newest first.

        Args:
            steps: of `STEP` messages, at most.
        """

        def work(tx: Tables) -> int:
            items = list(islice(tx.items.by("missing", row.id), STEP))
            for item in items:
                tx.items.put(item.but(state="wanted"))
            return len(items)

        for _ in range(steps):
            if await self._core.db.transact(work) < STEP:
                return

    async def verify(self, row: Archive) -> tuple[int, int, int]:
        """Computes all of it again from what is stored: entries, bodies, signatures.

        Returns:
            Entries; messages whose bodies are here and hold; those that are not here, and should.

        Raises:
            Unverified, Damaged: something does not.
        """
        reading, count, states = library.Library(self._core), 0, Counter[str]()
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
                    item = numbered.item
                    states[item.state if item else "none"] += 1
                    if item is not None and item.state == "here":
                        await _check_body(reading, item, private=row.private)
                await trio.lowlevel.checkpoint()
            if edge != Frontier(log.size, log.peaks) or edge.size != log.size:
                raise Unverified(f"the entries of {row.name} are not those of its checkpoint")
            count += log.size
        return count, states["here"], sum(states[word] for word in ("wanted", "missing", "large"))


def _advised(error: WillcallError, *, silent: str, wrong: str) -> WillcallError:
    """The error with what to do next: what another node says its reader can't correct."""
    if error.next is None:
        error.next = silent if isinstance(error, Unreachable) else wrong
    return error


def _check_same(first: place.Place, ours: bytes, other: place.Place, theirs: bytes) -> None:
    """Raises Unverified unless two addresses serve one archive: a mirror may be an epoch behind."""
    one, two = abouts.decode(ours).claim, abouts.decode(theirs).claim
    same = (one.owner, one.name, one.access) == (two.owner, two.name, two.access)
    if not same or (one.epoch == two.epoch and one.verifier != two.verifier):
        raise Unverified(
            f"{other.url} serves another archive than {first.url}; nothing was changed",
            reason="another-log",
            next=f"each by itself: willcall archive follow {other.url}",
        )


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


def _entered(tx: Tables, made: Archive, block: bytes) -> Archive:
    """The new row; or that of the same archive, which has the new addresses as well.

    Args:
        block: what its owner says of it, verified.
    """
    row = tx.archives.called("named", made.owner + library.digest(made.name))
    if row is None:
        tx.logs.put(empty_log(made, block))
        row = made
    elif not row.urls or row.publisher != made.publisher or not _same(tx, row, block):
        raise Conflict(
            f"another archive is called {made.name!r} here; nothing was changed", next="--as NAME"
        )
    else:
        urls = tuple(dict.fromkeys((*row.urls, *made.urls)))[: limits.FOLLOW_ADDRESSES]
        row = row.but(urls=urls)
    tx.archives.put(row)
    return row


def _same(tx: Tables, row: Archive, block: bytes) -> bool:
    """Whether what its owner says of an archive is of the one in that row."""
    said, log = abouts.decode(block).claim, tx.logs.get(row.id, row.epoch)
    if log is None or log.origin.split("/")[-2] != said.name:
        return False
    return log.epoch != said.epoch or (log.origin, log.key) == (
        said.verifier.name,
        said.verifier.key,
    )


def _check_head(log: Log) -> None:
    said = note.verify(log.note, Verifier(name=log.origin, key=log.key))
    if (said.size, said.root) != (log.size, Frontier(log.size, log.peaks).root):
        raise Unverified("a stored checkpoint is not that of its log")


async def _check_body(reading: library.Library, item: Item, *, private: bool) -> None:
    block = await reading.block(item.message)
    root = messages.KIND.decode(block).verify()
    check_root(root, item, private=private)
    for number, part in enumerate(root.parts):
        data = await reading.block(part.cid)
        if item.key:
            seals.open_part(root, item.key, number, data)
