"""Invites and introductions: how keys meet, and who is kept out."""

import pytest
import trio

from node.crypto import tokens
from node.encoding import cid as cids
from node.encoding import names
from node.machines.rows import Peer
from node.objects import answer
from node.objects.answer import Answer
from node.ports import Response, Tables
from node.services import meet
from node.services.mailbox import Mailbox
from node.units import DAY
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet, some
from tests.services.test_delivery import key_of


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
    await machine.on.core.db.transact(lambda tx: meet.block(tx, row, machine.now()))


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


# --- moves, removals, and who counts as heard ---------------------------------------------


async def test_a_link_to_a_new_place_of_a_contact_is_looked_at(autojump_clock: object) -> None:
    """Both moved while the other was away: only the link says where to go."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        await w.off(ben)
        w.move(ben, "127.0.0.77:4625")
        w.net.weather.cut.add((ben.origin, anna.origin))
        await w.back(ben)
        message = await anna.send([key_of(ben)], b"hello")
        await trio.sleep(3 * 86_400)
        assert anna.state(message, key_of(ben)) == "stored"
        w.net.weather.cut.clear()
        await anna.join(await ben.invite())
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 30)


async def test_a_link_to_where_a_contact_is_not_does_no_harm(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        link = (await ben.invite()).replace(ben.origin, "127.0.0.99:4625")
        w.net.calls.clear()
        await anna.join(link)
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 60)
        await trio.sleep(86_400)
        assert sum(to == "127.0.0.99:4625" for _, to, _ in w.net.calls) <= 2


async def test_mail_of_a_contact_that_was_removed_still_comes(autojump_clock: object) -> None:
    """What was accepted is accepted: its pickups end before its row does."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        del w.net.machines[anna.origin]
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "notified", 60)
        row = ben.peer(key_of(anna))
        assert row is not None
        await ben.on.core.db.transact(lambda tx: meet.remove(tx, row))
        assert await ben.complaints() == []
        w.net.machines[anna.origin] = anna
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 86_400)
        assert [state for _, _, state in ben.inbox()] == ["new"]


async def test_who_was_removed_while_called_stays_removed(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        row = ben.peer(key_of(anna))
        assert row is not None
        forgetful = row.but(greeted=())
        w.net.weather.delay = (5.0, 5.0)
        await ben.on.core.db.transact(lambda tx: tx.peers.put(forgetful))
        await anna.send([key_of(ben)], b"hello")
        await until(lambda: any(p.startswith("/v1/owners") for _, _, p in w.net.calls[-2:]), 60)
        pickups = ben.on.core.db.read(lambda tx: list(tx.pickups.scan()))

        def gone(tx: Tables) -> None:
            for each in pickups:
                tx.pickups.delete(each)
            meet.remove(tx, forgetful)

        await ben.on.core.db.transact(gone)
        await trio.sleep(3600)
        assert ben.peer(key_of(anna)) is None


async def test_one_message_allowed_makes_no_contact(autojump_clock: object) -> None:
    """Its sender stays a stranger: an introduction of it waits in the ring."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        message = eve.letter()
        await eve.notify(anna, eve.item(anna, message))
        await Mailbox(anna.on.core).allow_message(anna.owner(), cids.show(message))
        await until(lambda: len(anna.inbox()) == 1, 60)
        told = answer.decode((await eve.introduce(anna)).body)
        assert told == answer.HELD
        row = anna.peer(eve.key)
        assert row is not None
        assert (row.name, row.met) == (None, False)


async def test_a_stranger_we_wrote_to_is_heard(autojump_clock: object) -> None:
    """Any verified object of somebody who has a row is a sign of life; a blocked one's is none."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        me, now = anna.owner(), anna.now()
        link = meet.Link(did=eve.key, origin=eve.origin)
        await anna.on.core.db.transact(lambda tx: meet.written_to(tx, me, link, now))
        del w.net.machines[eve.origin]
        message = await anna.send([eve.key], b"hello")
        await trio.sleep(3600)
        w.net.machines[eve.origin] = eve  # type: ignore[assignment]
        await eve.notify(anna, eve.item(anna, eve.letter()))
        await until(lambda: anna.state(message, eve.key) == "notified", 5)


async def test_an_introduction_is_a_sign_of_life(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        held = Response(status=200, body=answer.encode_all([answer.HELD]))
        eve.says["/v1/notifications"] = held
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "held", 60)
        await trio.sleep(2 * 3600)
        del eve.says["/v1/notifications"]
        await eve.introduce(anna)
        await until(lambda: anna.state(message, eve.key) == "notified", 5)
