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
from base64 import b64encode
from dataclasses import dataclass

from node.archive.tile import BIGGEST
from node.crypto import note as notes
from node.crypto.note import Verifier, parse_verifier, unb64
from node.errors import Malformed, Unverified

__all__ = ["Checkpoint", "Verifier", "parse_verifier", "sign", "verify"]

_SIZE = re.compile("0|[1-9][0-9]{0,15}")


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


def sign(checkpoint: Checkpoint, signing: bytes) -> bytes:
    """The signed note.

    Args:
        checkpoint: what is said; its origin names the key.
        signing: 32-byte Ed25519 seed of the log's key.
    """
    return notes.sign(_text(checkpoint), checkpoint.origin, signing)


def verify(note: bytes, verifier: Verifier) -> Checkpoint:
    """What the log of this key says.

    Raises:
        Malformed: no checkpoint in a signed note, or of a log with another name.
        Unverified: no signature of this key, or one that does not hold.
    """
    text, signatures = notes.split(note)
    checkpoint = _checkpoint(text)
    if checkpoint.origin != verifier.name:
        raise Unverified("this checkpoint is of another log", reason="another-log")
    notes.check(text, signatures, verifier)
    return checkpoint


def _text(checkpoint: Checkpoint) -> bytes:
    lines = (checkpoint.origin, str(checkpoint.size), b64encode(checkpoint.root).decode())
    return "".join(f"{line}\n" for line in (*lines, *checkpoint.extra)).encode()


def _checkpoint(text: bytes) -> Checkpoint:
    lines = text.decode().removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines):
        raise Malformed("a checkpoint has three lines at least: name, size, root")
    origin, size, root, *extra = lines
    if not _SIZE.fullmatch(size) or int(size) >= BIGGEST:
        raise Malformed("the size of a log is a number below 2**48")
    raw = unb64(root)
    if len(raw) != 32:
        raise Malformed("the root hash of a log has 32 bytes")
    return Checkpoint(origin=origin, size=int(size), root=raw, extra=tuple(extra))
