"""Directories: what they keep, what they can be made to do, and who is found by them."""

from dataclasses import replace

import pytest
import trio
from msgspec.structs import replace as changed

from node import limits
from node.config import Directory
from node.encoding import names
from node.objects import record
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.services import seek
from node.services.mailbox import Mailbox, find_mail
from node.units import Key
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of

ON = Directory(enabled=True)


def path(key: Key) -> str:
    return f"/v1/records/{names.z(key)}"


def asking(*directories: Machine | Puppet) -> Directory:
    return Directory(ask=tuple(each.origin for each in directories))


async def offered(
    to: Machine, who: Puppet, block: bytes | None = None, source: str = "203.0.113.7"
) -> int:
    """The status of an offer; the puppet tells the same record itself."""
    body = block if block is not None else who.record(issued=0, expires=10**13)
    who.says.setdefault(f"/v1/owners/{names.z(who.key)}", Response(status=200, body=body))
    request = Request(method="PUT", path=path(who.key), body=body)
    return (await to.on.peers.answer(request, source)).status


async def told(by: Machine, key: Key) -> bytes | None:
    answer = await by.on.peers.answer(Request(method="GET", path=path(key)), "203.0.113.9")
    assert answer.status in (200, 404)
    return answer.body if answer.status == 200 else None


# --- what a directory keeps ---------------------------------------------------------------


