"""Every step of one message, for `willcall log`: from its rows, and from the history.

sender      stored · told, with each answer · fetched · confirmed | retracted | expired
            readdressed: its addressee's key was replaced
recipient   held | heard · pickup-failed · waits · failed | arrived · receipt-told · read · deleted
both        silent: the other node did not answer while this message waited for it
"""

from collections.abc import Iterator

from node import limits
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent
from node.machines import outbox
from node.machines.rows import Delivery, Held, Mail, Peer, Pickup, Promise, Sent, Step
from node.ports import Tables
from node.services import mailbox
from node.services.core import Core
from node.services.views import Document, name_of, time
from node.units import Instant, Key

Span = dict[Key, tuple[Instant, Instant | None]]
"""From when until when (None: still) something was owed to, or by, whom."""


class Steps:
    """The steps of one owner's message, gathered in one transaction."""

    def __init__(self, tx: Tables, owner: Key, message: Cid) -> None:
        self._tx, self._owner, self._message = tx, owner, message
        self._made: list[Step] = []
        self._spans: Span = {}

    def gather(self, kept: Iterator[Step]) -> list[Step]:
        """All steps in order; those whose time is not known last."""
        sent = self._tx.sent.get(self._owner, self._message)
        if sent is not None:
            self._sent(sent)
        for mail in _mails(self._tx, self._owner, self._message):
            self._mail(mail)
        for pickup in _pickups(self._tx, self._owner, self._message):
            self._pickup(pickup)
        for promise in _broken(self._tx, self._owner, self._message):
            self._broken(promise)
        for slot in _held(self._tx, self._owner, self._message):
            self._add(slot.received, "held", slot.sender, f"from {slot.source}, a stranger's")
        self._made += [step for step in kept if step.message or self._matters(step)]
        self._retractions()
        return sorted(self._made, key=lambda step: step.at or float("inf"))

    def _add(
        self, at: Instant | None, word: str, who: Key | None = None, detail: str | None = None
    ) -> None:
        step = Step(at=at or Instant(0), message=b"", word=word, who=who, detail=detail)
        self._made.append(step)

    def _matters(self, step: Step) -> bool:
        """Whether a peer's silence held this message up."""
        if step.who not in self._spans:
            return False
        start, end = self._spans[step.who]
        return start <= step.at and (end is None or step.at <= end)

    # --- at its sender -----------------------------------------------------------------

    def _sent(self, row: Sent) -> None:
        until = "" if row.imported else f", kept until {time(row.keep_until)}"
        word = "imported" if row.imported else "stored"
        self._add(row.created, word, None, f"{row.size:,} bytes{until}")
        for delivery in self._tx.deliveries.scan(row.owner, row.message):
            self._delivery(delivery, len(row.parts) + 1)

    def _delivery(self, row: Delivery, blocks: int) -> None:
        over = not outbox.is_open(row)
        self._spans[row.to] = (row.stamp, row.confirmed_at or row.keep_until if over else None)
        peer = self._tx.peers.get(row.owner, row.to)
        if peer is not None and peer.before is not None and row.stamp >= peer.followed:
            self._readdressed(row, peer)
        for attempt in row.attempts:
            self._add(attempt.at, "told", row.to, attempt.answer or "no answer yet")
        if len(row.attempts) == limits.ATTEMPTS_KEPT:
            self._add(row.attempts[0].at, "told", row.to, "earlier attempts are not kept")
        got = int.from_bytes(row.got, "little").bit_count()
        if got:
            self._add(None, "fetching", row.to, f"{got} of {blocks} blocks so far")
        if row.fetched_at is not None:
            self._add(row.fetched_at, "fetched", row.to, "every block, with this ticket")
        if row.confirmed_at is not None:
            late = f", after it was {row.ended_as}" if row.ended_as else ""
            dated = f"dated {time(row.receipted)}" if row.receipted else "by a wrong clock"
            self._add(row.confirmed_at, "confirmed", row.to, f"a receipt {dated}{late}")
        if row.state == "expired" or row.ended_as == "expired":
            self._add(row.keep_until, "expired", row.to, "not confirmed by then")

    def _readdressed(self, row: Delivery, peer: Peer) -> None:
        """It was sent to a key that was replaced before it was confirmed."""
        sent = self._tx.sent.get(row.owner, row.message)
        if sent is not None and sent.created < peer.followed:
            self._add(
                peer.followed, "readdressed", row.to, "their key was replaced: to the new one"
            )

    def _retractions(self) -> None:
        """Withdrawn before the history began, or after it was full: no time is known."""
        known = {step.who for step in self._made if step.word == "retracted"}
        for row in self._tx.deliveries.scan(self._owner, self._message):
            if "retracted" in (row.state, row.ended_as) and not known & {row.to, None}:
                self._add(None, "retracted", row.to)

    # --- at its recipient --------------------------------------------------------------

    def _mail(self, row: Mail) -> None:
        if row.heard:
            self._add(row.heard, "heard", row.sender)
        if row.imported:
            self._add(row.received, "imported")
            return
        here = row.state in ("new", "read") or (row.state == "deleted" and not row.missed)
        if here:
            self._add(row.received, "arrived", row.sender, f"{row.size:,} bytes, checked, durable")
            self._receipt(row)
        elif row.state == "failed":
            self._add(None, "failed", row.sender, "its sender does not keep it any more")
        self._spans[row.sender] = (row.heard or row.received, row.received if here else None)

    def _receipt(self, row: Mail) -> None:
        owed = self._tx.errands.get(row.owner, row.sender, b"receipt", row.message)
        if owed is not None:
            self._add(None, "receipt-owed", row.sender, f"told at {time(owed.next_at)}")

    def _broken(self, row: Promise) -> None:
        until = time(row.keep_until)
        said = f"its sender does not keep it any more, and had signed that it would until {until}"
        self._add(None, "failed", row.sender, said)

    def _pickup(self, row: Pickup) -> None:
        state = "to be fetched" if row.state == "wanted" else f"it waits there ({row.reason})"
        self._add(row.received, "heard", row.sender, f"at {row.origin}: {state}")
        if row.failures:
            self._add(None, "unverified", row.sender, f"{row.failures} times so far")
        if row.next_at is not None and row.step:
            self._add(None, "fetched-next", row.sender, f"attempt {row.step + 1}")
        self._spans[row.sender] = (row.received, None)


