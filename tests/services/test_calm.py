"""Calm: strangers stand back for a contact's letter, and are never shut out."""

import trio
from trio.testing import wait_all_tasks_blocked

from node.services.calm import PATIENCE, WINDOW, Calm


async def waited(calm: Calm) -> float:
    began = trio.current_time()
    await calm.wait()
    return trio.current_time() - began


async def test_nobody_waits_where_nothing_is_under_way(autojump_clock: object) -> None:
    calm = Calm()
    assert await waited(calm) == 0
    calm.stir()
    await trio.sleep(WINDOW)
    assert await waited(calm) == 0


async def test_a_stranger_waits_for_a_contacts_letter(autojump_clock: object) -> None:
    calm = Calm()
    calm.stir()
    await trio.sleep(WINDOW / 2)
    assert abs(await waited(calm) - WINDOW / 2) < 1e-6


async def test_a_contact_that_never_pauses_shuts_nobody_out(autojump_clock: object) -> None:
    calm = Calm()

    async def stirring() -> None:
        while True:
            calm.stir()
            await trio.sleep(WINDOW / 10)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stirring)
        await wait_all_tasks_blocked()
        for _ in range(20):
            assert await waited(calm) <= PATIENCE + 1e-6
        nursery.cancel_scope.cancel()
