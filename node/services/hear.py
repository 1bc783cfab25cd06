"""What authors and recipients hear from each other: receipts, retractions, polls, records.

First the row it belongs to (none: `accepted` or an empty poll, and nothing is kept), then
the signature: a stranger costs a look-up. Spec: 06, 07.
"""

from collections.abc import Sequence
from itertools import islice

from node import limits
from node.errors import Conflict, Unverified
from node.machines import inbox, outbox
from node.machines import peer as peers
from node.machines.bucket import Buckets
from node.machines.rows import Delivery, Errand, Owner, Peer, Withdrawn
from node.objects import notification, record
from node.objects.answer import ACCEPTED, Answer, encode, encode_poll, refused
from node.objects.introduction import POLL, Poll
from node.objects.receipt import RECEIPT, RETRACTION, Retraction
from node.objects.record import Record
from node.objects.signed import Signed
from node.ports import Tables
from node.services import arrive, ledger, meet, owners, ring, succession
from node.services.admit import receipt_answer
from node.services.announce import count_receipt, item
from node.services.core import Core, the_owner
from node.services.evidence import digest
from node.services.strangers import Strangers
from node.units import Instant, Key


class Hearing:
    """Answers receipts, retractions, polls and records."""

    def __init__(self, core: Core, strangers: Strangers) -> None:
        self._core, self._strangers = core, strangers
        self._polled = Buckets(limits.POLLED_BURST, limits.POLLED_EVERY, limits.SOURCES)

    async def receipt(self, block: bytes) -> Answer:
        """A receipt for mail of one of our owners; durable when answered.

        Raises:
            Malformed, Unverified: nothing changed.
        """
        signed = RECEIPT.decode(block)
        claim, now = signed.claim, self._core.now()
        keep_sent = self._core.config.keep_sent

        def work(tx: Tables) -> Answer:
            rows = (tx.deliveries.get(claim.to, m, claim.sender) for m in claim.messages)
            if any(rows) and not succession.is_replaced(tx, claim.to, claim.sender):
                receipt = signed.verify()
                count_receipt(tx, receipt, now, keep_sent=keep_sent)
                ledger.heard(tx, claim.to, claim.sender, now)
            return ACCEPTED

        answer = await self._core.db.transact(work)
        self._ring()
        return answer

    async def retraction(self, block: bytes) -> Answer:
        """An author withdraws what waits for one of our owners."""
        signed = RETRACTION.decode(block)
        claim, now = signed.claim, self._core.now()
        self._strangers.settle(claim.to, claim.sender)

        def work(tx: Tables) -> Answer:
            if not _concerns(tx, claim):
                return ACCEPTED
            answer = _withdraw(tx, signed.verify(), block, now)
            ledger.heard(tx, claim.to, claim.sender, now)
            self._core.history.add(
                claim.to,
                "retraction-heard",
                now,
                message=claim.message,
                who=claim.sender,
                detail="it is here already" if answer.receipt else "it is forgotten",
            )
            return answer

        answer = await self._core.db.transact(work)
        self._ring()
        return answer

    def _ring(self) -> None:
        """Whoever was heard from is called again, and picked up from again."""
        self._core.outgoing.ring()
        self._core.incoming.ring()

    async def poll(self, block: bytes) -> bytes:
        """What waits for the poller; the answer, encoded."""
        signed = POLL.decode(block)
        claim, now = signed.claim, self._core.now()

        def work(tx: Tables) -> bytes:
            peer = tx.peers.get(claim.to, claim.sender)
            owner = tx.owners.get(claim.to)
            if owner is not None and owner.heir is not None:
                return encode(refused("stale-record", record=owners.record_of(owner)))
            nothing = encode_poll(claim.since, False, [])
            if owner is None or peer is None or peer.heir is not None:
                return nothing
            asked = signed.verify()
            most = min(limits.BATCH, self._polled.left(_pair(asked), self._core.clock.steady()))
            why = _refusal(asked, peer, now, most)
            if why is not None:
                # Whoever is blocked is told what a stranger is.
                return nothing if peer.blocked else encode(refused(why))
            return self._waiting(tx, owner, peer, asked, now, most)

        answer = await self._core.db.transact(work)
        self._ring()
        return answer

    def _waiting(
        self, tx: Tables, owner: Owner, peer: Peer, asked: Poll, now: Instant, most: int
    ) -> bytes:
        tx.peers.put(peer.but(asked=asked.issued))
        ledger.heard(tx, owner.owner, peer.did, now)
        cost = 0
        if asked.lost is not None:
            keep_sent = self._core.config.keep_sent
            keys = (owner.owner, *succession.earlier(tx, owner, peer.did))
            cost = sum(reopen(tx, key, peer.did, asked.lost, now, keep_sent) for key in keys)
            row = tx.peers.get(owner.owner, peer.did) or peer
            ours = owners.forgotten(tx, owner.owner)
            tx.peers.put(peers.on_peer_restored(row, asked.lost, ours, now))
        if peer.record is None:
            self._take(asked, cost)
            return encode_poll(asked.since, False, [])  # nothing to seal to yet
        rows = list(
            islice(
                tx.deliveries.by("open", owner.owner, peer.did, after=_after(tx, asked)),
                most + 1,
            )
        )
        told = [row for row in rows[:most] if now < row.keep_until]
        self._take(asked, cost + len(told))
        more = len(rows) > most
        last = rows[:most][-1].stamp if rows else asked.since
        batches = [self._batch(tx, owner, peer, told, now)] if told else []
        return encode_poll(last, more, batches)

    def _take(self, asked: Poll, cost: int) -> None:
        self._polled.take(_pair(asked), self._core.clock.steady(), max(1, cost))

    def _batch(
        self, tx: Tables, owner: Owner, peer: Peer, rows: Sequence[Delivery], now: Instant
    ) -> notification.Batch:
        assert peer.record is not None
        known = record.decode(peer.record).claim
        items = []
        for row in rows:
            tx.deliveries.put(outbox.on_polled(row))
            self._core.history.add(
                row.owner, "told", now, message=row.message, who=row.to, detail="when it asked"
            )
            sent = tx.sent.get(row.owner, row.message)
            assert sent is not None
            items.append(item(peer, known, row, sent, self._core.config.origin, now))
        return notification.sign_batch(owner.owner, items, owner.signing)

    async def record(self, did: Key, block: bytes) -> bool:
        """A newer record of a contact; anyone else's is not kept. Whether it is a contact's.

        Raises:
            Conflict: an older one; `newer_record` gives the newer.
            Unverified: not signed by that key.
        """
        signed, now = record.decode(block), self._core.now()
        if signed.claim.id != did:
            raise Unverified("this record is somebody else's")
        new = signed.verify()  # first: else a bad signature would ask who knows whom here

        def work(tx: Tables) -> bool:
            known = list(_peers_called(tx, did))
            for row in known:
                if row.record is not None and record.decode(row.record).claim.beats(new):
                    raise Conflict("a newer record is known", reason="older-record")
                meet.learn(tx, row.owner, did, block, now)
                ledger.heard(tx, row.owner, did, now)
            return bool(known)

        concerns = await self._core.db.transact(work)
        self._ring()
        return concerns

    def newer_record(self, did: Key) -> bytes | None:
        """The newest record known of a contact."""
        rows = self._core.db.read(lambda tx: _peers_called(tx, did))
        newest: Signed[Record] | None = None
        for row in rows:
            found = None if row.record is None else record.decode(row.record)
            if found is not None and (newest is None or found.claim.beats(newest.claim)):
                newest = found
        return None if newest is None else newest.block

    def own_record(self, did: Key) -> bytes | None:
        """The record of an owner of this node."""
        row = self._core.db.read(lambda tx: tx.owners.get(did))
        return None if row is None else row.record


