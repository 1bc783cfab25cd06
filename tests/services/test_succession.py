"""A key replaced by the recovery phrase: who follows, and what the old one still can do."""

import itertools
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
import trio

from node import limits
from node.config import Directory
from node.crypto import phrase
from node.discovery.webfinger import Handle
from node.encoding import cid as cids
from node.encoding import names
from node.encoding.cid import Cid
from node.errors import Conflict, Malformed, Refused
from node.machines.rows import Delivery, Owner, Peer, Pin
from node.objects import answer as answers
from node.objects import record
from node.objects.answer import Answer, PollAnswer
from node.objects.introduction import INTRODUCTION, Introduction
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.services import find, meet, owners, petnames, succession, views
from node.services.mailbox import Mailbox
from node.services.submit import Terms
from node.units import DAY, Key
from tests.fakes.world import Machine, Weather, World, config_of, until, world
from tests.services.puppet import Puppet, did_path
from tests.services.test_delivery import key_of
from tests.services.test_recovery import address


async def elsewhere(w: World, machine: Machine, origin: str | None = None) -> Machine:
    """The owner begins again from the phrase, while a thief's machine goes on with the key."""
    number = len(w.net.machines) + 1
    made = Machine(
        w.net, machine.name, config_of(origin or f"127.0.0.{number}:4625"), w.seed * 1000 + number
    )
    made.recover, made.clock = machine.phrase, machine.clock
    await w.nursery.start(made.live)
    return made


async def replaced(machine: Machine, words: str | None = None) -> tuple[Owner, Owner]:
    """`key replace`: the new owner and the old."""
    core = machine.on.core
    seed, now = core.randomness.bytes(32), core.now()

    def work(tx: Any) -> tuple[Owner, Owner]:
        made = succession.replace(
            tx, owners.find(tx, None), words or machine.phrase or "", seed, core.endpoints, now
        )
        meet.tell_record(tx, made[1], now)
        return made

    made = await core.db.transact(work)
    machine.phrase = phrase.words(seed)
    core.outgoing.ring()
    return made


def row_of(machine: Machine, key: Key) -> Peer:
    row = machine.peer(key)
    assert row is not None
    return row


def name_of(machine: Machine, key: Key) -> str:
    me = key_of(machine)
    return machine.on.core.db.read(lambda tx: views.name_of(tx, me, key))


def deliveries(machine: Machine, message: bytes) -> list[Delivery]:
    me = key_of(machine)
    return machine.on.core.db.read(lambda tx: list(tx.deliveries.scan(me, message)))


def followed(machine: Machine, old: Key, new: Key) -> bool:
    """Whether the contact with the old key goes on, met, with the new one."""
    before, after = machine.peer(old), machine.peer(new)
    moved = before is not None and before.heir == new and before.name is None
    return moved and after is not None and after.before == old and after.met


def final(who: Puppet, heir: Key, **changes: Any) -> bytes:
    """A puppet's last record, signed by both keys."""
    claim = record.decode(who.record(**changes)).claim
    made = replace(claim, name=None, successor=heir)
    return record.sign_successor(made, who.keys.signing, who.keys.recovery)


async def tell(who: Puppet, to: Machine, block: bytes) -> int:
    request = Request(method="PUT", path=did_path(who.key), body=block)
    return (await carried(who, to, request)).status


async def carried(who: Puppet, to: Machine, request: Request) -> Response:
    return await who.world.net.deliver(who.origin, to.origin, request)


# --- the person ---------------------------------------------------------------------------


