"""An owner leaves: nothing of it stays, nothing of the others goes, and peers hear of it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
import trio

from node.crypto import phrase
from node.encoding import names
from node.errors import Conflict, NoContact, Refused
from node.machines import rows
from node.objects import answer as answers
from node.ports import Response, Tables
from node.services import leave, owners
from node.services.leave import Left
from node.services.submit import Terms
from node.store import keyspace
from node.units import Key
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


async def remove(machine: Machine, name: str, *, patience: float = 30.0, **how: Any) -> Left:
    how.setdefault("anyway", True)
    _, left = await machine.on.leaving.remove(name, None, patience=patience, **how)
    return left


def rows_of(machine: Machine, owner: Key) -> dict[bytes, bytes]:
    """All that is stored and names a key, but the row that says it was removed."""
    disk = machine.disk.copy().scan(b"\x00", b"\xff" * 8)
    return {k: v for k, v in disk if bytes(owner) in k + v and k != keyspace.NODE}


async def house(w: World) -> tuple[Machine, Machine, Key, Key]:
    """Anna and ben at one node, carl at another, all of them contacts."""
    home = await w.add("anna", sweeps=3600.0)
    carl = await w.add("carl", sweeps=3600.0, ask_over="1700KiB")
    ben = (await home.another("ben")).owner
    for name in ("anna", "ben"):
        await home.join(await carl.invite(), owner=name)
        me = home.owner(name).owner
        await until(lambda me=me: (p := carl.peer(me)) is not None and p.met)  # type: ignore[misc]
    await home.join(await home.invite("ben"), owner="anna")
    await until(lambda: (p := home.peer(ben)) is not None and p.met)
    return home, carl, key_of(home), ben


async def test_nothing_stays_and_others_keep_theirs(autojump_clock: object) -> None:
    async with world() as w:
        home, carl, anna, ben = await house(w)
        for size in (10, 1_500_000):
            both = await carl.send([anna, ben], b"c" * size)
            for key in (anna, ben):
                await until(lambda m=both, k=key: carl.state(m, k) == "confirmed", 600)  # type: ignore[misc]
            for owner in ("anna", "ben"):
                sent = await home.send([key_of(carl)], owner.encode() * (size // 4), owner=owner)
                await until(lambda m=sent: home.state(m, key_of(carl)) == "confirmed", 600)  # type: ignore[misc]
        to_anna = await home.send([anna], b"between us" * 9_000, owner="ben")
        await until(lambda: home.state(to_anna, anna) == "confirmed", 600)
        before = home.inbox("anna")
        found = home.on.core.db.read(lambda tx: leave.facts(tx, ben))
        assert (found.received, found.sent, found.open, found.last) == (2, 3, 0, False)
        left = await remove(home, "ben")
        assert (left.withdrawn, left.untold, left.freed) == (0, 0, found.used)
        await home.flushed()
        assert {k[:1] for k in rows_of(home, ben)} <= {b"P", b"M", b"B", b"@", b"J"}
        assert all(bytes(anna) in k for k in rows_of(home, ben) if k[:1] in b"PMJ")
        assert home.inbox("anna") == before
        assert await home.complaints() == []
        with pytest.raises(NoContact):
            home.owner("ben")
        # Life goes on for her; for him there is nobody.
        again = await carl.send([anna, ben], b"still there?")
        await until(lambda: carl.state(again, anna) == "confirmed", 600)
        await until(lambda: carl.state(again, ben) == "refused", 600)
        reason = carl.on.core.db.read(
            lambda tx: getattr(tx.deliveries.get(key_of(carl), again, ben), "reason", None)
        )
        assert reason == "not-here"
        await w.off(home)
        await w.back(home)
        assert home.on.core.db.read(lambda tx: tx.node().removed) == ()


async def test_open_mail_is_withdrawn_and_told(autojump_clock: object) -> None:
    async with world() as w:
        home, carl, _, _ben = await house(w)
        message = await home.send([key_of(carl)], b"x" * 2_000_000, owner="ben")
        await until(lambda: home.state(message, key_of(carl)) == "held", 600)
        left = await remove(home, "ben")
        assert (left.withdrawn, left.untold) == (1, 0)
        await trio.sleep(86_400)
        assert [state for _, _, state in carl.inbox()] in ([], ["failed"])
        assert carl.on.core.db.read(lambda tx: list(tx.pickups.scan())) == []


async def test_who_is_silent_is_counted_and_learns_it_by_asking(autojump_clock: object) -> None:
    async with world() as w:
        home, carl, _, _ben = await house(w)
        message = await home.send([key_of(carl)], b"x" * 2_000_000, owner="ben", keep=172_800_000)
        await until(lambda: home.state(message, key_of(carl)) == "held", 600)
        w.net.weather.cut.add((home.origin, carl.origin))
        left = await remove(home, "ben", patience=5.0)
        assert (left.withdrawn, left.untold) == (1, 1)
        w.net.weather.cut.clear()
        await trio.sleep(3 * 86_400)
        assert [state for _, _, state in carl.inbox()] == ["failed"]
        assert await home.complaints() == []


async def test_what_is_answered_after_it_left_is_not_kept(autojump_clock: object) -> None:
    async with world() as w:
        home, eve = await w.add("anna"), Puppet(w, "eve")
        ben = (await home.another("ben")).owner
        await home.join(f"{names.did(eve.key)}@{eve.origin}", owner="ben")
        await home.send([eve.key], b"hello", owner="ben")
        await until(lambda: eve.told("/v1/notifications") > 0)
        refusal = answers.encode(answers.refused("busy"))
        eve.says["/v1/retractions"] = Response(status=200, body=refusal)
        w.net.weather.delay = (5.0, 6.0)
        await remove(home, "ben", patience=3.0)
        assert not eve.told("/v1/retractions")
        await trio.sleep(60)
        assert eve.told("/v1/retractions")
        await home.flushed()
        assert rows_of(home, ben) == {}


async def test_what_is_refused_changes_nothing(autojump_clock: object) -> None:
    async with world() as w:
        home, carl, _, ben = await house(w)
        message = await carl.send([ben], b"hello")
        await until(lambda: carl.state(message, ben) == "confirmed", 600)
        mark = home.on.core.db.read(lambda tx: leave.facts(tx, ben)).mark
        with pytest.raises(Refused, match="1 received") as caught:
            await remove(home, "ben", anyway=False)
        assert caught.value.reason == "not-exported"
        more = await carl.send([ben], b"one more")
        await until(lambda: carl.state(more, ben) == "confirmed", 600)
        with pytest.raises(Conflict, match="while it was exported"):
            await home.on.leaving.remove("ben", mark, anyway=False, patience=1)
        with pytest.raises(NoContact):
            await remove(home, "dora")
        with pytest.raises(Refused, match="last owner"):
            await remove(carl, "carl")
        assert len(home.inbox("ben")) == 2
        mark = home.on.core.db.read(lambda tx: leave.facts(tx, ben)).mark
        await home.on.leaving.remove("ben", mark, anyway=False, patience=1)


async def test_a_crash_in_the_middle_is_finished_at_the_next_start(autojump_clock: object) -> None:
    async with world() as w:
        home, carl, _, ben = await house(w)
        message = await home.send([key_of(carl)], b"x" * 1_500_000, owner="ben")
        await until(lambda: home.state(message, key_of(carl)) == "confirmed", 600)
        owner = home.owner("ben")

        def close(tx: Tables) -> None:
            leave._close(tx, owner)

        await home.on.core.db.transact(close)
        await w.off(home)
        assert any(key[:1] == b"S" for key in rows_of(home, ben))
        await w.back(home)
        await home.flushed()
        assert {k[:1] for k in rows_of(home, ben)} <= {b"P"}
        await until(lambda: not home.files._blocks, 86_400)


async def dora_at(home: Machine) -> Key:
    """Somebody who begins from her phrase, the first time or again."""
    made = await owners.make(
        home.on.core.db, home.randomness, name="dora", endpoints=home.on.core.endpoints,
        now=home.now(), quota=1 << 30, recover=phrase.words(b"d" * 32),
    )  # fmt: skip
    return made.owner.owner


async def test_while_it_is_removed_the_phrase_brings_nothing_back(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or what is left of its life before would be in the new one, and under its numbers."""
    monkeypatch.setattr(leave, "AT_ONCE", 1)
    async with world() as w:
        home = await w.add("anna", sweeps=3600.0)
        dora = await dora_at(home)
        for number in range(5):
            await home.send([dora], b"%d" % number, owner="dora")
        await until(lambda: len(home.inbox("dora")) == 5, 60)
        await trio.sleep(60)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(remove, home, "dora")
            while any(row.owner == dora for row in owners_of(home)):  # no event
                await trio.lowlevel.checkpoint()
            with pytest.raises(Conflict, match="still being removed"):
                await dora_at(home)
        assert await dora_at(home) == dora
        message = await home.send([dora], b"again", owner="dora")
        await until(lambda: [name for _, name, _ in home.inbox("dora")] == [message], 60)
        assert await home.complaints() == []