def _peers_called(tx: Tables, did: Key) -> list[Peer]:
    found = (tx.peers.get(row.owner, did) for row in tx.owners.scan())
    known = (row for row in found if row is not None)
    return [row for row in known if row.name is not None or row.heir is not None]


def _after(tx: Tables, asked: Poll) -> Instant:
    """Above which stamp the poller is told.

    One that we have not given yet is of our life before a restore, when our clock was ahead: it
    says nothing of what is open now.
    """
    given = ledger.account(tx, asked.to).stamp
    return asked.since if asked.since <= given else Instant(0)


def _refusal(asked: Poll, peer: Peer, now: Instant, left: int) -> str | None:
    """Why a poll is not answered; `left`: rows of its share."""
    if abs(asked.issued - now) > limits.CLOCK_SKEW or asked.issued <= peer.asked:
        return "clock"
    return "busy" if left <= 0 else None


def _pair(asked: Poll) -> bytes:
    return digest(asked.to, asked.sender)


def _concerns(tx: Tables, claim: Retraction) -> bool:
    """Whether anything here is about this delivery."""
    if tx.owners.get(claim.to) is None or succession.is_replaced(tx, claim.to, claim.sender):
        return False
    if arrive.mail_of(tx, claim.to, claim.message, claim.sender) is not None:
        return True
    if tx.pickups.get(claim.to, claim.sender, claim.message) is not None:
        return True
    slot = tx.held.get(claim.to, claim.sender)
    return slot is not None and slot.message == claim.message