async def test_from_the_phrase_alone_while_a_thief_goes_on(autojump_clock: object) -> None:
    """Found by address; the name goes over; old mail comes again; the old key is refused."""
    async with world() as w:
        thief, ben = await w.add("anna"), await w.add("ben")
        await w.friends(thief, ben)
        old = key_of(thief)
        await ben.on.core.db.transact(
            lambda tx: tx.peers.put(row_of(ben, old).but(name="annie", verified=ben.now()))
        )
        before = await ben.send([old], b"Subject: before\n\n")
        written = await thief.send([key_of(ben)], b"Subject: hers\n\n")
        await until(lambda: ben.state(before, old) == "confirmed", 60)
        await until(lambda: thief.state(written, key_of(ben)) == "confirmed", 60)
        anna = await elsewhere(w, thief)
        new, last = await replaced(anna)
        assert (new.order, new.name, last.name, last.heir) == (0, "anna", "anna-old", new.owner)
        assert key_of(anna) == new.owner != old
        await anna.join(address(ben))
        await until(lambda: followed(ben, old, new.owner), 600)
        row = row_of(ben, new.owner)
        assert (row.name, row.verified, row.blocked) == ("annie", None, False)
        assert (name_of(ben, old), name_of(ben, new.owner)) == ("annie", "annie")
        assert any("contact-replaced" in note for note in ben.notes)
        # what she had confirmed and lost comes again, to the new key
        await until(lambda: len(anna.inbox()) == 1, 600)
        await until(lambda: ben.state(before, new.owner) == "confirmed", 600)
        # both ways, with the new key
        there = await ben.send([new.owner], b"Subject: welcome\n\n")
        back = await anna.send([key_of(ben)], b"Subject: thanks\n\n")
        await until(lambda: ben.state(there, new.owner) == "confirmed", 600)
        await until(lambda: anna.state(back, key_of(ben)) == "confirmed", 600)
        assert len(ben.inbox()) == 2
        # the thief
        letter = await thief.send([key_of(ben)], b"Subject: send me money\n\n")
        await until(lambda: thief.state(letter, key_of(ben)) == "refused", 600)
        (told,) = deliveries(thief, letter)
        assert told.reason == "replaced"
        await thief.on.core.db.transact(lambda tx: _renewed(tx, thief))
        thief.on.core.outgoing.ring()
        await until(lambda: thief.owner().heir == new.owner, 600)
        assert len(ben.inbox()) == 2
        assert row_of(ben, old).heir == new.owner


def _renewed(tx: Any, machine: Machine) -> None:
    row = owners.renewed(owners.find(tx, None), machine.now())
    tx.owners.put(row)
    meet.tell_record(tx, row, machine.now())


async def test_a_home_with_contacts_takes_them_along(autojump_clock: object) -> None:
    """The node still runs, or was restored: everybody follows without being added again."""
    async with world() as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        await w.friends(anna, ben)
        await w.friends(anna, carl)
        old = key_of(anna)
        await anna.on.core.db.transact(
            lambda tx: meet.block(tx, row_of(anna, key_of(carl)), anna.now())
        )
        pin = Pin(
            owner=old, digest=bytes(32), handle="ben@b.example", did=key_of(ben), at=anna.now()
        )
        await anna.on.core.db.transact(lambda tx: tx.pins.put(pin))
        link = await anna.invite()
        new, last = await replaced(anna)
        await until(lambda: followed(ben, old, new.owner), 600)
        await until(lambda: row_of(anna, key_of(ben)).met, 600)
        assert row_of(anna, key_of(carl)).blocked
        assert anna.on.core.db.read(lambda tx: [row.owner for row in tx.pins.scan(new.owner)])
        assert anna.on.core.db.read(lambda tx: succession.followers(tx, new.owner)) == (1, 1)
        invites = anna.on.core.db.read(lambda tx: list(tx.invites.scan(old)))
        assert all(row.expires <= anna.now() for row in invites)
        message = await ben.send([new.owner], b"Subject: still you?\n\n")
        await until(lambda: ben.state(message, new.owner) == "confirmed", 600)
        assert len(anna.inbox()) == 1
        # who comes by an old invite meets the new key, as a stranger: a thief may have the link
        dora = await w.add("dora")
        await dora.join(link)
        await until(lambda: row_of(dora, old).heir == new.owner, 600)
        await until(lambda: row_of(dora, new.owner).refused is not None, 600)
        with pytest.raises(Refused, match="replaced"):
            owners.check_current(last)


async def test_what_was_open_goes_to_the_new_key(autojump_clock: object) -> None:
    """Nothing is sealed to the old key again, and its tickets open nothing."""
    async with world() as w:
        thief, ben = await w.add("anna"), await w.add("ben")
        await w.friends(thief, ben)
        old = key_of(thief)
        await w.off(thief)
        sent = [await ben.send([old], b"x" * size) for size in (10, 60_000)]
        tickets = [row.ticket for each in sent for row in deliveries(ben, each)]
        anna = await elsewhere(w, thief)
        new, _ = await replaced(anna)
        await anna.join(address(ben))
        await until(lambda: followed(ben, old, new.owner), 600)
        await until(lambda: {ben.state(m, new.owner) for m in sent} == {"confirmed"}, 600)
        assert len(anna.inbox()) == 2
        eve = Puppet(w, "eve")
        for name, ticket in zip(sent, tickets, strict=True):
            assert (row := deliveries(ben, name))[0].to == new.owner
            assert len(row) == 1
            assert (await eve.get(ben, name, ticket)).status == 404
        assert ben.on.core.db.read(lambda tx: [s.open for s in tx.sent.scan(key_of(ben))]) == [0, 0]


