"""Pins: whom a node believes to have reached, and how a replaced key becomes known.

The fake network shows each machine's pin as a TLS client would see it, and refuses calls whose
endpoint says another one. What real sockets and certificates do is in `tests/client/test_tls.py`.
"""

from node.encoding import names
from node.machines.rows import Peer
from node.objects.record import Endpoint, decode
from node.ports import Response
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet

ONE, TWO, THREE = (bytes([n]) * 32 for n in (1, 2, 3))


def known(machine: Machine, other: Machine | Puppet) -> Peer:
    key = other.key if isinstance(other, Puppet) else other.owner().owner
    row = machine.peer(key)
    assert row is not None
    return row


def asked(puppet: Puppet) -> str:
    return f"/v1/owners/{names.z(puppet.key)}"


def link(puppet: Puppet) -> str:
    return f"{names.did(puppet.key)}@{puppet.origin}"


async def pinned(w: World) -> tuple[Machine, Machine]:
    anna, ben = await w.add("anna", pin=ONE), await w.add("ben", pin=TWO)
    await w.friends(anna, ben)
    return anna, ben


async def exchanged(a: Machine, b: Machine, seconds: float = 600) -> None:
    for one, other in ((a, b), (b, a)):
        message = await one.send([other.owner().owner], b"hello")
        await until(
            lambda one=one, other=other, message=message: (  # type: ignore[misc]
                one.state(message, other.owner().owner) == "confirmed"
            ),
            seconds,
        )


async def test_nodes_with_pins_exchange_mail(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await pinned(w)
        await exchanged(anna, ben)
        row = known(anna, ben)
        assert row.record is not None
        assert decode(row.record).claim.nodes == (Endpoint(origin=ben.origin, pin=TWO),)


async def test_owners_of_one_node_with_a_pin(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna", pin=ONE)
        other = await anna.another("other")
        await anna.join(await anna.invite(), owner="other")
        message = await anna.send([anna.owner().owner], b"hello", owner="other")
        await until(lambda: anna.state(message, anna.owner().owner) == "confirmed", 600)
        message = await anna.send([other.owner], b"hello")
        await until(lambda: anna.state(message, other.owner) == "confirmed", 600)


async def test_who_stands_in_between_gets_a_greeting_and_nothing_else(
    autojump_clock: object,
) -> None:
    """The record is Eve's own word for word, the connection is not hers."""
    async with world() as w:
        anna, eve = await w.add("anna", pin=ONE), Puppet(w, "eve", pin=THREE)
        nodes = (Endpoint(origin=eve.origin, pin=TWO),)
        eve.says[asked(eve)] = Response(status=200, body=eve.record(nodes=nodes))
        await anna.join(link(eve))
        await until(lambda: known(anna, eve).refused is not None, 60)
        assert known(anna, eve).refused == "tls-pin"
        assert {path for path, _ in eve.heard} == {asked(eve)}
        assert known(anna, eve).record is None


async def test_a_record_without_pin_goes_by_the_roots(autojump_clock: object) -> None:
    """The fake network's roots trust nobody: the second, verified question fails."""
    async with world() as w:
        anna, eve = await w.add("anna", pin=ONE), Puppet(w, "eve", pin=THREE)
        await anna.join(link(eve))
        await until(lambda: known(anna, eve).refused is not None, 60)
        assert known(anna, eve).refused == "tls-untrusted"
        assert len(eve.heard) == 1
        assert known(anna, eve).record is None


async def test_a_pin_does_not_fit_a_connection_without_tls(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna", pin=ONE), Puppet(w, "eve")
        nodes = (Endpoint(origin=eve.origin, pin=TWO),)
        eve.says[asked(eve)] = Response(status=200, body=eve.record(nodes=nodes))
        await anna.join(link(eve))
        await until(lambda: known(anna, eve).refused is not None, 60)
        assert known(anna, eve).refused == "tls-pin"


async def test_a_stolen_origin_gets_no_mail(autojump_clock: object) -> None:
    """Somebody else answers at a contact's origin, with the contact's old, true record."""
    async with world() as w:
        anna, ben = await pinned(w)
        key, record = ben.owner().owner, known(anna, ben).record
        assert record is not None
        await w.off(ben)
        thief = Puppet(w, "thief", pin=THREE)
        w.net.machines[ben.origin] = thief  # type: ignore[assignment]
        path = f"/v1/owners/{names.z(key)}"
        thief.says[path] = Response(status=200, body=record)
        message = await anna.send([key], b"secret")
        await until(lambda: thief.told(path) > 2, 2 * 86_400)
        assert anna.peer(key).silent_why == "tls-pin"  # type: ignore[union-attr]
        assert anna.state(message, key) == "stored"
        assert {each for each, _ in thief.heard} == {path}
        # The contact is back at its place: the mail goes out.
        w.net.machines[ben.origin] = ben
        await w.back(ben)
        await until(lambda: anna.state(message, key) == "confirmed", 2 * 86_400)


async def test_a_replaced_key_is_told_and_mail_goes_on(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await pinned(w)
        await w.off(ben)
        ben.pin = THREE
        await w.back(ben)
        await exchanged(anna, ben)
        row = known(anna, ben)
        assert row.record is not None
        assert decode(row.record).claim.nodes[0].pin == THREE


async def test_keys_replaced_on_both_sides_at_once(autojump_clock: object) -> None:
    """Neither can be told by the other: each greets again, and finds a newer record."""
    async with world() as w:
        anna, ben = await pinned(w)
        await w.off(ben)
        await w.off(anna)
        anna.pin, ben.pin = THREE, bytes([4]) * 32
        await w.back(anna)
        await w.back(ben)
        await exchanged(anna, ben, 86_400)


async def test_a_pin_comes_and_goes_with_the_origin(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await pinned(w)
        await w.off(ben)
        w.move(ben, "127.0.0.77:4625")
        ben.pin = None
        await w.back(ben)
        await exchanged(anna, ben, 86_400)
