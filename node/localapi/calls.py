"""What the local API offers: one handler a call, thin over the services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import trio

from node import limits
from node.config import size
from node.encoding import cid as cids
from node.encoding import names
from node.encoding.cid import Cid
from node.errors import Absent, Malformed, NoContact, NotYet, Usage, WillcallError
from node.machines.rows import Mail, Owner, Peer, Sent
from node.mail import mbox
from node.objects.record import Endpoint
from node.ports import Tables
from node.services import mailbox, meet, owners, views
from node.services.ledger import account, check_room
from node.services.mailbox import Contents, Mailbox
from node.services.node import Node
from node.services.submit import Terms, is_small
from node.services.views import Views
from node.units import GIB, MIB, SECOND, ByteCount, Instant, Key

if TYPE_CHECKING:
    from node.localapi.app import Call, Handler

PENDING = ("stored", "notified", "fetched")
GROUP = ByteCount(4 * MIB)
"""Content gathered before one transaction: hundreds of list mails, and little memory."""
TOGETHER = 256
"""Messages of one transaction."""
UPLOAD = ByteCount(64 * GIB)
"""The largest upload, an mbox: it is streamed, so its size costs time, not memory."""


class LocalCalls:
    """The handlers, by method and first word of the path."""

    def __init__(self, node: Node) -> None:
        self._node, self._core = node, node.core
        self._views = Views(node.core, node.core.clock.steady())
        self._mailbox, self._contents = Mailbox(node.core), Contents(node.core)
        self.table: dict[str, Handler] = {
            "GET whoami": self._whoami,
            "GET status": self._status,
            "GET quota": self._quota,
            "POST invite": self._invite,
            "GET contacts": self._contacts,
            "POST contacts": self._contact_add,
            "POST contact": self._contact_change,
            "POST resolve": self._resolve,
            "POST send": self._send,
            "POST mbox": self._mbox,
            "POST wait": self._wait,
            "GET sent": self._sent,
            "GET message": self._message,
            "POST retract": self._retract,
            "GET inbox": self._inbox,
            "GET mail": self._mail,
            "GET raw": self._raw,
            "POST read": self._read,
            "POST fetch": self._fetch,
            "POST delete": self._delete,
            "GET held": self._held,
            "POST allow": self._allow,
            "POST deny": self._deny,
            "GET owners": self._owners,
            "POST owners": self._owner_add,
            "POST token": self._owner_token,
        }

    # --- node --------------------------------------------------------------------------

    async def _whoami(self, call: Call) -> Any:
        return views.whoami(call.owner, self._core.config.origin)

    async def _status(self, call: Call) -> Any:
        return self._views.status(call.owner)

    async def _quota(self, call: Call) -> Any:
        return self._views.quota(call.owner)

    # --- contacts ----------------------------------------------------------------------

    async def _invite(self, call: Call) -> Any:
        body = await call.json()
        valid = body.get("valid", limits.INVITE_DEFAULT)
        if not isinstance(valid, int) or not SECOND <= valid <= limits.KEEP_LONGEST:
            raise Usage("an invite is valid for a second to 400 days", next="--valid 7d")
        id, now = self._core.randomness.bytes(4), self._core.now()
        at = self._core.config.origin

        def work(tx: Tables) -> Any:
            row = meet.make_invite(tx, call.owner, id, valid, now)
            link = meet.print_link(tx, row, at)
            return {"link": link, "expires": views.time(row.expires), "reach": views.reach(at)}

        return await self._core.db.transact(work)

    async def _contacts(self, call: Call) -> Any:
        return self._views.contacts(call.owner.owner)

    async def _contact_add(self, call: Call) -> Any:
        body = await call.json()
        link, name = _link(str(body.get("link", ""))), _optional(body, "name")
        now = self._core.now()
        if name is not None:
            meet.checked_name(name)

        def work(tx: Tables) -> Peer:
            return meet.add(tx, call.owner, link, name, now)

        row = await self._core.db.transact(work)
        self._core.outgoing.ring()
        return views.contact(await self._met(row))

    async def _met(self, row: Peer) -> Peer:
        """The row once both sides have it, or the other side said no, or 10 s passed."""
        with trio.move_on_after(10):
            while not row.met and row.refused is None:
                await trio.sleep(0.02)
                row = self._peer(row.owner, row.did) or row
        return row

    def _peer(self, owner: Key, did: Key) -> Peer | None:
        return self._core.db.read(lambda tx: tx.peers.get(owner, did))

    async def _contact_change(self, call: Call) -> Any:
        body = await call.json()
        text, action = str(body.get("contact", "")), str(body.get("action", ""))
        name = _optional(body, "name")

        def work(tx: Tables) -> Peer:
            row = meet.find(tx, call.owner.owner, text)
            return _changed(tx, row, action, name)

        row = await self._core.db.transact(work)
        return views.contact(row)

    # --- sending -----------------------------------------------------------------------

    async def _resolve(self, call: Call) -> Any:
        """Names to people, and what a composer needs beside them."""
        body = await call.json()
        rows = await self._recipients(call.owner, _texts(body, "to"))
        at = self._core.config.origin
        people = [views.contact(row) for row in rows]
        return {
            "from": views.whoami(call.owner, at),
            "to": [person | {"name": person["name"] or ""} for person in people],
            "now": self._core.now(),
            "id": self._core.randomness.bytes(16).hex(),
        }

    async def _recipients(self, owner: Owner, texts: Sequence[str]) -> list[Peer]:
        """The rows of those written to; strangers by address get one.

        Raises:
            NoContact: an unknown name; nothing was stored.
        """
        if not texts:
            raise Usage("nobody to send to", next="--to NAME")
        now = self._core.now()

        def work(tx: Tables) -> list[Peer]:
            found = [_recipient(tx, owner, text, now) for text in texts]
            return list({row.did: row for row in found}.values())

        return await self._core.db.transact(work)

    async def _terms(self, call: Call) -> Terms:
        rows = await self._recipients(call.owner, call.query.get("to", []))
        keep = call.number("keep") or limits.KEEP_DEFAULT
        keep_sent = None if call.one("keep_sent") is None else call.one("keep_sent") == "1"
        return Terms(to=tuple(row.did for row in rows), keep=keep, keep_sent=keep_sent)

    async def _send(self, call: Call) -> Any:
        # The declared size is enough to refuse it, in the words of a person.
        length, chunks = call.stream(UPLOAD)
        self._node.submission.check_size(length)
        terms = await self._terms(call)
        if is_small(length):
            content = b"".join([chunk async for chunk in chunks])
            message = (await self._node.submission.small(call.owner, [content], terms))[0]
        else:
            message = await self._node.submission.large(call.owner, chunks, length, terms)
        return await self._document(call.owner, message)

    async def _document(self, owner: Owner, message: Cid) -> Any:
        def work(tx: Tables) -> Any:
            row = tx.sent.get(owner.owner, message)
            assert row is not None
            return {
                "message": cids.show(message),
                "size": row.size,
                "deliveries": [
                    {
                        "to": views.name_of(tx, owner.owner, each.to),
                        "did": names.did(each.to),
                        "state": each.state,
                    }
                    for each in sorted(
                        tx.deliveries.scan(owner.owner, message), key=lambda d: d.stamp
                    )
                ],
            }

        return self._core.db.read(work)

    async def _mbox(self, call: Call) -> Any:
        length, chunks = call.stream(UPLOAD)
        terms = await self._terms(call)
        self._core.db.read(lambda tx: check_room(account(tx, call.owner.owner), length))
        made: list[Cid] = []
        try:
            await self._submit_all(call.owner, chunks, terms, made)
        except WillcallError as error:
            if made:
                error.args = (f"{error.text} (the {len(made)} messages before are sent)",)
                error.text = error.args[0].replace("; nothing was stored", "")
            raise
        return [await self._document(call.owner, each) for each in made]

    async def _submit_all(
        self, owner: Owner, chunks: AsyncIterator[bytes], terms: Terms, made: list[Cid]
    ) -> None:
        """Submits every message of an mbox; `made` tells how far it came."""
        group: list[bytes] = []
        async for content in _split(chunks, self._core.config.message):
            self._node.submission.check_size(len(content))
            if not is_small(len(content)):
                made += await self._submit(owner, group, terms)
                made.append(
                    await self._node.submission.large(owner, _whole(content), len(content), terms)
                )
                group = []
                continue
            group.append(content)
            if len(group) == TOGETHER or sum(map(len, group)) > GROUP:
                made += await self._submit(owner, group, terms)
                group = []
        made += await self._submit(owner, group, terms)

    async def _submit(self, owner: Owner, group: list[bytes], terms: Terms) -> list[Cid]:
        return await self._node.submission.small(owner, group, terms) if group else []

    async def _wait(self, call: Call) -> Any:
        """Waits until nothing is stored, notified or fetched; the documents, and whether."""
        body = await call.json()
        seconds = float(body.get("seconds", 2))
        pending = [cids.parse(text) for text in _texts(body, "messages")]
        named = list(pending)
        with trio.move_on_after(seconds):
            while pending:
                while pending and not self._is_pending(call.owner, pending[-1]):
                    pending.pop()
                if pending:
                    await trio.sleep(0.01)
        rows = [await self._document(call.owner, each) for each in named]
        return {"done": not pending, "messages": rows}

    def _is_pending(self, owner: Owner, message: Cid) -> bool:
        def work(tx: Tables) -> bool:
            rows = tx.deliveries.scan(owner.owner, message)
            return any(row.state in PENDING for row in rows)

        return self._core.db.read(work)

    # --- sent --------------------------------------------------------------------------

    async def _sent(self, call: Call) -> Any:
        me, before = call.owner.owner, call.one("before")
        last = None
        if before is not None:
            last = self._core.db.read(lambda tx: mailbox.find_sent(tx, me, before))
        return await self._views.sent_list(
            me, only_open=call.one("open") == "1", limit=call.number("limit"), before=last
        )

    async def _message(self, call: Call) -> Any:
        row = self._find_sent(call)
        return await self._views.sent(row, attempts=True)

    def _find_sent(self, call: Call) -> Sent:
        ref = _word(call)
        return self._core.db.read(lambda tx: mailbox.find_sent(tx, call.owner.owner, ref))

    async def _retract(self, call: Call) -> Any:
        row = await self._mailbox.retract(call.owner, _word(call))
        return await self._views.sent(row, attempts=True)

    # --- inbox -------------------------------------------------------------------------

    async def _inbox(self, call: Call) -> Any:
        me, after = call.owner.owner, call.number("after")
        limit = call.number("limit")
        rows = await self._views.inbox(me, limit=limit, after=after)
        if call.one("watch") == "1" and not rows:
            # Nothing waits between look and wait: what comes meanwhile is seen by this look.
            await self._core.arrivals.wait(30)
            rows = await self._views.inbox(me, limit=limit, after=after)
        return rows

    def _find_mail(self, call: Call) -> Mail:
        ref = _word(call)
        return self._core.db.read(lambda tx: mailbox.find_mail(tx, call.owner.owner, ref))

    async def _mail(self, call: Call) -> Any:
        return await self._views.mail(self._find_mail(call))

    async def _raw(self, call: Call) -> Any:
        """The bytes of a message, received or sent."""
        return self._contents.read(self._find_any(call))

    def _find_any(self, call: Call) -> Mail | Sent:
        me, ref = call.owner.owner, _word(call)

        def work(tx: Tables) -> Mail | Sent:
            try:
                return mailbox.find_mail(tx, me, ref)
            except Absent:
                if ref.isdigit():
                    raise
                return mailbox.find_sent(tx, me, ref)

        return self._core.db.read(work)

    async def _read(self, call: Call) -> Any:
        """The owner has looked at it."""
        row = self._find_any(call)
        if isinstance(row, Mail):
            await self._mailbox.mark_read(row)
        return {}

    async def _fetch(self, call: Call) -> Any:
        row = self._find_mail(call)
        await self._mailbox.call(call.owner, row)
        seconds = call.number("wait")
        with trio.move_on_after(10 if seconds is None else seconds):
            while row.state == "waiting":
                await trio.sleep(0.02)
                row = self._mail_row(call.owner, row.n) or row
        if row.state == "waiting":
            raise NotYet(f"message {row.n} was called for and is on its way", next="willcall inbox")
        return await self._views.mail(row)

    def _mail_row(self, owner: Owner, n: int) -> Mail | None:
        return self._core.db.read(lambda tx: tx.mails.get(owner.owner, n))

    async def _delete(self, call: Call) -> Any:
        body = await call.json()
        return {"deleted": await self._mailbox.delete(call.owner, _texts(body, "refs"))}

    # --- strangers ---------------------------------------------------------------------

    async def _held(self, call: Call) -> Any:
        return self._views.held(call.owner.owner)

    async def _allow(self, call: Call) -> Any:
        body = await call.json()
        ref, name = str(body.get("ref", "")), _optional(body, "name")
        if ref.startswith("did:"):
            did = names.parse_did(ref.partition("@")[0])
            row = await self._mailbox.allow_key(call.owner, did, name)
            return views.contact(await self._met(row))
        slot = await self._mailbox.allow_message(call.owner, ref)
        assert slot.message is not None
        return {"message": cids.show(slot.message), "did": names.did(slot.sender)}

    async def _deny(self, call: Call) -> Any:
        body = await call.json()
        slot = await self._mailbox.deny(call.owner, str(body.get("ref", "")))
        message = None if slot.message is None else cids.show(slot.message)
        return {"message": message, "did": names.did(slot.sender)}

    # --- owners ------------------------------------------------------------------------

    async def _owners(self, call: Call) -> Any:
        call.need_admin()
        rows = self._core.db.read(lambda tx: list(tx.owners.by("order")))
        at = self._core.config.origin
        return [
            views.whoami(row, at)
            | {"created": views.time(row.created), "quota": self._views.quota(row)}
            for row in rows
        ]

    async def _owner_add(self, call: Call) -> Any:
        call.need_admin()
        body = await call.json()
        config = self._core.config
        name = owners.checked_name(str(body.get("name", "")))
        quota = size(str(body.get("quota") or config.capacity.quota))
        made = await owners.make(
            self._core.db,
            self._core.randomness,
            name=name,
            endpoints=(Endpoint(origin=config.origin),),
            now=self._core.now(),
            quota=quota,
        )
        return views.whoami(made.owner, config.origin) | {
            "quota": quota,
            "recovery_phrase": made.phrase,
        }

    async def _owner_token(self, call: Call) -> Any:
        call.need_admin()
        name = _word(call)
        token = await owners.new_token(self._core.db, self._core.randomness, name)
        return {"owner": name, "token": token}


def _recipient(tx: Tables, owner: Owner, text: str, now: Instant) -> Peer:
    """A contact, the owner itself, or a stranger by address."""
    try:
        return meet.find(tx, owner.owner, text)
    except NoContact:
        if text == owner.name or text.startswith(names.did(owner.owner)):
            return _itself(tx, owner)
        if text.startswith("did:key:") and "@" in text:
            return meet.written_to(tx, owner, meet.parse_link(text), now)
        raise


def _itself(tx: Tables, owner: Owner) -> Peer:
    """An owner is its own, unlisted contact."""
    row = tx.peers.get(owner.owner, owner.owner)
    if row is None:
        at = owners.record_of(owner).claim.nodes[0].origin
        row = Peer(owner=owner.owner, did=owner.owner, origin=at)
        tx.peers.put(row)
    return row


def _changed(tx: Tables, row: Peer, action: str, name: str | None) -> Peer:
    if action == "block":
        return meet.block(tx, row)
    if action == "remove":
        meet.remove(tx, row)
        return row
    if action == "rename" and name is not None:
        row = meet.name_it(tx, row, meet.checked_name(name))
        tx.peers.put(row)
        return row
    if action == "show":
        return row
    raise Usage(f"a contact can't be {action[:20]!r}")


def _link(text: str) -> meet.Link:
    if "@" in text and "://" not in text and not text.startswith("did:"):
        raise Usage(
            "names at domains come in a later version",
            next="ask for an invite link, or an address did:key:z6Mk…@host:port",
        )
    return meet.parse_link(text)


def _optional(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def _texts(body: dict[str, Any], name: str) -> list[str]:
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Malformed(f"{name} is a list of texts")
    return value


def _word(call: Call) -> str:
    if len(call.words) != 1:
        raise Malformed("this call names one thing in its path")
    return call.words[0]


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _split(chunks: AsyncIterator[bytes], largest: int) -> AsyncIterator[bytes]:
    """Messages of an mbox that arrives in pieces."""
    splitter = mbox.Splitter(largest=largest)
    async for chunk in chunks:
        for content in splitter.feed(chunk):
            yield content
    for content in splitter.end():
        yield content
