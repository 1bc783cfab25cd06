"""A contact's node is made to come here, and nothing is left of it anywhere."""

from node.encoding import cid as cids
from node.machines.rows import Peer
from node.ports import Request
from node.services import probe
from node.services.probe import Reached
from tests.fakes.world import Machine, until, world
from tests.services.test_delivery import key_of


async def asked(machine: Machine, other: Machine) -> Reached:
    row = machine.peer(key_of(other))
    assert row is not None
    return await machine.on.prober.ask(machine.owner(), row)


async def untouched(machine: Machine) -> bool:
    """No mail, nothing to pick up, nothing owed."""
    await machine.flushed()
    core = machine.on.core
    return core.db.read(
        lambda tx: (
            not list(tx.pickups.scan())
            and not list(tx.mails.scan())
            and not list(tx.errands.scan())
            and not list(tx.deliveries.scan())
        )
    )


async def test_a_contact_comes(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        assert await asked(anna, ben) == Reached(state="reached", source="127.0.0.2")
        (path,) = {path for source, to, path in w.net.calls if "/v1/blocks/" in path}
        assert w.net.calls[-1][:2] == (ben.origin, anna.origin)
        # Once it is over, the name means nothing: it is a block never seen.
        answer = await anna.on.peers.answer(Request(method="GET", path=path), "127.0.0.9")
        assert answer.status == 404
        await until(lambda: ben.on.core.db.read(lambda tx: not list(tx.pickups.scan())))
        assert await untouched(anna)
        assert await untouched(ben)


async def test_a_contact_that_can_t_come(autojump_clock: object) -> None:
    """It took the word: so it is this node that nobody reaches. The word is withdrawn again."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        w.net.weather.behind.add(anna.origin)
        assert await asked(anna, ben) == Reached(state="not-reached")
        await until(lambda: ben.on.core.db.read(lambda tx: not list(tx.pickups.scan())))
        assert await untouched(anna)
        assert await untouched(ben)


async def test_a_contact_that_is_not_there(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        row = anna.peer(key_of(ben))
        assert row is not None
        await w.off(ben)
        made = await anna.on.prober.ask(anna.owner(), row)
        assert made == Reached(state="unknown", why="no-connection")


async def test_nobody_else_is_taken_for_it(autojump_clock: object) -> None:
    """Only the ticket counts: who guesses the name is answered as ever, and not noted."""
    async with world() as w:
        anna = await w.add("anna")
        name = cids.Cid(cids.OBJECT_PREFIX + bytes(32))
        expected = anna.on.core.probes.expect(name, b"t" * 16)
        path = f"/v1/blocks/{cids.show(name)}"
        for ticket in (None, b"u" * 16):
            request = Request(method="GET", path=path, ticket=ticket)
            assert (await anna.on.peers.answer(request, "1.2.3.4")).status == 404
            assert expected.source is None
        right = Request(method="GET", path=path, ticket=b"t" * 16)
        assert (await anna.on.peers.answer(right, "1.2.3.4")).status == 410
        assert expected.source == "1.2.3.4"


async def test_who_is_asked(autojump_clock: object) -> None:
    """Contacts at other nodes, those that answer first; nobody of this node."""
    async with world() as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        await w.friends(anna, ben)
        await w.friends(anna, carl)
        await anna.another("otto")
        await anna.join(await anna.invite("otto"))
        await until(lambda: (p := anna.peer(anna.owner("otto").owner)) is not None and p.met)
        await w.off(carl)
        silent = carl.name
        await until(lambda: any(row.silent for row in rows(anna)), 3600 * 24)
        found = rows(anna)
        assert [row.name for row in found] == ["ben", silent]


def rows(machine: Machine) -> list[Peer]:
    core = machine.on.core
    return core.db.read(lambda tx: probe.fitting(tx, machine.owner(), machine.origin))


def test_how_far_away_an_address_is() -> None:
    for address, said in (
        ("", "this machine"),
        ("127.0.0.1", "this machine"),
        ("::1", "this machine"),
        ("10.1.2.3", "this network"),
        ("fd00::1", "this network"),
        ("11.22.33.44", "outside"),
        ("2a01:4f8::1", "outside"),
    ):
        assert probe.seen_from(address) == said
