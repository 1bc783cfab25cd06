"""CARv1: many blocks in one answer, each with its name.

The header is `{"roots": [links], "version": 1}` in DAG-CBOR; the roots are the CIDs of the
blocks that follow, in that order. Header and blocks are framed by unsigned varints.

Decides: framing, and that every block is what it is named. Leaves to the caller the cap on the
size and whether these are the blocks it asked for.

Spec: design §5 (`POST /v1/blocks`); https://ipld.io/specs/transport/car/carv1/;
https://github.com/multiformats/unsigned-varint.
"""

from collections.abc import Sequence

from node.encoding import cbor, cid
from node.encoding.cid import Cid
from node.errors import Malformed

_HEADER_LEVELS = 2
"""The header's map and its array of roots."""
_VARINT = 4
"""Bytes of a varint at most: frames of 256 MiB, above any answer that is taken."""


FRAME = _VARINT + cid.LENGTH
"""What a block costs beside its bytes, at most, in its own frame …"""
ROOT = 41
"""… and in the header."""
HEADER = 32
"""The header without its roots, at most."""


def write(blocks: Sequence[tuple[bytes, bytes]], more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """The archive of these (CID, block) pairs, in their order; behind them `more`, no roots.

    The blocks are not hashed again: the store vouches for what it read.

    Raises:
        Malformed: no block, a name that is no CID, or one name twice.
    """
    roots = [cid.from_bytes(name) for name, _ in blocks]
    if not roots or len(set(roots)) != len(roots):
        raise Malformed("an archive has at least one block, and none twice")
    header = cbor.encode({"roots": roots, "version": 1})
    parts = [_varint(len(header)), header]
    for name, block in (*blocks, *more):
        parts += (_varint(len(name) + len(block)), name, block)
    return b"".join(parts)


def read(data: bytes) -> list[tuple[Cid, bytes]]:
    """The blocks of an archive, in order, each held against its name.

    Raises:
        Malformed: not a CARv1 as `write` gives it.
        Unverified: a block has another hash; reason `hash-mismatch`.
    """
    start, at = _frame(data, 0)
    roots = _roots(cbor.decode(data[start:at], levels=_HEADER_LEVELS))
    found: list[tuple[Cid, bytes]] = []
    for root in roots:
        start, at = _frame(data, at)
        if data[start : min(start + cid.LENGTH, at)] != root:
            raise Malformed("the blocks of an archive follow in the order of its roots")
        block = data[start + cid.LENGTH : at]
        cid.check(root, block)
        found.append((root, block))
    if at != len(data):
        raise Malformed("bytes after the last block of an archive")
    return found


def _roots(header: cbor.Value) -> list[Cid]:
    if not isinstance(header, dict) or header.keys() != {"roots", "version"}:
        raise Malformed("the header of an archive has roots and version")
    roots, version = header["roots"], header["version"]
    if type(version) is not int or version != 1 or not isinstance(roots, list):
        raise Malformed("not an archive of version 1")
    links = [root for root in roots if isinstance(root, Cid)]
    if not links or len(links) != len(roots) or len(set(links)) != len(links):
        raise Malformed("the roots of an archive are links, at least one, and none twice")
    return links


def _frame(data: bytes, at: int) -> tuple[int, int]:
    """Start and end of the frame whose length is written at `at`."""
    size = 0
    for index, byte in enumerate(data[at : at + _VARINT]):
        size |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            start = at + index + 1
            if (byte == 0 and index) or size > len(data) - start:
                raise Malformed("a frame of an archive is cut short, or its length is padded")
            return start, start + size
    raise Malformed("a frame of an archive has no length")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
