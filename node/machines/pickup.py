"""A pickup at the recipient: wanted until here, gone, expired or unreadable.

    wanted ──bytes verify──▶ (mail, receipt owed)
      │ ├── not served ──▶ wanted, later by the schedule
      │ ├── never verifies ──▶ wanted, later; after three times refused as `unreadable`
      │ └── 410 ──▶ dropped (a mail already shown becomes failed)
    waiting ──its owner calls, or room is made──▶ wanted

Spec: 04 §pickup.
"""

from node import limits
from node.machines import retry
from node.machines.rows import Pickup
from node.units import Instant


def on_attempt(row: Pickup, now: Instant, jitter: float) -> Pickup:
    """The blocks are about to be asked for."""
    made: Pickup = row.but(step=row.step + 1, next_at=retry.at(now, row.step, jitter))
    return made


def on_not_asked(row: Pickup, now: Instant) -> Pickup:
    """Its sender fell silent before: it stays due, and the peer's clock says when."""
    made: Pickup = row.but(step=max(0, row.step - 1), next_at=now)
    return made


def on_unverified(row: Pickup) -> Pickup:
    """What was served is not what was announced; after the third time nothing is asked again."""
    failures = row.failures + 1
    next_at = None if failures >= limits.UNREADABLE_AFTER else row.next_at
    made: Pickup = row.but(failures=failures, next_at=next_at)
    return made


def on_called(row: Pickup, now: Instant) -> Pickup:
    """Its owner calls for it, or there is room again."""
    made: Pickup = row.but(state="wanted", reason=None, next_at=now, step=0)
    return made


def on_full(row: Pickup) -> Pickup:
    """The quota was full when it came to it."""
    made: Pickup = row.but(state="waiting", reason="over-quota", next_at=None)
    return made
