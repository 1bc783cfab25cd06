"""What a restored node must do before it speaks again: it is some time behind itself.

- Peers are told what it forgot: `lost` in its polls, until each has answered; who becomes a
  contact later is told as well.
- It speaks with a record newer than any it may have made meanwhile.
- Archives of its own sign nothing until they caught up from a mirror, or a new epoch is begun.
- What it has promised to give once only is not given again: numbers of the inbox go on behind a
  gap, invites that were open are void (somebody may have come by them since).

What it sent since the backup and was not picked up is gone; all else comes again by the
protocol's own means: notifications until a receipt, receipts as answers. Spec: 06, 11.
"""

from dataclasses import dataclass

from node import limits
from node.machines.rows import Archive, Invite, Owner, Peer
from node.ports import Tables
from node.services import meet, owners
from node.units import Instant

GAP = 1_000
"""Numbers of inbox rows left out: more than most people get between two backups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awakened:
    """What became of it.

    Attributes:
        lost: (memory, start), as it will be said.
        told: peers that will be asked.
        invites: open invites that are void now.
    """

    lost: tuple[Instant, Instant]
    told: int
    invites: int


def awaken(tx: Tables, made: Instant, now: Instant) -> Awakened:
    """Prepares the rows of a backup for a new life.

    Args:
        tx: the restored store; nothing has run on it yet.
        made: the moment that the backup holds, by the clock of then.
        now: our clock.
    """
    # The clock of then may have been ahead by as much as goes unnoticed: a receipt dated by the
    # right clock, after the backup, would fall before `memory`. Too early costs an answer each.
    memory = Instant(max(1, made - limits.CLOCK_STEP))
    node = tx.node()
    lost = _joined(node.lost, (memory, now))
    tx.put_node(node.but(lost=lost, verified=max(node.verified, made), rival=Instant(0)))
    for owner in list(tx.owners.scan()):
        _renew(tx, owner, now)
    told = sum(_ask(tx, row, (memory, now)) for row in list(tx.peers.scan()))
    for archive in list(tx.archives.scan()):
        # Its log may have grown since, and been seen: signing now could rewrite it.
        tx.archives.put(_behind(tx, archive) if not archive.urls else _due(archive, now))
    invites = sum(_void(tx, row, now) for row in list(tx.invites.scan()))
    return Awakened(lost=lost, told=told, invites=invites)


def _behind(tx: Tables, archive: Archive) -> Archive:
    log = tx.logs.get(archive.id, archive.epoch)
    made: Archive = archive.but(behind=True, backed=0 if log is None else log.size)
    return made


def _due(archive: Archive, now: Instant) -> Archive:
    made: Archive = archive if archive.fork else archive.but(poll_at=now)
    return made


def _joined(
    before: tuple[Instant, Instant] | None, lost: tuple[Instant, Instant]
) -> tuple[Instant, Instant]:
    """A loss that was not told everybody yet, and this one: from the earlier memory on."""
    return lost if before is None else (min(before[0], lost[0]), lost[1])


def _renew(tx: Tables, owner: Owner, now: Instant) -> None:
    account = tx.accounts.get(owner.owner)
    if account is not None:
        tx.accounts.put(account.but(mails=account.mails + GAP, held=account.held + GAP))
    renewed = owners.renewed(owner, now)
    tx.owners.put(renewed)
    meet.tell_record(tx, renewed, now)


def _ask(tx: Tables, row: Peer, lost: tuple[Instant, Instant]) -> int:
    """Everybody whose mail may have come is asked; a blocked sender's was not taken."""
    if row.blocked or row.did == row.owner:
        return 0
    row = tx.peers.get(row.owner, row.did) or row
    start = lost[1]
    tx.peers.put(row.but(lost=_joined(row.lost, lost), poll_at=start, wake_at=start, silent=0))
    return 1


def _void(tx: Tables, row: Invite, now: Instant) -> int:
    if row.spent is not None or row.expires <= now:
        return 0
    tx.invites.put(row.but(expires=now))
    return 1
