"""Requests begin one in a round; who goes first waits for no stranger; who gives up hands on."""

import trio
from trio.testing import wait_all_tasks_blocked

from node.server.turns import Turns


async def test_one_begins_in_a_round_of_the_loop() -> None:
    turns, rounds, begun = Turns(), 0, []

    async def counting() -> None:
        nonlocal rounds
        while True:
            await trio.lowlevel.checkpoint()
            rounds += 1

    async def ask() -> None:
        await turns.take(first=False)
        begun.append(rounds)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(counting)
        async with trio.open_nursery() as asking:
            for _ in range(50):
                asking.start_soon(ask)
        nursery.cancel_scope.cancel()
    assert len(begun) == 50
    # The counter itself runs before or after a request in one round: so each number twice at most.
    assert all(begun[i + 2] > begun[i] for i in range(48))


async def test_who_goes_first_waits_for_no_stranger() -> None:
    turns, order = Turns(), []

    async def ask(who: str) -> None:
        await turns.take(first=who == "contact")
        order.append(who)

    async with trio.open_nursery() as nursery:
        # All of them ask in one round; one has the baton then, and all the others wait.
        for who in (*(f"stranger {n}" for n in range(40)), "contact"):
            nursery.start_soon(ask, who)
    assert len(order) == 41
    assert order.index("contact") <= 1


async def test_strangers_wait_for_calm_and_who_goes_first_does_not() -> None:
    calm, order = trio.Event(), []
    turns = Turns(calm.wait)

    async def ask(who: str) -> None:
        await turns.take(first=who == "contact")
        order.append(who)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "stranger")
        await wait_all_tasks_blocked()
        nursery.start_soon(ask, "contact")
        await wait_all_tasks_blocked()
        assert order == ["contact"]
        calm.set()
    assert order == ["contact", "stranger"]


async def test_whoever_gives_up_hands_on() -> None:
    turns, begun = Turns(), []
    with trio.CancelScope() as scope:
        scope.cancel()
        await turns.take(first=False)
    assert scope.cancelled_caught

    async def ask(scope: trio.CancelScope) -> None:
        with scope:
            await turns.take(first=False)
            begun.append(scope)

    scopes = [trio.CancelScope() for _ in range(9)]
    async with trio.open_nursery() as nursery:
        for each in scopes:
            nursery.start_soon(ask, each)
        for each in scopes[::2]:
            each.cancel()
        await wait_all_tasks_blocked()
    assert set(begun) >= set(scopes[1::2])
    await turns.take(first=False)
