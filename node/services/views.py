"""What people and programs are shown: rows as documents, every word in its place.

Times are RFC 3339 UTC, absent ones null. A state is never printed as more than is known.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from node.encoding import cid as cids
from node.encoding import names, origin
from node.machines import inbox, outbox
from node.machines.rows import Delivery, Held, Mail, Owner, Peer, Sent
from node.objects import record
from node.policy.decide import Decision
from node.policy.facts import Facts, young
from node.ports import Tables
from node.services import greet, ledger, meet, succession
from node.services.core import Core
from node.services.mailbox import Contents
from node.units import LAST, Instant, Key

Document = dict[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time(instant: int | None) -> str | None:
    """An instant as RFC 3339 with milliseconds; None where no calendar has it: others say any."""
    if not instant or instant > LAST:
        return None
    date = _EPOCH + timedelta(milliseconds=instant)
    return date.isoformat(timespec="milliseconds")[:-6] + "Z"


def instant(text: str) -> Instant | None:
    """The instant of a printed time; None: it is none."""
    try:
        return Instant(int(datetime.fromisoformat(text).timestamp() * 1000))
    except ValueError:
        return None


def date(instant: int) -> str | None:
    """The day of an instant, such as 2026-11-24."""
    made = time(instant)
    return None if made is None else made[:10]


def name_of(tx: Tables, owner: Key, did: Key) -> str:
    """The contact's name, the owner's own, else the did."""
    if did == owner:
        own = tx.owners.get(owner)
        return own.name if own is not None and own.name else names.did(did)
    return succession.name_of(tx, owner, did) or names.did(did)


def whoami(owner: Owner, at: str) -> Document:
    """The owner's name, key and address."""
    did = names.did(owner.owner)
    return {"name": owner.name, "did": did, "address": f"{did}@{at}", "origin": at}


def contact(row: Peer) -> Document:
    """A contact as `contact list` shows it."""
    known = None if row.record is None else record.decode(row.record).claim
    at = row.origin if known is None else known.nodes[0].origin
    did = names.did(row.did)
    return {
        "name": row.name,
        "did": did,
        "address": None if at is None else f"{did}@{at}",
        "origin": at,
        "lane": meet.lane_word(row),
        "mutual": row.met and not row.blocked,
        "blocked": row.blocked,
        "added": time(row.added),
        "verified": time(row.verified),
        "trouble": row.refused or (row.silent_why if row.silent else None),
        "was": None if row.before is None else names.did(row.before),
        "heir": None if row.heir is None else names.did(row.heir),
        "followed": time(row.followed),
    }


def everything(row: Peer) -> Document:
    """All that is known of a contact."""
    known = None if row.record is None else record.decode(row.record).claim
    at = [] if row.origin is None else [row.origin]
    return contact(row) | {
        "origins": at if known is None else [each.origin for each in known.nodes],
        "says": None if known is None else known.name,
        "heard": time(row.nudged_at),
        "keyed": time(row.keyed),
        "issued": None if known is None else time(known.issued),
        "expires": None if known is None else time(known.expires),
    }


def delivery(
    tx: Tables, row: Delivery, now: Instant, *, attempts: bool, called_from: Callable[[str], bool]
) -> Document:
    """One delivery as `status` shows it.

    Args:
        called_from: whether a node at that origin can call us.
    """
    made: Document = {
        "to": name_of(tx, row.owner, row.to),
        "did": names.did(row.to),
        "state": row.state,
        "reason": _reason(row) or _silence(tx, row, called_from),
        "delayed": outbox.is_delayed(row, now),
    }
    if attempts:
        made["attempts"] = [{"at": time(a.at), "answer": a.answer} for a in row.attempts]
    return made | {
        "next_at": time(_next_at(tx, row)),
        "fetched_at": time(row.fetched_at),
        "confirmed_at": time(row.confirmed_at),
    }


def _reason(row: Delivery) -> str | None:
    if row.ended_as == "retracted":
        return "before the retraction"
    return "after it expired" if row.ended_as == "expired" else row.reason


def _silence(tx: Tables, row: Delivery, called_from: Callable[[str], bool]) -> str | None:
    """Why nobody answers, or comes, where that is what it waits for."""
    peer = tx.peers.get(row.owner, row.to)
    waits = outbox.is_open(row) and row.state not in outbox.PAUSED
    if not waits or peer is None or row.to == row.owner:
        return None
    if peer.silent:
        return peer.silent_why
    at = greet.place(peer)
    told = row.state == "notified" and at is not None
    return "not-called" if told and at is not None and not called_from(at.origin) else None


def _next_at(tx: Tables, row: Delivery) -> Instant | None:
    """When it is told again: not before the whole peer is."""
    if row.next_at is None:
        return None
    peer = tx.peers.get(row.owner, row.to)
    if peer is None or peer.wake_at is None or not peer.silent:
        return row.next_at
    return max(row.next_at, peer.wake_at)


