"""Backups: one stream out, and what is known of them."""

from typing import Any

from node.encoding import names
from node.errors import Malformed
from node.localapi.call import Call, Handler, optional
from node.objects import backup
from node.objects.backup import Header
from node.objects.signed import Signed
from node.services import backup as backups
from node.services import views
from node.services.node import Node


class BackupCalls:
    """For the administrator alone: a backup holds what everybody here has."""

    def __init__(self, node: Node) -> None:
        self._core, self._backups = node.core, node.backups
        self.table: dict[str, Handler] = {
            "GET backup": self._backup,
            "GET backups": self._known,
            "POST unlock": self._unlock,
            "POST verified": self._verified,
        }

    async def _backup(self, call: Call) -> Any:
        return self._backups.stream()

    async def _known(self, call: Call) -> Any:
        """When the newest were made and verified; what became of the last one of this run."""
        last, failed = self._backups.last, self._backups.failed
        return self._core.db.read(lambda tx: backups.known(tx, self._core.now())) | {
            "last": None if last is None else _shown(last),
            "failed": None if failed is None else failed.text,
        }

    async def _unlock(self, call: Call) -> Any:
        """The key of the newest backup, for whoever holds its file and may open this socket."""
        header = await _header(call)
        return {"key": self._core.db.read(lambda tx: backups.remembered(tx, header.block)).hex()}

    async def _verified(self, call: Call) -> Any:
        header = (await _header(call)).verify()
        await self._core.db.transact(lambda tx: backups.verified(tx, header))
        return {"verified": views.time(header.made)}


async def _header(call: Call) -> Signed[Header]:
    """The header of a backup file, which tells which one is meant."""
    try:
        return backup.BACKUP.decode(bytes.fromhex(optional(await call.json(), "header") or ""))
    except ValueError as error:
        raise Malformed("header is hexadecimal text") from error


def _shown(made: backups.Made) -> dict[str, Any]:
    end = made.end
    return {
        "made": views.time(made.made),
        "did": names.did(made.owner),
        "size": made.size,
        "rows": end.rows,
        "blocks": end.blocks,
        "missing": end.missing,
    }
