"""When to try again.

One schedule for all that is owed to a peer (notifications, receipts, retractions,
introductions, pickups): 5 s, 30 s, 2, 7.5, 15, 30 min, 1, 2, 4, 8 h, then daily, each
moved by up to a fifth. Spec: 04 §retries.
"""

from node import limits
from node.units import Instant, Millis


def moved(pause: int, jitter: float) -> Millis:
    """`pause` moved by `jitter` (a number in [-1, 1)) times a fifth."""
    return Millis(int(pause * (1 + limits.JITTER * jitter)))


def pause(step: int, jitter: float) -> Millis:
    """The pause after attempt `step` (from 0)."""
    return moved(limits.RETRIES[min(step, len(limits.RETRIES) - 1)], jitter)


def at(now: Instant, step: int, jitter: float) -> Instant:
    """The next attempt after attempt `step` at `now`."""
    return Instant(now + pause(step, jitter))
