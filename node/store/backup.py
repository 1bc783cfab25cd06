"""A backup becomes a store again, and a store is looked through from end to end.

`write` is what `restore` and `backup verify` share: every row into an engine, every large block
into files. `Inspection` then reads all of it back. What is compared with what:

- rows with the digest in the backup, after they went through the engine;
- every row with its form, its key, its index entries, and these with their number;
- every block with its name; every account with the sum of the rows it counts (I13).

Neither keeps more than one row of a kind and one block in memory.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import trio

from node.encoding import cid as cids
from node.errors import Absent, Damaged, Malformed, Unverified
from node.machines import rows
from node.objects import backup
from node.objects.backup import Counter, End, HomeFile, LargeBlock, Record, StoredRow
from node.ports import Files
from node.store import keyspace
from node.store.keyspace import MADE, Layout, stop_of
from node.store.kv import KeyValue
from node.store.tables import counted, decode
from node.units import MIB, Instant

BATCH = 1 * MIB
"""Rows written and synced together."""


async def write(
    records: Iterator[Record],
    engine: KeyValue,
    files: Files,
    small: Callable[[HomeFile], None],
) -> End:
    """Writes all records of a backup; what its end says, which agrees with what came.

    Args:
        records: of the backup, decrypted.
        engine: empty.
        files: empty.
        small: keeps one small file of the home.

    Raises:
        Malformed, Unverified: the backup is cut short, changed, or contradicts itself.
        StoreFailed: the disk; what was written is to be thrown away.
    """
    counter, batch, held = Counter(), dict[bytes, bytes | None](), 0
    for record in records:
        match record:
            case StoredRow():
                counter.row(backup.encode(record))
                batch[record.key] = record.value
                held += len(record.key) + len(record.value)
                if held > BATCH:
                    engine.write(batch)
                    batch, held = {}, 0
                    await trio.lowlevel.checkpoint()
            case LargeBlock():
                await _keep(record, files)
                counter.block(record)
            case HomeFile():
                small(record)
            case End():
                engine.write(batch)
                if record != counter.end():
                    raise Malformed("the backup does not hold what its end says")
                return record
    raise Malformed("the backup has no end")


async def _keep(block: LargeBlock, files: Files) -> None:
    if block.data is not None:
        cids.check(block.cid, block.data)
        await files.keep(block.cid, block.data)


@dataclass(slots=True, kw_only=True)
class Found:
    """What a store holds, told by its rows.

    Attributes:
        rows, blocks, size: rows of all tables; large blocks that are here, and their bytes.
        owners: names, in their order.
        contacts, received, sent: how many.
        until: the newest moment that a message of it tells.
        missing: large blocks that rows need and are not here.
        complaints: what does not agree; empty: all is well.
    """

    rows: int = 0
    blocks: int = 0
    size: int = 0
    owners: list[str]
    contacts: int = 0
    received: int = 0
    sent: int = 0
    until: Instant = Instant(0)
    missing: int = 0
    complaints: list[str]


class Inspection:
    """Reads a store from end to end.

    Args:
        engine: its rows; nobody writes to it.
        files: its large blocks.
    """

    def __init__(self, engine: KeyValue, files: Files) -> None:
        self._engine, self._files = engine, files
        self._found = Found(owners=[], complaints=[])
        self._sums: Tally[tuple[bytes, str]] = Tally()
        self._owners: list[tuple[int, str]] = []
        self._made: Tally[bytes] = Tally()

    def digest(self) -> bytes:
        """SHA-256 over all rows, as a backup counts them."""
        counter = Counter()
        for key, value in self._scan(b"", keyspace.END):
            counter.row(backup.encode(StoredRow(key=key, value=value)))
        return counter.end().digest

    async def everything(self) -> Found:
        """Decodes every row, reads every block, and counts all that is counted."""
        for layout in keyspace.LAYOUTS:
            self._table(layout)
        self._counts()
        self._found.rows = sum(1 for _ in self._scan(b"", keyspace.END))
        await self._blocks()
        for account in self._rows(keyspace.ACCOUNTS):
            self._account(account)
        self._found.owners = [name for _, name in sorted(self._owners)]
        return self._found

    def _complain(self, text: str) -> None:
        self._found.complaints.append(text)

    def _scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        with closing(self._engine.scan(start, stop)) as scan:
            yield from scan

    def _rows(self, layout: Layout[Any]) -> Iterator[Any]:
        head = layout.primary(b"")
        for key, data in self._scan(head, stop_of(head)):
            row = decode(layout.row, data)
            if layout.primary(layout.key(row)) != key:
                self._complain(f"a {layout.row.__name__.lower()} lies under another's key")
            yield row

    # --- rows ----------------------------------------------------------------------------

    def _table(self, layout: Layout[Any]) -> None:
        """Every row of a table, with all its index entries and none that is nobody's."""
        wanted = 0
        for row in self._rows(layout):
            self._count(row)
            pair = None if layout.maker is None else layout.maker(row)
            self._made.update([] if pair is None else [pair])
            for key, value in layout.entries(row).items():
                wanted += 1
                if self._engine.get(key) != value:
                    self._complain(f"a {layout.row.__name__.lower()} is missing in an index")
        head = layout.letter
        stored = sum(key[1:2] != b"\0" for key, _ in self._scan(head, stop_of(head)))
        if stored != wanted:
            self._complain(f"{layout.row.__name__}: {stored} index entries, {wanted} wanted")

    def _counts(self) -> None:
        """What is said of each peer's rows is what there is."""
        stored = {key[1:]: counted(data) for key, data in self._scan(MADE, stop_of(MADE))}
        if stored != self._made:
            self._complain("what peers made is not as much as is said")

    def _count(self, row: rows.Row) -> None:
        found, sums = self._found, self._sums
        match row:
            case rows.Owner():
                self._owners.append((row.order, row.name))
            case rows.Peer():
                found.contacts += row.name is not None
            case rows.Sent():
                found.sent += 1
                found.until = max(found.until, row.created)
                sums[row.owner, row.charge] += row.stored
                sums[row.owner, "sents"] += 1
            case rows.Mail():
                found.received += row.state != "deleted"
                found.until = max(found.until, row.received)
                sums[row.owner, "inbox"] += row.stored
                sums[row.owner, "inboxed"] += 1
            case rows.Held():
                sums[row.owner, "ring"] += 1
            case _:
                pass

    def _account(self, row: rows.Account) -> None:
        for word in ("waiting", "grace", "sent", "inbox", "sents", "inboxed", "ring"):
            counted = self._sums[row.owner, word]
            if getattr(row, word) != counted:
                self._complain(f"an account says {word} {getattr(row, word)}, its rows {counted}")

    # --- blocks --------------------------------------------------------------------------

    async def _blocks(self) -> None:
        bodies = 0
        for row in self._rows(keyspace.BLOCKS):
            if row.seq is not None:
                bodies += 1
                self._small(row)
            elif row.file:
                await self._large(row)
        stored = sum(1 for _ in self._scan(keyspace.BODY, stop_of(keyspace.BODY)))
        if stored != bodies:
            self._complain(f"{stored} small blocks are stored, {bodies} are named")

    def _small(self, row: rows.Block) -> None:
        data = self._engine.get(keyspace.body(row.seq or 0))
        try:
            cids.check(row.cid, data or b"")
        except Unverified:
            self._complain(f"block {cids.show(row.cid)[-8:]} is not what it is named")

    async def _large(self, row: rows.Block) -> None:
        try:
            self._found.size += len(await self._files.read(row.cid))
            self._found.blocks += 1
        except Absent:
            self._found.missing += 1
        except Damaged as error:
            self._complain(error.text)
