"""Contacts and invites."""

from typing import Any

import trio

from node import limits
from node.crypto import phrase
from node.encoding import names
from node.errors import Malformed, NoContact, Usage
from node.localapi.call import Call, Handler, optional
from node.machines.rows import Peer
from node.ports import Tables
from node.services import find, meet, owners, petnames, succession, views
from node.services.core import Core
from node.services.node import Node
from node.services.views import Views
from node.units import SECOND, Instant, Key


class ContactCalls:
    """Whom an owner knows."""

    def __init__(self, node: Node) -> None:
        self._core, self._finder = node.core, node.finder
        self._views = Views(node.core, node.core.clock.steady())
        self.table: dict[str, Handler] = {
            "POST invite": self._invite,
            "GET contacts": self._contacts,
            "POST contacts": self._contact_add,
            "POST contact": self._contact_change,
            "POST verify": self._verify,
        }

    async def _invite(self, call: Call) -> Any:
        owners.check_current(call.owner)
        body = await call.json()
        valid = body.get("valid", limits.INVITE_DEFAULT)
        if not isinstance(valid, int) or not SECOND <= valid <= limits.KEEP_LONGEST:
            raise Usage("an invite is valid for a second to 400 days", next="--valid 7d")
        id, now = self._core.randomness.bytes(4), self._core.now()
        config = self._core.config
        reach = views.reach(config.origin, inbound=config.network.inbound)

        def work(tx: Tables) -> Any:
            row = meet.make_invite(tx, call.owner, id, valid, now)
            link = meet.print_link(tx, row, config.origin)
            return {"link": link, "expires": views.time(row.expires), "reach": reach}

        return await self._core.db.transact(work)

    async def _contacts(self, call: Call) -> Any:
        return self._views.contacts(call.owner.owner)

    async def _contact_add(self, call: Call) -> Any:
        body = await call.json()
        name = optional(body, "name")
        if name is not None:
            petnames.checked(name)
        owners.check_current(call.owner)
        link, now = await self._finder.link(str(body.get("link", ""))), self._core.now()
        await self._finder.succeeded(call.owner.owner, link)

        def work(tx: Tables) -> Peer:
            find.pin(tx, call.owner.owner, link, now)
            return meet.add(tx, call.owner, link, name, now)

        row = await self._core.db.transact(work)
        self._core.outgoing.ring()
        return views.contact(await met(self._core, row))

    async def _contact_change(self, call: Call) -> Any:
        body = await call.json()
        text, action = str(body.get("contact", "")), str(body.get("action", ""))
        name, now = optional(body, "name"), self._core.now()

        def work(tx: Tables) -> Peer:
            me = call.owner.owner
            who = find.known(tx, me, text)
            if action == "block" and who.startswith("did:"):
                return meet.block(tx, _anybody(tx, me, who), now)
            row = petnames.find(tx, me, who)
            # Whoever was only written to by a name is no contact, but has a key that is pinned.
            freed = action == "remove" and find.unpin(tx, me, row.did)
            return _changed(tx, row if freed else _known(row), action, name, now)

        row = await self._core.db.transact(work)
        self._core.outgoing.ring()
        return views.everything(row)

    async def _verify(self, call: Call) -> Any:
        """The six words for a contact; with `confirmed`, notes that both sides saw the same."""
        body = await call.json()
        text, confirmed = str(body.get("contact", "")), body.get("confirmed") is True
        now = self._core.now()

        def work(tx: Tables) -> Peer:
            me = call.owner.owner
            row = _known(petnames.find(tx, me, find.known(tx, me, text)))
            if confirmed:
                row = row.but(verified=now)
                tx.peers.put(row)
            return row

        row = await self._core.db.transact(work)
        return views.contact(row) | {"words": phrase.compared(call.owner.owner, row.did)}


async def met(core: Core, row: Peer) -> Peer:
    """The row once our introduction was answered, or did not get through, or 10 s passed."""
    owner, did = row.owner, row.did
    with trio.move_on_after(10):
        while row.introduce and row.refused is None:
            await trio.sleep(0.02)
            row = core.db.read(lambda tx: _now(tx, owner, did)) or row
    return row


def _now(tx: Tables, owner: Key, did: Key) -> Peer | None:
    """The row as it is now: its key may just have turned out to be replaced."""
    found = tx.peers.get(owner, did)
    return found if found is None or found.name is not None else succession.following(tx, found)


def _anybody(tx: Tables, me: Key, text: str) -> Peer:
    """Whoever has a key, known or not: it is blocked before it ever writes, too.

    Raises:
        NoContact: it is no key.
        Usage: it is one's own.
    """
    try:
        return petnames.find(tx, me, text)
    except NoContact:
        try:
            did = names.parse_did(text.partition("@")[0])
        except Malformed:
            pass
        else:
            if did == me:
                raise Usage("this is your own key", next="willcall contact list") from None
            return Peer(owner=me, did=did)
        raise


def _known(row: Peer) -> Peer:
    """Raises NoContact for somebody who is neither a contact nor blocked."""
    if row.name is None and not row.blocked:
        raise NoContact(
            f"{names.did(row.did)} is no contact", next="willcall contact add LINK|ADDRESS"
        )
    return row


def _changed(tx: Tables, row: Peer, action: str, name: str | None, now: Instant) -> Peer:
    if action == "block":
        return meet.block(tx, row, now)
    if action == "unblock":
        return meet.unblock(tx, row, now)
    if action == "remove":
        meet.remove(tx, row)
        return row
    if action == "rename":
        row = petnames.give(tx, row, petnames.checked(name or ""))
        tx.peers.put(row)
        return row
    if action == "show":
        return row
    raise Usage(f"a contact can't be {action[:20]!r}")
