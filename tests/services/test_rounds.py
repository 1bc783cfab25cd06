"""The tasks that run rounds: whatever one look or one peer meets, the next one is served."""

import pytest
import trio

from node import limits
from node.encoding import names
from node.objects import answer as answers
from node.objects import record
from node.ports import Request, Response
from node.services import calls as calling
from node.services import meet, rounds
from node.units import Instant, Key
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet, some
from tests.services.test_delivery import key_of


async def test_a_disk_that_can_t_be_read_for_a_while_ends_no_task(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        for machine in (anna, ben):
            machine.kv.unreadable = 20
            machine.on.core.outgoing.ring()
            machine.on.core.incoming.ring()
        await trio.sleep(3600)
        assert anna.kv.unreadable == ben.kv.unreadable == 0
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 60)
        assert any("pauses" in line for line in anna.notes)


async def test_a_full_disk_makes_nobody_busy(autojump_clock: object) -> None:
    """What can't be noted would be said again at once, for as long as the disk is full."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        w.net.calls.clear()
        ben.kv.full = True
        message = await anna.send([key_of(ben)], b"hello")
        await trio.sleep(86_400)
        assert len(w.net.calls) < 60
        ben.kv.full = False
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 86_400)


async def households(w: World) -> tuple[Machine, Machine, list[Key]]:
    """Anna knows three who live on one node."""
    anna, ben = await w.add("anna"), await w.add("ben")
    await ben.another("cat")
    await ben.another("dan")
    for name in ("ben", "cat", "dan"):
        await ben.join(await anna.invite(), name)
    keys = [ben.owner(name).owner for name in ("ben", "cat", "dan")]
    await until(lambda: all((row := anna.peer(key)) and row.met for key in keys))
    await trio.sleep(60)
    return anna, ben, keys


def calls(w: World, source: Machine, path: str) -> int:
    return sum(a == source.origin and p.startswith(path) for a, _, p in w.net.calls)


async def test_one_batch_for_all_owners_of_a_node(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben, keys = await households(w)
        w.net.calls.clear()
        message = await anna.send(keys, b"hello")
        await until(lambda: all(anna.state(message, key) == "confirmed" for key in keys), 60)
        assert calls(w, anna, "/v1/notifications") == 1
        assert calls(w, ben, "/v1/blocks") == 1


async def test_one_pickup_for_all_owners_of_a_node(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben, keys = await households(w)
        w.net.calls.clear()
        message = await anna.send(keys, b"x" * 3_000_000)
        await until(lambda: all(anna.state(message, key) == "confirmed" for key in keys), 60)
        # The root in one CAR, each part once.
        assert calls(w, ben, "/v1/blocks") == 1 + 3
        assert [len(ben.inbox(name)) for name in ("ben", "cat", "dan")] == [1, 1, 1]


async def test_what_one_peer_is_refused_holds_up_nobody_else_there(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben, keys = await households(w)
        stranger = meet.Link(did=Key(some("nobody")), origin=ben.origin, token=None)
        me, now = anna.owner(), anna.now()
        await anna.on.core.db.transact(lambda tx: meet.written_to(tx, me, stranger, now))
        w.net.calls.clear()
        message = await anna.send([stranger.did, *keys], b"hello")
        await until(lambda: all(anna.state(message, key) == "confirmed" for key in keys), 3)
        assert anna.state(message, stranger.did) == "stored"
        await trio.sleep(86_400)
        assert calls(w, anna, "/v1/owners") <= 13
        row = anna.peer(keys[0])
        assert row is not None
        assert row.silent == 0


async def test_a_node_that_is_down_costs_one_attempt(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben, keys = await households(w)
        await w.off(ben)
        w.net.calls.clear()
        message = await anna.send(keys, b"hello")
        await trio.sleep(3)
        assert len(w.net.calls) == 1
        await w.back(ben)
        await until(lambda: all(anna.state(message, key) == "confirmed" for key in keys), 120)


async def test_many_who_are_due_at_a_slow_place_hold_up_nobody_elsewhere(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the place itself wait for ever where more of it are due than one look takes."""
    monkeypatch.setattr(rounds, "LOOKED_AT", 4)
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        slow = Puppet(w, "slow", 9)
        w.net.weather.behind.add(slow.origin)
        await trio.sleep(60)
        links = [
            meet.Link(did=Key(some(f"of the slow {n}")), origin=slow.origin, token=None)
            for n in range(10)
        ]
        me, now = anna.owner(), anna.now()
        for link in links:
            await anna.on.core.db.transact(
                lambda tx, link=link: meet.written_to(tx, me, link, now)  # type: ignore[misc]
            )
        await anna.send([link.did for link in links], b"hello")
        await trio.sleep(1)
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 5)
        await trio.sleep(86_400)
        rows = [anna.peer(link.did) for link in links]
        assert all(row is not None and row.silent > 3 for row in rows)


