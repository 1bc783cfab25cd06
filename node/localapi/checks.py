"""What `doctor` asks a running node: facts that only it has, and a contact that is made to come."""

from typing import Any

import trio

from node.errors import NoContact, Unreachable
from node.localapi.call import Call, Handler, optional
from node.localapi.monitor import Watched
from node.machines.rows import Peer
from node.ports import Tables
from node.services import find, greet, petnames, probe, views, vitals
from node.services.node import Node
from node.units import Key

ASKED = 3
"""Contacts that are asked for the time, or to come: one may be down, two may be wrong."""
PATIENCE = 15.0
"""Seconds for all of them to say what their clocks say."""


class CheckCalls:
    """Facts for `doctor`."""

    def __init__(self, node: Node, watched: Watched) -> None:
        self._node, self._core, self._process = node, node.core, watched.process
        self.table: dict[str, Handler] = {"GET checkup": self._checkup, "POST reach": self._reach}

    async def _checkup(self, call: Call) -> Any:
        row = vitals.look(self._core, self._node.sweeper)
        process = None if self._process is None else self._process()
        return {
            "now": views.time(self._core.now()),
            "clocks": await self._clocks(call),
            "clock_believed": row.clock_believed,
            "verified": views.time(row.verified),
            "backed_up": views.time(row.backed_up),
            "descriptors": None if process is None else process.descriptors_most,
            "full": row.full,
            "late": row.late,
            "archives": self._archives(call),
        }

    def _archives(self, call: Call) -> list[dict[str, Any]]:
        """Those that need somebody: their key signed two histories, or they were restored."""

        def work(tx: Tables) -> list[dict[str, Any]]:
            found = [row for row in tx.archives.scan() if row.fork or row.behind]
            return [
                {"name": row.name, "forked": bool(row.fork), "owner": _other(tx, call, row.owner)}
                for row in sorted(found, key=lambda row: row.name)
            ]

        return self._core.db.read(work)

    async def _clocks(self, call: Call) -> list[dict[str, Any]]:
        """How far the clocks of some contacts' nodes are ahead of ours, in milliseconds."""
        found: list[dict[str, Any]] = []
        with trio.move_on_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for row in self._others(call)[:ASKED]:
                    nursery.start_soon(self._clock, row, found)
        return found

    async def _clock(self, row: Peer, found: list[dict[str, Any]]) -> None:
        at = greet.place(row)
        if at is None:
            return
        before = self._core.now()
        try:
            theirs = await self._node.calls.clock(at)
        except Unreachable:
            return
        # Theirs was read somewhere between our question and its answer.
        ours = (before + self._core.now()) // 2
        found.append({"contact": row.name, "ahead": theirs - ours})

    def _others(self, call: Call) -> list[Peer]:
        at = self._core.config.origin
        return self._core.db.read(lambda tx: probe.fitting(tx, call.owner, at))

    async def _reach(self, call: Call) -> Any:
        """Makes one contact's node come here; the first that can be asked, or the one named."""
        name = optional(await call.json(), "contact")
        rows = self._others(call)
        if name is not None:
            wanted = self._core.db.read(lambda tx: _named(tx, call, name))
            rows = [row for row in rows if row.did == wanted.did]
        if not rows:
            raise NoContact(
                "there is no contact at another node who could be asked to come here",
                next="willcall invite, or willcall contact list",
            )
        tried = []
        for row in rows[:ASKED]:
            made = await self._node.prober.ask(call.owner, row)
            tried.append(
                {
                    "contact": row.name,
                    "state": made.state,
                    "source": made.source,
                    "from": None if made.source is None else probe.seen_from(made.source),
                    "why": made.why,
                }
            )
            if made.state != "unknown":
                break
        return {"origin": self._core.config.origin, "tried": tried}


def _other(tx: Tables, call: Call, did: Key) -> str | None:
    """What an owner is called whom a command has to name; None: it is who asks."""
    row = tx.owners.get(did)
    return None if did == call.owner.owner or row is None else row.name


def _named(tx: Tables, call: Call, name: str) -> Peer:
    me = call.owner.owner
    return petnames.find(tx, me, find.known(tx, me, name))
