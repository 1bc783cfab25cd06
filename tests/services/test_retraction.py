"""Taking mail back: real until pickup, honest after it."""

import trio

from node.encoding import cid as cids
from node.objects.answer import ACCEPTED
from node.objects.receipt import RETRACTION
from node.ports import Request, Response
from node.services.mailbox import Mailbox
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


async def retract(machine: Machine, message: bytes) -> None:
    await Mailbox(machine.on.core).retract(machine.owner(), cids.show(message))


async def test_before_it_was_told_nobody_ever_hears_of_it(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        w.net.weather.cut.add((anna.origin, eve.origin))
        await trio.sleep(60)
        message = await anna.send([eve.key], b"hello")
        row = anna.on.core.db.read(lambda tx: next(iter(tx.deliveries.scan())))
        assert not row.announced
        await retract(anna, message)
        w.net.weather.cut.clear()
        await trio.sleep(2 * 86_400)
        assert eve.told("/v1/retractions") == eve.told("/v1/notifications") == 0
        assert anna.state(message, eve.key) == "retracted"


async def test_after_it_was_told_the_notification_is_forgotten(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = eve.letter()
        told = eve.item(anna, message)
        del eve.blocks[message]  # not served yet
        assert await eve.notify(anna, told) == [ACCEPTED]
        gone = eve.retraction(key_of(anna), message)
        assert await eve.one(anna, "/v1/retractions", gone) == ACCEPTED
        again = (await eve.notify(anna, told))[0]
        assert again.state == "retracted"
        assert again.retraction is not None
        assert again.retraction.block == gone
        newer = (await eve.notify(anna, eve.item(anna, message)))[0]
        assert newer.state == "retracted"
        assert anna.inbox() == []


async def test_while_it_waits_the_inbox_shows_it_as_failed(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1KiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 5_000)
        await until(lambda: [state for _, _, state in ben.inbox()] == ["waiting"], 60)
        await retract(anna, message)
        await until(lambda: [state for _, _, state in ben.inbox()] == ["failed"], 60)
        assert anna.state(message, key_of(ben)) == "retracted"


async def test_after_pickup_the_answer_is_the_receipt(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        w.net.weather.cut.add((ben.origin, anna.origin))  # receipts and answers are lost
        to = key_of(ben)
        message = await anna.send([to], b"hello")
        await trio.sleep(1)
        w.net.weather.cut.clear()

        def lose(source: str, to: str, request: Request, response: Response) -> None:
            if request.path == "/v1/receipts":
                w.net.weather.cut.add((anna.origin, ben.origin))

        w.net.watchers.append(lose)
        await until(lambda: len(ben.inbox()) == 1, 60)
        w.net.watchers.clear()
        w.net.weather.cut.clear()
        if anna.state(message, to) != "confirmed":
            await retract(anna, message)
        await until(lambda: anna.state(message, to) == "confirmed", 600)
        assert len(ben.inbox()) == 1


async def test_a_receipt_beats_the_retraction(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", sent="drop"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await retract(anna, message)
        assert anna.state(message, eve.key) == "retracted"
        receipt = eve.receipt(key_of(anna), [message])
        assert await eve.one(anna, "/v1/receipts", receipt) == ACCEPTED
        row = anna.on.core.db.read(lambda tx: next(iter(tx.deliveries.scan())))
        assert (row.state, row.ended_as) == ("confirmed", "retracted")


async def test_of_a_retracted_message_nothing_is_served(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: eve.items_heard() != [], 60)
        ticket = eve.items_heard()[0].ticket
        assert (await eve.get(anna, message, ticket)).status == 200
        await retract(anna, message)
        assert (await eve.get(anna, message, ticket)).status == 410
        assert (await eve.get(anna, message, None)).status == 410
        assert (await eve.get(anna, message, b"w" * 16)).status == 404
        assert (await eve.car(anna, message, ticket)).status == 404


async def test_an_unknown_retraction_keeps_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        before = dict(anna.disk.copy().scan(b"X", b"Y"))
        gone = eve.retraction(key_of(anna), eve.letter())
        assert await eve.one(anna, "/v1/retractions", gone) == ACCEPTED
        await anna.flushed()
        assert dict(anna.disk.copy().scan(b"X", b"Y")) == before


async def test_somebody_elses_retraction_changes_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, mallory = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "mallory", 2)
        await eve.befriend(anna)
        await mallory.befriend(anna)
        message = eve.letter()
        told = eve.item(anna, message)
        kept = eve.blocks.pop(message)
        await eve.notify(anna, told)
        gone = mallory.retraction(key_of(anna), message)
        assert await mallory.one(anna, "/v1/retractions", gone) == ACCEPTED
        theirs = RETRACTION.decode(eve.retraction(key_of(anna), message)).claim
        forged = RETRACTION.sign(theirs, mallory.keys.signing)
        assert (await eve.post(anna, "/v1/retractions", forged)).status == 422
        eve.blocks[message] = kept
        await until(lambda: len(anna.inbox()) == 1, 600)
