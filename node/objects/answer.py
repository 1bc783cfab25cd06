"""What a node answers to its peers: unsigned, so no answer ends a delivery. Spec: 06, 07."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node import limits
from node.encoding import cbor
from node.encoding import fields as f
from node.encoding.cbor import Value
from node.encoding.cid import Cid
from node.errors import Malformed, TooLarge
from node.objects import notification, record
from node.objects.introduction import INTRODUCTION, Introduction
from node.objects.notification import Batch
from node.objects.receipt import RECEIPT, RETRACTION, Receipt, Retraction
from node.objects.record import Record
from node.objects.signed import Fields, Signed
from node.units import Instant

_ANSWER_LEVELS = limits.LEVELS + 2
"""An answer counts its own levels: the array, the map, then the object inside."""

STATES = ("accepted", "held", "receipt", "retracted", "refused")

WORD = re.compile("[a-z][a-z-]{0,31}")
"""A reason is stored and shown: one word, and no room for anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer; objects in it are blocks with their own signatures.

    Attributes:
        state: accepted, held, receipt, retracted or refused.
        reason: a word, with held and refused.
    """

    state: str
    reason: str | None = None
    receipt: Signed[Receipt] | None = None
    retraction: Signed[Retraction] | None = None
    record: Signed[Record] | None = None
    introduction: Signed[Introduction] | None = None


ACCEPTED = Answer(state="accepted")
HELD = Answer(state="held")


def refused(reason: str, *, record: Signed[Record] | None = None) -> Answer:
    """A refusal with its reason word."""
    return Answer(state="refused", reason=reason, record=record)


def answer_map(answer: Answer) -> Fields:
    """The answer as a map."""
    fields: Fields = {"state": answer.state}
    if answer.reason is not None:
        fields["reason"] = answer.reason
    for word in ("receipt", "retraction", "record", "introduction"):
        inside: Signed[Any] | None = getattr(answer, word)
        if inside is not None:
            fields[word] = cbor.decode(inside.block)
    return fields


def encode(answer: Answer) -> bytes:
    """One answer, canonical."""
    return cbor.encode(answer_map(answer))


def encode_all(answers: Sequence[Answer]) -> bytes:
    """The answers to a batch, in item order."""
    return cbor.encode([answer_map(answer) for answer in answers])


def _decode(data: bytes) -> Value:
    return cbor.decode(data, levels=_ANSWER_LEVELS, values=limits.ANSWER_VALUES)


def decode(data: bytes) -> Answer:
    """One answer, well formed.

    Raises:
        Malformed: not an answer.
    """
    return _parse(_decode(data))


def decode_all(data: bytes, count: int) -> list[Answer]:
    """The answers to a batch of `count` items.

    Raises:
        Malformed: not an array of `count` answers.
    """
    value = _decode(data)
    if not isinstance(value, list) or len(value) != count:
        raise Malformed(f"expected {count} answers")
    return [_parse(each) for each in value]


def _reason(value: Value) -> str:
    word = f.text(value)
    if not WORD.fullmatch(word):
        raise Malformed("a reason is one word of at most 32 lower-case letters and hyphens")
    return word


_OPTIONAL: dict[str, f.Check[Any]] = {
    "reason": _reason,
    "receipt": RECEIPT.embedded,
    "retraction": RETRACTION.embedded,
    "record": record.embedded,
    "introduction": INTRODUCTION.embedded,
}


_ANSWER = f.group("answer", {"state": f.one_of(*STATES)}, _OPTIONAL)


_BELONGS = {
    "receipt": ("receipt",),
    "retraction": ("retracted",),
    "record": ("refused",),
    "introduction": ("accepted",),
    "reason": ("held", "refused"),
}
"""With which states a field may come; the state named like it can't do without it."""
_WAITS = ("waiting", "over-quota")
"""Why something is held is told for mail that its owner will call for, and else never."""
_NEEDS = {"receipt": "receipt", "retracted": "retraction", "refused": "reason"}


def _parse(value: Value) -> Answer:
    fields = _ANSWER(value)
    state = fields["state"]
    if any(state not in states and name in fields for name, states in _BELONGS.items()):
        raise Malformed(f"an answer {state} carries what does not belong to it")
    if _NEEDS.get(state, "state") not in fields:
        raise Malformed(f"an answer {state} comes with its {_NEEDS[state]}")
    reason = fields.get("reason")
    if state == "held" and reason is not None and reason not in _WAITS:
        raise Malformed("what is held waits for its owner or for room, or says no reason")
    if "record" in fields and reason != "stale-record":
        raise Malformed("a record comes with the refusal of an older one")
    return Answer(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollAnswer:
    """What waits for the poller.

    Attributes:
        now: what to send as `since` the next time.
        more: whether to ask again at once.
        batches: signed by the polled owner.
    """

    now: Instant
    more: bool
    batches: tuple[Signed[Batch], ...] = ()


def encode_poll(now: Instant, more: bool, batches: Sequence[Batch]) -> bytes:
    """A poll's answer, canonical."""
    fields: Fields = {"now": now, "more": more}
    if batches:
        fields["batches"] = [notification.batch_map(each) for each in batches]
    return cbor.encode(fields)


def _batch(value: Value) -> Signed[Batch]:
    block = cbor.encode(value)
    if len(block) > limits.NOTIFICATIONS:
        raise TooLarge(f"a batch has at most {limits.NOTIFICATIONS} bytes")
    return notification.parse_batch(value, block)


_POLL_ANSWER = f.group(
    "poll answer",
    {"now": f.instant, "more": f.flag},
    {"batches": f.array(_batch, 1, limits.BATCH)},
)


def decode_poll(data: bytes) -> PollAnswer | Answer:
    """A poll's answer, or a refusal.

    Raises:
        Malformed: neither, or more than 256 notifications in all.
    """
    value = _decode(data)
    if isinstance(value, dict) and "state" in value:
        refusal = _parse(value)
        replaced = refusal.reason == "stale-record" and refusal.record is not None
        if not replaced and refusal not in (refused("clock"), refused("busy")):
            raise Malformed(
                "a poll is refused for its clock, while there is too much to do, or where the key "
                "that it asks was replaced"
            )
        return refusal
    found = PollAnswer(**_POLL_ANSWER(value))
    if sum(len(each.claim.items) for each in found.batches) > limits.BATCH:
        raise Malformed(f"a poll's answer has at most {limits.BATCH} notifications in all")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Blocks asked for with one ticket (None: public ones)."""

    ticket: bytes | None
    cids: tuple[Cid, ...]


def encode_wanted(wanted: Sequence[Wanted]) -> bytes:
    """The body of `POST /v1/blocks`."""
    return cbor.encode([[each.ticket, list(each.cids)] for each in wanted])


def decode_wanted(data: bytes) -> list[Wanted]:
    """The same, well formed: at most 256 CIDs in all, no duplicates.

    Raises:
        Malformed: anything else.
    """
    value = cbor.decode(data)
    wanted = list(f.array(_wanted, 1, limits.BATCH)(value))
    cids = [cid for each in wanted for cid in each.cids]
    if len(cids) > limits.BATCH or len(set(cids)) != len(cids):
        raise Malformed(f"at most {limits.BATCH} blocks are asked for at once, each once")
    return wanted


def _wanted(value: Value) -> Wanted:
    if not isinstance(value, list) or len(value) != 2:
        raise Malformed("expected [ticket or null, [cid…]]")
    ticket = None if value[0] is None else f.exactly(16)(value[0])
    return Wanted(ticket=ticket, cids=f.array(f.link, 1, limits.BATCH)(value[1]))
