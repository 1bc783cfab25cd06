"""An owner leaves: what is open is withdrawn and told, the door closes, all that was kept goes.

    withdraw open mail → tell peers, for a while → close: owner, keys, contacts, what is owed
                                                 → clear: mail and blocks, in portions

From `close` on there is no such owner for anybody, whatever a crash leaves of the rest: its key
is noted in the node's row until a start finds nothing more of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import trio

from node.errors import Conflict, Refused, StoreFailed
from node.machines import inbox
from node.machines.rows import Mail, Owner, Sent
from node.ports import Table, Tables
from node.services import arrive, hear, ledger, owners
from node.services.core import Core
from node.services.space import Space
from node.units import Key

AT_ONCE = 200
"""Rows changed in one transaction: others wait for some milliseconds."""
LOOK = 0.1
"""Seconds between looks at what was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an owner would leave behind.

    Attributes:
        received, sent: messages; open: sent ones that somebody has not confirmed yet.
        waiting: mail of others that was not picked up yet.
        archives: that it publishes or follows here.
        used: bytes of its quota.
        mark: changes with everything that an export would hold.
        last: whether there is no other owner; first: whether backups open with its words.
    """

    received: int
    sent: int
    open: int
    waiting: int
    archives: int
    used: int
    mark: str
    last: bool
    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What became of it.

    Attributes:
        withdrawn: messages that somebody had not confirmed.
        untold: addressees who did not hear of that in time, and senders without their receipt.
        freed: bytes that it used.
    """

    withdrawn: int
    untold: int
    freed: int


def facts(tx: Tables, owner: Key) -> Facts:
    """What an owner has here."""
    account = ledger.account(tx, owner)
    return Facts(
        received=sum(1 for _ in tx.mails.by("shown", owner)),
        sent=account.sents,
        open=sum(1 for _ in tx.sent.by("open", owner)),
        waiting=sum(1 for _ in tx.pickups.scan(owner)),
        archives=sum(1 for _ in tx.archives.scan(owner)),
        used=inbox.used(account),
        mark=_mark(tx, owner),
        last=sum(1 for _ in tx.owners.scan()) < 2,
        first=owners.find(tx, None).owner == owner,
    )


def _mark(tx: Tables, owner: Key) -> str:
    account = ledger.account(tx, owner)
    return f"{account.mails}.{account.inboxed}.{account.inbox}.{account.sents}"


def check(found: Facts, owner: Owner, exported: str | None, *, anyway: bool) -> None:
    """Raises unless the owner may be removed.

    Args:
        found: the facts.
        owner: who.
        exported: the mark under which its mail was exported; None: it was not.
        anyway: it is to be removed without that.

    Raises:
        Refused: it is the last one, it has archives, or nobody has its mail.
        Conflict: mail came since the export.
    """
    name = owner.name or "this owner"
    if found.last:
        raise Refused(
            "the last owner can't be removed: a node is somebody's",
            reason="last-owner",
            next="stop the node and remove its folder, or add another owner first",
        )
    if found.archives:
        raise Refused(
            f"{name} has archives here: {found.archives}",
            reason="archives",
            next=f"willcall --owner {owner.name} archive list, then archive drop or unfollow each",
        )
    if exported is None and not anyway:
        raise Refused(
            f"{name} has mail here, {found.received} received and {found.sent} sent "
            f"({found.open} not confirmed yet, and would be withdrawn; {found.waiting} more at the "
            "senders); nothing was removed",
            reason="not-exported",
            next=f"willcall owner remove {owner.name} --mbox FILE, or --without-export",
        )
    if exported not in (None, found.mark) and not anyway:
        raise Conflict(
            f"mail of {name} came or went while it was exported; nothing was removed",
            reason="changed",
            next="the same again, with another file",
        )


