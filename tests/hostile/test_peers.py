"""What a contact can do with right keys and right forms: how much it costs us, and others."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from node.encoding import car, names
from node.objects import answer as answers
from node.objects.record import Endpoint
from node.ports import CARV1, Response
from node.store import keyspace
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


def calls(machine: Machine, to: str) -> int:
    """How often a machine called a place."""
    return sum(1 for source, at, _ in machine.net.calls if (source, at) == (machine.origin, to))


async def test_pickup_goes_where_the_record_says(autojump_clock: object) -> None:
    """An item that names somebody else's node, or one inside, makes nobody call there."""
    async with world() as w:
        anna, eve, victim = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "victim", 2)
        await eve.befriend(anna)
        for number, origin in enumerate((victim.origin, "127.0.0.1:22", "10.0.0.1:443")):
            letter = eve.letter(b"Subject: %d\r\n\r\nhello\r\n" % number, word=str(number))
            item = eve.item(anna, letter, word=str(number), size=21, origin=origin)
            assert (await eve.notify(anna, item))[0].state == "accepted"
            await trio.sleep(120)
            assert calls(anna, origin) == 0
        assert len(anna.inbox()) == 3
        assert not victim.heard


@pytest.mark.parametrize("places", [1, 4])
async def test_nobody_is_called_because_somebody_polls(autojump_clock: object, places: int) -> None:
    """A record that names a third party, and a poll every second: who is called, how often?"""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        away = [f"127.0.7.{number + 1}:4625" for number in range(places)]
        moved = eve.record(seq=2, nodes=tuple(Endpoint(origin=each) for each in away))
        await eve.post(anna, f"/v1/records/{names.z(eve.key)}", moved, "PUT")
        await anna.send([eve.key], b"hello")
        await trio.sleep(60)
        before = sum(calls(anna, each) for each in away)
        for _ in range(300):
            await eve.poll(anna)
            await trio.sleep(1)
        made = sum(calls(anna, each) for each in away) - before
        assert made <= 5 * 3 + 3, made


async def polls(eve: Puppet, anna: Machine, link: str, number: int) -> None:
    await eve.poll(anna, lost=(0, eve.now()))


async def writes(eve: Puppet, anna: Machine, link: str, number: int) -> None:
    text = b"Subject: %03d\r\n\r\n" % number
    letter = eve.letter(text, word=str(number))
    await eve.notify(anna, eve.item(anna, letter, word=str(number), size=len(text)))


async def comes_again(eve: Puppet, anna: Machine, link: str, number: int) -> None:
    await eve.introduce(anna, link)


@pytest.mark.parametrize("reached", [False, True])
@pytest.mark.parametrize("deed", [polls, writes, comes_again])
async def test_nobody_is_called_because_of_what_somebody_does(
    autojump_clock: object, deed: Callable[..., Awaitable[None]], reached: bool
) -> None:
    """Every second; `reached`: at a second place of its record it answers."""
    async with world() as w:
        anna, eve, victim = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "victim", 2)
        link = await anna.invite()
        told = answers.decode((await eve.introduce(anna, link)).body)
        assert told.introduction is not None
        eve.capabilities[key_of(anna)] = told.introduction.claim.capability
        await trio.sleep(60)
        places = (victim.origin, eve.origin)[: 1 + reached]
        moved = eve.record(seq=2, nodes=tuple(Endpoint(origin=each) for each in places))
        eve.says[f"/v1/owners/{names.z(eve.key)}"] = Response(status=200, body=moved)
        await eve.post(anna, f"/v1/records/{names.z(eve.key)}", moved, "PUT")
        await trio.sleep(60)
        before = calls(anna, victim.origin)
        for number in range(300):
            await deed(eve, anna, link, number)
            await trio.sleep(1)
        # Whoever answers in the second place is looked for in the first one again after each pause.
        most = 300 // 4 if reached else 5 * 3 + 3
        assert calls(anna, victim.origin) - before <= most


async def test_what_is_lost_again_and_again_costs_once(autojump_clock: object) -> None:
    """A poll that says it lost everything, a thousand times: rows are written once for it."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        sent = [await anna.send([eve.key], b"%d" % number) for number in range(20)]
        await until(lambda: all(anna.state(each, eve.key) == "notified" for each in sent))
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), sent))
        await trio.sleep(60)
        start = eve.now()
        await eve.poll(anna, since=eve.now(), lost=(0, start))
        assert {anna.state(each, eve.key) for each in sent} == {"notified"}
        account = anna.on.core.db.read(lambda tx: tx.accounts.get(key_of(anna)))
        for _ in range(50):
            await trio.sleep(1)
            await eve.poll(anna, since=eve.now(), lost=(0, start))
        after = anna.on.core.db.read(lambda tx: tx.accounts.get(key_of(anna)))
        assert account is not None
        assert after is not None
        assert after.stamp == account.stamp


async def test_blocks_that_nobody_asked_for_are_left(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        letter, other = eve.letter(), eve.letter(b"Subject: x\r\n\r\n", word="2")
        both = [(each, eve.blocks[each]) for each in (other, letter)]
        eve.says["/v1/blocks"] = Response(status=200, body=car.write(both), content_type=CARV1)
        assert (await eve.notify(anna, eve.item(anna, letter)))[0].state == "accepted"
        await until(lambda: bool(anna.inbox()), 600)
        await anna.flushed()
        assert anna.disk.get(b"B\0" + other) is None
        assert anna.disk.get(b"B\0" + letter) is not None
        assert keyspace.BLOCKS.letter == b"B"


async def test_a_spent_invite_fills_no_log(autojump_clock: object) -> None:
    """Who has a link that was passed on can use it as often as it likes."""
    async with world() as w:
        anna, eve, mallory = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "mallory", 2)
        link = await anna.invite()
        await eve.introduce(anna, link)
        for _ in range(200):
            await trio.sleep(1)
            await mallory.introduce(anna, link)
        said = [line for line in anna.notes if line.startswith("invite-again")]
        assert 1 <= len(said) <= 10
