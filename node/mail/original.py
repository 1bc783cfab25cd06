"""What makes a forwarded message provable: who wrote the original, and that it is what they wrote.

Beside the original stands a part `application/vnd.willcall.original`: the original's root, which
its author signed, and its key K. K opens this one message and nothing else. Whoever has both
checks the signature, that the key is the one the author was committed to, and that the original's
bytes, sealed with it, are those that the root names. Spec: 05 §5.5.
"""

from collections.abc import Iterator
from typing import NamedTuple

from node import limits
from node.encoding import cbor, names
from node.encoding import cid as cids
from node.encoding import fields as f
from node.errors import Malformed, TooLarge, Unverified, WillcallError
from node.mail import scan
from node.mail.compose import Attachment
from node.objects import content, message
from node.objects.message import Message
from node.units import Instant

TYPE = "application/vnd.willcall.original"
NAME = "forwarded.proof"
LARGEST = limits.ROOT + 256
"""Bytes of a proof: a root, and a key."""
MOST = 8
"""Proofs of one message that are looked at: each may seal a whole message again."""

_SHAPE = f.Shape("original", {"key": f.exactly(32), "root": f.blob})
_RFC822 = b"message/rfc822"


class Proven(NamedTuple):
    """An original in a message whose author is sure.

    Attributes:
        did: its author; message: its name.
        created: the author's clock.
        subject: of the original itself.
    """

    did: str
    message: str
    created: Instant
    subject: str


def proof(root: bytes, key: bytes) -> bytes:
    """The part that goes with an original.

    Args:
        root: its signed root.
        key: K, which opens it.
    """
    return cbor.encode({"kind": "original", "v": 1, "key": key, "root": root})


def proven(raw: bytes, files: list[Attachment]) -> tuple[list[Proven], list[str]]:
    """The originals in a message whose proofs hold, and a mark for each that does not.

    Args:
        raw: the message they came in.
        files: its attachments.
    """
    found: list[Proven] = []
    marks: list[str] = []
    for file in [each for each in files if each.type == TYPE][:MOST]:
        try:
            found.append(_checked(file.data, raw, files))
        except WillcallError as error:
            marks.append(f"the proof of what was forwarded does not hold: {error.text}")
    return found, marks


def author(plain: bytes, proof: bytes) -> Proven:
    """Who signed these bytes.

    Raises:
        Malformed, TooLarge, Unverified: the proof does not hold for them.
    """
    return _checked(proof, plain, [Attachment(name="", type="message/rfc822", data=plain)])


def _checked(data: bytes, raw: bytes, files: list[Attachment]) -> Proven:
    """Raises Malformed or Unverified unless the original is in the message and its author's."""
    if len(data) > LARGEST:
        raise TooLarge(f"a proof has at most {LARGEST} bytes")
    got = _SHAPE.parse(cbor.decode(data))
    root, key = message.KIND.decode(got["root"]).verify(), got["key"]
    content.check_key(root, key)
    for plain in _candidates(root, raw, files):
        if _is(root, key, plain):
            subject = scan.scan(plain[: limits.SCANNED]).subject or ""
            name = cids.show(cids.of_object(got["root"]))
            return Proven(names.did(root.author), name, root.created, subject)
    raise Unverified("it is of another text")


def _candidates(root: Message, raw: bytes, files: list[Attachment]) -> Iterator[bytes]:
    """Bytes of the original's size that lie where an original may lie."""
    for file in files:
        if len(file.data) == root.size:
            yield file.data
    at = raw.find(_RFC822)
    for _ in range(MOST):
        if at < 0:
            return
        start = raw.find(b"\r\n\r\n", at) + 4
        if start > 3 and start + root.size <= len(raw):
            yield raw[start : start + root.size]
        at = raw.find(_RFC822, at + 1)


def _is(root: Message, key: bytes, plain: bytes) -> bool:
    """Whether the author signed these bytes."""
    if root.body is not None:
        return content.open_body(root, key) == plain
    if content.part_count(len(plain)) != len(root.parts):
        raise Malformed("its parts do not fit its size")
    pieces = (plain[at : at + limits.PART] for at in range(0, len(plain), limits.PART))
    return all(
        content.seal_part(key, root.author, index, len(root.parts), piece).cid == part.cid
        for index, (piece, part) in enumerate(zip(pieces, root.parts, strict=True))
    )
