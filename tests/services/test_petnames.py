"""Petnames: one for each key, and never taken over by what another key says of itself."""

import pytest

from node.encoding import names
from node.errors import Conflict, NoContact, Usage
from node.machines.rows import Peer
from node.services import meet, petnames
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet, did_path


def named(machine: Machine, puppet: Puppet) -> str | None:
    row = machine.peer(puppet.key)
    return None if row is None else row.name


def find(machine: Machine, text: str) -> Peer:
    return machine.on.core.db.read(lambda tx: petnames.find(tx, machine.owner().owner, text))


async def called(w: World, machine: Machine, number: int, said: str | None) -> Puppet:
    """A contact whose record says that it is called so."""
    puppet = Puppet(w, f"puppet-{number}", number)
    link = await machine.invite()
    await puppet.introduce(machine, link, record=puppet.record(name=said))
    assert machine.peer(puppet.key) is not None
    return puppet


async def push(machine: Machine, puppet: Puppet, **changes: object) -> None:
    block = puppet.record(seq=int(machine.now()) + 5, **changes)
    response = await puppet.post(machine, did_path(puppet.key), block, method="PUT")
    assert response.status == 204


async def rename(machine: Machine, puppet: Puppet, name: str) -> None:
    row = machine.peer(puppet.key)
    assert row is not None
    await machine.on.core.db.transact(lambda tx: tx.peers.put(petnames.give(tx, row, name)))


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ("ben", "ben-2"),
        ("Ben", "Ben-2"),  # reads the same
        ("ｂｅｎ", "ｂｅｎ-2"),  # full-width forms too
        ("benny", "benny"),
        ("did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH", "contact-1"),
        ("DID:key", "contact-1"),
        (None, "contact-1"),
    ],
)
async def test_what_a_record_says_takes_no_name_of_another(
    autojump_clock: object, said: str | None, becomes: str
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        ben = await called(w, anna, 1, "ben")
        other = await called(w, anna, 2, said)
        assert (named(anna, ben), named(anna, other)) == ("ben", becomes)
        assert find(anna, "ben").did == ben.key


async def test_a_long_name_stays_a_name(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        said = "é" * 32
        await called(w, anna, 1, said)
        other = await called(w, anna, 2, said)
        name = named(anna, other)
        assert name is not None
        assert name != said
        assert petnames.checked(name).endswith("-2")


async def test_a_later_wish_changes_no_petname(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        ben, eve = await called(w, anna, 1, "ben"), await called(w, anna, 2, "eve")
        await push(anna, eve, name="ben")
        assert (named(anna, ben), named(anna, eve)) == ("ben", "eve")
        await rename(anna, eve, "mallory")
        await push(anna, eve, name="eve")
        assert named(anna, eve) == "mallory"
        await eve.introduce(anna, record=eve.record(seq=int(anna.now()) + 99, name="ben"))
        assert (named(anna, ben), named(anna, eve)) == ("ben", "mallory")


async def test_a_stand_in_gives_way_once(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await called(w, anna, 1, "ben")
        nobody = await called(w, anna, 2, None)
        assert named(anna, nobody) == "contact-1"
        await push(anna, nobody, name="ben")
        assert named(anna, nobody) == "ben-2"
        anna.clock.step(1000)
        await push(anna, nobody, name="benedict")
        assert named(anna, nobody) == "ben-2"


async def test_a_did_is_never_looked_up_among_names(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        ben, eve = await called(w, anna, 1, "ben"), await called(w, anna, 2, "eve")
        did = names.did(ben.key)
        row = anna.peer(eve.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: tx.peers.put(row.but(name=did)))
        assert find(anna, did).did == ben.key
        for text in (did[:-1], "did:web:example.org", "did:", did.upper()):
            with pytest.raises(NoContact):
                find(anna, text)


async def test_names_that_a_person_can_not_give(autojump_clock: object) -> None:
    for name in ("did:key:z6Mk", "Did:x", "a b", "", "a@b", "x" * 65):
        with pytest.raises(Usage):
            petnames.checked(name)
    async with world() as w:
        anna = await w.add("anna")
        await called(w, anna, 1, "ben")
        eve = await called(w, anna, 2, "eve")
        for taken in ("ben", "BEN"):
            with pytest.raises(Conflict) as caught:
                await rename(anna, eve, taken)
            assert f"{taken}-2" in (caught.value.next or "")
        assert named(anna, eve) == "eve"
        await rename(anna, eve, "Eve")
        assert named(anna, eve) == "Eve"


async def test_unblocked_is_a_contact_again(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = Puppet(w, "eve")
        await eve.befriend(anna)
        letter = eve.letter()
        known = find(anna, "eve")
        blocked = await anna.on.core.db.transact(lambda tx: meet.block(tx, known, anna.now()))
        (told,) = await eve.notify(anna, eve.item(anna, letter))
        assert (told.state, told.reason) == ("held", None)
        polls = eve.told("/v1/poll")
        now = anna.now()
        await anna.on.core.db.transact(lambda tx: meet.unblock(tx, blocked, now))
        anna.on.core.outgoing.ring()
        await until(lambda: eve.told("/v1/poll") > polls, 60)
        (told,) = await eve.notify(anna, eve.item(anna, letter))
        assert told.state == "accepted"
        row = anna.peer(eve.key)
        assert row is not None
        assert (row.name, row.met, row.blocked) == ("eve", True, False)
