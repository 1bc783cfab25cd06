"""Who reads a private archive, and how a reader asks for it.

    key 0 ◀─ sealed under ─ key 1 ◀─ sealed under ─ key 2 ─ boxed to each reader of today
    entries 0…               from 17 on              from 90 on

`readers` is signed by the archive's owner: anybody may carry it, only a reader opens its box.
Whoever has the newest key has all earlier ones of that log; an earlier one gives no later one, so
a reader who was removed opens nothing that is appended from then on. `reading` says who asks, for
some minutes, at one origin.

Decides: form, and the chain of keys. Leaves who is a reader to the services. Spec: 12 §12.8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nacl import bindings
from nacl.exceptions import CryptoError

from node import limits
from node.crypto import sealed
from node.encoding import fields as f
from node.encoding.cbor import Value
from node.errors import Malformed, Unverified
from node.objects.signed import Fields, Kind, Signed
from node.units import Instant, Key

NONCE = 24
OLDER = NONCE + 32 + 16
"""Bytes of an older key: nonce, key, tag."""
_DOMAIN = b"willcall/v1/older-key\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Entries under one key: those from `start` on, up to the next span's.

    Attributes:
        start: the first entry's index; `from` in the object.
        older: the key of the span before, sealed under this one's (72 bytes); None: the first.
    """

    start: int
    older: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Somebody who may fetch.

    Attributes:
        to: whose key asks.
        box: the newest key, boxed (80 bytes); None: a mirror, which opens nothing.
    """

    to: Key
    box: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The readers of one log.

    Attributes:
        owner: who signs this; the archive's.
        log: its origin line.
        issued: of two the later counts.
        keys: in the order of their entries.
        readers: sorted by key.
    """

    owner: Key
    log: str
    issued: Instant
    keys: tuple[Span, ...]
    readers: tuple[Granted, ...]

    def of(self, who: Key) -> Granted | None:
        """What is granted to somebody; None: nothing."""
        return next((each for each in self.readers if each.to == who), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`by` asks at one origin; `from` in the object."""

    by: Key
    at: str
    issued: Instant


# --- the chain of keys ------------------------------------------------------------------


def older(key: bytes, before: bytes, nonce: bytes, log: str, start: int) -> bytes:
    """The key of the span before, for whoever has this one's.

    Args:
        key: of the span that begins at `start`; 32 random bytes.
        before: of the span before.
        nonce: 24 random bytes.
        log: the origin line.
        start: where `key` begins.
    """
    place = _DOMAIN + log.encode() + start.to_bytes(8, "big")
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(before, place, nonce, key)


def chain(readers: Readers, newest: bytes) -> tuple[tuple[int, bytes], ...]:
    """Every key of the log out of the newest, each with the index it begins at.

    Raises:
        Unverified: a key does not open the one before.
    """
    found = [(readers.keys[-1].start, newest)]
    for span in reversed(readers.keys[1:]):
        assert span.older is not None, "checked when it was made"
        place = _DOMAIN + readers.log.encode() + span.start.to_bytes(8, "big")
        try:
            key = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                span.older[NONCE:], place, span.older[:NONCE], found[-1][1]
            )
        except CryptoError:
            raise Unverified("an archive key does not open the one before", reason="keys") from None
        index = readers.keys.index(span) - 1
        found.append((readers.keys[index].start, key))
    return tuple(reversed(found))


def opened(readers: Readers, who: Key, secrets: Sequence[bytes]) -> tuple[tuple[int, bytes], ...]:
    """The keys that somebody is given; none: there is no box for them.

    Args:
        readers: verified.
        who: the reader.
        secrets: the reader's sealing keys, newest first.

    Raises:
        Unverified: the box opens with none of them, or what is in it does not fit.
    """
    granted = readers.of(who)
    if granted is None or granted.box is None:
        return ()
    return chain(readers, sealed.unbox(granted.box, secrets))


# --- forms --------------------------------------------------------------------------------

_SPAN = f.group("key", {"from": f.uint}, {"older": f.exactly(OLDER)})
_GRANTED = f.group("reader", {"to": f.key}, {"box": f.exactly(sealed.BOX)})


def _span(value: Value) -> Span:
    fields = _SPAN(value)
    return Span(start=fields["from"], older=fields.get("older"))


def _granted(value: Value) -> Granted:
    return Granted(**_GRANTED(value))


def _make(fields: Fields) -> Readers:
    made = Readers(**{name: value for name, value in fields.items() if name != "sig"})
    if [span.older is None for span in made.keys] != [True] + [False] * (len(made.keys) - 1):
        raise Malformed("the first key has none before it, every other one has")
    if made.keys[0].start or any(a.start >= b.start for a, b in pairwise(made.keys)):
        raise Malformed("keys begin at entry 0, and each after the one before")
    if any(a.to >= b.to for a, b in pairwise(made.readers)):
        raise Malformed("readers must be sorted and distinct")
    return made


def _fields(made: Readers) -> Fields:
    return {
        "owner": made.owner,
        "log": made.log,
        "issued": made.issued,
        "keys": [_without({"from": each.start, "older": each.older}) for each in made.keys],
        "readers": [_without({"to": each.to, "box": each.box}) for each in made.readers],
    }


def _without(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


KIND: Kind[Readers] = Kind(
    name="readers",
    limit=limits.READERS_OBJECT,
    shape=f.Shape(
        "readers",
        {
            "owner": f.key,
            "log": f.text,
            "issued": f.instant,
            "keys": f.array(_span, 1, limits.ARCHIVE_KEYS),
            "readers": f.array(_granted, 1, limits.READERS),
            "sig": f.exactly(64),
        },
    ),
    make=_make,
    fields=_fields,
    signer=lambda made: made.owner,
)

READING: Kind[Reading] = Kind(
    name="reading",
    limit=limits.SMALL,
    shape=f.Shape(
        "reading",
        {"from": f.key, "at": f.origin_text, "issued": f.instant, "sig": f.exactly(64)},
    ),
    make=lambda fields: Reading(by=fields["from"], at=fields["at"], issued=fields["issued"]),
    fields=lambda made: {"from": made.by, "at": made.at, "issued": made.issued},
    signer=lambda made: made.by,
)


def sign(made: Readers, signing: bytes) -> bytes:
    """The signed block."""
    return KIND.sign(made, signing)


def decode(block: bytes) -> Signed[Readers]:
    """Foreign bytes, well formed; the signature is not looked at. Raises Malformed."""
    return KIND.decode(block)
