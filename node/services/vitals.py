"""How the node is, in numbers: for whoever watches it.

No cost grows with the mailbox: sums are over owners, queues are looked at from their front, and
counted no further than `COUNTED`. Nothing names a peer, an owner or a message.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from node.machines import retention
from node.machines.rows import Account, Owner
from node.ports import Tables
from node.services import ledger
from node.services.core import Core
from node.services.sweep import Sweeper
from node.units import Instant

COUNTED = 4096
"""Rows of a queue that are counted: some 20 ms; more is `COUNTED`, and its age says the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """One look at the node. Ages and delays in milliseconds; None: there is nothing.

    Attributes:
        used: bytes by what keeps them, of all owners; limit: what they may use together.
        full: owners whose quota has no room left.
        open: deliveries by state, none of them over, up to `COUNTED` in all.
        oldest: how long the oldest message waits that somebody has not confirmed.
        late, pickup_late: how long the first peer is due, to be told or to be fetched from.
        waiting: mail at its senders, up to `COUNTED`.
        backed_up, verified: the moments that the newest and the newest verified backup hold.
    """

    owners: int
    used: dict[str, int]
    limit: int
    full: int
    sent: int
    received: int
    held: int
    open: dict[str, int]
    oldest: int | None
    late: int
    pickup_late: int
    waiting: int
    clock_believed: bool
    backed_up: Instant
    verified: Instant


def look(core: Core, sweeper: Sweeper) -> Vitals:
    """The numbers of this moment."""
    now = core.now()
    return core.db.read(lambda tx: _looked(tx, now, believed=sweeper.believes))


def _looked(tx: Tables, now: Instant, *, believed: bool) -> Vitals:
    owners = list(tx.owners.scan())
    accounts = [ledger.account(tx, row.owner) for row in owners]
    node = tx.node()
    states = Counter(row.state for row in islice(tx.deliveries.by("until"), COUNTED))
    return Vitals(
        owners=len(owners),
        used={word: sum(getattr(row, word) for row in accounts) for word in retention.COLUMNS},
        limit=sum(row.limit for row in accounts),
        full=sum(1 for row in accounts if _used(row) >= row.limit),
        sent=sum(row.sents for row in accounts),
        received=sum(row.mails for row in accounts),
        held=sum(row.ring for row in accounts),
        open={state: states.get(state, 0) for state in OPEN},
        oldest=min(map(int, _oldest(tx, owners)), default=None),
        late=_late(tx, "wake", now),
        pickup_late=_late(tx, "pickup", now),
        waiting=sum(1 for _ in islice(tx.pickups.scan(), COUNTED)),
        clock_believed=believed,
        backed_up=node.backed_up,
        verified=node.verified,
    )


OPEN = ("stored", "notified", "held", "refused", "fetched")
"""States that are not the end."""


def _used(row: Account) -> int:
    return sum(getattr(row, word) for word in retention.COLUMNS)


def _oldest(tx: Tables, owners: list[Owner]) -> Iterator[Instant]:
    """When each owner's oldest message was sent that is not through."""
    for owner in owners:
        yield from (row.created for row in islice(tx.sent.by("open", owner.owner), 1))


def _late(tx: Tables, index: str, now: Instant) -> int:
    """How long the peer that is first in the queue is due already."""
    for row in islice(tx.peers.by(index), 1):
        at = row.wake_at if index == "wake" else row.pickup_at
        return 0 if at is None else max(0, now - at)
    return 0
