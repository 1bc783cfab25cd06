"""A key that was replaced: contacts go on with the one that took over, and say so.

    at a contact                               at the owner, who has the 24 words
    a record with a successor is learnt        `replace`: a fresh owner, the last record of the old
    → the old row refuses the old key          → contacts, blocks and pins go over
    → the new row has its name, and what       → whoever is introduced to the new key hears the
      was still open for it                      last record first

The record is signed by the old key and by the recovery key, which a thief of the home has not. A
successor has not signed anything there: it may be somebody who knows of nothing. So nothing is
changed of a key that the owner knows already; then only what was open goes there.
Spec: 04 §record, 08 §8.4.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from node import limits
from node.crypto import keys, phrase, tokens
from node.encoding import names
from node.errors import Malformed
from node.machines import outbox, retention
from node.machines import peer as peers
from node.machines.rows import Delivery, Owner, Peer
from node.objects import record
from node.objects.record import Endpoint, Record
from node.ports import Tables
from node.services import ledger, owners, ring
from node.units import Instant, Key

# --- at a contact -----------------------------------------------------------------------


def follow(tx: Tables, row: Peer, now: Instant) -> Peer:
    """The row of a key, after its verified record was looked at: replaced, if that says so.

    Who replaced its key so often already is refused and nobody takes over: each makes a row.
    """
    heir = _named(row)
    if heir is None or row.heir is not None:
        return row
    end = end_of(tx, row.owner, heir)
    if end in (row.did, row.owner):
        return row  # nobody else took over: the key that there is stays
    there = tx.peers.get(row.owner, end) or Peer(owner=row.owner, did=end)
    known = there.name is not None or there.blocked
    ends = sum(1 for _ in forebears(tx, row.owner, row.did)) >= limits.SUCCESSIONS
    if not known and not ends:
        tx.peers.put(_taking_over(row, there, now))
    old: Peer = row.but(
        heir=end,
        name=row.name if known or ends else None,
        written=False,
        provisional=False,
        met=False,
        introduce=False,
        token=None,
        poll_at=None,
        verified=None,
        refused=None,
        followed=now,
    )
    tx.peers.put(old)
    ring.drop(tx, row.owner, row.did)
    readdress(tx, list(tx.deliveries.by("open", row.owner, row.did)), end, now)
    return old


def _named(row: Peer) -> Key | None:
    return None if row.record is None else record.decode(row.record).claim.successor


def _taking_over(row: Peer, there: Peer, now: Instant) -> Peer:
    """The new key's row: a contact of that name, to be met, and not compared by words yet."""
    final = record.decode(row.record or b"").claim
    wanted = row.name is not None and not row.blocked
    made: Peer = there.but(
        name=row.name,
        provisional=row.provisional,
        blocked=row.blocked,
        blocked_at=row.blocked_at,
        written=row.written or there.written,
        origin=final.nodes[0].origin if there.record is None else there.origin,
        added=row.added,
        introduce=wanted,
        introduce_at=now,
        poll_at=now if wanted else None,
        lost=row.lost,
        before=row.did,
        followed=now,
    )
    return peers.on_owed(made, now, now) if wanted else made


def end_of(tx: Tables, owner: Key, did: Key) -> Key:
    """Who goes on for a key today: it may have been replaced itself."""
    for _ in range(limits.SUCCESSIONS):
        row = tx.peers.get(owner, did)
        if row is None or row.heir is None:
            break
        did = row.heir
    return did


def following(tx: Tables, row: Peer) -> Peer:
    """The row of whoever goes on for this one."""
    return tx.peers.get(row.owner, end_of(tx, row.owner, row.did)) or row


def is_replaced(tx: Tables, owner: Key, did: Key) -> bool:
    """Whether a peer's key was replaced, so that nothing it signs counts any more."""
    row = tx.peers.get(owner, did)
    return row is not None and row.heir is not None


