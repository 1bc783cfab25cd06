"""Names at domains: found, pinned, and never replaced in silence."""

import json

import msgspec
import pytest

from node.config import Discovery
from node.discovery import webfinger
from node.discovery.webfinger import Handle
from node.encoding import names
from node.errors import NoContact, Refused, Unreachable, Usage
from node.machines.rows import Peer
from node.ports import Request, Response
from node.services import find, meet, petnames
from tests.fakes.world import Machine, World, until, world

DOMAIN = "example.org"
ANNA = Handle(name="anna", domain=DOMAIN)


async def found_as(w: World, name: str, *names_found: str) -> Machine:
    """A machine that is the domain's own, and whose owners are found by these names."""
    machine = await w.add(name)
    await w.off(machine)
    w.move(machine, f"{DOMAIN}:443")
    discovery = Discovery(webfinger=names_found)
    machine.config = msgspec.structs.replace(machine.config, discovery=discovery)
    await w.back(machine)
    return machine


async def add(machine: Machine, text: str) -> Peer:
    core, me = machine.on.core, machine.owner()
    link, now = await machine.on.finder.link(text), core.now()

    def work(tx: object) -> Peer:
        find.pin(tx, me.owner, link, now)  # type: ignore[arg-type]
        return meet.add(tx, me, link, None, now)  # type: ignore[arg-type]

    row = await core.db.transact(work)
    core.outgoing.ring()
    return row


async def ask(machine: Machine, resource: str, method: str = "GET") -> Response:
    path = f"{webfinger.PATH}?resource={resource}"
    return await machine.on.peers.answer(Request(method=method, path=path), "192.0.2.1")


async def test_a_name_leads_to_its_key(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await found_as(w, "anna", "anna"), await w.add("ben")
        row = await add(ben, "anna@Example.org")
        assert (row.did, row.origin) == (anna.owner().owner, anna.origin)
        await until(lambda: bool((peer := ben.peer(row.did)) and peer.record and peer.name), 60)
        assert (peer := ben.peer(row.did)) is not None
        assert peer.name == "anna"
        assert not peer.met  # a name alone is no invite: anna decides
        assert (await add(ben, "anna@example.org")).did == row.did


async def test_only_who_chose_to_is_found(autojump_clock: object) -> None:
    async with world() as w:
        anna = await found_as(w, "anna", "anna")
        await anna.another("carla")
        answers = [
            await ask(anna, f"acct:{who}@{at}")
            for who, at in (
                ("carla", DOMAIN),
                ("nobody", DOMAIN),
                ("*", DOMAIN),
                ("anna", "example.net"),
            )
        ]
        assert {each.status for each in answers} == {404}
        assert len({each.body for each in answers}) == 1
        assert (await ask(anna, "acct:anna@EXAMPLE.org")).status == 200
        assert (
            await anna.on.peers.answer(Request(method="GET", path=webfinger.PATH), "")
        ).status == 400


async def test_a_star_is_everybody_here(autojump_clock: object) -> None:
    async with world() as w:
        anna = await found_as(w, "anna", "*")
        carla = await anna.another("carla")
        told = json.loads((await ask(anna, f"acct:carla@{DOMAIN}")).body)
        assert told["aliases"] == [names.did(carla.owner)]
        assert (await ask(anna, f"acct:dora@{DOMAIN}")).status == 404


async def test_by_default_nobody_is(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await found_as(w, "anna"), await w.add("ben")
        assert (await ask(anna, f"acct:anna@{DOMAIN}")).status == 404
        with pytest.raises(NoContact, match="knows nobody called anna"):
            await ben.on.finder.link(str(ANNA))


async def test_another_key_is_shown_and_changes_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await found_as(w, "anna", "anna"), await w.add("ben")
        old = (await add(ben, str(ANNA))).did
        await w.off(anna)
        w.move(anna, "127.0.0.9:4625")
        new = (await found_as(w, "anna", "anna")).owner().owner
        assert new != old
        before = ben.peer(old)
        with pytest.raises(Refused) as caught:
            await add(ben, str(ANNA))
        assert caught.value.exit_code == 77
        assert caught.value.reason == "key-changed"
        assert names.did(old) in caught.value.text
        assert names.did(new) in caught.value.text
        assert ben.peer(new) is None
        assert (after := ben.peer(old)) is not None
        assert before is not None
        assert (after.name, after.origin) == (before.name, before.origin)

        # What the error says to do.
        def remove(tx: object) -> None:
            me = ben.owner().owner
            row = petnames.find(tx, me, find.known(tx, me, str(ANNA)))  # type: ignore[arg-type]
            meet.remove(tx, row)  # type: ignore[arg-type]
            find.unpin(tx, me, row.did)  # type: ignore[arg-type]

        await ben.on.core.db.transact(remove)
        assert (await add(ben, str(ANNA))).did == new


async def test_the_record_has_to_agree(autojump_clock: object) -> None:
    """A domain may name any key; whether that key lives there its own record says."""
    async with world() as w:
        anna, ben, carl = await found_as(w, "anna", "anna"), await w.add("ben"), await w.add("carl")
        real = anna.on.peers.answer

        async def lie(request: Request, source: str) -> Response:
            answer = await real(request, source)
            mine, other = names.z(anna.owner().owner), names.z(carl.owner().owner)
            if not request.path.startswith(webfinger.PATH):
                return answer
            return Response(status=200, body=answer.body.replace(mine.encode(), other.encode()))

        anna.on.peers.answer = lie  # type: ignore[method-assign]
        row = await add(ben, str(ANNA))
        assert row.did == carl.owner().owner
        await until(lambda: bool((peer := ben.peer(row.did)) and peer.refused), 60)
        assert (peer := ben.peer(row.did)) is not None
        assert peer.refused == "not-here"
        assert peer.record is None


async def test_bad_names_and_silent_domains(autojump_clock: object) -> None:
    async with world() as w:
        ben = await w.add("ben")
        with pytest.raises(Usage, match="no name at a domain"):
            await ben.on.finder.link("anna@example")
        with pytest.raises(Unreachable) as caught:
            await ben.on.finder.link(str(ANNA))
        assert caught.value.next is not None
        assert "https://example.org" in caught.value.next
