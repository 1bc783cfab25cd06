"""Printed keys against multiformats and the did:key specification; base64url by hand."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import multibase, multicodec

from node.encoding import names
from node.errors import Malformed

keys = st.binary(min_size=32, max_size=32)

# From the did:key specification's test vectors (Ed25519).
KNOWN = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
KNOWN_KEY = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"


def test_known_vector() -> None:
    assert names.did(bytes.fromhex(KNOWN_KEY)) == KNOWN
    assert names.parse_did(KNOWN).hex() == KNOWN_KEY
    assert names.z(bytes.fromhex(KNOWN_KEY)) == KNOWN.removeprefix("did:key:")


@given(keys)
def test_multiformats_agrees(key: bytes) -> None:
    expected = multibase.encode(multicodec.wrap("ed25519-pub", key), "base58btc")
    assert names.z(key) == expected
    assert names.parse_z(expected) == key
    assert names.parse_did(names.did(key)) == key
    assert len(names.did(key)) == 56


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32])
def test_smallest_and_largest_key_have_the_same_length(key: bytes) -> None:
    assert names.z(key).startswith("z6Mk")
    assert len(names.z(key)) == 48
    assert names.parse_z(names.z(key)) == key


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_keys_have_32_bytes(key: bytes) -> None:
    with pytest.raises(Malformed):
        names.did(key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "did:key:",
        KNOWN[:-1],
        KNOWN + "p",
        KNOWN + "#z6Mk",
        KNOWN.upper(),
        " " + KNOWN,
        KNOWN + "\n",
        KNOWN.replace("did:key:", "did:web:"),
        KNOWN.replace("did:key:", ""),
        KNOWN[:-1] + "0",
        KNOWN[:-1] + "l",
        KNOWN[:-1] + "ü",
        "did:key:z6Mk" + "z" * 44,  # another codec, or more than 34 bytes
        "did:key:z6Mk" + "1" * 44,
        "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc",  # X25519
        "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",  # secp256k1
        "did:key:z" + "1" * 100_000,
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        names.parse_did(text)


@given(st.from_regex(names._Z, fullmatch=True))
def test_any_z_has_one_spelling(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert names.z(names.parse_z(text)) == text


@given(st.binary(max_size=60))
def test_base64url(raw: bytes) -> None:
    printed = names.b64(raw)
    assert names.unb64(printed) == raw
    assert base64.urlsafe_b64decode(printed + "==") == raw
    assert "=" not in printed


@pytest.mark.parametrize(
    "text",
    ["A", "AB", "AAB", "AA==", "AA\n", " AA", "A+A", "A/AA", "ÄÄ", "\ud800", "AAAAA", "A=A="],
)
def test_base64url_has_one_spelling(text: str) -> None:
    with pytest.raises(Malformed):
        names.unb64(text)


@given(st.text(max_size=20))
def test_any_text_is_base64url_or_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert names.b64(names.unb64(text)) == text
