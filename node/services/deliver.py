"""Delivery: everything that is owed to peers goes out, peer by peer.

    due peers → one round for each, at most 32 at a time:
      greet (a new origin) · introduce · receipts · retractions · record · notifications · poll
    answered → the next due instant; not answered → a longer pause for the whole peer

Before a notification leaves, its rows are durable as *announced*, so that its receipt
counts after any crash. Spec: 06.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import trio

from node import limits
from node.crypto import sealed
from node.encoding import names
from node.errors import StoreFailed, Unreachable, Unverified, WillcallError
from node.machines import outbox, retry
from node.machines import peer as peers
from node.machines.rows import Delivery, Errand, Owner, Peer, Sent
from node.objects import notification, record
from node.objects.answer import ACCEPTED, Answer, PollAnswer, refused
from node.objects.introduction import POLL, Poll
from node.objects.notification import Notification
from node.objects.receipt import RECEIPT, Receipt
from node.objects.record import Endpoint, Record
from node.ports import Tables
from node.services import ledger, meet
from node.services.admit import Admission
from node.services.calls import Answered, Calls
from node.services.core import Core
from node.units import HOUR, Instant, Key

AT_ONCE = 32
"""Peers that are served at the same time: bounds sockets and memory."""
BAD_LINK = frozenset({"forged", "malformed"})
"""Problems with an introduction that asking again does not mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """One peer being served: who speaks, to whom, where."""

    owner: Owner
    peer: Peer
    record: Record
    at: Endpoint


