"""Mail that is looked for by its words."""

from typing import Any

from node.errors import Absent
from node.localapi.call import Call, Handler
from node.machines.rows import Mail, Owner, Sent
from node.services import views
from node.services.node import Node
from node.services.search import Search
from node.services.views import Views


class FindingCalls:
    """What an owner searches."""

    def __init__(self, node: Node) -> None:
        self._node, self._views = node, Views(node.core, node.core.clock.steady())
        self.table: dict[str, Handler] = {"GET find": self._find, "POST reindex": self._reindex}

    async def _find(self, call: Call) -> Any:
        words, limit = call.query.get("words", []), call.number("limit")
        found, why = await self._search().find(call.owner, words, limit)
        rows = [await self._row(call.owner, row) | {"snippet": line} for row, line in found]
        return {"rows": rows, "rebuilt": why}

    async def _reindex(self, call: Call) -> Any:
        return {"messages": await self._search().rebuild(call.owner)}

    def _search(self) -> Search:
        if self._node.search is None:
            raise Absent("this node has no index of its mail", reason="no-search")
        return self._node.search

    async def _row(self, owner: Owner, row: Mail | Sent) -> dict[str, Any]:
        """As the inbox shows it; what was sent has no number, and says to whom."""
        if isinstance(row, Mail):
            return await self._views.mail(row)
        made = await self._views.sent(row, attempts=False)
        me = views.whoami(owner, "")
        return {
            "n": None,
            "message": made["message"],
            "from": me["name"] or me["did"],
            "did": None if row.imported else me["did"],
            "subject": made["subject"],
            "date": made["created"],
            "received": made["created"],
            "size": made["size"],
            "state": "sent",
            "keep_until": None,
            "to": [each["to"] for each in made["deliveries"]],
        } | ({"imported": True} if row.imported else {})
