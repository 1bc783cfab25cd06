"""A letter to a list, as it stands in its archive: the author's bytes, and what proves them.

    header section     the letter's own Date, From, Subject and the like, byte for byte
    message/rfc822     the letter, exactly as its author signed it
    …original          its signed root and its key: see `original`

The archive's message is signed by who keeps the archive; inside is the proof that the letter
is its author's. The same letter gives the same bytes, so it is posted once. Spec: 12 §12.6.
"""

import binascii
import re
from base64 import decodebytes, encodebytes
from hashlib import sha256

from node import limits
from node.mail import original, scan

COPIED = (
    b"Date", b"From", b"To", b"Cc", b"Subject", b"Message-ID", b"In-Reply-To", b"References",
)  # fmt: skip
"""What lists, threads and searches look at."""
_MARK = re.compile(rb'boundary="(=_[0-9a-f]{40})"\r\n\r\n')
LONGEST = 8 * 1024
"""Bytes of a copied field; longer ones stand in the letter alone."""


def wrap(letter: bytes, proof: bytes) -> bytes:
    """The message for the archive.

    Args:
        letter: the author's bytes.
        proof: what `original.proof` made for them.
    """
    mark = b"=_" + sha256(letter).hexdigest()[:40].encode()
    kind = original.TYPE.encode()
    return b"\r\n".join(
        [
            *_copied(letter),
            b"MIME-Version: 1.0",
            b'Content-Type: multipart/mixed; boundary="%s"' % mark,
            b"",
            b"--" + mark,
            b"Content-Type: message/rfc822",
            b"Content-Transfer-Encoding: 8bit",
            b"",
            letter,
            b"--" + mark,
            b"Content-Type: %s" % kind,
            b"Content-Transfer-Encoding: base64",
            b'Content-Disposition: attachment; filename="%s"' % original.NAME.encode(),
            b"",
            encodebytes(proof).replace(b"\n", b"\r\n") + b"--" + mark + b"--",
            b"",
        ]
    )


def is_wrapped(head: bytes) -> bool:
    """Whether this is the beginning of what may be a letter to a list: worth reading all of it."""
    return _MARK.search(head) is not None


def unwrap(raw: bytes) -> tuple[bytes, bytes] | None:
    """The letter and its proof, where `raw` is what `wrap` makes of them, to the last byte.

    So whatever the header section says, the letter says. The proof is not looked at.
    """
    mark = _MARK.search(raw)
    begun = raw.find(b"\r\n\r\n", mark.end()) + 4 if mark else 0
    ended = raw.rfind(b"\r\n--%s\r\n" % mark[1]) if mark else -1
    told = raw.find(b"\r\n\r\n", ended + 2) + 4
    if ended < begun or begun < 4 or told < 4 or len(raw) - told > 2 * original.LARGEST:
        return None
    try:
        made = raw[begun:ended], decodebytes(raw[told : raw.rfind(b"\r\n--")])
    except binascii.Error:
        return None
    return made if wrap(*made) == raw else None


def _copied(letter: bytes) -> list[bytes]:
    header = scan.header_section(letter[: limits.SCANNED])
    names = header.lower()
    found = []
    for name in COPIED:
        value = scan.field(header, names, name.lower(), LONGEST)
        if value is not None and len(value) < LONGEST:
            folded = value.strip().replace(b"\0", b"").replace(b"\t", b" ")
            found.append(name + b": " + _folded(folded))
    return found


def _folded(value: bytes) -> bytes:
    """At white space, so that no line is over RFC 5322's 998 bytes unless it has none."""
    lines, line = [], b""
    for word in value.split(b" "):
        if line and len(line) + len(word) > 900:
            lines.append(line)
            line = b""
        line = line + b" " + word if line else word
    return b"\r\n ".join([*lines, line])
