"""An owner that lost its home and has the phrase alone: the same person, at another place."""

import pytest

from node.encoding import names
from node.errors import Conflict, Malformed
from node.machines.rows import Peer
from node.objects import record
from node.objects.introduction import POLL
from node.services import meet, owners
from node.services.mailbox import Mailbox
from node.units import DAY
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


def address(machine: Machine) -> str:
    return f"{names.did(key_of(machine))}@{machine.origin}"


def row_of(machine: Machine, other: Machine) -> Peer:
    row = machine.peer(key_of(other))
    assert row is not None
    return row


async def lost(w: World, machine: Machine, days: int = 1) -> Machine:
    """The machine is gone; its owner begins again elsewhere, with the phrase."""
    await w.off(machine)
    for each in w.net.machines.values():
        if isinstance(each, Machine):
            each.clock.step(days * DAY)
    return await w.again(machine)


async def test_the_whole_drill(autojump_clock: object) -> None:
    """Found again by address; old mail comes again; new mail goes to the new place."""
    async with world() as w:
        anna, ben = await w.add("anna", sent="drop"), await w.add("ben")
        await w.friends(anna, ben)
        me = key_of(ben)
        sent = [await anna.send([me], b"x" * size) for size in (10, 30_000, 1_200_000)]
        await until(lambda: {anna.state(m, me) for m in sent} == {"confirmed"}, 600)
        await w.off(ben)
        waits = await anna.send([me], b"Subject: where are you\n\n")
        again = await lost(w, ben)
        assert key_of(again) == me
        assert again.origin != ben.origin
        assert again.owner().recovered is not None
        await again.join(address(anna))
        await until(lambda: row_of(again, anna).met, 600)
        there = row_of(anna, again)
        assert (there.name, there.met) == ("ben", True)
        assert record.decode(there.record or b"").claim.lists(again.origin)
        await until(lambda: len(again.inbox()) == 4, 600)
        await until(lambda: {anna.state(m, me) for m in [*sent, waits]} == {"confirmed"}, 600)
        new = await anna.send([me], b"Subject: welcome back\n\n")
        await until(lambda: anna.state(new, me) == "confirmed", 600)
        back = await again.send([key_of(anna)], b"Subject: thanks\n\n")
        await until(lambda: again.state(back, key_of(anna)) == "confirmed", 600)
        assert len(again.inbox()) == 5
        assert row_of(again, anna).lost is None


async def test_what_was_lost_is_said_once_it_is_known_who_asks(autojump_clock: object) -> None:
    """Anna has removed ben; his poll is a stranger's and changes nothing until she allows him."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        me = key_of(ben)
        sent = await anna.send([me], b"Subject: before\n\n")
        await until(lambda: anna.state(sent, me) == "confirmed", 60)
        row = row_of(anna, ben)
        await anna.on.core.db.transact(lambda tx: meet.remove(tx, row))
        again = await lost(w, ben)
        await again.join(address(anna))
        await until(lambda: row_of(again, anna).refused == "held", 600)
        assert again.inbox() == []
        assert row_of(again, anna).lost is not None
        await Mailbox(anna.on.core).allow_key(anna.owner(), me, None)
        await until(lambda: len(again.inbox()) == 1, 2 * DAY / 1000)
        assert row_of(again, anna).lost is None


async def test_after_the_grace_nothing_comes_again(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna", sent="drop"), await w.add("ben")
        await w.friends(anna, ben)
        me = key_of(ben)
        sent = await anna.send([me], b"Subject: long ago\n\n")
        await until(lambda: anna.state(sent, me) == "confirmed", 60)
        again = await lost(w, ben, days=16)
        await again.join(address(anna))
        await until(lambda: (row := row_of(again, anna)).met and row.lost is None, 600)
        assert again.inbox() == []
        assert anna.state(sent, me) == "confirmed"


async def test_a_record_from_before_that_counts_higher_is_beaten(autojump_clock: object) -> None:
    """The old home's clock ran ahead: its record has a `seq` that only a contact still knows."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        ben.clock.step(300 * DAY)
        await w.off(ben)
        w.move(ben, "127.0.9.9:4625")
        await w.back(ben)
        await until(lambda: row_of(anna, ben).record == ben.owner().record, 600)
        old = record.decode(row_of(anna, ben).record or b"").claim
        ben.clock.step(-300 * DAY)
        again = await lost(w, ben)
        assert owners.record_of(again.owner()).claim.seq < old.seq
        await again.join(address(anna))
        await until(lambda: row_of(again, anna).met, 600)
        known = record.decode(row_of(anna, again).record or b"").claim
        assert known.seq > old.seq
        assert known.lists(again.origin)
        assert again.owner().record == row_of(anna, again).record
        message = await anna.send([key_of(again)], b"Subject: there you are\n\n")
        await until(lambda: anna.state(message, key_of(again)) == "confirmed", 600)


async def test_a_record_that_nothing_outnumbers(autojump_clock: object) -> None:
    """Who has the signing key can take the last number there is; we stay as we are."""
    async with world() as w:
        ben = await w.add("ben")
        mine = ben.owner()
        last = owners.renewed(mine, ben.now(), above=2**53 - 2)
        assert owners.record_of(last).claim.seq == 2**53 - 1
        assert owners.outdone(mine, last.record, ben.now()) == mine
        higher = owners.renewed(mine, ben.now(), above=2**53 - 3)
        beaten = owners.outdone(mine, higher.record, ben.now())
        assert owners.record_of(beaten).claim.seq == 2**53 - 1
        lower = owners.renewed(mine, ben.now())
        assert owners.outdone(lower, mine.record, ben.now()) == lower


async def test_polls_of_a_recovered_owner_say_since_when(autojump_clock: object) -> None:
    async with world() as w:
        ben = await w.add("ben")
        again = await lost(w, ben)
        eve = Puppet(w, "eve")
        await eve.befriend(again)
        await until(lambda: eve.told("/v1/poll") > 0, 600)
        polls = [POLL.decode(body).verify() for path, body in eve.heard if path == "/v1/poll"]
        assert polls[0].lost == (0, again.owner().recovered)
        await until(lambda: eve.told("/v1/poll") > 1, DAY / 1000)
        polls = [POLL.decode(body).verify() for path, body in eve.heard if path == "/v1/poll"]
        assert polls[-1].lost is None


async def test_the_same_phrase_twice_on_one_node(autojump_clock: object) -> None:
    async with world() as w:
        ben = await w.add("ben")
        before = ben.owner()
        for recover, error in ((ben.phrase, Conflict), ("not twenty-four words", Malformed)):
            with pytest.raises(error):
                await owners.make(
                    ben.on.core.db, ben.randomness, name="other", now=ben.now(), quota=1,
                    endpoints=owners.record_of(before).claim.nodes, recover=recover,
                )  # fmt: skip
        assert ben.on.core.db.read(lambda tx: list(tx.owners.scan())) == [before]
        anna = await w.add("anna")
        words = anna.phrase
        await w.off(anna)
        made = await owners.make(
            ben.on.core.db, ben.randomness, name="anna", now=ben.now(), quota=2**30,
            endpoints=owners.record_of(before).claim.nodes, recover=words,
        )  # fmt: skip
        assert made.phrase is None
        assert (made.owner.order, made.owner.recovered) == (1, ben.now())
