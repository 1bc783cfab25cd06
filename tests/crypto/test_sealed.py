"""Boxes and parts, opened by other means than those that closed them."""

import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import PrivateKey, PublicKey, SealedBox

from node import limits
from node.crypto import keys, sealed
from node.errors import Malformed, Unverified

K = bytes(range(32))
AUTHOR = bytes(range(32, 64))
OTHER = bytes(range(64, 96))
CONTENT = sealed.content_key(K, AUTHOR)
SECRETS = [bytes([number]) * 32 for number in range(1, 7)]


def test_derivations_by_hand() -> None:
    for function, word in ((sealed.commitment, b"commitment"), (sealed.content_key, b"content")):
        message = b"willcall/v1/" + word + b"\0" + AUTHOR
        assert function(K, AUTHOR) == hmac.new(K, message, "sha256").digest()
        assert function(K, OTHER) != function(K, AUTHOR)
        assert function(OTHER, AUTHOR) != function(K, AUTHOR)


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """draft-irtf-cfrg-xchacha §2.2, from a ChaCha20 block: undo its final addition."""
    block = Cipher(ChaCha20(key, nonce), mode=None).encryptor().update(bytes(64))
    start = b"expand 32-byte k" + key + nonce
    words = [
        (
            int.from_bytes(block[at : at + 4], "little")
            - int.from_bytes(start[at : at + 4], "little")
        )
        % 2**32
        for at in (*range(0, 16, 4), *range(48, 64, 4))
    ]
    return b"".join(word.to_bytes(4, "little") for word in words)


def test_hchacha20_vector() -> None:
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    expected = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert hchacha20(bytes(range(32)), nonce).hex() == expected


@given(st.integers(0, 1_023), st.integers(1, 1_024), st.binary(max_size=200))
def test_parts_against_another_library(index: int, count: int, plaintext: bytes) -> None:
    made = sealed.seal_part(CONTENT, AUTHOR, index, count, plaintext)
    assert len(made) == len(plaintext) + limits.SEAL
    associated = (
        b"willcall/v1/part\0" + AUTHOR + index.to_bytes(8, "big") + count.to_bytes(8, "big")
    )
    # XChaCha20: HChaCha20 over the first 16 bytes of the nonce, ChaCha20 with the last 8.
    theirs = ChaCha20Poly1305(hchacha20(CONTENT, bytes(16)))
    nonce = bytes(4) + index.to_bytes(8, "big")
    assert theirs.decrypt(nonce, made, associated) == plaintext
    assert theirs.encrypt(nonce, plaintext, associated) == made
    assert sealed.open_part(CONTENT, AUTHOR, index, count, made) == plaintext


def test_everything_about_a_part_is_bound() -> None:
    made = sealed.seal_part(CONTENT, AUTHOR, 1, 3, b"text")
    assert sealed.open_part(CONTENT, AUTHOR, 1, 3, made) == b"text"
    for arguments in (
        (sealed.content_key(K, OTHER), AUTHOR, 1, 3, made),
        (CONTENT, OTHER, 1, 3, made),
        (CONTENT, AUTHOR, 0, 3, made),
        (CONTENT, AUTHOR, 1, 2, made),
        (CONTENT, AUTHOR, 1, 3, made[:-1]),
        (CONTENT, AUTHOR, 1, 3, made + b"\0"),
        (CONTENT, AUTHOR, 1, 3, made[:15]),
        (CONTENT, AUTHOR, 1, 3, b""),
        (CONTENT, AUTHOR, 1, 3, bytes([made[0] ^ 1]) + made[1:]),
    ):
        with pytest.raises(Unverified):
            sealed.open_part(*arguments)


def test_largest_part() -> None:
    plaintext = bytes(limits.PART)
    made = sealed.seal_part(CONTENT, AUTHOR, 0, 2, plaintext)
    assert len(made) == limits.BLOCK
    assert sealed.open_part(CONTENT, AUTHOR, 0, 2, made) == plaintext


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_boxes_against_the_high_level(key: bytes, secret: bytes) -> None:
    public = keys.sealing_public(secret)
    made = sealed.box(key, public)
    assert len(made) == sealed.BOX == 80
    assert SealedBox(PrivateKey(secret)).decrypt(made) == key
    theirs = SealedBox(PublicKey(public)).encrypt(key)
    assert sealed.unbox(theirs, [secret]) == key


def test_four_keys_are_tried_in_order() -> None:
    assert limits.SEALING_KEYS == 4
    for place, secret in enumerate(SECRETS):
        made = sealed.box(K, keys.sealing_public(secret))
        if place < 4:
            assert sealed.unbox(made, SECRETS) == K
        else:
            with pytest.raises(Unverified) as caught:
                sealed.unbox(made, SECRETS)
            assert caught.value.reason == "stale-record"


@pytest.mark.parametrize("size", [0, 16, 48, 79, 81, 200])
def test_boxes_have_80_bytes(size: int) -> None:
    with pytest.raises(Unverified, match="none"):
        sealed.unbox(bytes(size), SECRETS)


def test_boxes_of_other_contents() -> None:
    public = PublicKey(keys.sealing_public(SECRETS[0]))
    for content in (b"", K[:31], K + b"x"):
        with pytest.raises(Unverified):
            sealed.unbox(SealedBox(public).encrypt(content), SECRETS)


@given(st.binary(min_size=80, max_size=80))
def test_any_80_bytes_do_not_open(boxed: bytes) -> None:
    with pytest.raises(Unverified) as caught:
        sealed.unbox(boxed, SECRETS)
    assert caught.value.reason == "stale-record"


@pytest.mark.parametrize("ephemeral", [bytes(32), b"\1" + bytes(31), b"\xff" * 32])
def test_odd_ephemeral_keys_do_not_open(ephemeral: bytes) -> None:
    with pytest.raises(Unverified):
        sealed.unbox(ephemeral + bytes(48), SECRETS)


def test_no_keys() -> None:
    with pytest.raises(Unverified):
        sealed.unbox(bytes(80), [])


@pytest.mark.parametrize(
    ("key", "public"),
    [
        (K[:31], keys.sealing_public(SECRETS[0])),
        (K, b""),
        (K, bytes(31)),
        (K, bytes(32)),
        (K, b"\1" + bytes(31)),
        (K, b"\1" + bytes(30) + b"\x80"),
    ],
)
def test_what_is_not_boxed(key: bytes, public: bytes) -> None:
    with pytest.raises(Malformed):
        sealed.box(key, public)
