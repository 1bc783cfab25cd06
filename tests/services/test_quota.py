"""Quotas: refused before anything is stored, and waiting until there is room."""

import pytest
import trio

from node import limits
from node.encoding import cid as cids
from node.encoding import names
from node.errors import OverQuota
from node.machines.rows import Account
from node.objects import message
from node.ports import Response, Tables
from node.services.mailbox import Mailbox
from node.services.submit import Terms
from node.units import Key
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of
from tests.services.test_receipts import everything


def account(machine: Machine, owner: str | None = None) -> Account:
    me = machine.owner(owner).owner
    row = machine.on.core.db.read(lambda tx: tx.accounts.get(me))
    assert row is not None
    return row


async def test_a_full_sender_refuses_before_anything_is_stored(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", quota="100KiB"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        await anna.send([eve.key], b"x" * 32_000)
        await anna.send([eve.key], b"x" * 32_000)
        await trio.sleep(60)
        await anna.flushed()
        before = everything(anna)
        with pytest.raises(OverQuota):
            await anna.send([eve.key], b"x" * 39_000)
        with pytest.raises(OverQuota):
            await anna.send([eve.key], b"x" * 3_000_000)
        await anna.flushed()
        assert everything(anna) == before
        assert anna.files._blocks == {}


async def test_large_mail_waits_until_it_is_called_for(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1MiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 1_200_000)
        await until(lambda: anna.state(message, key_of(ben)) == "held", 60)
        assert ben.inbox() == [(1, bytes(message), "waiting")]
        assert ben.files._blocks == {}
        row = ben.on.core.db.read(lambda tx: next(iter(tx.mails.scan())))
        await Mailbox(ben.on.core).call(ben.owner(), row)
        await until(lambda: ben.inbox() == [(1, bytes(message), "new")], 60)
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 60)


async def test_waiting_mail_that_is_deleted_is_never_confirmed(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1KiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 2_000, keep=20 * 86_400_000)
        await until(lambda: anna.state(message, key_of(ben)) == "held", 60)
        await Mailbox(ben.on.core).delete(ben.owner(), ["1"])
        await trio.sleep(15 * 86_400)
        assert anna.state(message, key_of(ben)) == "held"
        assert ben.inbox() == []
        await trio.sleep(6 * 86_400)
        assert anna.state(message, key_of(ben)) == "expired"
        assert ben.inbox() == []


@pytest.mark.parametrize("how", ["delete", "quota", "sent mail expires"])
@pytest.mark.parametrize("size", [39_000, 400_000])
async def test_mail_to_a_full_recipient_waits_for_room(
    autojump_clock: object, how: str, size: int
) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", quota="500KiB", sent="drop")
        await w.friends(anna, ben)
        to, eve = key_of(ben), Puppet(w, "eve")
        await eve.befriend(ben)
        if how == "sent mail expires":
            await ben.send([eve.key], b"x" * 480_000, keep=86_400_000)
        else:
            first = await anna.send([to], b"y" * 480_000)
            await until(lambda: anna.state(first, to) == "confirmed", 60)
        message = await anna.send([to], b"x" * size)
        await until(lambda: anna.state(message, to) == "held", 60)
        row = anna.on.core.db.read(lambda tx: tx.deliveries.get(key_of(anna), message, to))
        assert row is not None
        assert row.reason == "over-quota"
        assert ben.inbox()[-1][1:] == (bytes(message), "waiting")
        assert await ben.complaints() == []
        if how == "delete":
            await Mailbox(ben.on.core).delete(ben.owner(), ["1"])
        elif how == "quota":
            more = account(ben).but(limit=5_000_000)
            await ben.on.core.db.transact(lambda tx: tx.accounts.put(more))
        else:
            await trio.sleep(86_400 + 60)
        await until(lambda: ben.inbox()[-1][1:] == (bytes(message), "new"), 600)
        await until(lambda: anna.state(message, to) == "confirmed", 60)


async def test_room_is_looked_for_for_every_owner(autojump_clock: object) -> None:
    """However much waits for one of them, who has no room at all."""
    async with world() as w:
        home, carl = await w.add("anna"), await w.add("carl")
        first, second = sorted([key_of(home), (await home.another("ben")).owner])
        for owner in (first, second):
            await home.join(await carl.invite(), owner=names.did(owner))
            await until(lambda me=owner: (p := carl.peer(me)) is not None and p.met)  # type: ignore[misc]
            await limited(home, owner, 0)
        texts = [b"%d" % number for number in range(600)]
        await carl.on.submission.small(carl.owner(), texts, Terms(to=(first,)))
        last = await carl.send([second], b"the only one")
        await until(lambda: carl.state(last, second) == "held")
        await trio.sleep(300)
        await limited(home, second, 1_000_000)
        await until(lambda: carl.state(last, second) == "confirmed", 120)


