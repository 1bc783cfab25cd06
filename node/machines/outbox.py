"""A delivery at its author: every state, every fact that changes it.

    stored ──attempt──▶ notified ──tickets used──▶ fetched ──receipt──▶ confirmed
       │  ╲ answers: held · refused · (none: unchanged, tried again)
       ├── author ──▶ retracted ──receipt──▶ confirmed (before the retraction)
       └── keep_until ──▶ expired ──receipt──▶ confirmed (after it, still true)
    confirmed ──poll of a restored recipient──▶ notified (older receipts are void)
    any open state ──the addressee's key was replaced──▶ stored, for the new key

Rules:
- Only a verified receipt, the author's own retraction, or keep_until ends a delivery.
  Answers are unsigned, so no answer does.
- A receipt counts only for a row that was announced, and not before `void_before`.
- What a receipt's date can't tell, because a clock was wrong, is asked for once too often.
- `notified` and `fetched` are told again until confirmed.
- A row whose state no longer allows a fact is returned unchanged: repeating is harmless.

Spec: 04 §states.
"""

from collections.abc import Sequence

from node import limits
from node.machines import retry
from node.machines.rows import Attempt, Delivery
from node.units import Instant, Key

OPEN = frozenset({"stored", "notified", "held", "refused", "fetched"})
PAUSED = frozenset({"held", "refused"})
PENDING = frozenset({"stored", "notified", "fetched"})
UNDATED = Instant(0)
"""Instead of a receipt's date, where its clock was wrong (or ours, which we can't tell)."""


def is_open(row: Delivery) -> bool:
    """Whether the addressee may still fetch: neither confirmed, retracted nor expired."""
    return row.state in OPEN


def is_delayed(row: Delivery, now: Instant) -> bool:
    """Whether a person should be told that it takes long."""
    return row.state in PENDING and now - row.stamp > limits.DELAYED


def on_attempt(row: Delivery, now: Instant, jitter: float) -> Delivery:
    """A notification is about to leave: noted first, so that its receipt will count."""
    if not is_open(row):
        return row
    made: Delivery = row.but(
        announced=True,
        step=row.step + 1,
        attempts=(*row.attempts, Attempt(at=now))[-limits.ATTEMPTS_KEPT :],
        next_at=_by(row, retry.at(now, row.step, jitter)),
    )
    return made


def on_polled(row: Delivery) -> Delivery:
    """The row is about to leave in a poll's answer."""
    made: Delivery = row.but(announced=True)
    return made if is_open(row) else row


def on_answer(
    row: Delivery, state: str, reason: str | None, now: Instant, jitter: float, *, contact: bool
) -> Delivery:
    """The other node answered `accepted`, `held` or `refused`; receipts go to `on_receipt`.

    Args:
        row: the delivery.
        state: the answer's state.
        reason: the answer's reason.
        now: our clock.
        jitter: a number in [-1, 1).
        contact: whether the addressee is a contact (a refusal is retried daily).
    """
    row = _outcome(row, state if reason is None else f"{state} {reason}")
    if not is_open(row) or state not in ("accepted", "held", "refused") or reason == "busy":
        return row
    if state == "accepted":
        return _to(row, "fetched" if row.state == "fetched" else "notified", None)
    pause = limits.REFUSED_RETRY if state == "refused" and contact else limits.HELD_RETRY
    later = _by(row, Instant(now + retry.moved(pause, jitter)))
    if state == "held" and row.state == "fetched":
        return row
    changed: Delivery = _to(row, state, reason).but(next_at=later)
    return changed


def on_unanswered(row: Delivery, why: str) -> Delivery:
    """No answer came to the last attempt: it stays due, and its peer's clock says when.

    While the peer is silent that clock follows the same schedule; when it is heard from, what
    it did not answer goes out at once, and not when each row's own long pause has passed.
    """
    if not row.attempts or row.attempts[-1].answer is not None:
        return row
    made: Delivery = _outcome(row, why)
    return made.but(next_at=row.attempts[-1].at) if is_open(row) else made


def on_newer_record(row: Delivery, now: Instant) -> Delivery:
    """The addressee's record is newer than the one used: seal again and send at once."""
    made: Delivery = row.but(next_at=now)
    return made if is_open(row) else row


def on_nudge(row: Delivery, now: Instant) -> Delivery:
    """The peer was heard from: what it held or refused is tried again."""
    made: Delivery = row.but(next_at=now)
    return made if row.state in PAUSED else row


