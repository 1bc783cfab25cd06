"""When a followed archive is asked, and what its answers mean for that.

    due ─▶ asked ─┬─ new, or nothing new ─▶ in a quarter of an hour or a little more, or as late as
                  │                         it wants
                  ├─ no answer, or nonsense ─▶ twice as late each time, daily in the end
                  └─ two heads that can't be of one log ─▶ never again

Decides times. Leaves what was verified to `node.services.follow`. Spec: 12.
"""

import re

from node import limits
from node.machines import retry
from node.machines.rows import Archive
from node.units import SECOND, Instant, Millis

_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,9})(?:$|[,\s])")


def lifetime(cache_control: str) -> Millis:
    """How long an answer says it stays good; 0 where it does not say."""
    found = _AGE.search(cache_control.lower())
    return Millis(int(found[1]) * SECOND if found else 0)


def on_polled(row: Archive, now: Instant, jitter: float, kept: Millis) -> Archive:
    """It was asked, and what it says holds.

    Args:
        kept: how long its answer says it stays good: it is not asked sooner.
    """
    pause = min(max(limits.FOLLOW_EVERY, kept), limits.FOLLOW_LONGEST)
    made: Archive = row.but(
        poll_at=Instant(now + retry.moved(pause, abs(jitter))),  # later, never sooner than said
        failures=0,
        polled=now,
        verified=now,
        reason=None,
        turn=(row.turn + 1) % len(row.urls),
    )
    return made


def on_failed(row: Archive, now: Instant, jitter: float, why: str) -> Archive:
    """Nobody answered, or what was said does not hold."""
    pause = min(limits.FOLLOW_EVERY << min(row.failures, 10), limits.FOLLOW_LONGEST)
    made: Archive = row.but(
        poll_at=Instant(now + retry.moved(pause, abs(jitter))),
        failures=row.failures + 1,
        polled=now,
        reason=why,
        turn=(row.turn + 1) % len(row.urls),
    )
    return made


def on_fork(row: Archive, ours: bytes, theirs: bytes, why: str) -> Archive:
    """Two histories under one key: both heads are kept, and nothing more is asked or believed."""
    made: Archive = row.but(fork=(ours, theirs), reason=why, poll_at=None)
    return made
