"""Owners: keys and records; and the node's own secrets."""

from dataclasses import dataclass, replace
from typing import Any

from node import limits
from node.crypto import keys, phrase
from node.encoding import names, text
from node.errors import Conflict, Malformed, NoContact, Refused, Usage
from node.machines import retention, rows
from node.machines.rows import Owner, fresh_account
from node.objects import record
from node.objects.record import Endpoint, Record
from node.objects.signed import Signed
from node.ports import Database, Randomness, Tables
from node.units import DAY, Instant, Key

RECORD_LIFE = 365 * DAY
"""A record says to look again within a year; an older one stays valid until replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A new owner, and the 24 words that are shown once and kept nowhere; None: recovered."""

    owner: Owner
    phrase: str | None


def found_node(tx: Tables, randomness: Randomness) -> None:
    """Gives an empty store its node row: fresh secrets, this schema."""
    tx.put_node(
        rows.Node(
            schema=rows.SCHEMA,
            ticket=randomness.bytes(32),
            capability=randomness.bytes(32),
            invite=randomness.bytes(32),
        )
    )


async def make(
    db: Database,
    randomness: Randomness,
    *,
    name: str,
    endpoints: tuple[Endpoint, ...],
    now: Instant,
    quota: int,
    found: bool = False,
    recover: str | None = None,
) -> Made:
    """A new owner with fresh keys, or one that begins again; durable when it returns.

    Args:
        db: the store.
        randomness: where the seed comes from.
        name: the display name; must be new on this node.
        endpoints: where the node is reached.
        now: the clock.
        quota: bytes.
        found: also give the store its node row (`init`).
        recover: the phrase of an owner that lost its home.

    Raises:
        Malformed: the phrase is none.
        Conflict: the name is taken, or this owner is here, or not wholly removed yet; nothing was
            changed.
    """
    if name:
        text.check_name(name)
    seed = randomness.bytes(32) if recover is None else phrase.seed(recover)
    derived = keys.derive(seed)

    def work(tx: Tables) -> Owner:
        if found:
            found_node(tx, randomness)
        node = tx.node()
        if any(row.name == name for row in tx.owners.scan()):
            raise Conflict(
                f"there is an owner {name!r} already; nothing was changed",
                next="willcall owner list",
            )
        owner = fresh(derived, name, endpoints, node.owners, now)
        here = tx.owners.get(owner.owner)
        if here is not None:
            raise Conflict(
                f"the owner of this phrase is here already: {here.name or names.did(here.owner)}"
            )
        _check_cleared(tx, owner)
        if recover is not None:
            owner = owner.but(recovered=now)
        tx.owners.put(owner)
        tx.accounts.put(fresh_account(owner.owner, quota))
        tx.put_node(node.but(owners=node.owners + 1))
        return owner

    owner = await db.transact(work)
    return Made(owner=owner, phrase=phrase.words(seed) if recover is None else None)


def _check_cleared(tx: Tables, owner: Owner) -> None:
    """Raises Conflict while rows of the owner's life before are left: the account goes last."""
    if tx.accounts.get(owner.owner) is not None:
        raise Conflict(
            "the owner of this phrase is still being removed; nothing was changed",
            next="the same again in a while; a restart of the node ends what was cut off",
        )


def fresh(
    derived: keys.Keys, name: str, endpoints: tuple[Endpoint, ...], order: int, now: Instant
) -> Owner:
    """An owner with these keys and its first record; not stored yet."""
    made = Record(
        id=keys.public(derived.signing),
        sealing=keys.sealing_public(derived.sealing),
        recovery=keys.public(derived.recovery),
        nodes=endpoints,
        seq=now,
        issued=now,
        expires=Instant(now + RECORD_LIFE),
        name=name or None,
    )
    return Owner(
        owner=made.id,
        order=order,
        name=name,
        signing=derived.signing,
        sealing=((derived.sealing, now),),
        recovery=made.recovery,
        record=record.sign(made, derived.signing),
        created=now,
    )


def record_of(owner: Owner) -> Signed[Record]:
    """The owner's current record."""
    return record.decode(owner.record)


