"""An audit: everything that is derived is computed again from the rows, and compared.

It reads what is on the disk of a machine, never what is pending. `complaints` is empty when
every index, counter, quota column, reference and clock agrees with the rows it belongs to.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from node import limits
from node.archive import append, entry, note, tree
from node.crypto.note import Verifier
from node.encoding import cid as cids
from node.errors import WillcallError
from node.machines import outbox, rows
from node.store import keyspace
from node.store.committer import Committed
from node.store.keyspace import LAYOUTS, Layout, stop_of
from node.store.memory import MemoryFiles, MemoryKv
from node.store.tables import TableStore, decode
from node.units import Key
from tests.fakes.ports import InlineThreads


def database(disk: MemoryKv) -> TableStore:
    """The tables on a disk, to read only."""
    return TableStore(Committed(disk, InlineThreads()))


class Audit:
    """One look at a disk.

    Args:
        disk: its rows.
        files: its large blocks.
        now: its clock; what is due already may have waited for its peer.
        resting: nothing is under way, so that every file is named by a row.
    """

    def __init__(
        self, disk: MemoryKv, files: MemoryFiles, now: int, *, resting: bool = True
    ) -> None:
        self._files, self._now, self._resting = files, now, resting
        self._raw = dict(disk.copy().scan(b"\x00", b"\xff" * 8))
        self._db = database(disk.copy())
        self._rows = {layout.letter: list(self._scan(layout)) for layout in LAYOUTS}

    def _scan(self, layout: Layout[Any]) -> Iterator[Any]:
        head = layout.letter + b"\x00"
        for key in sorted(self._raw):
            if head <= key < stop_of(head):
                yield decode(layout.row, self._raw[key])

    def _all(self, layout: Layout[Any]) -> list[Any]:
        return self._rows[layout.letter]

    def complaints(self) -> list[str]:
        """What does not agree."""
        found: list[str] = []
        for part in (
            self._indexes,
            self._made,
            self._accounts,
            self._messages,
            self._blocks,
            self._bodies,
            self._large,
            self._clocks,
            self._pickup_clocks,
            self._inbox,
            self._directory,
            self._archives,
        ):
            found += part()
        return found

    # --- rows and indexes ------------------------------------------------------------------

    def _indexes(self) -> Iterable[str]:
        for layout in LAYOUTS:
            wanted: set[bytes] = set()
            for row in self._all(layout):
                wanted |= layout.entries(row).keys()
            stored = {
                key
                for key in self._raw
                if key[:1] == layout.letter and key[1:2] != b"\x00" and key != keyspace.NODE
            }
            if stored != wanted:
                yield f"{layout.letter!r}: {len(stored - wanted)} index entries too many, "
                yield f"{layout.letter!r}: {len(wanted - stored)} index entries too few"

    def _made(self) -> Iterable[str]:
        pairs = Counter(
            pair
            for layout in LAYOUTS
            if layout.maker is not None
            for row in self._all(layout)
            if (pair := layout.maker(row)) is not None
        )
        stored = {
            key[1:]: int.from_bytes(value, "big")
            for key, value in self._raw.items()
            if key[:1] == keyspace.MADE
        }
        if stored != dict(pairs):
            yield f"peers made {sum(pairs.values())} rows, {sum(stored.values())} are said"

    # --- accounts --------------------------------------------------------------------------

    def _accounts(self) -> Iterable[str]:
        for account in self._all(keyspace.ACCOUNTS):
            wanted = self._sums(account.owner)
            stored = {word: getattr(account, word) for word in wanted}
            if stored != wanted:
                yield f"an account says {stored}, its rows say {wanted}"
            if account.ring > limits.RING:
                yield f"the ring holds {account.ring}"
            stamps = [d.stamp for d in self._of(keyspace.DELIVERIES, account.owner)]
            if len(set(stamps)) != len(stamps) or account.stamp < max(stamps, default=0):
                yield "stamps are not distinct, or run ahead of the account"
            numbers = [m.n for m in self._of(keyspace.MAILS, account.owner)]
            if account.mails < max(numbers, default=0):
                yield "the inbox has numbers that were never given"

    def _of(self, layout: Layout[Any], owner: Key) -> list[Any]:
        return [row for row in self._all(layout) if row.owner == owner]

    def _sums(self, owner: Key) -> dict[str, int]:
        sent, mails = self._of(keyspace.SENT, owner), self._of(keyspace.MAILS, owner)
        columns = {
            word: sum(row.stored for row in sent if row.charge == word)
            for word in ("waiting", "grace", "sent")
        }
        return columns | {
            "inbox": sum(row.stored for row in mails),
            "sents": len(sent),
            "inboxed": len(mails),
            "ring": len(self._of(keyspace.HELD, owner)),
        }

    def _messages(self) -> Iterable[str]:
        deliveries: dict[tuple[bytes, bytes], list[rows.Delivery]] = {}
        for row in self._all(keyspace.DELIVERIES):
            deliveries.setdefault((row.owner, row.message), []).append(row)
            if (row.next_at is not None) != outbox.is_open(row):
                yield f"a delivery {row.state} is due at {row.next_at}"
            if (row.receipted is not None) != (row.state == "confirmed"):
                yield f"a delivery {row.state} has receipt {row.receipted}"
        for sent in self._all(keyspace.SENT):
            mine = deliveries.pop((sent.owner, sent.message), [])
            is_open = sum(map(outbox.is_open, mine))
            if sent.open != is_open or sent.recipients != len(mine):
                yield f"a message says {sent.open}/{sent.recipients}, has {is_open}/{len(mine)}"
            if (sent.charge == "waiting") != bool(is_open):
                yield f"a message with {is_open} open addressees is charged to {sent.charge}"
        if deliveries:
            yield f"{len(deliveries)} messages have deliveries and no row"

    # --- blocks and files ------------------------------------------------------------------

    def _needed(self) -> Counter[bytes]:
        needed: Counter[bytes] = Counter()
        for sent in self._all(keyspace.SENT):
            if sent.charge != "gone":
                needed.update(map(bytes, (*sent.parts, sent.message)))
        for mail in self._all(keyspace.MAILS):
            if mail.stored:
                needed.update(map(bytes, (*mail.parts, mail.message)))
        for item in self._all(keyspace.ITEMS):
            if item.state == "here":
                needed.update(map(bytes, (*item.parts, item.message)))
        return needed

    def _blocks(self) -> Iterable[str]:
        needed = self._needed()
        known = {bytes(row.cid): row for row in self._all(keyspace.BLOCKS)}
        for name in needed.keys() | known.keys():
            row = known.get(name)
            if row is None or row.refs != needed[name]:
                has = None if row is None else row.refs
                word = cids.show(name)[-8:]
                yield f"block {word} has {has} references, {needed[name]} rows need it"
            elif not row.refs and (row.author is None or row.seq is not None or row.file):
                yield "a block that nobody needs keeps more than its name"
            elif row.refs:
                yield from self._block(row)
        for sent in self._all(keyspace.SENT):
            parts = [known[bytes(n)] for n in (*sent.parts, sent.message) if bytes(n) in known]
            if sent.charge != "gone" and sum(row.size for row in parts) != sent.stored:
                yield "a message is charged for other sizes than its blocks have"

    def _block(self, row: rows.Block) -> Iterable[str]:
        try:
            data = self._db.read(lambda tx: tx.blocks.data(row))
            if data is None:
                data = self._files._blocks.get(row.cid)
                if data is not None:
                    cids.check(row.cid, data)
        except WillcallError as error:
            yield f"block {cids.show(row.cid)[-8:]}: {error.text}"
            return
        if data is None or len(data) != row.size:
            yield f"block {cids.show(row.cid)[-8:]} is needed and not here"

    def _bodies(self) -> Iterable[str]:
        named = [row.seq for row in self._all(keyspace.BLOCKS) if row.seq is not None]
        stored = [int.from_bytes(k[1:], "big") for k in self._raw if k[:1] == keyspace.BODY]
        if sorted(named) != sorted(stored):
            yield f"{len(named)} small blocks are named, {len(stored)} are stored"

    def _large(self) -> Iterable[str]:
        named = {bytes(row.cid) for row in self._all(keyspace.BLOCKS) if row.file}
        named |= {bytes(row.cid) for row in self._all(keyspace.TRASH)}
        for draft in self._all(keyspace.DRAFTS):
            named |= set(map(bytes, draft.parts))
            if self._resting:
                yield "a draft was left behind"
        for pickup in self._all(keyspace.PICKUPS):
            named |= set(map(bytes, getattr(pickup, "parts", ())))
        if self._resting:
            orphans = self._files._blocks.keys() - named
            if orphans:
                yield f"{len(orphans)} files are named by no row"

    # --- clocks ----------------------------------------------------------------------------

    def _clocks(self) -> Iterable[str]:
        due: dict[tuple[bytes, bytes], int] = {}
        owed = [*self._all(keyspace.DELIVERIES), *self._all(keyspace.ERRANDS)]
        for row in owed:
            if row.next_at is not None:
                pair = (row.owner, row.to)
                due[pair] = min(due.get(pair, row.next_at), row.next_at)
        peers = {(row.owner, row.did): row for row in self._all(keyspace.PEERS)}
        for pair, peer in peers.items():
            times = [t for t in (peer.poll_at, due.pop(pair, None)) if t is not None]
            if peer.introduce and peer.wake_at is None:
                yield "an introduction is owed and will never leave"
            if times and not self._rings(peer.wake_at, min(times), peer.silent):
                yield f"something is due at {min(times)}, its peer wakes at {peer.wake_at}"
        if due:
            yield f"something is owed to {len(due)} peers that have no row"

    def _pickup_clocks(self) -> Iterable[str]:
        peers = {(row.owner, row.did): row for row in self._all(keyspace.PEERS)}
        for row in self._all(keyspace.PICKUPS):
            peer = peers.get((row.owner, row.sender))
            wanted = row.state == "wanted" and row.failures < limits.UNREADABLE_AFTER
            if wanted and row.next_at is None:
                yield "a pickup is wanted and never due"
            if row.next_at is None:
                continue
            if peer is None or not self._rings(peer.pickup_at, row.next_at, peer.pickup_silent):
                yield f"a pickup is due at {row.next_at}, its peer is not"

    def _archives(self) -> Iterable[str]:
        """Every head is the root of what its bundles and tiles hold, and signed if it is ours."""
        known = {row.id: row for row in self._all(keyspace.ARCHIVES)}
        tiles = {(t.archive, t.epoch, t.row, t.index): t.data for t in self._all(keyspace.TILES)}
        items = {(i.archive, bytes(i.message)) for i in self._all(keyspace.ITEMS)}
        for log in self._all(keyspace.LOGS):
            if log.archive not in known:
                yield "a log belongs to no archive"
                continue
            held = [
                raw
                for (archive, epoch, row, _), data in sorted(tiles.items())
                if (archive, epoch, row) == (log.archive, log.epoch, 0)
                for raw in entry.pieces(data)
            ]
            if len(held) != max(log.size, log.ahead):
                yield f"a log of {log.size} entries ({log.ahead} ahead) holds {len(held)}"
            grown = append.grow(tree.Frontier(), held[: log.size], lambda _level, _index: b"")
            if grown.frontier.peaks != log.peaks:
                yield "the edge of a log is not that of its entries"
            if not log.note:
                continue  # a follower that is not through yet
            said = note.verify(log.note, Verifier(name=log.origin, key=log.key))
            if (said.size, said.root) != (log.size, grown.frontier.root):
                yield "a checkpoint says something else than its log"
            for level, index, data in grown.tiles:
                at = 0 if level is None else level + 1
                stored = tiles.get((log.archive, log.epoch, at, index), b"")
                if not stored.startswith(data):
                    yield f"tile {at}/{index} of a log is not what its entries give"
            done = log.applied if known[log.archive].urls else log.size
            for raw in held[:done]:
                found = entry.decode(raw)
                named = isinstance(found, entry.Entry) and (log.archive, found.message) in items
                if isinstance(found, entry.Entry) and not named:
                    yield "an entry names a message that has no row"

    def _rings(self, at: int | None, due: int, silent: int) -> bool:
        return at is not None and (at <= max(due, self._now) or silent > 0)

    def _directory(self) -> Iterable[str]:
        counted = self._db.read(lambda tx: tx.node()).listed
        if counted != len(self._all(keyspace.LISTED)):
            yield f"a directory counts {counted} records, and is another size"

    # --- inbox -----------------------------------------------------------------------------

    def _inbox(self) -> Iterable[str]:
        pickups = {(r.owner, r.sender, r.message): r for r in self._all(keyspace.PICKUPS)}
        seen: set[tuple[bytes, bytes, bytes]] = set()
        for mail in self._all(keyspace.MAILS):
            name = (mail.owner, mail.sender, mail.message)
            if name in seen:
                yield "a message is in an inbox twice"
            seen.add(name)
            pickup = pickups.pop(name, None)
            if mail.state in ("new", "read"):
                if not mail.stored or len(mail.key) != 32 or pickup is not None:
                    yield f"a message is {mail.state} and not all here"
            elif mail.stored:
                yield f"a message is {mail.state} and charged"
            if mail.state == "waiting" and pickup is None:
                yield "a message waits for a pickup that is not there"
        if any(row.state == "waiting" for row in pickups.values()):
            yield "a pickup waits for an owner who is not shown it"
