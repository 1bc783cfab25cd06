"""Notifications: the brief word that mail waits, and the batch that signs them.

An item has no signature of its own: the batch signs the RFC 6962 root over its items, so
one signature check admits up to 256 of them, and each item can later be shown alone with
its proof (`Evidence`). Spec: 03 §notification, §notifications, §evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node import limits
from node.crypto import batch, keys
from node.encoding import cbor
from node.encoding import fields as f
from node.encoding.cid import Cid
from node.errors import Malformed, TooLarge
from node.objects.signed import Fields, Signed
from node.units import Instant, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One message waits for one addressee.

    Attributes:
        sender: the author, who keeps it.
        to: the addressee.
        message: the CID of the root.
        size: plaintext bytes.
        key: the content key in a sealed box to the addressee, 80 bytes.
        ticket: what the addressee shows to fetch it, 16 bytes.
        capability: what the addressee once gave the sender, 16 bytes.
        issued: the sender's clock; the newest replaces the older.
        keep_until: until when it waits.
        origin: where to pick it up.
        ext: ignored when unknown.
    """

    sender: Key
    to: Key
    message: Cid
    size: int
    key: bytes
    ticket: bytes
    issued: Instant
    keep_until: Instant
    origin: str
    capability: bytes | None = None
    ext: dict[str, Any] | None = None


_ITEM = f.Shape(
    "notification",
    {
        "from": f.key,
        "to": f.key,
        "message": f.object_link,
        "size": f.uint,
        "key": f.exactly(80),
        "ticket": f.exactly(16),
        "issued": f.instant,
        "keep_until": f.instant,
        "origin": f.origin_text,
    },
    {"capability": f.exactly(16), "ext": f.ext},
)


def encode(item: Notification) -> bytes:
    """The canonical item.

    Raises:
        Malformed: it would have more than 512 bytes.
    """
    fields: Fields = {
        "kind": "notification",
        "v": 1,
        "from": item.sender,
        "to": item.to,
        "message": item.message,
        "size": item.size,
        "key": item.key,
        "ticket": item.ticket,
        "issued": item.issued,
        "keep_until": item.keep_until,
        "origin": item.origin,
    }
    if item.capability is not None:
        fields["capability"] = item.capability
    if item.ext is not None:
        fields["ext"] = item.ext
    data = cbor.encode(fields)
    if len(data) > limits.NOTIFICATION:
        raise TooLarge(f"a notification has at most {limits.NOTIFICATION} bytes")
    return data


def decode(item: bytes) -> Notification:
    """One item of a batch, well formed.

    Raises:
        Malformed: empty, over 512 bytes, not canonical, or kept for more than 400 days. Never
            `TooLarge`: in an answer that word speaks of the message, not of the item.
    """
    if not item or len(item) > limits.NOTIFICATION:
        raise Malformed(f"a notification has 1 to {limits.NOTIFICATION} bytes")
    got = _ITEM.parse(cbor.decode(item))
    if got["keep_until"] > limits.keep_until_limit(got["issued"]):
        raise Malformed("keep_until is more than 400 days after issued")
    got["sender"] = got.pop("from")
    return Notification(**got)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Up to 256 items of one sender for one node, each canonical bytes."""

    sender: Key
    items: tuple[bytes, ...]
    signature: bytes


_BATCH = f.Shape(
    "notifications",
    {"from": f.key, "items": f.array(f.blob, 1, limits.BATCH), "sig": f.exactly(64)},
    {},
)


def sign_batch(sender: Key, items: Sequence[bytes], signing: bytes) -> Batch:
    """The batch over `items` in this order, signed once."""
    signature = keys.sign(signing, batch.signing_input(len(items), batch.root(items)))
    return Batch(sender=sender, items=tuple(items), signature=signature)


def batch_map(whole: Batch) -> Fields:
    """The batch as a map, for embedding in a poll's answer."""
    named: Fields = {"kind": "notifications", "v": 1, "from": whole.sender}
    return named | {"items": list(whole.items), "sig": whole.signature}


def encode_batch(whole: Batch) -> bytes:
    """The canonical batch."""
    return cbor.encode(batch_map(whole))