async def test_a_message_to_both_keys_is_one_delivery(autojump_clock: object) -> None:
    async with world() as w:
        ben, eve, eve2 = await w.add("ben"), Puppet(w, "eve"), Puppet(w, "eve2", 2)
        await eve.befriend(ben)
        await eve2.befriend(ben)
        w.net.weather.cut |= {(ben.origin, eve.origin), (ben.origin, eve2.origin)}
        both = await ben.send([eve.key, eve2.key], b"Subject: to both\n\n")
        assert await tell(eve, ben, final(eve, eve2.key)) == 204
        assert [row.to for row in deliveries(ben, both)] == [eve2.key]
        sent = ben.on.core.db.read(lambda tx: tx.sent.get(key_of(ben), both))
        assert sent is not None
        assert (sent.open, sent.recipients) == (1, 1)


async def test_a_message_to_both_keys_is_freed_when_it_is_over(autojump_clock: object) -> None:
    """The new key confirmed long before it was known that it took over."""
    async with world() as w:
        ben, eve = await w.add("ben", sent="drop"), Puppet(w, "eve")
        eve2 = Puppet(w, "eve2", 2)
        await eve.befriend(ben)
        await eve2.befriend(ben)
        both = await ben.send([eve.key, eve2.key], b"Subject: to both\n\n")
        await until(lambda: ben.state(both, eve2.key) == "notified")
        await eve2.one(ben, "/v1/receipts", eve2.receipt(key_of(ben), [both]))
        await trio.sleep(15 * 86_400)
        assert await tell(eve, ben, final(eve, eve2.key)) == 204
        await trio.sleep(120)
        sent = ben.on.core.db.read(lambda tx: tx.sent.get(key_of(ben), both))
        assert sent is not None
        assert (sent.open, sent.charge) == (0, "gone")


async def test_a_key_replaced_while_a_large_letter_is_taken(autojump_clock: object) -> None:
    """The addressee's is followed, though it was written to by the old one; the author's sends
    nothing any more."""
    async with world() as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        await w.friends(anna, ben)
        old, author = key_of(anna), ben.owner()
        made: list[Key] = []

        async def chunks(machine: Machine) -> AsyncGenerator[bytes, None]:
            yield b"x" * 30_000
            made.append((await replaced(machine))[0].owner)
            await trio.sleep(600)
            yield b"x" * 30_000

        async def send(machine: Machine, *to: Key) -> Cid:
            async with aclosing(chunks(machine)) as pieces:
                terms = Terms(to=to)
                return await ben.on.submission.large(author, pieces, 60_000, terms)

        sent = await send(anna, old)
        await until(lambda: ben.state(sent, made[0]) == "confirmed", 600)
        assert [row.to for row in deliveries(ben, sent)] == made
        with pytest.raises(Refused, match="was replaced"):
            await send(ben, key_of(carl))
        assert await ben.complaints() == []


