"""A node that nobody can call: it receives by asking, and what it can't do is said."""

import msgspec
import pytest
import trio

from node.encoding import origin
from node.errors import Unreachable
from node.machines.rows import Peer
from node.services.greet import Greeter
from node.services.views import Views
from node.units import MINUTE, Key
from tests.fakes.world import Machine, World, until, world
from tests.services.test_delivery import key_of

INTERVAL = 6 * MINUTE // 1000
"""Seconds: five minutes and their jitter."""


async def behind(w: World) -> tuple[Machine, Machine]:
    """Anna, whom nobody can call, and ben, whose invite she took."""
    anna, ben = (
        await w.add("anna", inbound=False, sweeps=3600, looks=3600),
        await w.add("ben", sweeps=3600, looks=3600),
    )
    w.net.weather.behind.add(anna.origin)
    await anna.join(await ben.invite())
    await until(lambda: (row := anna.peer(key_of(ben))) is not None and row.met)
    return anna, ben


async def test_mail_arrives_by_asking(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await behind(w)
        await trio.sleep(8 * 3600)
        to = key_of(anna)
        for number in range(3):
            message = await ben.send([to], b"x" * (number * 100_000 + 10))
            began = trio.current_time()
            await until(lambda m=message: ben.state(m, to) == "confirmed")  # type: ignore[misc]
            assert trio.current_time() - began < INTERVAL
        assert len(anna.inbox()) == 3


async def test_what_was_refused_once_is_told_again(autojump_clock: object) -> None:
    """Nobody hears the answer to an item that came by asking, so nobody tells it again unasked."""
    async with world() as w:
        anna, ben = await behind(w)
        small = msgspec.structs.replace(anna.config.capacity, message="1MiB")
        large = anna.config
        await w.off(anna)
        anna.config = msgspec.structs.replace(large, capacity=small)
        await w.back(anna)
        to = key_of(anna)
        too_large = await ben.send([to], b"x" * 2_000_000)
        after = await ben.send([to], b"after it")
        await until(lambda: ben.state(after, to) == "confirmed")
        assert len(anna.inbox()) == 1
        await w.off(anna)
        anna.config = large
        await w.back(anna)
        await until(lambda: ben.state(too_large, to) == "confirmed")


async def test_a_contact_that_was_away_is_asked_soon_again(autojump_clock: object) -> None:
    """Nobody will say that it is back: a longer and longer pause would be mail that lies about."""
    async with world() as w:
        anna, ben = await behind(w)
        to = key_of(anna)
        await w.off(ben)
        await trio.sleep(20 * 3600)
        await w.back(ben)
        message = await ben.send([to], b"back again")
        began = trio.current_time()
        await until(lambda: ben.state(message, to) == "confirmed")
        assert trio.current_time() - began < 2 * INTERVAL


async def test_what_it_sends_is_told_as_what_it_is(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await behind(w)
        to = key_of(ben)
        message = await anna.send([to], b"come and get it")
        await until(lambda: anna.state(message, to) == "notified")
        core = anna.on.core
        row = core.db.read(lambda tx: tx.sent.get(anna.owner().owner, message))
        assert row is not None

        async def reason() -> object:
            views = Views(core, 0)
            return (await views.sent(row, attempts=False))["deliveries"][0]["reason"]

        assert await reason() == "not-called"
        await trio.sleep(8 * 3600)
        assert anna.state(message, to) == "notified"
        assert ben.inbox() == []
        # The router lets somebody in at last: nothing was lost.
        w.net.weather.behind.clear()
        await until(lambda: anna.state(message, to) == "confirmed", 3 * 24 * 3600)
        assert await reason() is None


async def test_others_are_asked_as_seldom_as_ever(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna", sweeps=3600, looks=3600)
        ben = await w.add("ben", sweeps=3600, looks=3600)
        await w.friends(anna, ben)
        await trio.sleep(3600)
        w.net.calls.clear()
        await trio.sleep(8 * 3600)
        polls = [call for call in w.net.calls if call[2] == "/v1/poll"]
        assert len(polls) <= 2 * 2


async def test_somebody_of_whom_nobody_has_told_where(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        greeter, owner = Greeter(anna.on.core, anna.on.calls), anna.owner()
        with pytest.raises(Unreachable) as caught:
            await greeter.meet(owner, Peer(owner=owner.owner, did=Key(bytes(32))))
        assert caught.value.reason == "no-origin"


def test_nobody_calls_into_a_smaller_world() -> None:
    own, near, wide = "127.0.0.1:4625", "10.0.0.1:4625", "anna.example:443"
    for here in (own, near, wide):
        for there in (own, near, wide):
            expected = (own, near, wide).index(here) >= (own, near, wide).index(there)
            assert origin.reaches(here, there) is expected
