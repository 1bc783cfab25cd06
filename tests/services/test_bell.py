"""The bell that wakes loops and watchers."""

import trio

from node.services.core import Bell


async def test_a_ring_before_the_wait_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    bell = Bell()
    bell.ring()
    began = trio.current_time()
    await bell.wait(30)
    assert trio.current_time() == began
    await bell.wait(30)
    assert trio.current_time() == began + 30


async def test_one_ring_wakes_all_who_wait(autojump_clock: trio.testing.MockClock) -> None:
    bell = Bell()
    woken: list[float] = []

    async def wait(pause: float) -> None:
        await bell.wait(pause)
        woken.append(trio.current_time())

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 1)  # runs out before the ring, and takes nothing away
        nursery.start_soon(wait, 30)
        nursery.start_soon(wait, 30)
        await trio.sleep(2)
        bell.ring()
    assert [at - began for at in woken] == [1, 2, 2]
