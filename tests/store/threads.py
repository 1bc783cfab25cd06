"""Three ways to be `ports.Threads`."""

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


class InlineThreads:
    """At once, in the event loop: for engines that never wait."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()


class RealThreads:
    """As the node does."""

    async def run(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work)


class SteppedThreads:
    """Each piece of work waits until the test lets it go on."""

    def __init__(self) -> None:
        self.waiting = 0
        self._go = trio.Semaphore(0)

    async def run(self, work: Callable[[], T]) -> T:
        self.waiting += 1
        await self._go.acquire()
        self.waiting -= 1
        return work()

    def step(self) -> None:
        self._go.release()
