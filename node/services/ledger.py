"""What must change together with a delivery: its message, the account, the blocks.

Every change of a delivery goes through `change`, so that the quota always equals the sum of
what is kept. Functions here run inside a transaction.
"""

from node import limits
from node.errors import NoContact, OverQuota
from node.machines import inbox, outbox, retention
from node.machines import peer as peers
from node.machines.rows import Account, Delivery, Peer, Sent, fresh_account
from node.ports import Tables
from node.units import Instant, Key


def account(tx: Tables, owner: Key) -> Account:
    """The owner's account."""
    return tx.accounts.get(owner) or fresh_account(owner)


def change(
    tx: Tables, before: Delivery, after: Delivery, now: Instant, *, keep_sent: bool
) -> Delivery:
    """Writes a changed delivery with all that depends on it."""
    if after == before:
        return after
    tx.deliveries.put(after)
    touched = outbox.is_open(before) != outbox.is_open(after)
    if touched or before.first_receipt != after.first_receipt:
        sent = tx.sent.get(after.owner, after.message)
        if sent is not None:
            settle(tx, retention.on_change(sent, before, after), now, keep_sent=keep_sent)
    return after


def settle(tx: Tables, sent: Sent, now: Instant, *, keep_sent: bool) -> int:
    """Moves a message to the column it belongs to; frees its blocks when that is none.

    Returns:
        Bytes that were freed.
    """
    column = retention.charge(sent, now, keep_sent)
    if column != sent.charge:
        moved = retention.moved(account(tx, sent.owner), sent.charge, column, sent.stored)
        tx.accounts.put(moved)
    freed = sent.stored if column == "gone" != sent.charge else 0
    if freed:
        for cid in (*sent.parts, sent.message):
            tx.blocks.drop(cid)
    tx.sent.put(sent.but(charge=column))
    return freed


def check_here(tx: Tables, owner: Key) -> None:
    """Raises NoContact for an owner who was removed while something was done for it."""
    if tx.owners.get(owner) is None:
        raise NoContact("this owner was removed; nothing was stored", next="willcall owner list")


def check_room(row: Account, size: int) -> None:
    """Raises OverQuota unless `size` more bytes fit; says what is used by what."""
    if inbox.used(row) + size <= row.limit:
        return
    columns = ", ".join(
        f"{word} {getattr(row, word):,}" for word in retention.COLUMNS if getattr(row, word)
    )
    raise OverQuota(
        f"the quota is full: {size:,} bytes more than fit into {row.limit:,} "
        f"(used: {columns or 'nothing'}); nothing was stored",
        next=_what_frees(row),
    )


def _what_frees(row: Account) -> str:
    if row.waiting >= max(row.grace, row.sent, row.inbox):
        return "willcall quota --by contact; `willcall retract CID`, then `willcall delete CID`"
    if row.grace >= max(row.sent, row.inbox):
        return "willcall quota --by state: confirmed mail stays 14 days; or raise the quota"
    return "willcall quota --by state; `willcall delete N|CID` frees it; or raise the quota"


def next_stamp(row: Account, now: Instant) -> Instant:
    """The owner's next distinct, increasing instant."""
    return Instant(max(now, row.stamp + 1))


def owe(tx: Tables, owner: Key, to: Key, at: Instant, now: Instant) -> Peer:
    """Something is owed to `to` at `at`: its row, made when it is missing."""
    row = peers.on_owed(tx.peers.get(owner, to) or Peer(owner=owner, did=to), at, now)
    tx.peers.put(row)
    return row


def owe_back(tx: Tables, owner: Key, to: Key, now: Instant) -> None:
    """Something is owed to `to` by what it did itself."""
    tx.peers.put(peers.on_caused(tx.peers.get(owner, to) or Peer(owner=owner, did=to), now))


def heard(tx: Tables, owner: Key, sender: Key, now: Instant) -> None:
    """A verified object of `sender` came for `owner`: what waited for a sign of life goes on."""
    row = tx.peers.get(owner, sender)
    if row is None or row.blocked:
        return
    after, nudge = peers.on_heard(row, now)
    if nudge and _nudge(tx, owner, sender, now):
        after = peers.on_owed(after, now, now)
    if after != row:
        tx.peers.put(after)


def _nudge(tx: Tables, owner: Key, sender: Key, now: Instant) -> bool:
    paused = []
    for row in tx.deliveries.by("paused", owner, sender):
        paused.append(row)
        if len(paused) == limits.BATCH:
            break
    for row in paused:
        tx.deliveries.put(outbox.on_nudge(row, now))
    return bool(paused)
