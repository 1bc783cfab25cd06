"""The inbox: what came, and what becomes of it."""

from collections.abc import AsyncIterator
from typing import Any

import trio

from node.encoding import cid as cids
from node.errors import NotYet
from node.localapi.call import Call, Handler, texts, word
from node.machines.rows import Mail, Owner, Sent
from node.services import mailbox, steps
from node.services.mailbox import Contents, Mailbox
from node.services.node import Node
from node.services.views import Views, time


class MailCalls:
    """What an owner receives."""

    def __init__(self, node: Node) -> None:
        self._core = node.core
        self._views = Views(node.core, node.core.clock.steady())
        self._mailbox, self._contents = Mailbox(node.core), Contents(node.core)
        self.table: dict[str, Handler] = {
            "GET inbox": self._inbox,
            "GET mail": self._mail,
            "GET raw": self._raw,
            "GET proof": self._proof,
            "POST read": self._read,
            "POST fetch": self._fetch,
            "POST delete": self._delete,
            "GET log": self._log,
        }

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
        ref = word(call)
        return self._core.db.read(lambda tx: mailbox.find_mail(tx, call.owner.owner, ref))

    async def _mail(self, call: Call) -> Any:
        return await self._views.mail(self._find_mail(call))

    async def _raw(self, call: Call) -> Any:
        """The bytes of a message, received or sent."""
        return self._contents.read(self._find_any(call))

    async def _proof(self, call: Call) -> Any:
        """What proves to a third person who wrote it."""
        return _whole(self._contents.proof(self._find_any(call)))

    def _find_any(self, call: Call) -> Mail | Sent:
        ref = word(call)
        return self._core.db.read(lambda tx: mailbox.find_any(tx, call.owner.owner, ref))

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

    async def _log(self, call: Call) -> Any:
        """Every step of one message, sent or received."""
        return steps.log(self._core, call.owner.owner, word(call))

    async def _delete(self, call: Call) -> Any:
        body = await call.json()
        deleted, later = await self._mailbox.delete(call.owner, texts(body, "refs"))
        return {"deleted": deleted, "later": list(map(_later, later))}


def _later(row: Sent) -> dict[str, Any]:
    """A message that is deleted, and whose room is not free before its grace is over."""
    message, until = cids.show(row.message), time(row.grace_until)
    return {"message": message, "bytes": row.stored, "until": until}


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
