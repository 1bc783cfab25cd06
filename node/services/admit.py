"""Admission: notifications come in, by a call or in a poll's answer.

Order, cheap first: size and shape → seen-set → what an item itself shows → signature →
capability and lane → what is known of the delivery. A stranger's item takes a slot in the
ring, or nothing; a contact's becomes a pickup. Spec: 06.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property

from node import limits
from node.crypto import sealed, tokens
from node.encoding.cid import Cid
from node.errors import Unverified
from node.machines import inbox
from node.machines import peer as peers
from node.machines.inbox import Accept, Declined, Known, Lane, Taken, Unreadable, Wait
from node.machines.rows import Mail, Owner, Peer, Pickup
from node.objects import notification
from node.objects.answer import ACCEPTED, HELD, Answer, refused
from node.objects.notification import Batch, Evidence, Notification
from node.objects.receipt import RECEIPT, RETRACTION, Receipt
from node.objects.signed import Signed
from node.ports import Tables
from node.services import arrive, ledger, owners, ring
from node.services.core import Core, secrets_of
from node.units import Instant, Key


class SeenBatches:
    """Digests of batches whose signature was checked, and how that ended; bounded."""

    def __init__(self, size: int = limits.SEEN) -> None:
        self._seen: OrderedDict[bytes, bool] = OrderedDict()
        self._size = size

    def known(self, block: bytes) -> bool | None:
        """Whether these exact bytes verified; None: never checked."""
        return self._seen.get(hashlib.sha256(block).digest())

    def note(self, block: bytes, *, good: bool) -> None:
        """The signature was checked."""
        self._seen[hashlib.sha256(block).digest()] = good
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)


class Admission:
    """Answers batches of notifications."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._seen = SeenBatches()

    async def receive(self, block: bytes, source: str) -> list[Answer]:
        """The answers to a batch, in item order.

        Args:
            block: the batch as it came.
            source: the address it came from.

        Raises:
            Malformed: the batch's own shape.
            Unverified: its signature; nothing changed.
        """
        signed = notification.decode_batch(block)
        self._verify(signed)
        return await self._admit(signed.claim, source)

    async def polled(self, signed: Signed[Batch], author: Key, source: str) -> None:
        """A batch that came in a poll's answer: the same, with nobody to answer to."""
        if signed.claim.sender != author:
            raise Unverified("a poll was answered with somebody else's batch")
        self._verify(signed)
        await self._admit(signed.claim, source)

    def _verify(self, signed: Signed[Batch]) -> None:
        known = self._seen.known(signed.block)
        if known is False:
            raise Unverified("the signature of this batch does not hold")
        if known is None:
            try:
                signed.verify()
            except Unverified:
                self._seen.note(signed.block, good=False)
                raise
            self._seen.note(signed.block, good=True)

    async def _admit(self, batch: Batch, source: str) -> list[Answer]:
        judged = notification.judge(batch)
        desk = _Desk(self._core, batch, source, self._core.now())

        def work(tx: Tables) -> list[Answer]:
            return desk.answer_all(tx, judged)

        made = self._core.db.apply(work)
        if any(each.receipt is not None or each.retraction is not None for each in made):
            # A receipt may leave only when what it confirms is durable.
            await self._core.db.transact(lambda tx: None)
        self._core.incoming.ring()
        self._core.outgoing.ring()
        self._core.arrivals.ring()
        return made