async def test_more_records_than_one_bring_no_more_than_one_sealing(autojump_clock: object) -> None:
    """A peer that has a newer record for every attempt is not attempted without a pause."""
    async with world() as w:
        anna, eve = await w.add("anna"), Stubborn(w, "eve")
        await eve.befriend(anna)
        await anna.send([eve.key], b"hello")
        await trio.sleep(3600)
        assert eve.told("/v1/notifications") == 2


class Stubborn(Puppet):
    """Its record is never the newest one."""

    async def answer(self, request: Request, source: str) -> Response:
        if request.path == "/v1/notifications":
            self.heard.append((request.path, request.body))
            seq = 1 + self.told("/v1/notifications")
            stale = answers.refused("stale-record", record=record.decode(self.record(seq=seq)))
            return Response(status=200, body=answers.encode_all([stale]))
        return await super().answer(request, source)


async def test_a_peer_that_always_has_more_is_not_asked_without_end(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Endless(w, "eve")
        await eve.befriend(anna)
        await trio.sleep(59)
        assert eve.told("/v1/poll") == limits.POLLS


class Endless(Puppet):
    """Each poll is told that there is more."""

    async def answer(self, request: Request, source: str) -> Response:
        if request.path == "/v1/poll":
            self.heard.append((request.path, request.body))
            now = Instant(self.told("/v1/poll"))
            return Response(status=200, body=answers.encode_poll(now, True, []))
        return await super().answer(request, source)


async def test_clocks_that_disagree_are_tried_by_the_schedule(autojump_clock: object) -> None:
    """An introduction and a poll that are refused for a clock are owed until they are taken."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        clock = Response(status=200, body=answers.encode(answers.refused("clock")))
        eve.says = {"/v1/introductions": clock, "/v1/poll": clock}
        row = await anna.join(f"did:key:{names.z(eve.key)}@{eve.origin}")
        lost = (Instant(5), Instant(6))
        anna.on.core.db.apply(lambda tx: tx.peers.put(row.but(lost=lost)))
        await trio.sleep(2 * 3600)
        # 0, 5 s, 35 s, 2.6, 10, 25, 55, 115 min: each moved by a fifth.
        for path in ("/v1/introductions", "/v1/poll"):
            assert 7 <= eve.told(path) <= 9
        kept = anna.peer(eve.key)
        assert kept is not None
        assert (kept.lost, kept.introduce, kept.refused) == (lost, True, "clock")
        eve.says.clear()
        await eve.introduce(anna)
        await until(lambda: (now := anna.peer(eve.key)) is not None and now.lost is None, 5 * 3600)


def test_a_problem_s_reason_is_a_word() -> None:
    for text, word in (("busy", "busy"), ("a b\\n", None), ("\\u0000", None), ("\\u001b[2J", None)):
        body = b'{"reason":"%s"}' % text.encode()
        assert calling._problem_word(Response(status=400, body=body)) == word
