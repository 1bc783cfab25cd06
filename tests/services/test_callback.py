"""Present and accountable: proof of domain, call-backs, and a third party that is never called."""

import itertools
from typing import Any

import pytest
import trio

from node.config import Strangers
from node.crypto import keys
from node.discovery import webfinger
from node.encoding import cid, names
from node.errors import Refused
from node.machines.rows import Held
from node.objects import notification
from node.objects.answer import HELD
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.services import evidence, meet, strangers
from node.services.mailbox import Mailbox
from node.units import Key
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet, some
from tests.services.test_delivery import key_of

HOUR = 3600.0


class Stranger(Puppet):
    """A puppet at a name: packets come from `source`, its origin is `host:4625`."""

    def at(self, host: str, source: str, *, resolves: bool = True) -> "Stranger":
        net = self.world.net
        del net.machines[self.origin]
        self.origin, self.source = f"{host}:4625", source
        net.machines[self.origin] = self  # type: ignore[assignment]
        if resolves:
            net.dns.hosts[host] = (source,)
        return self

    async def post(self, to: Machine, path: str, body: bytes, method: str = "POST") -> Response:
        request = Request(method=method, path=path, body=body)
        answer = await to.on.peers.answer(request, self.source)
        await to.settled()
        return answer


def slots(machine: Machine) -> list[Held]:
    return machine.on.core.db.read(lambda tx: list(tx.held.scan()))


async def slot(machine: Machine) -> Held:
    await until(lambda: len(slots(machine)) == 1, 600)
    return slots(machine)[0]


async def wrote(w: World, to: Machine, host: str, source: str, **more: Any) -> Stranger:
    """Somebody at `host` has announced a message."""
    number = len(w.net.machines)
    eve = Stranger(w, f"eve-{host}", number).at(host, source, **more)
    assert await eve.notify(to, eve.item(to, eve.letter())) == [HELD]
    return eve


def calls(eve: Puppet) -> int:
    return eve.told(f"/v1/owners/{names.z(eve.key)}")


