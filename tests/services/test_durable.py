"""What leaves the node tells only what is on the disk already, at each place where something does.

The disk is slow here: a write takes seconds. Whatever was answered, or came to somebody, is held
against the disk in that moment (I1, I5), as a power cut then would leave it.
"""

from collections.abc import Callable
from typing import TypeVar

import trio

from node.encoding.cid import Cid
from node.objects import notification
from node.objects.answer import ACCEPTED, PollAnswer
from node.objects.receipt import RECEIPT
from node.ports import Request, Response, Tables
from tests.fakes.audit import database
from tests.fakes.world import Machine, World, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of

T = TypeVar("T")
SLOW = 20.0


def on_disk(machine: Machine, work: Callable[[Tables], T]) -> T:
    """What a power cut now would leave."""
    return database(machine.disk.copy()).read(work)


def state_on_disk(machine: Machine, message: bytes, to: bytes) -> str | None:
    row = on_disk(machine, lambda tx: tx.deliveries.get(key_of(machine), message, to))
    return None if row is None else str(row.state)


def has_mail(machine: Machine, message: bytes) -> bool:
    """Whether its row and its bytes are there."""

    def work(tx: Tables) -> bool:
        block = tx.blocks.get(message)
        whole = block is not None and tx.blocks.data(block) is not None
        return whole and any(row.message == message and row.key for row in tx.mails.scan())

    return on_disk(machine, work)


async def two(w: World) -> tuple[Machine, Puppet]:
    """Anna, whose disk is slow, and eve, a contact."""
    anna, eve = await w.add("anna"), Puppet(w, "eve")
    await eve.befriend(anna)
    await trio.sleep(60)
    await anna.flushed()
    return anna, eve


async def told(anna: Machine, eve: Puppet) -> Cid:
    message = await anna.send([eve.key], b"hello")
    await until(lambda: anna.state(message, eve.key) == "notified", 60)
    await anna.flushed()
    return message


