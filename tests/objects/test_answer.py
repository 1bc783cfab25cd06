"""Answers, polls' answers and block requests there and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.encoding import cbor
from node.errors import Malformed, WillcallError
from node.objects import answer
from node.objects.answer import Answer, PollAnswer, Wanted
from node.objects.notification import Batch
from node.objects.receipt import RECEIPT, Receipt
from node.units import Instant
from tests import factories as make
from tests import strategies as some
from tests.factories import ALICE, BOB, NOW
from tests.spec import good

ANSWERS = [each for _, each in good.answers()]


@pytest.mark.parametrize("each", ANSWERS, ids=answer.encode)
def test_answers_both_ways(each: Answer) -> None:
    data = answer.encode(each)
    found = answer.decode(data)
    assert answer.encode(found) == data
    assert (found.state, found.reason) == (each.state, each.reason)


@given(st.lists(st.sampled_from(ANSWERS), max_size=10))
def test_answers_to_a_batch(several: list[Answer]) -> None:
    data = answer.encode_all(several)
    assert answer.encode_all(answer.decode_all(data, len(several))) == data
    with pytest.raises(Malformed):
        answer.decode_all(data, len(several) + 1)


def test_an_object_inside_counts_its_own_levels() -> None:
    deep: Any = {"x": {"y": {"z": {"a": 1}}}}  # with record and ext: 6 levels
    block = make.record_block(ALICE, ext=deep)
    found = answer.decode(
        cbor.encode({"state": "refused", "reason": "stale-record", "record": cbor.decode(block)})
    )
    assert found.record is not None
    assert found.record.block == block
    data = cbor.encode([answer.answer_map(found)])
    assert answer.decode_all(data, 1)[0].record is not None


def test_what_is_inside_is_not_believed_unseen() -> None:
    value = cbor.decode(make.receipt(BOB, ALICE, [make.named(0)]))
    assert isinstance(value, dict)
    data = cbor.encode({"state": "receipt", "receipt": value | {"sig": bytes(64)}})
    found = answer.decode(data)
    assert found.receipt is not None
    with pytest.raises(WillcallError):
        found.receipt.verify()
    assert found.receipt.claim == RECEIPT.decode(found.receipt.block).claim


@pytest.mark.parametrize("reason", ["busy", "too-large", "a", "x" * 32, "something-new"])
def test_words_of_tomorrow_are_taken(reason: str) -> None:
    assert answer.decode(answer.encode(answer.refused(reason))).reason == reason


@given(some.batches(), st.booleans(), some.instants)
def test_poll_answers(whole: Any, more: bool, now: Any) -> None:
    found = answer.decode_poll(answer.encode_poll(now, more, [whole]))
    assert isinstance(found, PollAnswer)
    assert (found.now, found.more) == (now, more)
    assert [each.verify() for each in found.batches] == [whole]


def test_poll_refused() -> None:
    found = answer.decode_poll(answer.encode(answer.refused("clock")))
    assert isinstance(found, Answer)
    assert found.reason == "clock"


def test_poll_answers_are_bounded() -> None:
    full = make.batch(ALICE, BOB, 256)
    found = answer.decode_poll(answer.encode_poll(NOW, False, [full]))
    assert isinstance(found, PollAnswer)
    with pytest.raises(Malformed):
        answer.decode_poll(answer.encode_poll(NOW, False, [full, make.batch(ALICE, BOB)]))
    large = cbor.encode({"now": NOW, "more": False, "batches": [_wide()]})
    with pytest.raises(Malformed):
        answer.decode_poll(large)


def _wide() -> dict[str, Any]:
    items = [bytes(140_000)]
    return {"kind": "notifications", "v": 1, "from": ALICE.key, "items": items, "sig": bytes(64)}


tickets = st.none() | some.blob(16)
lines = st.lists(st.tuples(tickets, st.integers(1, 4)), min_size=1, max_size=6)


@given(lines)
def test_requests(shape: list[tuple[bytes | None, int]]) -> None:
    wanted, number = [], 0
    for ticket, count in shape:
        cids = tuple(make.named(number + i) for i in range(count))
        wanted.append(Wanted(ticket=ticket, cids=cids))
        number += count
    assert answer.decode_wanted(answer.encode_wanted(wanted)) == wanted


@given(some.touched(st.sampled_from([answer.encode(each) for each in ANSWERS])))
def test_touched_answers_raise_nothing_else(data: bytes) -> None:
    for decode in (
        answer.decode,
        answer.decode_poll,
        answer.decode_wanted,
        lambda each: answer.decode_all(each, 1),
    ):
        try:
            decode(data)
        except WillcallError:
            continue


@given(st.binary(max_size=100))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    for decode in (answer.decode, answer.decode_poll, answer.decode_wanted):
        try:
            decode(data)
        except Malformed:
            continue


def test_the_largest_answers_are_taken() -> None:
    """The caps on what a client takes leave room for every honest answer."""
    cids = tuple(sorted(make.named(n) for n in range(limits.BATCH)))
    told = Receipt(sender=ALICE.key, to=ALICE.key, messages=cids, at=Instant(limits.INTEGER))
    full = Answer(state="receipt", receipt=RECEIPT.decode(RECEIPT.sign(told, ALICE.keys.signing)))
    assert len(answer.encode(full)) <= limits.ANSWER
    assert len(answer.encode_all([full] * limits.BATCH)) <= limits.BATCH * limits.ANSWER
    batch = Batch(sender=ALICE.key, items=(bytes(limits.NOTIFICATION),), signature=bytes(64))
    poll = answer.encode_poll(Instant(limits.INTEGER), True, [batch] * limits.BATCH)
    assert len(poll) <= limits.POLL_ANSWER
    assert len(answer.decode_poll(poll).batches) == limits.BATCH  # type: ignore[union-attr]


def test_an_answer_of_many_values_is_malformed() -> None:
    states = [{"state": "accepted", "x": [0] * 64}] * limits.BATCH
    with pytest.raises(Malformed, match="too many values"):
        answer.decode_all(cbor.encode(states), limits.BATCH)
