"""Pickup: accepted mail is fetched by hash, verified, made durable, and then confirmed.

    due senders → roots in one CAR → parts one by one → check everything → one transaction:
    blocks, inbox rows, quota, receipts owed. A receipt leaves only after that is durable.

The order of checks: root hash, author, sizes, root signature, box, commitment, parts.
Spec: 05 §opening, 06 §pickup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import trio

from node.crypto import sealed
from node.encoding import cid as cids
from node.encoding import names
from node.encoding.cid import Cid
from node.errors import (
    Absent,
    Gone,
    Malformed,
    OverQuota,
    StoreFailed,
    Unreachable,
    Unverified,
    WillcallError,
)
from node.machines import inbox, pickup
from node.machines import peer as peers
from node.machines.rows import Errand, Mail, Owner, Peer, Pickup
from node.objects import content, message, record
from node.objects.answer import Wanted
from node.objects.message import Message
from node.objects.record import Endpoint, Record
from node.ports import Tables
from node.services import arrive, ledger, meet
from node.services.calls import Answered, Calls
from node.services.core import Core, secrets_of
from node.units import Instant, Key

AT_ONCE = 16
"""Senders that are picked up from at the same time: each may hold one CAR in memory."""

SMALL_TOGETHER = 220
"""Roots asked for in one CAR: 220 × 64 KiB fit the answer, so nothing is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Got:
    """One message, verified, whose large blocks are files already."""

    row: Pickup
    key: bytes
    root: Message
    block: bytes

    @property
    def stored(self) -> int:
        return len(self.block) + sum(part.size for part in self.root.parts)


