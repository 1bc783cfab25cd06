"""Rows over keys: every row is written together with its index entries, or not at all.

An index entry is derived from the row, so it can't be forgotten and can't disagree: `put`
reads the old row, and writes the difference. A damaged row is noticed when it is read.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from node import limits
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Damaged, StoreFailed, Unverified
from node.machines import rows
from node.machines.rows import Block, Row
from node.ports import Blocks, FrozenRows, Store, Table, Tables, Tx
from node.store import keyspace
from node.store.keyspace import MADE, Layout, join, stop_of, u64
from node.units import ByteCount, Key

R = TypeVar("R", bound=Row)
T = TypeVar("T")

LIVE_AT_ONCE, DEAD_AT_ONCE = 1_024, 65_536
"""Small blocks that are compacted at once, and deleted ones before the first that is left: a
second's work each, or a node that is told to stop would be late."""
LOOK = 1_000
"""Rows decoded at once while blocks are looked through: three milliseconds."""


def _encode_hook(value: Any) -> Any:
    return bytes(value)


def _decode_hook(kind: type, value: Any) -> Any:
    return kind(value)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_encode_hook)
_DECODERS: dict[type, Any] = {}


def encode(row: Row) -> bytes:
    """A row as MessagePack."""
    return _ENCODER.encode(row)


def decode(kind: type[R], data: bytes) -> R:
    """A stored row.

    Raises:
        Damaged: the bytes are no such row.
    """
    if kind not in _DECODERS:
        _DECODERS[kind] = msgspec.msgpack.Decoder(kind, dec_hook=_decode_hook)
    try:
        made: R = _DECODERS[kind].decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Damaged(
            f"the store holds a damaged {kind.__name__.lower()}", next="restore a backup"
        ) from error
    return made


def counted(data: bytes | None) -> int:
    """A count as it is stored; where there is none it is 0."""
    return 0 if data is None else int.from_bytes(data, "big")


class RowTable(Generic[R]):
    """`ports.Table` over the keys of one transaction.

    Rows that were looked at are remembered as long as the transaction, so that changing one
    row many times costs its encoding only.
    """

    __slots__ = ("_layout", "_seen", "_tx")

    def __init__(self, tx: Tx, layout: Layout[R]) -> None:
        self._tx, self._layout = tx, layout
        self._seen: dict[bytes, R | None] = {}

    def get(self, *key: bytes | int) -> R | None:
        """The row, or None."""
        return self._get(join(key))

    def _get(self, key: bytes) -> R | None:
        if key not in self._seen:
            data = self._tx.get(self._layout.primary(key))
            self._seen[key] = None if data is None else decode(self._layout.row, data)
        return self._seen[key]

    def called(self, alias: str, *value: bytes | int) -> R | None:
        """The one row whose alias is `value`, or None."""
        key = self._tx.get(self._layout.alias(alias, join(value)))
        return None if key is None else self._get(key)

    def put(self, row: R) -> None:
        """Writes the row; of its indexes, what changed."""
        layout, tx = self._layout, self._tx
        key = layout.key(row)
        if layout.indexes or layout.aliases:
            before = self._get(key)
            old = {} if before is None else layout.entries(before)
            new = layout.entries(row)
            for gone in old.keys() - new.keys():
                tx.delete(gone)
            for added in new.keys() - old.keys():
                tx.put(added, new[added])
            self._recount(before, row)
        tx.put(layout.primary(key), encode(row))
        self._seen[key] = row

    def insert(self, row: R) -> None:
        """Writes a row that is certainly new, without looking for an older one."""
        self._seen[self._layout.key(row)] = None
        self.put(row)

    def delete(self, row: R) -> None:
        """Removes the row with its index entries."""
        key = self._layout.key(row)
        stored = self._get(key)
        if stored is not None:
            for entry in self._layout.entries(stored):
                self._tx.delete(entry)
            self._recount(stored, None)
            self._tx.delete(self._layout.primary(key))
            self._seen[key] = None

    def _recount(self, before: R | None, after: R | None) -> None:
        """A row that a peer made came, went, or is not that any more."""
        maker = self._layout.maker
        if maker is None:
            return
        old, new = (None if row is None else maker(row) for row in (before, after))
        if old != new:
            self._count(old, -1)
            self._count(new, 1)

    def _count(self, pair: bytes | None, by: int) -> None:
        if pair is not None:
            key = MADE + pair
            count = counted(self._tx.get(key)) + by
            self._tx.put(key, u64(count)) if count > 0 else self._tx.delete(key)

    def scan(
        self, *prefix: bytes | int, after: tuple[bytes | int, ...] = (), reverse: bool = False
    ) -> Iterator[R]:
        """Rows under `prefix`."""
        start = self._layout.primary(join(prefix))
        stop = stop_of(start)
        if after and reverse:
            stop = self._layout.primary(join(prefix + after))
        elif after:
            start = stop_of(self._layout.primary(join(prefix + after)))
        for _, data in self._tx.scan(start, stop, reverse=reverse):
            yield decode(self._layout.row, data)

    def by(
        self,
        index: str,
        *prefix: bytes | int,
        until: int | None = None,
        after: int | None = None,
        behind: R | None = None,
        reverse: bool = False,
    ) -> Iterator[R]:
        """Rows in the order of `index`."""
        head = self._layout.index(index, prefix)
        start = head if after is None else stop_of(head + join((after,)))
        if behind is not None:
            start = self._layout.entry(index, behind) + b"\0"
        stop = stop_of(head) if until is None else stop_of(head + join((until,)))
        for entry, _ in self._tx.scan(start, stop, reverse=reverse):
            key = entry[-self._layout.width :]
            if key in self._seen and self._seen[key] is None:
                continue  # deleted by this transaction since the scan began
            row = self._get(key)
            if row is None:
                raise Damaged(f"index {index} names no row", next="restore a backup")
            yield row


