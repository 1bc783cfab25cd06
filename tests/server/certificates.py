"""Certificates for tests: an authority, and what it or nobody signed."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@dataclass
class Files:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """A server's context that shows it, whatever is wrong with it."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.certificate, self.key)
        return made


class Authority:
    """Signs certificates; its own is in `file`."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder(
                self._name, self._name, self._key.public_key(), x509.random_serial_number()
            )
            .not_valid_before(now - 365 * DAY)
            .not_valid_after(now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        host: str,
        *,
        begins: timedelta = -DAY,
        ends: timedelta = 30 * DAY,
        file: str = "",
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> Files:
        """A certificate for `host`; its dates count from now."""
        secret = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
        try:
            alternative: x509.GeneralName = x509.IPAddress(ip_address(host))
        except ValueError:
            alternative = x509.DNSName(host)
        made = (
            x509.CertificateBuilder(
                self._name, name, secret.public_key(), x509.random_serial_number()
            )
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        stem = file or host.replace(":", "-")
        files = Files(self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        files.certificate.write_bytes(
            made.public_bytes(serialization.Encoding.PEM) + self.file.read_bytes()
        )
        files.key.write_bytes(pem_of(secret))
        return files


def der_of(files: Files) -> bytes:
    """The first certificate of the file."""
    pem = x509.load_pem_x509_certificates(files.certificate.read_bytes())[0]
    return pem.public_bytes(serialization.Encoding.DER)
