"""What becomes of one notification: accept, hold, refuse, or say what is known already.

Order (cheap first; size, shape and the batch's signature came before):

1. what the item itself shows, for anyone: too-large, clock, expired;
2. the lane: contact (valid capability, or a contact that got through the strangers'
   checks); a contact's key that was replaced, which is told so; else stranger, whose answer
   is always the same `held`;
3. for the contact's lane: not-here, a box that does not open, what is known of this
   delivery already (mail, retraction, pickup), whether the contact made enough of them, then
   accept or let it wait.

Spec: 04 §answers, §verdict.
"""

from dataclasses import dataclass
from enum import Enum

from node import limits
from node.machines.rows import Account, Mail, Peer, Pickup, Withdrawn
from node.objects.notification import Notification
from node.units import Instant

FOR_NOW = frozenset({"busy", "clock", "expired", "stale-record", "too-large"})
"""Refused because of a clock, a record, a setting or a number of now."""


class Lane(Enum):
    """Who is speaking."""

    CONTACT = "contact"
    BEFORE = "was a contact before"
    REPLACED = "a contact's key that was replaced"
    STRANGER = "stranger"


def shown(item: Notification, now: Instant, largest: int) -> str | None:
    """The reason for which anyone is refused, from the item alone; None: go on."""
    if item.size > largest:
        return "too-large"
    if item.issued > now + limits.CLOCK_SKEW:
        return "clock"
    if item.keep_until <= now:
        return "expired"
    return None


def lane(peer: Peer | None, capability_holds: bool) -> Lane:
    """The lane of a verified item.

    A blocked sender is a stranger in every respect; a contact that shows no capability got
    here through the strangers' checks and is then treated as a contact.
    """
    if peer is not None and peer.blocked:
        return Lane.STRANGER
    if peer is not None and peer.heir is not None:
        return Lane.REPLACED if capability_holds else Lane.STRANGER
    if peer is not None and peer.name is not None:
        return Lane.CONTACT
    return Lane.BEFORE if capability_holds else Lane.STRANGER


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Pick it up at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Its owner will call for it, or room must be made first: `waiting` or `over-quota`."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """It is here already: answer with the receipt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Its author withdrew it: answer with the retraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Picked up three times, never verified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """Its owner deleted it while it waited: it stays at its sender."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """As much as one contact may have told of is not here yet: later."""


Verdict = Accept | Wait | Known | Taken | Unreadable | Declined | Busy


def verdict(
    item: Notification,
    mail: Mail | None,
    withdrawn: Withdrawn | None,
    pickup: Pickup | None,
    account: Account,
    ask_over: int,
    made: int,
) -> Verdict:
    """What to do with a contact's item, given all that is known of this delivery.

    Args:
        item: the item.
        mail, withdrawn, pickup: the rows of this delivery.
        account: its owner's.
        ask_over: bytes above which it waits.
        made: rows that are kept because of what this contact told (`Tables.made`).
    """
    if mail is not None and was_here(mail):
        return Known()
    if withdrawn is not None:
        return Taken()
    if mail is not None and was_declined(mail):
        return Declined()
    if pickup is not None and pickup.failures >= limits.UNREADABLE_AFTER:
        return Unreadable()
    if pickup is not None and pickup.state == "wanted":
        return Accept()
    if pickup is None and made >= limits.MADE_BY_ONE:
        return Busy()
    if item.size > ask_over:
        return Wait(reason="waiting")
    if used(account) + needed(item.size) > account.limit:
        return Wait(reason="over-quota")
    return Accept()


def is_for_now(state: str, reason: str | None) -> bool:
    """Whether another answer may be given to the same item later."""
    return state == "refused" and reason in FOR_NOW


def was_here(mail: Mail) -> bool:
    """Whether the message was in our store once: only then a receipt is true."""
    return mail.state in ("new", "read") or (mail.state == "deleted" and not mail.missed)


def was_declined(mail: Mail) -> bool:
    """Whether its owner deleted it while it waited.

    One that had failed was not to be had: when it is offered again it starts afresh.
    """
    return mail.missed and mail.keep_until is not None


def needed(size: int) -> int:
    """The most that a message of `size` bytes is charged with: seals, root, names of parts."""
    parts = -(-size // limits.PART)
    return size + limits.ROOT_FRAME + parts * limits.PART_FRAME


def used(account: Account) -> int:
    """Bytes charged to the quota."""
    return account.waiting + account.grace + account.sent + account.inbox


def pickup_of(
    item: Notification,
    known: Pickup | None,
    outcome: Verdict,
    now: Instant,
    key: bytes | None = None,
) -> Pickup:
    """The pickup row of an item that was accepted or waits: the newest `issued` wins.

    Args:
        item: the notification.
        known: the row there was.
        outcome: Accept or Wait.
        now: the clock.
        key: what its box held, if it was opened already.
    """
    reason = outcome.reason if isinstance(outcome, Wait) else None
    if known is not None and known.issued >= item.issued:
        return known
    state = "waiting" if reason else "wanted"
    row = known or Pickup(
        owner=item.to,
        sender=item.sender,
        message=item.message,
        size=item.size,
        boxed=item.key,
        ticket=item.ticket,
        issued=item.issued,
        keep_until=item.keep_until,
        origin=item.origin,
        received=now,
    )
    made: Pickup = row.but(
        size=item.size,
        boxed=item.key,
        key=key,
        ticket=item.ticket,
        issued=item.issued,
        keep_until=item.keep_until,
        origin=item.origin,
        state=state,
        reason=reason,
        next_at=(row.next_at or now) if state == "wanted" else None,
    )
    return made
