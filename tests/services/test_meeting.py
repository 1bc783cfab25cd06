"""Invites and introductions: how keys meet, and who is kept out."""

import pytest

from node.crypto import tokens
from node.encoding import names
from node.machines.rows import Peer
from node.objects import answer
from node.objects.answer import Answer
from node.services import meet
from node.services.mailbox import Mailbox
from node.units import DAY
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet, some


def contact(machine: Machine, name: str) -> Peer | None:
    me = machine.owner().owner
    rows = machine.on.core.db.read(lambda tx: list(tx.peers.by("named", me)))
    return next((row for row in rows if row.name == name), None)


async def remove(machine: Machine, key: bytes) -> None:
    row = machine.peer(key)  # type: ignore[arg-type]
    assert row is not None
    await machine.on.core.db.transact(lambda tx: meet.remove(tx, row))


async def block(machine: Machine, key: bytes) -> None:
    row = machine.peer(key)  # type: ignore[arg-type]
    assert row is not None
    await machine.on.core.db.transact(lambda tx: meet.block(tx, row))


async def test_an_invite_makes_both_contacts(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        there, here = contact(anna, "ben"), contact(ben, "anna")
        assert there is not None
        assert here is not None
        assert there.met
        assert here.met
        assert there.capability
        assert here.capability
        assert there.record
        assert here.record


async def test_mail_written_right_after_joining_arrives(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await ben.join(await anna.invite())
        message = await ben.send([anna.owner().owner], b"hello")
        await until(lambda: ben.state(message, anna.owner().owner) == "confirmed", 60)


async def test_an_invite_is_for_one_key(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve, max_ = Puppet(w, "eve"), Puppet(w, "max", 2)
        link = await anna.invite()
        first = answer.decode((await max_.introduce(anna, link)).body)
        assert first.state == "accepted"
        second = answer.decode((await eve.introduce(anna, link)).body)
        assert second == Answer(state="refused", reason="spent")
        again = answer.decode((await max_.introduce(anna, link)).body)
        assert again.introduction is not None
        assert first.introduction is not None
        assert again.introduction.claim.capability == first.introduction.claim.capability
        assert anna.peer(eve.key) is None


@pytest.mark.parametrize("how", ["removed", "blocked"])
async def test_a_spent_invite_does_not_bring_a_contact_back(
    autojump_clock: object, how: str
) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        link = await anna.invite()
        await eve.introduce(anna, link)
        await (remove if how == "removed" else block)(anna, eve.key)
        told = answer.decode((await eve.introduce(anna, link)).body)
        assert told == Answer(state="refused", reason="spent")
        row = anna.peer(eve.key)
        assert row is None or row.blocked


async def test_a_proof_must_hold(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        link = await anna.invite()
        token = meet.parse_link(link).token
        assert token is not None
        wrong = await eve.introduce(anna, invite=token[:4], proof=some("guess"))
        unknown = await eve.introduce(anna, invite=b"none", proof=some("guess"))
        assert (wrong.status, unknown.status) == (422, 422)
        assert wrong.body == unknown.body
        other = Puppet(w, "other", 2)
        stolen = await eve.introduce(anna, link, record=other.record())
        assert stolen.status == 422
        assert anna.peer(eve.key) is None
        assert answer.decode((await eve.introduce(anna, link)).body).state == "accepted"


async def test_an_invite_expires(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        link = await anna.invite()
        anna.clock.step(8 * DAY)
        told = answer.decode((await eve.introduce(anna, link)).body)
        assert told == Answer(state="refused", reason="expired")


async def test_an_introduction_from_the_future_is_refused(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        link = await anna.invite()
        late = eve.now() + 11 * 60_000
        token = meet.parse_link(link).token
        assert token is not None
        proof = tokens.proof(token, eve.key, anna.owner().owner, late)
        told = await eve.introduce(anna, invite=token[:4], proof=proof, issued=late)
        assert answer.decode(told.body) == Answer(state="refused", reason="clock")


async def test_a_refused_clock_is_asked_again(autojump_clock: object) -> None:
    """Our clock ran ahead; once it is right the introduction must still leave."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        ben.clock.step(20 * 60_000)
        await ben.join(await anna.invite())
        await until(
            lambda: (row := ben.peer(anna.owner().owner)) is not None and row.refused == "clock", 60
        )
        ben.clock.step(-20 * 60_000)
        await until(lambda: (row := ben.peer(anna.owner().owner)) is not None and row.met, 86_400)


async def test_a_link_that_proves_nothing_is_not_asked_for_ever(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        head, _, _ = (await anna.invite()).partition("#")
        await ben.join(f"{head}#{names.b64(b'x' * 16)}")
        await until(
            lambda: (row := ben.peer(anna.owner().owner)) is not None and bool(row.refused), 60
        )
        message = await ben.send([anna.owner().owner], b"hello")
        # The link is bad, but the address is right: mail goes as a stranger's.
        await until(lambda: ben.state(message, anna.owner().owner) == "held", 600)
        row = ben.peer(anna.owner().owner)
        assert row is not None
        assert not row.introduce


async def test_names(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        bens = [Puppet(w, "ben", 1), Puppet(w, "bob", 2), Puppet(w, "nobody", 3)]
        await bens[0].introduce(anna, await anna.invite())
        await bens[1].introduce(anna, await anna.invite(), record=bens[1].record(name="ben"))
        await bens[2].introduce(anna, await anna.invite(), record=bens[2].record(name=None))
        named = [row.name for p in bens if (row := anna.peer(p.key)) is not None]
        assert named == ["ben", "ben-2", "contact-1"]


async def test_an_address_alone_is_held_until_allowed(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        key = anna.owner().owner
        await ben.join(f"{names.did(key)}@{anna.origin}")
        message = await ben.send([key], b"hello")
        await until(lambda: ben.state(message, key) == "held", 600)
        assert anna.inbox() == []
        row = ben.peer(key)
        assert row is not None
        assert not row.met
        mine = anna.owner()
        slot = anna.on.core.db.read(lambda tx: list(tx.held.by("n", mine.owner)))
        assert [each.sender for each in slot] == [ben.owner().owner]
        await Mailbox(anna.on.core).allow_key(anna.owner(), ben.owner().owner, None)
        await until(lambda: ben.state(message, key) == "confirmed", 3600)
        assert (row := ben.peer(key)) is not None
        assert row.met
        assert (other := anna.peer(ben.owner().owner)) is not None
        assert other.met
        assert other.name == "ben"


async def test_a_lost_answer_is_made_up_for(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        link = await anna.invite()
        w.net.weather.cut.add((anna.origin, ben.origin))
        await ben.join(link)
        await until(lambda: ben.notes != [], 600)
        w.net.weather.cut.clear()
        await until(lambda: (row := ben.peer(anna.owner().owner)) is not None and row.met, 600)
