"""Mail from elsewhere: files become part of the mailbox, sealed by its owner to itself.

An imported message is a `message` object like any other, so it lies encrypted and named by its
hash like any other. Its author is the owner, its `created` is 0, and its key K is derived from
its content: the same content gives the same message, and importing twice changes nothing. It
never leaves the node, and nobody's key vouches for what it says. See decision 0008.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import trio

from node.crypto import tokens
from node.encoding import cid as cids
from node.errors import Absent, Damaged, Malformed
from node.machines import inbox
from node.machines.rows import Mail, Owner, Sent
from node.objects import content
from node.ports import Tables
from node.services import ledger
from node.services.core import Core
from node.services.mailbox import Contents
from node.services.submit import Sealed, Submission
from node.units import Instant, Key

PAGE = 500
"""Rows looked at before other tasks get their turn."""
NEVER = Instant(0)
"""What the root of an imported message says of its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One message of a file.

    Attributes:
        size: its bytes; digest: their SHA-256.
        at: when it came or was sent, as the file says; None: it does not say.
        unread: whether it is new to its owner.
        sent: whether its owner sent it.
    """

    size: int
    digest: bytes
    at: Instant | None = None
    unread: bool = False
    sent: bool = False


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of the messages of an import.

    Attributes:
        added: how many are new; size: their bytes.
        known: how many were here already, by their content.
        needed: bytes that the new ones are charged with, at most.
    """

    added: int = 0
    known: int = 0
    size: int = 0
    needed: int = 0


class Import:
    """One run over files. Only one at a time may use a node's `Imports`.

    Attributes:
        tally: how far it came.
    """

    def __init__(self, core: Core, submission: Submission, owner: Owner, dry: bool) -> None:
        self._core, self._submission = core, submission
        self._owner, self._dry = owner, dry
        self._contents = Contents(core)
        self._secret = core.db.read(lambda tx: tx.node().ticket)
        self._mails: dict[int, list[Mail]] = {}
        self._sents: dict[int, list[Sent]] = {}
        self._seen: set[tuple[bytes, bool]] = set()
        self.tally = Tally()

    # --- what is here already --------------------------------------------------------------

    async def look(self) -> None:
        """Learns what the mailbox holds, by size."""
        me, n, order = self._owner.owner, 0, 0
        while page := self._core.db.read(lambda tx, n=n: mails_after(tx, me, n)):  # type: ignore[misc]
            for mail in page:
                if mail.stored:
                    self._mails.setdefault(mail.size, []).append(mail)
            n = page[-1].n
            await trio.lowlevel.checkpoint()
        while rows := self._core.db.read(lambda tx, order=order: sents_after(tx, me, order)):  # type: ignore[misc]
            for sent in rows:
                if sent.charge != "gone":
                    self._sents.setdefault(sent.size, []).append(sent)
            order = rows[-1].order
            await trio.lowlevel.checkpoint()

    async def is_known(self, item: Item) -> bool:
        """Whether a message with that content is here, however it came; counts it if so.

        What the owner has among sent mail is not imported as received: an export of the
        whole mailbox holds both.
        """
        key = self._key(item)
        same: list[Mail | Sent] = [*self._sents.get(item.size, ())]
        if not item.sent:
            same += self._mails.get(item.size, ())
        known = (key, item.sent) in self._seen
        for row in same:
            known = known or await self._is(row, key, item.digest)
        self._seen.add((key, item.sent))
        self.tally.known += known
        return known

    async def _is(self, row: Mail | Sent, key: bytes, digest: bytes) -> bool:
        if row.imported:
            return row.key == key
        hasher = sha256()
        try:
            async for piece in self._contents.read(row):
                hasher.update(piece)
        except (Absent, Damaged):
            return False
        return hasher.digest() == digest

    def _key(self, item: Item) -> bytes:
        return tokens.import_key(self._secret, self._owner.owner, item.digest)

    # --- storing --------------------------------------------------------------------------

    async def small(self, items: Sequence[tuple[Item, bytes]]) -> None:
        """Stores messages that fit into their roots and are not known, in one transaction.

        Raises:
            Malformed: a content is not what its item says; nothing of these was stored.
            OverQuota: there is no room for all of them; nothing of these was stored.
        """
        for item, plain in items:
            if (len(plain), sha256(plain).digest()) != (item.size, item.digest):
                raise _changed()
        if not self._dry and items:
            now = self._core.now()
            sealed = [(item, self._seal(item, plain)) for item, plain in items]
            self._core.check_disk(sum(each.stored for _, each in sealed))

            def work(tx: Tables) -> None:
                account = ledger.account(tx, self._owner.owner)
                ledger.check_room(account, sum(each.stored for _, each in sealed))
                for item, each in sealed:
                    _enter(tx, self._owner, item, each, now)

            await self._core.db.transact(work)
        for item, _ in items:
            self._count(item)

    def _seal(self, item: Item, plain: bytes) -> Sealed:
        key, owner = self._key(item), self._owner
        root = content.seal_body(key, owner.owner, NEVER, plain, owner.signing)
        return Sealed(message=cids.of_object(root), key=key, root=root, size=len(plain))

    async def large(self, item: Item, chunks: AsyncGenerator[bytes, None]) -> None:
        """Stores one larger message that is not known, in constant memory; raises as `small`."""
        hasher, now = sha256(), self._core.now()

        async def read() -> AsyncGenerator[bytes, None]:
            async for chunk in chunks:
                hasher.update(chunk)
                yield chunk

        def enter(tx: Tables, sealed: Sealed) -> None:
            # K belongs to one content: another one under it must not stay.
            if hasher.digest() != item.digest:
                raise _changed()
            _enter(tx, self._owner, item, sealed, now)

        key, put = self._key(item), self._submission.in_parts
        async with aclosing(chunks), aclosing(read()) as pieces:
            if self._dry:
                async for _ in pieces:
                    pass
            else:
                await put(self._owner, key, pieces, item.size, NEVER, enter)
        self._count(item)

    def _count(self, item: Item) -> None:
        self.tally.added += 1
        self.tally.size += item.size
        self.tally.needed += inbox.needed(item.size)

    def check_room(self) -> None:
        """Raises OverQuota when what a dry run found does not fit."""
        me = self._owner.owner
        self._core.db.read(lambda tx: ledger.check_room(ledger.account(tx, me), self.tally.needed))


