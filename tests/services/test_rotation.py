"""A new sealing key: contacts learn it, mail sealed to the old one opens, and old ones go."""

import pytest
import trio

from node import limits
from node.crypto import keys
from node.errors import Conflict
from node.machines.rows import Owner
from node.objects import record
from node.ports import Tables
from node.services import meet, owners
from node.units import DAY
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


async def rotate(machine: Machine) -> Owner:
    secret, now = machine.randomness.bytes(32), machine.now()
    row = owners.rotated(machine.owner(), secret, now)

    def work(tx: Tables) -> None:
        tx.owners.put(row)
        meet.tell_record(tx, row, now)

    await machine.on.core.db.transact(work)
    machine.on.core.outgoing.ring()
    return row


def known(machine: Machine, other: Machine) -> bytes:
    row = machine.peer(key_of(other))
    assert row is not None
    assert row.record is not None
    return record.decode(row.record).claim.sealing


async def test_contacts_seal_to_the_new_key(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        before = owners.record_of(ben.owner()).claim
        row = await rotate(ben)
        after = owners.record_of(row).claim
        assert (after.id, after.recovery, after.name) == (before.id, before.recovery, before.name)
        assert after.sealing == keys.sealing_public(row.sealing[0][0]) != before.sealing
        assert after.seq > before.seq
        await until(lambda: known(anna, ben) == after.sealing, 600)
        me = key_of(ben)
        assert ben.on.core.db.read(lambda tx: meet.knowing(tx, me)) == (1, 1)
        message = await anna.send([me], b"Subject: new\n\n")
        await until(lambda: anna.state(message, me) == "confirmed", 600)


async def test_who_can_not_be_reached_is_told_later(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        me, old = key_of(ben), known(anna, ben)
        await w.off(anna)
        await rotate(ben)
        await trio.sleep(3600)
        assert ben.on.core.db.read(lambda tx: meet.knowing(tx, me)) == (0, 1)
        await w.back(anna)
        await until(lambda: known(anna, ben) != old, 86_400)
        await until(lambda: ben.on.core.db.read(lambda tx: meet.knowing(tx, me)) == (1, 1), 60)


def _forget_errands(tx: Tables) -> None:
    for row in list(tx.errands.scan()):
        tx.errands.delete(row)


async def test_a_box_for_a_key_that_is_gone_is_made_anew(autojump_clock: object) -> None:
    """The answer is the newer record; nothing is lost."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        me = key_of(ben)
        w.net.weather.cut.add((ben.origin, anna.origin))
        for _ in range(limits.SEALING_KEYS):
            ben.clock.step(1000)
            await rotate(ben)
        assert len(ben.owner().sealing) == limits.SEALING_KEYS
        w.net.weather.cut.clear()
        await ben.on.core.db.transact(_forget_errands)
        message = await anna.send([me], b"Subject: sealed to nobody\n\n")
        await until(lambda: anna.state(message, me) == "confirmed", 3600)
        assert known(anna, ben) == owners.record_of(ben.owner()).claim.sealing


async def test_old_keys_are_swept_in_time(autojump_clock: object) -> None:
    async with world() as w:
        ben, eve = await w.add("ben"), Puppet(w, "eve")
        await eve.befriend(ben)
        first = ben.owner().sealing[0]
        ben.clock.step(3 * DAY)
        await trio.sleep(2 * DAY / 1000)  # until a clock that stepped is believed
        row = await rotate(ben)
        assert row.sealing[1] == first
        item = eve.item(ben, eve.letter())
        await rotate(ben)
        (told,) = await eve.notify(ben, item)
        assert told.state == "accepted"
        ben.clock.step(399 * DAY)
        await trio.sleep(2 * DAY / 1000)
        assert len(ben.owner().sealing) == 1
        assert ben.owner().sealing[0][1] > row.sealing[0][1] - 1


async def test_another_name_is_told_and_changes_no_petname(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await ben.another("carl")
        await w.friends(anna, ben)

        def renamed(name: str) -> Owner:
            return ben.on.core.db.read(
                lambda tx: owners.rename(tx, ben.owner("ben"), name, ben.now())
            )

        with pytest.raises(Conflict):
            renamed("carl")
        row = renamed("benjamin")
        assert (row.name, owners.record_of(row).claim.name) == ("benjamin", "benjamin")

        def work(tx: Tables) -> None:
            tx.owners.put(row)
            meet.tell_record(tx, row, ben.now())

        await ben.on.core.db.transact(work)
        ben.on.core.outgoing.ring()
        await until(lambda: (p := anna.peer(row.owner)) is not None and p.record == row.record, 60)
        peer = anna.peer(row.owner)
        assert peer is not None
        assert peer.name == "ben"
