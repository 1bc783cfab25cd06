"""Archives as pages and feeds for a reader of this node, at an address that holds a token.

    GET /reading/TOKEN/NAME/…    what `/archives/NAME/…` shows of an archive for everybody

A feed reader can show no header, so the token stands in the path: it opens this one archive, and
can be revoked like any other. A private archive is opened here, and nowhere else.
"""

from node.asgi import Scope, header
from node.errors import Absent, NoToken
from node.localapi.monitor import Told
from node.machines.rows import Archive, Log, Token
from node.ports import Request, Response, Tables
from node.services import devices
from node.services.node import Node

READING = b"/reading/"
"""What the paths begin with."""
_KEPT = (
    ("Cache-Control", "private, no-store"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""In place of what everybody is told: no cache keeps it, and no other site learns the address."""


class ReadingRoom:
    """Answers for the archives of the node's owners."""

    def __init__(self, node: Node) -> None:
        self._core, self._desk = node.core, node.desk

    async def answer(self, scope: Scope) -> Told:
        """A page or a feed.

        Raises:
            NoToken: the address holds none, or one that opens nothing.
            Absent: there is no such page.
        """
        path = scope["raw_path"].decode("latin-1")
        token, _, rest = path.removeprefix(READING.decode()).partition("/")
        name, slash, rest = rest.partition("/")
        row, log = self._opened(token)
        if scope["method"] != "GET" or self._desk.pages is None or name != row.name:
            raise Absent("there is no such page", reason="no-such-page")
        host = (header(scope, b"host") or b"localhost").decode("latin-1")
        url = f"http://{host}{READING.decode()}{token}/{name}/"
        if not slash:
            return Told(status=301, kind=b"text/plain", body=b"", headers=(("Location", url),))
        query = scope.get("query_string", b"").decode("latin-1")
        request = Request(
            method="GET",
            path=f"{path}?{query}" if query else path,
            if_none_match=(header(scope, b"if-none-match") or b"").decode("latin-1"),
            accept=(header(scope, b"accept") or b"").decode("latin-1"),
        )
        found = await self._desk.pages.to_reader(request, (row, log), url, rest)
        if found is None:
            raise Absent("there is no such page", reason="no-such-page")
        return _told(found)

    def _opened(self, text: str) -> tuple[Archive, Log]:
        core, now = self._core, self._core.now()

        def work(tx: Tables) -> tuple[Token, Archive, Log] | None:
            found = devices.opened_by(tx, text)
            row = None if found is None else tx.archives.get(found[1].archive)
            log = None if row is None else tx.logs.get(row.id, row.epoch)
            return None if found is None or row is None or log is None else (found[1], row, log)

        found = core.db.read(work)
        if found is None:
            raise NoToken(
                "this address opens nothing, or not any more", next="willcall archive feed NAME"
            )
        token, row, log = found
        if devices.day(now) != token.used:
            core.db.apply(lambda tx: devices.on_used(tx, token, now))
        return row, log


def address(listen: str, token: str, name: str) -> str:
    """Where an archive is read with a token.

    Args:
        listen: where the local API listens (`local.listen`).
        token: of this archive.
        name: what it is called here.
    """
    return f"http://{listen}{READING.decode()}{token}/{name}/"


def _told(found: Response) -> Told:
    kept = {name.lower() for name, _ in _KEPT}
    away = kept | {"access-control-allow-origin", "content-type"}
    fields = [(name, value) for name, value in found.headers if name.lower() not in away]
    return Told(
        status=found.status,
        kind=found.content_type.encode(),
        body=found.body,
        headers=(*fields, *_KEPT),
    )
