"""Strangers: what they have pending, what is known of them, and what their owner makes of it."""

from typing import Any

import msgspec
import trio

from node import limits
from node.encoding import cid as cids
from node.encoding import names
from node.errors import Absent, Malformed, OverQuota, Usage, WillcallError
from node.localapi import places, replay
from node.localapi.call import Call, Handler, optional
from node.localapi.contacts import met
from node.machines.rows import Barred, Held, Mail, Promise
from node.objects import report
from node.objects.record import Endpoint
from node.policy import decide
from node.ports import Tables
from node.services import ring, strangers, views
from node.services.evidence import Evidence, digest
from node.services.mailbox import Mailbox, find_allowed, find_held, find_mail
from node.services.node import Node
from node.units import Instant, Key

PATIENCE = 2.0
"""Seconds: call-backs that are under way are waited for, so that what just came can be shown."""


class StrangerCalls:
    """Who would like to be known."""

    def __init__(self, node: Node) -> None:
        self._core, self._node = node.core, node
        self._who, self._mailbox = node.strangers, Mailbox(node.core)
        self._trial = Evidence(node.core, node.calls, node.strangers.evidence.world)
        self.table: dict[str, Handler] = {
            "GET held": self._looked(self._held),
            "POST allow": self._looked(self._allow),
            "POST deny": self._looked(self._deny),
            "GET explain": self._looked(self._explain),
            "POST try": self._try,
            "GET report": self._looked(self._report),
            "GET barred": self._barred,
            "POST bar": self._bar,
            "GET storm": self._storm,
            "GET strangers": self._numbers,
            "POST storm": self._set_storm,
        }

    def _looked(self, handler: Handler) -> Handler:
        """Who was told `held` a moment ago is found by the owner, too."""

        async def answer(call: Call) -> Any:
            self._who.look()
            return await handler(call)

        return answer

    # --- what is held -----------------------------------------------------------------------

    async def _held(self, call: Call) -> Any:
        me = call.owner.owner
        if call.words == ["raw"]:  # shown or not: a policy judges all of them
            slots = self._core.db.read(lambda tx: list(tx.held.by("n", me)))
            return [replay.recorded(slot) for slot in slots if slot.proof is not None]
        with trio.move_on_after(PATIENCE):
            busy = self._node.callbacks.busy(me)
            while busy:
                await trio.sleep(0.02)
                busy = self._node.callbacks.busy(me)
        now = self._core.now()
        return self._core.db.read(
            lambda tx: [self._shown(tx, row, now) for row in tx.held.by("n", me) if row.shown]
        )

    def _shown(self, tx: Tables, row: Held, now: Instant) -> views.Document:
        facts = self._who.facts(tx, row)
        return views.held(row, facts, self._who.decision(facts, now), now)

    async def _allow(self, call: Call) -> Any:
        body = await call.json()
        ref, name = str(body.get("ref", "")), optional(body, "name")
        if ref.startswith("did:"):
            did = names.parse_did(ref.partition("@")[0])
            row = await self._mailbox.allow_key(call.owner, did, name)
            return views.contact(await met(self._core, row))
        slot = await self._mailbox.allow_message(call.owner, ref)
        assert slot.message is not None
        return {"message": cids.show(slot.message), "did": names.did(slot.sender)}

    async def _deny(self, call: Call) -> Any:
        body = await call.json()
        slot = await self._mailbox.deny(call.owner, str(body.get("ref", "")))
        message = None if slot.message is None else cids.show(slot.message)
        return {"message": message, "did": names.did(slot.sender)}

    # --- policy -------------------------------------------------------------------------------

    async def _explain(self, call: Call) -> Any:
        """Which rule decided about a message, on what evidence."""
        me, ref, now = call.owner.owner, call.words[0] if call.words else "", self._core.now()

        def work(tx: Tables) -> Any:
            slot = _either(tx, me, ref)
            if isinstance(slot, Mail | Promise):
                return _of_known(tx, me, slot)
            facts = self._who.facts(tx, slot)
            made = self._who.decision(facts, now)
            return {
                "message": None if slot.message is None else cids.show(slot.message),
                "did": names.did(slot.sender),
                "policy": self._who.profile,
                "verdict": made.verdict,
                "rule": made.rule,
                "why": made.why,
                "marks": list(made.marks),
                "visible": bool(slot.shown),
                "waits": _waits(slot, self._core.config.origin),
                "facts": views.of_facts(facts, now),
            }

        return self._core.db.read(work)

    async def _try(self, call: Call) -> Any:
        """What each profile would have made of recorded notifications."""
        body = await call.json()
        rows, now = body.get("rows"), self._core.now()
        if not isinstance(rows, list):
            raise Malformed("rows is a list of what `willcall held --json` or `--raw` prints")
        rows = rows[: limits.VALUES]
        me, who = call.owner.owner, replay.Trial(self._core.db, self._who, self._trial)
        return [await who.tried(me, row, now) for row in rows]

    # --- reports ------------------------------------------------------------------------------

    async def _report(self, call: Call) -> Any:
        """Evidence, record and what was picked up, to be checked by anybody."""
        me, ref = call.owner.owner, call.words[0] if call.words else ""
        found = self._core.db.read(lambda tx: _either(tx, me, ref))
        if found.message is None:
            raise Usage("this is an introduction, not a message", next="willcall held")
        promise, known, root = self._core.db.read(lambda tx: _kept(tx, me, found))
        evidence = None if promise is None else promise.proof
        if isinstance(found, Held):
            evidence, known = found.proof, known or await self._told(found)
        made = report.Report(
            willcall_report=1,
            message=cids.show(found.message),
            author=names.did(found.sender),
            evidence=report.encoded(evidence),
            record=report.encoded(known),
            root=report.encoded(root),
            key=report.encoded(found.key) if isinstance(found, Mail) and root else None,
            said=_said(found, promise),
        )
        return msgspec.to_builtins(made)

    async def _told(self, slot: Held) -> bytes | None:
        """The record of a stranger, as its node tells it now."""
        at = ring.place(slot)
        if at is None or not strangers.may_call(slot, self._core.config.origin):
            return None
        try:
            return (
                await self._node.calls.owner(
                    Endpoint(origin=at), slot.sender, only=strangers.aim(slot)
                )
            ).block
        except WillcallError:
            return None

    # --- domains and networks, and the storm -----------------------------------------------------

    async def _barred(self, call: Call) -> Any:
        """All that is blocked: keys, of contacts and of others, then domains and networks."""
        me = call.owner.owner

        def work(tx: Tables) -> list[dict[str, Any]]:
            keys = [row for row in tx.peers.scan(me) if row.blocked]
            return [
                *(
                    {"word": names.did(row.did), "name": row.name, "at": views.time(row.blocked_at)}
                    for row in keys
                ),
                *(
                    {"word": row.word, "name": None, "at": views.time(row.at)}
                    for row in tx.barred.scan(me)
                ),
            ]

        return self._core.db.read(work)

    async def _bar(self, call: Call) -> Any:
        """Blocks a domain or network for strangers, or lets it in again."""
        body = await call.json()
        me, now = call.owner.owner, self._core.now()
        word = places.word(str(body.get("word", "")), self._who.evidence.world.registrable)
        row = Barred(owner=me, id=digest(word), word=word, at=now)

        def work(tx: Tables) -> None:
            if body.get("free") is True:
                tx.barred.delete(row)
                return
            if sum(1 for _ in tx.barred.scan(me)) >= limits.BARRED:
                raise OverQuota(f"at most {limits.BARRED} domains and networks can be blocked")
            tx.barred.put(row)
            for slot in list(tx.held.scan(me)):
                if word in (slot.network, slot.domain, slot.reverse_domain):
                    ring.drop(tx, me, slot.sender)

        await self._core.db.transact(work)
        return {"word": word, "blocked": body.get("free") is not True}

    async def _storm(self, call: Call) -> Any:
        since = self._core.db.read(lambda tx: tx.node()).storm
        return {"storm": bool(since), "since": views.time(since)}

    async def _numbers(self, call: Call) -> Any:
        """What strangers cost the node since it started."""
        return {
            "checked": self._node.gate.checked,
            "waiting": len(self._who.doorstep) + len(self._who.waiting) + len(self._who.asking),
        }

    async def _set_storm(self, call: Call) -> Any:
        body = await call.json()
        on, now = body.get("on") is True, self._core.now()

        def work(tx: Tables) -> None:
            node = tx.node()
            since = node.storm or now if on else Instant(0)
            tx.put_node(node.but(storm=since))

        await self._core.db.transact(work)
        return await self._storm(call)


