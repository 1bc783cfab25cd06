"""Checkpoints: what a log's key says of it, as a signed note.

    host:4625/archives/cats/1
    70000
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — host:4625/archives/cats/1 Az3grlgtzPICa5OS8npVmf1Myq/5IZni…

The first line is the log's name and never changes; the signature line names the key, which
has the same name. Other keys may sign too (witnesses): lines we don't know are left alone.

Decides: form and signature. Leaves what a new checkpoint means to `follow`.
Source: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import sha256

from node.archive.tile import BIGGEST
from node.crypto import keys
from node.errors import Malformed, Unverified
from node.units import Key

NOTE = 16 * 1024
"""Bytes of a checkpoint with all its signatures: 100 witnesses would fit."""
LINES = 100
"""Signatures that are looked at."""
_ED25519 = b"\x01"
_SIGNATURE = "— "
_SIZE = re.compile("0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A log's key, under its name.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log says of itself.

    Attributes:
        origin: the log's name, one line.
        size: entries.
        root: their root hash.
        extra: further lines, which mean nothing to us.
    """

    origin: str
    size: int
    root: bytes
    extra: tuple[str, ...] = ()


def parse_verifier(text: str) -> Verifier:
    """A vkey, `name+hash+key`.

    Raises:
        Malformed: not of this form, another kind of key, or its hash is not the key's.
    """
    name, _, rest = text.partition("+")
    hashed, _, encoded = rest.partition("+")
    raw = _unb64(encoded)
    if not _is_name(name) or len(raw) != 33 or raw[:1] != _ED25519:
        raise Malformed("not the Ed25519 key of a log")
    found = Verifier(name=name, key=Key(raw[1:]))
    if found.hash.hex() != hashed:
        raise Malformed("the hash in the log's key is that of another key")
    return found


def sign(checkpoint: Checkpoint, signing: bytes) -> bytes:
    """The signed note.

    Args:
        checkpoint: what is said; its origin names the key.
        signing: 32-byte Ed25519 seed of the log's key.
    """
    text = _text(checkpoint)
    verifier = Verifier(name=checkpoint.origin, key=keys.public(signing))
    signature = b64encode(verifier.hash + keys.sign(signing, text)).decode()
    return text + f"\n{_SIGNATURE}{verifier.name} {signature}\n".encode()


def verify(note: bytes, verifier: Verifier) -> Checkpoint:
    """What the log of this key says.

    Raises:
        Malformed: no checkpoint in a signed note, or of a log with another name.
        Unverified: no signature of this key, or one that does not hold.
    """
    text, signatures = _parts(note)
    checkpoint = _checkpoint(text)
    if checkpoint.origin != verifier.name:
        raise Unverified("this checkpoint is of another log", reason="another-log")
    ours = [sig for name, sig in signatures if name == verifier.name and sig[:4] == verifier.hash]
    if not ours:
        raise Unverified("this checkpoint is not signed by the log's key")
    for signature in ours:
        keys.verify(verifier.key, text, signature[4:])
    return checkpoint


def _text(checkpoint: Checkpoint) -> bytes:
    lines = (checkpoint.origin, str(checkpoint.size), b64encode(checkpoint.root).decode())
    return "".join(f"{line}\n" for line in (*lines, *checkpoint.extra)).encode()


def _parts(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    if len(note) > NOTE:
        raise Malformed(f"a checkpoint has at most {NOTE} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise Malformed("a checkpoint is UTF-8") from None
    text, blank, signed = whole.rpartition("\n\n")
    if not blank or not signed.endswith("\n") or any(c < " " and c != "\n" for c in whole):
        raise Malformed("a checkpoint is text, a blank line, and signature lines")
    lines = signed[:-1].split("\n")
    if len(lines) > LINES:
        raise Malformed("a checkpoint with too many signatures")
    return (text + "\n").encode(), [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
    raw = _unb64(encoded)
    if not line.startswith(_SIGNATURE) or not _is_name(name) or len(raw) < 5:
        raise Malformed("not a signature line")
    return name, raw


def _checkpoint(text: bytes) -> Checkpoint:
    lines = text.decode().removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines):
        raise Malformed("a checkpoint has three lines at least: name, size, root")
    origin, size, root, *extra = lines
    if not _SIZE.fullmatch(size) or int(size) >= BIGGEST:
        raise Malformed("the size of a log is a number below 2**48")
    raw = _unb64(root)
    if len(raw) != 32:
        raise Malformed("the root hash of a log has 32 bytes")
    return Checkpoint(origin=origin, size=int(size), root=raw, extra=tuple(extra))


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(each.isspace() for each in name)


def _unb64(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise Malformed("not base64") from None
    # One spelling: spare bits are zero.
    if b64encode(raw).decode() != text:
        raise Malformed("not base64 in its one spelling")
    return raw