def forebears(tx: Tables, owner: Key, did: Key) -> Iterator[Key]:
    """The keys that a contact had before this one, newest first."""
    for _ in range(limits.SUCCESSIONS):
        row = tx.peers.get(owner, did)
        if row is None or row.before is None:
            return
        did = row.before
        yield did


def name_of(tx: Tables, owner: Key, did: Key) -> str | None:
    """What a key's contact is called; a key that was replaced keeps the name that went over."""
    row = tx.peers.get(owner, did)
    for _ in range(limits.SUCCESSIONS):
        if row is None or row.name is not None or row.heir is None:
            break
        heir = tx.peers.get(owner, row.heir)
        # A key that was known already has a name of its own, which is not for others' letters.
        row = heir if heir is not None and heir.before == row.did else None
    return None if row is None else row.name


def readdress(tx: Tables, rows: Sequence[Delivery], to: Key, now: Instant) -> None:
    """What is open for a replaced key is for the new one; the old tickets open nothing.

    Args:
        tx: the transaction.
        rows: open deliveries of one owner.
        to: the new key.
        now: the clock.
    """
    if not rows:
        return
    owner, secret = rows[0].owner, tx.node().ticket
    stamp = ledger.account(tx, owner).stamp
    for before in rows:
        tx.deliveries.delete(before)
        if tx.deliveries.get(owner, before.message, to) is not None:
            _once(tx, before, now)
            continue
        stamp = Instant(max(now, stamp + 1))
        ticket = tokens.ticket(secret, before.message, to)
        tx.deliveries.put(outbox.on_heir(before, to, ticket, stamp, now))
    tx.accounts.put(ledger.account(tx, owner).but(stamp=stamp))
    ledger.owe(tx, owner, to, now, now)


def _once(tx: Tables, before: Delivery, now: Instant) -> None:
    """The same message went to both keys: the new one's delivery is the person's.

    Where that is over as well, the sweeper decides what is kept: it knows what is configured.
    """
    sent = tx.sent.get(before.owner, before.message)
    if sent is not None:
        left = retention.on_change(sent, before, outbox.on_retract(before))
        soon = max(left.grace_until or now, Instant(now + 1))
        left = left.but(recipients=left.recipients - 1, grace_until=soon)
        ledger.settle(tx, left, now, keep_sent=True)


# --- at the owner -----------------------------------------------------------------------


def replace(
    tx: Tables,
    owner: Owner,
    words: str,
    seed: bytes,
    endpoints: tuple[Endpoint, ...],
    now: Instant,
) -> tuple[Owner, Owner]:
    """The owner goes on with fresh keys: the new owner, and the old one with its last record.

    Contacts, blocks and pins go over. Mail stays where it is; tokens and open invites of the
    old owner are void: a thief may have them.

    Args:
        tx: the transaction.
        owner: whose key is replaced.
        words: its 24 words.
        seed: 32 random bytes.
        endpoints: where the node is reached.
        now: the clock.

    Raises:
        Malformed: the words are no phrase, or another owner's.
        Refused: it was replaced already.
    """
    owners.check_current(owner)
    old_keys, new_keys = keys.derive(phrase.seed(words)), keys.derive(seed)
    if keys.public(old_keys.signing) != owner.owner:
        raise Malformed(
            f"these are not the words of {owner.name or names.did(owner.owner)}",
            next="the 24 words that were shown when that owner was made; --owner NAME for another",
        )
    new = _fresh(tx, owner, new_keys, endpoints, now)
    old: Owner = owner.but(
        name=_old_name(tx, owner.name),
        order=tx.node().owners,
        record=_last(owner, new.owner, endpoints, old_keys, now),
        heir=new.owner,
    )
    new = new.but(before=(*owner.before, old.record))
    tx.owners.put(old)
    tx.owners.put(new)
    tx.put_node(tx.node().but(owners=tx.node().owners + 1))
    limit = ledger.account(tx, owner.owner).limit
    tx.accounts.put(ledger.account(tx, new.owner).but(limit=limit))
    _move(tx, old, new, now)
    return new, old