class _Desk:
    """Answers the items of one verified batch."""

    def __init__(self, core: Core, batch: Batch, source: str, now: Instant) -> None:
        self._core, self._batch, self._source, self._now = core, batch, source, now
        self._touched: set[tuple[Key, Key]] = set()

    def answer_all(self, tx: Tables, judged: Sequence[Notification | str]) -> list[Answer]:
        """Answers in item order, in one transaction; then the peers' clocks are set once."""
        self._tx, self._node = tx, tx.node()
        made = [
            refused(item) if isinstance(item, str) else self._answer(index, item)
            for index, item in enumerate(judged)
        ]
        for owner, sender in sorted(self._touched):
            self._touch(owner, sender)
        return made

    @cached_property
    def _proofs(self) -> list[Evidence]:
        return notification.evidence_of(self._batch)

    def _touch(self, owner: Key, sender: Key) -> None:
        ledger.heard(self._tx, owner, sender, self._now)
        row = self._tx.peers.get(owner, sender) or Peer(owner=owner, did=sender)
        for due in self._tx.pickups.by("due", owner, sender):
            if due.next_at is not None:
                self._tx.peers.put(peers.on_wanted(row, due.next_at))
            return

    def _answer(self, index: int, item: Notification) -> Answer:
        reason = inbox.shown(item, self._now, self._core.config.message)
        if reason is not None:
            return refused(reason)
        holds = self._capability_holds(item)
        owner = self._tx.owners.get(item.to)
        if owner is None and holds:
            return refused("not-here")
        peer = self._tx.peers.get(item.to, item.sender)
        if owner is None:
            self._hold(index, item, known=False, kept=False)
            return HELD
        lane = Lane.CONTACT if item.sender == item.to else inbox.lane(peer, holds)
        if lane is Lane.CONTACT or (peer is not None and not peer.blocked):
            self._touched.add((item.to, item.sender))
        if lane is Lane.CONTACT:
            return self._contact(owner, item)
        blocked = peer is not None and peer.blocked
        self._hold(index, item, known=lane is Lane.BEFORE, kept=not blocked)
        return HELD

    def _hold(self, index: int, item: Notification, *, known: bool, kept: bool) -> None:
        """A stranger's item must stand alone: it is kept with its proof, if at all."""
        proof = notification.encode_evidence(self._proofs[index])
        ring.notification(self._tx, item, proof, self._source, self._now, known=known, kept=kept)

    def _capability_holds(self, item: Notification) -> bool:
        if item.capability is None:
            return False
        expected = tokens.capability(self._node.capability, item.to, item.sender)
        return tokens.equal(expected, item.capability)

    def _contact(self, owner: Owner, item: Notification) -> Answer:
        mail = arrive.mail_of(self._tx, item.to, item.message, item.sender)
        withdrawn = self._tx.withdrawn.get(item.to, item.sender, item.message)
        pickup = self._tx.pickups.get(item.to, item.sender, item.message)
        account = ledger.account(self._tx, item.to)
        ask_over = self._core.config.ask_over
        outcome = inbox.verdict(item, mail, withdrawn, pickup, account, ask_over)
        match outcome:
            case Known():
                return receipt_answer(owner, item.sender, item.message, self._now)
            case Taken():
                assert withdrawn is not None
                gone = RETRACTION.decode(withdrawn.block)
                return Answer(state="retracted", retraction=gone)
            case Unreadable():
                return refused("unreadable")
            case Declined():
                return Answer(state="held", reason="waiting")
            case Accept() | Wait():
                return self._take(owner, item, pickup, mail, outcome)

    def _take(
        self,
        owner: Owner,
        item: Notification,
        known: Pickup | None,
        mail: Mail | None,
        outcome: Accept | Wait,
    ) -> Answer:
        try:
            key = sealed.unbox(item.key, secrets_of(owner))
        except Unverified:
            return refused("stale-record", record=owners.record_of(owner))
        row = inbox.pickup_of(item, known, outcome, self._now, key)
        if isinstance(outcome, Wait) and row.state == "waiting":
            row = row.but(n=arrive.show_waiting(self._tx, row, mail, self._now))
        elif mail is not None:
            row = row.but(n=mail.n)
        if row != known:
            self._tx.pickups.put(row)
        return ACCEPTED if row.state == "wanted" else Answer(state="held", reason=row.reason)


def receipt_answer(owner: Owner, author: Key, message: bytes, now: Instant) -> Answer:
    """It is here already: the receipt itself, for this one message."""
    told = Receipt(
        sender=owner.owner,
        to=author,
        messages=(Cid(message),),
        at=now,
    )
    block = RECEIPT.sign(told, owner.signing)
    return Answer(state="receipt", receipt=RECEIPT.decode(block))