async def test_a_receipt_was_noted_when_it_is_answered(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await two(w)
        message, anna.slow = await told(anna, eve), SLOW
        receipt = eve.receipt(key_of(anna), [message])
        assert await eve.one(anna, "/v1/receipts", receipt) == ACCEPTED
        assert state_on_disk(anna, message, eve.key) == "confirmed"


async def test_a_retraction_was_noted_when_it_is_answered(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await two(w)
        message = eve.letter()
        item = eve.item(anna, message)
        del eve.blocks[message]
        await eve.notify(anna, item)
        await anna.flushed()
        anna.slow = SLOW
        await eve.one(anna, "/v1/retractions", eve.retraction(key_of(anna), message))
        assert on_disk(anna, lambda tx: len(list(tx.withdrawn.scan()))) == 1


async def test_what_a_poll_is_told_was_noted_as_announced(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await two(w)
        del w.net.machines[eve.origin]  # the poll's answer is all that it ever hears
        message = await anna.send([eve.key], b"hello")
        await anna.flushed()
        anna.slow, asked = SLOW, eve.now()
        answer = await eve.poll(anna, issued=asked)
        assert isinstance(answer, PollAnswer)
        assert answer.batches
        row = on_disk(anna, lambda tx: tx.deliveries.get(key_of(anna), message, eve.key))
        peer = on_disk(anna, lambda tx: tx.peers.get(key_of(anna), eve.key))
        assert row is not None
        assert row.announced
        assert peer is not None
        assert peer.asked == asked  # or a power cut would let the same words be said again


async def test_an_introduction_was_noted_when_it_is_answered(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        link = await anna.invite()
        anna.slow = SLOW
        assert (await eve.introduce(anna, link)).status == 200
        row = on_disk(anna, lambda tx: tx.peers.get(key_of(anna), eve.key))
        assert row is not None
        assert row.met
        # Once more, of a contact by now: a new capability, without an invite.
        newer = b"c" * 16
        assert (await eve.introduce(anna, capability=newer)).status == 200
        row = on_disk(anna, lambda tx: tx.peers.get(key_of(anna), eve.key))
        assert row is not None
        assert row.capability == newer


class Looking(Puppet):
    """Looks at the disk of whoever calls."""

    caller: Machine
    seen: list[tuple[str, bool]]

    async def answer(self, request: Request, source: str) -> Response:
        look = {"/v1/notifications": self._announced, "/v1/receipts": self._kept}
        if request.path in look:
            self.seen.append((request.path, look[request.path](request.body)))
        return await super().answer(request, source)

    def _announced(self, body: bytes) -> bool:
        raw = notification.decode_batch(body).claim.items
        items = [notification.decode(each) for each in raw]
        rows = [
            on_disk(self.caller, lambda tx, i=i: tx.deliveries.get(i.sender, i.message, i.to))  # type: ignore[misc]
            for i in items
        ]
        return all(row is not None and row.announced for row in rows)

    def _kept(self, body: bytes) -> bool:
        return all(has_mail(self.caller, name) for name in RECEIPT.decode(body).claim.messages)


async def looked_at(w: World) -> tuple[Machine, Looking]:
    anna, eve = await w.add("anna"), Looking(w, "eve")
    eve.caller, eve.seen = anna, []
    await eve.befriend(anna)
    await trio.sleep(60)
    await anna.flushed()
    anna.slow = SLOW
    return anna, eve


async def test_a_notification_leaves_when_it_was_noted(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await looked_at(w)
        message = await anna.send([eve.key], b"hello")
        assert state_on_disk(anna, message, eve.key) is not None
        await until(lambda: anna.state(message, eve.key) == "notified", 600)
        assert eve.seen == [("/v1/notifications", True)]


async def test_a_receipt_leaves_when_its_mail_is_kept(autojump_clock: object) -> None:
    """Even if the peer is called meanwhile for something else: it is owed as soon as it is seen."""
    async with world() as w:
        anna, eve = await looked_at(w)
        message = eve.letter()
        await eve.notify(anna, eve.item(anna, message))
        await until(lambda: len(anna.inbox()) == 1, 600)
        anna.on.core.outgoing.ring()
        await until(lambda: bool(eve.seen), 600)
        assert eve.seen == [("/v1/receipts", True)]


async def test_a_receipt_as_an_answer_leaves_when_its_mail_is_kept(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await looked_at(w)
        message = eve.letter()
        await eve.notify(anna, eve.item(anna, message))
        await until(lambda: len(anna.inbox()) == 1, 600)
        assert not has_mail(anna, message)
        (answer,) = await eve.notify(anna, eve.item(anna, message))
        assert answer.receipt is not None
        assert has_mail(anna, message)


async def test_large_mail_was_kept_when_send_returns(autojump_clock: object) -> None:
    """And at each file that is written, a draft on the disk names it: a crash can't hide it."""
    async with world() as w:
        anna, eve = await two(w)
        anna.slow, named = 2.0, list[bool]()
        keep = anna.files.keep

        async def kept(cid: bytes, block: bytes) -> None:
            drafts = on_disk(anna, lambda tx: list(tx.drafts.scan()))
            named.append(any(cid in draft.parts for draft in drafts))
            await keep(cid, block)

        anna.files.keep = kept  # type: ignore[method-assign]
        message = await anna.send([eve.key], b"x" * 2_500_000)
        assert named == [True] * 3
        sent = on_disk(anna, lambda tx: tx.sent.get(key_of(anna), message))
        assert sent is not None
        assert on_disk(anna, lambda tx: all(tx.blocks.get(part) for part in sent.parts))


async def test_a_file_goes_after_the_row_that_freed_it(autojump_clock: object) -> None:
    """Where that can't be written, the rows on the disk still need the file."""
    async with world() as w:
        anna, ben = await w.add("anna", sent="drop"), await w.add("ben")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 1_200_000)
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 600)
        await trio.sleep(13.9 * 86_400)
        anna.kv.full = True
        await trio.sleep(86_400)
        for name in anna.files._blocks:
            row = on_disk(anna, lambda tx, name=name: tx.blocks.get(name))  # type: ignore[misc]
            assert row is not None
            assert row.refs
        assert len(anna.files._blocks) == 2
        anna.kv.full = False
        await trio.sleep(3_600)
        assert anna.files._blocks == {}