async def test_a_record_is_kept_and_told(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        block = eve.record(issued=0)
        assert await told(books, eve.key) is None
        assert await offered(books, eve, block) == 204
        assert eve.told(f"/v1/owners/{names.z(eve.key)}") == 1
        assert await told(books, eve.key) == block
        assert (await w_post(books, eve, "HEAD")).status == 200


async def w_post(to: Machine, who: Puppet, method: str) -> Response:
    return await to.on.peers.answer(Request(method=method, path=path(who.key)), "203.0.113.7")


async def test_a_node_that_is_no_directory_keeps_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        assert await offered(anna, eve) == 204
        assert await told(anna, eve.key) is None
        assert eve.heard == []


@pytest.mark.parametrize("how", ["silent", "another", "nobody", "older"])
async def test_only_what_its_own_node_tells_too(autojump_clock: object, how: str) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        owners = f"/v1/owners/{names.z(eve.key)}"
        block = eve.record(seq=5, issued=0)
        match how:
            case "silent":
                del w.net.machines[eve.origin]
            case "another":
                eve.says[owners] = Response(status=200, body=Puppet(w, "max", 2).record())
            case "nobody":
                eve.says[owners] = Response(status=404)
            case _:
                eve.says[owners] = Response(status=200, body=eve.record(seq=4, issued=0))
        assert await offered(books, eve, block) == 422
        assert await told(books, eve.key) is None


async def test_a_newer_one_at_home_is_what_is_kept(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        newer = eve.record(seq=9, issued=0)
        eve.says[f"/v1/owners/{names.z(eve.key)}"] = Response(status=200, body=newer)
        assert await offered(books, eve, eve.record(seq=8, issued=0)) == 204
        assert await told(books, eve.key) == newer


async def test_one_of_its_origins_is_enough(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        nodes = (Endpoint(origin="127.0.9.9:4625"), Endpoint(origin=eve.origin))
        assert await offered(books, eve, eve.record(nodes=nodes, issued=0)) == 204


async def test_it_never_calls_itself(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        nodes = (Endpoint(origin=books.origin),)
        assert await offered(books, eve, eve.record(nodes=nodes, issued=0)) == 403
        assert [call for call in w.net.calls if call[1] == books.origin] == []


async def test_forged_and_foreign_records(autojump_clock: object) -> None:
    async with world() as w:
        books, eve, max_ = await w.add("books", directory=ON), Puppet(w, "eve"), Puppet(w, "max", 2)
        good = bytearray(eve.record(issued=0))
        good[-1] ^= 1
        assert await offered(books, eve, bytes(good)) == 422
        assert await offered(books, eve, max_.record(issued=0)) == 422
        assert await offered(books, eve, b"\xa0") == 400
        assert eve.heard == max_.heard == []


async def test_an_older_record_gets_the_newer(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        newer, older = eve.record(seq=9, issued=0), eve.record(seq=8, issued=0)
        assert await offered(books, eve, newer) == 204
        request = Request(method="PUT", path=path(eve.key), body=older)
        answer = await books.on.peers.answer(request, "203.0.113.8")
        assert (answer.status, answer.body) == (409, newer)


async def test_a_successor_is_the_last_word(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        assert await offered(books, eve, eve.record(seq=9, issued=0)) == 204
        claim = record.decode(eve.record(seq=1, issued=0)).claim
        final = record.sign_successor(
            replace(claim, name=None, successor=Puppet(w, "eve2", 2).key),
            eve.keys.signing,
            eve.keys.recovery,
        )
        eve.says.clear()
        assert await offered(books, eve, final) == 204
        eve.says.clear()
        assert await offered(books, eve, eve.record(seq=99, issued=0)) == 409
        assert await told(books, eve.key) == final


async def test_thirty_days_without_a_word(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", sweeps=3600.0, directory=ON), Puppet(w, "eve")
        block, owners = eve.record(issued=0), f"/v1/owners/{names.z(eve.key)}"
        assert await offered(books, eve, block) == 204
        await trio.sleep(20 * 86_400)
        assert await offered(books, eve, block) == 204
        assert eve.told(owners) == 2  # who is only remembered might be gone
        assert await offered(books, eve, block) == 204
        assert eve.told(owners) == 2  # but not each time
        await trio.sleep(29 * 86_400)
        assert await told(books, eve.key) == block
        await trio.sleep(2 * 86_400)
        assert await told(books, eve.key) is None
        await books.flushed()
        assert books.on.core.db.read(lambda tx: list(tx.listed.scan())) == []
        assert books.on.core.db.read(lambda tx: tx.node()).listed == 0


# --- what strangers can make it do ----------------------------------------------------------


async def test_a_network_has_its_share(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DIRECTORY_NETWORK", 3)
    async with world() as w:
        books = await w.add("books", directory=ON)
        many = [Puppet(w, f"p{n}", n + 1) for n in range(5)]
        statuses = [
            await offered(books, each, source=f"203.0.113.{n}") for n, each in enumerate(many)
        ]
        assert statuses == [204, 204, 204, 507, 507]
        # Who is there may come by again; another network has a share of its own.
        again = many[0].record(seq=2, issued=0)
        many[0].says.clear()
        assert await offered(books, many[0], again) == 204
        assert await offered(books, many[4], source="198.51.100.1") == 204
        # A record that is kept can't be carried over into a full network.
        changed = many[4].record(seq=2, issued=0)
        assert await offered(books, many[4], changed) == 507


async def test_there_is_an_end_to_it(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DIRECTORY_RECORDS", 2)
    async with world() as w:
        books = await w.add("books", directory=ON)
        many = [Puppet(w, f"p{n}", n + 1) for n in range(3)]
        statuses = [await offered(books, p, source=f"203.0.{n}.1") for n, p in enumerate(many)]
        assert statuses == [204, 204, 507]
        assert len(books.on.core.db.read(lambda tx: list(tx.listed.scan()))) == 2


async def test_a_network_offers_so_much_an_hour(autojump_clock: object) -> None:
    async with world() as w:
        books, eve = await w.add("books", directory=ON), Puppet(w, "eve")
        owners = f"/v1/owners/{names.z(eve.key)}"
        eve.says[owners] = Response(status=404)
        statuses = [await offered(books, eve, eve.record(seq=n, issued=0)) for n in range(1, 41)]
        assert statuses == [422] * limits.DIRECTORY_OFFERS + [429] * 10
        assert eve.told(owners) == limits.DIRECTORY_OFFERS
        eve.says.clear()
        assert await offered(books, eve, source="198.51.100.1") == 204
        await trio.sleep(3600)
        eve.says.clear()
        assert await offered(books, eve, eve.record(seq=99, issued=0)) == 204


async def test_a_third_party_is_not_called_often(autojump_clock: object) -> None:
    """Any number of keys, offered from any number of networks, all name one victim."""
    async with world() as w:
        books, victim = await w.add("books", directory=ON), Puppet(w, "victim", 99)
        for n in range(200):
            liar = Puppet(w, f"p{n}", 1)
            block = liar.record(nodes=(Endpoint(origin=victim.origin),), issued=0)
            request = Request(method="PUT", path=path(liar.key), body=block)
            answer = await books.on.peers.answer(request, f"203.{n}.113.7")
            assert answer.status in (422, 429)
        assert len(victim.heard) == limits.DIRECTORY_CALLS
        assert books.on.core.db.read(lambda tx: list(tx.listed.scan())) == []


async def test_slow_origins_do_not_hold_it_up(autojump_clock: object) -> None:
    """Calls back are few at a time; the rest is told so at once, and each has an end."""
    async with world() as w:
        books = await w.add("books", directory=ON)
        w.net.weather.delay = (15.0, 15.0)
        many = [Puppet(w, f"p{n}", n + 1) for n in range(20)]
        statuses: list[int] = []

        async def one(n: int, who: Puppet) -> None:
            statuses.append(await offered(books, who, source=f"203.{n}.113.7"))

        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for n, each in enumerate(many):
                nursery.start_soon(one, n, each)
        assert sorted(statuses) == [422] * 8 + [429] * 12
        assert trio.current_time() - start < 20  # whoever offers waits no longer


# --- who is found ---------------------------------------------------------------------------


async def directories(w: World, count: int = 3) -> list[Machine]:
    return [await w.add(f"books{n}", sweeps=3600.0, directory=ON) for n in range(count)]


async def test_owners_tell_their_directories(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seek, "LOOK", 3600.0)
    async with world() as w:
        books = await directories(w, 1)
        anna = await w.add("anna", sweeps=3600.0, directory=asking(*books))
        await until(lambda: all(listed(each, key_of(anna)) for each in books), 120)
        # Weekly, so that nobody is forgotten while it is there; and what is new at once.
        await trio.sleep(33 * 86_400)
        assert all(listed(each, key_of(anna)) == anna.owner().record for each in books)
        second = await anna.another("second")
        await until(lambda: all(listed(each, second.owner) for each in books), 7200)


def listed(by: Machine, key: Key) -> bytes | None:
    row = by.on.core.db.read(lambda tx: tx.listed.get(key))
    return None if row is None else row.block


async def test_a_directory_that_is_none_is_noticed(autojump_clock: object) -> None:
    async with world() as w:
        plain = await w.add("plain")
        anna = await w.add("anna", directory=asking(plain))
        await trio.sleep(86_400)
        said = [line for line in anna.notes if line.startswith(f"not-kept at={plain.origin} ")]
        assert 5 < len(said) < 20  # by the schedule


async def test_both_move_at_once_and_a_directory_helps(autojump_clock: object) -> None:
    async with world() as w:
        books = await directories(w)
        anna = await w.add("anna", directory=asking(*books))
        ben = await w.add("ben", directory=asking(*books[1:]))
        await w.friends(anna, ben)
        await trio.sleep(120)
        for machine in (anna, ben):
            await w.off(machine)
        w.move(anna, "127.0.0.77:4625")
        w.move(ben, "127.0.0.78:4625")
        for machine in (anna, ben):
            await w.back(machine)
        there = await anna.send([key_of(ben)], b"where are you?")
        back = await ben.send([key_of(anna)], b"here. And you?")
        await until(lambda: anna.state(there, key_of(ben)) == "confirmed", 1800)
        await until(lambda: ben.state(back, key_of(anna)) == "confirmed", 1800)


async def test_without_a_directory_they_are_lost(autojump_clock: object) -> None:
    """What the test above would show if it did not need its directories."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        for machine in (anna, ben):
            await w.off(machine)
        w.move(anna, "127.0.0.77:4625")
        w.move(ben, "127.0.0.78:4625")
        for machine in (anna, ben):
            await w.back(machine)
        there = await anna.send([key_of(ben)], b"where are you?")
        await trio.sleep(86_400)
        assert anna.state(there, key_of(ben)) == "stored"


async def test_mail_that_waits_at_who_moved_is_fetched(autojump_clock: object) -> None:
    """The notification came; then its sender moved without being able to say so."""
    async with world() as w:
        books = await directories(w)
        anna = await w.add("anna", directory=asking(*books))
        ben = await w.add("ben", directory=asking(*books), ask_over="1KiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 5_000)
        await until(lambda: anna.state(message, key_of(ben)) == "held", 600)
        await w.off(anna)
        w.move(anna, "127.0.0.77:4625")
        w.net.weather.cut = {(ben.origin, anna.origin), (anna.origin, ben.origin)}
        await w.back(anna)
        me = ben.owner()
        mail = ben.on.core.db.read(lambda tx: find_mail(tx, me.owner, "1"))
        await Mailbox(ben.on.core).call(me, mail)
        # The pickup finds nobody where it was told to go, and asks; anna could not say it.
        await until(lambda: ben_knows(ben, anna), 3600)
        w.net.weather.cut.clear()
        await until(lambda: [state for _, _, state in ben.inbox()] == ["new"], 2 * 3600)


async def test_a_contact_that_was_off_is_told_when_it_is_back(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        await w.off(ben)
        await w.off(anna)
        w.move(anna, "127.0.0.77:4625")
        await w.back(anna)
        await trio.sleep(3 * 86_400)
        await w.back(ben)
        # Anna's push goes by the schedule: within its longest pause ben knows.
        await until(lambda: ben_knows(ben, anna), 86_400 * 1.3)
        message = await ben.send([key_of(anna)], b"there you are")
        await until(lambda: ben.state(message, key_of(anna)) == "confirmed", 60)


def ben_knows(ben: Machine, anna: Machine) -> bool:
    row = ben.peer(key_of(anna))
    assert row is not None
    assert row.record is not None
    return record.decode(row.record).claim.lists(anna.origin)


LIES = ("older", "other", "forged", "garbage", "long", "error", "slow")


@pytest.mark.parametrize("lie", LIES)
async def test_a_directory_can_withhold_and_nothing_else(autojump_clock: object, lie: str) -> None:
    async with world() as w:
        honest, liar = await w.add("honest", directory=ON), Puppet(w, "liar", 1)
        anna = await w.add("anna", directory=asking(honest))
        ben = await w.add("ben", directory=asking(liar))
        await w.friends(anna, ben)
        await trio.sleep(120)
        old = ben.peer(key_of(anna))
        assert old is not None
        assert old.record is not None
        liar.says[path(key_of(anna))] = {
            "older": Response(status=200, body=old.record),
            "other": Response(status=200, body=liar.record(seq=10**15)),
            "forged": Response(status=200, body=old.record[:-1] + bytes([old.record[-1] ^ 1])),
            "garbage": Response(status=200, body=b"\xff" * 500),
            "long": Response(status=200, body=old.record + bytes(1000)),
            "error": Response(status=500),
            "slow": Response(status=404),
        }[lie]
        for machine in (anna, ben):
            await w.off(machine)
        w.move(anna, "127.0.0.77:4625")
        w.move(ben, "127.0.0.78:4625")
        for machine in (anna, ben):
            await w.back(machine)
        if lie == "slow":
            w.net.weather.lose_answer = 0.9
        message = await ben.send([key_of(anna)], b"hello")
        await trio.sleep(86_400)
        row = ben.peer(key_of(anna))
        assert row is not None
        assert row.record == old.record
        assert ben.state(message, key_of(anna)) == "stored"
        assert liar.told(path(key_of(anna))) > 3
        # One honest directory among liars is enough.
        w.net.weather.lose_answer = 0.0
        await w.off(ben)
        ben.config = changed(ben.config, directory=asking(liar, honest))
        await w.back(ben)
        await until(lambda: ben.state(message, key_of(anna)) == "confirmed", 1.3 * 86_400)


async def test_seeds_are_used_and_can_be_refused(autojump_clock: object) -> None:
    async with world() as w:
        books = await directories(w, 8)
        w.seeds = tuple(Endpoint(origin=each.origin) for each in books)
        anna = await w.add("anna")
        shy = await w.add("shy", directory=Directory(seeds=False))
        await trio.sleep(300)
        told_at = [each for each in books if listed(each, key_of(anna))]
        assert len(told_at) == limits.DIRECTORY_SEEDS
        assert not any(listed(each, key_of(shy)) for each in books)
        # Ben looks at the same ones.
        ben = await w.add("ben")
        await ben.on.seeker.seek(ben.owner().owner, key_of(anna))
        asked = {
            to
            for source, to, where in w.net.calls
            if source == ben.origin and where == path(key_of(anna))
        }
        assert asked == {each.origin for each in told_at}


async def test_a_dead_peer_is_looked_for_seldom(autojump_clock: object) -> None:
    async with world() as w:
        books = await directories(w)
        anna, ben = await w.add("anna"), await w.add("ben", directory=asking(*books))
        await w.friends(anna, ben)
        to, before = key_of(anna), len(w.net.calls)
        await w.off(anna)
        for _ in range(48):
            await ben.send([to], b"are you there?")
            await trio.sleep(1800)
        looked = [c for c in w.net.calls[before:] if c[2] == path(to)]
        assert 3 <= len(looked) <= 3 * 144  # never more than every ten minutes
