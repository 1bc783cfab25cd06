"""Submission, and what became of it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import trio

from node import limits
from node.discovery import webfinger
from node.encoding import cid as cids
from node.encoding import names
from node.encoding.cid import Cid
from node.errors import NoContact, Usage, WillcallError
from node.localapi.call import Call, Handler, texts, word
from node.machines.rows import Owner, Peer, Sent
from node.mail import mbox
from node.ports import Tables
from node.services import find, mailbox, meet, owners, petnames, succession, views
from node.services.ledger import account, check_room
from node.services.mailbox import Mailbox
from node.services.node import Node
from node.services.submit import Terms, is_small
from node.services.views import Views
from node.units import GIB, MIB, ByteCount, Instant

PENDING = ("stored", "notified", "fetched")
GROUP = ByteCount(4 * MIB)
"""Content gathered before one transaction: hundreds of list mails, and little memory."""
TOGETHER = 256
"""Messages of one transaction."""
UPLOAD = ByteCount(64 * GIB)
"""The largest upload, an mbox: it is streamed, so its size costs time, not memory."""


class SendingCalls:
    """What an owner sends and has sent."""

    def __init__(self, node: Node) -> None:
        self._node, self._core, self._finder = node, node.core, node.finder
        self._views, self._mailbox = Views(node.core, node.core.clock.steady()), Mailbox(node.core)
        self.table: dict[str, Handler] = {
            "POST resolve": self._resolve,
            "POST send": self._send,
            "POST mbox": self._mbox,
            "POST wait": self._wait,
            "GET sent": self._sent,
            "GET message": self._message,
            "POST retract": self._retract,
        }

    async def _resolve(self, call: Call) -> Any:
        """Names to people, and what a composer needs beside them; each person once."""
        body = await call.json()
        told = {field: texts(body, field) for field in ("to", "cc", "bcc")}
        rows = await self._recipients(call.owner, [t for each in told.values() for t in each])
        at, seen = self._core.config.origin, set[bytes]()
        people: dict[str, Any] = {field: [] for field in told}
        fields = (field for field in told for _ in told[field])
        for row, field in zip(rows, fields, strict=True):
            if row.did not in seen:
                people[field].append(_person(call.owner, row, at))
                seen.add(row.did)
        me, id = views.whoami(call.owner, at), self._core.randomness.bytes(16).hex()
        return people | {"from": me, "now": self._core.now(), "id": id}

    async def _recipients(self, owner: Owner, texts: Sequence[str]) -> list[Peer]:
        """The rows of those written to, one for each text; strangers by address get one.

        Raises:
            NoContact: an unknown name; nothing was stored.
        """
        if not texts:
            raise Usage("nobody to send to", next="--to NAME")
        looked_up = {text: await self._finder.link(text) for text in self._new(owner, texts)}
        now = self._core.now()

        def work(tx: Tables) -> list[Peer]:
            return [_recipient(tx, owner, text, looked_up.get(text), now) for text in texts]

        return await self._core.db.transact(work)

    def _new(self, owner: Owner, texts: Sequence[str]) -> list[str]:
        """Names at domains that were never looked up."""

        def work(tx: Tables) -> list[str]:
            told = [text for text in texts if webfinger.is_handle(text.strip())]
            return [t for t in told if webfinger.is_handle(find.known(tx, owner.owner, t))]

        return self._core.db.read(work)

    async def _terms(self, call: Call) -> Terms:
        owners.check_current(call.owner)
        rows = await self._recipients(call.owner, call.query.get("to", []))
        keep = call.number("keep") or limits.KEEP_DEFAULT
        keep_sent = None if call.one("keep_sent") is None else call.one("keep_sent") == "1"
        to = tuple(dict.fromkeys(row.did for row in rows))
        return Terms(to=to, keep=keep, keep_sent=keep_sent)

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
        seconds = body.get("seconds", 2)
        if not isinstance(seconds, int | float) or seconds < 0:
            raise Usage("seconds is a number from 0", next="--wait 10")
        pending = self._all_sent(call.owner, texts(body, "messages"))
        named = list(pending)
        with trio.move_on_after(seconds):
            while pending:
                while pending and not self._is_pending(call.owner, pending[-1]):
                    pending.pop()
                if pending:
                    await trio.sleep(0.01)
        rows = [await self._document(call.owner, each) for each in named]
        return {"done": not pending, "messages": rows}

    def _all_sent(self, owner: Owner, names: Sequence[str]) -> list[Cid]:
        """Messages of the owner, by their whole names.

        Raises:
            Absent: there is no such message; Malformed: no name of one.
        """

        def work(tx: Tables) -> list[Cid]:
            parsed = [cids.parse(text) for text in names]
            return [mailbox.find_sent(tx, owner.owner, cids.show(each)).message for each in parsed]

        return self._core.db.read(work)

    def _is_pending(self, owner: Owner, message: Cid) -> bool:
        def work(tx: Tables) -> bool:
            rows = tx.deliveries.scan(owner.owner, message)
            return any(row.state in PENDING for row in rows)

        return self._core.db.read(work)

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
        ref = word(call)
        return self._core.db.read(lambda tx: mailbox.find_sent(tx, call.owner.owner, ref))

    async def _retract(self, call: Call) -> Any:
        row = await self._mailbox.retract(call.owner, word(call))
        return await self._views.sent(row, attempts=True)


def _recipient(
    tx: Tables, owner: Owner, text: str, looked_up: meet.Link | None, now: Instant
) -> Peer:
    """A contact, the owner itself, or a stranger by address or by name at a domain."""
    if looked_up is not None:
        find.pin(tx, owner.owner, looked_up, now)
        itself = looked_up.did == owner.owner
        return _itself(tx, owner) if itself else meet.written_to(tx, owner, looked_up, now)
    text = find.known(tx, owner.owner, text)
    try:
        return succession.following(tx, petnames.find(tx, owner.owner, text))
    except NoContact:
        if text == owner.name or text.startswith(names.did(owner.owner)):
            return _itself(tx, owner)
        if text.startswith("did:key:") and "@" in text:
            return meet.written_to(tx, owner, meet.parse_link(text), now)
        raise


def _person(owner: Owner, row: Peer, at: str) -> dict[str, Any]:
    """Who is written into a header section."""
    if row.did == owner.owner:
        return views.whoami(owner, at)
    return views.contact(row)


def _itself(tx: Tables, owner: Owner) -> Peer:
    """An owner is its own, unlisted contact."""
    row = tx.peers.get(owner.owner, owner.owner)
    if row is None:
        at = owners.record_of(owner).claim.nodes[0].origin
        row = Peer(owner=owner.owner, did=owner.owner, origin=at)
        tx.peers.put(row)
    return row


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _split(chunks: AsyncIterator[bytes], largest: int) -> AsyncIterator[bytes]:
    """Messages of an mbox that arrives in pieces."""
    splitter = mbox.Splitter(largest=largest)
    async for chunk in chunks:
        for message in splitter.feed(chunk):
            yield message.content
    for message in splitter.end():
        yield message.content
