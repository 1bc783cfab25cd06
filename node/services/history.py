"""What happened to single messages beside what their rows say: bounded, and best effort.

    fact ──add──▶ memory ──flush, every minute and at the end──▶ chapters of 256 steps, 64 an owner

The rows are the truth and need none of this; it is for `willcall log`. So adding a step costs
half a microsecond and no write, a crash may forget the last minute, and the oldest go first.
Only what rows don't keep is added: stored, told, fetched, confirmed, heard and arrived are rows.
"""

from collections import deque
from collections.abc import Iterator

from node.machines.rows import Chapter, Step
from node.ports import Database, Tables
from node.units import Instant, Key

STEPS = 256
"""Steps in a chapter: 18 KiB, written again each minute until it is full."""
CHAPTERS = 64
"""Chapters of an owner: 16,384 steps, 1.2 MiB, months of a person's mail."""
TAIL = 8
"""Last bytes of a CID that name a message here."""


class History:
    """The steps that are not written yet, by owner."""

    def __init__(self) -> None:
        self._pending: dict[Key, deque[Step]] = {}

    def add(
        self,
        owner: Key,
        word: str,
        at: Instant,
        *,
        message: bytes = b"",
        who: Key | None = None,
        detail: str | None = None,
    ) -> None:
        """Notes a step; may be called inside a transaction, and is not undone with it.

        Args:
            owner: in whose mail it happened.
            word: what.
            at: when.
            message: to which; none: to all that `who` was owed, or owed us, then.
            who: the peer it has to do with.
            detail: more, for a person.
        """
        steps = self._pending.get(owner)
        if steps is None:
            steps = self._pending[owner] = deque(maxlen=STEPS * CHAPTERS)
        steps.append(Step(at=at, message=message[-TAIL:], word=word, who=who, detail=detail))

    def flush(self, db: Database) -> None:
        """Writes what is pending, with the next group.

        Raises:
            StoreFailed: the store has stopped; it stays pending.
        """
        if not self._pending:
            return
        pending = self._pending

        def work(tx: Tables) -> None:
            for owner, steps in pending.items():
                if tx.owners.get(owner) is not None:
                    _write(tx, owner, steps)

        db.apply(work)
        self._pending = {}

    def of(self, tx: Tables, owner: Key, message: bytes) -> Iterator[Step]:
        """The steps of one message, and those of no message: the caller knows whose matter."""
        tail = message[-TAIL:]
        kept = (step for chapter in tx.chapters.scan(owner) for step in chapter.steps)
        for steps in (kept, self._pending.get(owner, ())):
            yield from (step for step in steps if step.message in (tail, b""))


def _write(tx: Tables, owner: Key, steps: deque[Step]) -> None:
    last = next(tx.chapters.scan(owner, reverse=True), None) or Chapter(owner=owner, number=0)
    whole = [*last.steps, *steps]
    for at in range(0, len(whole), STEPS):
        number = last.number + at // STEPS
        tx.chapters.put(Chapter(owner=owner, number=number, steps=tuple(whole[at : at + STEPS])))
        if number >= CHAPTERS:
            tx.chapters.delete(Chapter(owner=owner, number=number - CHAPTERS))
