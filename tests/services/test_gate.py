"""What is remembered of what came before: no signature is checked twice, and little is kept."""

import random
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from node import limits
from node.crypto import keys
from node.encoding import cbor, names
from node.objects import answer, notification
from node.objects.answer import HELD, Answer, refused
from node.objects.introduction import INTRODUCTION, Introduction
from node.ports import Response
from node.services.gate import Seen
from tests.fakes.world import world
from tests.services.puppet import Puppet, reason, some
from tests.services.test_meeting import remove

WORDS = (HELD, *(refused(word) for word in ("malformed", "forged", "clock", "expired")))


def differing(count: int) -> Iterator[bytes]:
    """Answers to full batches that are all different, as a flood would have them."""
    chance = random.Random(7)
    pieces = [answer.encode(each) for each in WORDS]
    head = answer.encode_all([HELD] * limits.BATCH)[:3]
    for _ in range(count):
        yield head + b"".join(chance.choices(pieces, k=limits.BATCH))


def test_answers_that_all_differ_take_little_room() -> None:
    seen = Seen()
    tracemalloc.start()
    try:
        for number, each in enumerate(differing(512)):
            seen.note(number.to_bytes(4, "big"), good=True, answer=each)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 512 < 1_024
    for number, each in enumerate(differing(512)):
        assert answer.decode_all(each, limits.BATCH)
        assert seen.known(number.to_bytes(4, "big")) == each


def test_an_answer_that_stays_large_is_made_anew() -> None:
    """It carries a record for each of many owners; that it was signed is remembered."""
    seen, large = Seen(), random.Random(7).randbytes(3_000)
    seen.note(b"batch", good=True, answer=large)
    assert seen.known(b"batch") is True


def test_only_so_many_are_remembered() -> None:
    seen = Seen(2)
    for block in (b"1", b"2", b"3"):
        seen.note(block, good=False)
    assert [seen.known(block) for block in (b"1", b"2", b"3")] == [None, False, False]


def forged(block: bytes) -> bytes:
    fields = cbor.decode(block)
    assert isinstance(fields, dict)
    return cbor.encode(fields | {"sig": some("sig", 63) + b"\0"})


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Whose signatures were checked, in order."""
    found: list[bytes] = []
    sound: Callable[[bytes, bytes, bytes], None] = keys.verify

    def counted(key: bytes, data: bytes, sig: bytes) -> None:
        found.append(key)
        sound(key, data, sig)

    monkeypatch.setattr(keys, "verify", counted)
    return found


@pytest.mark.parametrize("case", ["held", "clock", "forged", "another's", "invited", "contact"])
async def test_an_introduction_that_comes_again_is_not_checked_again(
    autojump_clock: object, checks: list[bytes], case: str
) -> None:
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        for each in (eve, max_):  # or a call-back would check the record that it gets
            each.says[f"/v1/owners/{names.z(eve.key)}"] = Response(status=404)
        link = await anna.invite() if case == "invited" else None
        if case == "contact":
            await eve.befriend(anna)
        changes: dict[str, dict[str, Any]] = {
            "clock": {"issued": eve.now() + 3_600_000},
            "forged": {"record": forged(eve.record())},
            "another's": {"record": max_.record()},
        }
        same: dict[str, Any] = {"issued": eve.now(), "record": eve.record()} if link is None else {}
        told, counts = [], []
        for _ in range(5):
            checks.clear()
            before = anna.on.gate.checked
            told.append(await eve.introduce(anna, link, **(same | changes.get(case, {}))))
            counts.append(len(checks))
            assert anna.on.gate.checked - before == len(checks)
        assert counts == [2, 0, 0, 0, 0]
        assert len({each.status for each in told}) == 1


async def test_whoever_was_refused_for_its_clock_is_heard_with_the_right_time(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        late = await eve.introduce(anna, issued=eve.now() + 3_600_000)
        assert answer.decode(late.body) == Answer(state="refused", reason="clock")
        assert answer.decode((await eve.introduce(anna)).body) == HELD


async def test_a_contact_that_was_removed_is_held_though_its_bytes_are_known(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        assert answer.decode((await eve.introduce(anna)).body).state == "accepted"
        await remove(anna, eve.key)
        assert answer.decode((await eve.introduce(anna)).body) == HELD


async def test_what_one_call_has_seen_is_not_known_to_another(autojump_clock: object) -> None:
    """An introduction is no batch, nor a batch an introduction, whichever came first."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        batch = notification.encode_batch(eve.batch(eve.item(anna, eve.letter())))
        introduction = INTRODUCTION.sign(
            Introduction(
                sender=eve.key,
                to=anna.owner().owner,
                record=eve.record(),
                capability=some("capability", 16),
                issued=eve.now(),
            ),
            eve.keys.signing,
        )
        calls = {"/v1/introductions": introduction, "/v1/notifications": batch}
        for call, body in calls.items():
            assert (await eve.post(anna, call, body)).status == 200
        for call, body in zip(calls, reversed(calls.values()), strict=True):
            answered = await eve.post(anna, call, body)
            assert (answered.status, reason(answered)) == (400, "malformed"), call