async def test_what_fits_is_found_behind_what_does_not(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna", quota="100KiB")
        first, last = sorted([await w.add("ben"), await w.add("carl")], key=key_of)
        for each in (first, last):
            await w.friends(anna, each)
        to = key_of(anna)
        await limited(anna, to, 0)
        large = [b"%d" % number + b"x" * 30_000 for number in range(300)]
        await first.on.submission.small(first.owner(), large, Terms(to=(to,)))
        small = await last.send([to], b"small")
        await until(lambda: last.state(small, to) == "held")
        await trio.sleep(300)
        await limited(anna, to, 10_000)
        await until(lambda: last.state(small, to) == "confirmed", 120)


async def limited(machine: Machine, owner: Key, limit: int) -> None:
    def work(tx: Tables) -> None:
        row = tx.accounts.get(owner)
        assert row is not None
        tx.accounts.put(row.but(limit=limit))

    await machine.on.core.db.transact(work)


async def test_a_message_that_almost_fits_is_not_fetched_again_and_again(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", quota="100KiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * (100 * 1024 - 10))
        await until(lambda: anna.state(message, key_of(ben)) == "held", 60)
        calls = len(w.net.calls)
        await trio.sleep(86_400)
        assert len(w.net.calls) - calls < 20
        assert [state for _, _, state in ben.inbox()] == ["waiting"]
        assert ben.files._blocks == {}


@pytest.mark.parametrize("says", [500, 0])
async def test_what_never_comes_whole_takes_no_more_than_the_quota(
    autojump_clock: object, says: int
) -> None:
    """Eve serves each large message up to its last part: then an error, or an endless answer."""
    async with world() as w:
        anna, eve = await w.add("anna", quota="10MiB"), Puppet(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(60)
        for number in range(20):
            word, plain = str(number), bytes([number]) * 3_000_000
            name = eve.parcel(plain, word=word)
            last = message.KIND.decode(eve.blocks[name]).claim.parts[-1]
            body = b"" if says else b"x" * (limits.BLOCK + 1)
            path = f"/v1/blocks/{cids.show(last.cid)}"
            eve.says[path] = Response(status=says or 200, body=body)
            await eve.notify(anna, eve.item(anna, name, len(plain), word=word))
            await trio.sleep(90)
            assert sum(map(len, anna.files._blocks.values())) <= 13 * 2**20


async def test_two_owners_share_one_copy(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna", sent="drop")
        await anna.another("ben")
        await anna.join(await anna.invite(), owner="ben")
        me, ben = anna.owner("anna").owner, anna.owner("ben").owner
        await until(lambda: _met(anna, ben, me), 60)
        message = await anna.send([ben], b"x" * 1_200_000, owner="anna")
        await until(lambda: anna.state(message, ben) == "confirmed", 60)
        assert [name for name, _, _ in w.net.calls] == []
        assert anna.inbox("ben") == [(1, bytes(message), "new")]
        assert len(anna.files._blocks) == 2
        assert account(anna, "anna").grace == account(anna, "ben").inbox > 1_200_000
        assert await anna.complaints() == []
        await trio.sleep(15 * 86_400)  # the author's grace is over; the reader still has it
        assert account(anna, "anna").grace == 0
        assert len(anna.files._blocks) == 2
        assert await anna.complaints() == []
        await Mailbox(anna.on.core).delete(anna.owner("ben"), ["1"])
        await trio.sleep(120)
        assert anna.files._blocks == {}
        assert account(anna, "ben").inbox == 0
        assert await anna.complaints() == []


async def test_one_pickup_serves_two_owners(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await ben.another("cleo")
        await anna.join(await ben.invite("ben"))
        await anna.join(await ben.invite("cleo"))
        to = [ben.owner("ben").owner, ben.owner("cleo").owner]
        await until(lambda: all((p := anna.peer(each)) is not None and p.met for each in to), 60)
        message = await anna.send(to, b"x" * 2_000_000)
        await until(lambda: {anna.state(message, each) for each in to} == {"confirmed"}, 600)
        assert len(ben.files._blocks) == 2
        assert ben.inbox("ben") == ben.inbox("cleo") == [(1, bytes(message), "new")]


async def test_an_owner_writes_to_itself(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        message = await anna.send([key_of(anna)], b"note to self")
        await until(lambda: anna.state(message, key_of(anna)) == "confirmed", 60)
        assert anna.inbox() == [(1, bytes(message), "new")]
        assert account(anna).grace == account(anna).inbox
        assert w.net.calls == []


def _met(machine: Machine, owner: object, did: object) -> bool:
    row = machine.on.core.db.read(lambda tx: tx.peers.get(owner, did))  # type: ignore[arg-type]
    return row is not None and row.met
