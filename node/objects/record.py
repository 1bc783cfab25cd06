"""Address records: where a key is reached and what to seal to. Spec: 03 §record.

A plain record is signed by `id`. A record with a `successor` is the last word on an
identity: signed by the recovery key, cosigned by `id`, without name or ext.
"""

from dataclasses import dataclass
from typing import Any

from node import limits
from node.crypto import keys
from node.encoding import cbor
from node.encoding import fields as f
from node.encoding.cbor import Value
from node.errors import Malformed, TooLarge
from node.objects.signed import Fields, Signed
from node.units import Instant, Key

_PLAIN = b"willcall/v1/record\0"
_RECOVERY = b"willcall/v1/record-recovery\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to call: `host:port`, and the SPKI SHA-256 that must be met there (None: the roots)."""

    origin: str
    pin: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An address record.

    Attributes:
        id: the owner's Ed25519 key.
        sealing: the X25519 key that content keys are boxed to.
        recovery: the Ed25519 key that can name a successor; never changes.
        nodes: 1 to 4 places to be reached at, the first preferred.
        seq: grows with each record; the newest valid wins, past `expires` too.
        issued: the owner's clock.
        expires: when a fresh one should have been seen.
        name: what the owner would like to be called.
        successor: the key that takes over.
        ext: ignored when unknown.
    """

    id: Key
    sealing: bytes
    recovery: Key
    nodes: tuple[Endpoint, ...]
    seq: int
    issued: Instant
    expires: Instant
    name: str | None = None
    successor: Key | None = None
    ext: dict[str, Any] | None = None

    def lists(self, origin: str) -> bool:
        """Whether `origin` is one of the record's."""
        return any(node.origin == origin for node in self.nodes)

    def endpoint(self, origin: str | None = None) -> Endpoint:
        """Where to call: `origin` if it is listed, else the first."""
        return next((n for n in self.nodes if n.origin == origin), self.nodes[0])

    def beats(self, other: "Record") -> bool:
        """Whether this one replaces `other`: a successor beats every `seq` and is final."""
        if other.successor is not None or self.recovery != other.recovery:
            return False
        return self.successor is not None or self.seq > other.seq


_ENDPOINT = f.group("node", {"origin": f.origin_text}, {"pin": f.exactly(32)})


def _endpoint(value: Value) -> Endpoint:
    return Endpoint(**_ENDPOINT(value))


def _sealing_key(value: Value) -> bytes:
    key = f.key(value)
    if keys.is_low_order(key):
        raise Malformed("this sealing key hides nothing (low order)")
    return key


_SHAPE = f.Shape(
    "record",
    {
        "id": f.key,
        "sealing": _sealing_key,
        "recovery": f.key,
        "nodes": f.array(_endpoint, 1, limits.ORIGINS),
        "seq": f.uint,
        "issued": f.instant,
        "expires": f.instant,
        "sig": f.exactly(64),
    },
    {"name": f.name, "successor": f.key, "ext": f.ext, "cosig": f.exactly(64)},
)


def _body(record: Record) -> Fields:
    nodes = [
        {"origin": n.origin} | ({"pin": n.pin} if n.pin is not None else {}) for n in record.nodes
    ]
    fields: Fields = {
        "kind": "record",
        "v": 1,
        "id": record.id,
        "sealing": record.sealing,
        "recovery": record.recovery,
        "nodes": nodes,
        "seq": record.seq,
        "issued": record.issued,
        "expires": record.expires,
        "name": record.name,
        "successor": record.successor,
        "ext": record.ext,
    }
    return {k: v for k, v in fields.items() if v is not None}


def sign(record: Record, signing: bytes) -> bytes:
    """The block of a plain record.

    Raises:
        Malformed: it would have more than 1 KiB.
    """
    body = _body(record)
    body["sig"] = keys.sign(signing, _PLAIN + cbor.encode(body))
    return _bounded(body)


def sign_successor(record: Record, signing: bytes, recovery: bytes) -> bytes:
    """The block of a record that names a successor; the phrase yields both keys."""
    body = _body(record)
    signed = _RECOVERY + cbor.encode(body)
    body["sig"], body["cosig"] = keys.sign(recovery, signed), keys.sign(signing, signed)
    return _bounded(body)


def _bounded(body: Fields) -> bytes:
    block = cbor.encode(body)
    if len(block) > limits.RECORD:
        raise TooLarge(f"a record has at most {limits.RECORD} bytes")
    return block


def decode(block: bytes) -> Signed[Record]:
    """Foreign bytes as a record, well formed.

    Raises:
        Malformed: not canonical, fields missing or disagreeing, too large.
    """
    if len(block) > limits.RECORD:
        raise TooLarge(f"a record has at most {limits.RECORD} bytes")
    value: Any = cbor.decode(block)
    got = _SHAPE.parse(value)
    cosig = got.pop("cosig", None)
    del got["sig"]
    record = Record(**got)
    _check_successor(record, cosig)
    return Signed(claim=record, block=block, check=lambda: _verify(record, value))


def embedded(value: Any) -> Signed[Record]:
    """The same from a map inside an answer."""
    return decode(cbor.encode(value))


def _check_successor(record: Record, cosig: bytes | None) -> None:
    if (record.successor is None) != (cosig is None):
        raise Malformed("successor and cosig come together")
    if record.successor is not None and (record.name is not None or record.ext is not None):
        raise Malformed("a record with a successor has no name and no ext")


def _verify(record: Record, value: Fields) -> None:
    body = cbor.encode({k: v for k, v in value.items() if k not in ("sig", "cosig")})
    if record.successor is None:
        keys.verify(record.id, _PLAIN + body, value["sig"])
        return
    keys.verify(record.recovery, _RECOVERY + body, value["sig"])
    keys.verify(record.id, _RECOVERY + body, value["cosig"])
