"""Names of blocks: CIDv1 with sha2-256, in the two forms willcall uses and no other.

A CID is 36 bytes: four constant bytes (version, codec, hash function, hash length) and the
SHA-256 of the block. `dag-cbor` names objects, `raw` names the parts of a body. In print it
is multibase base32, lower case, without padding (`b…`, 59 characters).

Decides: what is a CID and whether a block is the one it names. Leaves the bytes of the block
to `cbor` and the meaning to `objects`. Spec: design §2; https://github.com/multiformats/cid.
"""

import base64
import binascii
from hashlib import sha256
from hmac import compare_digest

from node.errors import Malformed, Unverified

OBJECT_PREFIX = b"\x01\x71\x12\x20"
"""CIDv1, dag-cbor (0x71), sha2-256 (0x12), 32 bytes."""
RAW_PREFIX = b"\x01\x55\x12\x20"
"""CIDv1, raw (0x55), sha2-256 (0x12), 32 bytes."""
LENGTH = 36
"""Bytes of a CID."""
PRINTED = 59
"""Characters of a printed CID: `b` and 58 of base32."""


class Cid(bytes):
    """The 36 bytes of a CID. Equality, hash and order are those of bytes.

    The class only marks what the codec writes as a link. The constructor checks nothing: use
    `of_object`, `of_raw`, `from_bytes` or `parse`.
    """

    __slots__ = ()


def of_object(block: bytes) -> Cid:
    """The name of a canonical DAG-CBOR block."""
    return Cid(OBJECT_PREFIX + sha256(block).digest())


def of_raw(block: bytes) -> Cid:
    """The name of a raw block (ciphertext of a part)."""
    return Cid(RAW_PREFIX + sha256(block).digest())


def from_bytes(raw: bytes) -> Cid:
    """The CID in `raw`.

    Raises:
        Malformed: it is not exactly one of the two 36-byte forms.
    """
    if len(raw) != LENGTH or (raw[:4] != OBJECT_PREFIX and raw[:4] != RAW_PREFIX):
        raise Malformed("not a CID of the forms used here (CIDv1, sha2-256, dag-cbor or raw)")
    return Cid(raw)


def parse(text: str) -> Cid:
    """The CID printed as `text`: 59 characters, base32 lower case, one spelling.

    Raises:
        Malformed: anything else, upper case and set spare bits included.
    """
    if len(text) != PRINTED or not text.isascii() or text[0] != "b":
        raise Malformed("not a CID: it has 59 characters and begins with b")
    try:
        raw = base64.b32decode(text[1:].upper() + "======")
    except binascii.Error:
        raise Malformed("not a CID: not base32 in lower case") from None
    # 36 bytes leave two spare bits, and upper() forgave capitals: print again and compare.
    if show(raw) != text:
        raise Malformed("not a CID in its one spelling")
    return from_bytes(raw)


def show(cid: bytes) -> str:
    """The printed form, `b…`; the reverse of `parse`."""
    return "b" + base64.b32encode(cid).decode("ascii").rstrip("=").lower()


def is_object(cid: bytes) -> bool:
    """Whether it names a DAG-CBOR object."""
    return cid[:4] == OBJECT_PREFIX


def is_raw(cid: bytes) -> bool:
    """Whether it names a raw block."""
    return cid[:4] == RAW_PREFIX


def check(cid: bytes, block: bytes) -> None:
    """Hold a block against its name (I9: bytes are what they are named).

    Raises:
        Malformed: `cid` is none of the two forms.
        Unverified: the block has another hash; reason `hash-mismatch`.
    """
    if not compare_digest(from_bytes(cid)[4:], sha256(block).digest()):
        raise Unverified(f"the bytes are not those of {show(cid)}", reason="hash-mismatch")
