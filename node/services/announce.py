"""Notifications leave: what waits is told, in one batch for all peers of a place.

Before a notification leaves, its row is durable as *announced*, so that its receipt counts
after any crash. Answers are unsigned, so none of them ends a delivery. Spec: 06.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from node import limits
from node.crypto import sealed
from node.errors import Unreachable, Unverified
from node.machines import outbox
from node.machines.rows import Delivery, Peer, Sent
from node.objects import notification
from node.objects.answer import Answer
from node.objects.notification import Notification
from node.objects.receipt import Receipt
from node.objects.record import Endpoint, Record
from node.ports import Tables
from node.services import ledger, meet
from node.services.calls import Calls
from node.services.core import Core
from node.services.greet import Met
from node.units import HOUR, Instant, Key

Resealed = set[tuple[Key, bytes]]
"""(to, message) of what was sealed anew to a newer record in this round: once is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """One item of a batch: whose, and the delivery as it was noted before it left."""

    met: Met
    row: Delivery
    sent: Sent


class Announcer:
    """Tells peers what waits for them."""

    def __init__(self, core: Core, calls: Calls) -> None:
        self._core, self._calls = core, calls

    async def announce(self, mets: Sequence[Met], resealed: Resealed) -> None:
        """Tells what is due to these peers, at most 256 deliveries at each endpoint.

        Args:
            mets: peers of one owner.
            resealed: what a newer record was used for already; it grows.

        Raises:
            Unreachable: no usable answer; all of it stays due.
        """
        places: dict[Endpoint, list[Met]] = {}
        for met in mets:
            places.setdefault(met.at, []).append(met)
        for at, here in places.items():
            told = await self._begin(here)
            if told:
                answers = await self._tell(at, told)
                await self._answered(told, answers, resealed)

    async def _begin(self, mets: Sequence[Met]) -> list[_Told]:
        """The due deliveries, durable as announced before they leave."""
        now = self._core.now()

        def work(tx: Tables) -> list[_Told]:
            made: list[_Told] = []
            for met in mets:
                made += self._due(tx, met, now, limits.BATCH - len(made))
            return made

        return await self._core.db.transact(work)

    def _due(self, tx: Tables, met: Met, now: Instant, room: int) -> list[_Told]:
        owner, made = met.owner.owner, []
        for before in list(islice(tx.deliveries.by("due", owner, met.peer.did, until=now), room)):
            sent = tx.sent.get(owner, before.message)
            if sent is not None and now < before.keep_until:
                row = outbox.on_attempt(before, now, self._core.jitter())
                tx.deliveries.put(row)
                made.append(_Told(met=met, row=row, sent=sent))
            else:
                # The sweeper ends it, once the clock is believed; until then it rests.
                tx.deliveries.put(before.but(next_at=Instant(now + HOUR)))
        return made

    async def _tell(self, at: Endpoint, told: Sequence[_Told]) -> list[Answer]:
        now, origin = self._core.now(), self._core.config.origin
        owner = told[0].met.owner
        items = [item(t.met.peer, t.met.record, t.row, t.sent, origin, now) for t in told]
        batch = notification.sign_batch(owner.owner, items, owner.signing)
        try:
            return await self._calls.notifications(at, notification.encode_batch(batch), len(items))
        except Unreachable as error:
            self._unanswered(told, error.reason)
            raise

    def _unanswered(self, told: Sequence[_Told], why: str) -> None:
        def work(tx: Tables) -> None:
            for each in told:
                stored = _stored(tx, each.row)
                if stored is not None:
                    tx.deliveries.put(outbox.on_unanswered(stored, why))

        self._core.db.apply(work)

    async def _answered(
        self, told: Sequence[_Told], answers: Sequence[Answer], resealed: Resealed
    ) -> None:
        facts = [_checked(each.row, answer) for each, answer in zip(told, answers, strict=True)]

        def work(tx: Tables) -> None:
            for each, fact in zip(told, facts, strict=True):
                stored = _stored(tx, each.row)
                if stored is not None:
                    self._note(tx, each.met, stored, fact, resealed)

        await self._core.db.transact(work)

    def _note(
        self, tx: Tables, met: Met, before: Delivery, fact: Answer, resealed: Resealed
    ) -> None:
        now, jitter = self._core.now(), self._core.jitter()
        if fact.receipt is not None:
            after = outbox.on_receipt(before, fact.receipt.claim.at, now)
        elif fact.retraction is not None:
            after = outbox.on_retract(before)
        else:
            contact = met.peer.name is not None
            after = outbox.on_answer(before, fact.state, fact.reason, now, jitter, contact=contact)
            name = (before.to, before.message)
            if _newer(tx, met, fact, now) and name not in resealed:
                resealed.add(name)
                after = outbox.on_newer_record(after, now)
            if _stored(tx, before) is None:
                return  # its addressee has another key, and the delivery goes there
        ledger.change(tx, before, after, now, keep_sent=self._core.config.keep_sent)


def _stored(tx: Tables, row: Delivery) -> Delivery | None:
    return tx.deliveries.get(row.owner, row.message, row.to)


def _newer(tx: Tables, met: Met, fact: Answer, now: Instant) -> bool:
    """Whether the answer brought a newer record than the one used; it is kept."""
    if fact.record is None or fact.record.claim.id != met.peer.did:
        return False
    if not fact.record.claim.beats(met.record):
        return False
    return meet.learn(tx, met.owner.owner, met.peer.did, fact.record.block, now) is not None


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
            keep_until=min(row.keep_until, limits.keep_until_limit(now)),
            origin=origin,
            capability=peer.capability,
        )
    )


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


_NOTHING = Answer(state="nonsense")
"""An answer that proves nothing: the schedule goes on, and the history says what it was."""
