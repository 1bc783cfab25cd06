"""Sealing content into a root and its blocks, and opening it again.

The author is bound into every key and every part, so that a stolen ciphertext can't be
re-rooted as someone else's words; the commitment binds key and author, so that one
ciphertext can't open to two texts. Spec: 03 §sealing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from node import limits
from node.crypto import sealed, tokens
from node.encoding import cid
from node.encoding.cid import Cid
from node.errors import Unverified
from node.objects.message import KIND, Message, Part
from node.units import Instant, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedPart:
    """One part under its name, ready to be stored."""

    cid: Cid
    block: bytes


def part_count(size: int) -> int:
    """How many parts `size` plaintext bytes have (a body is one)."""
    return max(1, -(-size // limits.PART))


def seal_body(key: bytes, author: Key, created: Instant, content: bytes, signing: bytes) -> bytes:
    """The signed root of content that fits into it.

    Args:
        key: K, 32 random bytes, new for this message and in the store already.
        author: the author's public key.
        created: the author's clock.
        content: the message exactly as submitted, at most 48 KiB less the seal.
        signing: the author's Ed25519 seed.
    """
    body = sealed.seal_part(sealed.content_key(key, author), author, 0, 1, content)
    return KIND.sign(_root(key, author, created, len(content), body=body), signing)


def seal_part(key: bytes, author: Key, index: int, count: int, content: bytes) -> SealedPart:
    """Part `index` of `count`, at most 1 MiB of plaintext."""
    block = sealed.seal_part(sealed.content_key(key, author), author, index, count, content)
    return SealedPart(cid=cid.of_raw(block), block=block)


def seal_root(
    key: bytes, author: Key, created: Instant, size: int, parts: Iterable[Part], signing: bytes
) -> bytes:
    """The signed root over parts that are sealed already."""
    return KIND.sign(_root(key, author, created, size, parts=tuple(parts)), signing)


def _root(
    key: bytes,
    author: Key,
    created: Instant,
    size: int,
    *,
    body: bytes | None = None,
    parts: tuple[Part, ...] = (),
) -> Message:
    return Message(
        author=author,
        created=created,
        size=size,
        commitment=sealed.commitment(key, author),
        body=body,
        parts=parts,
    )


def check_key(root: Message, key: bytes) -> None:
    """Unverified unless `key` is the one the root is committed to."""
    if root.commitment is None:  # which only sealed content has
        raise Unverified("this message is not sealed: it is never picked up as mail")
    if not tokens.equal(root.commitment, sealed.commitment(key, root.author)):
        raise Unverified("the key does not belong to this message", reason="commitment")


def open_body(root: Message, key: bytes) -> bytes:
    """The plaintext of a root that carries its body; `check_key` comes first."""
    if root.body is None:
        raise Unverified("this message has parts, not a body")
    return sealed.open_part(sealed.content_key(key, root.author), root.author, 0, 1, root.body)


def open_part(root: Message, key: bytes, index: int, block: bytes) -> bytes:
    """The plaintext of part `index`, whose ciphertext is `block`."""
    if len(block) != root.parts[index].size:
        raise Unverified("a part has another size than its root says")
    opening = sealed.content_key(key, root.author)
    return sealed.open_part(opening, root.author, index, len(root.parts), block)


def open_all(root: Message, key: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The plaintext part by part; `blocks` are the parts in order (none for a body)."""
    if root.body is not None:
        yield open_body(root, key)
        return
    for index, block in enumerate(blocks):
        yield open_part(root, key, index, block)
