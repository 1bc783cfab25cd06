"""The local API: JSON over the home's Unix socket, for the command line and other programs.

Whoever may open the socket is an administrator; `Willcall-Owner` names an owner (else the
first). A bearer token names its owner and opens nothing else: what it may is in `rights`. Any
`Origin` header is refused: no web page speaks to a node. Errors are problem documents with
`exit` and `next`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import unquote

import msgspec

from node.asgi import Message, Receive, Scope, Send, header, respond
from node.encoding import names
from node.errors import Absent, NoToken, Refused, WillcallError
from node.localapi.archives import ArchiveCalls
from node.localapi.backups import BackupCalls
from node.localapi.call import Answer, Call, Handler
from node.localapi.checks import CheckCalls
from node.localapi.contacts import ContactCalls
from node.localapi.finding import FindingCalls
from node.localapi.keys import KeyCalls
from node.localapi.mail import MailCalls
from node.localapi.monitor import MonitorCalls, Told, Watched
from node.localapi.moving import MovingCalls
from node.localapi.owners import OwnerCalls
from node.localapi.reading import READING, ReadingRoom
from node.localapi.rights import FEED, MONITOR, NODE, OWNER, may
from node.localapi.sending import SendingCalls
from node.localapi.strangers import StrangerCalls
from node.machines.rows import Owner
from node.problems import problem_of
from node.services import devices, owners
from node.services.node import Node


class LocalApi:
    """The ASGI application.

    Args:
        node: what it serves.
        trusted: whoever connects is the administrator: the home's socket, and nothing else.
        watched: what a monitor is told beside what the node itself knows.

    Attributes:
        calls: the names of all calls, such as `GET inbox`.
    """

    def __init__(self, node: Node, *, trusted: bool = True, watched: Watched | None = None) -> None:
        self._node, self._trusted = node, trusted
        self._room = ReadingRoom(node)
        parts = (
            ContactCalls(node),
            SendingCalls(node),
            MailCalls(node),
            OwnerCalls(node),
            MovingCalls(node),
            KeyCalls(node),
            CheckCalls(node, watched or Watched()),
            MonitorCalls(node, watched or Watched()),
            FindingCalls(node),
            ArchiveCalls(node),
            BackupCalls(node),
            StrangerCalls(node),
        )
        self._table: dict[str, Handler] = {}
        for part in parts:
            self._table |= part.table
        self.calls = frozenset(self._table)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            answer = await self._answer(scope, receive)
        except WillcallError as error:
            await respond(send, problem_of(error))
            return
        if isinstance(answer, AsyncGenerator):
            async with aclosing(answer):  # what it holds is let go when the reader leaves
                await _stream(send, answer)
        elif isinstance(answer, Told):
            await send(_start(answer.status, answer.kind, len(answer.body), answer.headers))
            await send({"type": "http.response.body", "body": answer.body})
        else:
            await _json(send, 200, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if header(scope, b"origin") is not None:
            raise Refused("no web page speaks to a node")
        if scope["raw_path"].startswith(READING):
            return await self._room.answer(scope)
        owner, right = self._who(scope)
        admin = right == NODE
        parts = [unquote(part) for part in scope["raw_path"].decode("latin-1").split("/") if part]
        name = f"{scope['method']} {parts[0] if parts else ''}"
        handler = self._table.get(name)
        if handler is None:
            raise Absent(f"there is no call {name}", reason="no-such-call")
        if not admin and not may(name, right):
            raise Refused(
                "a token opens its owner's mailbox only; this is the administrator's to do"
                if right == OWNER
                else "this token is for GET health and GET metrics, and opens no mailbox"
                if right == MONITOR
                else "this token is for one archive's pages, and opens no mailbox",
                reason="administrator",
                next="ask whoever runs the node",
            )
        return await handler(Call(owner, admin, parts[1:], scope, receive))

    def _who(self, scope: Scope) -> tuple[Owner, str]:
        """Whose mailbox is meant, and what whoever asks may do; NODE: everything."""
        name = header(scope, b"willcall-owner")
        wanted = None if name is None else unquote(name.decode("latin-1"))
        shown = header(scope, b"authorization")
        if shown is not None:
            return self._bearer(shown, wanted)
        if not self._trusted:
            raise NoToken("a token is needed here", next="willcall login")
        return self._node.core.db.read(lambda tx: owners.find(tx, wanted)), NODE

    def _bearer(self, shown: bytes, wanted: str | None) -> tuple[Owner, str]:
        core = self._node.core
        scheme, _, token = shown.decode("latin-1").partition(" ")
        found = core.db.read(lambda tx: devices.opened_by(tx, token))
        if found is None or scheme.lower() != "bearer":
            raise NoToken("this token opens nothing", next="ask whoever runs the node")
        owner, row = found
        if wanted not in (None, owner.name, names.did(owner.owner)):
            raise Refused(
                f"this token opens the mailbox of {owner.name or 'another owner'} only",
                reason="other-owner",
                next="leave out --owner",
            )
        now = core.now()
        if devices.day(now) != row.used:
            core.db.apply(lambda tx: devices.on_used(tx, row, now))
        return owner, MONITOR if row.monitor else FEED if row.archive else OWNER


async def _json(send: Send, status: int, document: Any) -> None:
    body = msgspec.json.encode(document)
    await send(_start(status, b"application/json", len(body)))
    await send({"type": "http.response.body", "body": body})


async def _stream(send: Send, pieces: AsyncGenerator[bytes, None]) -> None:
    """Bytes of a length not known before; an error before the first piece is still told."""
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        first = b""
    except WillcallError as error:
        await respond(send, problem_of(error))
        return
    await send(_start(200, b"application/octet-stream", None))
    await send({"type": "http.response.body", "body": first, "more_body": True})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _start(
    status: int, kind: bytes, length: int | None, fields: tuple[tuple[str, str], ...] = ()
) -> Message:
    headers = [(b"content-type", kind)]
    headers += [(name.lower().encode(), value.encode()) for name, value in fields]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}
