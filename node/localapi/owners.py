"""The node, and the owners it works for."""

from typing import Any

from node.config import size
from node.localapi.call import Call, Handler, word
from node.objects.record import Endpoint
from node.services import owners, views
from node.services.node import Node
from node.services.views import Views


class OwnerCalls:
    """Who lives here, and how the node is."""

    def __init__(self, node: Node) -> None:
        self._core = node.core
        self._views = Views(node.core, node.core.clock.steady())
        self.table: dict[str, Handler] = {
            "GET whoami": self._whoami,
            "GET status": self._status,
            "GET quota": self._quota,
            "GET owners": self._owners,
            "POST owners": self._owner_add,
            "POST token": self._owner_token,
        }

    async def _whoami(self, call: Call) -> Any:
        return views.whoami(call.owner, self._core.config.origin)

    async def _status(self, call: Call) -> Any:
        return self._views.status(call.owner)

    async def _quota(self, call: Call) -> Any:
        return self._views.quota(call.owner)

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
        name = word(call)
        token = await owners.new_token(self._core.db, self._core.randomness, name)
        return {"owner": name, "token": token}
