"""Sealing a message: one ciphertext, its key boxed to each reader.

K is 32 random bytes, new for each message. From it and the author come a commitment (one
ciphertext can't open to two texts) and the cipher key (a stolen ciphertext can't be re-rooted
as someone else's words). Parts are XChaCha20-Poly1305; because K is never used twice the nonce
is the part's number, and the associated data binds author, place and number of parts.

Pure but for one thing: libsodium draws the ephemeral key of a sealed box itself, so `box`
gives other bytes on each call. Compare what opens.

Spec: design §3 Sealing; libsodium `crypto_box_seal`; draft-irtf-cfrg-xchacha-03.
"""

import hmac
from collections.abc import Sequence

import nacl.exceptions
from nacl import bindings

from node import limits
from node.crypto import keys
from node.errors import Malformed, Unverified

BOX = 80
"""Bytes of a boxed key: ephemeral key 32, tag 16, K 32."""


def commitment(key: bytes, author: bytes) -> bytes:
    """What the root says about K, 32 bytes. Compare with `tokens.equal`.

    Args:
        key: K, 32 bytes.
        author: the author's public key, 32 bytes.
    """
    return hmac.digest(key, b"willcall/v1/commitment\0" + author, "sha256")


def content_key(key: bytes, author: bytes) -> bytes:
    """The key of the cipher, 32 bytes, from K and the author's public key."""
    return hmac.digest(key, b"willcall/v1/content\0" + author, "sha256")


def seal_part(content_key: bytes, author: bytes, index: int, count: int, plaintext: bytes) -> bytes:
    """The ciphertext of a part, 16 bytes longer than its plaintext.

    Args:
        content_key: of `content_key`; never used for another message.
        author: the author's public key, 32 bytes.
        index: the part's number, from 0; a body is part 0 of 1.
        count: number of parts.
        plaintext: the part's bytes, at most 1 MiB.
    """
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        plaintext, _associated(author, index, count), _nonce(index), content_key
    )


def open_part(
    content_key: bytes, author: bytes, index: int, count: int, ciphertext: bytes
) -> bytes:
    """The plaintext of a part; the reverse of `seal_part`, with the same arguments.

    Raises:
        Unverified: the ciphertext is not that part, by that author, under that key.
    """
    if len(ciphertext) < limits.SEAL:
        raise Unverified("a part is shorter than its seal")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            ciphertext, _associated(author, index, count), _nonce(index), content_key
        )
    except nacl.exceptions.CryptoError:
        raise Unverified("a part does not open") from None


def box(key: bytes, sealing_public: bytes) -> bytes:
    """K sealed to a reader: 80 bytes, other ones on each call (libsodium's own randomness).

    Args:
        key: K, 32 bytes.
        sealing_public: the reader's X25519 public key.

    Raises:
        Malformed: either has another length, or the reader's key is of low order.
    """
    if len(key) != 32 or keys.is_low_order(sealing_public):
        raise Malformed("a box takes a key of 32 bytes and a sealing key of full order")
    return bindings.crypto_box_seal(key, sealing_public)


def unbox(boxed: bytes, secrets: Sequence[bytes]) -> bytes:
    """K from a box.

    Args:
        boxed: 80 bytes.
        secrets: the reader's X25519 secrets, newest first. Four at most are tried: that bounds
            the work a box can cause.

    Raises:
        Unverified: none opens it to 32 bytes; reason `stale-record`.
    """
    if len(boxed) == BOX:
        for secret in secrets[: limits.SEALING_KEYS]:
            try:
                return bindings.crypto_box_seal_open(boxed, keys.sealing_public(secret), secret)
            except nacl.exceptions.CryptoError:
                continue
    raise Unverified("the box opens with none of the sealing keys", reason="stale-record")


def _nonce(index: int) -> bytes:
    return bytes(16) + index.to_bytes(8, "big")


def _associated(author: bytes, index: int, count: int) -> bytes:
    return b"willcall/v1/part\0" + author + index.to_bytes(8, "big") + count.to_bytes(8, "big")
