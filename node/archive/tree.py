"""The tree of a log: roots, proofs, and growing by appending (RFC 6962 with SHA-256).

A log is never held as a whole. `Frontier` is all that appending needs: the roots of the
complete subtrees from left to right, at most 48. Proofs are made from the hashes that tiles
hold, those of complete subtrees of 256**L entries, through a `Read`.

Decides: hashes. Leaves where they lie to `tile` and the store, signatures to `note`.
Source: RFC 6962 §2.1, RFC 9162 §2.1.3 and §2.1.4.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from node.archive.tile import HEIGHT
from node.crypto import batch
from node.errors import Malformed, Unverified

EMPTY = sha256().digest()
"""The root of a log without entries."""

Read = Callable[[int, int], bytes]
"""`read(level, index)`: the hash of the `index`-th complete subtree of 256**level entries."""

leaf = batch.leaf


def inner(left: bytes, right: bytes) -> bytes:
    """Hash of a node: SHA-256(0x01 + left + right)."""
    return sha256(b"\1" + left + right).digest()


# --- growing ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frontier:
    """The right edge of a log.

    Attributes:
        size: entries.
        peaks: roots of its complete subtrees, the largest first: one for each bit of `size`.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise Malformed("a frontier has one peak for each bit of its size")

    @property
    def root(self) -> bytes:
        """The root hash of the log."""
        if not self.peaks:
            return EMPTY
        found = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            found = inner(peak, found)
        return found


@dataclass(frozen=True, slots=True)
class Made:
    """A hash that tiles hold: of complete subtree `index` of 256**level entries."""

    level: int
    index: int
    hash: bytes


def append(frontier: Frontier, leaves: Sequence[bytes]) -> tuple[Frontier, list[Made]]:
    """The log with these entries behind it, and the hashes for its tiles, in order of their making.

    Args:
        frontier: the log so far.
        leaves: leaf hashes of the new entries, in their order.
    """
    peaks, size, made = list(frontier.peaks), frontier.size, list[Made]()
    for found in leaves:
        made.append(Made(0, size, found))
        size += 1
        # A carry, as in counting: each trailing zero of the new size joins two peaks.
        for height in range(1, (size & -size).bit_length()):
            found = inner(peaks.pop(), found)
            if height % HEIGHT == 0:
                made.append(Made(height // HEIGHT, (size >> height) - 1, found))
        peaks.append(found)
    return Frontier(size, tuple(peaks)), made


def frontier(size: int, read: Read) -> Frontier:
    """The right edge of a log, read from its tiles."""
    return Frontier(size, tuple(_subtree(low, high, read) for low, high in _blocks(size)))


def _blocks(size: int) -> Iterator[tuple[int, int]]:
    low = 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            yield low, low + (1 << height)
            low += 1 << height


# --- proofs -----------------------------------------------------------------------------


def root(size: int, read: Read) -> bytes:
    """The root hash of the first `size` entries."""
    return frontier(size, read).root


def inclusion(index: int, size: int, read: Read) -> list[bytes]:
    """The path of entry `index` in the log of `size` entries, from the leaf upwards.

    Raises:
        Malformed: there is no such entry.
    """
    if not 0 <= index < size:
        raise Malformed(f"a log of {size} has no entry {index}")
    low, high, found = 0, size, list[bytes]()
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            found.append(_range(middle, high, read))
            high = middle
        else:
            found.append(_range(low, middle, read))
            low = middle
    return found[::-1]


def consistency(old: int, new: int, read: Read) -> list[bytes]:
    """The proof that a log of `new` entries begins with the log of `old` ones.

    Raises:
        Malformed: `old` is not between 0 and `new`.
    """
    if not 0 <= old <= new:
        raise Malformed(f"a log of {new} entries does not begin with {old}")
    if old in (0, new):
        return []
    low, high, whole, found = 0, new, True, list[bytes]()
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            found.append(_range(middle, high, read))
            high = middle
        else:
            found.append(_range(low, middle, read))
            low, whole = middle, False
    if not whole:
        found.append(_range(low, high, read))
    return found[::-1]


def check_inclusion(
    leaf_hash: bytes, index: int, size: int, root: bytes, path: Sequence[bytes]
) -> None:
    """Raises Unverified unless the path leads from the entry to the root."""
    if batch.root_from_path(leaf_hash, index, size, path) != root:
        raise Unverified("the proof leads to another root")


def check_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raises Unverified unless the proof shows that the newer log begins with the older.

    Every log begins with the empty one: from there nothing is to be proved.
    """
    if not 0 <= old <= new:
        raise Unverified("no proof for logs of these sizes")
    if old == new:
        if proof or old_root != new_root or (new == 0 and new_root != EMPTY):
            raise Unverified("two different logs of one size")
        return
    if any(len(each) != 32 for each in (old_root, new_root, *proof)):
        raise Unverified("a hash has 32 bytes")
    if old == 0:
        if proof or old_root != EMPTY:
            raise Unverified("a log without entries has one root, and no proof")
        return
    _check_proof(old, new, old_root, new_root, list(proof))


def _check_proof(old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes]) -> None:
    # RFC 9162 §2.1.4.2. A complete subtree is its own proof: its root is the first hash.
    if old & (old - 1) == 0:
        proof.insert(0, old_root)
    if not proof:
        raise Unverified("the proof is empty")
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = proof[0]
    for each in proof[1:]:
        if last == 0:
            raise Unverified("the proof is too long")
        if first & 1 or first == last:
            before, after = inner(each, before), inner(each, after)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            after = inner(after, each)
        first, last = first >> 1, last >> 1
    if last or before != old_root or after != new_root:
        raise Unverified("the newer log does not begin with the older one")


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _range(low: int, high: int, read: Read) -> bytes:
    count = high - low
    if count & (count - 1) == 0:
        return _subtree(low, high, read)
    middle = low + _split(count)
    return inner(_subtree(low, middle, read), _range(middle, high, read))


def _subtree(low: int, high: int, read: Read) -> bytes:
    """The root of a complete subtree; the hashes it is made of lie in one tile."""
    height = (high - low).bit_length() - 1
    level = height // HEIGHT
    unit = level * HEIGHT
    hashes = [read(level, index) for index in range(low >> unit, high >> unit)]
    while len(hashes) > 1:
        hashes = [inner(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