def moved(owner: Owner, endpoints: tuple[Endpoint, ...], now: Instant) -> Owner:
    """The owner with a record that says where the node is now (unchanged: the same row)."""
    old = record_of(owner).claim
    if old.nodes == endpoints and old.expires - now > RECORD_LIFE // 2:
        return owner
    return renewed(owner, now, nodes=endpoints)


def renewed(owner: Owner, now: Instant, *, above: int = 0, **changes: Any) -> Owner:
    """The owner with a newer record; one that was replaced stays as it is.

    Args:
        owner: whose.
        now: the clock.
        above: a `seq` that somebody knows of, to be beaten as well.
        changes: fields of the record.
    """
    old = record_of(owner).claim
    if old.successor is not None:
        return owner
    new = replace(
        old,
        seq=max(old.seq + 1, above + 1, now),
        issued=now,
        expires=Instant(now + RECORD_LIFE),
        **changes,
    )
    changed: Owner = owner.but(record=record.sign(new, owner.signing))
    return changed


def forgotten(tx: Tables, owner: Key) -> tuple[Instant, Instant] | None:
    """What an owner must say to whom it asks for the first time.

    Returns:
        Until when it remembers (0: it began again from the phrase alone), and since when again;
        None: it remembers all.
    """
    row, lost = tx.owners.get(owner), tx.node().lost
    if row is None or row.recovered is None:
        return lost
    return Instant(0), row.recovered if lost is None else max(row.recovered, lost[1])


def called(tx: Tables, name: str) -> Owner | None:
    """The owner of that name; None: there is none."""
    return next((row for row in tx.owners.scan() if row.name == name), None)


def check_current(owner: Owner) -> Owner:
    """Raises Refused for an owner whose key was replaced: its record is the last one."""
    heir = record_of(owner).claim.successor
    if heir is not None:
        raise Refused(
            f"this key was replaced; its owner goes on with {names.did(heir)}",
            reason="replaced",
            next="willcall owner list, then --owner NAME",
        )
    return owner


def rotated(owner: Owner, secret: bytes, now: Instant) -> Owner:
    """The owner with a new sealing key; older ones go on opening what was sealed to them.

    Args:
        owner: whose.
        secret: 32 random bytes.
        now: the clock.
    """
    made = renewed(check_current(owner), now, sealing=keys.sealing_public(secret))
    changed: Owner = made.but(sealing=retention.kept_keys(((secret, now), *owner.sealing), now))
    return changed


def rename(tx: Tables, owner: Owner, name: str, now: Instant) -> Owner:
    """The owner with another name, in its record too.

    Raises:
        Conflict: another owner here has it; nothing was changed.
    """
    other = called(tx, name)
    if other is not None and other.owner != owner.owner:
        raise Conflict(
            f"there is an owner {name!r} already; nothing was changed",
            next="willcall owner list",
        )
    changed: Owner = renewed(check_current(owner), now, name=name).but(name=name)
    return changed


def outdone(owner: Owner, block: bytes, now: Instant) -> Owner:
    """Somebody knows another record of this owner, from before it began again, or a final one.

    Args:
        owner: as it is here.
        block: a verified record of the same key.
        now: the clock.

    Returns:
        The owner with a record that beats it, or with that one where nothing can; the same
        owner if its own is newer.
    """
    ours, theirs = record_of(owner).claim, record.decode(block).claim
    if ours.successor is not None or not theirs.beats(ours):
        return owner
    if theirs.successor is not None:
        final: Owner = owner.but(record=block, heir=theirs.successor)
        return final
    return owner if theirs.seq >= limits.INTEGER else renewed(owner, now, above=theirs.seq)


def find(tx: Tables, name: str | None) -> Owner:
    """The owner called `name` (a name, or a did), or the first.

    Raises:
        NoContact: there is none of that name.
    """
    for row in tx.owners.by("order"):
        if name in (None, row.name, names.did(row.owner)):
            return row
    raise NoContact(f"there is no owner {name!r} here", next="willcall owner list")


def checked_name(name: str) -> str:
    """A name as it was typed.

    Raises:
        Usage: it breaks the rules for names.
    """
    try:
        text.check_name(name)
    except Malformed as error:
        raise Usage(
            f"{name[:64]!r} can't be a name: {error.text}", next="choose another, such as ben"
        ) from error
    return name
