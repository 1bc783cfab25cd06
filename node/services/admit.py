"""Admission: notifications come in, by a call or in a poll's answer.

Order, cheap first: size and shape → seen-set (exact bytes and signature, before anything is
decoded) → what an item itself shows → capability → bucket of the source's network, bucket of the
key for that owner → signature → for a stranger's: proof of domain, policy, bucket of the domain,
ring (`services.strangers`); for a contact's: what is known of the delivery. There is at most one
signature check for a batch, and none where all of it was capped or came before.

What is decided before the signature must not depend on who is known here: the `from` of a batch
that nobody signed would tell it. Only a capability, which can't be made up, opens the contacts'
lane. Spec: 06.
"""

from collections.abc import Sequence
from functools import cached_property

from node.crypto import sealed, tokens
from node.encoding.cid import Cid
from node.errors import Unverified
from node.machines import inbox
from node.machines import peer as peers
from node.machines.inbox import Accept, Busy, Declined, Known, Lane, Taken, Unreadable, Wait
from node.machines.rows import Mail, Owner, Peer, Pickup
from node.objects import answer as answers
from node.objects import notification
from node.objects.answer import ACCEPTED, HELD, Answer, refused
from node.objects.notification import Batch, Evidence, Notification
from node.objects.receipt import RECEIPT, RETRACTION, Receipt
from node.objects.signed import Signed
from node.ports import Tables
from node.services import arrive, ledger, owners
from node.services.core import Core, secrets_of, short
from node.services.gate import Gate, Seen
from node.services.strangers import Strangers, Visit
from node.services.switch import OWN
from node.units import Instant, Key

NOT_SIGNED = "the signature of this batch does not hold"


class Admission:
    """Answers batches of notifications."""

    def __init__(self, core: Core, strangers: Strangers, gate: Gate, seen: Seen) -> None:
        self._core, self._strangers, self._gate, self._seen = core, strangers, gate, seen

    async def receive(self, block: bytes, source: str) -> bytes:
        """The answers to a batch, in item order, as they go back.

        Args:
            block: the batch as it came.
            source: the address it came from.

        Raises:
            Malformed: the batch's own shape.
            Unverified: its signature; nothing changed.
        """
        known = self._seen.known(block)
        if isinstance(known, bytes):
            self._core.tally.add("notifications", "repeated")
            return known
        if known is False:
            raise Unverified(NOT_SIGNED)
        signed = notification.decode_batch(block)
        desk = _Desk(self._core, self._strangers, signed.claim, source)
        self._core.db.read(lambda tx: desk.sort(tx, None if known else self._gate))
        if not desk.pending:
            if known is None and desk.plain and self._gate.hears(source):
                self._gate.checked += 1
                self._verify(signed)
            return self._told(desk.answers)
        self._gate.checked += known is None and not desk.capable
        self._verify(signed)
        if not desk.only_strangers:
            self._gate.friends.note(source)
            self._core.calm.stir()
        for item in desk.visitors():
            self._gate.passed(item.sender, item.to)
        made = self._told(await self._admit(desk))
        if desk.only_strangers:
            self._seen.note(block, good=True, answer=made)
        return made

    def _told(self, made: Sequence[Answer]) -> bytes:
        for each in made:
            word = each.state if each.reason is None else f"{each.state} {each.reason}"
            self._core.tally.add("notifications", word)
        return answers.encode_all(made)

    async def polled(self, signed: Signed[Batch], author: Key, source: str) -> bool:
        """A batch that came in a poll's answer: the same, with nobody to answer to.

        Returns:
            Whether none of its items should be told again: to who refuses one by a call it is.

        Raises:
            Unverified: it is not that author's; nothing changed.
        """
        if signed.claim.sender != author:
            raise Unverified("a poll was answered with somebody else's batch")
        self._verify(signed)
        desk = _Desk(self._core, self._strangers, signed.claim, source)
        self._core.db.read(lambda tx: desk.sort(tx, None))
        made = await self._admit(desk)
        return not any(inbox.is_for_now(each.state, each.reason) for each in made)

    def _verify(self, signed: Signed[Batch]) -> None:
        known = self._seen.known(signed.block)
        if known is False:
            raise Unverified(NOT_SIGNED)
        if known is None:
            try:
                signed.verify()
            except Unverified:
                self._seen.note(signed.block, good=False)
                raise
            self._seen.note(signed.block, good=True)

    async def _admit(self, desk: "_Desk") -> Sequence[Answer]:
        made = self._core.db.apply(desk.answer_all)
        if any(each.receipt is not None or each.retraction is not None for each in made):
            # A receipt may leave only when what it confirms is durable.
            await self._core.db.transact(lambda tx: None)
        if desk.touched:
            self._core.incoming.ring()
            self._core.outgoing.ring()
            self._core.arrivals.ring()
        return made