def _withdraw(tx: Tables, gone: Retraction, block: bytes, now: Instant) -> Answer:
    mail = arrive.mail_of(tx, gone.to, gone.message, gone.sender)
    if mail is not None and inbox.was_here(mail):
        return receipt_answer(the_owner(tx, gone.to), gone.sender, gone.message, now)
    pickup = tx.pickups.get(gone.to, gone.sender, gone.message)
    if pickup is not None:
        tx.withdrawn.put(
            Withdrawn(
                owner=gone.to,
                sender=gone.sender,
                message=gone.message,
                block=block,
                until=pickup.keep_until,
            )
        )
        arrive.fail(tx, pickup)
    slot = tx.held.get(gone.to, gone.sender)
    if slot is not None and slot.message == gone.message:
        # Nothing is kept of a stranger's: a late duplicate takes a slot once more, and no more.
        ring.drop_message(tx, slot)
    return ACCEPTED


def reopen(
    tx: Tables,
    owner: Key,
    to: Key,
    lost: tuple[Instant, Instant],
    now: Instant,
    keep_sent: bool,
) -> int:
    """A restored recipient: what it confirmed and forgot waits for it again; rows looked at.

    What was open waits on: a receipt of the life before that is still under way is void.
    """
    memory, start = lost
    keys = (to, *succession.forebears(tx, owner, to))
    rows = list(tx.deliveries.by("open", owner, to))
    rows += [row for key in keys for row in _forgotten(tx, owner, key, lost)]
    for before in rows:
        sent = tx.sent.get(owner, before.message)
        if sent is None:
            continue
        account = ledger.account(tx, owner)
        stamp = ledger.next_stamp(account, now)
        opened = outbox.on_lost(before, memory, start, stamp, now, kept=sent.charge != "gone")
        if opened != before:
            tx.accounts.put(account.but(stamp=stamp))
            ledger.change(tx, before, opened, now, keep_sent=keep_sent)
            if opened.to != to and outbox.is_open(opened):  # it went to the key that came before
                succession.readdress(tx, [opened], to, now)
    ledger.owe_back(tx, owner, to, now)
    return len(rows)


def _forgotten(tx: Tables, owner: Key, to: Key, lost: tuple[Instant, Instant]) -> list[Delivery]:
    """What was confirmed in that time, or at a time that nobody knows."""
    memory, start = max(lost[0], 1), lost[1]
    undated = tx.deliveries.by("received", owner, to, until=outbox.UNDATED)
    dated = tx.deliveries.by("received", owner, to, after=memory - 1, until=max(start - 1, 0))
    return [*undated, *dated]


def retract(
    tx: Tables, owner: Owner, rows: Sequence[Delivery], now: Instant, keep_sent: bool
) -> int:
    """The author withdraws a message from these addressees; how many were still open.

    Blocks are closed at once. Whoever was told of it is told of this too.
    """
    count = 0
    for before in rows:
        after = outbox.on_retract(before)
        if after == before:
            continue
        count += 1
        ledger.change(tx, before, after, now, keep_sent=keep_sent)
        if before.announced:
            gone = Retraction(sender=owner.owner, to=before.to, message=before.message, at=now)
            block = RETRACTION.sign(gone, owner.signing)
            tx.errands.put(
                Errand(
                    owner=owner.owner,
                    to=before.to,
                    kind="retraction",
                    message=before.message,
                    next_at=now,
                    block=block,
                )
            )
            ledger.owe(tx, owner.owner, before.to, now, now)
    return count