class BlockTable:
    """`ports.Blocks`: reference counts, and the bytes of small blocks."""

    def __init__(self, tx: Tx, store: "TableStore") -> None:
        self._tx, self._whole = tx, store
        self._rows: RowTable[Block] = RowTable(tx, keyspace.BLOCKS)
        self._trash: RowTable[rows.Trash] = RowTable(tx, keyspace.TRASH)

    def get(self, cid: bytes) -> Block | None:
        """What is known of a block."""
        return self._rows.get(cid)

    def data(self, block: Block) -> bytes | None:
        """The bytes of a small block, checked against its name."""
        if block.seq is None:
            return None
        data = self._tx.get(keyspace.body(block.seq))
        if data is None:
            raise Damaged(f"block {cids.show(block.cid)} is missing", next="restore a backup")
        try:
            cids.check(block.cid, data)
        except Unverified as error:
            raise Damaged(f"block {cids.show(block.cid)} is damaged") from error
        return data

    def add(
        self,
        cid: bytes,
        size: int,
        data: bytes | None,
        *,
        author: Key | None = None,
        message: Cid | None = None,
    ) -> None:
        """One more row needs the block."""
        row = self._rows.get(cid) or Block(cid=Cid(cid), size=size)
        if row.seq is None and not row.file:
            row = self._store(row, data)
        row = row.but(refs=row.refs + 1, size=size)
        if author is not None:
            row = row.but(author=author, message=message)
        self._rows.put(row)

    def _store(self, row: Block, data: bytes | None) -> Block:
        if data is None:
            self._trash.delete(rows.Trash(cid=row.cid))
            made: Block = row.but(file=True)
            return made
        if len(data) > limits.SMALL_BLOCK:
            raise StoreFailed("a large block is kept as a file before its row is written")
        seq = self._whole.next_seq()
        self._tx.put(keyspace.body(seq), data)
        made = row.but(seq=seq)
        return made

    def drop(self, cid: bytes) -> ByteCount:
        """One row fewer needs the block."""
        row = self._rows.get(cid)
        if row is None or row.refs == 0:
            raise Damaged(f"block {cids.show(cid)} was dropped more often than added")
        if row.refs > 1:
            self._rows.put(row.but(refs=row.refs - 1))
            return ByteCount(0)
        if row.seq is not None:
            self._tx.delete(keyspace.body(row.seq))
            self._whole.dead += row.size
        if row.file:
            self._trash.put(rows.Trash(cid=row.cid))
        if row.author is None:
            self._rows.delete(row)
        else:
            self._rows.put(row.but(refs=0, seq=None, file=False))
        return ByteCount(row.size)

    def disown(self, cid: bytes) -> None:
        """The name of a block goes with its bytes."""
        row = self._rows.get(cid)
        if row is not None and row.refs:
            self._rows.put(row.but(author=None, message=None))
        else:
            self.forget(cid)

    def forget(self, cid: bytes) -> None:
        """The name of a block whose bytes are gone goes too."""
        row = self._rows.get(cid)
        if row is not None and row.refs == 0:
            self._rows.delete(row)


