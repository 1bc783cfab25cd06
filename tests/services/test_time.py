"""Clocks that lie: nothing is deleted early, and mail flows again when they are right."""

from contextlib import suppress

import pytest
import trio

from node.errors import StoreFailed
from node.ports import Request, Response
from node.services.mailbox import Mailbox
from node.units import DAY
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.shelves import added, letter, published
from tests.services.test_behind import behind
from tests.services.test_callback import slots, wrote
from tests.services.test_delivery import key_of
from tests.services.test_follow import follow, items, url

YEAR = 365 * DAY


async def test_a_year_forward_expires_nothing_for_a_day(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", sent="drop"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await trio.sleep(3600)
        anna.clock.step(YEAR)
        await trio.sleep(23 * 3600)
        assert anna.state(message, eve.key) == "notified"
        anna.clock.step(-YEAR)
        await trio.sleep(23 * 3600)
        assert anna.state(message, eve.key) == "notified"


async def test_a_restart_does_not_end_the_doubt(autojump_clock: object) -> None:
    """The clock jumped, the node noticed, and was restarted: still nothing expires."""
    async with world() as w:
        anna, eve = await w.add("anna", sent="drop"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await trio.sleep(3600)
        anna.clock.step(YEAR)
        for _ in range(5):
            await trio.sleep(600)
            await w.off(anna)
            await w.back(anna)
        await trio.sleep(600)
        assert anna.state(message, eve.key) == "notified"
        # A clock that stays is believed in the end.
        await trio.sleep(25 * 3600)
        assert anna.state(message, eve.key) == "expired"


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("step", [5 * DAY, YEAR])
async def test_mail_flows_after_the_clock_was_put_back(
    autojump_clock: object, step: int, restart: bool
) -> None:
    """While it was wrong everything was put off into a future that does not come."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await trio.sleep(60)
        await w.off(ben)
        first = await anna.send([to], b"before")
        anna.clock.step(step)
        second = await anna.send([to], b"meanwhile")
        await trio.sleep(12 * 3600)
        if restart:
            await w.off(anna)
        anna.clock.step(-step)
        if restart:
            await w.back(anna)
        else:
            await trio.sleep(120)
        await w.back(ben)
        await until(lambda: anna.state(first, to) == "confirmed", 2 * 86_400)
        # Mail stamped in the future is not refused for ever.
        await until(lambda: anna.state(second, to) == "confirmed", 2 * 86_400)
        third = await anna.send([to], b"after")
        await until(lambda: anna.state(third, to) == "confirmed", 60)
        await trio.sleep(86_400)
        w.net.calls.clear()
        await trio.sleep(86_400)
        assert (anna.origin, ben.origin, "/v1/poll") in w.net.calls
        assert (ben.origin, anna.origin, "/v1/poll") in w.net.calls


async def test_a_clock_that_was_wrong_before_a_restart_puts_nothing_off(
    autojump_clock: object,
) -> None:
    """The recipient never asks: our own clock must bring the row back."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        del w.net.machines[eve.origin]
        message = await anna.send([eve.key], b"hello")
        anna.clock.step(20 * DAY)
        await trio.sleep(3600)
        await w.off(anna)
        anna.clock.step(-20 * DAY)
        await w.back(anna)
        w.net.machines[eve.origin] = eve  # type: ignore[assignment]
        await until(lambda: anna.state(message, eve.key) == "notified", 2 * 86_400)


@pytest.mark.parametrize("step", [5 * DAY, YEAR])
async def test_polls_are_answered_after_both_clocks_were_put_back(
    autojump_clock: object, step: int
) -> None:
    """Two nodes of one machine: the last poll is of a time that does not come for long."""
    async with world() as w:
        anna, ben = await behind(w)
        for each in (anna, ben):
            each.clock.step(step)
        await trio.sleep(3600)
        for each in (anna, ben):
            each.clock.step(-step)
        await trio.sleep(2 * 3600)
        message = await ben.send([key_of(anna)], b"hello")
        await until(lambda: ben.state(message, key_of(anna)) == "confirmed")


async def test_archives_are_followed_after_the_clock_was_put_back(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(1)])
        ben.clock.step(YEAR)
        await follow(ben, url(anna, "cats"))
        await until(lambda: len(items(ben, "cats")) == 1)
        ben.clock.step(-YEAR)
        await added(anna, "cats", [letter(2)])
        await until(lambda: len(items(ben, "cats")) == 2)


async def test_strangers_are_shown_after_the_clock_was_put_back(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        anna.clock.step(YEAR)
        await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await until(lambda: bool(slots(anna)) and slots(anna)[0].answered > 0)
        assert not slots(anna)[0].shown
        anna.clock.step(-YEAR)
        await until(lambda: slots(anna)[0].shown > 0, 3 * 3600)


async def test_a_clock_that_was_wrong_between_two_sweeps_puts_nothing_off(
    autojump_clock: object,
) -> None:
    """No sweep saw it, but what failed meanwhile was put off by it."""
    async with world() as w:
        anna, eve = await w.add("anna", sweeps=3600.0), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        del w.net.machines[eve.origin]
        message = await anna.send([eve.key], b"hello")
        anna.clock.step(YEAR)
        await trio.sleep(60)
        anna.clock.step(-YEAR)
        w.net.machines[eve.origin] = eve  # type: ignore[assignment]
        await until(lambda: anna.state(message, eve.key) == "notified", 2 * 86_400)


async def test_waiting_mail_expires_at_the_recipient(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1KiB")
        await w.friends(anna, ben)
        await anna.send([key_of(ben)], b"x" * 2_000, keep=3 * DAY)
        await until(lambda: [state for _, _, state in ben.inbox()] == ["waiting"], 60)
        await trio.sleep(3 * 86_400 + 120)
        assert [state for _, _, state in ben.inbox()] == ["failed"]
        await Mailbox(ben.on.core).delete(ben.owner(), ["1"])
        assert ben.inbox() == []


async def test_a_full_disk_ends_nothing(autojump_clock: object) -> None:
    """Writes fail for an hour; mail, receipts and sweeping go on afterwards."""
    async with world() as w:
        anna, ben = await w.add("anna", sent="drop"), await w.add("ben", sent="drop")
        await w.friends(anna, ben)
        sent = []
        for number in range(60):
            for machine in (anna, ben):
                if number % 3:
                    machine.kv.fail_next(after=number % 2 == 0)
            with suppress(StoreFailed):  # then it was not accepted
                sent.append(await anna.send([key_of(ben)], b"x" * 60_000))
            await trio.sleep(61)
        await trio.sleep(2 * 86_400)
        assert {anna.state(m, key_of(ben)) for m in sent} == {"confirmed"}
        await trio.sleep(15 * 86_400)
        assert await anna.complaints() == []


async def test_mail_written_in_the_wrong_year_arrives(autojump_clock: object) -> None:
    """Its `keep_until` lies further ahead than a notification may say."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await w.off(ben)
        anna.clock.step(2 * YEAR)
        message = await anna.send([to], b"hello")
        await trio.sleep(600)
        anna.clock.step(-2 * YEAR)
        await w.back(ben)
        await until(lambda: anna.state(message, to) == "confirmed", 2 * 86_400)


@pytest.mark.parametrize(
    ("steps", "moved"),
    [
        ([40], (40, 0, 0)),
        ([40, 3], (43, 3, 0)),
        ([-40, 40], (0, 40, 0)),
        ([-40, 60], (20, 60, 0)),
        ([400, -400], (0, 0, 0)),
        ([-40], (0, 0, 0)),
    ],
)
async def test_mail_is_kept_as_long_as_was_said_by_a_clock_that_was_behind(
    autojump_clock: object, steps: list[int], moved: tuple[int, int, int]
) -> None:
    """A board without a clock of its own shows the day it was switched off, until it has asked."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await trio.sleep(60)
        await w.off(ben)
        sent = [await anna.send([to], b"before", keep=10 * DAY)]
        await trio.sleep(3600)
        for step in steps:
            anna.clock.step(step * DAY)
            # Between the step and the next look.
            sent.append(await anna.send([to], b"behind it", keep=10 * DAY))
            await trio.sleep(3600)
        letters = (sent[0], sent[1], sent[-1])
        said = [until_when(anna, each) for each in letters]
        await trio.sleep(22 * 3600)
        assert [until_when(anna, each) for each in letters] == said  # it is in doubt
        await trio.sleep(4 * 3600)
        later = [until_when(anna, each) for each in letters]
        days = [(b - a) / DAY for a, b in zip(said, later, strict=True)]
        assert [round(each, 2) for each in days] == list(moved)
        ben.clock.step(sum(steps) * DAY)
        await w.back(ben)
        open_ = [each for each in letters if until_when(anna, each) > anna.now()]
        assert sent[-1] in open_
        await until(lambda: {anna.state(each, to) for each in open_} == {"confirmed"}, 86_400)


async def test_mail_of_a_life_before_is_kept_as_it_was_said(autojump_clock: object) -> None:
    """Whether its clock was right nobody knows."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await w.off(ben)
        message = await anna.send([to], b"hello", keep=10 * DAY)
        said = until_when(anna, message)
        await w.off(anna)
        await w.back(anna)
        await trio.sleep(3600)
        anna.clock.step(40 * DAY)
        await trio.sleep(26 * 3600)
        assert (until_when(anna, message), anna.state(message, to)) == (said, "expired")


def until_when(machine: Machine, message: bytes) -> int:
    """Until when its node keeps a message, for its author and for its addressee."""
    core, me = machine.on.core, key_of(machine)
    (row,) = core.db.read(lambda tx: list(tx.deliveries.scan(me, message)))
    sent = core.db.read(lambda tx: tx.sent.get(me, message))
    assert sent is not None
    assert sent.keep_until == row.keep_until
    return row.keep_until


async def test_what_expired_while_the_clock_is_in_doubt_rests(autojump_clock: object) -> None:
    """It does not end, for the clock may be wrong; and it is not told, for it may be right."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        w.net.weather.cut.add((anna.origin, eve.origin))
        message = await anna.send([eve.key], b"hello", keep=3 * DAY)
        await trio.sleep(60)
        w.net.weather.cut.clear()

        def look(_source: str, _to: str, said: Request, _response: Response) -> None:
            assert said.path != "/v1/notifications", "what expired was told"

        w.net.watchers.append(look)
        anna.clock.step(10 * DAY)
        await trio.sleep(4 * 3600)
        row = anna.on.core.db.read(lambda tx: next(iter(tx.deliveries.scan())))
        assert (row.state, row.keep_until < anna.now()) == ("stored", True)
        anna.clock.step(-10 * DAY)
        w.net.watchers.remove(look)
        await until(lambda: anna.state(message, eve.key) == "notified", 86_400)
