"""Polls and records: what a contact may ask for and what it may tell."""

import trio

from node import limits
from node.machines.rows import Peer
from node.objects.answer import Answer, PollAnswer
from node.objects.notification import decode
from node.services import meet
from node.services.submit import Terms
from node.units import Instant
from tests.fakes.world import until, world
from tests.services.puppet import Puppet, did_path
from tests.services.test_delivery import key_of
from tests.services.test_receipts import everything
from tests.services.test_restore import items_of

BUSY = Answer(state="refused", reason="busy")
CLOCK = Answer(state="refused", reason="clock")


async def test_polls_page_through_many_rows(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        texts = [b"%d" % i for i in range(600)]
        sent = await anna.on.submission.small(anna.owner(), texts, Terms(to=(eve.key,)))
        since, seen, pages = 0, [], 0
        while True:
            await trio.sleep(0.01)
            told = await eve.poll(anna, since)
            assert isinstance(told, PollAnswer)
            seen += [each.message for each in items_of(told)]
            pages, since = pages + 1, told.now
            if not told.more:
                break
        assert (pages, seen) == (3, list(sent))
        await trio.sleep(0.01)
        nothing = await eve.poll(anna, since)
        assert nothing == PollAnswer(now=since, more=False)


async def test_a_node_that_lost_its_place_reads_all_pages(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await w.off(ben)
        texts = [b"%d" % i for i in range(600)]
        await anna.on.submission.small(anna.owner(), texts, Terms(to=(to,)))
        await w.back(ben)
        await until(lambda: len(ben.inbox()) == 600, 60)


async def test_issued_must_grow_and_be_near(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(3600)
        now = eve.now()
        assert isinstance(await eve.poll(anna, issued=now), PollAnswer)
        assert await eve.poll(anna, issued=now) == CLOCK
        assert await eve.poll(anna, issued=now - 1) == CLOCK
        assert await eve.poll(anna, issued=now + 11 * 60_000) == CLOCK
        assert await eve.poll(anna, issued=now - 11 * 60_000) == CLOCK
        assert isinstance(await eve.poll(anna, issued=now + 1), PollAnswer)


async def test_a_contact_that_polls_all_day_gets_its_share(autojump_clock: object) -> None:
    """Each item is a box that is sealed anew: at once as many as are told, then at a pace."""
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        await max_.befriend(anna)
        texts = [b"%d" % i for i in range(limits.BATCH)]
        for puppet in (eve, max_):
            await anna.on.submission.small(anna.owner(), texts, Terms(to=(puppet.key,)))
        boxes, answered, told = 0, 0, await eve.poll(anna)
        while told != BUSY:
            assert isinstance(told, PollAnswer)
            boxes, answered = boxes + len(items_of(told)), answered + 1
            assert answered < 200
            await trio.sleep(0.001)
            told = await eve.poll(anna)
        seconds = 1 + answered
        assert limits.POLLED_BURST <= boxes <= limits.POLLED_BURST + 40 * seconds
        # It is bound to nobody else, and over by itself; a part is told where not all may be.
        assert len(items_of(await max_.poll(anna))) == limits.BATCH
        await trio.sleep(1)
        part = await eve.poll(anna)
        assert isinstance(part, PollAnswer)
        assert 0 < len(items_of(part)) <= 41
        assert part.more
        await trio.sleep(60)
        rest = await eve.poll(anna, part.now)
        assert len(items_of(part)) + len(items_of(rest)) == limits.BATCH


async def test_a_contact_that_loses_everything_all_day_gets_its_share(
    autojump_clock: object,
) -> None:
    """Each time all that is open, or was confirmed, is looked at, whatever is told then."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        texts = [b"%d" % i for i in range(limits.BATCH)]
        await anna.on.submission.small(anna.owner(), texts, Terms(to=(eve.key,)))
        last = anna.on.core.db.read(lambda tx: tx.accounts.get(key_of(anna)))
        assert last is not None
        answered = 0
        while await eve.poll(anna, since=last.stamp, lost=(0, eve.now())) != BUSY:
            answered += 1
            assert answered < 200
            await trio.sleep(0.001)
        assert answered >= limits.POLLED_BURST // limits.BATCH


async def test_whoever_is_blocked_is_told_what_a_stranger_is(autojump_clock: object) -> None:
    """Whatever a poll says of its time, and however often it comes."""
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        row = anna.peer(eve.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: meet.block(tx, row, anna.now()))
        now = eve.now()
        for issued in (now, now, now - 60 * 60_000, now + 60 * 60_000):
            assert await eve.poll(anna, issued=issued) == await max_.poll(anna, issued=issued)
        for n in range(2 * limits.POLLED_BURST):
            assert await eve.poll(anna, issued=now + n) == PollAnswer(now=Instant(0), more=False)


async def test_strangers_poll_for_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await trio.sleep(60)
        await anna.flushed()
        before = everything(anna)
        told = await eve.poll(anna, since=5)
        assert told == PollAnswer(now=5, more=False)  # type: ignore[arg-type]
        await anna.flushed()
        assert everything(anna) == before


async def test_a_poll_alone_announces(autojump_clock: object) -> None:
    """Its answer may be all that ever came: the receipt counts."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        del w.net.machines[eve.origin]
        message = await anna.send([eve.key], b"hello")
        told = await eve.poll(anna)
        assert isinstance(told, PollAnswer)
        assert decode(told.batches[0].claim.items[0]).message == message
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        assert anna.state(message, eve.key) == "confirmed"


async def test_records_of_contacts_are_renewed(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        newer, older = eve.record(seq=7), eve.record(seq=3)
        assert (await eve.post(anna, did_path(eve.key), newer, "PUT")).status == 204
        row = anna.peer(eve.key)
        assert row is not None
        assert row.record == newer
        refused = await eve.post(anna, did_path(eve.key), older, "PUT")
        assert (refused.status, refused.body) == (409, newer)
        assert (await eve.post(anna, did_path(eve.key), newer, "PUT")).status == 204
        other = Puppet(w, "other", 2)
        assert (await eve.post(anna, did_path(eve.key), other.record(), "PUT")).status == 422


async def test_records_of_strangers_are_not_kept(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await trio.sleep(60)
        await anna.flushed()
        before = everything(anna)
        assert (await eve.post(anna, did_path(eve.key), eve.record(), "PUT")).status == 204
        await anna.flushed()
        assert everything(anna) == before


async def test_a_node_that_moved_says_so(autojump_clock: object) -> None:
    """Its contacts learn of the new origin, and mail flows both ways."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        me, to = key_of(anna), key_of(ben)
        await trio.sleep(60)
        await w.off(anna)
        w.move(anna, "127.0.0.77:4625")
        await w.back(anna)
        there = await anna.send([to], b"from the new place")
        await until(lambda: anna.state(there, to) == "confirmed", 3600)
        back = await ben.send([me], b"to the new place")
        await until(lambda: ben.state(back, me) == "confirmed", 3600)


async def test_a_restore_in_the_future_voids_no_receipt_to_come(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        assert anna.state(message, eve.key) == "confirmed"
        await eve.poll(anna, lost=(0, 2**53 - 1))
        assert anna.state(message, eve.key) == "notified"
        later = eve.receipt(key_of(anna), [message], at=eve.now() + 11 * 60_000)
        await eve.one(anna, "/v1/receipts", later)
        assert anna.state(message, eve.key) == "confirmed"


async def test_who_has_an_old_record_gets_the_newest(autojump_clock: object) -> None:
    """Two owners of one node may know different records of a key."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        second = await anna.another("second")
        await eve.befriend(anna)
        me = anna.owner().owner
        for owner, seq in ((me, 3), (second.owner, 7)):
            row = Peer(owner=owner, did=eve.key, name="eve", record=eve.record(seq=seq))
            anna.on.core.db.apply(lambda tx, row=row: tx.peers.put(row))  # type: ignore[misc]
        answered = await eve.post(anna, did_path(eve.key), eve.record(seq=2), "PUT")
        assert (answered.status, answered.body) == (409, eve.record(seq=7))
