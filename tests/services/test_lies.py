"""What peers say is believed only if it is signed, and about the very thing that it answers.

An answer, a poll, a record or a retraction is anybody's words until then: here somebody lies in
each.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from node.crypto import keys
from node.encoding.cid import Cid
from node.objects import answer as answers
from node.objects import notification, record
from node.objects.answer import ACCEPTED, Answer, PollAnswer
from node.objects.introduction import POLL, Poll
from node.objects.receipt import RECEIPT, RETRACTION, Retraction
from node.objects.record import Record
from node.ports import Response
from node.units import Instant
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet, did_path
from tests.services.test_delivery import key_of
from tests.services.test_receipts import everything
from tests.services.test_retraction import retract


async def people(w: World) -> tuple[Machine, Puppet, Puppet]:
    """Anna; eve, a contact; mallory, who signs what is eve's or anna's to sign."""
    anna, eve, mallory = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "mallory", 2)
    await eve.befriend(anna)
    await trio.sleep(60)
    await anna.flushed()
    return anna, eve, mallory


def forged(block: bytes, mallory: Puppet) -> bytes:
    """The same receipt, signed by somebody else."""
    return RECEIPT.sign(RECEIPT.decode(block).claim, mallory.keys.signing)


Lie = Callable[[Machine, Puppet, Puppet, Cid, Cid], Answer]
"""Of anna, eve, mallory, the message that is told of, and another one."""


def receipted(block: bytes) -> Answer:
    return Answer(state="receipt", receipt=RECEIPT.decode(block))


def retracted(anna: Machine, to: bytes, message: Cid, signing: bytes) -> Answer:
    gone = Retraction(sender=key_of(anna), to=to, message=message, at=anna.now())  # type: ignore[arg-type]
    return Answer(state="retracted", retraction=RETRACTION.decode(RETRACTION.sign(gone, signing)))


LIES: dict[str, Lie] = {
    "a receipt that is not the addressee's signature": lambda a, e, m, it, other: receipted(
        forged(e.receipt(key_of(a), [it]), m)
    ),
    "somebody else's receipt": lambda a, e, m, it, other: receipted(m.receipt(key_of(a), [it])),
    "a receipt for another author": lambda a, e, m, it, other: receipted(e.receipt(m.key, [it])),
    "a receipt for another message": lambda a, e, m, it, other: receipted(
        e.receipt(key_of(a), [other])
    ),
    "a retraction that the author did not sign": lambda a, e, m, it, other: retracted(
        a, e.key, it, e.keys.signing
    ),
    "the author's retraction of another message": lambda a, e, m, it, other: retracted(
        a, e.key, other, a.owner().signing
    ),
    "the author's retraction for another addressee": lambda a, e, m, it, other: retracted(
        a, m.key, it, a.owner().signing
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_no_lie_ends_a_delivery(autojump_clock: object, lie: str) -> None:
    async with world() as w:
        anna, eve, mallory = await people(w)
        other = eve.letter()
        message = await anna.send([eve.key], b"hello")
        eve.says["/v1/notifications"] = said([LIES[lie](anna, eve, mallory, message, other)])
        await until(lambda: eve.told("/v1/notifications") > 0, 60)
        await trio.sleep(1)
        assert anna.state(message, eve.key) == "stored"
        # And the truth does.
        eve.says["/v1/notifications"] = said([receipted(eve.receipt(key_of(anna), [message]))])
        await until(lambda: anna.state(message, eve.key) == "confirmed", 3_600)


def said(made: list[Answer]) -> Response:
    return Response(status=200, body=answers.encode_all(made))


def newer(eve: Puppet, signing: bytes, **changes: object) -> Answer:
    """`stale-record`, with a record whose box would open to somebody else."""
    claim = record.decode(eve.record(seq=9)).claim
    made = record.sign(replace(claim, **changes), signing)  # type: ignore[arg-type]
    return answers.refused("stale-record", record=record.decode(made))


async def test_no_lie_changes_a_record(autojump_clock: object) -> None:
    """Or whoever stands in between would get the next key in a box of its own."""
    async with world() as w:
        anna, eve, mallory = await people(w)
        before = anna.peer(eve.key)
        assert before is not None
        theirs: Record = record.decode(mallory.record()).claim
        lies = [
            newer(eve, mallory.keys.signing, sealing=theirs.sealing),
            newer(mallory, mallory.keys.signing),  # a right record, and somebody else's
            newer(mallory, mallory.keys.signing, recovery=keys.public(eve.keys.recovery)),
            answers.refused("stale-record", record=record.decode(eve.record(seq=0))),
        ]
        for count, lie in enumerate(lies, 1):
            eve.heard.clear()
            eve.says["/v1/notifications"] = said([lie])
            await anna.send([eve.key], b"%d" % count)
            await until(lambda: eve.told("/v1/notifications") > 0, 60)
            await trio.sleep(3)
            after = anna.peer(eve.key)
            assert after is not None
            assert after.record == before.record
            assert eve.told("/v1/notifications") == 1  # nothing is sealed anew
            eve.says.clear()
            await trio.sleep(60)


async def test_a_forged_receipt_does_not_answer_a_retraction(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, mallory = await people(w)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        lie = receipted(forged(eve.receipt(key_of(anna), [message]), mallory))
        eve.says["/v1/retractions"] = Response(status=200, body=answers.encode(lie))
        await retract(anna, message)
        await until(lambda: eve.told("/v1/retractions") > 0, 60)
        await trio.sleep(1)
        assert anna.state(message, eve.key) == "retracted"


async def test_only_the_poller_is_told(autojump_clock: object) -> None:
    """And a poll that nobody signed says nothing of a loss."""
    async with world() as w:
        anna, eve, mallory = await people(w)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        poll = Poll(
            sender=eve.key,
            to=key_of(anna),
            since=Instant(0),
            issued=anna.now(),
            lost=(Instant(1), anna.now()),
        )
        block = POLL.sign(poll, mallory.keys.signing)
        assert (await mallory.post(anna, "/v1/poll", block)).status == 422
        assert anna.state(message, eve.key) == "confirmed"
        assert isinstance(await eve.poll(anna), PollAnswer)


async def test_a_record_is_its_keys(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, mallory = await people(w)
        before = anna.peer(eve.key)
        claim = record.decode(eve.record(seq=9)).claim
        lie = record.sign(claim, mallory.keys.signing)
        assert (await mallory.post(anna, did_path(eve.key), lie, "PUT")).status == 422
        assert anna.peer(eve.key) == before


async def test_mail_that_was_picked_up_is_not_retracted(autojump_clock: object) -> None:
    """The answer is the receipt, and the mail stays."""
    async with world() as w:
        anna, eve, _ = await people(w)
        message = eve.letter()
        await eve.notify(anna, eve.item(anna, message))
        await until(lambda: len(anna.inbox()) == 1, 60)
        told = await eve.one(anna, "/v1/retractions", eve.retraction(key_of(anna), message))
        assert told.receipt is not None
        assert told.receipt.verify().messages == (message,)
        assert [state for *_, state in anna.inbox()] == ["new"]


async def test_what_concerns_nothing_here_costs_a_look(autojump_clock: object) -> None:
    """Not a signature: whoever knows a key could have them checked without end (I8)."""
    async with world() as w:
        anna, eve, mallory = await people(w)
        before, name = everything(anna), eve.letter()
        receipt = forged(eve.receipt(key_of(anna), [name]), mallory)
        gone = RETRACTION.decode(eve.retraction(key_of(anna), name)).claim
        retraction = RETRACTION.sign(gone, mallory.keys.signing)
        # Neither is signed by eve, and nobody looked.
        assert await eve.one(anna, "/v1/receipts", receipt) == ACCEPTED
        assert await eve.one(anna, "/v1/retractions", retraction) == ACCEPTED
        await anna.flushed()
        assert everything(anna) == before


async def test_what_was_freed_is_not_opened_again(autojump_clock: object) -> None:
    """The grace ended by a clock that then went back: its blocks are gone all the same."""
    async with world() as w:
        anna, eve = await w.add("anna", sent="drop"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = await anna.send([eve.key], b"hello")
        await until(lambda: anna.state(message, eve.key) == "notified", 60)
        await eve.one(anna, "/v1/receipts", eve.receipt(key_of(anna), [message]))
        anna.clock.step(20 * 86_400_000)
        await trio.sleep(25 * 3_600)  # a day later it is believed
        anna.clock.step(-20 * 86_400_000)
        await trio.sleep(60)
        told = await eve.poll(anna, lost=(1, anna.now()))
        assert isinstance(told, PollAnswer)
        assert told.batches == ()
        assert anna.state(message, eve.key) == "confirmed"


async def test_a_batch_that_nobody_signed_is_none(autojump_clock: object) -> None:
    """By a call, or in a poll's answer; nor may a poll be answered with somebody else's."""
    async with world() as w:
        anna, eve, mallory = await people(w)
        before, message = anna.peer(eve.key), eve.letter()
        items = [notification.encode(eve.item(anna, message))]
        lie = notification.sign_batch(eve.key, items, mallory.keys.signing)
        response = await mallory.post(anna, "/v1/notifications", notification.encode_batch(lie))
        assert response.status == 422
        hers = mallory.batch(mallory.item(anna, mallory.letter()))
        assert before is not None
        for count, batch in enumerate((lie, hers), 1):
            told = answers.encode_poll(anna.now(), False, [batch])
            eve.says["/v1/poll"] = Response(status=200, body=told)
            eve.heard.clear()
            due = before.but(poll_at=anna.now(), wake_at=anna.now())
            await anna.on.core.db.transact(lambda tx, due=due: tx.peers.put(due))  # type: ignore[misc]
            anna.on.core.outgoing.ring()
            await until(lambda: eve.told("/v1/poll") > 0, 60)
            await trio.sleep(10)
            rows = anna.on.core.db.read(lambda tx: (list(tx.pickups.scan()), list(tx.held.scan())))
            assert rows == ([], []), count
        assert anna.inbox() == []
        # The same, signed, is taken.
        await eve.notify(anna, items[0])
        await until(lambda: len(anna.inbox()) == 1, 60)