class Deliverer:
    """Runs the outgoing side of all owners."""

    def __init__(self, core: Core, calls: Calls, admission: Admission) -> None:
        self._core, self._calls, self._admission = core, calls, admission
        self._busy: set[tuple[Key, Key]] = set()

    async def run(self) -> None:
        """Serves due peers until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                now = self._core.now()
                for owner, did in self._due(now):
                    self._busy.add((owner, did))
                    nursery.start_soon(self._serve, owner, did)
                await self._core.outgoing.wait(self._pause(self._core.now()))

    def _due(self, now: Instant) -> list[tuple[Key, Key]]:
        free = AT_ONCE - len(self._busy)

        def work(tx: Tables) -> list[tuple[Key, Key]]:
            due = ((row.owner, row.did) for row in tx.peers.by("wake", until=now))
            return list(islice((pair for pair in due if pair not in self._busy), max(0, free)))

        return self._core.db.read(work)

    def _pause(self, now: Instant) -> float:
        """Seconds until the next peer is due; those being served ring when they end."""

        def work(tx: Tables) -> Instant | None:
            for row in tx.peers.by("wake"):
                if (row.owner, row.did) not in self._busy:
                    return row.wake_at
            return None

        at = self._core.db.read(work)
        full = len(self._busy) >= AT_ONCE
        return 3600.0 if at is None or full else (at - now) / 1000

    async def _serve(self, owner: Key, did: Key) -> None:
        try:
            await self._rounds(owner, did)
        except StoreFailed as error:
            # Disk full: what was not noted did not leave; the same rows are due in a while.
            self._core.note(f"delivery pauses: {error.text}")
            await trio.sleep(5)
        except WillcallError as error:
            await self._silence(owner, did, error)
        finally:
            self._busy.discard((owner, did))
            self._core.outgoing.ring()

    async def _silence(self, owner: Key, did: Key, error: WillcallError) -> None:
        now, jitter = self._core.now(), self._core.jitter()

        def work(tx: Tables) -> None:
            row = tx.peers.get(owner, did)
            if row is not None:
                row = peers.on_silence(row, now, jitter)
                tx.peers.put(row.but(refused=error.reason if row.introduce else row.refused))

        self._core.db.apply(work)
        self._core.note(f"{names.did(did)[-8:]}: {error.text}")

    async def _rounds(self, owner: Key, did: Key) -> None:
        while True:
            found = await self._greet(owner, did)
            if found is None:
                return
            if found.peer.introduce:
                found = await self._introduce(found)
            await self._receipts(found)
            await self._retractions(found)
            await self._records(found)
            await self._notifications(found)
            if found.peer.poll_at is not None and found.peer.poll_at <= self._core.now():
                await self._poll(found)
            if not self._more(owner, did):
                return

    def _more(self, owner: Key, did: Key) -> bool:
        """Notes that the peer answered; whether something is due already."""
        now = self._core.now()

        def work(tx: Tables) -> bool:
            row = tx.peers.get(owner, did)
            if row is None:
                return False
            next_at = next_due(tx, row)
            if row.introduce:  # refused for our clock, or answered with nonsense
                next_at = min(next_at or Instant(now + HOUR), Instant(now + HOUR))
            tx.peers.put(peers.on_answered(row, next_at))
            return next_at is not None and next_at <= now

        return self._core.db.apply(work)

    # --- where -------------------------------------------------------------------------

    async def _greet(self, owner: Key, did: Key) -> _Round | None:
        """Where to call: an origin of the newest record, whose node said so itself."""
        row, speaker = self._core.db.read(
            lambda tx: (tx.peers.get(owner, did), tx.owners.get(owner))
        )
        if row is None or speaker is None:
            return None
        if did == owner:  # its own, unlisted contact: reached without a look-up
            own = record.decode(speaker.record).claim
            return _Round(
                owner=speaker, peer=row, record=own, at=own.endpoint(self._core.config.origin)
            )
        known = None if row.record is None else record.decode(row.record).claim
        if known is None and row.origin is None:
            raise Unreachable("it is not known where to reach this address", reason="no-origin")
        at = _endpoint(row, known)
        if known is None or at.origin not in row.greeted:
            row, known = await self._ask(row, at)
        return _Round(owner=speaker, peer=row, record=known, at=at)

    async def _ask(self, row: Peer, at: Endpoint) -> tuple[Peer, Record]:
        signed = await self._calls.owner(at, row.did)
        block, now = signed.block, self._core.now()

        def work(tx: Tables) -> Peer:
            return meet.learn(tx, row.owner, row.did, block, now, greeted=at.origin) or row

        row = await self._core.db.transact(work)
        return row, signed.claim if row.record is None else record.decode(row.record).claim

    # --- introductions, receipts, retractions ------------------------------------------

    async def _introduce(self, found: _Round) -> _Round:
        """Introduces the owner; the round, with what the answer taught us of the peer."""
        now = self._core.now()
        secret = self._core.db.read(lambda tx: tx.node().capability)
        block = meet.introduction(found.owner, found.peer, secret, now)
        try:
            answer = await self._calls.one(found.at, "/v1/introductions", block)
        except Answered as error:
            if error.reason not in BAD_LINK:
                raise
            answer = refused(error.reason)

        def work(tx: Tables) -> Peer:
            meet.on_answer(tx, found.owner.owner, found.peer.did, answer, now)
            return tx.peers.get(found.owner.owner, found.peer.did) or found.peer

        return replace(found, peer=await self._core.db.transact(work))

    async def _receipts(self, found: _Round) -> None:
        owed = await self._errands(found, "receipt")
        while owed:
            now = self._core.now()
            cids = tuple(sorted({row.message for row in owed}))
            told = Receipt(sender=found.owner.owner, to=found.peer.did, messages=cids, at=now)
            block = RECEIPT.sign(told, found.owner.signing)
            answer = await self._calls.one(found.at, "/v1/receipts", block)
            self._told(owed, answer)
            if answer.state != "accepted":
                return
            owed = await self._errands(found, "receipt")

    async def _retractions(self, found: _Round) -> None:
        for row in await self._errands(found, "retraction"):
            assert row.block is not None
            answer = await self._calls.one(found.at, "/v1/retractions", row.block)
            if answer.receipt is not None:
                await self._receipted(found, [answer])
                answer = Answer(state="accepted")
            self._told([row], answer)

    async def _errands(self, found: _Round, kind: str) -> list[Errand]:
        """What is due of a kind, durable: a receipt must not leave before what it confirms."""
        now = self._core.now()

        def work(tx: Tables) -> list[Errand]:
            due = tx.errands.by("due", found.owner.owner, found.peer.did, until=now)
            return list(islice((row for row in due if row.kind == kind), limits.BATCH))

        return await self._core.db.transact(work)

    async def _records(self, found: _Round) -> None:
        """Our record has changed since this contact was told."""
        owed = await self._errands(found, "record")
        if not owed:
            return
        try:
            await self._calls.record(found.at, found.owner.owner, found.owner.record)
        except Answered as error:
            self._told(owed, refused(error.reason))
        else:
            self._told(owed, ACCEPTED)

    def _told(self, owed: Sequence[Errand], answer: Answer) -> None:
        now, jitter = self._core.now(), self._core.jitter()

        def work(tx: Tables) -> None:
            for row in owed:
                if answer.state == "accepted":
                    tx.errands.delete(row)
                else:
                    later = retry.at(now, row.step, jitter)
                    tx.errands.put(row.but(step=row.step + 1, next_at=later))

        self._core.db.apply(work)

    # --- notifications -----------------------------------------------------------------

    async def _notifications(self, found: _Round) -> None:
        due = await self._announce(found)
        if not due:
            return
        items = list(self._items(found, due))
        batch = notification.sign_batch(found.owner.owner, items, found.owner.signing)
        try:
            answers = await self._calls.notifications(
                found.at, notification.encode_batch(batch), len(items)
            )
        except Unreachable as error:
            self._unanswered([row for row, _ in due], error.reason)
            raise
        await self._answered(found, [row for row, _ in due], answers)

    async def _announce(self, found: _Round) -> list[tuple[Delivery, Sent]]:
        """The due deliveries, noted as announced before they leave."""
        now = self._core.now()
        owner, did = found.owner.owner, found.peer.did

        def work(tx: Tables) -> list[tuple[Delivery, Sent]]:
            due = list(islice(tx.deliveries.by("due", owner, did, until=now), limits.BATCH))
            made = []
            for before in due:
                sent = tx.sent.get(owner, before.message)
                if sent is not None and now < before.keep_until:
                    row = outbox.on_attempt(before, now, self._core.jitter())
                    tx.deliveries.put(row)
                    made.append((row, sent))
                else:
                    # The sweeper ends it, once the clock is believed; until then it rests.
                    tx.deliveries.put(before.but(next_at=Instant(now + HOUR)))
            return made

        return await self._core.db.transact(work)

    def _items(self, found: _Round, due: Sequence[tuple[Delivery, Sent]]) -> Iterator[bytes]:
        now = self._core.now()
        for row, sent in due:
            yield item(found.peer, found.record, row, sent, self._core.config.origin, now)

    def _unanswered(self, due: Sequence[Delivery], why: str) -> None:
        def work(tx: Tables) -> None:
            for row in due:
                stored = tx.deliveries.get(row.owner, row.message, row.to)
                if stored is not None:
                    tx.deliveries.put(outbox.on_unanswered(stored, why))

        self._core.db.apply(work)

    async def _answered(
        self, found: _Round, due: Sequence[Delivery], answers: Sequence[Answer]
    ) -> None:
        facts = [_checked(row, each) for row, each in zip(due, answers, strict=True)]

        def work(tx: Tables) -> None:
            for row, fact in zip(due, facts, strict=True):
                stored = tx.deliveries.get(row.owner, row.message, row.to)
                if stored is not None:
                    self._note(tx, found, stored, fact)

        await self._core.db.transact(work)

    async def _receipted(self, found: _Round, answers: Sequence[Answer]) -> None:
        """Receipts that came as answers to retractions."""
        now = self._core.now()
        for each in answers:
            receipt = each.receipt.verify() if each.receipt is not None else None
            if receipt is not None:
                await self._core.db.transact(
                    lambda tx, receipt=receipt: count_receipt(  # type: ignore[misc]
                        tx, receipt, now, keep_sent=self._core.config.keep_sent
                    )
                )

    def _note(self, tx: Tables, found: _Round, before: Delivery, fact: Answer) -> None:
        now, jitter = self._core.now(), self._core.jitter()
        keep_sent = self._core.config.keep_sent
        if fact.receipt is not None:
            after = outbox.on_receipt(before, fact.receipt.claim.at, now)
        elif fact.retraction is not None:
            after = outbox.on_retract(before)
        else:
            contact = found.peer.name is not None
            after = outbox.on_answer(before, fact.state, fact.reason, now, jitter, contact=contact)
            if self._is_newer(tx, found, fact, now):
                after = outbox.on_newer_record(after, now)
        ledger.change(tx, before, after, now, keep_sent=keep_sent)

    def _is_newer(self, tx: Tables, found: _Round, fact: Answer, now: Instant) -> bool:
        if fact.record is None or fact.record.claim.id != found.peer.did:
            return False
        if not fact.record.claim.beats(found.record):
            return False
        owner, did = found.owner.owner, found.peer.did
        return meet.learn(tx, owner, did, fact.record.block, now) is not None

    # --- polls -------------------------------------------------------------------------

    async def _poll(self, found: _Round) -> None:
        """Asks the peer what waits there, as often as it says that there is more."""
        since, more = found.peer.since, True
        while more:
            now = self._core.now()
            asked = Poll(
                sender=found.owner.owner,
                to=found.peer.did,
                since=since,
                issued=now,
                lost=found.peer.lost,
            )
            block = POLL.sign(asked, found.owner.signing)
            answer = await self._calls.poll(found.at, block)
            if not isinstance(answer, PollAnswer):
                self._not_polled(found)
                return
            for signed in answer.batches:
                await self._admission.polled(signed, found.peer.did, found.at.origin)
            # Only a poll that brought us further is followed by another one.
            more = answer.more and answer.now > since
            since = max(since, answer.now)
            self._polled(found, since)
            if more:
                await trio.sleep(0.001)  # `issued` must grow

    def _not_polled(self, found: _Round) -> None:
        """Refused for a clock, ours or theirs: what this poll was to say is still to be said."""
        later = Instant(self._core.now() + HOUR)

        def work(tx: Tables) -> None:
            row = tx.peers.get(found.owner.owner, found.peer.did)
            if row is not None:
                tx.peers.put(row.but(poll_at=later))

        self._core.db.apply(work)

    def _polled(self, found: _Round, since: Instant) -> None:
        every = retry.moved(limits.POLL_EVERY, self._core.jitter())
        later = Instant(self._core.now() + every)

        def work(tx: Tables) -> None:
            row = tx.peers.get(found.owner.owner, found.peer.did)
            if row is not None:
                tx.peers.put(peers.on_poll_answer(row, since, later))

        self._core.db.apply(work)


def item(peer: Peer, known: Record, row: Delivery, sent: Sent, origin: str, now: Instant) -> bytes:
    """The notification of one delivery, sealed to the newest key of its addressee."""
    return notification.encode(
        Notification(
            sender=row.owner,
            to=row.to,
            message=row.message,
            size=sent.size,
            key=sealed.box(sent.key, known.sealing),
            ticket=row.ticket,
            issued=now,
            keep_until=row.keep_until,
            origin=origin,
            capability=peer.capability,
        )
    )


def next_due(tx: Tables, row: Peer) -> Instant | None:
    """When the next thing is owed to the peer."""
    times: list[Instant] = [] if row.poll_at is None else [row.poll_at]
    for delivery in islice(tx.deliveries.by("due", row.owner, row.did), 1):
        times += [delivery.next_at] if delivery.next_at is not None else []
    for errand in islice(tx.errands.by("due", row.owner, row.did), 1):
        times.append(errand.next_at)
    return min(times, default=None)


def count_receipt(tx: Tables, receipt: Receipt, now: Instant, *, keep_sent: bool) -> int:
    """A verified receipt ends the deliveries it names; how many rows it belongs to."""
    count = 0
    for message in receipt.messages:
        before = tx.deliveries.get(receipt.to, message, receipt.sender)
        if before is not None:
            count += 1
            after = outbox.on_receipt(before, receipt.at, now)
            ledger.change(tx, before, after, now, keep_sent=keep_sent)
    return count


def _endpoint(row: Peer, known: Record | None) -> Endpoint:
    if known is None:
        assert row.origin is not None
        return Endpoint(origin=row.origin)
    return known.nodes[row.silent % len(known.nodes)]


def _checked(row: Delivery, answer: Answer) -> Answer:
    """The answer without what does not verify, or is not about this delivery."""
    try:
        if answer.receipt is not None:
            receipt = answer.receipt.verify()
            about = receipt.sender == row.to and receipt.to == row.owner
            return answer if about and row.message in receipt.messages else _NOTHING
        if answer.retraction is not None:
            gone = answer.retraction.verify()
            about = (gone.sender, gone.to, gone.message) == (row.owner, row.to, row.message)
            return answer if about else _NOTHING
        if answer.record is not None:
            answer.record.verify()
    except Unverified:
        return _NOTHING
    return answer


_NOTHING = Answer(state="refused", reason="busy")
"""An answer that proves nothing: the schedule goes on."""
