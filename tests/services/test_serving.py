"""Who gets which block, and what everybody else sees."""

from node.encoding import car, cid
from node.objects.answer import ACCEPTED
from node.ports import Request
from node.store import keyspace
from tests.fakes.world import until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


async def test_serving_rules(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        await max_.befriend(anna)
        message = await anna.send([eve.key, max_.key], b"hello")
        await until(lambda: bool(eve.items_heard() and max_.items_heard()), 60)
        mine, theirs = eve.items_heard()[0].ticket, max_.items_heard()[0].ticket
        assert mine != theirs
        good = await eve.get(anna, message, mine)
        assert good.status == 200
        assert ("Cache-Control", "private, no-store") in good.headers
        missing = await eve.get(anna, eve.letter(), mine)
        for ticket in (b"w" * 16, None):
            refused = await eve.get(anna, message, ticket)
            assert refused.status == missing.status == 404
        bad = Request(method="GET", path=f"/v1/blocks/{cid.show(message)}", bad_ticket=True)
        assert (await w.net.deliver(eve.origin, anna.origin, bad)).status == 404

        # One addressee has it: its ticket is over, the other's is not, none tells nothing.
        assert await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message])) == ACCEPTED
        assert (await eve.get(anna, message, mine)).status == 410
        assert (await eve.get(anna, message, theirs)).status == 200
        assert (await eve.get(anna, message, None)).status == 404
        await max_.one(anna, "/v1/receipts", max_.receipt(key_of(anna), [message]))
        assert (await eve.get(anna, message, theirs)).status == 410
        assert (await eve.get(anna, message, None)).status == 410
        assert (await eve.get(anna, message, b"w" * 16)).status == 404


async def test_a_ticket_is_for_one_message(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        one, two = [await anna.send([eve.key], text) for text in (b"one", b"two")]
        await until(lambda: {anna.state(m, eve.key) for m in (one, two)} == {"notified"}, 60)
        ticket = {item.message: item.ticket for item in eve.items_heard()}
        assert (await eve.get(anna, one, ticket[one])).status == 200
        assert (await eve.get(anna, one, ticket[two])).status == 404
        assert (await eve.car(anna, one, ticket[two])).status == 404
        assert anna.state(two, eve.key) == "notified"


async def test_head_gives_the_size_and_does_not_count(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        ticket = eve.items_heard()[0].ticket
        head = await eve.get(anna, message, ticket, "HEAD")
        body = (await eve.get(anna, message, None, "HEAD")).body
        assert head.status == 200
        assert head.body == b""
        assert body == b"" or b"absent" in body
        assert anna.state(message, eve.key) == "notified"
        whole = await eve.get(anna, message, ticket)
        assert ("Content-Length", str(len(whole.body))) in head.headers
        assert anna.state(message, eve.key) == "fetched"


async def test_fetched_is_the_root_and_every_part(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"x" * 2_100_000)
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        ticket = eve.items_heard()[0].ticket
        sent = anna.on.core.db.read(lambda tx: next(iter(tx.sent.scan())))
        response = await eve.car(anna, message, ticket)
        assert dict(car.read(response.body)).keys() == {message}
        assert (await eve.car(anna, message, None)).status == 404
        for part in sent.parts:
            assert anna.state(message, eve.key) == "notified"
            assert (await eve.get(anna, part, ticket)).status == 200
        assert anna.state(message, eve.key) == "fetched"


async def test_one_damaged_block_does_not_stop_the_others(autojump_clock: object) -> None:
    """What can't be read is left out of the CAR; the rest of the mail flows."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await w.off(ben)
        bad = await anna.send([to], b"damaged")
        good = await anna.send([to], b"sound")
        block = anna.on.core.db.read(lambda tx: tx.blocks.get(bad))
        assert block is not None
        assert block.seq is not None
        await anna.flushed()
        body = keyspace.body(block.seq)
        kept = anna.disk.get(body)
        anna.disk.write({body: b"nonsense"})
        await w.back(ben)
        await until(lambda: [name for _, name, _ in ben.inbox()] == [bytes(good)], 2)
        anna.disk.write({body: kept})
        await until(lambda: len(ben.inbox()) == 2, 2 * 86_400)
