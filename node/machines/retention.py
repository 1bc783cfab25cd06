"""What is charged for how long, and when blocks may go.

A message is charged once, to one column of its author's account:

    waiting (an addressee is open) ──▶ grace (14 days from the last first receipt)
       ──▶ sent (kept as sent mail) | gone (blocks freed)

Sealing keys that were replaced stay for as long as mail may wait.
No block is freed while an addressee is open, nor within the grace. Spec: 04 §retention.
"""

from collections.abc import Iterable

from node import limits
from node.machines.outbox import is_open
from node.machines.rows import Account, Delivery, Sent
from node.units import Instant

COLUMNS = ("waiting", "grace", "sent", "inbox")


def kept_keys(
    sealing: tuple[tuple[bytes, int], ...], now: Instant
) -> tuple[tuple[bytes, int], ...]:
    """The sealing keys that may still be needed, newest first.

    An old one opens what was sealed to it for 400 days after a newer one took its place.

    Args:
        sealing: (secret, made at), newest first; at least one.
        now: the clock.
    """
    old = zip(sealing[1:], sealing, strict=False)
    kept = [key for key, after in old if now < after[1] + limits.SEALING_KEPT]
    return (sealing[0], *kept)[: limits.SEALING_KEYS]


def on_change(row: Sent, before: Delivery, after: Delivery) -> Sent:
    """One of the message's deliveries changed from `before` to `after`."""
    opened = int(is_open(after)) - int(is_open(before))
    grace = row.grace_until
    if after.first_receipt is not None:
        grace = max(grace or Instant(0), Instant(after.first_receipt + limits.GRACE))
    made: Sent = row.but(open=row.open + opened, grace_until=grace)
    return made


def charge(row: Sent, now: Instant, keep_sent: bool) -> str:
    """The column that the message belongs to now."""
    if row.charge == "gone":
        return "gone"
    if row.open:
        return "waiting"
    if row.grace_until is not None and now < row.grace_until:
        return "grace"
    return "sent" if (keep_sent if row.keep_sent is None else row.keep_sent) else "gone"


def moved(account: Account, before: str, after: str, size: int) -> Account:
    """The account after `size` bytes moved between columns (`gone` is none of them)."""
    if before == after:
        return account
    changes = {}
    if before in COLUMNS:
        changes[before] = getattr(account, before) - size
    if after in COLUMNS:
        changes[after] = getattr(account, after) + size
    made: Account = account.but(**changes)
    return made


def next_sweep(row: Sent) -> Instant | None:
    """When the message's column may change by itself."""
    if row.open or row.charge != "grace":
        return None
    return row.grace_until


def all_over(rows: Iterable[Delivery]) -> bool:
    """Whether nobody may fetch any more."""
    return not any(is_open(row) for row in rows)


def backup_overdue(verified: Instant, since: Instant, now: Instant) -> bool:
    """Whether it is time to make a backup and to verify it.

    Args:
        verified: the moment that the newest verified backup holds; 0: there is none.
        since: when there began to be something to lose.
        now: the clock.
    """
    return now - max(verified, since) > limits.BACKUP_VERIFIED