_LAYOUTS: dict[str, Layout[Any]] = {
    "owners": keyspace.OWNERS,
    "tokens": keyspace.TOKENS,
    "accounts": keyspace.ACCOUNTS,
    "peers": keyspace.PEERS,
    "sent": keyspace.SENT,
    "deliveries": keyspace.DELIVERIES,
    "errands": keyspace.ERRANDS,
    "mails": keyspace.MAILS,
    "pickups": keyspace.PICKUPS,
    "withdrawn": keyspace.WITHDRAWN,
    "held": keyspace.HELD,
    "standings": keyspace.STANDINGS,
    "domains": keyspace.DOMAINS,
    "promises": keyspace.PROMISES,
    "barred": keyspace.BARRED,
    "vouches": keyspace.VOUCHES,
    "invites": keyspace.INVITES,
    "pins": keyspace.PINS,
    "listed": keyspace.LISTED,
    "drafts": keyspace.DRAFTS,
    "chapters": keyspace.CHAPTERS,
    "trash": keyspace.TRASH,
    "archives": keyspace.ARCHIVES,
    "logs": keyspace.LOGS,
    "tiles": keyspace.TILES,
    "items": keyspace.ITEMS,
}


class StoredTables:
    """`ports.Tables` inside one transaction.

    A table is made when it is first asked for: a transaction uses three of them, and there are
    thousands of transactions a second. The names stand here again: type checkers take those of
    a protocol, inherited, for abstract.
    """

    owners: Table[rows.Owner]
    tokens: Table[rows.Token]
    accounts: Table[rows.Account]
    peers: Table[rows.Peer]
    sent: Table[rows.Sent]
    deliveries: Table[rows.Delivery]
    errands: Table[rows.Errand]
    mails: Table[rows.Mail]
    pickups: Table[rows.Pickup]
    withdrawn: Table[rows.Withdrawn]
    held: Table[rows.Held]
    standings: Table[rows.Standing]
    domains: Table[rows.Domain]
    promises: Table[rows.Promise]
    barred: Table[rows.Barred]
    vouches: Table[rows.Vouch]
    invites: Table[rows.Invite]
    pins: Table[rows.Pin]
    listed: Table[rows.Listed]
    drafts: Table[rows.Draft]
    chapters: Table[rows.Chapter]
    trash: Table[rows.Trash]
    archives: Table[rows.Archive]
    logs: Table[rows.Log]
    tiles: Table[rows.Tile]
    items: Table[rows.Item]
    blocks: Blocks

    def __init__(self, tx: Tx, store: "TableStore") -> None:
        self._tx, self._store = tx, store
        self._row: rows.Node | None = None

    def __getattr__(self, name: str) -> object:
        if name == "blocks":
            made: object = BlockTable(self._tx, self._store)
        elif name in _LAYOUTS:
            made = RowTable(self._tx, _LAYOUTS[name])
        else:
            raise AttributeError(name)
        self.__dict__[name] = made
        return made

    def made(self, owner: Key, peer: Key) -> int:
        """How many rows an owner keeps because of a peer."""
        return counted(self._tx.get(MADE + owner + peer))

    def node(self) -> rows.Node:
        """The node's own row."""
        if self._row is None:
            data = self._tx.get(keyspace.NODE)
            if data is None:
                raise Damaged("this store belongs to no node", next="willcall init")
            self._row = decode(rows.Node, data)
        return self._row

    def put_node(self, row: rows.Node) -> None:
        """Writes the node's own row."""
        self._tx.put(keyspace.NODE, encode(row))
        self._row = row


