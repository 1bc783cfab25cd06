"""A wall clock that stepped is not believed for a day: nothing expires, nothing is swept.

Spec: 04 §clocks.
"""

from dataclasses import dataclass

from node import limits
from node.units import Instant, Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockGuard:
    """What is remembered of both clocks.

    Attributes:
        wall, steady: both clocks at the last look.
        held_until: on the steady clock, until when nothing expires; None: believed.
    """

    wall: Instant
    steady: Millis
    held_until: Millis | None = None


def on_start(now: Instant, steady: Millis, last: Instant) -> ClockGuard:
    """The node starts; `last` is the last stored wall clock (0: a new home)."""
    stepped = last > 0 and abs(now - last) > limits.CLOCK_STEP
    held = Millis(steady + limits.CLOCK_HOLD) if stepped else None
    return ClockGuard(wall=now, steady=steady, held_until=held)


def stepped(guard: ClockGuard, now: Instant, steady: Millis) -> int:
    """Milliseconds by which the wall clock stepped since the last look; 0: it did not."""
    drift = (now - guard.wall) - (steady - guard.steady)
    return drift if abs(drift) > limits.CLOCK_STEP else 0


def on_look(guard: ClockGuard, now: Instant, steady: Millis) -> ClockGuard:
    """Both clocks were read."""
    held = guard.held_until
    if stepped(guard, now, steady):
        held = Millis(steady + limits.CLOCK_HOLD)
    elif held is not None and steady >= held:
        held = None
    return ClockGuard(wall=now, steady=steady, held_until=held)


def believed(guard: ClockGuard) -> bool:
    """Whether things may expire."""
    return guard.held_until is None
