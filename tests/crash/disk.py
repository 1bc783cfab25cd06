"""What lies on a disk after a crash, held against what was acknowledged before it."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from node.encoding import cid as cids
from node.encoding import names
from node.errors import Malformed
from node.machines import rows
from node.store import keyspace
from node.store.leveldb import LevelDbKv
from node.store.memory import MemoryFiles, MemoryKv
from tests.fakes.audit import Audit, database

OVER = ("retracted", "confirmed")


@dataclass(kw_only=True)
class Acknowledged:
    """What people were told (the lines of `tests.crash.worker`)."""

    made: bool = False
    sent: set[bytes] = field(default_factory=set)
    seen: set[tuple[bytes, int, bytes]] = field(default_factory=set)
    retracted: set[bytes] = field(default_factory=set)
    deleted: set[tuple[bytes, int]] = field(default_factory=set)

    def take(self, line: bytes) -> None:
        """One line more."""
        match line.decode().split():
            case ["made"]:
                self.made = True
            case ["sent", message]:
                self.sent.add(cids.parse(message))
            case ["seen", owner, n, message]:
                self.seen.add((names.parse_did(owner), int(n), cids.parse(message)))
            case ["retracted", message]:
                self.retracted.add(cids.parse(message))
            case ["deleted", owner, n]:
                self.deleted.add((names.parse_did(owner), int(n)))
            case ["ready"] | ["done"]:
                pass
            case words:
                raise AssertionError(words)


def acknowledged(notes: Path) -> Acknowledged:
    """All of them; what a killed process had not written out whole was told to nobody."""
    told = Acknowledged()
    if notes.exists():
        for line in notes.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                told.take(line)
    return told


def loaded(home: Path) -> tuple[MemoryKv, MemoryFiles]:
    """The rows and the large blocks of a home that nobody has open.

    Raises:
        StoreFailed: it can't be opened.
    """
    kv, rows, files = LevelDbKv.open(home / "db"), MemoryKv(), MemoryFiles()
    try:
        rows.write(dict(kv.scan(b"", keyspace.END)))
    finally:
        kv.close()
    for path in (home / "blocks").glob("*/*"):
        try:
            name = cids.parse(path.name)
        except Malformed:
            continue  # half-written, in `part`
        files._blocks[name] = path.read_bytes()
    return rows, files


def complaints(home: Path, told: Acknowledged, *, resting: bool = False) -> list[str]:
    """What is missing of what was told, and what does not agree with itself.

    Raises:
        StoreFailed: the store can't be opened.
    """
    rows, files = loaded(home)
    if not told.made and rows.get(keyspace.NODE) is None:
        return []
    now = time.time_ns() // 1_000_000
    return [*Audit(rows, files, now, resting=resting).complaints(), *_missing(rows, told)]


def _missing(disk: MemoryKv, told: Acknowledged) -> Iterator[str]:
    db = database(disk)
    sent = {bytes(row.message): row for row in db.read(lambda tx: list(tx.sent.scan()))}
    mails = db.read(lambda tx: {(bytes(r.owner), r.n): r for r in tx.mails.scan()})
    deliveries = db.read(lambda tx: list(tx.deliveries.scan()))
    yield from (f"{_word(cid)} was sent and is gone" for cid in told.sent - sent.keys())
    for owner, n, message in told.seen:
        row = mails.get((owner, n))
        if row is None or row.message != message:
            yield f"{n} was shown in an inbox and is gone"
        elif not row.stored and (owner, n) not in told.deleted:
            yield f"{n} was shown in an inbox, and is {row.state}"
    held = {(bytes(r.owner), bytes(r.message)) for r in mails.values()}
    yield from _deliveries(deliveries, told, held)


def _deliveries(
    deliveries: Iterable[rows.Delivery], told: Acknowledged, held: set[tuple[bytes, bytes]]
) -> Iterator[str]:
    for row in deliveries:
        if row.message in told.retracted and row.state not in OVER:
            yield f"{_word(row.message)} was retracted and is {row.state}"
        if row.state == "confirmed" and (bytes(row.to), bytes(row.message)) not in held:
            yield f"{_word(row.message)} was receipted and has not arrived"


def _word(message: bytes) -> str:
    return cids.show(message)[-8:]
