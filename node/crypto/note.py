"""Signed notes: some lines of text under the key of a name (C2SP signed-note, Ed25519).

    some lines,
    the last of them ends too

    — name hash-and-signature-in-base64

Other keys may sign too; lines we don't know are left alone. What the text says is its reader's.
Source: https://c2sp.org/signed-note.
"""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import sha256

from node.crypto import keys
from node.errors import Malformed, Unverified
from node.units import Key

NOTE = 16 * 1024
"""Bytes of a note with all its signatures: 100 witnesses of a checkpoint would fit."""
LINES = 100
"""Signatures that are looked at."""
_ED25519 = b"\x01"
_SIGNATURE = "— "


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A key, under its name.

    Attributes:
        name: no white space, no plus sign; for a log its origin line.
        key: Ed25519.
    """

    name: str
    key: Key

    @property
    def hash(self) -> bytes:
        """Four bytes that tell keys of one name apart; not a fingerprint to trust."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{b64encode(_ED25519 + self.key).decode()}"


def parse_verifier(text: str) -> Verifier:
    """A vkey, `name+hash+key`.

    Raises:
        Malformed: not of this form, another kind of key, or its hash is not the key's.
    """
    name, _, rest = text.partition("+")
    hashed, _, encoded = rest.partition("+")
    raw = unb64(encoded)
    if not _is_name(name) or len(raw) != 33 or raw[:1] != _ED25519:
        raise Malformed("not an Ed25519 key under a name")
    found = Verifier(name=name, key=Key(raw[1:]))
    if found.hash.hex() != hashed:
        raise Malformed("the hash in this vkey is that of another key")
    return found


def sign(text: bytes, name: str, signing: bytes) -> bytes:
    """The note.

    Args:
        text: whole lines of UTF-8 without control characters.
        name: of the key.
        signing: its 32-byte Ed25519 seed.
    """
    verifier = Verifier(name=name, key=keys.public(signing))
    signature = b64encode(verifier.hash + keys.sign(signing, text)).decode()
    return text + f"\n{_SIGNATURE}{name} {signature}\n".encode()


def split(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The text of a note, not yet believed, and its signatures.

    Raises:
        Malformed: not of this form.
    """
    if len(note) > NOTE:
        raise Malformed(f"a signed note has at most {NOTE} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise Malformed("a signed note is UTF-8") from None
    text, blank, signed = whole.rpartition("\n\n")
    if not blank or not signed.endswith("\n") or any(c < " " and c != "\n" for c in whole):
        raise Malformed("a signed note is text, a blank line, and signature lines")
    lines = signed[:-1].split("\n")
    if len(lines) > LINES:
        raise Malformed("a signed note with too many signatures")
    return (text + "\n").encode(), [_signature(line) for line in lines]


def check(text: bytes, signatures: list[tuple[str, bytes]], verifier: Verifier) -> None:
    """Hold the text against the signatures of this key.

    Raises:
        Unverified: there is none of this key, or one does not hold.
    """
    ours = [sig for name, sig in signatures if name == verifier.name and sig[:4] == verifier.hash]
    if not ours:
        raise Unverified("this is not signed by the key it has to be")
    for signature in ours:
        keys.verify(verifier.key, text, signature[4:])


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
    raw = unb64(encoded)
    if not line.startswith(_SIGNATURE) or not _is_name(name) or len(raw) < 5:
        raise Malformed("not a signature line")
    return name, raw


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(each.isspace() for each in name)


def unb64(text: str) -> bytes:
    """The bytes of base64 with padding, in its one spelling.

    Raises:
        Malformed: it is none.
    """
    try:
        raw = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise Malformed("not base64") from None
    # One spelling: spare bits are zero.
    if b64encode(raw).decode() != text:
        raise Malformed("not base64 in its one spelling")
    return raw
