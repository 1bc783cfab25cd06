"""Keys and tokens as people and paths see them: `did:key:z6Mk…` and base64url.

Inside objects a key is its 32 raw bytes. Every printed form has one spelling: what is parsed
is printed again and compared.

Spec: design §2; https://w3c-ccg.github.io/did-method-key/; RFC 4648 §5.
"""

import base64
import re
from functools import lru_cache

from node.errors import Malformed
from node.units import Key

_DID = "did:key:"
_ED25519_PUB = b"\xed\x01"
"""Multicodec `ed25519-pub`, 0xed, as a varint."""
# 34 bytes that begin with 0xed have 47 base58 digits: nothing longer is ever decoded.
_Z = re.compile("z6Mk[1-9A-HJ-NP-Za-km-z]{44}")


@lru_cache(maxsize=4096)
def z(key: bytes) -> str:
    """The printed key alone, `z6Mk…`, 48 characters: what stands in paths.

    Args:
        key: an Ed25519 public key, 32 bytes.

    Raises:
        Malformed: it has another length.
    """
    if len(key) != 32:
        raise Malformed("a key has 32 bytes")
    # Imported where keys are printed: it takes 89 ms, and most calls never print one.
    from multiformats import multibase

    return multibase.encode(_ED25519_PUB + key, "base58btc")


def did(key: bytes) -> str:
    """The name of an owner, `did:key:z6Mk…`, 56 characters.

    Raises:
        Malformed: `key` is not 32 bytes.
    """
    return _DID + z(key)


@lru_cache(maxsize=4096)
def parse_z(text: str) -> Key:
    """The key printed as `z6Mk…`.

    Raises:
        Malformed: not exactly the spelling that `z` gives for an Ed25519 key.
    """
    if not _Z.fullmatch(text):
        raise Malformed("not a key: it is z6Mk and 44 base58 characters")
    from multiformats import multibase

    raw = multibase.decode(text)
    if len(raw) != 34 or raw[:2] != _ED25519_PUB or z(raw[2:]) != text:
        raise Malformed("not an Ed25519 key in its one spelling")
    return Key(raw[2:])


def parse_did(text: str) -> Key:
    """The key of an owner named `did:key:z6Mk…`.

    Raises:
        Malformed: another method, key type, or spelling (a fragment, say).
    """
    if not text.startswith(_DID):
        raise Malformed("not an owner's name: it begins with did:key:z6Mk")
    return parse_z(text[len(_DID) :])


def b64(raw: bytes) -> str:
    """Base64url without padding (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def unb64(text: str) -> bytes:
    """The bytes printed by `b64`.

    Raises:
        Malformed: padding, white space, other characters, or spare bits that are not zero.
    """
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Malformed("not base64url") from None
    # The decoder skips foreign characters and ignores spare bits: print again and compare.
    if b64(raw) != text:
        raise Malformed("not base64url in its one spelling, without padding")
    return raw
