"""What a quota is used for: which messages, for whom, until when, and what goes by itself.

A message for several addressees is charged once, and stands here with each of them: who looks
at one contact sees all that is kept for it.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import trio

from node.encoding import cid as cids
from node.encoding import names
from node.machines import outbox
from node.machines.rows import Mail, Owner, Sent
from node.ports import Tables
from node.services.core import Core
from node.services.imports import mails_after, sents_after
from node.services.mailbox import Contents
from node.services.views import Document, name_of, time
from node.units import Instant, Key

LARGEST = 5
"""Messages of a group that are named: those worth a look."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is charged.

    Attributes:
        who: its addressees that count (those open; else all), or its sender; none if imported.
        then: what becomes of it at `until`: expires, freed, kept.
    """

    row: Mail | Sent
    state: str
    who: tuple[Key, ...]
    until: Instant | None = None
    then: str | None = None

    @property
    def freed(self) -> int:
        """Bytes that go by themselves at `until`."""
        return self.row.stored if self.then == "freed" else 0


class Group:
    """Messages that are told of together."""

    def __init__(self) -> None:
        self.count = self.size = self.freed = 0
        self.until: Instant | None = None
        self.largest: list[Held] = []
        self.states: dict[str, int] = dict.fromkeys(("waiting", "grace", "sent", "inbox"), 0)

    def add(self, held: Held) -> None:
        """One more."""
        self.count += 1
        self.size += held.row.stored
        self.freed += held.freed
        self.states[held.state] += held.row.stored
        if held.until is not None:
            self.until = max(self.until or held.until, held.until)
        self.largest.append(held)
        if len(self.largest) > 4 * LARGEST:
            self.cut()

    def cut(self) -> None:
        """Forgets all but the largest."""
        self.largest.sort(key=lambda held: -held.row.stored)
        del self.largest[LARGEST:]


async def by_state(core: Core, owner: Owner) -> list[Document]:
    """What is used by each state, in the order of a message's life."""
    groups = {state: Group() for state in ("waiting", "grace", "sent", "inbox")}
    async for held in _all(core, owner):
        groups[held.state].add(held)
    return [{"state": state} | await _shown(core, owner, g) for state, g in groups.items()]


async def by_contact(core: Core, owner: Owner) -> list[Document]:
    """What is used for, or by mail of, each person; most first."""
    groups: dict[Key | None, Group] = {}
    async for held in _all(core, owner):
        for who in held.who or (None,):
            groups.setdefault(who, Group()).add(held)
    found = sorted(groups.items(), key=lambda item: -item[1].size)
    return [
        {
            "contact": _name(core, owner.owner, did),
            "did": None if did is None else names.did(did),
            "used": group.states,
        }
        | await _shown(core, owner, group)
        for did, group in found
    ]


def _name(core: Core, owner: Key, did: Key | None) -> str | None:
    return None if did is None else core.db.read(lambda tx: name_of(tx, owner, did))


async def _shown(core: Core, owner: Owner, group: Group) -> Document:
    group.cut()
    contents = Contents(core)
    largest = [
        _item(core, owner.owner, each, (await contents.scanned(each.row)).subject)
        for each in group.largest
    ]
    await trio.lowlevel.checkpoint()
    return {
        "messages": group.count,
        "bytes": group.size,
        "until": time(group.until),
        "freed": group.freed,
        "largest": largest,
    }


def _item(core: Core, owner: Key, held: Held, subject: str | None) -> dict[str, Any]:
    return {
        "n": held.row.n if isinstance(held.row, Mail) else None,
        "message": cids.show(held.row.message),
        "subject": subject,
        "for": [_name(core, owner, who) for who in held.who],
        "state": held.state,
        "bytes": held.row.stored,
        "until": time(held.until),
        "then": held.then,
    }


# --- looking through the mailbox --------------------------------------------------------


async def _all(core: Core, owner: Owner) -> Any:
    """Every message that is charged, page by page: other tasks get their turn between."""
    me, n, order = owner.owner, 0, 0
    while page := core.db.read(lambda tx, n=n: mails_after(tx, me, n)):  # type: ignore[misc]
        for mail in page:
            if mail.stored:
                yield Held(row=mail, state="inbox", who=() if mail.imported else (mail.sender,))
        n = page[-1].n
        await trio.lowlevel.checkpoint()
    keep = core.config.keep_sent
    while rows := core.db.read(lambda tx, order=order: sents_after(tx, me, order)):  # type: ignore[misc]
        for held in core.db.read(lambda tx, rows=rows: list(_charged(tx, rows, keep))):  # type: ignore[misc]
            yield held
        order = rows[-1].order
        await trio.lowlevel.checkpoint()


def _charged(tx: Tables, rows: list[Sent], keep: bool) -> Iterator[Held]:
    for row in rows:
        if row.charge == "gone":
            continue
        to = list(tx.deliveries.scan(row.owner, row.message))
        counts = [each for each in to if outbox.is_open(each)] or to
        until, then = _end(row, keep)
        yield Held(
            row=row, state=row.charge, who=tuple(d.to for d in counts), until=until, then=then
        )


def _end(row: Sent, keep: bool) -> tuple[Instant | None, str | None]:
    """Until when it stays as it is, and what becomes of it then."""
    if row.charge == "waiting":
        return row.keep_until, "expires"
    if row.charge == "grace":
        kept = keep if row.keep_sent is None else row.keep_sent
        return row.grace_until, "kept" if kept else "freed"
    return None, None
