"""More planted faults, which `make soak` measures: how many fresh seeds notice each."""

from typing import Any

from node.crypto import keys
from node.errors import Unverified
from node.machines import clock, inbox, outbox, retention
from node.machines import peer as peers
from node.machines.rows import Account, Delivery, Mail, Peer
from node.objects.signed import Kind
from node.services import awaken, ledger
from node.services.space import Space
from node.store.committer import Committed, _Group
from node.store.tables import BlockTable
from node.units import DAY, Instant
from tests.fakes.failing import FailingKv
from tests.sim.mutants import MUTANTS, Mutant


def _answer_confirms(sound: Any) -> Any:
    def on_answer(row: Delivery, state: str, reason: Any, now: Any, *rest: Any, **more: Any) -> Any:
        made: Delivery = sound(row, state, reason, now, *rest, **more)
        return outbox.on_receipt(made, now, now) if state == "accepted" else made

    return on_answer


def _clock_believed(_sound: Any) -> Any:
    return lambda guard: True


def _receipts_unverified(sound: Any) -> Any:
    def verify(self: Any, value: Any, made: Any) -> None:
        try:
            sound(self, value, made)
        except Unverified:
            if self.name != "receipt":
                raise

    return verify


def _signatures_unverified(_sound: Any) -> Any:
    return lambda public, message, signature: None


def _waiting_was_here(sound: Any) -> Any:
    def was_here(mail: Mail) -> bool:
        return mail.state == "waiting" or bool(sound(mail))

    return was_here


def _declined_was_here(sound: Any) -> Any:
    def was_here(mail: Mail) -> bool:
        return mail.state == "deleted" or bool(sound(mail))

    return was_here


def _lost_is_said_once(sound: Any) -> Any:
    def on_poll_refused(row: Peer, *rest: Any) -> Peer:
        made: Peer = sound(row, *rest).but(lost=None)
        return made

    return on_poll_refused


def _dates_believed(_sound: Any) -> Any:
    return lambda at, now: at


def _expires_early(sound: Any) -> Any:
    def on_clock(row: Delivery, now: Instant) -> Delivery:
        made: Delivery = sound(row, Instant(now + 10 * DAY))
        return made

    return on_clock


def _nothing_returned(_sound: Any) -> Any:
    def moved(account: Account, before: str, after: str, size: int) -> Account:
        if after in retention.COLUMNS:
            account = account.but(**{after: getattr(account, after) + size})
        return account

    return moved


def _dropped_twice(sound: Any) -> Any:
    def drop(self: Any, cid: bytes) -> Any:
        freed = sound(self, cid)
        row = self.get(cid)
        if row is not None and row.refs:
            sound(self, cid)
        return freed

    return drop


def _no_files_removed(_sound: Any) -> Any:
    async def once(self: Any) -> None:
        return None

    return once


def _silence_is_for_ever(sound: Any) -> Any:
    def on_silence(row: Peer, *rest: Any) -> Peer:
        made: Peer = sound(row, *rest)
        forever: Peer = made.but(wake_at=None)
        return forever if made.silent > 6 else made

    return on_silence


def _half_a_group(sound: Any) -> Any:
    def write(self: Any, puts: Any) -> None:
        fails = self._at is not None and self._at == self.writes + 1
        if fails and not self._after:
            self.inner.write(dict(list(puts.items())[: len(puts) // 2]))
        sound(self, puts)

    return write


def _failed_stays_visible(_sound: Any) -> Any:
    def drop(self: Any, error: Any) -> Any:
        lost = [self._pending] if self._writing is None else [self._writing]
        self._writing = None
        if lost == [self._pending]:
            self._pending = _Group()
        for group in lost:
            group.error = error
        return lost

    return drop


def _no_barrier(sound: Any) -> Any:
    async def transact(self: Any, work: Any) -> Any:
        before = len(self._pending.rows.values)
        result = self.apply(work)
        if len(self._pending.rows.values) != before:
            await self.flush()
        return result

    return transact


def _owes_nothing(_sound: Any) -> Any:
    def owe(tx: Any, owner: Any, to: Any, at: Any, now: Any) -> Peer:
        return tx.peers.get(owner, to) or Peer(owner=owner, did=to)

    return owe


MORE: dict[str, Mutant] = {
    "an answer confirms": Mutant(where=outbox, what="on_answer", made=_answer_confirms),
    "a wrong clock is believed": Mutant(where=clock, what="believed", made=_clock_believed),
    "a wrong clock's receipts are dated": Mutant(where=outbox, what="_dated", made=_dates_believed),
    "receipts unverified": Mutant(where=Kind, what="_verify", made=_receipts_unverified),
    "no signature verified": Mutant(where=keys, what="verify", made=_signatures_unverified),
    "waiting mail is confirmed": Mutant(where=inbox, what="was_here", made=_waiting_was_here),
    "declined mail is confirmed": Mutant(where=inbox, what="was_here", made=_declined_was_here),
    "declined mail comes back": Mutant(
        where=inbox, what="was_declined", made=lambda _: lambda mail: False
    ),
    "a loss is said once": Mutant(where=peers, what="on_poll_refused", made=_lost_is_said_once),
    "a loss is not said": Mutant(where=awaken, what="_ask", made=lambda _: lambda *_: 0),
    "numbers again after a restore": Mutant(where=awaken, what="GAP", made=lambda _: 0),
    "expires early": Mutant(where=outbox, what="on_clock", made=_expires_early),
    "quota not returned": Mutant(where=retention, what="moved", made=_nothing_returned),
    "stamps not distinct": Mutant(
        where=ledger, what="next_stamp", made=lambda _: lambda account, now: now
    ),
    "a block dropped twice": Mutant(where=BlockTable, what="drop", made=_dropped_twice),
    "files stay": Mutant(where=Space, what="once", made=_no_files_removed),
    "silence is for ever": Mutant(where=peers, what="on_silence", made=_silence_is_for_ever),
    "half a group": Mutant(where=FailingKv, what="write", made=_half_a_group),
    "what failed stays visible": Mutant(where=Committed, what="_drop", made=_failed_stays_visible),
    "no barrier for what was read": Mutant(where=Committed, what="transact", made=_no_barrier),
    "nothing is owed": Mutant(where=ledger, what="owe", made=_owes_nothing),
}
ALL = MUTANTS | MORE
