"""Ports for tests: virtual time, seeded randomness, work done in line."""

import random
from collections.abc import Callable
from typing import TypeVar

import trio

from node.policy.iprev import Answers
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


class FakeResolver:
    """A DNS of dictionaries: `names` PTR, `hosts` A and AAAA; `broken`: names that fail so.

    Attributes:
        asked: every question, in order.
    """

    def __init__(self) -> None:
        self.hosts: dict[str, tuple[str, ...]] = {}
        self.reverse: dict[str, tuple[str, ...]] = {}
        self.broken: dict[str, str] = {}
        self.asked: list[str] = []

    async def addresses(self, host: str) -> Answers:
        return await self._answer(host, self.hosts)

    async def names(self, address: str) -> Answers:
        return await self._answer(address, self.reverse)

    async def _answer(self, name: str, table: dict[str, tuple[str, ...]]) -> Answers:
        self.asked.append(name)
        await trio.sleep(0.01)
        if name in self.broken:
            return Answers(state=self.broken[name])
        found = table.get(name, ())
        return Answers(values=found, state="ok" if found else "nothing")


def registrable(name: str) -> str | None:
    """The last two labels, where the last is a letter-only one that is delegated."""
    labels = name.split(".")
    known = labels[-1] in ("com", "org", "net", "example")
    return ".".join(labels[-2:]) if known and len(labels) > 1 else None


def noted(lines: list[str]) -> Note:
    """A `ports.Note` that keeps what it is told as lines."""

    def note(event: str, /, **facts: object) -> None:
        lines.append(" ".join([event, *(f"{key}={value}" for key, value in facts.items())]))

    return note