class Collector:
    """Runs the incoming side of all owners."""

    def __init__(self, core: Core, calls: Calls) -> None:
        self._core, self._calls = core, calls
        self._busy: set[tuple[Key, Key]] = set()

    async def run(self) -> None:
        """Picks up from due senders until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                for owner, sender in self._due(self._core.now()):
                    self._busy.add((owner, sender))
                    nursery.start_soon(self._serve, owner, sender)
                await self._core.incoming.wait(self._pause(self._core.now()))

    def _due(self, now: Instant) -> list[tuple[Key, Key]]:
        free = max(0, AT_ONCE - len(self._busy))

        def work(tx: Tables) -> list[tuple[Key, Key]]:
            due = ((row.owner, row.did) for row in tx.peers.by("pickup", until=now))
            return list(islice((pair for pair in due if pair not in self._busy), free))

        return self._core.db.read(work)

    def _pause(self, now: Instant) -> float:
        def work(tx: Tables) -> Instant | None:
            for row in tx.peers.by("pickup"):
                if (row.owner, row.did) not in self._busy:
                    return row.pickup_at
            return None

        at = self._core.db.read(work)
        return 3600.0 if at is None or len(self._busy) >= AT_ONCE else (at - now) / 1000

    async def _serve(self, owner: Key, sender: Key) -> None:
        try:
            while await self._round(owner, sender):
                pass
        except StoreFailed as error:
            self._core.note(f"pickup pauses: {error.text}")
            await trio.sleep(5)
        except WillcallError as error:
            self._silence(owner, sender, error)
        finally:
            self._busy.discard((owner, sender))
            self._core.incoming.ring()

    def _silence(self, owner: Key, sender: Key, error: WillcallError) -> None:
        now, jitter = self._core.now(), self._core.jitter()

        def work(tx: Tables) -> None:
            row = tx.peers.get(owner, sender)
            if row is not None:
                tx.peers.put(peers.on_pickup_silence(row, now, jitter))

        self._core.db.apply(work)
        self._core.note(f"pickup from {names.did(sender)[-8:]}: {error.text}")

    async def _round(self, owner: Key, sender: Key) -> bool:
        """One batch from one sender; whether more is due at once."""
        due = self._begin(owner, sender)
        speaker = self._core.db.read(lambda tx: tx.owners.get(owner))
        if due and speaker is not None:
            await self._pick_up(speaker, due)
        return self._end(owner, sender)

    async def _pick_up(self, owner: Owner, due: Sequence[Pickup]) -> None:
        """What came before the sender fell silent is kept; what was not asked for stays due."""
        got: list[_Got] = []
        rest, failed = list(due), None
        try:
            at = await self._where(owner.owner, due[0].sender, due[0].origin)
            roots = await self._roots(at, due)
            while rest:
                row = rest.pop(0)
                await self._try(owner, at, row, roots.get(row.message), got)
        except (Unreachable, StoreFailed) as error:
            self._put_back(rest)
            failed = error
        try:
            await self._finish(owner, got)
        finally:
            self._release(got)
        if failed is not None:
            raise failed

    def _put_back(self, rest: Sequence[Pickup]) -> None:
        now = self._core.now()

        def work(tx: Tables) -> None:
            for row in rest:
                stored = tx.pickups.get(row.owner, row.sender, row.message)
                if stored == row:
                    tx.pickups.put(pickup.on_not_asked(row, now))

        self._core.db.apply(work)

    def _begin(self, owner: Key, sender: Key) -> list[Pickup]:
        now = self._core.now()

        def work(tx: Tables) -> list[Pickup]:
            rows = list(islice(tx.pickups.by("due", owner, sender, until=now), SMALL_TOGETHER))
            made = [pickup.on_attempt(row, now, self._core.jitter()) for row in rows]
            for row in made:
                tx.pickups.put(row)
            return made

        return self._core.db.apply(work)

    def _end(self, owner: Key, sender: Key) -> bool:
        now = self._core.now()

        def work(tx: Tables) -> bool:
            row = tx.peers.get(owner, sender)
            if row is None:
                return False
            next_at = None
            for due in tx.pickups.by("due", owner, sender):
                next_at = due.next_at
                break
            tx.peers.put(peers.on_picked(row, next_at))
            return next_at is not None and next_at <= now

        return self._core.db.apply(work)

    # --- where -------------------------------------------------------------------------

    async def _where(self, owner: Key, sender: Key, origin: str) -> Endpoint:
        """The notification's origin if the newest record lists it, else the record's first."""
        row = self._core.db.read(lambda tx: tx.peers.get(owner, sender))
        row = row or Peer(owner=owner, did=sender)
        known: Record | None = None if row.record is None else record.decode(row.record).claim
        at = Endpoint(origin=origin) if known is None else known.endpoint(origin)
        if known is None or at.origin not in row.greeted:
            signed, now = await self._calls.owner(at, sender), self._core.now()

            def work(tx: Tables) -> None:
                if tx.peers.get(owner, sender) is None:
                    tx.peers.put(row)
                meet.learn(tx, owner, sender, signed.block, now, greeted=at.origin)

            self._core.db.apply(work)
            at = (known or signed.claim).endpoint(at.origin)
        return at

    # --- fetching ----------------------------------------------------------------------

    async def _try(
        self, owner: Owner, at: Endpoint, row: Pickup, root: bytes | None, got: list[_Got]
    ) -> None:
        try:
            got.append(await self._one(owner, at, row, root))
        except Gone:
            await self._gone(row)
        except (Absent, Answered):
            pass  # not served now; the schedule goes on
        except (Unverified, Malformed) as error:
            self._unverified(row, error)
        except OverQuota:
            self._full(row)

    async def _roots(self, at: Endpoint, due: Sequence[Pickup]) -> dict[Cid, bytes]:
        """Roots that are here already (another owner's), and the rest in one answer."""
        here = self._core.db.read(lambda tx: _stored_roots(tx, due))
        wanted = [
            Wanted(ticket=row.ticket, cids=(row.message,)) for row in due if row.message not in here
        ]
        try:
            return here | (await self._calls.blocks(at, wanted) if wanted else {})
        except (Unverified, Answered):
            return here  # each is asked for singly, and the bad one named

    async def _one(self, owner: Owner, at: Endpoint, row: Pickup, block: bytes | None) -> _Got:
        if block is None:
            block = await self._calls.block(at, row.message, row.ticket)
        cids.check(row.message, block)
        signed = message.KIND.decode(block)
        if signed.claim.author != row.sender:
            raise Unverified("this message is somebody else's than the notification's")
        if signed.claim.size != row.size:
            raise Unverified("this message has another size than announced")
        root = signed.verify()
        key = row.key or sealed.unbox(row.boxed, secrets_of(owner))
        content.check_key(root, key)
        got = _Got(row=row, key=key, root=root, block=block)
        if root.body is not None:
            content.open_body(root, key)
        else:
            await self._parts(at, got)
        return got

    async def _parts(self, at: Endpoint, got: _Got) -> None:
        """Every part becomes a file, and opens."""
        room = self._core.db.read(lambda tx: ledger.account(tx, got.row.owner))
        ledger.check_room(room, got.stored)
        async with self._core.files_lock:
            self._core.keeping.update(part.cid for part in got.root.parts)
        try:
            for index, part in enumerate(got.root.parts):
                block = await self._part(at, got.row, part.cid)
                content.open_part(got.root, got.key, index, block)
        except WillcallError as error:
            self._release([got])
            if not isinstance(error, Unreachable | StoreFailed):
                self._core.db.apply(lambda tx: arrive.trash_parts(tx, got.root))
            raise

    def _release(self, got: Sequence[_Got]) -> None:
        """The files of these may be swept again: by now rows need them, or the trash does."""
        for each in got:
            self._core.keeping.subtract(part.cid for part in each.root.parts)

    async def _part(self, at: Endpoint, row: Pickup, name: Cid) -> bytes:
        try:
            return await self._core.files.read(name)  # from an earlier, interrupted attempt
        except Absent:
            block = await self._calls.block(at, name, row.ticket)
            await self._core.files.keep(name, block)
            return block

    # --- what came of it ---------------------------------------------------------------

    async def _gone(self, row: Pickup) -> None:
        """410: the row is dropped; what was shown already becomes failed."""

        def work(tx: Tables) -> None:
            stored = tx.pickups.get(row.owner, row.sender, row.message)
            if stored is not None and stored.issued == row.issued:
                arrive.fail(tx, stored)

        await self._core.db.transact(work)

    def _unverified(self, row: Pickup, error: WillcallError) -> None:
        def work(tx: Tables) -> None:
            stored = tx.pickups.get(row.owner, row.sender, row.message)
            if stored is not None:
                tx.pickups.put(pickup.on_unverified(stored))

        self._core.db.apply(work)
        self._core.note(f"{cids.show(row.message)[-8:]} does not verify: {error.text}")

    def _full(self, row: Pickup) -> None:
        now = self._core.now()

        def work(tx: Tables) -> None:
            stored = tx.pickups.get(row.owner, row.sender, row.message)
            if stored is not None:
                arrive.wait(tx, stored, now)

        self._core.db.apply(work)

    async def _finish(self, owner: Owner, got: Sequence[_Got]) -> None:
        if not got:
            return
        now = self._core.now()

        def work(tx: Tables) -> None:
            for each in got:
                stored = tx.pickups.get(owner.owner, each.row.sender, each.row.message)
                if stored is not None:
                    _arrive(tx, owner, each, stored, now)
                else:
                    arrive.trash_parts(tx, each.root)  # withdrawn while it was fetched

        await self._core.db.transact(work)
        self._core.outgoing.ring()
        self._core.arrivals.ring()


def _arrive(tx: Tables, owner: Owner, got: _Got, row: Pickup, now: Instant) -> None:
    """Blocks, inbox row, quota and the receipt owed, together."""
    account = ledger.account(tx, owner.owner)
    if inbox.used(account) + got.stored > account.limit:
        arrive.trash_parts(tx, got.root)
        arrive.wait(tx, row, now)
        return
    for part in got.root.parts:
        tx.blocks.add(part.cid, part.size, None)
    tx.blocks.add(row.message, len(got.block), got.block)
    mail = arrive.mail_of(tx, owner.owner, row.message, row.sender)
    if mail is None:
        account = account.but(mails=account.mails + 1, inboxed=account.inboxed + 1)
        mail = Mail(
            owner=owner.owner,
            n=account.mails,
            message=row.message,
            sender=row.sender,
            size=row.size,
            received=now,
        )
    tx.accounts.put(account.but(inbox=account.inbox + got.stored))
    parts = tuple(part.cid for part in got.root.parts)
    tx.mails.put(
        mail.but(
            state="new",
            received=now,
            key=got.key,
            stored=got.stored,
            parts=parts,
            keep_until=None,
        )
    )
    tx.pickups.delete(row)
    tx.errands.put(
        Errand(owner=owner.owner, to=row.sender, kind="receipt", message=row.message, next_at=now)
    )
    ledger.owe(tx, owner.owner, row.sender, now, now)


def _stored_roots(tx: Tables, due: Sequence[Pickup]) -> dict[Cid, bytes]:
    found: dict[Cid, bytes] = {}
    for row in due:
        block = tx.blocks.get(row.message)
        data = None if block is None or not block.refs else tx.blocks.data(block)
        if data is not None:
            found[row.message] = data
    return found
