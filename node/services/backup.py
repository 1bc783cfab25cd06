"""Backups of a running node: one consistent state as an encrypted stream, while mail goes on.

    flush → freeze the rows → files, rows, large blocks, end → pieces, sealed to the phrase

Frozen rows don't change, and a large block never does; only its removal is held back until a
while after the last piece. Each look at the rows is short, so nobody waits. The key of the
newest backup is remembered: it can be tried without the words. Spec: 11.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

import trio

from node.crypto import stream
from node.encoding.cid import Cid
from node.errors import Absent, Damaged, StoreFailed
from node.machines import retention
from node.objects import backup
from node.objects.backup import (
    BACKUP,
    Counter,
    Cutter,
    End,
    Header,
    HomeFile,
    LargeBlock,
    StoredRow,
)
from node.objects.signed import Signed
from node.ports import FrozenTables, Tables
from node.services import owners, views
from node.services.core import Core
from node.units import KIB, MINUTE, Instant, Key, Millis

LOOK = 128 * KIB
"""Rows read at once: about 400, one millisecond."""
HOLD = Millis(10 * MINUTE)
"""After each piece, large blocks stay for so long: a reader that hangs frees them in the end."""

Kept = Callable[[], Iterable[tuple[str, bytes]]]
"""Gives the small files of a home that belong into a backup: path and bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that was given out whole.

    Attributes:
        owner: whose words open it.
        made: the moment it holds.
        size: bytes of the whole file.
        end: what is in it.
    """

    owner: Key
    made: Instant
    size: int
    end: End


class Backups:
    """Makes backups, and remembers when the last one was made and verified.

    Args:
        core: whose.
        kept: the small files of the home.

    Attributes:
        last: the last one of this run.
        failed: why the last one was not finished.
    """

    def __init__(self, core: Core, kept: Kept = tuple) -> None:
        self._core, self._kept = core, kept
        self.last: Made | None = None
        self.failed: StoreFailed | None = None

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The bytes of a backup file. To be closed, like any generator, where it is used.

        Raises:
            StoreFailed: it can't be finished; what came is no backup.
        """
        core, size = self._core, 0
        key, made = core.randomness.bytes(stream.KEY), core.now()
        self.failed = None
        try:
            with closing(await self._freeze()) as frozen:
                head = self._header(key, core.randomness.bytes(stream.HEADER), made)
                counter = Counter()
                async with aclosing(self._sealed(frozen, counter, key, head)) as pieces:
                    async for piece in pieces:
                        size += len(piece)
                        held = self._hold()
                        yield piece
                        self._check_held(held)
        except StoreFailed as error:
            self.failed = error
            raise
        self.last = Made(owner=head.claim.owner, made=made, size=size, end=counter.end())
        await core.db.transact(lambda tx: _backed_up(tx, made, backup.name_of(head.block), key))

    def _header(self, key: bytes, stream_header: bytes, made: Instant) -> Signed[Header]:
        """The header, signed by the first owner, the key in it for that owner's phrase."""

        def work(tx: Tables) -> bytes:
            first = owners.find(tx, None)
            header = Header(
                owner=first.owner,
                recovery=first.recovery,
                made=made,
                schema=tx.node().schema,
                key=stream.box(key, first.recovery),
                stream=stream_header,
            )
            return BACKUP.sign(header, first.signing)

        return BACKUP.decode(self._core.db.read(work))

    async def _freeze(self) -> FrozenTables:
        """The rows of now, of which no large block is removed for a while."""
        async with self._core.files_lock:
            self._hold()
            return await self._core.db.freeze()

    def _hold(self) -> Millis:
        until = Millis(self._core.clock.steady() + HOLD)
        self._core.files_held = max(self._core.files_held, until)
        return until

    def _check_held(self, held: Millis) -> None:
        """Files may be gone after that: a backup without them would not be what it says."""
        if self._core.clock.steady() > held:
            raise StoreFailed("The backup was read too slowly.", next="begin again")

    async def _sealed(
        self, frozen: FrozenTables, counter: Counter, key: bytes, head: Signed[Header]
    ) -> AsyncGenerator[bytes, None]:
        sealing, cutter = stream.Sealing(key, head.claim.stream), Cutter()
        yield backup.begin(head.block)
        async with aclosing(self._records(frozen, counter)) as records:
            async for record in records:
                for piece in cutter.add(record):
                    yield sealing.piece(piece, head.block)
        yield sealing.piece(cutter.rest(), head.block, last=True)

    async def _records(self, frozen: FrozenTables, counter: Counter) -> AsyncGenerator[bytes, None]:
        for path, data in self._kept():
            yield backup.encode(HomeFile(path=path, data=data))
        after = b""
        while rows := frozen.rows(after, LOOK):
            yield _encoded(rows, counter)
            after = rows[-1][0]
            await trio.lowlevel.checkpoint()
        at: bytes | None = b""
        while at is not None:
            names, at = frozen.files(at)
            for name in names:
                block = await self._block(name)
                counter.block(block)
                yield backup.encode(block)
            await trio.lowlevel.checkpoint()
        yield backup.encode(counter.end())

    async def _block(self, name: Cid) -> LargeBlock:
        try:
            return LargeBlock(cid=name, data=await self._core.files.read(name))
        except (Absent, Damaged) as error:
            # One damaged file must not cost the backup of all the rest; it is counted and told.
            self._core.warn("backup-misses-a-block", why=error.text)
            return LargeBlock(cid=name, data=None)


def _encoded(rows: Sequence[tuple[bytes, bytes]], counter: Counter) -> bytes:
    made = []
    for key, value in rows:
        record = backup.encode(StoredRow(key=key, value=value))
        counter.row(record)
        made.append(record)
    return b"".join(made)


def _backed_up(tx: Tables, made: Instant, name: bytes, key: bytes) -> None:
    node = tx.node()
    tx.put_node(node.but(backed_up=max(node.backed_up, made), backup=(name, key)))


def remembered(tx: Tables, header: bytes) -> bytes:
    """The key of the newest backup, so that it can be tried without the words.

    Args:
        header: of the file.

    Raises:
        Absent: this node did not make it, or made another one since.
    """
    known = tx.node().backup
    if known is None or known[0] != backup.name_of(header):
        raise Absent(
            "this node has no key to that backup: it keeps the one of its newest only",
            reason="no-key",
            next="give the 24 words on standard input",
        )
    return known[1]


def known(tx: Tables, now: Instant) -> dict[str, Any]:
    """Of which moments there are backups, and whether it is time for another."""
    node, first = tx.node(), owners.find(tx, None)
    return {
        "made": views.time(node.backed_up),
        "verified": views.time(node.verified),
        "overdue": retention.backup_overdue(node.verified, first.created, now),
    }


def verified(tx: Tables, header: Header) -> None:
    """Notes that a backup of this node was restored for trial, and compared.

    Raises:
        Absent: it is another node's.
    """
    if tx.owners.get(header.owner) is None:
        raise Absent("that is no backup of this node", reason="other-node")
    node = tx.node()
    tx.put_node(node.but(verified=max(node.verified, header.made)))
