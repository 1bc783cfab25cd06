"""Every kind there and back, and what a changed byte does to it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.encoding import cbor, cid
from node.errors import Malformed, Unverified, WillcallError
from node.objects import message, notification, record, registry
from node.objects.introduction import INTRODUCTION, POLL
from node.objects.receipt import RECEIPT, RETRACTION
from tests import factories as make
from tests import strategies as some
from tests.factories import ALICE, BOB, MALLORY, NOW


@pytest.mark.parametrize("kind", registry.KINDS)
@given(st.data())
def test_blocks_decode_verify_and_print_back(kind: str, data: st.DataObject) -> None:
    block = data.draw(some.BLOCKS[kind])
    found = registry.decode(block)
    assert found.block == block
    assert found.cid == cid.of_object(block)
    assert found.verify() is found.claim
    assert registry.KINDS[kind](block).claim == found.claim


@given(some.messages())
def test_messages(value: message.Message) -> None:
    block = message.KIND.sign(value, ALICE.keys.signing)
    assert len(block) <= 64 * 1024
    assert message.KIND.decode(block).verify() == value


@given(some.notifications())
def test_notifications_fit_in_512_bytes(value: notification.Notification) -> None:
    item = notification.encode(value)
    assert len(item) <= 512
    assert notification.decode(item) == value


@given(some.batches())
def test_batches_and_their_evidence(whole: notification.Batch) -> None:
    block = notification.encode_batch(whole)
    found = notification.decode_batch(block).verify()
    assert found == whole
    assert [notification.encode(each) for each in items_of(found)] == list(whole.items)
    for proof in notification.evidence_of(found):
        data = notification.encode_evidence(proof)
        assert len(data) <= 1024
        assert notification.decode_evidence(data).verify() == proof


def items_of(whole: notification.Batch) -> list[notification.Notification]:
    judged = notification.judge(whole)
    return [each for each in judged if isinstance(each, notification.Notification)]


@given(some.receipts(), some.retractions())
def test_receipts_and_retractions(receipt: Any, retraction: Any) -> None:
    assert RECEIPT.decode(RECEIPT.sign(receipt, BOB.keys.signing)).verify() == receipt
    signed = RETRACTION.sign(retraction, ALICE.keys.signing)
    assert len(signed) <= 512
    assert RETRACTION.decode(signed).verify() == retraction


@given(some.records())
def test_records_fit_in_1_kib(value: record.Record) -> None:
    block = record.sign(value, ALICE.keys.signing)
    assert len(block) <= 1024
    assert record.decode(block).verify() == value


@given(some.introductions(), some.polls())
def test_introductions_and_polls(introduction: Any, poll: Any) -> None:
    block = INTRODUCTION.sign(introduction, ALICE.keys.signing)
    assert len(block) <= 2048
    assert INTRODUCTION.decode(block).verify() == introduction
    signed = POLL.sign(poll, BOB.keys.signing)
    assert len(signed) <= 512
    assert POLL.decode(signed).verify() == poll


# --- what was touched -----------------------------------------------------------------


@given(some.blocks, st.data())
def test_a_changed_bit_never_verifies(block: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(block) * 8 - 1))
    changed = bytearray(block)
    changed[at // 8] ^= 1 << at % 8
    with pytest.raises((Malformed, Unverified)):
        registry.decode(bytes(changed)).verify()


@given(some.almost)
def test_almost_valid_bytes_raise_nothing_else(block: bytes) -> None:
    try:
        found = registry.decode(block)
        found.verify()
    except (Malformed, Unverified):
        return
    assert found.block == block
    assert registry.decode(block).claim == found.claim


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(data: bytes) -> None:
    with pytest.raises(WillcallError):
        registry.decode(data)
    for decoder in registry.KINDS.values():
        with pytest.raises(WillcallError):
            decoder(data)


@pytest.mark.parametrize(
    "value", [None, 1, b"", "", [], {}, {"kind": 1}, {"kind": "notification"}, {"kind": "x"}]
)
def test_values_that_are_no_object(value: Any) -> None:
    with pytest.raises(Malformed):
        registry.decode(cbor.encode(value))


def test_what_is_larger_than_any_object() -> None:
    with pytest.raises(Malformed, match="larger"):
        registry.decode(bytes(256 * 1024 + 1))


@pytest.mark.parametrize("kind", sorted(some.BLOCKS))
@given(st.data())
def test_one_kind_is_not_another(kind: str, data: st.DataObject) -> None:
    block = data.draw(some.BLOCKS[kind])
    for other, decoder in registry.KINDS.items():
        if other != kind:
            with pytest.raises(Malformed):
                decoder(block)


# --- limits of what is made -----------------------------------------------------------


def test_too_large_to_be_made() -> None:
    with pytest.raises(Malformed):
        notification.encode(make.item(ALICE, BOB, make.named(0), ext={"x": bytes(300)}))
    with pytest.raises(Malformed):
        record.sign(make.plain_record(ALICE, ext={"x": bytes(1000)}), ALICE.keys.signing)
    made = make.plain_record(ALICE, name=None, successor=BOB.key, ext={"x": bytes(1000)})
    with pytest.raises(Malformed):
        record.sign_successor(made, ALICE.keys.signing, ALICE.keys.recovery)


# --- records --------------------------------------------------------------------------


def test_places_of_a_record() -> None:
    first, second = record.Endpoint(origin="a:1"), record.Endpoint(origin="b:2", pin=bytes(32))
    value = make.plain_record(ALICE, nodes=(first, second))
    assert value.lists("b:2")
    assert not value.lists("c:3")
    assert value.endpoint("b:2") == second
    assert value.endpoint("c:3") == value.endpoint() == first


def test_a_successor_needs_both_keys() -> None:
    made = make.plain_record(ALICE, name=None, successor=BOB.key)
    for signing, recovery in (
        (MALLORY.keys.signing, ALICE.keys.recovery),
        (ALICE.keys.signing, MALLORY.keys.recovery),
    ):
        with pytest.raises(Unverified):
            record.decode(record.sign_successor(made, signing, recovery)).verify()


@given(some.records(), some.records())
def test_one_of_two_records_wins_at_most(one: record.Record, other: record.Record) -> None:
    assert not (one.beats(other) and other.beats(one))
    assert one.beats(other) == (one.seq > other.seq)
    assert not one.beats(one)


def test_items_are_judged_in_order() -> None:
    good = notification.encode(make.item(ALICE, BOB, make.named(0)))
    again = notification.encode(make.item(ALICE, BOB, make.named(0), issued=NOW + 1))
    foreign = notification.encode(make.item(MALLORY, BOB, make.named(0)))
    whole = notification.sign_batch(
        ALICE.key, [b"", foreign, good, again, good], ALICE.keys.signing
    )
    verdicts = notification.judge(whole)
    assert verdicts[:2] == ["malformed", "forged"]
    assert verdicts[2] == notification.decode(good)
    assert verdicts[3:] == ["malformed", "malformed"]
