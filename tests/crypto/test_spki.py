"""Pins, against another library's reading of certificates."""

import contextlib
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import spki
from node.errors import Malformed

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def certificate(key: Private, name: str = "a") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a" * 60)] * 40), critical=False)
        .sign(key, algorithm)
        .public_bytes(serialization.Encoding.DER)
    )


def expected(key: Private) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_key().public_bytes(serialization.Encoding.DER, form)).digest()


CURVE = ec.generate_private_key(ec.SECP256R1())
GOOD = certificate(CURVE)


@pytest.mark.parametrize(
    "key",
    [
        CURVE,
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p256", "p521", "ed25519", "rsa"],
)
def test_the_pin_is_that_of_the_key(key: Private) -> None:
    first, second = certificate(key), certificate(key, "another name")
    assert first != second
    assert spki.pin(first) == spki.pin(second) == expected(key)
    assert len(spki.pin(first)) == spki.PIN


def test_two_keys_two_pins() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    assert spki.pin(certificate(other)) != spki.pin(GOOD)


@pytest.mark.parametrize("length", range(0, 200, 7))
def test_what_is_cut_off_has_no_pin(length: int) -> None:
    with pytest.raises(Malformed):
        spki.pin(GOOD[:length])


@given(st.binary(max_size=400))
def test_any_bytes_give_a_pin_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert len(spki.pin(data)) == spki.PIN


def test_lengths_that_lead_nowhere() -> None:
    for data in (
        b"\x30\x80",
        b"\x30\xff" + bytes(300),
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x00",
        b"\x31" + GOOD[1:],
    ):
        with pytest.raises(Malformed):
            spki.pin(data)