class TableStore:
    """`ports.Database` over any `ports.Store`.

    Attributes:
        dead: bytes of small blocks deleted since `take_dead`; a failed transaction counts too.
    """

    def __init__(self, store: Store) -> None:
        self._store, self.dead = store, 0
        self._seq = store.read(partial(_seq_at, reverse=True))

    def read(self, work: Callable[[Tables], T]) -> T:
        """Runs `work` for its result."""
        return self._store.read(lambda tx: work(self._tables(tx)))

    async def transact(self, work: Callable[[Tables], T]) -> T:
        """Runs `work`; durable when it returns."""
        return await self._store.transact(lambda tx: work(self._tables(tx)))

    def apply(self, work: Callable[[Tables], T]) -> T:
        """Runs `work`; durable with the next group."""
        return self._store.apply(lambda tx: work(self._tables(tx)))

    async def freeze(self) -> "FrozenStore":
        """All that was written so far, durable. Close it."""
        return FrozenStore(await self._store.freeze())

    def take_dead(self) -> ByteCount:
        """Bytes of small blocks that were deleted since it was asked last."""
        dead, self.dead = ByteCount(self.dead), 0
        return dead

    async def compact(self, *, tables: bool = False) -> None:
        """Gives the space of deleted rows back to the disk, range by range."""
        for start, stop in self._ranges(tables):
            await self._store.compact(start, stop)

    def _ranges(self, tables: bool) -> Iterator[tuple[bytes, bytes]]:
        """Keys of small blocks, so many at a time; and of each table."""
        stop = self._seq + 1
        first = self._store.read(partial(_seq_at, reverse=False)) or stop
        for at in (*range(0, first, DEAD_AT_ONCE), *range(first, stop, LIVE_AT_ONCE)):
            end = min(at + DEAD_AT_ONCE, first) if at < first else at + LIVE_AT_ONCE
            yield keyspace.body(at), keyspace.body(end)
        for layout in keyspace.LAYOUTS if tables else ():
            yield layout.letter, stop_of(layout.letter)

    def _tables(self, tx: Tx) -> StoredTables:
        return StoredTables(tx, self)

    def next_seq(self) -> int:
        """Where the bytes of the next small block lie."""
        # Numbers of transactions that failed are skipped, never used again in this run.
        self._seq += 1
        return self._seq


class FrozenStore:
    """`ports.FrozenTables`: each look is short, so that nobody waits for a long one."""

    def __init__(self, frozen: FrozenRows) -> None:
        self._frozen = frozen

    def rows(self, after: bytes, size: int) -> list[tuple[bytes, bytes]]:
        """About `size` bytes of rows behind the key `after`."""
        found: list[tuple[bytes, bytes]] = []
        with closing(self._frozen.scan(after + b"\x00" if after else b"", keyspace.END)) as scan:
            for row in scan:
                found.append(row)
                size -= len(row[0]) + len(row[1])
                if size <= 0:
                    break
        return found

    def files(self, after: bytes) -> tuple[list[Cid], bytes | None]:
        """Those of the next `LOOK` blocks that are files."""
        head = keyspace.BLOCKS.primary(b"")
        found: list[Cid] = []
        with closing(self._frozen.scan(after or head, stop_of(head))) as scan:
            for count, (key, data) in enumerate(scan):
                if count == LOOK:
                    return found, key
                block = decode(Block, data)
                if block.file:
                    found.append(block.cid)
        return found, None

    def close(self) -> None:
        """Lets go of it."""
        self._frozen.close()


def _seq_at(tx: Tx, *, reverse: bool) -> int:
    """The number of the first small block, or of the last; 0: there is none."""
    for key, _ in tx.scan(keyspace.BODY, stop_of(keyspace.BODY), reverse=reverse):
        return int.from_bytes(key[1:], "big")
    return 0