def earlier(tx: Tables, owner: Owner, peer: Key) -> list[Key]:
    """The keys here that an owner had before, and that knew a peer.

    What they sent is refused from then on, and their owner is to see what was lost of it.
    """
    keys = [record.decode(block).claim.id for block in owner.before]
    return [key for key in keys if tx.owners.get(key) and tx.peers.get(key, peer)]


def followers(tx: Tables, owner: Key) -> tuple[int, int]:
    """How many contacts have met an owner's new key, and how many there are (not blocked)."""
    rows = [row for row in tx.peers.by("named", owner) if not row.blocked and row.heir is None]
    return sum(row.met for row in rows), len(rows)


def _fresh(
    tx: Tables, owner: Owner, made: keys.Keys, endpoints: tuple[Endpoint, ...], now: Instant
) -> Owner:
    new = owners.fresh(made, owner.name, endpoints, owner.order, now)
    changed: Owner = new.but(recovered=owner.recovered)
    return changed


def _last(
    owner: Owner, heir: Key, endpoints: tuple[Endpoint, ...], old: keys.Keys, now: Instant
) -> bytes:
    """The last record: signed by both keys, which the words yield."""
    known = owners.record_of(owner).claim
    final = Record(
        id=known.id,
        sealing=known.sealing,
        recovery=known.recovery,
        nodes=endpoints,
        seq=min(max(known.seq + 1, now), limits.INTEGER),
        issued=now,
        expires=Instant(now + owners.RECORD_LIFE),
        successor=heir,
    )
    return record.sign_successor(final, old.signing, old.recovery)


def _old_name(tx: Tables, name: str) -> str:
    """A free name for the owner whose key was replaced."""
    taken, count = {row.name for row in tx.owners.scan()}, 1
    while True:
        tail = "-old" if count == 1 else f"-old-{count}"
        made = name.encode()[: limits.NAME - len(tail)].decode(errors="ignore") + tail
        made = made.removeprefix("-")
        if made not in taken:
            return made
        count += 1


def _move(tx: Tables, old: Owner, new: Owner, now: Instant) -> None:
    for row in list(tx.peers.scan(old.owner)):
        if row.did != old.owner:
            tx.peers.put(_moved(row, new, now))
            tx.peers.put(row.but(introduce=False, token=None, poll_at=None))
    for table in (tx.pins, tx.barred):
        _copy(table, old.owner, new.owner)
    for token in list(tx.tokens.scan(old.owner)):
        tx.tokens.delete(token)
    for invite in list(tx.invites.scan(old.owner)):
        tx.invites.put(invite.but(expires=min(invite.expires, now)))
    for archive in list(tx.archives.by("owner", old.owner)):
        if archive.urls:  # followed ones; its own are signed by the old key
            tx.archives.put(archive.but(owner=new.owner))


def _copy(table: Any, old: Key, new: Key) -> None:
    for row in list(table.scan(old)):
        table.put(row.but(owner=new))


def _moved(row: Peer, new: Owner, now: Instant) -> Peer:
    """A peer of the old owner's, to be met by the new one: capabilities are of one pair of keys."""
    wanted = row.name is not None and not row.blocked and row.heir is None
    made = Peer(
        owner=new.owner,
        did=row.did,
        name=row.name,
        provisional=row.provisional,
        added=row.added,
        blocked=row.blocked,
        blocked_at=row.blocked_at,
        record=row.record,
        origin=row.origin,
        written=row.written,
        greeted=row.greeted,
        keyed=row.keyed,
        introduce=wanted,
        introduce_at=now,
        heir=row.heir,
        before=row.before,
        followed=row.followed,
    )
    return peers.on_owed(made, now, now) if wanted else made
