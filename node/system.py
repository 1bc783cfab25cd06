"""The real clock, randomness and threads: the only file that reads them."""

import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import trio

from node.units import Instant, Millis

T = TypeVar("T")


class SystemClock:
    """`ports.Clock`."""

    def now(self) -> Instant:
        """The wall clock."""
        return Instant(time.time_ns() // 1_000_000)

    def steady(self) -> Millis:
        """The monotonic clock, which goes on while the machine sleeps where the system can."""
        return Millis(time.clock_gettime_ns(_STEADY) // 1_000_000)

    def monotonic(self) -> int:
        """Microseconds of CLOCK_MONOTONIC, which systemd compares with its own."""
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


# A laptop that slept for two days has not had its clock set: CLOCK_BOOTTIME counts the sleep.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemRandomness:
    """`ports.Randomness`."""

    def bytes(self, count: int) -> bytes:
        """Unpredictable bytes from the system."""
        return secrets.token_bytes(count)

    def fraction(self) -> float:
        """A number in [-1, 1)."""
        return secrets.randbits(53) / 2**52 - 1


class SystemThreads:
    """`ports.Threads`: for work that waits for the disk, never for Python loops."""

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work()` in a worker thread."""
        return await trio.to_thread.run_sync(work)
