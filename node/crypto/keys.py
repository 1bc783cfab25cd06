"""Keys from a seed, and Ed25519 signatures by libsodium.

`signing` and `recovery` are Ed25519 seeds, `sealing` is the X25519 secret itself; each is
HMAC-SHA-256 of the owner's seed, 32 random bytes. Verification is libsodium's, on purpose:
it refuses low-order and non-canonical points, and every node has to draw the same line.

Decides: derivation and whether a signature holds. Leaves what is signed to `signed` and
`batch`. Pure: no randomness; Ed25519 signatures are deterministic (RFC 8032).

Spec: design §2, small print; RFC 8032; RFC 7748 §6.1.
"""

import hmac
from dataclasses import dataclass
from functools import lru_cache

import nacl.exceptions
from nacl import bindings

from node.errors import Malformed, Unverified
from node.units import Key

SIGNATURE = 64
"""Bytes of an Ed25519 signature."""

_FIELD = 2**255 - 19
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _FIELD - 1,
        # The two coordinates of the points of order 8 (https://cr.yp.to/ecdh.html#validate).
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Keys:
    """An owner's secrets, 32 bytes each. Printing one shows no bytes.

    Attributes:
        signing: Ed25519 seed of the key that names the owner.
        sealing: X25519 secret that opens boxes.
        recovery: Ed25519 seed; used with the phrase in hand only, never kept by a node.
    """

    signing: bytes
    sealing: bytes
    recovery: bytes

    def __repr__(self) -> str:
        return "Keys(…)"


def derive(seed: bytes) -> Keys:
    """The owner's keys.

    Args:
        seed: 32 random bytes; the entropy of the recovery phrase.

    Raises:
        Malformed: the seed has another length.
    """
    if len(seed) != 32:
        raise Malformed("a seed has 32 bytes")
    return Keys(
        signing=hmac.digest(seed, b"willcall/v1/seed/signing", "sha256"),
        sealing=hmac.digest(seed, b"willcall/v1/seed/sealing", "sha256"),
        recovery=hmac.digest(seed, b"willcall/v1/seed/recovery", "sha256"),
    )


def public(signing_seed: bytes) -> Key:
    """The Ed25519 public key of a seed, 32 bytes.

    Raises:
        Malformed: the seed is not 32 bytes.
    """
    return _pair(signing_seed)[0]


@lru_cache(maxsize=256)
def sealing_public(secret: bytes) -> Key:
    """The X25519 public key of a secret, 32 bytes.

    Raises:
        Malformed: the secret is not 32 bytes.
    """
    if len(secret) != 32:
        raise Malformed("a sealing key has 32 bytes")
    return Key(bindings.crypto_scalarmult_base(secret))


def sign(signing_seed: bytes, message: bytes) -> bytes:
    """The Ed25519 signature of `message`, 64 bytes. The same every time.

    Raises:
        Malformed: the seed is not 32 bytes.
    """
    return bindings.crypto_sign(message, _pair(signing_seed)[1])[:SIGNATURE]


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Hold a signature against message and key, as libsodium does.

    Raises:
        Unverified: it does not hold, whatever is wrong with it: also wrong lengths,
            a low-order or non-canonical key or point, an unreduced scalar.
    """
    if len(public) != 32 or len(signature) != SIGNATURE:
        raise Unverified("a key has 32 bytes and a signature 64")
    try:
        bindings.crypto_sign_open(signature + message, public)
    except nacl.exceptions.CryptoError:
        raise Unverified("the signature does not hold") from None


def is_low_order(sealing_public: bytes) -> bool:
    """Whether every exchange with this X25519 key gives zero, so that anyone could open a box.

    Covers all encodings of those points: X25519 ignores the top bit and takes numbers that are
    not reduced modulo 2**255 - 19 (RFC 7748 §5).

    Raises:
        Malformed: the key is not 32 bytes.
    """
    if len(sealing_public) != 32:
        raise Malformed("a sealing key has 32 bytes")
    point = int.from_bytes(sealing_public, "little") & (2**255 - 1)
    return point % _FIELD in _LOW_ORDER


@lru_cache(maxsize=256)
def _pair(signing_seed: bytes) -> tuple[Key, bytes]:
    """Public key and libsodium's 64-byte secret key: deriving it costs as much as signing."""
    if len(signing_seed) != 32:
        raise Malformed("a signing seed has 32 bytes")
    key, secret = bindings.crypto_sign_seed_keypair(signing_seed)
    return Key(key), secret
