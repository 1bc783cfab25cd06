"""A backup: all that a home holds, in one file that only the 24 words open.

    file   = MAGIC, u16be length, header, piece, piece, …
    header = signed map, below
    piece  = 256 KiB of the records (the last one what is left) and its seal
    record = u32be length, canonical array: [word, …]

Records, in this order: `file` (small files of the home), `row` (all of the store, by key),
`block` or `missing` (large blocks), and one `end` that counts them. Pieces are of one size, so
that the file shows its own and nothing of what is inside. Spec: 11.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from node.crypto import keys
from node.crypto.stream import FRAME, Opening, unbox
from node.encoding import cbor, names
from node.encoding import fields as f
from node.encoding.cid import Cid
from node.errors import Malformed, Unverified
from node.objects.signed import Fields, Kind, Signed
from node.units import KIB, MIB, Instant, Key

MAGIC = b"willcall backup 1\n"
"""What the file begins with, for `file` and for people."""
PIECE = 256 * KIB
"""Plaintext of a piece: half a millisecond of work, and 0.01 % of seals."""
RECORD = 2 * MIB
"""No record is longer: the largest holds one block of 1 MiB."""
HEADER = 1 * KIB
"""No header is longer: keys, a box, a signature are 400 bytes."""
ANOTHER = "use another backup"


# --- the header -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What anybody can read of a backup.

    Attributes:
        owner: the node's first owner, who signs.
        recovery: whose phrase opens it: that owner's.
        made: the moment whose state it holds, by the node's clock.
        schema: the version of the rows in it.
        key: the stream's key, boxed to `recovery`.
        stream: the stream's header.
    """

    owner: Key
    recovery: Key
    made: Instant
    schema: int
    key: bytes
    stream: bytes


def _header(fields: Fields) -> Header:
    return Header(**fields)


def _fields(header: Header) -> Fields:
    return {name: getattr(header, name) for name in Header.__slots__}


BACKUP: Kind[Header] = Kind(
    name="backup",
    limit=HEADER,
    shape=f.Shape(
        "backup",
        {
            "owner": f.key,
            "recovery": f.key,
            "made": f.instant,
            "schema": f.uint,
            "key": f.exactly(80),
            "stream": f.exactly(24),
            "sig": f.exactly(64),
        },
        {},
    ),
    make=lambda fields: _header({k: v for k, v in fields.items() if k != "sig"}),
    fields=_fields,
    signer=lambda header: header.owner,
)


Read = Callable[[int], bytes]
"""Gives the next so many bytes of a file; fewer only at its end."""


def begin(header: bytes) -> bytes:
    """What stands before the first piece."""
    return MAGIC + len(header).to_bytes(2, "big") + header


def name_of(header: bytes) -> bytes:
    """What tells one backup from another: SHA-256 of its header."""
    return hashlib.sha256(header).digest()


def read_header(read: Read) -> Signed[Header]:
    """The header, from the beginning of a file.

    Raises:
        Malformed: this is no backup, or one of a newer form.
    """
    magic = read(len(MAGIC))
    if magic != MAGIC:
        if magic.startswith(MAGIC[:16]):
            raise Malformed("this backup was made by a newer willcall", next="use that one")
        raise Malformed("this is no backup of willcall", next="is it the right file?")
    try:
        return BACKUP.decode(read(int.from_bytes(read(2), "big")))
    except Malformed as error:
        raise Malformed(
            f"the head of this backup was changed or cut short: {error.text}", next=ANOTHER
        ) from error


def open_records(read: Read, signed: Signed[Header], seed: bytes) -> "Iterator[Record]":
    """The records behind a header.

    Args:
        read: goes on where `read_header` ended.
        signed: the header.
        seed: what the phrase spells. It must be the owner's in full: anybody can seal something
            to a recovery key, which is public, but only the owner's node could sign that.

    Raises:
        Unverified: these words don't open it, or it was changed.
        Malformed: while the records are read: it was cut short, or is not of its form.
    """
    return open_with(read, signed, stream_key(signed, seed))


def stream_key(signed: Signed[Header], seed: bytes) -> bytes:
    """The key of the stream behind a header, out of its box; raises as `open_records`."""
    derived, claim = keys.derive(seed), signed.claim
    mine = (keys.public(derived.signing), keys.public(derived.recovery))
    if mine != (claim.owner, claim.recovery):
        raise Unverified(
            "these words are another owner's: this backup opens with those of "
            + names.did(claim.owner),
            reason="other-words",
            next="use the words that belong to that key",
        )
    return unbox(signed.verify().key, derived.recovery)


def open_with(read: Read, signed: Signed[Header], key: bytes) -> "Iterator[Record]":
    """The records behind a header whose stream's key is known; raises as `open_records`."""
    return records(_pieces(read, Opening(key, signed.verify().stream), signed.block))


