"""Keys and Ed25519 against published vectors; the line drawn is libsodium's."""

import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from node.crypto import keys
from node.errors import Malformed, Unverified

VECTORS = "vectors/ed25519"
SEED = bytes(range(32))
# Fixed for all time: a phrase written down today has to give these.
FOREVER = {
    "signing": "9c5a8aba0f627018e6a85587a384765c56fbf9fbc832b27f6e3835d28a54bde3",
    "sealing": "53fcac11bc8dbed83d37d13719cebd1c14b89f7e20833258ca73aafede2a9ff7",
    "recovery": "cd245b38465e11848e9ebd7d32fe4b890546a603428c564106c5d4961f3c921e",
}

seeds = st.binary(min_size=32, max_size=32)


def holds(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        keys.verify(public, message, signature)
    except Unverified:
        return False
    return True


def test_derive_by_hand() -> None:
    derived = keys.derive(SEED)
    for name in ("signing", "sealing", "recovery"):
        expected = hmac.new(SEED, f"willcall/v1/seed/{name}".encode(), "sha256").digest()
        assert getattr(derived, name) == expected
        assert FOREVER[name] == expected.hex()


def test_printing_keys_shows_no_bytes() -> None:
    derived = keys.derive(SEED)
    for shown in (repr(derived), str(derived), f"{derived}", f"{[derived]}"):
        assert "Keys(…)" in shown
        assert "\\x" not in shown
        assert derived.signing.hex() not in shown


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(33), bytes(64)])
def test_lengths(wrong: bytes) -> None:
    calls = (keys.derive, keys.public, keys.sealing_public, keys.is_low_order)
    for call in calls:
        with pytest.raises(Malformed):
            call(wrong)
    with pytest.raises(Malformed):
        keys.sign(wrong, b"")
    with pytest.raises(Unverified):
        keys.verify(wrong, b"", bytes(64))
    if len(wrong) != 64:
        with pytest.raises(Unverified):
            keys.verify(keys.public(SEED), b"", wrong)


@given(seeds, st.binary(max_size=100))
def test_cryptography_agrees(seed: bytes, message: bytes) -> None:
    theirs = Ed25519PrivateKey.from_private_bytes(seed)
    public = theirs.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert keys.public(seed) == public
    assert keys.sign(seed, message) == theirs.sign(message)
    keys.verify(public, message, theirs.sign(message))
    sealing = X25519PrivateKey.from_private_bytes(seed).public_key()
    assert keys.sealing_public(seed) == sealing.public_bytes(Encoding.Raw, PublicFormat.Raw)


@given(st.binary(max_size=40), st.integers(0, 63), st.integers(1, 255))
def test_a_changed_signature_does_not_hold(message: bytes, at: int, flip: int) -> None:
    signature = bytearray(keys.sign(SEED, message))
    signature[at] ^= flip
    assert not holds(keys.public(SEED), message, bytes(signature))
    assert not holds(keys.public(SEED), message + b"x", keys.sign(SEED, message))
    assert not holds(keys.public(bytes(32)), message, keys.sign(SEED, message))


def test_wycheproof(corpus: Path) -> None:
    file = corpus / VECTORS / "ed25519_test.json"
    count = 0
    for group in json.loads(file.read_text())["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            assert holds(public, message, signature) == (case["result"] == "valid"), case
            count += 1
    assert count == 151


def test_sign_input(corpus: Path) -> None:
    lines = (corpus / VECTORS / "sign.input.first512").read_text().splitlines()
    assert len(lines) == 512
    for line in lines:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        seed, signature = secret[:32], signed[:64]
        assert keys.public(seed) == public
        assert keys.sign(seed, message) == signature
        assert holds(public, message, signature)
        forged = message[:-1] + bytes([message[-1] ^ 1]) if message else b"x"
        assert not holds(public, forged, signature)


def test_cctv(corpus: Path) -> None:
    """Small-order and non-canonical points: refused, but for low-order *components*.

    libsodium verifies without cofactor, so a low-order component in A or R passes when the
    equation holds anyway, and every other flag is a refusal.
    """
    passes = {"low_order_component_A", "low_order_component_R"}
    cases = json.loads((corpus / VECTORS / "cctv/ed25519vectors.json").read_text())
    assert len(cases) == 914
    for case in cases:
        public, signature = bytes.fromhex(case["key"]), bytes.fromhex(case["sig"])
        expected = set(case["flags"] or ()) <= passes
        assert holds(public, case["msg"].encode(), signature) == expected, case


# --- low-order X25519 keys ------------------------------------------------------------

FIELD = 2**255 - 19
ORDER_8 = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
LOW = [number.to_bytes(32, "little") for number in (0, 1, FIELD - 1, FIELD, FIELD + 1)]
LOW += [bytes.fromhex(point) for point in ORDER_8]
LOW += [point[:31] + bytes([point[31] | 0x80]) for point in LOW]


def gives_zero(point: bytes) -> bool:
    try:
        bindings.crypto_scalarmult(SEED, point)
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("point", LOW)
def test_low_order_in_every_encoding(point: bytes) -> None:
    assert gives_zero(point)
    assert keys.is_low_order(point)


@pytest.mark.parametrize(
    "point",
    [
        number.to_bytes(32, "little")
        for number in (2, 9, FIELD - 2, FIELD + 2, 2**255 - 1, 2**256 - 1)
    ],
)
def test_near_misses_are_not(point: bytes) -> None:
    assert not gives_zero(point)
    assert not keys.is_low_order(point)


@given(st.binary(min_size=32, max_size=32))
def test_libsodium_agrees(point: bytes) -> None:
    assert keys.is_low_order(point) == gives_zero(point)