async def test_a_restored_contact_asks_the_old_key_once(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        old = key_of(anna)
        new, _ = await replaced(anna)
        await until(lambda: followed(ben, old, new.owner), 600)
        await ben.flushed()
        disk, files, memory = ben.disk.copy(), ben.files.copy(), ben.now()
        await w.off(ben)
        await ben.restore(disk, files, memory)
        await w.back(ben)
        await trio.sleep(3600)
        assert (row_of(ben, old).poll_at, row_of(ben, old).lost) == (None, None)
        assert row_of(ben, new.owner).lost is None
        assert row_of(ben, new.owner).poll_at is not None


async def test_what_a_restored_contact_lost_of_the_old_key_is_shown(
    autojump_clock: object,
) -> None:
    """It is of a key that counts no more; but nobody has it, and its author sees that."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to, old = key_of(ben), key_of(anna)
        await trio.sleep(60)
        await ben.flushed()
        disk, files, memory = ben.disk.copy(), ben.files.copy(), ben.now()
        message = await anna.send([to], b"of the old key")
        await until(lambda: anna.state(message, to) == "confirmed", 60)
        new, _ = await replaced(anna)
        await until(lambda: followed(ben, old, new.owner), 600)
        await w.off(ben)
        await ben.restore(disk, files, memory)
        await w.back(ben)
        await until(lambda: followed(ben, old, new.owner), 600)
        await trio.sleep(3600)
        assert ben.inbox() == []
        row = anna.on.core.db.read(lambda tx: tx.deliveries.get(old, message, to))
        assert row is not None
        assert (row.state, row.reason) == ("refused", "replaced")
        assert await anna.complaints() == []


async def test_twice_and_who_knows_only_the_first(autojump_clock: object) -> None:
    async with world() as w:
        thief, ben = await w.add("anna"), await w.add("ben")
        await w.friends(thief, ben)
        first = key_of(thief)
        await w.off(thief)
        anna = await elsewhere(w, thief)
        second, _ = await replaced(anna)
        third, _ = await replaced(anna)
        assert [record.decode(b).claim.id for b in third.before] == [first, second.owner]
        await anna.join(address(ben))
        await until(lambda: followed(ben, second.owner, third.owner), 600)
        assert row_of(ben, first).heir == second.owner
        assert {name_of(ben, key) for key in (first, second.owner, third.owner)} == {"anna"}
        found = ben.on.core.db.read(lambda tx: petnames.find(tx, key_of(ben), names.did(first)))
        assert found.did == third.owner


async def test_there_is_an_end_to_it(autojump_clock: object) -> None:
    """A contact that replaces its key all day makes a row with each; no person does."""
    async with world() as w:
        anna, first = await w.add("anna"), Puppet(w, "key-0")
        await first.befriend(anna)
        await until(lambda: row_of(anna, first.key).met, 60)
        chain = [first, *(Puppet(w, f"key-{n}") for n in range(1, 40))]
        for old, new in itertools.pairwise(chain):
            assert await tell(old, anna, final(old, new.key)) == 204
        rows = anna.on.core.db.read(lambda tx: list(tx.peers.scan(key_of(anna))))
        assert len(rows) <= 1 + limits.SUCCESSIONS
        # The last that is followed is refused from now on, and keeps its name: there is nobody.
        last = chain[limits.SUCCESSIONS]
        assert [row.did for row in rows if row.name is not None] == [last.key]
        assert name_of(anna, last.key) == "key-0"
        assert row_of(anna, last.key).heir == chain[limits.SUCCESSIONS + 1].key


async def test_only_with_the_right_words_and_once(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        for words, says in ((ben.phrase, "not the words"), ("one two", "recovery phrase")):
            with pytest.raises(Malformed, match=says):
                await replaced(anna, words)
        assert len(anna.on.core.db.read(lambda tx: list(tx.owners.scan()))) == 1
        words = anna.phrase
        _, old = await replaced(anna)
        with pytest.raises(Malformed):
            await replaced(anna, words)
        with pytest.raises(Refused, match="goes on with"):
            await anna.on.core.db.transact(
                lambda tx: succession.replace(
                    tx, old, words or "", bytes(32), anna.on.core.endpoints, anna.now()
                )
            )


# --- how it is learnt ---------------------------------------------------------------------


async def test_by_a_notification(autojump_clock: object) -> None:
    """At the same address, from the phrase alone: who writes to the old key hears it."""
    async with world() as w:
        lost, ben = await w.add("anna"), await w.add("ben")
        await w.friends(lost, ben)
        old = key_of(lost)
        await w.off(lost)
        anna = await elsewhere(w, lost, lost.origin)
        new, _ = await replaced(anna)
        sent = await ben.send([old], b"Subject: are you there\n\n")
        await until(lambda: (row := ben.peer(old)) is not None and row.heir == new.owner, 600)
        # she knows nobody: it is held until she allows him
        await until(lambda: ben.state(sent, new.owner) == "held", 600)
        await Mailbox(anna.on.core).allow_key(anna.owner(), key_of(ben), None)
        await until(lambda: ben.state(sent, new.owner) == "confirmed", DAY / 1000)
        assert row_of(ben, new.owner).met


async def test_by_a_poll(autojump_clock: object) -> None:
    async with world() as w:
        lost, ben = await w.add("anna"), await w.add("ben")
        await w.friends(lost, ben)
        old = key_of(lost)
        await w.off(lost)
        anna = await elsewhere(w, lost, lost.origin)
        new, _ = await replaced(anna)
        await until(lambda: row_of(ben, old).heir == new.owner, 2 * DAY / 1000)
        assert row_of(ben, new.owner).name == "anna"


async def test_by_a_directory(autojump_clock: object) -> None:
    """The old place is gone, and nobody told ben."""
    async with world() as w:
        books = await w.add("books", directory=Directory(enabled=True))
        asks = Directory(ask=(books.origin,))
        lost, ben = await w.add("anna", directory=asks), await w.add("ben", directory=asks)
        await w.friends(lost, ben)
        old = key_of(lost)
        await w.off(lost)
        anna = await elsewhere(w, lost)
        new, _ = await replaced(anna)
        config = config_of(anna.origin, directory=asks)
        await w.off(anna)
        anna.config = config
        await w.back(anna)
        sent = await ben.send([old], b"Subject: where are you\n\n")
        await until(lambda: row_of(ben, old).heir == new.owner, DAY / 1000)
        await until(lambda: ben.state(sent, new.owner) == "held", DAY / 1000)


async def test_by_the_domain_that_names_another_key(autojump_clock: object) -> None:
    """A name that was pinned goes on only if the key before said so itself."""
    async with world() as w:
        ben, eve, eve2 = await w.add("ben"), Puppet(w, "eve"), Puppet(w, "eve2", 2)
        await eve.befriend(ben)
        me, handle = key_of(ben), Handle(name="eve", domain="e.example")
        link = meet.Link(did=eve.key, origin=eve.origin, handle=handle)
        await ben.on.core.db.transact(lambda tx: find.pin(tx, me, link, ben.now()))
        other = replace(link, did=eve2.key)
        await ben.on.finder.succeeded(me, other)
        with pytest.raises(Refused, match="now says"):
            await ben.on.core.db.transact(lambda tx: find.pin(tx, me, other, ben.now()))
        path = f"/v1/owners/{names.z(eve.key)}"
        eve.says[path] = Response(status=200, body=final(eve, eve2.key))
        await ben.on.finder.succeeded(me, other)
        await ben.on.core.db.transact(lambda tx: find.pin(tx, me, other, ben.now()))
        pinned = ben.on.core.db.read(lambda tx: tx.pins.get(me, handle.digest))
        assert pinned is not None
        assert pinned.did == eve2.key
        assert row_of(ben, eve2.key).name == "eve"


# --- what the old key still can do ---------------------------------------------------------


async def test_everything_that_a_thief_can_sign(autojump_clock: object) -> None:
    """Eve's key was stolen and replaced; `eve` goes on with it against ben's node."""
    async with world() as w:
        ben, eve, heir = await w.add("ben"), Puppet(w, "eve"), Puppet(w, "heir", 2)
        await eve.befriend(ben)
        me = key_of(ben)
        gone = await ben.send([eve.key], b"Subject: confirmed\n\n")
        await until(lambda: ben.state(gone, eve.key) == "notified", 60)
        await eve.post(ben, "/v1/receipts", eve.receipt(me, [gone]))
        assert ben.state(gone, eve.key) == "confirmed"
        taken_back = await ben.send([eve.key], b"Subject: withdrawn\n\n")
        await until(lambda: ben.state(taken_back, eve.key) == "notified", 60)
        await Mailbox(ben.on.core).retract(ben.owner(), cids.show(taken_back))
        waits = await ben.send([eve.key], b"Subject: open\n\n")
        w.net.weather.cut.add((ben.origin, heir.origin))
        assert await tell(eve, ben, final(eve, heir.key)) == 204
        # a letter
        (told,) = await eve.notify(ben, eve.item(ben, eve.letter()))
        assert (told.state, told.reason) == ("refused", "replaced")
        bare = eve.item(ben, eve.letter(word="2"), capability=None, word="2")
        (told,) = await eve.notify(ben, bare)
        assert (told.state, told.reason) == ("held", None)
        # its records: plain ones, and another last one
        request = Request(method="PUT", path=did_path(eve.key), body=eve.record(seq=2**53 - 1))
        answer = await carried(eve, ben, request)
        assert answer.status == 409
        assert record.decode(answer.body).claim.successor == heir.key
        assert await tell(eve, ben, final(eve, Puppet(w, "mine", 3).key)) == 204
        # introductions, by an invite as well
        for link in (None, await ben.invite()):
            told = answers.decode((await eve.introduce(ben, link)).body)
            assert (told.state, told.reason, told.introduction) == ("refused", "replaced", None)
        # polls: nothing waits, nothing is opened again
        polled = await eve.poll(ben, lost=(0, ben.now() + 1000))
        assert isinstance(polled, PollAnswer)
        assert polled.batches == () or list(polled.batches) == []
        assert ben.state(gone, eve.key) == "confirmed"
        # receipts: not for what was withdrawn, nor for what is another's now
        await eve.post(ben, "/v1/receipts", eve.receipt(me, [taken_back, waits]))
        assert ben.state(taken_back, eve.key) == "retracted"
        assert ben.state(waits, heir.key) == "stored"
        # tickets
        ticket = deliveries(ben, gone)[0].ticket
        assert (await eve.get(ben, waits, ticket)).status == 404
        # all of it changed nothing
        row = row_of(ben, eve.key)
        assert (row.heir, row.name, row.met) == (heir.key, None, False)
        assert ben.on.core.db.read(lambda tx: list(tx.held.scan(me))) == []
        with pytest.raises(Refused, match="was replaced"):
            await Mailbox(ben.on.core).allow_key(ben.owner(), eve.key, None)
        # nor is it forgotten with the contact
        await ben.on.core.db.transact(lambda tx: meet.remove(tx, row_of(ben, heir.key)))
        await ben.on.core.db.transact(lambda tx: meet.remove(tx, row_of(ben, eve.key)))
        (told,) = await eve.notify(ben, eve.item(ben, eve.letter(word="3"), word="3"))
        assert (told.state, told.reason) == ("refused", "replaced")


async def test_a_retraction_by_the_old_key_takes_nothing_away(autojump_clock: object) -> None:
    async with world() as w:
        ben, eve, heir = await w.add("ben", ask_over="1KiB"), Puppet(w, "eve"), Puppet(w, "heir", 2)
        await eve.befriend(ben)
        large = eve.letter(b"Subject: large\r\n\r\n" + b"x" * 4000)
        (told,) = await eve.notify(ben, eve.item(ben, large, size=4018))
        assert told.reason == "waiting"
        await tell(eve, ben, final(eve, heir.key))
        response = await eve.post(ben, "/v1/retractions", eve.retraction(key_of(ben), large))
        assert answers.decode(response.body).state == "accepted"
        assert [state for _, _, state in ben.inbox()] == ["waiting"]


async def test_without_the_phrase_there_is_no_successor(autojump_clock: object) -> None:
    """A thief of the home has the signing key, and not the recovery key."""
    async with world() as w:
        ben, eve, mallory = await w.add("ben"), Puppet(w, "eve"), Puppet(w, "mallory", 2)
        await eve.befriend(ben)
        claim = record.decode(eve.record()).claim
        made = replace(claim, name=None, successor=mallory.key)
        forged = record.sign_successor(made, eve.keys.signing, mallory.keys.recovery)
        own = replace(made, recovery=owners_recovery(mallory))
        other = record.sign_successor(own, eve.keys.signing, mallory.keys.recovery)
        assert await tell(eve, ben, forged) == 422
        assert await tell(eve, ben, other) == 204  # signed, but of another recovery key: not newer
        assert (row_of(ben, eve.key).heir, ben.peer(mallory.key)) == (None, None)


def owners_recovery(who: Puppet) -> Key:
    return record.decode(who.record()).claim.recovery


# --- names --------------------------------------------------------------------------------


async def test_a_known_key_can_be_named_and_nothing_of_it_changes(autojump_clock: object) -> None:
    """Mallory names carol, who knows of nothing: her name, words and old mail stay hers."""
    async with world() as w:
        ben, mallory, carol = await w.add("ben"), Puppet(w, "mallory"), Puppet(w, "carol", 2)
        await mallory.befriend(ben)
        await carol.befriend(ben)
        before = row_of(ben, carol.key)
        await ben.on.core.db.transact(
            lambda tx: tx.peers.put(row_of(ben, mallory.key).but(verified=ben.now()))
        )
        assert await tell(mallory, ben, final(mallory, carol.key)) == 204
        after = row_of(ben, carol.key)
        assert (after.name, after.before, after.met) == ("carol", None, before.met)
        gone = row_of(ben, mallory.key)
        assert (gone.name, gone.heir, meet.lane_word(gone)) == ("mallory", carol.key, "replaced")
        assert (gone.verified, name_of(ben, mallory.key)) == (None, "mallory")
        with pytest.raises(Conflict, match="already"):
            await ben.on.core.db.transact(lambda tx: petnames.give(tx, after, "mallory"))
        # nor when mallory is not wanted in the list any more
        await ben.on.core.db.transact(lambda tx: meet.remove(tx, gone))
        assert name_of(ben, mallory.key) == names.did(mallory.key)
        # a restored carol gets nothing of mallory's
        assert (
            ben.on.core.db.read(lambda tx: list(succession.forebears(tx, key_of(ben), carol.key)))
            == []
        )


async def test_nobody_takes_over(autojump_clock: object) -> None:
    """Itself, ben himself, and two that name each other: all stay who they were."""
    async with world() as w:
        ben = await w.add("ben")
        eve, max_, mia = Puppet(w, "eve"), Puppet(w, "max", 2), Puppet(w, "mia", 3)
        for each in (eve, max_, mia):
            await each.befriend(ben)
        assert await tell(eve, ben, final(eve, eve.key)) == 204
        assert (row_of(ben, eve.key).heir, row_of(ben, eve.key).name) == (None, "eve")
        assert await tell(max_, ben, final(max_, mia.key)) == 204
        assert await tell(mia, ben, final(mia, max_.key)) == 204
        assert (row_of(ben, max_.key).heir, row_of(ben, mia.key).heir) == (mia.key, None)
        other = Puppet(w, "other", 4)
        await other.befriend(ben)
        assert await tell(other, ben, final(other, key_of(ben))) == 204
        assert row_of(ben, other.key).name == "other"


async def test_who_is_met_and_names_us_is_asked_by_the_schedule(autojump_clock: object) -> None:
    """The introduction stays owed, but not at once, again and again."""
    async with world() as w:
        ben, eve = await w.add("ben"), Puppet(w, "eve")
        mine = record.decode(final(eve, key_of(ben)))
        told = answers.refused("stale-record", record=mine)
        eve.says["/v1/introductions"] = Response(status=200, body=answers.encode(told))
        await ben.join(f"{names.did(eve.key)}@{eve.origin}")
        await trio.sleep(60)
        assert 1 < eve.told("/v1/introductions") < 5
        assert (row_of(ben, eve.key).heir, row_of(ben, eve.key).refused) == (None, "nonsense")


async def test_who_was_blocked_stays_blocked(autojump_clock: object) -> None:
    async with world() as w:
        ben, eve, heir = await w.add("ben"), Puppet(w, "eve"), Puppet(w, "heir", 2)
        await eve.befriend(ben)
        await ben.on.core.db.transact(lambda tx: meet.block(tx, row_of(ben, eve.key), ben.now()))
        assert await tell(eve, ben, final(eve, heir.key)) == 204
        row = row_of(ben, heir.key)
        assert (row.blocked, row.name, row.introduce) == (True, "eve", False)
        (told,) = await heir.notify(ben, heir.item(ben, heir.letter()))
        assert told.state == "held"
        (told,) = await eve.notify(ben, eve.item(ben, eve.letter()))
        assert told.state == "held"
        assert ben.on.core.db.read(lambda tx: list(tx.held.scan(key_of(ben)))) == []


async def test_what_a_stranger_has_pending_ends_with_its_key(autojump_clock: object) -> None:
    async with world() as w:
        ben, eve, heir = await w.add("ben"), Puppet(w, "eve"), Puppet(w, "heir", 2)
        link = meet.Link(did=eve.key, origin=eve.origin)
        await ben.on.core.db.transact(lambda tx: meet.written_to(tx, ben.owner(), link, ben.now()))
        me = key_of(ben)
        await eve.notify(ben, eve.item(ben, eve.letter()))
        await until(
            lambda: ben.on.core.db.read(lambda tx: tx.held.get(me, eve.key)) is not None, 60
        )
        block = final(eve, heir.key)
        await ben.on.core.db.transact(lambda tx: meet.learn(tx, me, eve.key, block, ben.now()))
        assert ben.on.core.db.read(lambda tx: list(tx.held.scan(me))) == []
        assert (row_of(ben, heir.key).written, row_of(ben, heir.key).name) == (True, None)


async def test_owners_of_one_node(autojump_clock: object) -> None:
    async with world() as w:
        house = await w.add("anna")
        await house.another("ben")
        link = await house.invite("ben")
        await house.join(link)
        anna, ben = key_of(house), house.owner("ben").owner
        await until(lambda: (row := house.peer(ben)) is not None and row.met)
        new, _ = await replaced(house)

        def row(did: Key) -> Peer | None:
            return house.on.core.db.read(lambda tx: tx.peers.get(ben, did))

        await until(lambda: (found := row(new.owner)) is not None and found.met, 600)
        found = row(anna)
        assert found is not None
        assert (found.heir, row_of(house, ben).met) == (new.owner, True)
        sent = await house.send([new.owner], b"Subject: next door\n\n", owner="ben")
        await until(lambda: house.state(sent, new.owner) == "confirmed", 600)
        assert len(house.inbox()) == 1


async def test_the_new_key_is_met_as_the_same_contact(autojump_clock: object) -> None:
    """Its letters come to the same name; an old address leads to it."""
    async with world() as w:
        ben, eve, heir = await w.add("ben"), Puppet(w, "eve"), Puppet(w, "heir", 2)
        await eve.befriend(ben)
        nodes = (Endpoint(origin=heir.origin),)
        assert await tell(eve, ben, final(eve, heir.key, nodes=nodes)) == 204
        told: Answer = answers.decode((await heir.introduce(ben)).body)
        assert told.introduction is not None
        heir.capabilities[key_of(ben)] = told.introduction.claim.capability
        (answer,) = await heir.notify(ben, heir.item(ben, heir.letter()))
        assert answer.state == "accepted"
        await until(lambda: len(ben.inbox()) == 1, 600)
        assert name_of(ben, heir.key) == "eve"
        row = await ben.join(f"{names.did(eve.key)}@{eve.origin}")
        assert (row.did, row.name) == (heir.key, "eve")


async def test_an_old_address_of_somebody_unknown(autojump_clock: object) -> None:
    """Who was never known is added by an old address: the last record leads on."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        old = key_of(anna)
        new, _ = await replaced(anna)
        await ben.join(f"{names.did(old)}@{anna.origin}")
        await until(lambda: (row := ben.peer(new.owner)) is not None and row.refused == "held", 600)
        assert (row_of(ben, old).heir, row_of(ben, old).name) == (new.owner, None)
        assert row_of(ben, new.owner).name is not None


async def test_whoever_asks_a_replaced_owner_hears_who_goes_on(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        old = anna.owner()
        _, last = await replaced(anna)
        item = replace(eve.item(anna, eve.letter()), to=old.owner)
        (told,) = await eve.notify(anna, item)
        assert told.reason == "stale-record"
        assert told.record is not None
        assert told.record.block == last.record
        made = Introduction(
            sender=eve.key,
            to=old.owner,
            record=eve.record(),
            capability=bytes(16),
            issued=anna.now(),
        )
        block = INTRODUCTION.sign(made, eve.keys.signing)
        told = answers.decode((await eve.post(anna, "/v1/introductions", block)).body)
        assert (told.reason, told.record is not None) == ("stale-record", True)
        assert anna.inbox("anna-old") == []


# --- while everything goes wrong ------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_lost_on_a_bad_network(autojump_clock: object, seed: int) -> None:
    """Letters to somebody whose key is replaced meanwhile: each is in one of her mailboxes."""
    async with world(seed) as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        await w.friends(anna, ben)
        await w.friends(anna, carl)
        old, chance = key_of(anna), random.Random(seed)
        weather = w.net.weather
        weather.lose_request = weather.lose_answer = weather.double = 0.2
        weather.late, weather.late_by = 0.1, (1.0, 600.0)
        sent: dict[str, list[bytes]] = {ben.name: [], carl.name: []}
        replaced_at = chance.randrange(8)
        for turn in range(8):
            if turn == replaced_at:
                await replaced(anna)
            for each in (ben, carl):
                row = each.on.core.db.read(
                    lambda tx, it=each: petnames.find(tx, key_of(it), names.did(old))  # type: ignore[misc]
                )
                sent[each.name].append(await each.send([row.did], chance.randbytes(300)))
            if chance.random() < 0.3:
                each = chance.choice([anna, ben, carl])
                await w.off(each)
                await w.back(each)
            await trio.sleep(chance.uniform(0, 900))
        w.net.weather = Weather()
        new = key_of(anna)
        for each in (ben, carl):
            await until(lambda each=each: followed(each, old, new), 2 * DAY / 1000)  # type: ignore[misc]
            await until(
                lambda each=each: all(  # type: ignore[misc]
                    [row.state for row in deliveries(each, m)] == ["confirmed"]
                    for m in sent[each.name]
                ),
                2 * DAY / 1000,
            )
        got = {message for who in ("anna", "anna-old") for _, message, _ in anna.inbox(who)}
        assert got == {bytes(m) for each in sent.values() for m in each}
