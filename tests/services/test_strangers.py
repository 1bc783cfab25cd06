"""Strangers: one answer for all of them, and a ring that does not grow."""

from dataclasses import replace

import pytest
import trio

from node import limits
from node.crypto import tokens
from node.encoding import cid
from node.machines.rows import Held, fresh_account
from node.objects import answer, notification
from node.objects.answer import ACCEPTED, HELD, Answer
from node.ports import Request, Tables
from node.services import meet
from node.services.gate import Friends
from node.services.mailbox import Mailbox
from node.services.strangers import Visit
from node.units import DAY, Instant, Key
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet, did_path, some
from tests.services.test_delivery import key_of
from tests.services.test_receipts import everything


def ring(machine: Machine) -> int:
    me = key_of(machine)
    return machine.on.core.db.read(lambda tx: sum(1 for _ in tx.held.by("n", me)))


async def test_strangers_the_blocked_and_no_such_owner_look_the_same(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        stranger, blocked = Puppet(w, "stranger"), Puppet(w, "blocked", 2)
        await blocked.befriend(anna)
        row = anna.peer(blocked.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: meet.block(tx, row, anna.now()))
        bodies = set()
        nobody = Key(some("nobody"))
        for puppet, to in (
            (stranger, key_of(anna)),
            (stranger, nobody),
            (blocked, key_of(anna)),
            (blocked, nobody),
        ):
            item = puppet.item(anna, puppet.letter(), to=to)
            block = notification.encode_batch(puppet.batch(item))
            response = await puppet.post(anna, "/v1/notifications", block)
            bodies.add((response.status, response.body, response.headers))
        assert len(bodies) == 1
        assert ring(anna) == 1
        assert stranger.told("/v1/blocks") == blocked.told("/v1/blocks") == 0


async def test_a_full_ring_answers_the_same(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        for number in range(limits.RING + 20):
            puppet = Puppet(w, f"stranger {number}", number % 200 + 1)
            assert await puppet.notify(anna, puppet.item(anna, puppet.letter())) == [HELD]
        assert ring(anna) == limits.RING
        assert await anna.complaints() == []


async def test_one_key_has_one_slot(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        items = [eve.item(anna, eve.letter(word=str(i)), word=str(i)) for i in range(50)]
        assert set(await eve.notify(anna, *items)) == {HELD}
        assert (await eve.introduce(anna)).status == 200
        assert ring(anna) == 1


async def test_one_message_of_a_stranger_is_allowed(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        message = eve.letter()
        assert await eve.notify(anna, eve.item(anna, message)) == [HELD]
        await Mailbox(anna.on.core).allow_message(anna.owner(), cid.show(message))
        await until(lambda: len(anna.inbox()) == 1, 60)
        await until(lambda: eve.told("/v1/receipts") == 1, 60)
        # It is a stranger still.
        assert await eve.notify(anna, eve.item(anna, eve.letter(word="2"), word="2")) == [HELD]
        assert ring(anna) == 1


async def test_what_was_deleted_before_it_came_is_allowed_all_the_same(
    autojump_clock: object,
) -> None:
    """Its owner asks for this very message now, whatever became of it before."""
    async with world() as w:
        anna, eve = await w.add("anna", ask_over="1KiB"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = eve.letter(b"long " * 500)
        await eve.notify(anna, eve.item(anna, message, 2_500))
        assert [state for *_, state in anna.inbox()] == ["waiting"]
        mailbox = Mailbox(anna.on.core)
        await mailbox.delete(anna.owner(), ["1"])
        row = anna.peer(eve.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: tx.peers.delete(row))
        assert await eve.notify(anna, eve.item(anna, message, 2_500)) == [HELD]
        await mailbox.allow_message(anna.owner(), cid.show(message))
        await until(lambda: anna.inbox() == [(2, bytes(message), "new")], 600)
        await until(lambda: eve.told("/v1/receipts") == 1, 60)


async def test_a_contact_of_a_backup_is_known_again(autojump_clock: object) -> None:
    """Its capability verifies though its row is gone."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        row = anna.peer(eve.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: tx.peers.delete(row))
        assert await eve.notify(anna, eve.item(anna, eve.letter())) == [HELD]
        slot = anna.on.core.db.read(lambda tx: next(iter(tx.held.scan())))
        assert slot.known


async def test_a_capability_is_for_one_holder(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        stolen = eve.capabilities[key_of(anna)]
        told = await max_.notify(anna, max_.item(anna, max_.letter(), capability=stolen))
        assert told == [HELD]
        slot = anna.on.core.db.read(lambda tx: next(iter(tx.held.scan())))
        assert not slot.known
        guessed = tokens.capability(some("guess"), key_of(anna), max_.key)
        assert await max_.notify(anna, max_.item(anna, max_.letter(), capability=guessed)) == [HELD]


async def test_only_a_contact_learns_that_an_owner_is_gone(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        item = eve.item(anna, eve.letter())
        owner = anna.owner()
        await anna.flushed()
        await anna.on.core.db.transact(lambda tx: tx.owners.delete(owner))
        block = notification.encode_batch(eve.batch(item))
        response = await eve.post(anna, "/v1/notifications", block)
        told = answer.decode_all(response.body, 1)
        assert told == [Answer(state="refused", reason="not-here")]
        await anna.on.core.db.transact(lambda tx: tx.owners.put(owner))


async def test_what_the_blocked_say_is_not_kept(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        row = anna.peer(eve.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: meet.block(tx, row, anna.now()))
        await trio.sleep(60)  # what was owed to eve before
        await anna.flushed()
        before = everything(anna)
        assert await eve.notify(anna, eve.item(anna, eve.letter())) == [HELD]
        told = await eve.introduce(anna)
        assert b"held" in told.body
        await anna.flushed()
        assert everything(anna) == before


async def test_the_same_work_for_all_who_are_held(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is what costs: it is made for the blocked, for nobody and for a full ring too."""
    made: list[int] = []
    real = notification.encode_evidence

    def counted(proof: notification.Evidence) -> bytes:
        made.append(proof.index)
        return real(proof)

    monkeypatch.setattr(notification, "encode_evidence", counted)
    async with world() as w:
        anna = await w.add("anna")
        stranger, blocked = Puppet(w, "stranger"), Puppet(w, "blocked", 2)
        await blocked.befriend(anna)
        row = anna.peer(blocked.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: meet.block(tx, row, anna.now()))
        nobody = Key(some("nobody"))
        for count, (puppet, to) in enumerate(
            ((stranger, key_of(anna)), (stranger, nobody), (blocked, key_of(anna))), start=1
        ):
            await puppet.notify(anna, puppet.item(anna, puppet.letter(), to=to))
            assert len(made) == count
        fill(anna, limits.RING - 1)
        late = Puppet(w, "late", 3)
        await late.notify(anna, late.item(anna, late.letter()))
        assert len(made) == 4
        assert ring(anna) == limits.RING


def fill(machine: Machine, count: int) -> None:
    """So many slots of proven domains, each of its own."""
    me, now = key_of(machine), machine.now()

    def work(tx: Tables) -> None:
        account = tx.accounts.get(me) or fresh_account(me)
        for number in range(count):
            word = f"full{number}.com"
            held = Held(
                owner=me,
                sender=Key(some(word)),
                n=account.held + number + 1,
                received=now,
                source="192.0.2.1",
                proof=b"-",
                domain=word,
                by="address",
                origin=f"{word}:4625",
            )
            tx.held.put(held)
        tx.accounts.put(account.but(held=account.held + count, ring=account.ring + count))

    machine.on.core.db.apply(work)


def slots(machine: Machine) -> list[Held]:
    return machine.on.core.db.read(lambda tx: list(tx.held.scan()))


async def test_the_newest_word_of_an_item_counts(autojump_clock: object) -> None:
    """Whatever comes late: an older notification or introduction replaces no newer one."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        message = eve.letter()
        old = eve.item(anna, message, origin="127.0.3.1:4625")
        await eve.introduce(anna, capability=b"o" * 16)
        (before,) = slots(anna)
        await trio.sleep(60)
        new = eve.item(anna, message, origin="127.0.3.2:4625")
        for item in (new, old):
            assert await eve.notify(anna, item) == [HELD]
        await eve.introduce(anna, capability=b"n" * 16)
        (slot,) = slots(anna)
        assert (slot.origin, slot.issued) == ("127.0.3.2:4625", new.issued)
        assert slot.introduction != before.introduction
        await eve.introduce(anna, capability=b"o" * 16, issued=before.introduced)
        assert slots(anna) == [slot]


async def test_the_ring_empties_by_itself(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        soon = Instant(eve.now() + DAY)
        await eve.notify(anna, eve.item(anna, eve.letter(), keep_until=soon))
        await eve.introduce(anna)
        await max_.notify(anna, max_.item(anna, max_.letter(), keep_until=soon))
        assert ring(anna) == 2
        await trio.sleep(25 * 3600)
        (slot,) = slots(anna)
        assert (slot.sender, slot.message, slot.proof) == (eve.key, None, None)
        assert slot.introduction is not None
        await trio.sleep(30 * 86_400)
        assert slots(anna) == []
        assert await anna.complaints() == []


async def test_a_retraction_of_what_is_held_leaves_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await anna.flushed()
        me = key_of(anna)
        for word in ("1", "2", "3"):
            message = eve.letter(word=word)
            await eve.notify(anna, eve.item(anna, message, word=word))
            assert ring(anna) == 1
            assert await eve.one(anna, "/v1/retractions", eve.retraction(me, message)) == ACCEPTED
            assert slots(anna) == []
            assert anna.on.core.db.read(lambda tx: list(tx.withdrawn.scan())) == []
        await eve.introduce(anna)
        message = eve.letter()
        await eve.notify(anna, eve.item(anna, message))
        await eve.one(anna, "/v1/retractions", eve.retraction(me, message))
        (slot,) = slots(anna)
        assert (slot.introduction is not None, slot.message) == (True, None)


async def test_a_record_that_is_not_signed_asks_for_nobody(autojump_clock: object) -> None:
    """Whether a key is a contact here does not show in the answer to a broken record."""
    async with world() as w:
        anna = await w.add("anna")
        friend, stranger = Puppet(w, "friend"), Puppet(w, "stranger", 2)
        await friend.befriend(anna)
        seen = set()
        for puppet in (friend, stranger):
            broken = bytearray(puppet.record(seq=9))
            broken[-1] ^= 1
            answered = await puppet.post(anna, did_path(puppet.key), bytes(broken), "PUT")
            seen.add((answered.status, answered.body))
        assert [status for status, _ in seen] == [422]


async def test_nothing_of_a_stranger_is_looked_at_before_the_answer(
    autojump_clock: object,
) -> None:
    """The answer leaves first, whatever comes of it: its time tells nothing of what is known."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        block = notification.encode_batch(eve.batch(eve.item(anna, eve.letter())))
        request = Request(method="POST", path="/v1/notifications", body=block)
        response = await anna.on.peers.answer(request, "192.0.2.1")
        assert answer.decode_all(response.body, 1) == [HELD]
        assert (len(anna.on.strangers.doorstep), ring(anna)) == (1, 0)
        await anna.settled()
        assert (len(anna.on.strangers.doorstep), ring(anna)) == (0, 1)


async def test_a_retraction_finds_what_stands_on_the_doorstep(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        message = eve.letter()
        block = notification.encode_batch(eve.batch(eve.item(anna, message)))
        gone = eve.retraction(key_of(anna), message)
        for path, body in (("/v1/notifications", block), ("/v1/retractions", gone)):
            request = Request(method="POST", path=path, body=body)
            assert (await anna.on.peers.answer(request, "192.0.2.1")).status == 200
        await anna.settled()
        await trio.sleep(1)
        assert slots(anna) == []


async def test_a_doorstep_has_an_end(autojump_clock: object) -> None:
    """Where more come in one breath than it holds, the oldest are looked at at once."""
    async with world() as w:
        anna = await w.add("anna")
        who = anna.on.strangers
        visit = Visit(owner=key_of(anna), sender=Key(some("x")), source="192.0.2.1", at="x.com:1")

        def come(tx: Tables) -> None:
            for n in range(limits.LOBBY + 100):
                who.come(tx, replace(visit, sender=Key(some(f"x{n}")), item=None))

        anna.on.core.db.apply(come)
        assert len(who.doorstep) <= limits.LOBBY
        await anna.settled()


async def test_a_full_ring_reads_and_writes_nothing(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a flood of what gets no slot the store is not looked at: only the account, for all."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await anna.flushed()
        fill(anna, limits.RING)
        await anna.flushed()
        read: list[Held] = []
        monkeypatch.setattr(anna.on.strangers, "_barred", lambda tx, slot: read.append(slot))
        before = everything(anna)
        block = notification.encode_batch(eve.batch(eve.item(anna, eve.letter())))
        request = Request(method="POST", path="/v1/notifications", body=block)
        await anna.on.peers.answer(request, "192.0.2.1")
        await anna.settled()
        await anna.flushed()
        assert read == []
        assert everything(anna) == before


async def test_contacts_begin_first(autojump_clock: object) -> None:
    """Where a contact showed its capability, signed, it is remembered; nobody else is."""
    async with world() as w:
        anna = await w.add("anna")
        eve, max_ = Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        knows = anna.on.gate.friends.knows
        assert not knows("127.0.1.1")
        await max_.notify(anna, max_.item(anna, max_.letter()))
        await eve.notify(anna, eve.item(anna, eve.letter()))
        assert [knows(f"127.0.1.{n}") for n in (1, 2)] == [True, False]
        friends = Friends(2)
        for source in ("a", "b", "a", "c"):
            friends.note(source)
        assert [friends.knows(each) for each in "abc"] == [True, False, True]


async def test_only_what_a_contact_signed_begins_calm(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch does, and its node's answer; nothing that a stranger says."""
    async with world() as w:
        anna = await w.add("anna")
        eve, max_ = Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        stirred: list[float] = []
        monkeypatch.setattr(anna.on.core.calm, "stir", lambda: stirred.append(trio.current_time()))
        await max_.notify(anna, max_.item(anna, max_.letter()))
        assert stirred == []
        await eve.notify(anna, eve.item(anna, eve.letter()))
        await until(lambda: len(anna.inbox()) == 1, 60)
        assert len(stirred) == 2


async def test_a_key_has_one_share_for_an_owner_wherever_it_calls_from(
    autojump_clock: object,
) -> None:
    """And only who signed takes from it: others could use it up."""
    async with world() as w:
        anna, eve, mallory = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "mallory", 2)
        items = [eve.item(anna, eve.letter(word=str(i)), word=str(i)) for i in range(40)]
        raw = [notification.encode(each) for each in items]
        for each in raw[:20]:
            lie = notification.sign_batch(eve.key, [each], mallory.keys.signing)
            response = await mallory.post(anna, "/v1/notifications", notification.encode_batch(lie))
            assert response.status == 422
        checked = anna.on.gate.checked
        for number, item in enumerate(items):
            w.net.dns.hosts["127.0.1.1"] = (f"10.9.{number}.1",)  # another network each time
            assert await eve.notify(anna, item) == [HELD]
        assert anna.on.gate.checked - checked == limits.PAIR_BURST


async def test_what_nobody_signed_takes_nothing_when_it_comes_again(
    autojump_clock: object,
) -> None:
    """Nor is it decoded: one of its copies would use up the share of a whole network."""
    async with world() as w:
        anna, eve, mallory = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "mallory", 2)
        raw = notification.encode(eve.item(anna, eve.letter()))
        lie = notification.encode_batch(
            notification.sign_batch(eve.key, [raw], mallory.keys.signing)
        )
        for _ in range(limits.NETWORK_BURST + 10):
            assert (await mallory.post(anna, "/v1/notifications", lie)).status == 422
        assert anna.on.gate.checked == 1
        await eve.notify(anna, raw)
        assert (anna.on.gate.checked, ring(anna)) == (2, 1)


async def test_a_receipt_of_the_blocked_counts_and_wakes_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        row = anna.peer(eve.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: meet.block(tx, row, anna.now()))
        await trio.sleep(2 * 3600)
        before = anna.peer(eve.key)
        receipt = eve.receipt(key_of(anna), [message])
        assert await eve.one(anna, "/v1/receipts", receipt) == ACCEPTED
        assert anna.state(message, eve.key) == "confirmed"
        assert anna.peer(eve.key) == before