class Views:
    """Documents that need more than one row."""

    def __init__(self, core: Core, started: int) -> None:
        self._core, self._started = core, started
        self.contents = Contents(core)

    async def sent(self, row: Sent, *, attempts: bool) -> Document:
        """A message with its deliveries."""
        found = await self.contents.scanned(row)
        now = self._core.now()

        def work(tx: Tables) -> list[Document]:
            rows = sorted(tx.deliveries.scan(row.owner, row.message), key=lambda d: d.stamp)
            called_from = self._core.is_called_from
            return [
                delivery(tx, each, now, attempts=attempts, called_from=called_from) for each in rows
            ]

        return {
            "message": cids.show(row.message),
            "subject": found.subject,
            "size": row.size,
            "created": time(row.created),
            "keep_until": None if row.imported else time(row.keep_until),
            "deliveries": self._core.db.read(work),
        } | ({"imported": True} if row.imported else {})

    async def sent_list(
        self, owner: Key, *, only_open: bool, limit: int | None, before: Sent | None
    ) -> list[Document]:
        """Sent mail, newest first."""

        def work(tx: Tables) -> list[Sent]:
            rows: Iterator[Sent] = tx.sent.by(
                "open" if only_open else "order",
                owner,
                until=None if before is None else before.order - 1,
                reverse=True,
            )
            # Imported mail that was deleted was never sent from here: there is nothing to tell.
            shown = (row for row in rows if not (row.imported and row.charge == "gone"))
            return list(islice(shown, limit))

        rows = self._core.db.read(work)
        return [await self.sent(row, attempts=False) for row in rows]

    async def inbox(
        self, owner: Key, *, limit: int | None, after: int | None = None
    ) -> list[Document]:
        """The inbox, oldest first; the newest `limit` of it."""

        def work(tx: Tables) -> list[Mail]:
            if after is not None:
                return list(islice(tx.mails.by("shown", owner, after=after), limit))
            rows = list(islice(tx.mails.by("shown", owner, reverse=True), limit))
            return rows[::-1]

        return [await self.mail(row) for row in self._core.db.read(work)]

    async def mail(self, row: Mail) -> Document:
        """One message of the inbox."""
        found = await self.contents.scanned(row)
        who = self._core.db.read(lambda tx: name_of(tx, row.owner, row.sender))
        return {
            "n": row.n,
            "message": cids.show(row.message),
            "from": found.sender if row.imported else who,
            "did": None if row.imported else names.did(row.sender),
            "subject": found.subject,
            "date": time(found.date),
            "received": time(row.received),
            "size": row.size,
            "state": row.state,
            "keep_until": time(row.keep_until),
        } | ({"imported": True} if row.imported else {})

    def contacts(self, owner: Key) -> list[Document]:
        """The contacts, by name."""
        rows = self._core.db.read(lambda tx: list(tx.peers.by("named", owner)))
        return sorted((contact(row) for row in rows), key=lambda row: str(row["name"]))

    def quota(self, owner: Owner) -> Document:
        """What is used by what."""
        row = self._core.db.read(lambda tx: ledger.account(tx, owner.owner))
        used = {word: getattr(row, word) for word in ("waiting", "grace", "sent", "inbox")}
        free = max(0, row.limit - inbox.used(row))
        return {"owner": owner.name, "limit": row.limit, "used": used, "free": free}

    def status(self, owner: Owner) -> Document:
        """The node and one owner's mail, in numbers."""
        me = owner.owner

        def count(rows: Callable[[Tables], Iterator[object]]) -> int:
            return self._core.db.read(lambda tx: sum(1 for _ in rows(tx)))

        account = self._core.db.read(lambda tx: ledger.account(tx, me))
        return {
            "did": names.did(me),
            "origin": self._core.config.origin,
            "uptime": (self._core.clock.steady() - self._started) // 1000,
            "stored": account.sents,
            "open": count(lambda tx: tx.sent.by("open", me)),
            "waiting": count(lambda tx: tx.pickups.scan(me)),
            "held": count(lambda tx: (row for row in tx.held.scan(me) if row.shown)),
            "quota": self.quota(owner),
            "largest": int(self._core.config.message),
            "called_from": reach(
                self._core.config.origin, inbound=self._core.config.network.inbound
            ),
        }


def held(row: Held, facts: Facts, decision: Decision, now: Instant) -> Document:
    """What a stranger has pending: facts, not text."""
    return {
        "n": row.n,
        "did": names.did(row.sender),
        "message": None if row.message is None else cids.show(row.message),
        "size": row.size,
        "origin": facts.origin,
        "received": time(row.received),
        "keep_until": time(row.keep_until),
        "facts": {"introduction": row.introduction is not None, **of_facts(facts, now)}
        | {"verdict": decision.verdict, "rule": decision.rule, "marks": list(decision.marks)},
    }


def of_facts(facts: Facts, now: Instant) -> Document:
    """Facts as a document; unknown ones are null."""
    return {
        "origin": facts.origin,
        "source": facts.source,
        "network": facts.network,
        "domain": facts.domain,
        "proven": facts.proof,
        "iprev": facts.iprev,
        "reverse": facts.reverse,
        "reverse_domain": facts.reverse_domain,
        "registered": time(facts.registered),
        "first_seen": time(facts.first_seen),
        "young": young(facts, now),
        "named": facts.named,
        "introducers": list(facts.introducers),
        "kept": facts.kept,
        "broken": facts.broken,
        "answered": time(facts.answered),
        "shown": time(facts.shown),
        "contact_before": facts.before,
    }


def reach(at: str, *, inbound: bool) -> str:
    """Who can use an invite to this origin."""
    if origin.is_loopback(at) or not inbound:
        return "this machine"
    return "this network" if origin.is_private(at) else "anywhere"
