"""The strangers' ring: bounded, one pending thing for each key, nothing fetched.

200 slots an owner; while they are full nothing new enters, and the answer is the same. A slot
is a notification with its proof (1 KiB), an introduction (2 KiB), or both, and 300 bytes of
its own: what strangers can make an owner keep is 200 × 3.5 KiB. It empties by itself when the
notification expires, and an introduction after 30 days. Spec: 06 §strangers.
"""

from node import limits
from node.machines.rows import Held
from node.objects.introduction import Introduction
from node.objects.notification import Notification
from node.ports import Tables
from node.services import ledger
from node.units import Instant, Key


def notification(
    tx: Tables,
    item: Notification,
    proof: bytes,
    source: str,
    now: Instant,
    *,
    known: bool,
    kept: bool,
) -> None:
    """A stranger's notification takes a slot, if there is one.

    Args:
        tx: the transaction.
        item: the notification; proof: its evidence.
        source: the address it came from.
        now: our clock.
        known: its capability verifies: a contact before.
        kept: no for a blocked sender, and where there is no such owner: the same work, so that
            the time of the answer tells as little as its bytes.
    """
    slot = _slot(tx, item.to, item.sender, source, now)
    if slot is None or not _may_enter(slot, item, now):
        return
    made = slot.but(
        proof=proof,
        message=item.message,
        size=item.size,
        origin=item.origin,
        issued=item.issued,
        keep_until=item.keep_until,
        known=slot.known or known,
    )
    if kept:
        _put(tx, made)


def _may_enter(slot: Held, item: Notification, now: Instant) -> bool:
    """One pending thing for each key, the older first: a newer one is told again."""
    if slot.message is None or slot.keep_until is None or slot.keep_until <= now:
        return True
    return slot.message == item.message and item.issued > slot.issued


def introduction(
    tx: Tables, theirs: Introduction, block: bytes, source: str, now: Instant, *, kept: bool
) -> None:
    """A stranger's introduction takes a slot, or replaces its older one; `kept` as above."""
    slot = _slot(tx, theirs.to, theirs.sender, source, now)
    if slot is not None and theirs.issued > slot.introduced and kept:
        _put(tx, slot.but(introduction=block, introduced=theirs.issued))


def _slot(tx: Tables, owner: Key, sender: Key, source: str, now: Instant) -> Held | None:
    """The key's slot, or a new one without a number yet; None: the ring is full."""
    slot = tx.held.get(owner, sender)
    full = ledger.account(tx, owner).ring >= limits.RING
    if slot is not None or full:
        return slot
    return Held(owner=owner, sender=sender, n=0, received=now, source=source)


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
        _keep_rest(tx, slot.but(introduction=None))


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
