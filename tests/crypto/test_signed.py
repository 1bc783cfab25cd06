"""Signed maps, by hand and with another library."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.crypto import keys, signed
from node.encoding import cbor
from node.errors import Malformed, Unverified

SEED = bytes(range(32))
KEY = keys.public(SEED)
BODY = {"kind": "thing", "v": 1, "at": 7}


def test_domain() -> None:
    assert signed.domain("receipt") == b"willcall/v1/receipt\0"


def test_sign_adds_sig_over_the_domain_and_the_canonical_map() -> None:
    made = signed.sign("thing", BODY, SEED)
    assert {**BODY, "sig": made["sig"]} == made
    assert "sig" not in BODY
    theirs = Ed25519PublicKey.from_public_bytes(KEY)
    canonical = b"\xa3" + b"\x61v\x01" + b"\x62at\x07" + b"\x64kind\x65thing"
    theirs.verify(made["sig"], b"willcall/v1/thing\0" + canonical)
    signed.verify("thing", cbor.encode(BODY), KEY, made["sig"])


def test_an_old_sig_is_replaced() -> None:
    made = signed.sign("thing", BODY, SEED)
    assert signed.sign("thing", {**made, "sig": b"old"}, SEED) == made


def test_what_does_not_hold() -> None:
    sig = signed.sign("thing", BODY, SEED)["sig"]
    unsigned = cbor.encode(BODY)
    for kind, body, key, signature in (
        ("thin", unsigned, KEY, sig),
        ("thing", unsigned + b"\0", KEY, sig),
        ("thing", unsigned, keys.public(bytes(32)), sig),
        ("thing", unsigned, KEY, bytes(64)),
        ("thing", unsigned, KEY, sig[:-1]),
        ("thing", unsigned, b"", sig),
    ):
        with pytest.raises(Unverified):
            signed.verify(kind, body, key, signature)


def test_what_can_not_be_encoded() -> None:
    with pytest.raises(Malformed):
        signed.sign("thing", {"a": 1.5}, SEED)
