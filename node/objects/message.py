"""The message root: what is signed and stored, and whose CID names the mail.

It decides which shapes of a root are well formed (sizes agree, body or parts).
Sealing and opening the content is `objects.content`. Spec: 03 §message.
"""

from dataclasses import dataclass

from node import limits
from node.encoding import fields as f
from node.encoding.cbor import Value
from node.encoding.cid import Cid
from node.errors import Malformed
from node.objects.signed import Fields, Kind
from node.units import Instant, Key

SEALED = "xchacha20poly1305"
PLAIN = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One block of content: its name and its ciphertext size in bytes."""

    cid: Cid
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message root.

    Attributes:
        author: who signs and answers for it.
        created: the author's clock; 0 for imported archive mail.
        size: plaintext bytes.
        cipher: `xchacha20poly1305`, or `none` for public archives.
        commitment: binds the content key and the author (sealed mail only).
        body: the ciphertext, iff it has at most 48 KiB.
        parts: otherwise the blocks, each 1 MiB of plaintext but the last.
    """

    author: Key
    created: Instant
    size: int
    cipher: str = SEALED
    commitment: bytes | None = None
    body: bytes | None = None
    parts: tuple[Part, ...] = ()


def overhead(cipher: str) -> int:
    """Bytes that sealing adds to each part."""
    return limits.SEAL if cipher == SEALED else 0


def part_sizes(size: int, cipher: str = SEALED) -> list[int]:
    """Ciphertext sizes of the parts of `size` plaintext bytes (one for a body)."""
    count = max(1, -(-size // limits.PART))
    last = size - (count - 1) * limits.PART
    extra = overhead(cipher)
    return [limits.PART + extra] * (count - 1) + [last + extra]


def fits_body(size: int, cipher: str = SEALED) -> bool:
    """Whether `size` plaintext bytes travel inside the root."""
    return size + overhead(cipher) <= limits.BODY


def _make(fields: Fields) -> Message:
    message = Message(
        author=fields["author"],
        created=fields["created"],
        size=fields["size"],
        cipher=fields["cipher"],
        commitment=fields.get("commitment"),
        body=fields.get("body"),
        parts=tuple(fields.get("parts", ())),
    )
    _check_cipher(message)
    _check_sizes(message)
    return message


def _check_cipher(message: Message) -> None:
    if message.cipher not in (SEALED, PLAIN):
        raise Malformed(f"unknown cipher {message.cipher[:32]!r}")
    if (message.commitment is None) != (message.cipher == PLAIN):
        raise Malformed("a commitment belongs to sealed content, and only to it")


def _check_sizes(message: Message) -> None:
    if (message.body is None) == (not message.parts):
        raise Malformed("a message has a body or parts, not both and not neither")
    if (message.body is not None) != fits_body(message.size, message.cipher):
        raise Malformed("content of at most 48 KiB is a body, larger content is parts")
    stated = [len(message.body)] if message.body is not None else [p.size for p in message.parts]
    if len(stated) > limits.MESSAGE_LARGEST // limits.PART:
        raise Malformed("more parts than the largest message has")
    if message.size > limits.MESSAGE_LARGEST or stated != part_sizes(message.size, message.cipher):
        raise Malformed("the sizes of the parts do not agree with the size of the message")


_PART = f.group("part", {"cid": f.raw_link, "size": f.uint})


def _part(value: Value) -> Part:
    return Part(**_PART(value))


def _fields(message: Message) -> Fields:
    return {
        "author": message.author,
        "created": message.created,
        "size": message.size,
        "cipher": message.cipher,
        "commitment": message.commitment,
        "body": message.body,
        "parts": [{"cid": p.cid, "size": p.size} for p in message.parts] or None,
    }


KIND: Kind[Message] = Kind(
    name="message",
    limit=limits.ROOT,
    shape=f.Shape(
        "message",
        {
            "author": f.key,
            "created": f.instant,
            "size": f.uint,
            "cipher": f.text,
            "sig": f.exactly(64),
        },
        {
            "commitment": f.exactly(32),
            "body": f.at_most(limits.BODY),
            "parts": f.array(_part, 1, limits.MESSAGE_LARGEST // limits.PART),
        },
    ),
    make=_make,
    fields=_fields,
    signer=lambda message: message.author,
)