def on_fetched(row: Delivery, which: Sequence[int], count: int, now: Instant) -> Delivery:
    """The addressee's ticket was used for the blocks `which` of `count` (parts, root last)."""
    if not is_open(row) or row.state == "fetched":
        return row
    bits = int.from_bytes(row.got, "little")
    for index in which:
        bits |= 1 << index
    got = bits.to_bytes((count + 7) // 8, "little")
    made: Delivery = row.but(got=got)
    if bits != (1 << count) - 1:
        return made
    done: Delivery = _to(made, "fetched", None).but(fetched_at=now, got=b"")
    return done


def on_receipt(row: Delivery, at: Instant, now: Instant) -> Delivery:
    """A verified receipt of the addressee, dated `at` by its clock."""
    if not row.announced or _is_void(row, at, now) or row.state == "confirmed":
        return row
    made: Delivery = row.but(
        state="confirmed",
        reason=None,
        next_at=None,
        confirmed_at=now,
        receipted=_dated(at, now),
        first_receipt=now if row.first_receipt is None else row.first_receipt,
        ended_as=row.state if not is_open(row) else None,
        got=b"",
    )
    return made


def on_retract(row: Delivery) -> Delivery:
    """The author withdraws it."""
    return _end(row, "retracted")


def on_clock(row: Delivery, now: Instant) -> Delivery:
    """keep_until may have passed."""
    return _end(row, "expired") if now >= row.keep_until else row


def on_step(row: Delivery, by: int) -> Delivery:
    """The clock by which it was sent was put right, by so many milliseconds."""
    made: Delivery = row.but(keep_until=Instant(row.keep_until + by))
    return made if is_open(row) else row


def on_lost(
    row: Delivery,
    memory: Instant,
    start: Instant,
    stamp: Instant,
    now: Instant,
    *,
    kept: bool = True,
) -> Delivery:
    """The addressee was restored and remembers nothing from `memory` to `start`.

    What is open stays as it is, but a receipt of the life before, which may still be under way,
    does not end it any more.

    Where the bytes are gone (withdrawn or expired before the receipt came), it is again what it
    was without that receipt: nobody has the message now.

    A receipt whose clock was wrong may lie anywhere, so its mail waits again too: one answer more.
    Its blocks are kept for the grace, so it waits again for at least so long, even where
    `keep_until` has passed meanwhile: else it would expire in the moment it is asked for.

    Args:
        row: the delivery.
        memory, start: the poll's `lost`.
        stamp: the owner's next distinct instant.
        now: our clock.
        kept: whether its blocks are here.
    """
    # A start in the future would void receipts to come, and the message for ever open.
    void = max(row.void_before, min(start, Instant(now + limits.CLOCK_SKEW)))
    if is_open(row) and row.announced:
        voided: Delivery = row.but(void_before=void)
        return voided
    if row.state != "confirmed" or row.receipted is None or row.first_receipt is None:
        return row
    grace = Instant(row.first_receipt + limits.GRACE)
    inside = memory <= row.receipted < start or row.receipted == UNDATED
    if now >= grace or not inside:
        return row
    made: Delivery = row.but(
        confirmed_at=None,
        receipted=None,
        void_before=void,
        ended_as=None,
    )
    if not kept:
        return _to(made, row.ended_as, None) if row.ended_as else row
    again: Delivery = made.but(
        state="notified", stamp=stamp, next_at=now, step=0, keep_until=max(row.keep_until, grace)
    )
    return again


def on_heir(row: Delivery, to: Key, ticket: bytes, stamp: Instant, now: Instant) -> Delivery:
    """The addressee goes on with another key: nobody has told that one yet.

    What the old key was told, and fetched, is over with its ticket.

    Args:
        row: an open delivery.
        to: the new key.
        ticket: the new key's.
        stamp: the owner's next distinct instant.
        now: our clock.
    """
    made: Delivery = row.but(
        to=to,
        ticket=ticket,
        stamp=stamp,
        state="stored",
        reason=None,
        announced=False,
        step=0,
        attempts=(),
        next_at=_by(row, now),
        got=b"",
        fetched_at=None,
    )
    return made if is_open(row) else row


def _is_void(row: Delivery, at: Instant, now: Instant) -> bool:
    """Whether a receipt may be of the life before a restore: then another one will come."""
    ahead = row.void_before > 0 and at > now + limits.CLOCK_STEP
    return ahead or at < row.void_before


def _dated(at: Instant, now: Instant) -> Instant:
    """When a receipt was made, unless its date can't be right.

    One that is behind may have been on its way; none comes from the future.
    """
    right = now - limits.CLOCK_STEP <= at <= now + limits.CLOCK_SKEW
    return at if right else UNDATED


def _by(row: Delivery, instant: Instant) -> Instant:
    return min(instant, row.keep_until)


def _to(row: Delivery, state: str, reason: str | None) -> Delivery:
    made: Delivery = row.but(state=state, reason=reason)
    return made


def _end(row: Delivery, state: str) -> Delivery:
    made: Delivery = row.but(state=state, reason=None, next_at=None, got=b"")
    return made if is_open(row) else row


def _outcome(row: Delivery, answer: str) -> Delivery:
    if not row.attempts or row.attempts[-1].answer is not None:
        return row
    last: Attempt = row.attempts[-1].but(answer=answer)
    made: Delivery = row.but(attempts=(*row.attempts[:-1], last))
    return made
