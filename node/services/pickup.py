"""Pickup: accepted mail is fetched by hash, verified, made durable, and then confirmed.

    due senders → roots in one CAR → parts one by one → check everything → one transaction:
    blocks, inbox rows, quota, receipts owed. A receipt leaves only after that is durable.

One task picks up from a sender for all owners of the node, so that a block they are all told
of is fetched once.

The order of checks: root hash (by whoever gives the bytes: `calls`, `car`, the store), author,
sizes, root signature, box, commitment, parts.
Spec: 05 §opening, 06 §pickup.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from node.crypto import sealed
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
from node.machines.rows import Errand, Mail, Peer, Pickup
from node.objects import content, message
from node.objects.answer import Wanted
from node.objects.message import Message
from node.objects.record import Endpoint
from node.ports import Tables
from node.services import arrive, greet, ledger
from node.services.calls import Answered, Calls
from node.services.core import Core, secrets_of, short
from node.services.greet import Greeter
from node.services.rounds import Rounds, of_the_disk
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

    def __init__(self, core: Core, calls: Calls, greeter: Greeter) -> None:
        self._core, self._calls, self._greeter = core, calls, greeter
        self._left: dict[Key, dict[Cid, Message]] = {}

    async def run(self) -> None:
        """Picks up from due senders until cancelled."""
        await Rounds(
            self._core,
            name="pickup",
            bell=self._core.incoming,
            index="pickup",
            clock=lambda row: row.pickup_at,
            place=lambda row: row.did,
            serve=self._serve,
            at_once=AT_ONCE,
        ).run()

    async def _serve(self, due: Sequence[Peer]) -> None:
        sender, owners = due[0].did, [row.owner for row in due]
        while owners:
            owners = await self._round(sender, owners)

    async def _round(self, sender: Key, owners: Sequence[Key]) -> list[Key]:
        """One batch from one sender; the owners for whom more is due at once."""
        self._core.check_disk(0)  # it waits at its sender, and nobody is asked in vain
        silent: set[Key] = set()
        for at, rows in self._begin(sender, owners).items():
            try:
                await self._pick_up(at, rows)
            except WillcallError as error:
                if of_the_disk(error):
                    raise
                silent |= {row.owner for row in rows}
                self._silence(sender, sorted({row.owner for row in rows}), error)
        return [owner for owner in owners if owner not in silent and self._end(owner, sender)]

    def _begin(self, sender: Key, owners: Sequence[Key]) -> dict[Endpoint, list[Pickup]]:
        """What is due, noted as attempted, by the place where it is to be picked up."""
        now = self._core.now()

        def work(tx: Tables) -> dict[Endpoint, list[Pickup]]:
            places: dict[Endpoint, list[Pickup]] = {}
            room = SMALL_TOGETHER
            for owner in owners:
                peer = tx.peers.get(owner, sender)
                if peer is None:
                    continue
                rows = list(islice(tx.pickups.by("due", owner, sender, until=now), room))
                room -= len(rows)
                for row in rows:
                    made = pickup.on_attempt(row, now, self._core.jitter())
                    tx.pickups.put(made)
                    places.setdefault(greet.pickup_place(peer, row.origin), []).append(made)
            return places

        return self._core.db.apply(work)

    async def _pick_up(self, at: Endpoint, due: Sequence[Pickup]) -> None:
        """What came before the sender fell silent is kept; what was not asked for stays due."""
        got: list[_Got] = []
        rest, failed = list(due), None
        try:
            at = await self._greeted(at, due)
            roots = await self._roots(at, due)
            self._core.calm.stir()
            while rest:
                row = rest.pop(0)
                await self._try(at, row, roots.get(row.message), got)
        except (Unreachable, StoreFailed) as error:
            self._put_back(rest)
            failed = error
        try:
            await self._finish(got)
        finally:
            self._release(got)
        if failed is not None:
            raise failed

    async def _greeted(self, at: Endpoint, due: Sequence[Pickup]) -> Endpoint:
        pairs = {(row.owner, row.sender) for row in due}

        def work(tx: Tables) -> list[Peer]:
            return [row for pair in sorted(pairs) if (row := tx.peers.get(*pair)) is not None]

        _, at = await self._greeter.greeted(self._core.db.read(work), at)
        return at

    def _put_back(self, rest: Sequence[Pickup]) -> None:
        now = self._core.now()

        def work(tx: Tables) -> None:
            for row in rest:
                stored = tx.pickups.get(row.owner, row.sender, row.message)
                if stored == row:
                    tx.pickups.put(pickup.on_not_asked(row, now))

        self._core.db.apply(work)

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

    def _silence(self, sender: Key, owners: Sequence[Key], error: WillcallError) -> None:
        now, jitter = self._core.now(), self._core.jitter()

        def work(tx: Tables) -> None:
            for owner in owners:
                row = tx.peers.get(owner, sender)
                if row is not None:
                    after = peers.on_pickup_silence(row, now, jitter, error.reason)
                    tx.peers.put(after)
                    self._core.miss(owner, sender, after.pickup_silent)
                    self._core.history.add(owner, "silent", now, who=sender, detail=error.text)

        self._core.db.apply(work)
        self._core.tally.add("unserved", error.reason)
        self._core.note("not-served", peer=short(sender), reason=error.reason, why=error.text)

    # --- fetching ----------------------------------------------------------------------

    async def _try(self, at: Endpoint, row: Pickup, root: bytes | None, got: list[_Got]) -> None:
        try:
            got.append(await self._one(at, row, root))
        except Gone as error:
            self._failed(row, error)
            await self._gone(row)
        except (Absent, Answered) as error:
            self._failed(row, error)  # not served now; the schedule goes on
        except (Unverified, Malformed) as error:
            self._failed(row, error)
            self._unverified(row, error)
        except OverQuota as error:
            self._failed(row, error)
            self._full(row)

    def _failed(self, row: Pickup, error: WillcallError) -> None:
        self._core.history.add(
            row.owner,
            "pickup-failed",
            self._core.now(),
            message=row.message,
            who=row.sender,
            detail=error.text,
        )

    async def _roots(self, at: Endpoint, due: Sequence[Pickup]) -> dict[Cid, bytes]:
        """Roots that are here already (another owner's), and the rest in one answer."""
        here = self._core.db.read(lambda tx: _stored_roots(tx, due))
        # Of owners who are told of one message, the first one's ticket serves all.
        tickets = {row.message: row.ticket for row in reversed(due) if row.message not in here}
        wanted = [Wanted(ticket=ticket, cids=(name,)) for name, ticket in tickets.items()]
        try:
            return here | (await self._calls.blocks(at, wanted) if wanted else {})
        except (Unverified, Answered):
            return here  # each is asked for singly, and the bad one named

    async def _one(self, at: Endpoint, row: Pickup, block: bytes | None) -> _Got:
        if block is None:
            block = await self._calls.block(at, row.message, row.ticket)
        signed = message.KIND.decode(block)
        if signed.claim.author != row.sender:
            raise Unverified("this message is somebody else's than the notification's")
        if signed.claim.size != row.size:
            raise Unverified("this message has another size than announced")
        root = signed.verify()
        key = row.key or self._unboxed(row)
        content.check_key(root, key)
        got = _Got(row=row, key=key, root=root, block=block)
        if root.body is not None:
            content.open_body(root, key)
        else:
            await self._parts(at, got)
        return got

    def _unboxed(self, row: Pickup) -> bytes:
        owner = self._core.db.read(lambda tx: tx.owners.get(row.owner))
        if owner is None:
            raise Absent("its owner was removed meanwhile")
        return sealed.unbox(row.boxed, secrets_of(owner))

    async def _parts(self, at: Endpoint, got: _Got) -> None:
        """Every part becomes a file, and opens."""
        self._make_way(got)
        async with self._core.files_lock:
            self._core.keeping.update(part.cid for part in got.root.parts)
        try:
            for index, part in enumerate(got.root.parts):
                block = await self._part(at, got.row, part.cid)
                content.open_part(got.root, got.key, index, block)
        except WillcallError as error:
            self._release([got])
            if isinstance(error, Unreachable | StoreFailed):
                self._left.setdefault(got.row.owner, {})[got.row.message] = got.root
            else:
                self._core.db.apply(lambda tx: arrive.trash_parts(tx, got.root))
            raise

    def _make_way(self, got: _Got) -> None:
        """What was left for a later attempt, of other messages, stays as far as there is room.

        No account is charged with it, or a sender that always stops in the end could fill the disk.
        """
        room = self._core.db.read(lambda tx: ledger.account(tx, got.row.owner))
        ledger.check_room(room, got.stored)
        left = self._left.get(got.row.owner, {})
        left.pop(got.row.message, None)
        over = sum(each.size for each in left.values()) + got.stored + inbox.used(room) - room.limit
        while over > 0 and left:
            root = left.pop(next(iter(left)))
            over -= root.size
            self._core.db.apply(lambda tx, root=root: arrive.trash_parts(tx, root))  # type: ignore[misc]

    def _release(self, got: Sequence[_Got]) -> None:
        """The files of these may be swept again: by now rows need them, or the trash does."""
        for each in got:
            self._core.keeping.subtract(part.cid for part in each.root.parts)
        self._core.keeping += Counter()  # leaves out what nobody needs any more

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
        self._core.note(
            "unverified", message=short(row.message), peer=short(row.sender), why=error.text
        )

    def _full(self, row: Pickup) -> None:
        now = self._core.now()

        def work(tx: Tables) -> None:
            stored = tx.pickups.get(row.owner, row.sender, row.message)
            if stored is not None:
                arrive.wait(tx, stored, now)

        self._core.db.apply(work)
        self._core.arrivals.ring()

    async def _finish(self, got: Sequence[_Got]) -> None:
        if not got:
            return
        now = self._core.now()

        def work(tx: Tables) -> None:
            for each in got:
                stored = tx.pickups.get(each.row.owner, each.row.sender, each.row.message)
                if stored is not None:
                    _arrive(tx, each, stored, now)
                else:
                    arrive.trash_parts(tx, each.root)  # withdrawn while it was fetched

        await self._core.db.transact(work)
        self._core.outgoing.ring()
        self._core.arrivals.ring()


def _arrive(tx: Tables, got: _Got, row: Pickup, now: Instant) -> None:
    """Blocks, inbox row, quota and the receipt owed, together."""
    account = ledger.account(tx, row.owner)
    if inbox.used(account) + got.stored > account.limit:
        arrive.trash_parts(tx, got.root)
        arrive.wait(tx, row, now)
        return
    for part in got.root.parts:
        tx.blocks.add(part.cid, part.size, None)
    tx.blocks.add(row.message, len(got.block), got.block)
    mail = arrive.mail_of(tx, row.owner, row.message, row.sender)
    if mail is None:
        account = account.but(mails=account.mails + 1, inboxed=account.inboxed + 1)
        mail = Mail(
            owner=row.owner,
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
            heard=row.received,
            key=got.key,
            stored=got.stored,
            parts=parts,
            keep_until=None,
        )
    )
    tx.pickups.delete(row)
    arrive.promised(tx, row, "kept")
    tx.errands.put(
        Errand(owner=row.owner, to=row.sender, kind="receipt", message=row.message, next_at=now)
    )
    ledger.owe_back(tx, row.owner, row.sender, now)


def _stored_roots(tx: Tables, due: Sequence[Pickup]) -> dict[Cid, bytes]:
    found: dict[Cid, bytes] = {}
    for row in due:
        block = tx.blocks.get(row.message)
        data = None if block is None or not block.refs else tx.blocks.data(block)
        if data is not None:
            found[row.message] = data
    return found