def _either(tx: Tables, owner: Key, ref: str) -> Held | Mail | Promise:
    """What is held, in the inbox, or was allowed and is neither any more."""
    if not ref.isdigit():
        try:
            return find_held(tx, owner, ref)
        except Absent:
            if ref.startswith("did:"):
                raise
    try:
        found = find_mail(tx, owner, ref)
    except Absent:
        allowed = find_allowed(tx, owner, ref)
        if allowed is None:
            raise
        return allowed
    if found.imported:
        # What its owner sealed would accuse its owner.
        raise Absent(
            f"message {found.n} was imported: nobody's key vouches for it, and no rule decided",
            reason="no-proof",
            next="willcall held",
        )
    return found


def _kept(
    tx: Tables, me: Key, found: Held | Mail | Promise
) -> tuple[Promise | None, bytes | None, bytes | None]:
    """What is kept of a message's author: promise and record; and the root that was picked up."""
    assert found.message is not None
    promise = tx.promises.get(me, found.sender, found.message)
    peer, block = tx.peers.get(me, found.sender), tx.blocks.get(found.message)
    root = None
    if isinstance(found, Mail) and block is not None and block.refs:
        root = tx.blocks.data(block)
    return promise, None if peer is None else peer.record, root


def _said(found: Held | Mail | Promise, promise: Promise | None) -> dict[str, str | None]:
    held = found if isinstance(found, Held) else promise
    came = None if held is None else held.came
    if isinstance(found, Held | Mail):
        came = came or (found.received if isinstance(found, Held) else found.heard)
    made = {
        "source": None if held is None else held.source,
        "domain": None if held is None else held.domain,
        "proven": None if held is None else held.by,
        "received": views.time(came),
    }
    return made if held is found else made | {"promise": None if promise is None else promise.state}


