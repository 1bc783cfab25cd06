"""The pin of a TLS server: SHA-256 of the public key in its certificate.

The key is found by walking the certificate's first fields; nothing else in it is looked at. TLS
itself has proved by then that the server holds the key.

Spec: 07 §7.1; RFC 5280 §4.1 (`SubjectPublicKeyInfo`), X.690 §8.1.3 (lengths).
"""

import hashlib

from node.errors import Malformed

PIN = 32
"""Bytes of a pin."""
_BEFORE_KEY = 5
"""Fields between the version and the key: serial, algorithm, issuer, validity, subject."""
_SEQUENCE, _VERSION = 0x30, 0xA0
_LENGTH = 4
"""Bytes that say a length: certificates of 4 GiB don't come."""


def pin(certificate: bytes) -> bytes:
    """The pin of a DER certificate: SHA-256 over its whole SubjectPublicKeyInfo.

    Raises:
        Malformed: it is no certificate.
    """
    start, _ = _sequence(certificate, 0)  # Certificate
    at, end = _sequence(certificate, start)  # TBSCertificate
    if at < end and certificate[at] == _VERSION:  # left out in version 1
        at = _inside(certificate, at)[1]
    for _ in range(_BEFORE_KEY):
        at = _inside(certificate, at)[1]
    key = certificate[at : _sequence(certificate, at)[1]]
    return hashlib.sha256(key).digest()


def _sequence(data: bytes, at: int) -> tuple[int, int]:
    """The same as `_inside`, of an element that has to be a SEQUENCE."""
    if data[at : at + 1] != bytes([_SEQUENCE]):
        raise Malformed("this is no certificate")
    return _inside(data, at)


def _inside(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends."""
    start = at + 2
    if start > len(data):
        raise Malformed("this certificate is cut off")
    length = data[at + 1]
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= _LENGTH:
            raise Malformed("this is no certificate")
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + length > len(data):
        raise Malformed("this certificate is cut off")
    return start, start + length
