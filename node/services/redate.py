"""Mail sent by a clock that was behind is kept as long as was said, when that is put right.

    sent in this life ─▶ the wall clock steps ─▶ the new one is believed ─▶ `keep_until` goes along

Until when is an instant, and how long was meant: 30 days from a clock that shows last spring are
over the moment it is right. The steady clock tells how far it stepped. It goes on for one life
only, so what was sent before that stays as it is. Nothing is moved while the new clock is in doubt,
and nothing is ever kept for less: which of two clocks was right nobody knows. Spec: 06 §clocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.machines import outbox
from node.machines.rows import Sent
from node.ports import Database, Tables
from node.units import Instant, Key

Numbers = dict[Key, int]
"""Each owner's last number of sent mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """The wall clock stepped.

    Attributes:
        before, seen: what had been sent at the look before, and at the one after.
        now: the wall clock at the one after.
        by: milliseconds, back: negative.
    """

    before: Numbers
    seen: Numbers
    now: Instant
    by: int

    def moved(self, sent: Sent) -> int:
        """By how much a message is later; of one sent between the two looks its own date tells."""
        if sent.order <= self.before.get(sent.owner, 0):
            return self.by
        near = abs(sent.created - (self.now - self.by)) < abs(sent.created - self.now)
        return self.by if near and sent.order <= self.seen.get(sent.owner, 0) else 0


class Redating:
    """Remembers which mail was sent in this life, and by which clock.

    Args:
        db: the store.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._began = self._seen = db.read(_numbers)
        self._steps: tuple[_Step, ...] = ()

    def on_look(self, now: Instant, step: int, *, believed: bool) -> None:
        """The clocks were looked at.

        Args:
            now: the wall clock.
            step: milliseconds by which it stepped since the last look; 0: it did not.
            believed: whether it is believed.
        """
        seen = self._db.read(_numbers)
        if step:
            self._steps += (_Step(before=self._seen, seen=seen, now=now, by=step),)
        self._seen = seen
        if believed and self._steps:
            self._db.apply(self._move)
            self._steps = ()

    def _move(self, tx: Tables) -> None:
        for sent in list(self._of_this_life(tx)):
            by = sum(step.moved(sent) for step in self._steps)
            if by > 0:
                tx.sent.put(sent.but(keep_until=Instant(sent.keep_until + by)))
                for row in list(tx.deliveries.scan(sent.owner, sent.message)):
                    tx.deliveries.put(outbox.on_step(row, by))

    def _of_this_life(self, tx: Tables) -> Iterator[Sent]:
        for owner in _numbers(tx):
            yield from tx.sent.by("open", owner, after=self._began.get(owner, 0))


def _numbers(tx: Tables) -> Numbers:
    return {row.owner: row.sents for row in tx.accounts.scan()}
