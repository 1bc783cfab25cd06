"""Planted faults: each breaks one promise, and the simulation has to notice.

A mutant replaces one function while a run lasts. These twelve are looked for on every run of the
tests, `more_mutants` by `make soak` alone. A mutant that nothing catches is a missing test.

What the simulator's disks can't lose, a missing sync of a folder, is not planted here: power cuts
replayed from a traced run find that one (`tests/crash`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import trio

from node import limits
from node.errors import Absent
from node.machines import inbox, outbox, retention, retry
from node.machines.rows import Delivery, Errand, Sent
from node.services import arrive, ledger, serve
from node.services.admit import Admission
from node.services.pickup import Collector
from node.store.committer import Committed
from node.units import Instant, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One planted fault.

    Attributes:
        where: the module or class of which something is replaced.
        what: its name there: a function, or a number.
        made: gives the replacement for what is there.
        seeds: seeds that were seen to catch it.
    """

    where: Any
    what: str
    made: Callable[[Any], Any]
    seeds: tuple[int, ...] = ()


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The fault is there as long as the block lasts."""
    sound = getattr(mutant.where, mutant.what)
    setattr(mutant.where, mutant.what, mutant.made(sound))
    try:
        yield
    finally:
        setattr(mutant.where, mutant.what, sound)


# --- the replacements -----------------------------------------------------------------


def _receipt_before_store(sound: Any) -> Any:
    async def finish(self: Any, got: Any) -> None:
        def owe(tx: Any) -> None:
            for each in got:
                row, now = each.row, self._core.now()
                owed = Errand(owner=row.owner, to=row.sender, kind="receipt", message=row.message)
                tx.errands.put(owed.but(next_at=now))
                ledger.owe(tx, row.owner, row.sender, now, now)

        await self._core.db.transact(owe)
        self._core.outgoing.ring()
        await trio.sleep(5)
        await sound(self, got)

    return finish


def _free_on_first_receipt(sound: Any) -> Any:
    def on_change(row: Sent, before: Delivery, after: Delivery) -> Sent:
        made: Sent = sound(row, before, after)
        if after.state == "confirmed":
            made = made.but(open=0, grace_until=Instant(0))
        return made

    return on_change


def _no_grace(sound: Any) -> Any:
    def on_change(row: Sent, before: Delivery, after: Delivery) -> Sent:
        made: Sent = sound(row, before, after)
        made = made.but(grace_until=after.first_receipt)
        return made

    return on_change


def _no_dedupe(_sound: Any) -> Any:
    return lambda tx, owner, message, sender: None


def _no_sync(_sound: Any) -> Any:
    async def transact(self: Any, work: Any) -> Any:
        return self.apply(work)

    return transact


def _retry_stops(sound: Any) -> Any:
    def pause(step: int, jitter: float) -> Millis:
        made: Millis = sound(step, jitter)
        return made if step < 3 else limits.KEEP_LONGEST

    return pause


def _refusal_ends(sound: Any) -> Any:
    def on_answer(row: Delivery, state: str, *rest: Any, **more: Any) -> Delivery:
        made: Delivery = sound(row, state, *rest, **more)
        if state == "refused":
            made = outbox._end(made, "expired")
        return made

    return on_answer


def _old_receipts_count(sound: Any) -> Any:
    def on_lost(row: Delivery, *rest: Any, **more: Any) -> Delivery:
        made: Delivery = sound(row, *rest, **more)
        made = made.but(void_before=row.void_before)
        return made

    return on_lost


def _any_ticket(sound: Any) -> Any:
    def find(tx: Any, name: Any, ticket: Any, **rest: Any) -> Any:
        try:
            return sound(tx, name, ticket, **rest)
        except Absent:
            block = tx.blocks.get(name)
            if ticket is None or block is None or block.author is None:
                raise
            for row in tx.deliveries.scan(block.author, block.message):
                return serve._served(tx, block, row)
            raise

    return find


def _counted_twice(sound: Any) -> Any:
    def moved(account: Any, before: str, after: str, size: int) -> Any:
        return sound(account, before, after, size * 2 if after == "grace" else size)

    return moved


def _seen_first(sound: Any) -> Any:
    def verify(self: Any, signed: Any) -> None:
        known = self._seen.known(signed.block)
        self._seen.note(signed.block, good=True)
        if known is None:
            sound_verify(signed)

    def sound_verify(signed: Any) -> None:
        signed.verify()

    return verify


def _deleted_is_forgotten(_sound: Any) -> Any:
    return lambda mail: mail.state in ("new", "read")


MUTANTS: dict[str, Mutant] = {
    "receipt before store": Mutant(
        where=Collector, what="_finish", made=_receipt_before_store, seeds=(1,)
    ),
    "delete on first receipt": Mutant(
        where=retention, what="on_change", made=_free_on_first_receipt, seeds=(1,)
    ),
    "no dedupe": Mutant(where=arrive, what="mail_of", made=_no_dedupe, seeds=(1,)),
    "deleted is forgotten": Mutant(
        where=inbox, what="was_here", made=_deleted_is_forgotten, seeds=(1,)
    ),
    "no sync": Mutant(where=Committed, what="transact", made=_no_sync, seeds=(1,)),
    "retry stops early": Mutant(where=retry, what="pause", made=_retry_stops, seeds=(1,)),
    "refused ends a delivery": Mutant(
        where=outbox, what="on_answer", made=_refusal_ends, seeds=(4,)
    ),
    "old receipt accepted after a restore": Mutant(
        where=outbox, what="on_lost", made=_old_receipts_count, seeds=(2,)
    ),
    "ticket not checked": Mutant(where=serve, what="_find", made=_any_ticket, seeds=(1,)),
    "quota counted twice": Mutant(where=retention, what="moved", made=_counted_twice, seeds=(1,)),
    "seen-set filled before the signature": Mutant(
        where=Admission, what="_verify", made=_seen_first, seeds=(1,)
    ),
    "grace ignored": Mutant(where=retention, what="on_change", made=_no_grace, seeds=(1,)),
}