def _pieces(read: Read, opening: Opening, header: bytes) -> Iterator[bytes]:
    """The plaintext of all pieces; ends with the one that is marked as the last."""
    last = False
    while not last:
        sealed = read(PIECE + FRAME)
        if not sealed:
            raise Malformed("this backup was cut short: its end is missing", next=ANOTHER)
        try:
            plaintext, last = opening.piece(sealed, header)
        except Unverified as error:
            short = " or cut short" if len(sealed) < PIECE + FRAME else ""
            raise Unverified(
                f"this backup was changed{short}: {error.text}", next=ANOTHER
            ) from error
        yield plaintext
    if read(1):
        raise Malformed("this backup goes on behind its end", next=ANOTHER)


# --- records ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeFile:
    """A small file of the home: its settings, its certificate."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """One key of the store with its value, whatever they mean."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeBlock:
    """A block that is a file; None: it was missing or damaged when the backup was made."""

    cid: Cid
    data: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What came before.

    Attributes:
        rows, blocks, missing: how many records of each.
        size: bytes of the blocks.
        digest: SHA-256 over all `row` records, lengths included.
    """

    rows: int
    blocks: int
    missing: int
    size: int
    digest: bytes


Record = HomeFile | StoredRow | LargeBlock | End


def encode(record: Record) -> bytes:
    """A record with its length."""
    body = cbor.encode(_array(record))
    return len(body).to_bytes(4, "big") + body


def _array(record: Record) -> list[object]:
    match record:
        case StoredRow():
            return ["row", record.key, record.value]
        case LargeBlock(data=None):
            return ["missing", record.cid]
        case LargeBlock():
            return ["block", record.cid, record.data]
        case HomeFile():
            return ["file", record.path, record.data]
        case End():
            return ["end", {name: getattr(record, name) for name in End.__slots__}]


def _decode(body: bytes) -> Record:
    match cbor.decode(body):
        # A link is no byte string, though here it is a kind of bytes.
        case ["row" | "block" | "file", *_, Cid()] | ["row", Cid(), _]:
            raise Malformed("the backup holds a link where bytes have to be")
        case ["row", bytes() as key, bytes() as value]:
            return StoredRow(key=key, value=value)
        case ["block", Cid() as name, bytes() as data]:
            return LargeBlock(cid=name, data=data)
        case ["missing", Cid() as name]:
            return LargeBlock(cid=name, data=None)
        case ["file", str() as path, bytes() as data]:
            return HomeFile(path=path, data=data)
        case ["end", found]:
            return End(**_END(found))
        case _:
            raise Malformed("the backup holds a record of an unknown form")


_END = f.group(
    "end",
    {"rows": f.uint, "blocks": f.uint, "missing": f.uint, "size": f.uint, "digest": f.exactly(32)},
)


def records(pieces: Iterable[bytes]) -> Iterator[Record]:
    """The records in the plaintext of all pieces; holds a record and a piece at a time.

    Raises:
        Malformed: they don't end with `end`, or are not of their form.
    """
    kept, last = bytearray(), None
    for piece in pieces:
        kept += piece
        while (record := _taken(kept)) is not None:
            if isinstance(last, End):
                raise Malformed("the backup goes on behind its end")
            last = record
            yield record
    if kept or not isinstance(last, End):
        raise Malformed("the backup ends in the middle")


def _taken(kept: bytearray) -> Record | None:
    """The first record, taken away; None: it is not all here yet."""
    length = int.from_bytes(kept[:4], "big")
    if length > RECORD:
        raise Malformed("the backup holds a record that is too long")
    if len(kept) < 4 or len(kept) < 4 + length:
        return None
    body = bytes(kept[4 : 4 + length])
    del kept[: 4 + length]
    return _decode(body)


class Cutter:
    """Records in, pieces of one size out."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> Iterator[bytes]:
        """The pieces that are full now. One is always kept back: it may be the last."""
        self._kept += data
        while len(self._kept) > PIECE:
            yield bytes(self._kept[:PIECE])
            del self._kept[:PIECE]

    def rest(self) -> bytes:
        """The last piece."""
        return bytes(self._kept)


class Counter:
    """Counts and digests what goes into a backup, or comes out of one."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._rows = self._blocks = self._missing = self._size = 0

    def row(self, encoded: bytes) -> None:
        """A row, as its record is encoded."""
        self._rows += 1
        self._digest.update(encoded)

    def block(self, record: LargeBlock) -> None:
        """A large block."""
        if record.data is None:
            self._missing += 1
        else:
            self._blocks += 1
            self._size += len(record.data)

    def end(self) -> End:
        """What an `end` here has to say."""
        return End(
            rows=self._rows,
            blocks=self._blocks,
            missing=self._missing,
            size=self._size,
            digest=self._digest.digest(),
        )
