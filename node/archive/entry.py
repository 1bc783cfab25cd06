"""Entries of an archive, and the bundles that carry them.

An entry names a message or removes one; in a private archive it is sealed, and its place in
the log is bound into the seal. Bundles are files of up to 256 entries, each behind its length
(two bytes, big-endian).

Decides: form. Leaves the log to `tree`, keys of private archives to the services.
Spec: design §7; https://c2sp.org/tlog-tiles (entry bundles).
"""

import hmac
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nacl import bindings
from nacl.exceptions import CryptoError

from node.archive.tile import WIDTH
from node.encoding import cbor
from node.encoding import fields as f
from node.encoding.cid import Cid
from node.errors import Malformed, TooLarge, Unverified
from node.units import Instant

ENTRY = 65_535
"""Bytes of an entry: what two bytes of length can say."""
BUNDLE = WIDTH * (ENTRY + 2)
"""Bytes of the largest bundle."""
REASON = 200
"""Characters of a removal's reason."""
_SEALED = b"willcall/v1/sealed-entry\0"
_MESSAGE = b"willcall/v1/archive-message\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message in the archive.

    Attributes:
        message: the root's CID.
        size: bytes of its content.
        date: when it says it was written; 0 where it does not say.
    """

    message: Cid
    size: int
    date: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """The body of an earlier entry's message is gone.

    Attributes:
        index: that entry's place in the log.
        message: what it named.
        reason: why, for people.
        at: when.
    """

    index: int
    message: Cid
    reason: str
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An entry of a private archive: nonce (24 bytes) and ciphertext."""

    nonce: bytes
    data: bytes


AnyEntry = Entry | Removal | Sealed


def _reason(value: Any) -> str:
    text = f.text(value)
    if not 1 <= len(text) <= REASON or any(unicodedata.category(c) in ("Cc", "Cf") for c in text):
        raise Malformed(
            f"a reason has 1 to {REASON} characters on one line, and no control characters, "
            "those of direction neither",
            next="the reason in other words",
        )
    return text


_SHAPES: dict[type[AnyEntry], f.Shape] = {
    Entry: f.Shape("entry", {"message": f.object_link, "size": f.uint, "date": f.instant}),
    Removal: f.Shape(
        "removal",
        {"index": f.uint, "message": f.object_link, "reason": _reason, "at": f.instant},
    ),
    Sealed: f.Shape("sealed", {"nonce": f.exactly(24), "data": f.at_most(ENTRY)}),
}


def encode(entry: AnyEntry) -> bytes:
    """Its canonical bytes.

    Raises:
        TooLarge: over 65,535.
    """
    fields = {name: getattr(entry, name) for name in entry.__slots__}
    block = cbor.encode({"kind": _SHAPES[type(entry)].kind, "v": 1} | fields)
    if len(block) > ENTRY:
        raise TooLarge(f"an entry has at most {ENTRY} bytes")
    return block


def decode(block: bytes) -> AnyEntry:
    """Foreign bytes as an entry.

    Raises:
        Malformed: not canonical, of no known kind, fields missing or unknown, too large.
    """
    if len(block) > ENTRY:
        raise TooLarge(f"an entry has at most {ENTRY} bytes")
    value = cbor.decode(block)
    kind = value.get("kind") if isinstance(value, dict) else None
    for made, shape in _SHAPES.items():
        if kind == shape.kind:
            return made(**shape.parse(value))
    raise Malformed("not an entry of an archive")


# --- sealing ----------------------------------------------------------------------------


def seal(entry: Entry | Removal, key: bytes, nonce: bytes, origin: str, index: int) -> Sealed:
    """The entry for readers only.

    Args:
        key: the archive's key, 32 bytes.
        nonce: 24 random bytes, never used before with this key.
        origin: the log's origin line.
        index: the entry's place in the log.
    """
    data = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        encode(entry), _place(origin, index), nonce, key
    )
    return Sealed(nonce=nonce, data=data)


def unseal(sealed: Sealed, key: bytes, origin: str, index: int) -> Entry | Removal:
    """What was sealed for this very place.

    Raises:
        Unverified: another key, another log or another place.
        Malformed: inside is no entry.
    """
    try:
        block = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed.data, _place(origin, index), sealed.nonce, key
        )
    except CryptoError:
        raise Unverified("the entry does not open with this key at this place") from None
    entry = decode(block)
    if isinstance(entry, Sealed):
        raise Malformed("an entry is sealed once")
    return entry


def message_key(key: bytes, nonce: bytes) -> bytes:
    """K of the message whose entry is sealed under that key with that nonce, 32 bytes.

    So an entry in clear is the same in every archive, and who opens it can open the message.
    """
    return hmac.digest(key, _MESSAGE + nonce, "sha256")


def _place(origin: str, index: int) -> bytes:
    return _SEALED + origin.encode() + index.to_bytes(8, "big")


# --- bundles ----------------------------------------------------------------------------


def bundle(entries: Sequence[bytes]) -> bytes:
    """A file of up to 256 entries."""
    return b"".join(len(each).to_bytes(2, "big") + each for each in entries)


def pieces(data: bytes) -> Iterator[bytes]:
    """The entries of a bundle of our own, which adds up."""
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        yield data[at + 2 : end]
        at = end


def unbundle(data: bytes, count: int) -> list[bytes]:
    """The entries of a bundle.

    Args:
        data: the file.
        count: how many it must hold, 1 to 256.

    Raises:
        Malformed: another number of them, or it ends within one.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or len(data) - at < 2 or len(found) == count:
            raise Malformed("an entry bundle that does not add up")
        found.append(data[at + 2 : end])
        at = end
    if len(found) != count:
        raise Malformed(f"an entry bundle of {len(found)} instead of {count}")
    return found