def _of_known(tx: Tables, owner: Key, row: Mail | Promise) -> Any:
    peer = tx.peers.get(owner, row.sender)
    allowed = tx.promises.get(owner, row.sender, row.message)
    known = peer is not None and peer.name is not None
    rule = "allowed" if allowed is not None else "contact"
    why = "from a contact" if allowed is None else f"its owner allowed it{_kept_or_not(allowed)}"
    if not known and allowed is None:
        rule, why = "contact", "its sender was a contact then"
    return {
        "message": cids.show(row.message),
        "did": names.did(row.sender),
        "policy": None,
        "verdict": decide.ACCEPT,
        "rule": rule,
        "why": why,
        "marks": [],
        "visible": True,
        "waits": None,
        "facts": None if allowed is None else {"source": allowed.source, "domain": allowed.domain},
    }


def _kept_or_not(allowed: Promise) -> str:
    if allowed.state != "broken":
        return ""
    until = views.time(allowed.keep_until)
    return f"; its sender does not keep it any more, and had signed that it would until {until}"


def _waits(slot: Held, own: str) -> str | None:
    """Why it is not shown yet."""
    if slot.shown:
        return None
    if not strangers.may_call(slot, own):
        return "nothing proves that it came from there: its origin is not called"
    if not slot.answered:
        return "its origin has not answered a call"
    return "its origin has to answer once more, later"
