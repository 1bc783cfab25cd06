"""Signatures of single objects.

Ed25519 over `"willcall/v1/" + kind + NUL + canonical map without sig`. The domain keeps a
signature of one kind from counting for another.

Spec: design §2. Batches of notifications have their own form: `batch`.
"""

from collections.abc import Mapping
from typing import Any

from node.crypto import keys
from node.encoding import cbor


def domain(kind: str) -> bytes:
    """What precedes the bytes of this kind when they are signed.

    Args:
        kind: the object's kind, or a role of it (`record-recovery`); without NUL.
    """
    return b"willcall/v1/" + kind.encode() + b"\0"


def sign(kind: str, body: Mapping[str, object], signing_seed: bytes) -> dict[str, Any]:
    """A copy of `body` with its `sig`.

    Args:
        kind: names the domain; usually `body["kind"]`.
        body: the map to sign. A `sig` in it is not signed over, and replaced.
        signing_seed: Ed25519 seed, 32 bytes.

    Raises:
        Malformed: the map can't be encoded.
    """
    unsigned = {name: value for name, value in body.items() if name != "sig"}
    signature = keys.sign(signing_seed, domain(kind) + cbor.encode(unsigned))
    return {**unsigned, "sig": signature}


def verify(kind: str, unsigned: bytes, key: bytes, sig: bytes) -> None:
    """Hold a signature against an object.

    Args:
        kind: names the domain.
        unsigned: the canonical map without `sig` (and whatever else is not covered).
        key: the signer's Ed25519 public key.
        sig: 64 bytes.

    Raises:
        Unverified: it does not hold.
    """
    keys.verify(key, domain(kind) + unsigned, sig)