class Leaving:
    """Removes owners.

    Args:
        core: the node's ports.
        space: gives room back.
    """

    def __init__(self, core: Core, space: Space) -> None:
        self._core, self._space = core, space

    async def remove(
        self, name: str, exported: str | None, *, anyway: bool, patience: float
    ) -> tuple[Owner, Left]:
        """Removes an owner and all that it had; other owners keep what they share with it.

        Args:
            name: who, or a did.
            exported: the mark under which its mail was exported.
            anyway: without that.
            patience: seconds for which peers are told that open mail is withdrawn.

        Raises:
            NoContact, Refused, Conflict: nothing was removed.
            StoreFailed: it is not done; again, or the next start, goes on.
        """
        core = self._core

        def begin(tx: Tables) -> tuple[Owner, Facts]:
            owner = owners.find(tx, name)
            found = facts(tx, owner.owner)
            check(found, owner, exported, anyway=anyway)
            return owner, found

        owner, found = core.db.read(begin)
        withdrawn = await self._withdraw(owner)
        await self._tell(owner.owner, patience)

        def close(tx: Tables) -> int:
            check(facts(tx, owner.owner), owner, exported, anyway=anyway)
            return _close(tx, owner)

        untold = await core.db.transact(close)
        await self.clear(owner.owner)
        await self._give_back()
        return owner, Left(withdrawn=withdrawn, untold=untold, freed=found.used)

    async def _withdraw(self, owner: Owner) -> int:
        """Nobody fetches any more what was not confirmed; whoever was told of it is to hear."""
        keep_sent = self._core.config.keep_sent

        def work(tx: Tables) -> int:
            sents = list(islice(tx.sent.by("open", owner.owner), AT_ONCE))
            for sent in sents:
                rows = list(tx.deliveries.scan(owner.owner, sent.message))
                hear.retract(tx, owner, rows, self._core.now(), keep_sent)
            return len(sents)

        count = 0
        while done := await self._core.db.transact(work):
            count += done
        return count

    async def _tell(self, owner: Key, patience: float) -> None:
        """Peers that answer hear it now; a node that is down would learn it by a 410 or never."""
        self._core.outgoing.ring()
        for _ in range(int(patience / LOOK)):
            if not self._core.db.read(lambda tx: _owed(tx, owner)):
                return
            await trio.sleep(LOOK)

    async def clear(self, owner: Key) -> None:
        """What is left of an owner who is not here any more; harmless to repeat."""
        while await self._core.db.transact(lambda tx: _clear(tx, owner)):
            pass

    async def finish(self) -> None:
        """What a crash left of owners who were removed; once, when the node starts."""
        for owner in self._core.db.read(lambda tx: tx.node().removed):
            await self.clear(Key(owner))

        def work(tx: Tables) -> None:
            if tx.node().removed:
                tx.put_node(tx.node().but(removed=()))

        await self._core.db.transact(work)

    async def _give_back(self) -> None:
        try:
            await self._space.once()
            await self._space.compact(tables=True)
        except StoreFailed as error:
            self._core.warn("shrinking-pauses", why=error.text)


def _owed(tx: Tables, owner: Key) -> int:
    return sum(row.kind != "record" for row in tx.errands.scan(owner))


def _close(tx: Tables, owner: Owner) -> int:
    """Everything by which an owner acts, or is reached, in one step; what was not told."""
    untold = _owed(tx, owner.owner)
    for table in _acting(tx):
        for row in list(table.scan(owner.owner)):
            table.delete(row)
    tx.owners.delete(owner)
    node = tx.node()
    tx.put_node(node.but(removed=(*node.removed, owner.owner)))
    return untold


def _acting(tx: Tables) -> Iterable[Table[Any]]:
    return (
        tx.errands,
        tx.pickups,
        tx.peers,
        tx.tokens,
        tx.invites,
        tx.held,
        tx.promises,
        tx.barred,
        tx.vouches,
    )


def _clear(tx: Tables, owner: Key) -> bool:
    """One portion of what no task looks at any more; whether there may be another."""
    if tx.owners.get(owner) is not None:
        return False  # the phrase has brought it back meanwhile
    for table, forget in _kept(tx):
        rows = list(islice(table.scan(owner), AT_ONCE))
        for row in rows:
            forget(row)
        if rows:
            return True
    return False


def _kept(tx: Tables) -> Iterator[tuple[Table[Any], Callable[[Any], None]]]:
    """The tables of an owner, and how a row of each goes; the account, which counts, is last."""
    yield tx.drafts, partial(arrive.abandon, tx)
    yield tx.sent, partial(_forget_sent, tx)
    yield tx.mails, partial(_forget_mail, tx)
    rest: Iterable[Table[Any]] = (tx.deliveries, tx.withdrawn, tx.pins, tx.chapters, tx.accounts)
    for table in (*_acting(tx), *rest):
        yield table, table.delete


def _forget_sent(tx: Tables, row: Sent) -> None:
    for cid in (*row.parts, row.message):
        if row.charge != "gone":
            tx.blocks.drop(cid)
        tx.blocks.disown(cid)
    tx.sent.delete(row)


def _forget_mail(tx: Tables, row: Mail) -> None:
    for cid in (*row.parts, row.message) if row.stored else ():
        tx.blocks.drop(cid)
    tx.mails.delete(row)
