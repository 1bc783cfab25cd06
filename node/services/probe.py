"""Can others reach us? A contact's node is made to come here, and is seen to.

No call of the protocol says "call me back", but every announcement of mail means it: whoever
takes it picks the mail up where its sender says it is. So a contact is told of a message that
was withdrawn already. Its node comes for it, at the origin of our record, over the same TLS and
with the same pin as for any mail, is answered 410, and drops it: nobody is shown anything.

    notification ─▶ accepted ─▶ GET /v1/blocks/… at our origin, with the ticket ─▶ 410 ─▶ over

What it proves: from where that contact's node is, mail can be fetched from here. Spec: 06.
"""

from dataclasses import dataclass

import trio

from node.crypto import sealed
from node.encoding import origin as origins
from node.encoding.cid import OBJECT_PREFIX, Cid
from node.errors import WillcallError
from node.machines.rows import Owner, Peer
from node.objects import notification
from node.objects.notification import Notification
from node.objects.receipt import RETRACTION, Retraction
from node.ports import Tables
from node.services.calls import Calls
from node.services.core import Core
from node.services.greet import Greeter, Met
from node.units import DAY, Instant

PATIENCE = 25.0
"""Seconds for the contact's node to come: it greets us first, and may have others to serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What came of it.

    Attributes:
        state: `reached`; `not-reached`: it took the word and did not come; `unknown`: it could
            not be asked.
        source: from which address it came.
        why: the answer, or what was in the way.
    """

    state: str
    source: str | None = None
    why: str | None = None


class Prober:
    """Asks contacts to come."""

    def __init__(self, core: Core, calls: Calls, greeter: Greeter) -> None:
        self._core, self._calls, self._greeter = core, calls, greeter

    async def ask(self, owner: Owner, row: Peer) -> Reached:
        """Makes the node of one contact come here; waits for it."""
        message = Cid(OBJECT_PREFIX + self._core.randomness.bytes(32))
        expected = self._core.probes.expect(message, self._core.randomness.bytes(16))
        try:
            met = await self._greeter.meet(owner, row)
            answer = await self._announce(met, message, expected.ticket)
            if answer != "accepted":
                return Reached(state="unknown", why=answer)
            with trio.move_on_after(PATIENCE):
                await expected.came.wait()
            if expected.source is None:
                await self._withdraw(met, message)
                return Reached(state="not-reached")
            return Reached(state="reached", source=expected.source)
        except WillcallError as error:
            return Reached(state="unknown", why=error.reason)
        finally:
            self._core.probes.forget(message)

    async def _announce(self, met: Met, message: Cid, ticket: bytes) -> str:
        now, me = self._core.now(), met.owner.owner
        item = Notification(
            sender=me,
            to=met.peer.did,
            message=message,
            size=1,
            key=sealed.box(self._core.randomness.bytes(32), met.record.sealing),
            ticket=ticket,
            issued=now,
            keep_until=Instant(now + DAY),
            origin=self._core.config.origin,
            capability=met.peer.capability,
        )
        batch = notification.sign_batch(me, [notification.encode(item)], met.owner.signing)
        block = notification.encode_batch(batch)
        (answer,) = await self._calls.notifications(met.at, block, 1)
        return answer.state if answer.reason is None else answer.reason

    async def _withdraw(self, met: Met, message: Cid) -> None:
        """It need not try for a day what it could not fetch at once."""
        now, me = self._core.now(), met.owner.owner
        gone = Retraction(sender=me, to=met.peer.did, message=message, at=now)
        block = RETRACTION.sign(gone, met.owner.signing)
        await self._calls.one(met.at, "/v1/retractions", block)


def fitting(tx: Tables, owner: Owner, own: str) -> list[Peer]:
    """Contacts that could be asked, those heard of last first; never of this very node."""
    rows = [
        row
        for row in tx.peers.by("named", owner.owner)
        if row.met and not row.blocked and row.heir is None
    ]
    found = [row for row in rows if own not in row.greeted and row.did != owner.owner]
    return sorted(found, key=lambda row: (row.silent, -row.nudged_at))


def seen_from(source: str) -> str:
    """How far away an address is: `this machine`, `this network` or `outside`."""
    at = f"[{source}]:1" if ":" in source else f"{source}:1"
    if not source or origins.is_loopback(at):
        return "this machine"
    return "this network" if origins.is_private(at) else "outside"