async def test_shown_after_two_answers_an_hour_apart(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await until(lambda: calls(eve) == 1, 600)
        row = await slot(anna)
        assert (row.domain, row.by, row.shown) == ("eve.org", "address", 0)
        assert row.answered
        await trio.sleep(0.95 * HOUR)
        assert calls(eve) == 1
        await until(lambda: calls(eve) == 2, HOUR)
        await until(lambda: slots(anna)[0].shown > 0, 60)
        await trio.sleep(30 * HOUR)
        assert calls(eve) == 2
        # Who was shown need not wait again within a week.
        await Mailbox(anna.on.core).deny(anna.owner(), cid.show(slots(anna)[0].message or b""))
        await eve.notify(anna, eve.item(anna, eve.letter(word="2"), word="2"))
        await until(lambda: bool(slots(anna)) and slots(anna)[0].shown > 0, 600)
        assert calls(eve) == 2


async def test_who_never_answers_is_never_shown(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        eve.says[f"/v1/owners/{names.z(eve.key)}"] = Response(status=404)
        await until(lambda: calls(eve) == 4, 20 * HOUR)
        await trio.sleep(60)
        assert slots(anna) == []


async def test_who_is_gone_at_the_second_call_is_not_shown(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await until(lambda: calls(eve) == 1, 600)
        del w.net.machines[eve.origin]
        await trio.sleep(20 * HOUR)
        assert slots(anna) == []


async def test_the_record_has_to_list_that_very_origin(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        other = eve.record(nodes=(Endpoint(origin="other.eve.org:4625"),))
        eve.says[f"/v1/owners/{names.z(eve.key)}"] = Response(status=200, body=other)
        await trio.sleep(20 * HOUR)
        assert calls(eve) == 4
        assert slots(anna) == []


async def test_one_origin_is_called_once_an_hour_and_nobody_is_forgotten(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        w.net.dns.hosts["node.eve.org"] = ("192.0.2.7",)
        crowd = [Stranger(w, f"eve-{n}", 100 + n) for n in range(3)]
        host = crowd[0].at("node.eve.org", "192.0.2.7")
        times: list[float] = []

        def watch(source: str, to: str, request: Request, answer: Response) -> None:
            if to == host.origin and "/v1/owners/" in request.path:
                times.append(trio.current_time())

        w.net.watchers.append(watch)
        for each in crowd:
            each.origin, each.source = host.origin, "192.0.2.7"
            host.says[f"/v1/owners/{names.z(each.key)}"] = Response(status=200, body=each.record())
            await each.notify(anna, each.item(anna, each.letter()))
        await trio.sleep(12 * HOUR)
        assert len(times) == 6
        gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
        assert min(gaps) >= HOUR - 1
        assert all(row.shown for row in slots(anna))


async def test_a_domain_is_capped_however_many_hosts_it_has(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        crowd = [await wrote(w, anna, f"n{n}.eve.org", f"192.0.{n}.7") for n in range(25)]
        await trio.sleep(0.9 * HOUR)
        assert sum(map(calls, crowd)) <= 12 + 11
        await trio.sleep(8 * HOUR)
        assert all(calls(each) >= 2 for each in crowd)


# --- a third party that must never be called ----------------------------------------------


@pytest.mark.parametrize("how", ["address", "name", "elsewhere", "reverse", "later", "network"])
async def test_a_third_party_is_never_called(autojump_clock: object, how: str) -> None:
    """However an item points at somebody who has nothing to do with it."""
    async with world() as w:
        anna = await w.add("anna")
        victim = Stranger(w, "victim", 99).at("www.victim.org", "198.51.100.9")
        w.net.dns.reverse["198.51.100.9"] = ("www.victim.org",)
        eve = Stranger(w, "eve", 98).at("node.eve.org", "192.0.2.7")
        origin = victim.origin
        if how == "address":
            victim.at("198.51.100.9", "198.51.100.9")
            origin = victim.origin
        elif how == "elsewhere":  # eve's own name leads to the victim's address
            w.net.dns.hosts["node.eve.org"] = ("198.51.100.9",)
            origin = eve.origin
            w.net.machines[origin] = victim  # type: ignore[assignment]
        elif how == "reverse":  # eve's address says that it is the victim's
            w.net.dns.reverse["192.0.2.7"] = ("www.victim.org",)
        elif how == "later":  # proven, and turned round before the call
            origin = eve.origin
        elif how == "network":  # a neighbour of the victim's
            eve.source = "198.51.100.10"
        await eve.notify(anna, eve.item(anna, eve.letter(), origin=origin))
        await eve.introduce(anna, record=eve.record(nodes=(Endpoint(origin=origin),)))
        if how == "later":
            w.net.dns.hosts["node.eve.org"] = ("198.51.100.9",)
            w.net.machines[origin] = victim  # type: ignore[assignment]
        await trio.sleep(30 * HOUR)
        assert victim.heard == []
        with pytest.raises(Refused, match="nothing proves"):
            await Mailbox(anna.on.core).allow_key(anna.owner(), eve.key, None)
        await trio.sleep(HOUR)
        assert victim.heard == []


async def test_reverse_dns_under_the_domain_proves_it(autojump_clock: object) -> None:
    """A node that sends from another address than it listens on."""
    async with world() as w:
        anna = await w.add("anna")
        w.net.dns.hosts |= {"in.eve.org": ("192.0.2.8",), "out.eve.org": ("192.0.2.7",)}
        w.net.dns.reverse["192.0.2.7"] = ("out.eve.org",)
        eve = await wrote(w, anna, "in.eve.org", "192.0.2.7", resolves=False)
        row = await slot(anna)
        assert (row.by, row.iprev, row.reverse) == ("reverse", "pass", "out.eve.org")
        await until(lambda: calls(eve) == 2, 2 * HOUR)


async def test_a_dns_that_is_down_fails_nobody(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        w.net.dns.broken["node.eve.org"] = "temporary"
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        row = await slot(anna)
        assert (row.by, row.domain) == (None, "eve.org")
        assert calls(eve) == 0
        del w.net.dns.broken["node.eve.org"]
        await until(lambda: calls(eve) == 1, 9 * HOUR)
        assert (await slot(anna)).by == "address"


# --- the rules of the original, by the strict policy ---------------------------------------


def strict(machine: Machine) -> None:
    from msgspec.structs import replace

    core = machine.on.core
    core.config = replace(core.config, strangers=Strangers(policy="strict"))


@pytest.mark.parametrize(
    ("reverse", "kept"),
    [(("node.eve.org",), True), (("host.lan",), False), (("other.org",), False), ((), False)],
)
async def test_strict_wants_confirmed_reverse_dns(
    autojump_clock: object, reverse: tuple[str, ...], kept: bool
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        strict(anna)
        w.net.dns.reverse["192.0.2.7"] = reverse
        w.net.dns.hosts["host.lan"] = ("192.0.2.7",)
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await trio.sleep(60)
        assert len(slots(anna)) == (1 if kept else 0)
        assert calls(eve) == (1 if kept else 0)


async def test_age_is_what_the_registry_says(autojump_clock: object) -> None:
    async with world() as w:
        w.net.registry = "rdap.registry.org:443"
        rdap = Stranger(w, "registry", 97)
        rdap.origin = w.net.registry
        w.net.machines[rdap.origin] = rdap  # type: ignore[assignment]
        body = (
            b'{"objectClassName":"domain","ldhName":"eve.org","events":'
            b'[{"eventAction":"registration","eventDate":"2026-09-01T00:00:00Z"}]}'
        )
        rdap.says["/domain/eve.org"] = Response(status=200, body=body)
        anna = await w.add("anna")
        strict(anna)
        w.net.dns.reverse["192.0.2.7"] = ("node.eve.org",)
        await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await until(lambda: bool(slots(anna)) and slots(anna)[0].looked, 600)
        who, row, now = anna.on.strangers, slots(anna)[0], anna.now()
        facts = anna.on.core.db.read(lambda tx: who.facts(tx, row))
        decision = who.decision(facts, now)
        assert facts.first_seen
        assert (decision.verdict, decision.rule) == ("hold", "young-domain")
        assert decision.marks == ("suspicious",)
        assert rdap.told("/domain/eve.org") == 1


async def test_a_registry_that_is_down_makes_nobody_young(autojump_clock: object) -> None:
    async with world() as w:
        w.net.registry = "rdap.registry.org:443"
        anna = await w.add("anna")
        await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await until(lambda: bool(slots(anna)) and slots(anna)[0].looked, 600)
        row, who = slots(anna)[0], anna.on.strangers
        facts = anna.on.core.db.read(lambda tx: who.facts(tx, row))
        assert facts.registered is None
        assert who.decision(facts, anna.now()).marks == ()


async def test_introducers_and_promises_are_shown(autojump_clock: object) -> None:
    async with world() as w:
        anna, friend = await w.add("anna"), Puppet(w, "friend", 90)
        await friend.befriend(anna)
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await friend.introduce(anna, record=eve.record())
        row = await slot(anna)
        who = anna.on.strangers
        facts = anna.on.core.db.read(lambda tx: who.facts(tx, row))
        assert facts.introducers == ("friend",)
        assert (facts.kept, facts.broken) == (0, 0)
        await Mailbox(anna.on.core).allow_message(anna.owner(), cid.show(row.message or b""))
        await until(lambda: len(anna.inbox()) == 1, 600)
        promise = anna.on.core.db.read(lambda tx: next(iter(tx.promises.scan())))
        assert promise.state == "kept"
        assert notification.decode_evidence(promise.proof).verify().item
        # The next one is announced, allowed, and gone.
        gone = eve.letter(word="2")
        await eve.notify(anna, eve.item(anna, gone, word="2"))
        await until(lambda: len(slots(anna)) == 1, 600)
        eve.says["/v1/blocks"] = Response(status=404)
        eve.says[f"/v1/blocks/{cid.show(gone)}"] = Response(status=410)
        await Mailbox(anna.on.core).allow_message(anna.owner(), cid.show(gone))
        known = evidence.digest("eve.org")

        def domain() -> tuple[int, int]:
            found = anna.on.core.db.read(lambda tx: tx.domains.get(known))
            return (0, 0) if found is None else (found.kept, found.broken)

        await until(lambda: domain() == (1, 1), 2 * HOUR)


# --- the gate ------------------------------------------------------------------------------


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every signature check."""
    made: list[bytes] = []
    real = keys.verify

    def counted(key: bytes, signed: bytes, signature: bytes) -> None:
        made.append(signature)
        real(key, signed, signature)

    monkeypatch.setattr(keys, "verify", counted)
    return made


async def test_at_most_one_check_a_batch_and_none_for_what_came_before_or_is_capped(
    autojump_clock: object, checks: list[bytes]
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = Stranger(w, "eve", 98).at("192.0.2.7", "192.0.2.7")
        items = [eve.item(anna, eve.letter(word=str(n)), word=str(n)) for n in range(10)]
        block = notification.encode_batch(eve.batch(*items))
        checks.clear()
        first = await eve.post(anna, "/v1/notifications", block)
        assert len(checks) == 1
        for _ in range(5):
            assert await eve.post(anna, "/v1/notifications", block) == first
        assert len(checks) == 1
        before = slots(anna)
        # The key has had its share; whatever it signs now is not looked at.
        for n in range(40):
            item = eve.item(anna, eve.letter(word=f"more {n}"), word=f"more {n}")
            assert await eve.notify(anna, item) == [HELD]
        assert len(checks) <= 1 + 16 + 2
        assert slots(anna)[0].message == before[0].message
        # Nor whatever else comes from a network that had its share: without a signature too.
        for n in range(300):
            other = Stranger(w, f"other-{n}", 1_000 + n)
            other.source = "192.0.2.8"
            await other.notify(anna, other.item(anna, other.letter()))
        done = len(checks)
        broken = bytearray(block)
        broken[-1] ^= 1
        late = await eve.post(anna, "/v1/notifications", bytes(broken))
        assert (late.status, len(checks)) == (200, done)


async def test_whose_batch_it_is_does_not_show_before_the_signature(
    autojump_clock: object, checks: list[bytes]
) -> None:
    """A forged `from` is treated alike, be it a contact's, a stranger's or a blocked one's."""
    async with world() as w:
        anna = await w.add("anna")
        people = [Stranger(w, word, 80 + n) for n, word in enumerate(("friend", "foe", "nobody"))]
        for n, each in enumerate(people):
            each.at(f"192.0.2.{n}", f"192.0.2.{n}")
        for each in people[:2]:
            await each.befriend(anna)
        row = anna.peer(people[1].key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: meet.block(tx, row, anna.now()))
        seen = set()
        for each in people:
            item = each.item(anna, each.letter(), capability=None)
            block = bytearray(notification.encode_batch(each.batch(item)))
            block[-1] ^= 1
            checks.clear()
            answers = []
            for n in range(300):
                block[-2] = n & 255
                request = Request(method="POST", path="/v1/notifications", body=bytes(block))
                source = f"198.51.{people.index(each)}.1"
                answered = await anna.on.peers.answer(request, source)
                answers.append((answered.status, answered.body))
            seen.add((len(checks), tuple(answers)))
        assert len(seen) == 1


async def test_nobody_uses_up_the_share_of_somebody_else(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = Stranger(w, "eve", 98).at("192.0.2.7", "192.0.2.7")
        item = eve.item(anna, eve.letter())
        forged = bytearray(notification.encode_batch(eve.batch(item)))
        for n in range(200):
            forged[-1] = n
            forged[-2] ^= 1
            request = Request(method="POST", path="/v1/notifications", body=bytes(forged))
            await anna.on.peers.answer(request, "203.0.113.1")
        assert slots(anna) == []
        await eve.notify(anna, item)
        assert len(slots(anna)) == 1


async def test_in_a_storm_strangers_cost_nothing_and_contacts_go_on(
    autojump_clock: object, checks: list[bytes]
) -> None:
    async with world() as w:
        anna, friend = await w.add("anna"), Puppet(w, "friend", 90)
        await friend.befriend(anna)

        def storm(tx: Any) -> None:
            tx.put_node(tx.node().but(storm=anna.now()))

        await anna.on.core.db.transact(storm)
        eve = Stranger(w, "eve", 98).at("node.eve.org", "192.0.2.7")
        await trio.sleep(60)  # the new contact was greeted
        checks.clear()
        asked = len(w.net.dns.asked)
        assert await eve.notify(anna, eve.item(anna, eve.letter())) == [HELD]
        assert b"held" in (await eve.introduce(anna)).body
        await trio.sleep(60)
        assert (len(checks), slots(anna), len(w.net.dns.asked)) == (0, [], asked)
        await friend.notify(anna, friend.item(anna, friend.letter()))
        await until(lambda: len(anna.inbox()) == 1, 600)


async def test_the_same_look_ups_for_all_who_are_held(autojump_clock: object) -> None:
    """A blocked sender, no such owner, a full ring: the DNS is asked the same."""
    async with world() as w:
        anna = await w.add("anna")
        foe = Stranger(w, "foe", 70).at("node.foe.org", "192.0.2.70")
        await foe.befriend(anna)
        row = anna.peer(foe.key)
        assert row is not None
        await anna.on.core.db.transact(lambda tx: meet.block(tx, row, anna.now()))
        nobody = Key(some("nobody"))
        for number, (who, to) in enumerate(
            (
                (foe, key_of(anna)),
                (Stranger(w, "one", 71).at("node.one.org", "192.0.3.71"), key_of(anna)),
                (Stranger(w, "two", 72).at("node.two.org", "192.0.4.72"), nobody),
            )
        ):
            await trio.sleep(10)
            before, called = len(w.net.dns.asked), calls(who)
            item = who.item(anna, who.letter(), to=to, capability=None)
            assert await who.notify(anna, item) == [HELD], number
            await trio.sleep(10)
            asked = w.net.dns.asked[before:]
            # One more for whoever is called back, just before: the one who has a slot.
            assert asked[0] == who.origin.partition(":")[0]
            assert len(asked) - (calls(who) - called) == 1, number


async def test_domains_and_networks_can_be_blocked(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        me = key_of(anna)
        from node.machines.rows import Barred

        def bar(tx: Any) -> None:
            for word in ("eve.org", "198.51.100.0/24"):
                id = evidence.digest(word)
                tx.barred.put(Barred(owner=me, id=id, word=word, at=anna.now()))

        await anna.on.core.db.transact(bar)
        for host, source in (
            ("node.eve.org", "192.0.2.7"),
            ("node.max.org", "198.51.100.8"),
            ("node.good.org", "192.0.2.9"),
        ):
            await wrote(w, anna, host, source)
        await trio.sleep(60)
        assert [row.domain for row in slots(anna)] == ["good.org"]


def test_what_may_be_called() -> None:
    row = Held(owner=Key(b"o" * 32), sender=Key(b"s" * 32), n=1, received=0, source="192.0.2.7")  # type: ignore[arg-type]
    own = "127.0.0.1:4625"
    for origin, by, source, wanted in (
        ("192.0.2.7:4625", None, "192.0.2.7", True),
        ("192.0.2.8:4625", None, "192.0.2.7", False),
        ("a.org:4625", "address", "192.0.2.7", True),
        ("a.org:4625", None, "192.0.2.7", False),
        (own, None, "", True),
        ("192.0.2.7:4625", None, "", False),
        (None, None, "192.0.2.7", False),
    ):
        made = row.but(origin=origin, by=by, source=source)
        assert strangers.may_call(made, own) is wanted, origin


@pytest.mark.parametrize("says", ["this key", "another key", "nobody", "nothing"])
async def test_the_domain_s_own_word_for_the_key(autojump_clock: object, says: str) -> None:
    """Whose key the name in its record is, asked of the origin's host once its node answered."""
    told = {"this key": True, "another key": False, "nobody": None, "nothing": None}[says]
    async with world() as w:
        anna = await w.add("anna")
        eve = Stranger(w, "eve", 7).at("node.eve.org", "192.0.2.7")
        web = Stranger(w, "web", 8).at("web.eve.org", "192.0.2.7")
        w.net.machines["node.eve.org:443"] = w.net.machines[web.origin]
        handle = webfinger.parse("eve@node.eve.org")
        key = eve.key if says == "this key" else web.key
        found = webfinger.document(handle, key, f"https://{eve.origin}", ())
        answers = {
            "nobody": Response(status=404),
            "nothing": Response(status=200, body=b"<html>"),
        }
        web.says[webfinger.question(handle)] = answers.get(
            says, Response(status=200, body=found, content_type=webfinger.TYPE)
        )
        await eve.notify(anna, eve.item(anna, eve.letter()))
        await until(lambda: bool(slots(anna)) and slots(anna)[0].looked, 600)
        assert web.told(webfinger.question(handle)) == 1
        row = slots(anna)[0]
        assert row.named is told
        facts = anna.on.core.db.read(lambda tx: anna.on.strangers.facts(tx, row))
        assert facts.named is told


async def test_whoever_proved_nothing_has_no_domain_that_speaks_for_it(
    autojump_clock: object,
) -> None:
    """A claimed domain is not asked: else anybody could send this node anywhere."""
    async with world() as w:
        anna = await w.add("anna")
        eve = Stranger(w, "eve", 7).at("node.eve.org", "192.0.2.7")
        web = Stranger(w, "web", 8).at("web.eve.org", "192.0.2.9")
        w.net.machines["node.eve.org:443"] = w.net.machines[web.origin]
        w.net.dns.hosts["node.eve.org"] = ("192.0.2.9",)
        await eve.notify(anna, eve.item(anna, eve.letter()))
        await slot(anna)
        await trio.sleep(2 * HOUR)
        assert web.heard == []
