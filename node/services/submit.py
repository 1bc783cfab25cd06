"""Submission: a message enters the store, sealed and signed, with a row for each addressee.

When `submit` returns, blocks and rows are durable together, and nothing has left the node.
The key K of a message is written with what it encrypts (small mail: one transaction), or
before it (large mail: a draft, whose files a crash leaves behind are removed at start).
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import trio

from node import limits
from node.crypto import tokens
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import TooLarge, Usage
from node.machines.rows import Delivery, Draft, Owner, Sent
from node.objects import content
from node.objects.message import Part, fits_body
from node.ports import Tables
from node.services import arrive, ledger, owners, succession
from node.services.core import Core, the_owner
from node.units import Instant, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """For whom and how long.

    Attributes:
        to: the addressees, distinct.
        keep: milliseconds until the delivery expires.
        keep_sent: overrides the configuration; None: as configured.
    """

    to: tuple[Key, ...]
    keep: int = limits.KEEP_DEFAULT
    keep_sent: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A message that is sealed and not stored yet: its root, and the parts it names."""

    message: Cid
    key: bytes
    root: bytes
    size: int
    parts: tuple[Part, ...] = ()

    @property
    def stored(self) -> int:
        """Bytes of all its blocks."""
        return len(self.root) + sum(part.size for part in self.parts)


class Submission:
    """Takes messages of the node's own owners, and of nobody else."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def small(self, owner: Owner, contents: Sequence[bytes], terms: Terms) -> list[Cid]:
        """Submits messages that fit into their roots, in this order, in one transaction.

        Raises:
            OverQuota: there is no room for all of them; nothing was stored.
            Refused: the author's key was replaced; nothing was stored.
            StoreFailed: nothing was stored.
        """
        self._check(terms, contents)
        now = self._core.now()
        sealed = [self._seal(owner, each, now) for each in contents]
        self._core.check_disk(sum(each.stored for each in sealed))

        def work(tx: Tables) -> None:
            ledger.check_here(tx, owner.owner)
            ledger.check_room(ledger.account(tx, owner.owner), sum(s.stored for s in sealed))
            self._enter(tx, owner, sealed, terms, now)

        await self._core.db.transact(work)
        self._core.outgoing.ring()
        return [each.message for each in sealed]

    def _check(self, terms: Terms, contents: Iterable[bytes]) -> None:
        if not 0 < terms.keep <= limits.KEEP_LONGEST:
            raise Usage("mail is kept for at most 400 days", next="--keep 30d")
        for each in contents:
            self.check_size(len(each))

    def check_size(self, size: int) -> None:
        """Raises TooLarge when a message of `size` bytes is more than the node takes."""
        if size > self._core.config.message:
            raise TooLarge(
                f"a message has at most {self._core.config.message:,} bytes here, "
                f"this has {size:,}; nothing was stored",
                next="an attached file grows by 37 % in mail: "
                f"{limits.files_in(self._core.config.message):,} bytes of them fit; "
                "capacity.message in config.toml raises it, up to 1GiB",
            )

    def _seal(self, owner: Owner, plain: bytes, now: Instant) -> Sealed:
        key = self._core.randomness.bytes(32)
        root = content.seal_body(key, owner.owner, now, plain, owner.signing)
        return Sealed(message=cids.of_object(root), key=key, root=root, size=len(plain))

    async def large(
        self, owner: Owner, chunks: AsyncIterator[bytes], size: int, terms: Terms
    ) -> Cid:
        """Submits one message of `size` bytes in constant memory.

        Args:
            owner: the author.
            chunks: the content in pieces of any length, `size` bytes in all.
            size: bytes; more than fit into a root.
            terms: for whom and how long.

        Raises:
            OverQuota, Refused, TooLarge: nothing was stored.
            Usage: the content ended early or went on too long.
        """
        self._check(terms, ())
        self.check_size(size)

        def enter(tx: Tables, sealed: Sealed) -> None:
            self._enter(tx, owner, [sealed], terms, self._core.now())

        key, now = self._core.randomness.bytes(32), self._core.now()
        message = await self.in_parts(owner, key, chunks, size, now, enter)
        self._core.outgoing.ring()
        return message

    async def in_parts(
        self,
        owner: Owner,
        key: bytes,
        chunks: AsyncIterator[bytes],
        size: int,
        created: Instant,
        enter: Callable[[Tables, Sealed], None],
    ) -> Cid:
        """Seals content into parts in constant memory; `enter` writes the rows it belongs to.

        Args:
            owner: the author.
            key: K; no other task uses it at the same time.
            chunks: the content in pieces of any length, `size` bytes in all.
            size: bytes; more than fit into a root.
            created: what the root says of its time.
            enter: runs in the transaction that makes the parts needed; may raise.
        """
        draft, parts = Draft(owner=owner.owner, key=key), list[Part]()
        self._core.drafting.add(key)
        try:
            await self._begin(draft, size)
            await self._write_parts(owner, draft, chunks, size, parts)
            root = content.seal_root(key, owner.owner, created, size, parts, owner.signing)
            message = cids.of_object(root)
            sealed = Sealed(message=message, key=key, root=root, size=size, parts=tuple(parts))
            await self._core.db.transact(lambda tx: self._finish(tx, draft, sealed, enter))
        finally:
            self._core.drafting.discard(key)
            self._core.keeping.subtract(part.cid for part in parts)
            self._core.keeping += Counter()
            # After `_finish` there is no draft any more, and this does nothing.
            self._core.db.apply(lambda tx: arrive.abandon(tx, draft))
        return message

    async def _begin(self, draft: Draft, size: int) -> None:
        self._core.check_disk(size)

        def work(tx: Tables) -> None:
            ledger.check_room(ledger.account(tx, draft.owner), size)
            tx.drafts.put(draft)

        await self._core.db.transact(work)

    async def _write_parts(
        self,
        owner: Owner,
        draft: Draft,
        chunks: AsyncIterator[bytes],
        size: int,
        parts: list[Part],
    ) -> None:
        """Adds each part to `parts`, before its file is there."""
        count = content.part_count(size)
        async with aclosing(_pieces(chunks, size)) as pieces:
            async for plain in pieces:
                part = content.seal_part(draft.key, owner.owner, len(parts), count, plain)
                # What is imported again after it was deleted may have its old file in the trash.
                async with self._core.files_lock:
                    self._core.keeping[part.cid] += 1
                    parts.append(Part(cid=part.cid, size=len(part.block)))
                # The draft names the file before it is there, so that a crash can't hide it.
                named = draft.but(parts=tuple(p.cid for p in parts))
                await self._core.db.transact(lambda tx, n=named: tx.drafts.put(n))  # type: ignore[misc]
                await self._core.files.keep(part.cid, part.block)

    def _finish(
        self, tx: Tables, draft: Draft, sealed: Sealed, enter: Callable[[Tables, Sealed], None]
    ) -> None:
        ledger.check_here(tx, draft.owner)
        ledger.check_room(ledger.account(tx, draft.owner), sealed.stored)
        tx.drafts.delete(draft)
        enter(tx, sealed)

    def _enter(
        self, tx: Tables, owner: Owner, sealed: Sequence[Sealed], terms: Terms, now: Instant
    ) -> None:
        """Blocks, message rows, delivery rows, quota and the peers' clocks, together."""
        owners.check_current(the_owner(tx, owner.owner))
        terms = _today(tx, owner.owner, terms)
        secret = tx.node().ticket
        account = ledger.account(tx, owner.owner)
        for each in sealed:
            message = each.message
            self._put_blocks(tx, owner, message, each)
            order = account.sents + 1
            tx.sent.insert(_sent(owner, message, order, each, terms, now))
            for to in terms.to:
                stamp = ledger.next_stamp(account, now)
                account = account.but(stamp=stamp)
                ticket = tokens.ticket(secret, message, to)
                tx.deliveries.insert(_delivery(owner, message, to, ticket, stamp, terms, now))
            account = account.but(sents=order, waiting=account.waiting + each.stored)
        tx.accounts.put(account)
        for to in terms.to:
            ledger.owe(tx, owner.owner, to, now, now)

    def _put_blocks(self, tx: Tables, owner: Owner, message: Cid, sealed: Sealed) -> None:
        by = owner.owner
        for part in sealed.parts:
            tx.blocks.add(part.cid, part.size, None, author=by, message=message)
        tx.blocks.add(message, len(sealed.root), sealed.root, author=by, message=message)

    async def clean(self) -> None:
        """Removes what a crash left of large submissions; once, when the node starts."""

        def work(tx: Tables) -> None:
            for draft in list(tx.drafts.scan()):
                arrive.abandon(tx, draft)

        await self._core.db.transact(work)


