"""The real clock, randomness and threads: the only file that reads them."""

import os
import resource
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import trio

from node.ports import Process
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


SWITCH = 0.0005
"""Seconds after which a busy event loop lets a thread go on that comes back from the disk. Python's
own 5 ms are waited for several times by each message that is stored while strangers knock."""


class SystemThreads:
    """`ports.Threads`: for work that waits for the disk, or nearly all of which is libsodium's.

    Never for other loops: Python gives them turns of five milliseconds.
    """

    def __init__(self) -> None:
        sys.setswitchinterval(SWITCH)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work()` in a worker thread."""
        return await trio.to_thread.run_sync(work)


def room(folder: Path) -> int:
    """Bytes that are free on the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class SystemProcess:
    """What the system says of this process.

    Args:
        folder: on the disk that is meant.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self) -> Process:
        """The facts of this moment: a handful of system calls."""
        status, disk = _status(), os.statvfs(self._folder)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        held = status.get("VmRSS")
        threads = status.get("Threads")
        return Process(
            memory=None if held is None else int(held.split()[0]) * 1024,
            cpu=usage.ru_utime + usage.ru_stime,
            threads=None if threads is None else int(threads),
            descriptors=_descriptors(),
            descriptors_most=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            disk_free=disk.f_bavail * disk.f_frsize,
            disk_size=disk.f_blocks * disk.f_frsize,
        )


def _status() -> dict[str, str]:
    """Linux alone tells: proc_pid_status(5)."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found


def _descriptors() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd")) - 1  # one is that of the listing itself
    except OSError:
        return None


def descriptors(wanted: int) -> int:
    """How many files and connections this process may have open, now that it asked for `wanted`.

    Never fewer than before. What a service gets by itself (1,024) was meant for programs that
    know no other way to wait than `select`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    return wanted if soft == resource.RLIM_INFINITY else soft
