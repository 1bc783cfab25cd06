"""Repeatable trio: the only place that touches its two private switches.

trio shuffles the tasks that are ready. With both switches one seed gives one order; pinned by
`test_sim.py`'s canary, which fails when a new trio moves them.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio
import trio._core._run as internals
import trio.testing

T = TypeVar("T")


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Tasks run in an order that follows from `seed`."""
    switch, state = internals._ALLOW_DETERMINISTIC_SCHEDULING, internals._r.getstate()
    internals._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    internals._r.seed(seed)
    try:
        yield
    finally:
        internals._ALLOW_DETERMINISTIC_SCHEDULING = switch  # type: ignore[misc]
        internals._r.setstate(state)


def run(work: Callable[[], Awaitable[T]], seed: int) -> T:
    """The result of `work()` in virtual time, always the same for one seed."""
    with deterministic(seed):
        return trio.run(work, clock=trio.testing.MockClock(autojump_threshold=0))
