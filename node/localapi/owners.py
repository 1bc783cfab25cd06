"""The node, and the owners it works for."""

from dataclasses import asdict
from typing import Any

from node.config import size
from node.encoding import names
from node.errors import ConfigBroken, Usage
from node.localapi.call import Call, Handler, optional, word
from node.localapi.rights import FEED, MONITOR, OWNER
from node.machines.rows import Owner, Token
from node.ports import Tables
from node.services import (
    arrive,
    backup,
    devices,
    holdings,
    leave,
    ledger,
    meet,
    owners,
    views,
)
from node.services.node import Node
from node.services.views import Views

PATIENCE = 5.0
"""Seconds in which peers hear that an owner's open mail is withdrawn: one is enough for a node
that runs."""


class OwnerCalls:
    """Who lives here, and how the node is."""

    def __init__(self, node: Node) -> None:
        self._node, self._core, self._sweeper = node, node.core, node.sweeper
        self._views = Views(node.core, node.core.clock.steady())
        self.table: dict[str, Handler] = {
            "GET whoami": self._whoami,
            "GET status": self._status,
            "GET quota": self._quota,
            "GET owners": self._owners,
            "POST owners": self._owner_add,
            "POST rename": self._owner_rename,
            "POST quota": self._owner_quota,
            "GET leaving": self._leaving,
            "POST remove": self._owner_remove,
            "GET tokens": self._tokens,
            "POST token": self._token,
            "POST revoke": self._revoke,
        }

    async def _whoami(self, call: Call) -> Any:
        """Name and key, and every address that the record gives."""
        known = owners.record_of(call.owner).claim
        did, heir = names.did(call.owner.owner), known.successor
        return views.whoami(call.owner, self._core.config.origin) | {
            "addresses": [f"{did}@{node.origin}" for node in known.nodes],
            "replaced_by": None if heir is None else names.did(heir),
        }

    async def _status(self, call: Call) -> Any:
        known: dict[str, Any] = {"returned": None, "backup": None}
        if call.admin:
            now, db = self._core.now(), self._core.db
            known["backup"] = db.read(lambda tx: backup.known(tx, now))
            known["returned"] = self._sweeper.space.returned
        return self._views.status(call.owner) | known

    async def _quota(self, call: Call) -> Any:
        by = call.one("by")
        if by is None:
            return self._views.quota(call.owner)
        if by not in ("contact", "state"):
            raise Usage(
                f"{by[:20]!r} is neither contact nor state", next="willcall quota --by state"
            )
        find = holdings.by_contact if by == "contact" else holdings.by_state
        rows = await find(self._core, call.owner)
        return self._views.quota(call.owner) | {"by": rows}

    async def _owners(self, call: Call) -> Any:
        rows = self._core.db.read(lambda tx: list(tx.owners.by("order")))
        at = self._core.config.origin
        return [
            views.whoami(row, at)
            | {"created": views.time(row.created), "quota": self._views.quota(row)}
            for row in rows
        ]

    async def _owner_add(self, call: Call) -> Any:
        body = await call.json()
        config = self._core.config
        name = owners.checked_name(str(body.get("name", "")))
        quota = _size(str(body.get("quota") or config.capacity.quota))
        made = await owners.make(
            self._core.db,
            self._core.randomness,
            name=name,
            endpoints=self._core.endpoints,
            now=self._core.now(),
            quota=quota,
            recover=optional(body, "recover"),
        )
        return views.whoami(made.owner, config.origin) | {
            "quota": quota,
            "recovery_phrase": made.phrase,
        }

    async def _owner_rename(self, call: Call) -> Any:
        body, now = await call.json(), self._core.now()
        old, name = word(call), owners.checked_name(str(body.get("name", "")))

        def work(tx: Tables) -> Owner:
            row = owners.rename(tx, owners.find(tx, old), name, now)
            tx.owners.put(row)
            meet.tell_record(tx, row, now)
            return row

        row = await self._core.db.transact(work)
        self._core.outgoing.ring()
        return views.whoami(row, self._core.config.origin)

    async def _owner_quota(self, call: Call) -> Any:
        """Another quota; what waited only for room is picked up as far as there is room now."""
        name, body, now = word(call), await call.json(), self._core.now()
        limit = _size(str(body.get("quota", "")))

        def work(tx: Tables) -> Owner:
            row = owners.find(tx, name)
            tx.accounts.put(ledger.account(tx, row.owner).but(limit=limit))
            arrive.make_room(tx, row.owner, now)
            return row

        row = await self._core.db.transact(work)
        self._core.incoming.ring()
        return views.whoami(row, self._core.config.origin) | {"quota": self._views.quota(row)}

    async def _leaving(self, call: Call) -> Any:
        """What an owner would leave behind; `mark` says under which state it was exported."""
        name = word(call)

        def work(tx: Tables) -> tuple[Owner, leave.Facts]:
            owner = owners.find(tx, name)
            return owner, leave.facts(tx, owner.owner)

        owner, found = self._core.db.read(work)
        return views.whoami(owner, self._core.config.origin) | asdict(found)

    async def _owner_remove(self, call: Call) -> Any:
        """Removes an owner; refused unless it was exported, or that is said to be unwanted."""
        name, body = word(call), await call.json()
        owner, left = await self._node.leaving.remove(
            name,
            optional(body, "exported"),
            anyway=body.get("without_export") is True,
            patience=PATIENCE,
        )
        if self._node.search is not None:
            await self._node.search.clean()
        first = self._core.db.read(lambda tx: owners.find(tx, None))
        return (
            views.whoami(owner, self._core.config.origin)
            | asdict(left)
            | {"first": names.did(first.owner)}
        )

    async def _tokens(self, call: Call) -> Any:
        name = word(call)
        return self._core.db.read(
            lambda tx: [_shown(row) for row in devices.all_of(tx, owners.find(tx, name).owner)]
        )

    async def _token(self, call: Call) -> Any:
        name, body = word(call), await call.json()
        device = optional(body, "device")
        if device is not None:
            owners.checked_name(device)
        secret, now = self._core.randomness.bytes(36), self._core.now()

        def work(tx: Tables) -> tuple[Token, str]:
            owner, monitor = owners.find(tx, name), body.get("monitor") is True
            return devices.issue(tx, owner, secret, device or "", now, monitor=monitor)

        row, text = await self._core.db.transact(work)
        return {"owner": name, "token": text} | _shown(row)

    async def _revoke(self, call: Call) -> Any:
        name, body = word(call), await call.json()
        id = str(body.get("id", ""))

        def work(tx: Tables) -> Token:
            return devices.revoke(tx, owners.find(tx, name), id)

        return {"owner": name} | _shown(await self._core.db.transact(work))


def _shown(row: Token) -> dict[str, Any]:
    """A token as it is listed: all but itself."""
    return {
        "id": row.id.hex(),
        "device": row.device or None,
        "made": views.time(row.made),
        "used": views.date(row.used),
        "opens": MONITOR if row.monitor else FEED if row.archive else OWNER,
    }


def _size(text: str) -> int:
    """A size that was asked for; raises Usage for what is none."""
    try:
        return size(text)
    except ConfigBroken as error:
        raise Usage(error.text, next=error.next) from error