class _Desk:
    """Answers the items of one batch.

    Attributes:
        answers: in item order; `held` until something else is known.
        pending: places of the items that are looked at once the signature holds.
        plain: every item shows by itself why it is refused, and strangers are heard.
        only_strangers: no contact's item is among them.
        capable: places of the items whose capability verifies.
        touched: owners and those they heard from: a sign of life.
    """

    def __init__(self, core: Core, strangers: Strangers, batch: Batch, source: str) -> None:
        self._core, self._strangers, self._batch = core, strangers, batch
        self._source, self._now = source, core.now()
        self._judged = notification.judge(batch)
        self.touched: set[tuple[Key, Key]] = set()
        self.capable: set[int] = set()
        self._visitors: list[int] = []
        self.answers: list[Answer] = [HELD] * len(self._judged)
        self.pending: list[int] = []
        self.plain = False
        self.only_strangers = True

    # --- before the signature ----------------------------------------------------------------

    def sort(self, tx: Tables, gate: Gate | None) -> None:
        """What the items show by themselves, whose lane they may take, whom the gate admits.

        Args:
            gate: None: the signature was checked already, or a contact was asked.
        """
        self._tx, self._node = tx, tx.node()
        self._sorted(gate)
        self.plain = not self._node.storm and HELD not in self.answers

    def _sorted(self, gate: Gate | None) -> None:
        for index, item in enumerate(self._judged):
            if isinstance(item, str):
                self.answers[index] = refused(item)
                continue
            reason = inbox.shown(item, self._now, self._core.config.message)
            if reason is not None:
                self.answers[index] = refused(reason)
            elif self._opens_lane(index, item):
                self.pending.append(index)
                self.only_strangers = False
            elif gate is None or self._admits(gate, item):
                self.pending.append(index)
                self._visitors.append(index)

    def _opens_lane(self, index: int, item: Notification) -> bool:
        """Whether a capability, or being the owner itself, opens the contacts' lane."""
        if item.sender == item.to and self._source == OWN:
            return True
        if item.capability is None:
            return False
        expected = tokens.capability(self._node.capability, item.to, item.sender)
        if not tokens.equal(expected, item.capability):
            return False
        self.capable.add(index)
        if self._tx.owners.get(item.to) is None:
            return True
        lane = inbox.lane(self._tx.peers.get(item.to, item.sender), True)
        return lane in (Lane.CONTACT, Lane.REPLACED)

    def _admits(self, gate: Gate, item: Notification) -> bool:
        return not self._node.storm and gate.admits(self._source, item.sender, item.to)

    def visitors(self) -> list[Notification]:
        """The items that came through the gate."""
        return [item for i in self._visitors if not isinstance(item := self._judged[i], str)]

    # --- after it ----------------------------------------------------------------------------

    def answer_all(self, tx: Tables) -> Sequence[Answer]:
        """Answers in item order, in one transaction; then the peers' clocks are set once."""
        self._tx = tx
        for index in self.pending:
            item = self._judged[index]
            assert not isinstance(item, str)
            self.answers[index] = self._answer(index, item)
        for owner, sender in sorted(self.touched):
            self._touch(owner, sender)
        return self.answers

    @cached_property
    def _proofs(self) -> list[Evidence]:
        return notification.evidence_of(self._batch)

    def _touch(self, owner: Key, sender: Key) -> None:
        ledger.heard(self._tx, owner, sender, self._now)
        row = self._tx.peers.get(owner, sender) or Peer(owner=owner, did=sender)
        for due in self._tx.pickups.by("due", owner, sender):
            if due.next_at is not None:
                self._tx.peers.put(peers.on_offered(row, due.next_at))
            return

    def _answer(self, index: int, item: Notification) -> Answer:
        holds = index in self.capable
        owner = self._tx.owners.get(item.to)
        if owner is None and holds:
            return refused("not-here")
        if owner is not None and owner.heir is not None:
            # What /v1/owners tells anyone: who is written to has another key now.
            return refused("stale-record", record=owners.record_of(owner))
        peer = None if owner is None else self._tx.peers.get(item.to, item.sender)
        lane = Lane.CONTACT if item.sender == item.to else inbox.lane(peer, holds)
        if lane is Lane.REPLACED:
            self._core.note("replaced-key", peer=short(item.sender), kind="notification")
            return refused("replaced")
        if peer is not None and peer.heir is not None:
            return HELD
        if owner is not None and (lane is Lane.CONTACT or (peer is not None and not peer.blocked)):
            self.touched.add((item.to, item.sender))
        if owner is not None and lane is Lane.CONTACT:
            self.only_strangers = False
            return self._contact(owner, item)
        self._visit(index, item, known=lane is Lane.BEFORE)
        return HELD

    def _visit(self, index: int, item: Notification, *, known: bool) -> None:
        """A stranger's item must stand alone: it comes with its proof."""
        visit = Visit(
            owner=item.to,
            sender=item.sender,
            source=self._source,
            at=item.origin,
            item=item,
            proof=notification.encode_evidence(self._proofs[index]),
            known=known,
        )
        self._strangers.come(self._tx, visit)

    def _contact(self, owner: Owner, item: Notification) -> Answer:
        mail = arrive.mail_of(self._tx, item.to, item.message, item.sender)
        withdrawn = self._tx.withdrawn.get(item.to, item.sender, item.message)
        pickup = self._tx.pickups.get(item.to, item.sender, item.message)
        account = ledger.account(self._tx, item.to)
        ask_over = self._core.config.ask_over
        made = self._tx.made(item.to, item.sender)
        outcome = inbox.verdict(item, mail, withdrawn, pickup, account, ask_over, made)
        match outcome:
            case Known():
                return receipt_answer(owner, item.sender, item.message, self._now)
            case Taken():
                assert withdrawn is not None
                gone = RETRACTION.decode(withdrawn.block)
                return Answer(state="retracted", retraction=gone)
            case Unreadable():
                return refused("unreadable")
            case Busy():
                return refused("busy")
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
        mail = arrive.goes_on(self._tx, mail)
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
