"""A recipient restored from an old backup: asked again, kept for the grace, shown once."""

import msgspec
import pytest
import trio

from node import limits
from node.config import Pickup
from node.encoding import cid as cids
from node.errors import Refused
from node.objects import answer as answers
from node.objects.answer import ACCEPTED, Answer, PollAnswer
from node.objects.notification import Notification, decode
from node.ports import Request, Response
from node.services import awaken, meet, owners
from node.services.mailbox import Mailbox
from node.services.submit import Terms
from node.units import DAY
from tests.fakes.audit import database
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.shelves import added, letter, published, row_of
from tests.services.test_behind import behind
from tests.services.test_delivery import key_of


def items_of(told: PollAnswer | Answer) -> list[Notification]:
    assert isinstance(told, PollAnswer)
    return [decode(raw) for each in told.batches for raw in each.verify().items]


async def test_a_restored_recipient_gets_everything_again(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna", sent="drop"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        old = await anna.send([to], b"before the backup")
        await until(lambda: anna.state(old, to) == "confirmed", 60)
        await trio.sleep(60)
        await ben.flushed()
        disk, files, memory = ben.disk.copy(), ben.files.copy(), ben.now()
        await trio.sleep(60)
        lost = [await anna.send([to], b"x" * size) for size in (10, 30_000, 1_200_000)]
        await until(lambda: {anna.state(m, to) for m in lost} == {"confirmed"}, 600)
        await trio.sleep(5 * 86_400)
        await w.off(ben)
        await ben.restore(disk, files, memory)
        await w.back(ben)
        await until(lambda: len(ben.inbox()) == 4, 600)
        await until(lambda: {anna.state(m, to) for m in lost} == {"confirmed"}, 600)
        await trio.sleep(86_400)
        assert sorted(name for _, name, _ in ben.inbox()) == sorted(map(bytes, [old, *lost]))
        row = ben.peer(key_of(anna))
        assert row is not None
        assert row.lost is None


async def test_after_the_grace_it_is_gone(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", sent="drop"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        start = eve.now()
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        await trio.sleep(15 * 86_400)
        told = await eve.poll(anna, lost=(start, eve.now()))
        assert isinstance(told, PollAnswer)
        assert told.batches == ()
        assert anna.state(message, eve.key) == "confirmed"


async def test_a_grace_that_ended_by_a_wrong_clock(autojump_clock: object) -> None:
    """What stayed as sent mail is still there to be called for."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await ben.flushed()
        disk, files, memory = ben.disk.copy(), ben.files.copy(), ben.now()
        message = await anna.send([to], b"x" * 60_000)
        await until(lambda: anna.state(message, to) == "confirmed", 60)
        anna.clock.step(30 * DAY)
        await trio.sleep(2 * 86_400)
        anna.clock.step(-30 * DAY)
        await trio.sleep(3600)
        await w.off(ben)
        await ben.restore(disk, files, memory)
        await w.back(ben)
        await until(lambda: [name for _, name, _ in ben.inbox()] == [message])
        await until(lambda: anna.state(message, to) == "confirmed")


async def test_receipts_from_before_the_restore_are_void(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        receipt = eve.receipt(key_of(anna), [message])
        await eve.one(anna, "/v1/receipts", receipt)
        assert anna.state(message, eve.key) == "confirmed"
        await trio.sleep(3600)
        told = await eve.poll(anna, lost=(0, eve.now()))
        assert [each.message for each in items_of(told)] == [message]
        assert anna.state(message, eve.key) == "notified"
        ticket = eve.items_heard()[0].ticket
        assert (await eve.get(anna, message, ticket)).status == 200
        assert await eve.one(anna, "/v1/receipts", receipt) == ACCEPTED
        assert anna.state(message, eve.key) != "confirmed"
        await trio.sleep(1)
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        assert anna.state(message, eve.key) == "confirmed"


async def test_a_receipt_of_the_life_before_that_comes_late_is_void(autojump_clock: object) -> None:
    """It was under way, or the old machine ran on, while the poll said what was lost."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        late = eve.receipt(key_of(anna), [message])
        await trio.sleep(3600)
        told = await eve.poll(anna, lost=(0, eve.now()))
        assert [each.message for each in items_of(told)] == [message]
        assert await eve.one(anna, "/v1/receipts", late) == ACCEPTED
        assert anna.state(message, eve.key) == "notified"
        await trio.sleep(1)
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        assert anna.state(message, eve.key) == "confirmed"


async def test_what_was_withdrawn_and_lost_is_withdrawn(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", sent="drop"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await Mailbox(anna.on.core).retract(anna.owner(), cids.show(message))
        receipt = eve.receipt(key_of(anna), [message])  # it crossed the retraction
        await eve.one(anna, "/v1/receipts", receipt)
        assert anna.state(message, eve.key) == "confirmed"
        await trio.sleep(3600)
        told = await eve.poll(anna, lost=(0, eve.now()))
        assert isinstance(told, PollAnswer)
        assert told.batches == ()  # its bytes are gone
        await eve.one(anna, "/v1/receipts", receipt)
        assert anna.state(message, eve.key) == "retracted"


async def test_what_was_lost_is_said_until_it_was_heard(autojump_clock: object) -> None:
    """A poll refused for its clock is no answer: the next one says it again."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await ben.flushed()
        disk, files, memory = ben.disk.copy(), ben.files.copy(), ben.now()
        await trio.sleep(60)
        message = await anna.send([to], b"hello")
        await until(lambda: anna.state(message, to) == "confirmed", 60)
        await w.off(ben)
        await ben.restore(disk, files, memory)
        ben.clock.step(20 * 60_000)
        await w.back(ben)
        await trio.sleep(600)
        ben.clock.step(-20 * 60_000)
        await until(lambda: len(ben.inbox()) == 1, 86_400)


@pytest.mark.parametrize("days", [-400, 400])
async def test_what_was_confirmed_by_a_wrong_clock_comes_again(
    autojump_clock: object, days: int
) -> None:
    """The receipt's date does not say whether it came before the backup or after."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="300KiB")
        await w.friends(anna, ben)
        to, receipts = key_of(ben), list[Request]()

        def watch(_source: str, _to: str, said: Request, _response: Response) -> None:
            receipts.extend([said] if said.path == "/v1/receipts" else [])

        w.net.watchers.append(watch)
        large = await anna.send([to], b"called for " * 100_000)
        await until(lambda: [state for *_, state in ben.inbox()] == ["waiting"], 60)
        await ben.flushed()
        disk, files, memory = ben.disk.copy(), ben.files.copy(), ben.now()
        await trio.sleep(2 * 86_400)
        ben.clock.step(days * DAY)
        await _call(ben)
        await until(lambda: anna.state(large, to) == "confirmed", 60)
        ben.clock.step(-days * DAY)
        await w.off(ben)
        await ben.restore(disk, files, memory)
        await w.back(ben)
        await until(lambda: anna.state(large, to) != "confirmed", 600)
        # A late copy, of the life before.
        await w.net.deliver(ben.origin, anna.origin, receipts[0])
        assert anna.state(large, to) != "confirmed"
        await _call(ben)
        await until(lambda: [state for *_, state in ben.inbox()] == ["new"], 600)
        await until(lambda: anna.state(large, to) == "confirmed", 60)


async def test_what_failed_and_was_deleted_comes_again(autojump_clock: object) -> None:
    """Its author was away until after its end: it was not to be had, and is within the grace."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="300KiB")
        await w.friends(anna, ben)
        to = key_of(ben)
        large = await anna.send([to], b"called for " * 100_000, keep=2 * DAY)
        await until(lambda: [state for *_, state in ben.inbox()] == ["waiting"], 60)
        await ben.flushed()
        backup = ben.disk.copy(), ben.files.copy(), ben.now()
        await _call(ben)
        await until(lambda: anna.state(large, to) == "confirmed", 600)
        await w.off(anna)
        await w.off(ben)
        await ben.restore(*backup)
        await w.back(ben)
        await until(lambda: ben.inbox() == [(1, bytes(large), "failed")], 3 * 86_400)
        await Mailbox(ben.on.core).delete(ben.owner(), ["1"])
        await w.back(anna)
        await until(lambda: [state for *_, state in ben.inbox()] == ["waiting"], 86_400)
        await _call(ben)
        await until(lambda: anna.state(large, to) == "confirmed", 600)
        (mail,) = ben.inbox()
        assert mail == (awaken.GAP + 2, bytes(large), "new")
        assert await ben.complaints() == []


async def test_an_author_restored_after_its_recipient_is_told_again(
    autojump_clock: object,
) -> None:
    """What the recipient said of its loss is gone with the author's disk."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="300KiB")
        await w.friends(anna, ben)
        to = key_of(ben)
        await ben.flushed()
        bens = ben.disk.copy(), ben.files.copy(), ben.now()
        await trio.sleep(3600)
        large = await anna.send([to], b"called for " * 100_000)
        await until(lambda: [state for *_, state in ben.inbox()] == ["waiting"], 60)
        await _call(ben)
        await until(lambda: anna.state(large, to) == "confirmed", 600)
        await anna.flushed()
        annas = anna.disk.copy(), anna.files.copy(), anna.now()
        await w.off(ben)
        await ben.restore(*bens)
        await w.back(ben)
        await until(lambda: [state for *_, state in ben.inbox()] == ["waiting"], 600)
        await w.off(anna)
        await anna.restore(*annas)
        await w.back(anna)
        await until(lambda: anna.state(large, to) == "held", 86_400)
        await _call(ben)
        await until(lambda: [state for *_, state in ben.inbox()] == ["new"], 86_400)
        await trio.sleep(86_400)
        w.net.calls.clear()
        await trio.sleep(86_400)
        assert len(w.net.calls) < 30  # nobody tells for ever


async def test_an_author_restored_from_before_its_clock_was_wrong(autojump_clock: object) -> None:
    """Its recipient, whom nobody can call, asks from where the life before had come to."""
    async with world() as w:
        anna, ben = await behind(w)
        to = key_of(anna)
        await ben.flushed()
        disk, files, memory = ben.disk.copy(), ben.files.copy(), ben.now()
        for each in (anna, ben):
            each.clock.step(5 * DAY)
        first = await ben.send([to], b"of a day to come")
        await until(lambda: ben.state(first, to) == "confirmed")
        await trio.sleep(3600)
        await w.off(ben)
        for each in (anna, ben):
            each.clock.step(-5 * DAY)
        await ben.restore(disk, files, memory)
        await w.back(ben)
        await trio.sleep(3600)
        second = await ben.send([to], b"of today")
        await until(lambda: ben.state(second, to) == "confirmed")
        assert len(anna.inbox()) == 2


async def test_all_pages_of_an_author_that_gives_lower_stamps_now(autojump_clock: object) -> None:
    """None of it ends, so a first page that is told again and again would hide all the rest."""
    async with world() as w:
        anna, ben = await behind(w)
        to = key_of(anna)
        row = anna.peer(key_of(ben))
        assert row is not None
        ahead = row.but(since=ben.now() + 500 * DAY)
        await anna.on.core.db.transact(lambda tx: tx.peers.put(ahead))
        texts = [b"%d" % n for n in range(600)]
        large = anna.config
        await w.off(anna)
        anna.config = msgspec.structs.replace(large, pickup=Pickup(ask_over="1"))
        sent = await ben.on.submission.small(ben.owner(), texts, Terms(to=(to,)))
        await w.back(anna)
        await until(lambda: len(anna.inbox()) == len(sent), 3600)


async def _call(machine: Machine) -> None:
    """The owner calls for what waits."""
    row = machine.on.core.db.read(lambda tx: next(tx.mails.scan()))
    await Mailbox(machine.on.core).call(machine.owner(), row)


async def test_lost_that_makes_no_sense_changes_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        for lost in ((0, 0), (5, 3), (2**53 - 1, 2**53 - 1), (0, 1), (2**53 - 1, 0)):
            await trio.sleep(1)
            told = await eve.poll(anna, lost=lost)
            assert isinstance(told, PollAnswer)
        assert anna.state(message, eve.key) == "confirmed"


async def test_what_is_forgotten_begins_a_step_before_the_backup(autojump_clock: object) -> None:
    """The clock of then may have been ahead, unnoticed; and a loss not told yet is told with the
    next one."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await ben.flushed()
        first = ben.now()
        await w.off(anna)  # nobody hears of it
        for memory in (first, first + DAY):
            await w.off(ben)
            await ben.restore(ben.disk, ben.files, memory)
            begun = ben.clock.now()
            lost = database(ben.disk).read(lambda tx: tx.node().lost)
            assert lost == (first - limits.CLOCK_STEP, begun)
            row = database(ben.disk).read(lambda tx: next(iter(tx.peers.by("named"))))
            assert row.lost == lost
            await w.back(ben)
            await trio.sleep(2 * 86_400)
            await ben.flushed()


async def test_it_speaks_with_a_newer_record_and_tells_it(autojump_clock: object) -> None:
    """Newer than any it may have made since the backup, which its contacts know."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await ben.flushed()
        before = owners.record_of(ben.owner()).claim
        await w.off(anna)  # nobody hears of it
        await w.off(ben)
        await ben.restore(ben.disk, ben.files, ben.clock.now())
        disk = database(ben.disk)
        owner = disk.read(lambda tx: owners.find(tx, None))
        assert owners.record_of(owner).claim.beats(before)
        told = disk.read(lambda tx: [row for row in tx.errands.scan() if row.kind == "record"])
        assert [(row.owner, row.message) for row in told] == [
            (owner.owner, cids.of_object(owner.record))
        ]
        await w.back(anna)
        await w.back(ben)
        await until(
            lambda: (row := anna.peer(key_of(ben))) is not None and row.record == owner.record
        )


async def test_an_archive_signs_nothing_before_it_caught_up(autojump_clock: object) -> None:
    """Its log may have grown since the backup, and been seen."""
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(1)])
        await anna.flushed()
        disk, files, memory = anna.disk.copy(), anna.files.copy(), anna.now()
        await added(anna, "cats", [letter(2)])
        await w.off(anna)
        await anna.restore(disk, files, memory)
        await w.back(anna)
        with pytest.raises(Refused, match="restored from a backup"):
            await added(anna, "cats", [letter(3)])
        assert row_of(anna, "cats").behind


async def test_what_is_given_once_is_not_given_again(autojump_clock: object) -> None:
    """Numbers that it may have given since; invites by which somebody may have come."""
    async with world() as w:
        anna, ben, eve = await w.add("anna"), await w.add("ben"), Puppet(w, "eve")
        await w.friends(anna, ben)
        await eve.befriend(ben)
        blocked = ben.peer(eve.key)
        assert blocked is not None
        await ben.on.core.db.transact(lambda tx: meet.block(tx, blocked, ben.now()))
        me, link = key_of(ben), await ben.invite()
        await ben.flushed()
        before = ben.on.core.db.read(lambda tx: (tx.accounts.get(me), tx.peers.get(me, eve.key)))
        await w.off(ben)
        await ben.restore(ben.disk, ben.files, ben.clock.now())
        disk = database(ben.disk)
        account, peer = disk.read(lambda tx: (tx.accounts.get(me), tx.peers.get(me, eve.key)))
        assert before[0] is not None
        assert account == before[0].but(
            mails=before[0].mails + awaken.GAP, held=before[0].held + awaken.GAP
        )
        assert peer == before[1]  # what the blocked sent was not taken: nothing of it is lost
        await w.back(ben)
        late = Puppet(w, "late", 2)
        response = await late.introduce(ben, link)
        assert answers.decode(response.body).introduction is None
