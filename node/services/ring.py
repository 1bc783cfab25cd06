"""The strangers' ring: bounded, one pending thing for each key, nothing fetched.

200 slots an owner; while they are full nothing new enters, and the answer is the same.
What a stranger can make us keep is 200 × 2 KiB. Spec: 06 §strangers.
"""

from node import limits
from node.machines.rows import Held
from node.objects.introduction import Introduction
from node.objects.notification import Notification
from node.ports import Tables
from node.services import ledger
from node.units import Instant, Key


def notification(
    tx: Tables, item: Notification, proof: bytes, source: str, now: Instant, *, known: bool
) -> None:
    """A stranger's notification takes a slot, if there is one."""
    slot = _slot(tx, item.to, item.sender, source, now)
    if slot is None or (slot.message is not None and slot.message != item.message):
        # One pending thing for each key, the older first: the newer one is told again.
        return
    tx.held.put(
        slot.but(
            proof=proof,
            message=item.message,
            size=item.size,
            origin=item.origin,
            keep_until=item.keep_until,
            known=slot.known or known,
        )
    )


def introduction(tx: Tables, theirs: Introduction, block: bytes, source: str, now: Instant) -> None:
    """A stranger's introduction takes a slot, or replaces its older one."""
    slot = _slot(tx, theirs.to, theirs.sender, source, now)
    if slot is not None:
        tx.held.put(slot.but(introduction=block))


def _slot(tx: Tables, owner: Key, sender: Key, source: str, now: Instant) -> Held | None:
    slot = tx.held.get(owner, sender)
    account = ledger.account(tx, owner)
    if slot is not None or account.ring >= limits.RING:
        return slot
    account = account.but(held=account.held + 1, ring=account.ring + 1)
    tx.accounts.put(account)
    return Held(owner=owner, sender=sender, n=account.held, received=now, source=source)


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
    if slot is not None and slot.proof is None:
        drop(tx, owner, sender)
    elif slot is not None:
        tx.held.put(slot.but(introduction=None))
