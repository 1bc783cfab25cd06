"""The node's own certificate: a key that stays, and a certificate that is made anew with it.

Who calls us knows the key by its pin, from a signed record; what the certificate says of names
and dates is for browsers. `cryptography` is imported when one is made, and at no other time.
"""

import os
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from node.errors import ConfigBroken, StoreFailed
from node.units import DAY, Instant, Millis

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import GeneralName

LIFE = Millis(365 * DAY)
"""How long a certificate is for: what browsers still take is 398 days."""
EARLY = Millis(1 * DAY)
"""It is valid from the day before, for callers whose clocks are behind."""
NAMED = 64
"""Characters of a common name, RFC 5280 A.1; longer hosts stand in the other field alone."""


def make(certificate: Path, key: Path, host: str, now: Instant) -> None:
    """Writes a certificate for `host`; and its key, if there is none yet. Modes 0600.

    Args:
        certificate: the PEM file, replaced.
        key: the PEM file; one that exists is used as it is, so that the pin stays.
        host: the origin's name or address.
        now: the clock.

    Raises:
        ConfigBroken: the key that is there can't be used.
        StoreFailed: the disk.
    """
    secret = _stored(key) if key.exists() else _new(key)
    _write(certificate, _signed(secret, host, now))


def _stored(key: Path) -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        secret = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(key) from error
    if not isinstance(secret, EllipticCurvePrivateKey):
        raise _unusable(key)
    return secret


def _unusable(key: Path) -> ConfigBroken:
    # Not replaced by itself: a new key is a new pin, and every contact has to be told.
    return ConfigBroken(
        f"{key} is no key of ours; nothing was changed",
        next="put it back from a backup; or remove it: a new one is made and contacts are told",
    )


def _new(key: Path) -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = ec.generate_private_key(ec.SECP256R1())
    kind, hidden = form.PrivateFormat.PKCS8, form.NoEncryption()
    _write(key, secret.private_bytes(form.Encoding.PEM, kind, hidden))
    return secret


def _signed(secret: "EllipticCurvePrivateKey", host: str, now: Instant) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:NAMED])])
    made = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(_moment(now - EARLY))
        .not_valid_after(_moment(now + LIFE))
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


def _alternative(host: str) -> "GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _moment(at: int) -> datetime:
    # Dates before 1950 have no form in a certificate; no clock of ours is asked to be right.
    return datetime.fromtimestamp(max(at, 0) / 1000, UTC)


def _write(path: Path, data: bytes) -> None:
    """In one step, and for the owner's eyes only."""
    temporary = path.with_suffix(".new")
    try:
        temporary.unlink(missing_ok=True)
        with open(temporary, "xb", opener=_private) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError as error:
        raise StoreFailed(f"{path} can't be written: {error.strerror}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
