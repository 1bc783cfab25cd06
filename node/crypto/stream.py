"""A long stream of bytes that only the recovery phrase opens, and that shows where it was cut.

A fresh key is boxed to the recovery key: Ed25519, turned into the X25519 key of the same secret,
so that whoever keeps only its public half (every node does) can seal what the 24 words open.
Under that key go pieces of XChaCha20-Poly1305 in libsodium's `secretstream`: each binds its place
and all before it, and only the last one carries the mark of the end.

Pure but for the ephemeral key of the box, which libsodium draws itself.
Spec: 11; libsodium `crypto_secretstream_xchacha20poly1305`, `crypto_sign_ed25519_pk_to_curve25519`.
"""

import nacl.exceptions
from nacl import bindings

from node.errors import Malformed, Unverified

KEY = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
HEADER = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
FRAME = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
"""What a piece is longer than its plaintext: 17 bytes."""

_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


def box(key: bytes, recovery: bytes) -> bytes:
    """`key` sealed to a recovery key: 80 bytes, other ones on each call.

    Args:
        key: 32 bytes.
        recovery: an Ed25519 public key.

    Raises:
        Malformed: it is no such key.
    """
    try:
        public = bindings.crypto_sign_ed25519_pk_to_curve25519(recovery)
    except (nacl.exceptions.CryptoError, ValueError, TypeError) as error:
        raise Malformed("this recovery key can't be sealed to") from error
    return bindings.crypto_box_seal(key, public)


def unbox(boxed: bytes, recovery_seed: bytes) -> bytes:
    """What `box` sealed.

    Args:
        boxed: 80 bytes.
        recovery_seed: the 32 bytes that the phrase gives.

    Raises:
        Unverified: it was sealed to another key, or changed.
    """
    public, secret = bindings.crypto_sign_seed_keypair(recovery_seed)
    try:
        return bindings.crypto_box_seal_open(
            boxed,
            bindings.crypto_sign_ed25519_pk_to_curve25519(public),
            bindings.crypto_sign_ed25519_sk_to_curve25519(secret),
        )
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise Unverified("the box does not open with these words") from error


class Sealing:
    """Seals pieces in order.

    Args:
        key: 32 bytes, never used for another stream.
        header: 24 random bytes, without which nothing opens; no secret.
    """

    def __init__(self, key: bytes, header: bytes) -> None:
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        # `init_push` would draw the header itself, and then do just this: chance is an argument.
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def piece(self, plaintext: bytes, associated: bytes, *, last: bool = False) -> bytes:
        """The next piece, 17 bytes longer. After the last there is no other."""
        tag = _FINAL if last else _MESSAGE
        return bytes(
            bindings.crypto_secretstream_xchacha20poly1305_push(
                self._state, plaintext, associated, tag
            )
        )


class Opening:
    """Opens pieces in the same order.

    Args:
        key: of the stream.
        header: of the stream.
    """

    def __init__(self, key: bytes, header: bytes) -> None:
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def piece(self, ciphertext: bytes, associated: bytes) -> tuple[bytes, bool]:
        """The plaintext, and whether it was the last.

        Raises:
            Unverified: changed, left out, or out of its place.
        """
        if len(ciphertext) < FRAME:
            raise Unverified("a piece is shorter than its seal")
        try:
            plaintext, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                self._state, ciphertext, associated
            )
        except nacl.exceptions.CryptoError as error:
            raise Unverified("a piece was changed, or is not in its place") from error
        return bytes(plaintext), tag == _FINAL
