"""Receipts count when the addressee signed them for that message and author; else nothing does."""

import pytest
import trio

from node.encoding.cid import Cid
from node.objects.answer import ACCEPTED
from node.objects.receipt import RECEIPT, Receipt
from node.units import DAY
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


def everything(machine: Machine) -> dict[bytes, bytes]:
    rows = dict(machine.disk.copy().scan(b"\x00", b"\xff"))
    rows.pop(b"!node", None)
    return rows


async def told(w: object, anna: Machine, eve: Puppet) -> Cid:
    message = await anna.send([eve.key], b"hello")
    await until(lambda: anna.state(message, eve.key) == "notified", 60)
    await anna.flushed()
    return message


async def test_receipts_that_count_for_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, mallory = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "mallory", 2)
        await eve.befriend(anna)
        await mallory.befriend(anna)
        await trio.sleep(60)
        message = await told(w, anna, eve)
        before = everything(anna)
        me = key_of(anna)
        other = eve.letter()
        for block in (
            mallory.receipt(me, [message]),  # not the addressee
            eve.receipt(me, [other]),  # another message
            eve.receipt(mallory.key, [message]),  # another author
        ):
            assert await eve.one(anna, "/v1/receipts", block) == ACCEPTED
            await anna.flushed()
            assert everything(anna) == before
        claim = Receipt(sender=eve.key, to=me, messages=(message,), at=eve.now())
        forged = RECEIPT.sign(claim, mallory.keys.signing)
        assert (await eve.post(anna, "/v1/receipts", forged)).status == 422
        assert (await eve.post(anna, "/v1/receipts", b"\xa0")).status == 400
        await anna.flushed()
        assert everything(anna) == before
        assert anna.state(message, eve.key) == "notified"


async def test_a_receipt_before_the_announcement_is_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        message = await anna.send([eve.key], b"hello")
        receipt = eve.receipt(key_of(anna), [message])
        assert await eve.one(anna, "/v1/receipts", receipt) == ACCEPTED
        assert anna.state(message, eve.key) != "confirmed"
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        assert await eve.one(anna, "/v1/receipts", receipt) == ACCEPTED
        assert anna.state(message, eve.key) == "confirmed"


@pytest.mark.parametrize("sent", ["keep", "drop"])
async def test_a_receipt_after_expiry_is_still_true(autojump_clock: object, sent: str) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", sent=sent), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello", keep=2 * DAY)
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await trio.sleep(2 * 86_400 + 120)
        assert anna.state(message, eve.key) == "expired"
        assert await anna.complaints() == []
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        row = anna.on.core.db.read(lambda tx: next(iter(tx.deliveries.scan())))
        assert (row.state, row.ended_as) == ("confirmed", "expired")


async def test_confirmed_blocks_stay_for_the_grace_and_then_go(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna", sent="drop"), await w.add("ben")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 1_200_000)
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 600)
        account = anna.on.core.db.read(lambda tx: next(iter(tx.accounts.scan())))
        assert (account.waiting, account.sent) == (0, 0)
        assert account.grace > 1_200_000
        await trio.sleep(13.9 * 86_400)
        assert len(anna.files._blocks) == 2
        await trio.sleep(0.2 * 86_400)
        account = anna.on.core.db.read(lambda tx: next(iter(tx.accounts.scan())))
        assert (account.waiting, account.grace, account.sent) == (0, 0, 0)
        assert anna.files._blocks == {}
        assert await anna.complaints() == []


async def test_kept_sent_mail_is_charged_as_sent(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 600)
        await trio.sleep(15 * 86_400)
        account = anna.on.core.db.read(lambda tx: next(iter(tx.accounts.scan())))
        assert account.grace == account.waiting == 0
        assert account.sent > 0


async def test_what_expires_says_not_confirmed(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", sent="drop"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"x" * 1_200_000, keep=3 * DAY)
        await trio.sleep(2.9 * 86_400)
        assert anna.state(message, eve.key) == "notified"
        ticket = eve.items_heard()[0].ticket
        assert (await eve.get(anna, message, ticket)).status == 200
        await trio.sleep(0.2 * 86_400)
        assert anna.state(message, eve.key) == "expired"
        assert (await eve.get(anna, message, ticket)).status == 410
        assert anna.files._blocks == {}
        assert await anna.complaints() == []


async def test_a_receipt_names_many_messages(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await w.off(ben)
        sent = [await anna.send([to], b"%d" % i) for i in range(300)]
        await w.back(ben)
        w.net.calls.clear()
        await until(lambda: {anna.state(m, to) for m in sent} == {"confirmed"}, 600)
        receipts = [path for _, _, path in w.net.calls if path == "/v1/receipts"]
        assert len(receipts) <= 4