def _today(tx: Tables, owner: Key, terms: Terms) -> Terms:
    """For whom it is now: a key may have been replaced while a large message came in."""
    to = dict.fromkeys(succession.end_of(tx, owner, did) for did in terms.to)
    return replace(terms, to=tuple(to))


def _sent(
    owner: Owner, message: Cid, order: int, sealed: Sealed, terms: Terms, now: Instant
) -> Sent:
    return Sent(
        owner=owner.owner,
        message=message,
        order=order,
        key=sealed.key,
        size=sealed.size,
        stored=sealed.stored,
        created=now,
        keep_until=Instant(now + terms.keep),
        parts=tuple(part.cid for part in sealed.parts),
        open=len(terms.to),
        keep_sent=terms.keep_sent,
        recipients=len(terms.to),
    )


def _delivery(
    owner: Owner,
    message: Cid,
    to: Key,
    ticket: bytes,
    stamp: Instant,
    terms: Terms,
    now: Instant,
) -> Delivery:
    return Delivery(
        owner=owner.owner,
        message=message,
        to=to,
        ticket=ticket,
        stamp=stamp,
        keep_until=Instant(now + terms.keep),
        next_at=now,
    )


async def _pieces(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """The content in pieces of exactly 1 MiB but the last."""
    held, seen = bytearray(), 0
    async for chunk in chunks:
        held += chunk
        seen += len(chunk)
        if seen > size:
            break
        while len(held) > limits.PART:
            yield bytes(held[: limits.PART])
            del held[: limits.PART]
            await trio.lowlevel.checkpoint()
    if seen != size:
        raise Usage(f"the message has another length than the {size:,} bytes announced")
    if held or not size:
        yield bytes(held)


def is_small(size: int) -> bool:
    """Whether a message of `size` bytes fits into its root."""
    return fits_body(size)
