"""No public call stores anybody's message, and no bytes of a peer end the node."""

import random
from collections import Counter
from typing import Any

import pytest

from node.encoding import cbor, cid, names
from node.objects import answer, message, notification
from node.objects.introduction import POLL, Poll
from node.ports import Request, Response
from node.store import keyspace
from node.units import Instant
from tests.fakes.world import Machine, world
from tests.services.puppet import Puppet, did_path
from tests.services.test_delivery import key_of
from tests.services.test_receipts import everything

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "", "get")
MAIL = (keyspace.SENT, keyspace.DELIVERIES, keyspace.MAILS, keyspace.BLOCKS, keyspace.DRAFTS)
"""Whatever a peer says, nothing enters these but by a pickup."""


def paths(machine: Machine, puppet: Puppet, name: cid.Cid) -> list[str]:
    shown = cid.show(name)
    return [
        "/v1/notifications",
        "/v1/receipts",
        "/v1/retractions",
        "/v1/introductions",
        "/v1/poll",
        "/v1/blocks",
        f"/v1/blocks/{shown}",
        f"/v1/blocks/{shown}x",
        "/v1/blocks/",
        f"/v1/owners/{names.z(key_of(machine))}",
        "/v1/owners/z6Mk",
        "/v1/owners/",
        did_path(puppet.key),
        did_path(key_of(machine)),
        "/v1/records/",
        "/v1/messages",
        "/.well-known/willcall",
        "/",
        "",
        "/v1/notifications/",
        "/v1/../v1/poll",
        "/%00",
    ]


def bodies(machine: Machine, puppet: Puppet, name: cid.Cid) -> list[bytes]:
    """True objects in every place, damaged ones, and rubbish."""
    me = key_of(machine)
    poll = Poll(sender=puppet.key, to=me, since=Instant(2**53 - 1), issued=puppet.now(), lost=None)
    good = [
        puppet.blocks[name],
        notification.encode_batch(puppet.batch(puppet.item(machine, name))),
        puppet.receipt(me, [name]),
        puppet.retraction(me, name),
        puppet.record(),
        POLL.sign(poll, puppet.keys.signing),
        answer.encode_wanted([answer.Wanted(ticket=None, cids=(name,))]),
        answer.encode(answer.ACCEPTED),
    ]
    dice = random.Random(1)
    made = list(good)
    for block in good:
        for _ in range(6):
            spoiled = bytearray(block)
            spoiled[dice.randrange(len(spoiled))] ^= 1 << dice.randrange(8)
            made.append(bytes(spoiled))
        made.append(block[: len(block) // 2])
    rubbish: list[Any] = [{}, [], 0, None, "text", [[None, []]], {"kind": "message"}]
    return [*made, *map(cbor.encode, rubbish), b"", b"\xff" * 100, b"\x81" * 1000]


@pytest.mark.parametrize("who", ["stranger", "contact"])
async def test_no_public_call_stores_a_message(autojump_clock: object, who: str) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        if who == "contact":
            await eve.befriend(anna)
        name = eve.letter()
        served = eve.blocks.copy()
        eve.blocks.clear()  # a contact's mail is announced, and can't be picked up
        await anna.flushed()
        before = everything(anna)
        all_bodies = bodies(anna, _with(eve, served), name)
        eve.blocks.clear()
        seen: Counter[int] = Counter()
        for path in paths(anna, eve, name):
            for method in METHODS:
                for body in all_bodies:
                    request = Request(method=method, path=path, body=body)
                    response = await w.net.deliver(eve.origin, anna.origin, request)
                    assert 200 <= response.status < 500, (method, path, response)
                    seen[response.status] += 1
        assert seen.total() > 10_000
        assert seen[200] > 100
        await anna.flushed()
        after = everything(anna)
        for layout in MAIL:
            kept = {k: v for k, v in after.items() if k[:1] == layout.letter}
            assert kept == {k: v for k, v in before.items() if k[:1] == layout.letter}
        assert not [key for key in after if key[:1] == keyspace.BODY]
        assert anna.files._blocks == {}
        changed = {key[:1] for key in after.keys() ^ before.keys()}
        changed |= {key[:1] for key in after.keys() & before.keys() if after[key] != before[key]}
        letters = {keyspace.PEERS.letter, keyspace.PICKUPS.letter, keyspace.WITHDRAWN.letter}
        ring = {keyspace.HELD.letter, keyspace.ACCOUNTS.letter}
        assert changed <= (letters | {keyspace.MADE} if who == "contact" else ring)


async def test_an_owner_elsewhere_can_submit_nothing(autojump_clock: object) -> None:
    """A whole, valid message under every path: there is no call that takes it."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        root = eve.blocks[eve.letter()]
        assert message.KIND.decode(root).verify().author == eve.key
        told: set[Response] = set()
        for path in ("/v1/messages", "/v1/blocks", "/v1/submit", "/v1/mail"):
            told.add(await eve.post(anna, path, root))
        assert {response.status for response in told} <= {400, 404}


def _with(eve: Puppet, blocks: dict[bytes, bytes]) -> Puppet:
    eve.blocks.update(blocks)
    return eve
