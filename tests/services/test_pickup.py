"""What a recipient takes, and what no sender can make it take."""

from dataclasses import dataclass, replace

import trio

from node.encoding import cid as cids
from node.errors import Unreachable
from node.objects import answer, content, message
from node.objects.answer import ACCEPTED, Answer
from node.ports import Request, Response
from node.units import DAY
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet, some
from tests.services.test_delivery import key_of
from tests.services.test_receipts import everything


async def refused_three_times(anna: Machine, eve: Puppet, name: cids.Cid, size: int = 22) -> None:
    """Nothing of it is shown or kept, and in the end its sender is told."""
    assert await eve.notify(anna, eve.item(anna, name, size)) == [ACCEPTED]
    await trio.sleep(3600)
    assert anna.inbox() == []
    assert eve.told("/v1/receipts") == 0
    (told,) = await eve.notify(anna, eve.item(anna, name, size))
    assert told == Answer(state="refused", reason="unreadable")
    await trio.sleep(2 * 86_400)
    assert await anna.complaints() == []
    assert anna.files._blocks == {}


async def test_a_root_of_another_author(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        name = max_.letter()
        eve.blocks[name] = max_.blocks[name]
        await refused_three_times(anna, eve, name)


async def test_a_stolen_ciphertext_under_an_own_root(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        theirs = message.KIND.decode(max_.blocks[max_.letter()]).claim
        stolen = message.Message(
            author=eve.key,
            created=theirs.created,
            size=theirs.size,
            commitment=theirs.commitment,
            body=theirs.body,
        )
        name = eve.keep(message.KIND.sign(stolen, eve.keys.signing))
        await refused_three_times(anna, eve, name)


async def test_a_stolen_ciphertext_with_a_right_commitment(autojump_clock: object) -> None:
    from node.crypto import sealed

    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        theirs = message.KIND.decode(max_.blocks[max_.letter()]).claim
        stolen = message.Message(
            author=eve.key,
            created=theirs.created,
            size=theirs.size,
            commitment=sealed.commitment(some("k/1"), eve.key),
            body=theirs.body,
        )
        name = eve.keep(message.KIND.sign(stolen, eve.keys.signing))
        await refused_three_times(anna, eve, name)


async def test_a_root_that_its_author_did_not_sign(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        plain = b"Subject: hi\r\n\r\nhello\r\n"
        root = content.seal_body(some("k/1"), eve.key, eve.now(), plain, some("another's"))
        await refused_three_times(anna, eve, eve.keep(root), size=len(plain))


async def test_a_key_that_the_root_does_not_commit_to(autojump_clock: object) -> None:
    """One ciphertext might open to two texts, with two keys."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        mine = message.KIND.decode(eve.blocks[eve.letter()]).claim
        other = replace(mine, commitment=some("another key's"))
        name = eve.keep(message.KIND.sign(other, eve.keys.signing))
        await refused_three_times(anna, eve, name)


async def test_sizes_that_disagree(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await refused_three_times(anna, eve, eve.letter(), size=23)


async def test_a_block_that_does_not_hash(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        name = eve.letter()
        eve.blocks[name] = eve.blocks[name][:-1] + b"?"
        await refused_three_times(anna, eve, name)


async def test_another_message_under_its_name(autojump_clock: object) -> None:
    """Signed, of the same author, size and key: nothing but the hash tells them apart."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        name, other = eve.letter(), eve.letter(b"Subject: hi\r\n\r\nhullo\r\n")
        eve.blocks[name] = eve.blocks[other]
        await refused_three_times(anna, eve, name)


async def test_a_part_that_does_not_hash(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        name = eve.parcel(b"x" * 2_000_000)
        last = max(eve.blocks, key=lambda c: (c != name, len(eve.blocks[c])))
        eve.blocks[last] = eve.blocks[last][:-1] + b"?"
        await refused_three_times(anna, eve, name, size=2_000_000)


async def test_parts_under_another_key(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        plain = b"x" * 1_200_000
        name = eve.parcel(plain, "other")
        root = message.KIND.decode(eve.blocks[name]).claim
        key = some("k/1")
        name = eve.keep(
            content.seal_root(key, eve.key, eve.now(), len(plain), root.parts, eve.keys.signing)
        )
        await refused_three_times(anna, eve, name, size=len(plain))


async def test_plain_messages_are_no_mail(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        plain = message.Message(
            author=eve.key, created=eve.now(), size=5, cipher="none", body=b"hello"
        )
        name = eve.keep(message.KIND.sign(plain, eve.keys.signing))
        await refused_three_times(anna, eve, name, size=5)


async def test_gone_is_gone(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        name = eve.letter()
        kept = eve.blocks.pop(name)
        eve.says[f"/v1/blocks/{cids.show(name)}"] = Response(status=410)
        assert await eve.notify(anna, eve.item(anna, name)) == [ACCEPTED]
        await trio.sleep(60)
        assert anna.on.core.db.read(lambda tx: list(tx.pickups.scan())) == []
        # A newer notification starts afresh.
        eve.says.clear()
        eve.blocks[name] = kept
        await eve.notify(anna, eve.item(anna, name))
        await until(lambda: len(anna.inbox()) == 1, 60)


async def test_a_large_message_that_never_comes_holds_up_no_other(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        large = eve.parcel(b"x" * 1_200_000)
        small = [eve.letter(word=str(i)) for i in range(1, 6)]
        answered = eve.answer

        async def cut(request: Request, source: str) -> Response:
            name = request.path.removeprefix("/v1/blocks/")
            if name != request.path and cids.parse(name) != large:
                raise Unreachable("the line is cut in the middle", reason="timeout")
            return await answered(request, source)

        eve.answer = cut  # type: ignore[method-assign]
        items = [eve.item(anna, name, word=str(i)) for i, name in enumerate(small, 1)]
        await eve.notify(anna, eve.item(anna, large, 1_200_000), *items)
        await until(lambda: len(anna.inbox()) == 5, 30)
        assert sum(anna.on.core.keeping.values()) == 0
        eve.answer = answered  # type: ignore[method-assign]
        await until(lambda: len(anna.inbox()) == 6, 2 * 86_400)


async def test_pickups_go_on_when_the_sender_is_heard_from(autojump_clock: object) -> None:
    """The sender's node was down for days; it calls, and what was owed is fetched at once."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        name = eve.letter()
        machines = w.net.machines
        await eve.notify(anna, eve.item(anna, name))
        puppet = machines.pop(eve.origin)
        await trio.sleep(3 * 86_400 + 3600)
        assert anna.inbox() == []
        machines[eve.origin] = puppet
        await eve.poll(anna)
        await until(lambda: len(anna.inbox()) == 1, 10)


async def test_a_changed_sealing_key_reseals(autojump_clock: object) -> None:
    """The box does not open: the answer has the newer record, and the next box does open."""
    from node.crypto import keys
    from node.objects import record
    from node.services import owners

    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        me = ben.owner()
        old = owners.record_of(me).claim
        fresh = some("fresh sealing key")
        new = record.Record(
            id=old.id,
            sealing=keys.sealing_public(fresh),
            recovery=old.recovery,
            nodes=old.nodes,
            seq=old.seq + 1,
            issued=ben.now(),
            expires=old.expires,
            name=old.name,
        )
        block = record.sign(new, me.signing)
        await ben.on.core.db.transact(
            lambda tx: tx.owners.put(me.but(record=block, sealing=((fresh, ben.now()),)))
        )
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 10)
        row = anna.on.core.db.read(lambda tx: next(iter(tx.deliveries.scan())))
        assert [each.answer for each in row.attempts] == ["refused stale-record", "accepted"]


async def test_items_that_show_their_own_fault(autojump_clock: object) -> None:
    from node.objects import notification

    async with world() as w:
        anna, eve, max_ = await w.add("anna", message="1MiB"), Puppet(w, "eve"), Puppet(w, "max", 2)
        await eve.befriend(anna)
        name, now = eve.letter(), eve.now()
        good = eve.item(anna, name)
        told = await eve.notify(
            anna,
            eve.item(anna, eve.letter(word="2"), size=(1 << 20) + 1),
            eve.item(anna, eve.letter(word="3"), issued=now + 11 * 60_000),
            eve.item(anna, eve.letter(word="4"), keep_until=now - 1),
            eve.item(anna, eve.letter(word="5"), keep_until=now + 401 * DAY),
            b"\xa0",
            b"x" * 513,
            max_.item(anna, max_.letter()),
            good,
            good,
        )
        words = [each.reason or each.state for each in told]
        assert words == [
            "too-large",
            "clock",
            "expired",
            "malformed",
            "malformed",
            "malformed",
            "forged",
            "accepted",
            "malformed",
        ]
        await until(lambda: len(anna.inbox()) == 1, 10)
        assert notification.encode(good)


async def test_one_altered_item_spoils_the_batch(autojump_clock: object) -> None:
    from dataclasses import replace

    from node.objects import notification

    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        items = [eve.item(anna, eve.letter(word=str(i)), word=str(i)) for i in range(3)]
        batch = eve.batch(*items)
        altered = notification.encode(replace(items[1], size=23))
        spoiled = replace(batch, items=(batch.items[0], altered, batch.items[2]))
        await anna.flushed()
        before = everything(anna)
        for _ in range(2):  # the second time the seen-set answers
            response = await eve.post(anna, "/v1/notifications", notification.encode_batch(spoiled))
            assert response.status == 422
        await anna.flushed()
        assert everything(anna) == before
        assert answer.ACCEPTED in await eve.notify(anna, *items)


@dataclass
class Fickle(Puppet):
    """Takes its mail back in the moment in which it is fetched."""

    to: Machine | None = None
    taken: tuple[cids.Cid, ...] = ()

    async def answer(self, request: Request, source: str) -> Response:
        answered = await super().answer(request, source)
        if request.path.startswith("/v1/blocks") and self.to is not None:
            for name in self.taken:
                gone = self.retraction(key_of(self.to), name)
                assert await self.one(self.to, "/v1/retractions", gone) == ACCEPTED
        return answered


async def test_what_is_withdrawn_while_it_is_fetched_is_not_shown(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Fickle(w, "eve")
        await eve.befriend(anna)
        small, large = eve.letter(), eve.parcel(b"x" * 1_500_000, word="2")
        eve.to, eve.taken = anna, (small, large)
        items = [eve.item(anna, small), eve.item(anna, large, 1_500_000, word="2")]
        assert await eve.notify(anna, *items) == [ACCEPTED] * 2
        await trio.sleep(3600)
        assert anna.inbox() == []
        assert eve.told("/v1/receipts") == 0
        await until(lambda: not anna.files._blocks, 86_400)
        assert await anna.complaints() == []