def log(core: Core, owner: Key, ref: str) -> list[Document]:
    """Every step of the message that `ref` names (a number, a CID or its end), oldest first.

    Raises:
        Absent: nothing here ever had to do with it.
    """

    def work(tx: Tables) -> list[Document]:
        message = _resolved(tx, owner, ref)
        steps = Steps(tx, owner, message).gather(core.history.of(tx, owner, message))
        return [_document(tx, owner, step) for step in steps]

    return core.db.read(work)


def _document(tx: Tables, owner: Key, step: Step) -> Document:
    return {
        "at": time(step.at),
        "step": step.word,
        "who": None if step.who is None else name_of(tx, owner, step.who),
        "detail": step.detail,
    }


def _resolved(tx: Tables, owner: Key, ref: str) -> Cid:
    if ref.isascii() and ref.isdigit() and len(ref) < 16:
        mail = tx.mails.get(owner, int(ref))
        if mail is None:
            raise Absent(f"there is no message {ref}", next="willcall inbox")
        return mail.message
    tail = mailbox.tail_of(ref)
    rows: list[Sent | Mail | Pickup | Held | Promise] = [
        *tx.sent.by("tail", owner, tail),
        *tx.mails.by("tail", owner, tail),
        *tx.pickups.scan(owner),
        *tx.held.scan(owner),
        *tx.promises.scan(owner),
    ]
    for row in rows:
        if row.message is not None and cids.show(row.message).endswith(ref):
            return row.message
    raise Absent(f"nothing is known of a message {ref[:80]}", next="willcall sent, willcall inbox")


def _mails(tx: Tables, owner: Key, message: Cid) -> list[Mail]:
    found = tx.mails.by("tail", owner, message[-4:])
    return [row for row in found if row.message == message]


def _pickups(tx: Tables, owner: Key, message: Cid) -> list[Pickup]:
    return [row for row in tx.pickups.scan(owner) if row.message == message]


def _broken(tx: Tables, owner: Key, message: Cid) -> list[Promise]:
    """Allowed, gone before its time, and not in the inbox as failed."""
    if _mails(tx, owner, message):
        return []
    rows = tx.promises.scan(owner)
    return [row for row in rows if row.message == message and row.state == "broken"]


def _held(tx: Tables, owner: Key, message: Cid) -> list[Held]:
    return [row for row in tx.held.scan(owner) if row.message == message]
