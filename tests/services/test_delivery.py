"""Mail gets there: through absences, crashes, doubles and disorder, and at a bounded price."""

import trio

from node.encoding import cid
from node.errors import StoreFailed
from node.objects import answer
from node.objects.answer import ACCEPTED, Answer
from node.objects.receipt import RECEIPT
from node.objects.record import Endpoint
from node.ports import Response
from node.services.mailbox import Mailbox
from node.services.submit import Terms
from node.units import Key
from tests import factories as make
from tests.fakes.world import Machine, Weather, until, world
from tests.services.puppet import Puppet, did_path

HOUR, DAY = 3600.0, 86_400.0


def key_of(machine: Machine) -> Key:
    return machine.owner().owner


def attempts(machine: Machine, message: bytes, to: Key) -> int:
    row = machine.on.core.db.read(lambda tx: tx.deliveries.get(key_of(machine), message, to))
    assert row is not None
    return row.step


async def test_a_recipient_that_is_down_for_days(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await trio.sleep(60)
        await w.off(ben)
        calls = len(w.net.calls)
        message = await anna.send([to], b"hello")
        await trio.sleep(2 * HOUR)
        # 0, 5 s, 35 s, 2.6, 10, 25, 55, 115 min: each moved by a fifth.
        assert 7 <= len(w.net.calls) - calls <= 9
        await trio.sleep(5 * DAY)
        assert len(w.net.calls) - calls <= 17
        assert anna.state(message, to) == "stored"
        await w.back(ben)
        await until(lambda: anna.state(message, to) == "confirmed", 60)


async def test_mail_arrives_without_a_word_from_the_recipient(autojump_clock: object) -> None:
    """Both are silent to each other until the sender's next attempt."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await trio.sleep(60)
        w.net.weather.cut |= {(anna.origin, ben.origin), (ben.origin, anna.origin)}
        message = await anna.send([key_of(ben)], b"hello")
        await trio.sleep(3 * DAY)
        w.net.weather.cut.clear()
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 1.5 * DAY)


async def test_a_poll_after_a_restart_brings_mail(autojump_clock: object) -> None:
    """The first word is the recipient's: mail arrives before the sender has called."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await w.off(ben)
        message = await anna.send([to], b"hello")
        await trio.sleep(3 * HOUR)
        w.net.calls.clear()
        await w.back(ben)
        await until(lambda: len(ben.inbox()) == 1, 60)
        assert w.net.calls[0] == (ben.origin, anna.origin, "/v1/poll")
        await until(lambda: anna.state(message, to) == "confirmed", 60)


async def test_what_submit_returned_survives_a_crash(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        anna.slow = 1.0
        small = await anna.send([to], b"hello")
        large = await anna.send([to], b"x" * 1_500_000)
        await w.off(anna)
        assert await anna.complaints(resting=False) == []
        await w.back(anna)
        for message in (small, large):
            await until(lambda m=message: anna.state(m, to) == "confirmed", HOUR)  # type: ignore[misc]
        assert len(ben.inbox()) == 2


async def test_a_crash_while_submitting_leaves_nothing(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to, outcome = key_of(ben), []
        anna.slow = 5.0

        async def send() -> None:
            try:
                await anna.send([to], b"x" * 5_000_000)
            except StoreFailed:
                outcome.append("failed")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.sleep(12)
            await w.off(anna)
        assert outcome == ["failed"]
        anna.slow = 0.0
        await w.back(anna)
        await trio.sleep(5 * 60)
        assert await anna.complaints() == []
        assert anna.files._blocks == {}


async def test_a_recipient_that_dies_before_its_receipt(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        for pause in (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08):
            ben.slow = 0.02
            message = await anna.send([to], b"x" * 100_000)
            await trio.sleep(pause)
            await w.off(ben)
            await trio.sleep(60)
            assert await ben.complaints(resting=False) == []
            await w.back(ben)
            await until(lambda m=message: anna.state(m, to) == "confirmed", HOUR)  # type: ignore[misc]
        assert len(ben.inbox()) == 8
        await trio.sleep(5 * 60)
        assert await ben.complaints() == []


async def test_doubles_and_disorder_are_harmless(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        w.net.weather = Weather(
            lose_request=0.2, lose_answer=0.3, double=0.5, late=0.5, late_by=(1, 2 * DAY)
        )
        sent = [await anna.send([key_of(ben)], b"%d" % i) for i in range(40)]
        w.net.weather.lose_request = w.net.weather.lose_answer = 0.0
        await trio.sleep(5 * DAY)
        assert sorted(name for _, name, _ in ben.inbox()) == sorted(map(bytes, sent))
        assert {anna.state(message, key_of(ben)) for message in sent} == {"confirmed"}


async def test_the_newest_notification_counts(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = eve.letter()
        new = eve.item(anna, message)
        old = eve.item(anna, message, issued=new.issued - 5_000, origin="127.0.0.99:1")
        del eve.blocks[message]
        assert await eve.notify(anna, new) == [ACCEPTED]
        assert await eve.notify(anna, old) == [ACCEPTED]
        row = anna.on.core.db.read(lambda tx: next(iter(tx.pickups.scan())))
        assert (row.issued, row.origin) == (new.issued, new.origin)


async def test_thousands_of_letters_to_a_dead_peer(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = key_of(ben)
        await trio.sleep(60)
        await w.off(ben)
        me = anna.owner()
        for at in range(0, 3_000, 1000):
            texts = [b"%d" % i for i in range(at, at + 1000)]
            await anna.on.submission.small(me, texts, Terms(to=(to,)))
        calls = len(w.net.calls)
        await trio.sleep(3 * DAY)
        # One call for each pause of the schedule, whatever waits.
        assert len(w.net.calls) - calls <= 16
        await w.back(ben)
        await until(lambda: len(ben.inbox()) == 3_000, HOUR)
        await trio.sleep(60)
        states = anna.on.core.db.read(lambda tx: {row.state for row in tx.deliveries.scan()})
        assert states == {"confirmed"}


async def test_the_second_origin_of_a_record_is_tried(autojump_clock: object) -> None:
    """The first origin is dead for good: the peer is reached all the same."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        places = (Endpoint(origin="127.0.9.9:4625"), Endpoint(origin=eve.origin))
        moved = eve.record(nodes=places, seq=2)
        eve.record = lambda **_changes: moved  # type: ignore[method-assign]
        assert (await eve.post(anna, did_path(eve.key), moved, "PUT")).status == 204
        eve.heard.clear()
        await anna.send([eve.key], b"hello")
        await until(lambda: eve.told("/v1/notifications") > 0, HOUR)


async def test_a_receipt_that_proves_nothing_is_told_as_nonsense(autojump_clock: object) -> None:
    """Of another message: nothing changes, and the history claims no answer that never came."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        other = RECEIPT.decode(eve.receipt(key_of(anna), [make.named(0)]))
        said = [Answer(state="receipt", receipt=other)]
        eve.says["/v1/notifications"] = Response(status=200, body=answer.encode_all(said))
        message = await anna.send([eve.key], b"hello")
        await trio.sleep(HOUR)
        assert anna.state(message, eve.key) == "stored"
        row = anna.on.core.db.read(lambda tx: tx.deliveries.get(key_of(anna), message, eve.key))
        assert row is not None
        assert {each.answer for each in row.attempts} == {"nonsense"}


async def test_a_refusal_by_busy_goes_on_with_the_schedule(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        busy = [Answer(state="refused", reason="busy")]
        eve.says["/v1/notifications"] = Response(status=200, body=answer.encode_all(busy))
        message = await anna.send([eve.key], b"hello")
        await trio.sleep(HOUR)
        assert anna.state(message, eve.key) == "stored"
        assert 6 <= attempts(anna, message, eve.key) <= 8
        await Mailbox(anna.on.core).retract(anna.owner(), cid.show(message))
