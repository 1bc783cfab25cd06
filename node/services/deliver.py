"""Delivery: everything that is owed to peers goes out, place by place.

    due peers of one place → one round:
      each of them: greet (a new origin) · introduce · receipts · retractions · record
      all of them together: notifications · each of them: poll
    answered → the next due instant; not answered → a longer pause for the peer

A place that is not reached costs one attempt, whoever lives there; what one peer alone is
refused ends only its own round. Spec: 06.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice

from node import limits
from node.errors import Unreachable, WillcallError
from node.machines import peer as peers
from node.machines import retry
from node.machines.rows import Errand, Owner, Peer
from node.objects import record
from node.objects.answer import ACCEPTED, Answer, refused
from node.objects.receipt import RECEIPT, Receipt
from node.ports import Tables
from node.services import greet, meet, owners
from node.services.admit import Admission
from node.services.announce import Announcer, Resealed, count_receipt
from node.services.ask import Asker
from node.services.calls import Answered, Calls
from node.services.core import Core, short
from node.services.greet import Greeter, Met
from node.services.rounds import Rounds, of_the_disk
from node.units import Instant, Key

AT_ONCE = 32
"""Places that are served at the same time: bounds sockets and memory."""
BAD_LINK = frozenset({"forged", "malformed"})
"""Problems with an introduction that asking again does not mend."""


class Deliverer:
    """Runs the outgoing side of all owners."""

    def __init__(self, core: Core, calls: Calls, admission: Admission, greeter: Greeter) -> None:
        self._core, self._calls, self._greeter = core, calls, greeter
        self._announcer = Announcer(core, calls)
        self._asker = Asker(core, calls, admission)

    async def run(self) -> None:
        """Serves due peers until cancelled."""
        await Rounds(
            self._core,
            name="delivery",
            bell=self._core.outgoing,
            index="wake",
            clock=lambda row: row.wake_at,
            place=lambda row: (row.owner, greet.place(row)),
            serve=self._serve,
            at_once=AT_ONCE,
        ).run()

    async def _serve(self, due: Sequence[Peer]) -> None:
        owner, dids = due[0].owner, [row.did for row in due]
        resealed: Resealed = set()
        try:
            while dids:
                dids = await self._round(owner, dids, resealed)
        except WillcallError as error:
            if of_the_disk(error):
                raise
            self._silence(owner, dids, error)

    async def _round(self, owner: Key, dids: Sequence[Key], resealed: Resealed) -> list[Key]:
        """All that is due to these peers of one place; those to whom more is due already."""
        told, asked = [], []
        for did in dids:
            with self._alone(owner, did):
                told += [met for met in [await self._errands_of(owner, did)] if met is not None]
        await self._announcer.announce(told, resealed)
        for met in told:
            with self._alone(owner, met.peer.did):
                await self._asker.ask(met)
                asked.append(met.peer.did)
        return [did for did in asked if self._more(owner, did)]

    @contextmanager
    def _alone(self, owner: Key, did: Key) -> Iterator[None]:
        """What this one peer is refused, or says wrongly, concerns no other of its place."""
        try:
            yield
        except WillcallError as error:
            place = isinstance(error, Unreachable) and not isinstance(error, Answered)
            if place or of_the_disk(error):
                raise
            self._silence(owner, [did], error)

    async def _errands_of(self, owner: Key, did: Key) -> Met | None:
        """Tells one peer what is for it alone; None: it was removed."""
        row, speaker = self._core.db.read(
            lambda tx: (tx.peers.get(owner, did), tx.owners.get(owner))
        )
        if row is not None and speaker is None:
            # Its owner was removed while somebody wrote it; else it would be due for ever.
            await self._core.db.transact(lambda tx: tx.peers.delete(row))
        if row is None or speaker is None:
            return None
        met = await self._greeter.meet(speaker, row)
        if met.peer.introduce:
            met = await self._introduce(await self._begun_again(met))
        await self._receipts(met)
        await self._retractions(met)
        await self._records(met)
        return met

    def _silence(self, owner: Key, dids: Sequence[Key], error: WillcallError) -> None:
        now, jitter = self._core.now(), self._core.jitter()

        def work(tx: Tables) -> None:
            for did in dids:
                row = tx.peers.get(owner, did)
                # Who fell silent alone in this round waits for its own next attempt already.
                if row is not None and row.wake_at is not None and row.wake_at <= now:
                    refused = error.reason if row.introduce else row.refused
                    after = peers.on_silence(row, now, jitter, error.reason).but(refused=refused)
                    after = self._sooner(after, now)
                    tx.peers.put(after)
                    self._core.miss(owner, did, after.silent)
                    self._core.history.add(owner, "silent", now, who=did, detail=error.text)

        self._core.db.apply(work)
        self._core.tally.add("unanswered", error.reason)
        self._core.note("silent", peer=short(dids[0]), reason=error.reason, why=error.text)

    def _sooner(self, row: Peer, now: Instant) -> Peer:
        """Who can't call us would have to wait for our next attempt, however long it was away."""
        at = greet.place(row)
        if at is None or row.poll_at is None or self._core.is_called_from(at.origin):
            return row
        soonest = Instant(now + limits.POLL_INSTEAD)
        made: Peer = row.but(wake_at=min(row.wake_at or soonest, soonest))
        return made

    def _more(self, owner: Key, did: Key) -> bool:
        """Notes that the peer answered; whether something is due already."""
        now = self._core.now()

        def work(tx: Tables) -> bool:
            row = tx.peers.get(owner, did)
            if row is None:
                return False
            next_at = next_due(tx, row)
            tx.peers.put(peers.on_answered(row, next_at))
            return next_at is not None and next_at <= now

        return self._core.db.apply(work)

    # --- introductions, receipts, retractions, records ---------------------------------

    async def _introduce(self, met: Met) -> Met:
        """Introduces the owner; the same, with what the answer taught us of the peer."""
        now, jitter = self._core.now(), self._core.jitter()
        if met.peer.introduce_at > now:
            return met
        secret = self._core.db.read(lambda tx: tx.node().capability)
        block = meet.introduction(met.owner, met.peer, secret, now)
        try:
            answer = await self._calls.one(met.at, "/v1/introductions", block)
        except Answered as error:
            if error.reason not in BAD_LINK:
                raise
            answer = refused(error.reason)

        def work(tx: Tables) -> Peer:
            meet.on_answer(tx, met.owner.owner, met.peer.did, answer, now, jitter)
            return tx.peers.get(met.owner.owner, met.peer.did) or met.peer

        after = replace(met, peer=await self._core.db.transact(work))
        self._core.followed(met.peer, after.peer)
        return after

    async def _receipts(self, met: Met) -> None:
        owed = await self._errands(met, "receipt")
        while owed:
            now = self._core.now()
            cids = tuple(sorted({row.message for row in owed}))
            told = Receipt(sender=met.owner.owner, to=met.peer.did, messages=cids, at=now)
            block = RECEIPT.sign(told, met.owner.signing)
            answer = await self._calls.one(met.at, "/v1/receipts", block)
            self._told(owed, answer)
            if answer.state != "accepted":
                return
            owed = await self._errands(met, "receipt")

    async def _retractions(self, met: Met) -> None:
        for row in await self._errands(met, "retraction"):
            assert row.block is not None
            answer = await self._calls.one(met.at, "/v1/retractions", row.block)
            if answer.receipt is not None:
                receipt = answer.receipt.verify()
                await self._core.db.transact(lambda tx, it=receipt: self._receipted(tx, it))  # type: ignore[misc]
                answer = ACCEPTED
            self._told([row], answer)

    def _receipted(self, tx: Tables, receipt: Receipt) -> None:
        """It was there before the retraction."""
        count_receipt(tx, receipt, self._core.now(), keep_sent=self._core.config.keep_sent)

    async def _errands(self, met: Met, kind: str) -> list[Errand]:
        """What is due of a kind, durable: a receipt must not leave before what it confirms."""
        now = self._core.now()

        def work(tx: Tables) -> list[Errand]:
            due = tx.errands.by("due", met.owner.owner, met.peer.did, until=now)
            return list(islice((row for row in due if row.kind == kind), limits.BATCH))

        return await self._core.db.transact(work)

    async def _records(self, met: Met) -> None:
        """Our record has changed since this contact was told."""
        owed = await self._errands(met, "record")
        if not owed:
            return
        try:
            await self._tell(met)
        except Answered as error:
            self._told(owed, refused(error.reason))
        else:
            self._told(owed, ACCEPTED)

    async def _begun_again(self, met: Met) -> Met:
        """Who knows only a key that came before hears first who took over.

        And an owner that began again may know less of itself than its contacts do.
        """
        if met.owner.before and met.peer.introduce_at <= self._core.now():
            await self._tell_before(met)
        if met.owner.recovered is None or met.peer.introduce_at > self._core.now():
            return met
        try:
            return replace(met, owner=await self._tell(met))
        except Answered:
            return met  # the introduction carries the same record

    async def _tell_before(self, met: Met) -> None:
        for block in met.owner.before:
            with suppress(Answered):  # it may know none of it, and then keeps nothing
                await self._calls.record(met.at, record.decode(block).claim.id, block)

    async def _tell(self, met: Met) -> Owner:
        """Tells our record; the owner, with a newer record if a newer one was known there."""
        me, now = met.owner.owner, self._core.now()
        theirs = await self._calls.record(met.at, me, met.owner.record)
        if theirs is None:
            return met.owner
        newer = theirs.block

        def work(tx: Tables) -> Owner:
            before = tx.owners.get(me)
            if before is None:
                return met.owner  # removed meanwhile
            after = owners.outdone(before, newer, now)
            if after != before:
                tx.owners.put(after)
                meet.tell_record(tx, after, now)
                began = (owners.forgotten(tx, me) or (0, 0))[1]
                if theirs.claim.issued > began:
                    tx.put_node(tx.node().but(rival=now))
            return after

        return await self._core.db.transact(work)

    def _told(self, owed: Sequence[Errand], answer: Answer) -> None:
        now, jitter = self._core.now(), self._core.jitter()

        def work(tx: Tables) -> None:
            for row in owed:
                if answer.state == "accepted":
                    tx.errands.delete(row)
                elif tx.owners.get(row.owner) is not None:  # else it was removed meanwhile
                    later = retry.at(now, row.step, jitter)
                    tx.errands.put(row.but(step=row.step + 1, next_at=later))

        self._core.db.apply(work)
        for row in owed:
            if row.kind == "record":
                continue
            self._core.history.add(
                row.owner,
                f"{row.kind}-told",
                now,
                message=row.message,
                who=row.to,
                detail=answer.reason or answer.state,
            )


def next_due(tx: Tables, row: Peer) -> Instant | None:
    """When the next thing is owed to the peer."""
    times: list[Instant] = [] if row.poll_at is None else [row.poll_at]
    if row.introduce:
        times.append(row.introduce_at)
    for delivery in islice(tx.deliveries.by("due", row.owner, row.did), 1):
        times += [delivery.next_at] if delivery.next_at is not None else []
    for errand in islice(tx.errands.by("due", row.owner, row.did), 1):
        times.append(errand.next_at)
    return min(times, default=None)
