"""One peer's clock: when something goes out to it, and when we pick up from it.

    quiet ──something owed──▶ due ──attempt──▶ quiet (answered)
                               ▲       └─────▶ silent 1, 2, … (not answered: longer pauses)
                               └── heard from, or something new is owed

A peer that is down costs one attempt, however much waits for it. Where another key than the
record's is met (`tls-pin`), its node is greeted again before anything else: a newer record there
may say that the key was replaced. Spec: 04 §retries, 07 §7.1.
"""

from node import limits
from node.machines import retry
from node.machines.rows import Peer
from node.units import Instant


def on_owed(row: Peer, at: Instant, now: Instant) -> Peer:
    """Something is due at `at`; if it is due now, a silent peer is tried afresh."""
    if at <= now:
        made: Peer = row.but(wake_at=_earlier(row.wake_at, now), silent=0)
        return made
    return on_caused(row, at)


def on_caused(row: Peer, at: Instant) -> Peer:
    """Something is due at `at` by what the peer did: that alone makes no silent one be called.

    Being heard from does, but seldom: see `on_heard`.
    """
    made: Peer = row.but(wake_at=_earlier(row.wake_at, at))
    return row if row.silent else made


def on_wanted(row: Peer, at: Instant) -> Peer:
    """A pickup is due at `at`."""
    made: Peer = row.but(pickup_at=_earlier(row.pickup_at, at), pickup_silent=0)
    return made


def on_offered(row: Peer, at: Instant) -> Peer:
    """The same, because the peer has told of mail; a silent one's clock stays as it is."""
    return row if row.pickup_silent else on_wanted(row, at)


def on_answered(row: Peer, next_at: Instant | None) -> Peer:
    """All that was due went out; `next_at` is when the next thing is due (None: nothing)."""
    made: Peer = row.but(
        wake_at=next_at,
        silent=0,
        silent_since=None,
        silent_why=None,
        # Reached where its record says: what somebody else said of a place is over.
        origin=row.origin if row.record is None else None,
    )
    return made


def on_silence(row: Peer, now: Instant, jitter: float, why: str) -> Peer:
    """The peer did not answer; `why` is the error's word."""
    made: Peer = _doubted(row, why).but(
        wake_at=retry.at(now, row.silent, jitter),
        silent=row.silent + 1,
        silent_since=row.silent_since or now,
        silent_why=why,
    )
    return made


def on_picked(row: Peer, next_at: Instant | None) -> Peer:
    """A round of pickups was answered."""
    made: Peer = row.but(pickup_at=next_at, pickup_silent=0)
    return made


def on_pickup_silence(row: Peer, now: Instant, jitter: float, why: str) -> Peer:
    """The peer's node did not serve; `why` is the error's word."""
    at = retry.at(now, row.pickup_silent, jitter)
    made: Peer = _doubted(row, why).but(pickup_at=at, pickup_silent=row.pickup_silent + 1)
    return made


def on_heard(row: Peer, now: Instant) -> tuple[Peer, bool]:
    """A verified object came from the peer.

    Returns:
        The row, and whether held and refused deliveries should be tried again now.
    """
    nudge = now - row.nudged_at >= limits.HEARD_PAUSE
    if nudge:
        row = row.but(nudged_at=now)
    # Or whoever names another's origin in its record could aim us at it, call for call.
    again = not 0 <= now - row.woken_at < limits.HEARD_AGAIN
    if again and (row.silent or row.pickup_silent):
        row = row.but(woken_at=now)
    if again and row.silent:
        row = row.but(silent=0, wake_at=now)
    if again and row.pickup_silent:
        row = row.but(pickup_silent=0, pickup_at=now)
    return row, nudge


def on_asked(row: Peer, lost: tuple[Instant, Instant] | None, now: Instant) -> Peer:
    """It is to be asked what waits there.

    Args:
        row: the peer.
        lost: what this node forgot when it was restored: said to whom it never asked before.
        now: our clock.
    """
    if row.poll_at is not None:
        return row
    made: Peer = row.but(poll_at=now, lost=row.lost or lost)
    return made


def on_peer_restored(
    row: Peer, theirs: tuple[Instant, Instant], ours: tuple[Instant, Instant] | None, now: Instant
) -> Peer:
    """The peer was restored, and may have forgotten that we were before: it is told again.

    Only who was restored earlier tells again; else two would tell each other for ever.

    Args:
        row: the peer.
        theirs: what it lost, from its poll.
        ours: what this node lost when it was restored itself.
        now: our clock.
    """
    if ours is None or ours[1] >= theirs[1] or now - ours[1] >= limits.GRACE or row.poll_at is None:
        return row
    return on_caused(row.but(lost=ours, poll_at=now), now)


def on_moved(row: Peer, now: Instant) -> Peer:
    """A newer record says where the peer is: whatever waits for it goes on at once."""
    made: Peer = row.but(silent=0, silent_since=None, wake_at=_earlier(row.wake_at, now))
    if row.pickup_at is not None:
        made = made.but(pickup_at=_earlier(row.pickup_at, now), pickup_silent=0)
    return made


def on_poll_answer(row: Peer, now_of_answer: Instant, next_poll: Instant) -> Peer:
    """The peer answered our poll; the next goes out at `next_poll`, if it is a contact.

    Who does not know us, or not yet, has not heard what we lost: it is said again.
    """
    again = None if row.name is None else next_poll
    lost = None if row.met or row.name is None else row.lost
    made: Peer = row.but(since=now_of_answer, poll_at=again, poll_step=0, lost=lost)
    return made


def on_poll_refused(row: Peer, now: Instant, jitter: float) -> Peer:
    """Refused for a clock, or for now: what the poll was to say is still to be said.

    But not to a key that was replaced, which never answers another way.
    """
    if row.heir is not None:
        over: Peer = row.but(poll_at=None, lost=None)
        return over
    at = retry.at(now, row.poll_step, jitter)
    made: Peer = row.but(poll_at=at, poll_step=row.poll_step + 1)
    return made


def on_not_introduced(row: Peer, why: str, now: Instant, jitter: float) -> Peer:
    """Our introduction was answered with a clock's refusal or nonsense: it is still owed."""
    at = retry.at(now, row.introduce_step, jitter)
    made: Peer = row.but(refused=why, introduce_at=at, introduce_step=row.introduce_step + 1)
    return made


def _doubted(row: Peer, why: str) -> Peer:
    made: Peer = row.but(greeted=()) if why == "tls-pin" else row
    return made


def _earlier(a: Instant | None, b: Instant) -> Instant:
    return b if a is None else min(a, b)
