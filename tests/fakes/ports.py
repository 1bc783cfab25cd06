"""Ports for tests: virtual time, seeded randomness, work done in line."""

import random
from collections.abc import Callable
from typing import TypeVar

import trio

from node.ports import Note
from node.units import Instant, Millis

T = TypeVar("T")
START = Instant(1_790_000_000_000)


class FakeClock:
    """The wall clock follows trio's, so that a MockClock moves it; `step` moves it alone."""

    def __init__(self, start: int = START) -> None:
        self._start = start
        self._born: float | None = None

    def steady(self) -> Millis:
        if self._born is None:
            self._born = trio.current_time()
        return Millis(int((trio.current_time() - self._born) * 1000))

    def now(self) -> Instant:
        return Instant(self._start + self.steady())

    def step(self, millis: int) -> None:
        self._start += millis


class FakeRandomness:
    """The same seed gives the same bytes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def fraction(self) -> float:
        return self._random.uniform(-1, 1)


class InlineThreads:
    """Blocking work done in line: virtual time can't run away from it."""

    async def run(self, work: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        return work()


def noted(lines: list[str]) -> Note:
    """A `ports.Note` that keeps what it is told as lines."""

    def note(event: str, /, **facts: object) -> None:
        lines.append(" ".join([event, *(f"{key}={value}" for key, value in facts.items())]))

    return note