def mails_after(tx: Tables, owner: Key, after: int) -> list[Mail]:
    """The next rows of the inbox, by number."""
    return list(islice(tx.mails.by("shown", owner, after=after), PAGE))


def sents_after(tx: Tables, owner: Key, after: int) -> list[Sent]:
    """The next rows of sent mail, oldest first."""
    return list(islice(tx.sent.by("order", owner, after=after), PAGE))


def _changed() -> Malformed:
    return Malformed(
        "a message is not what was announced: was the file changed while it was read?",
        next="import it again: what is here already stays as it is",
    )


def _enter(tx: Tables, owner: Owner, item: Item, sealed: Sealed, now: Instant) -> None:
    """Blocks, the row, quota and counters, together."""
    ledger.check_here(tx, owner.owner)
    for part in sealed.parts:
        tx.blocks.add(part.cid, part.size, None)
    tx.blocks.add(sealed.message, len(sealed.root), sealed.root)
    if item.sent:
        _enter_sent(tx, owner, item, sealed, now)
    else:
        _enter_mail(tx, owner, item, sealed, now)


def _enter_mail(tx: Tables, owner: Owner, item: Item, sealed: Sealed, now: Instant) -> None:
    account = ledger.account(tx, owner.owner)
    old = tx.mails.called("message", owner.owner, sealed.message, owner.owner)
    if old is not None:
        # It was deleted; it comes back with a new number, as numbers are never used again.
        tx.mails.delete(old)
        account = account.but(inboxed=account.inboxed - 1)
    account = account.but(mails=account.mails + 1, inboxed=account.inboxed + 1)
    tx.accounts.put(account.but(inbox=account.inbox + sealed.stored))
    tx.mails.put(
        Mail(
            owner=owner.owner,
            n=account.mails,
            message=sealed.message,
            sender=owner.owner,
            size=sealed.size,
            received=now if item.at is None else item.at,
            state="new" if item.unread else "read",
            key=sealed.key,
            stored=sealed.stored,
            parts=tuple(part.cid for part in sealed.parts),
            imported=True,
        )
    )


def _enter_sent(tx: Tables, owner: Owner, item: Item, sealed: Sealed, now: Instant) -> None:
    account = ledger.account(tx, owner.owner)
    old = tx.sent.get(owner.owner, sealed.message)
    order = account.sents + 1 if old is None else old.order
    at = now if item.at is None else item.at
    tx.accounts.put(account.but(sents=max(order, account.sents), sent=account.sent + sealed.stored))
    tx.sent.put(
        Sent(
            owner=owner.owner,
            message=sealed.message,
            order=order,
            key=sealed.key,
            size=sealed.size,
            stored=sealed.stored,
            created=at,
            keep_until=at,
            parts=tuple(part.cid for part in sealed.parts),
            charge="sent",
            keep_sent=True,
            imported=True,
        )
    )