def owners_of(machine: Machine) -> list[rows.Owner]:
    return machine.on.core.db.read(lambda tx: list(tx.owners.scan()))


async def test_the_phrase_brings_it_back_at_once(autojump_clock: object) -> None:
    async with world() as w:
        home, _carl, _, _ben = await house(w)
        dora = await dora_at(home)
        await remove(home, "dora")
        assert await dora_at(home) == dora
        await w.off(home)
        await w.back(home)
        assert home.owner("dora").owner == dora


async def test_the_first_may_go_and_the_next_is_first(autojump_clock: object) -> None:
    async with world() as w:
        home, _carl, anna, ben = await house(w)
        assert home.on.core.db.read(lambda tx: leave.facts(tx, anna)).first
        await remove(home, "anna")
        assert home.owner().owner == ben


async def test_what_is_written_for_it_meanwhile_is_refused(autojump_clock: object) -> None:
    async with world() as w:
        home, carl, _, ben = await house(w)
        row = home.owner("ben")
        peer = home.on.core.db.read(lambda tx: tx.peers.get(ben, key_of(carl)))
        assert isinstance(peer, rows.Peer)
        await remove(home, "ben")
        with pytest.raises(NoContact):
            await home.on.submission.small(row, [b"late"], Terms(to=(key_of(carl),)))
        # A contact that somebody was just changing: it does not keep the node busy for ever.
        await home.on.core.db.transact(lambda tx: tx.peers.put(peer.but(wake_at=home.now())))
        home.on.core.outgoing.ring()
        await until(
            lambda: home.on.core.db.read(lambda tx: tx.peers.get(ben, key_of(carl))) is None
        )


async def test_what_it_was_writing_when_it_left_is_not_kept(autojump_clock: object) -> None:
    """Large mail comes in for a while; its last transaction looks whether there is an owner yet."""
    async with world() as w:
        home, carl, _, ben = await house(w)
        owner = home.owner("ben")

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield bytes(1 << 20)
            await remove(home, "ben", patience=1.0)
            yield bytes(500_000)

        async with aclosing(pieces()) as chunks:
            with pytest.raises(NoContact):
                await home.on.submission.large(
                    owner, chunks, (1 << 20) + 500_000, Terms(to=(key_of(carl),))
                )
        await home.flushed()
        assert {k[:1] for k in rows_of(home, ben)} <= {b"P"}
        await until(lambda: not home.files._blocks, 86_400)
