"""The strangers' ring as rows: bounded, one pending thing for each key, nothing fetched.

200 slots an owner; who gets one is decided in `machines.ring`. A slot is a notification with its
proof (1 KiB), an introduction (2 KiB), or both, and 300 bytes of its own: what strangers can
make an owner keep is 200 × 3.5 KiB. It empties by itself when the notification expires, and an
introduction after 30 days. Spec: 06 §strangers.
"""

from node import limits
from node.crypto import tokens
from node.machines.ring import Enter, Full, Ring, Slot
from node.machines.rows import Held
from node.objects.notification import Notification
from node.ports import Tables
from node.services import ledger
from node.units import DAY, Instant, Key

WEEK = 7 * DAY
"""How long a group's rank holds: strangers' mail is announced weekly, each time with a new draw."""


class Rings:
    """The rings of all owners, as far as they decide who comes in; the rows are the truth."""

    def __init__(self) -> None:
        self._rings: dict[Key, Ring] = {}

    def has(self, tx: Tables, owner: Key, sender: Key) -> bool:
        """Whether a key has a slot."""
        return sender in self._of(tx, owner).slots

    def judge(self, tx: Tables, slot: Held, now: Instant) -> Enter | Full:
        """Whether there is a slot for a new key, or a changed one; nothing changes.

        Args:
            tx: the transaction.
            slot: as it is to be.
            now: our clock.
        """
        found, week = self._of(tx, slot.owner), now // WEEK
        if slot.sender in found.slots:
            return Enter()

        def rank(group: str) -> bytes:
            return tokens.rank(tx.node().capability, slot.owner, group, week)

        return found.judge(_slot(slot), rank, week)

    def enter(self, tx: Tables, slot: Held, verdict: Enter) -> None:
        """The slot is taken, as `judge` said."""
        found = self._of(tx, slot.owner)
        if verdict.instead is not None:
            found.leave(verdict.instead)
            drop(tx, slot.owner, verdict.instead)
        found.enter(_slot(slot))
        _put(tx, slot)

    def forget(self, owner: Key) -> None:
        """A slot of this owner changed its group."""
        self._rings.pop(owner, None)

    def _of(self, tx: Tables, owner: Key) -> Ring:
        found = self._rings.get(owner)
        # Whatever empties a slot counts it in the account: then it is built again.
        if found is None or len(found.slots) != ledger.account(tx, owner).ring:
            found = Ring()
            for row in tx.held.scan(owner):
                found.enter(_slot(row))
            if found.slots:
                self._rings[owner] = found
        return found


def _slot(row: Held) -> Slot:
    proven = row.by is not None and row.domain is not None
    group = row.domain if proven and row.domain else row.network
    return Slot(key=row.sender, group=group, proven=proven, since=row.received)


def noted(
    slot: Held, item: Notification, proof: bytes, now: Instant, *, known: bool
) -> Held | None:
    """The slot with a notification; None: it stays as it is.

    One pending thing for each key, the older first: a newer one is told again.

    Args:
        slot: as it is.
        item: the notification; proof: its evidence.
        now: our clock.
        known: its capability verifies: a contact before.
    """
    pending = slot.message is not None and slot.keep_until is not None and slot.keep_until > now
    if pending and not (slot.message == item.message and item.issued > slot.issued):
        return None
    if slot.home not in (None, item.origin):  # an introduction from elsewhere: it is told again
        slot = slot.but(introduction=None, home=None)
    made: Held = slot.but(
        proof=proof,
        message=item.message,
        size=item.size,
        origin=item.origin,
        issued=item.issued,
        keep_until=item.keep_until,
        known=slot.known or known,
    )
    return made


def place(row: Held) -> str | None:
    """Where its node says it can be reached."""
    return row.origin or row.home


def _put(tx: Tables, slot: Held) -> None:
    if not slot.n:
        account = ledger.account(tx, slot.owner)
        account = account.but(held=account.held + 1, ring=account.ring + 1)
        tx.accounts.put(account)
        slot = slot.but(n=account.held)
    tx.held.put(slot)


def drop(tx: Tables, owner: Key, sender: Key) -> None:
    """Empties the slot of a key."""
    slot = tx.held.get(owner, sender)
    if slot is not None:
        tx.held.delete(slot)
        account = ledger.account(tx, owner)
        tx.accounts.put(account.but(ring=account.ring - 1))


def drop_introduction(tx: Tables, owner: Key, sender: Key) -> None:
    """The introduction was taken; what else is held of that key stays."""
    slot = tx.held.get(owner, sender)
    if slot is not None:
        _keep_rest(tx, slot.but(introduction=None, home=None))


def drop_message(tx: Tables, slot: Held) -> None:
    """Its author withdrew the notification, or it expired; an introduction stays."""
    empty = {"message": None, "size": None, "origin": None, "keep_until": None}
    _keep_rest(tx, slot.but(proof=None, issued=Instant(0), known=False, **empty))


def _keep_rest(tx: Tables, slot: Held) -> None:
    if slot.proof is None and slot.introduction is None:
        drop(tx, slot.owner, slot.sender)
    else:
        tx.held.put(slot)


def forget(tx: Tables, now: Instant) -> None:
    """Empties slots whose time is over; there are never many."""
    for slot in list(tx.held.scan()):
        if slot.keep_until is not None and slot.keep_until <= now:
            drop_message(tx, slot)
        if slot.introduction is not None and slot.introduced + limits.KEEP_DEFAULT <= now:
            drop_introduction(tx, slot.owner, slot.sender)