def decode_batch(block: bytes) -> Signed[Batch]:
    """A batch, well formed; its items are not looked at.

    Raises:
        Malformed: not canonical, not a batch, empty, too many items, too large.
    """
    if len(block) > limits.NOTIFICATIONS:
        raise TooLarge(f"a batch has at most {limits.NOTIFICATIONS} bytes")
    return parse_batch(cbor.decode(block), block)


def parse_batch(value: Any, block: bytes) -> Signed[Batch]:
    """The same from a decoded map."""
    got = _BATCH.parse(value)
    made = Batch(sender=got["from"], items=tuple(got["items"]), signature=got["sig"])
    return Signed(claim=made, block=block, check=lambda: _verify(made))


def judge(whole: Batch) -> list[Notification | str]:
    """The items of a verified batch in their order; for each that is refused alone, its reason.

    `malformed`: it does not decode, or an earlier item names the same (to, message).
    `forged`: another key than the batch's is its `from`.
    """
    seen: set[tuple[Key, Cid]] = set()
    return [_judge(whole.sender, item, seen) for item in whole.items]


def _judge(sender: Key, item: bytes, seen: set[tuple[Key, Cid]]) -> Notification | str:
    try:
        found = decode(item)
    except Malformed:
        return "malformed"
    if found.sender != sender:
        return "forged"
    if (found.to, found.message) in seen:
        return "malformed"
    seen.add((found.to, found.message))
    return found


def _verify(whole: Batch) -> None:
    signed = batch.signing_input(len(whole.items), batch.root(whole.items))
    keys.verify(whole.sender, signed, whole.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One item with the proof that its sender signed it: stands alone.

    Attributes:
        item: the canonical notification.
        index: its place in the batch, from 0.
        size: items of the batch.
        path: the inclusion path (RFC 9162 §2.1.3.2), 32 bytes each.
        signature: the batch's.
    """

    item: bytes
    index: int
    size: int
    path: tuple[bytes, ...]
    signature: bytes


_EVIDENCE = f.Shape(
    "evidence",
    {"item": f.at_most(limits.NOTIFICATION), "index": f.uint, "size": f.uint, "sig": f.exactly(64)},
    {"path": f.array(f.exactly(32), 1, 8)},
)


def evidence_of(whole: Batch) -> list[Evidence]:
    """Evidence for each item of a verified batch."""
    size = len(whole.items)
    proofs = zip(whole.items, batch.paths(whole.items), strict=True)
    return [
        Evidence(item=item, index=i, size=size, path=tuple(path), signature=whole.signature)
        for i, (item, path) in enumerate(proofs)
    ]


def encode_evidence(proof: Evidence) -> bytes:
    """The canonical evidence."""
    fields: Fields = {"kind": "evidence", "v": 1, "item": proof.item, "index": proof.index}
    fields |= {"size": proof.size, "sig": proof.signature}
    if proof.path:
        fields["path"] = list(proof.path)
    return cbor.encode(fields)


def decode_evidence(block: bytes) -> Signed[Evidence]:
    """Evidence, well formed: the proof is checked by `verify`, with the key the item names."""
    if len(block) > limits.EVIDENCE:
        raise TooLarge(f"evidence has at most {limits.EVIDENCE} bytes")
    got = _EVIDENCE.parse(cbor.decode(block))
    if not 1 <= got["size"] <= limits.BATCH or got["index"] >= got["size"]:
        raise Malformed("evidence names an index outside its batch")
    made = Evidence(
        item=got["item"],
        index=got["index"],
        size=got["size"],
        path=tuple(got.get("path", ())),
        signature=got["sig"],
    )
    sender = decode(made.item).sender
    return Signed(claim=made, block=block, check=lambda: _verify_evidence(made, sender))


def _verify_evidence(proof: Evidence, sender: Key) -> None:
    leaf = batch.leaf(proof.item)
    root = batch.root_from_path(leaf, proof.index, proof.size, list(proof.path))
    keys.verify(sender, batch.signing_input(proof.size, root), proof.signature)
