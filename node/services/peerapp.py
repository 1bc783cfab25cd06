"""The node as its peers see it: every call of the protocol, whatever carries it.

HTTP, an owner of the same node, and a simulated network all come in by `answer`.
Spec: 07.
"""

from collections.abc import Awaitable, Callable

import msgspec

from node import limits
from node.discovery import page, webfinger
from node.encoding import cid, names
from node.encoding.cid import Cid
from node.errors import Absent, Conflict, Gone, Malformed, WillcallError
from node.objects import answer as answers
from node.objects import record
from node.ports import CARV1, RAW, Request, Response
from node.problems import problem
from node.services import meet, owners, views
from node.services.admit import Admission
from node.services.core import Core
from node.services.desk import Desk
from node.services.directory import Directory
from node.services.hear import Hearing
from node.services.meet import Introductions
from node.services.serve import Serving
from node.units import Key

SOFTWARE = "willcall 0.1"


class Peers:
    """`ports.PeerApp` over the services."""

    def __init__(
        self,
        core: Core,
        admission: Admission,
        hearing: Hearing,
        introductions: Introductions,
        serving: Serving,
        directory: Directory,
        desk: Desk,
    ) -> None:
        self._core, self._admission, self._hearing = core, admission, hearing
        self._introductions, self._serving = introductions, serving
        self._directory, self._desk = directory, desk
        self._posts: dict[str, Callable[[Request, str], Awaitable[Response]]] = {
            "/v1/notifications": self._notifications,
            "/v1/receipts": self._receipts,
            "/v1/retractions": self._retractions,
            "/v1/introductions": self._introduce,
            "/v1/poll": self._poll,
            "/v1/blocks": self._car,
        }

    async def answer(self, request: Request, source: str) -> Response:
        """Answers one call; every WillcallError becomes a problem document."""
        try:
            return await self._route(request, source)
        except WillcallError as error:
            self._core.tally.add("problems", error.reason)
            return problem(error.status, error.text, error.reason)

    async def _route(self, request: Request, source: str) -> Response:
        path, method = request.path, request.method
        if method == "POST" and path in self._posts:
            return await self._posts[path](request, source)
        if method in ("GET", "HEAD"):
            return await self._get(request, source)
        if method == "PUT" and path.startswith("/v1/records/"):
            return await self._put_record(request, source)
        raise Absent("there is no such call")

    async def _get(self, request: Request, source: str) -> Response:
        # First: by far the most are polls of archives.
        if request.path.startswith("/archives/"):
            return await self._desk.answer(request)
        if request.path.startswith("/ipfs/"):
            return await self._desk.block(request)
        path, _, query = request.path.partition("?")
        folder, _, last = path.rpartition("/")
        if folder == "/v1/blocks":
            return await self._block(request, last, source)
        if folder == "/v1/owners":
            return self._owner(last)
        if folder == "/v1/records":
            return self._listed(last)
        if path == "/archives":
            return Response(status=301, headers=(("Location", "/archives/"),))
        if folder == "/i":
            return self._invited(last)
        if path == "/.well-known/willcall":
            return self._document()
        if path == webfinger.PATH:
            return self._webfinger(query)
        raise Absent("there is no such page")

    # --- posts -------------------------------------------------------------------------

    async def _notifications(self, request: Request, source: str) -> Response:
        return Response(status=200, body=await self._admission.receive(request.body, source))

    async def _receipts(self, request: Request, source: str) -> Response:
        made = await self._hearing.receipt(request.body)
        return Response(status=200, body=answers.encode(made))

    async def _retractions(self, request: Request, source: str) -> Response:
        made = await self._hearing.retraction(request.body)
        return Response(status=200, body=answers.encode(made))

    async def _introduce(self, request: Request, source: str) -> Response:
        made = await self._introductions.receive(request.body, source)
        return Response(status=200, body=answers.encode(made))

    async def _poll(self, request: Request, source: str) -> Response:
        return Response(status=200, body=await self._hearing.poll(request.body))

    async def _car(self, request: Request, source: str) -> Response:
        who = self._desk.doorman.who(request)
        body = await self._serving.car(request.body, request.room, who)
        return Response(status=200, body=body, content_type=CARV1, headers=PRIVATE)

    # --- gets and puts -----------------------------------------------------------------

    async def _block(self, request: Request, last: str, source: str) -> Response:
        name = _cid(last)
        if self._core.probes.came(name, request.ticket, source):
            raise Gone("it was withdrawn before anybody came")
        if request.method == "HEAD":
            size = await self._serving.size(name, request.ticket, wrong=request.bad_ticket)
            length = ("Content-Length", str(size))
            return Response(status=200, content_type=RAW, headers=(*PRIVATE, length))
        body = await self._serving.block(name, request.ticket, wrong=request.bad_ticket, count=True)
        return Response(status=200, body=body, content_type=RAW, headers=PRIVATE)

    def _owner(self, last: str) -> Response:
        body = self._own_record(last)
        if body is None:
            raise Absent("no such owner here")
        return Response(status=200, body=body)

    def _own_record(self, last: str) -> bytes | None:
        key = _key(last)
        return None if key is None else self._hearing.own_record(key)

    def _invited(self, last: str) -> Response:
        """The page behind an invite link: the same for every token, which never comes here."""
        block, config = self._own_record(last), self._core.config
        if block is None:
            return _own_page(404, page.nobody())
        claim = record.decode(block).claim
        made = page.invited(
            name=claim.name,
            did=names.did(claim.id),
            head=meet.link_head(claim.id, config.origin),
            reach=views.reach(config.origin, inbound=config.network.inbound),
            source=config.invite.source,
        )
        return _own_page(200, made)

    def _listed(self, last: str) -> Response:
        key = _key(last)
        body = None if key is None else self._directory.told(key)
        if body is None:
            raise Absent("this record is not kept here")
        return Response(status=200, body=body)

    async def _put_record(self, request: Request, source: str) -> Response:
        did = names.parse_z(request.path.removeprefix("/v1/records/"))
        try:
            concerns = await self._hearing.record(did, request.body)
            if self._directory.enabled:
                await self._offer(request.body, source, concerns)
        except Conflict:
            newer = self._hearing.newer_record(did) or self._directory.told(did)
            return Response(status=409, body=newer or b"")
        return Response(status=204, body=b"")

    async def _offer(self, block: bytes, source: str, concerns: bool) -> None:
        """Keeps a record as a directory; a contact's was heard, whatever comes of it here."""
        try:
            await self._directory.offer(record.decode(block), source)
        except WillcallError:
            if not concerns:
                raise

    def _webfinger(self, query: str) -> Response:
        """Whose key a name is, for owners who chose to be found."""
        handle, rels = webfinger.asked(query)
        config = self._core.config
        found = None
        if handle is not None and handle.domain == config.domain and config.is_found(handle.name):
            found = self._core.db.read(lambda tx: owners.called(tx, handle.name))
        if handle is None or found is None:
            raise Absent("nobody of that name is found here")
        body = webfinger.document(handle, found.owner, meet.base(config.origin), rels)
        return Response(status=200, body=body, content_type=webfinger.TYPE, headers=ANYONE)

    def _document(self) -> Response:
        config = self._core.config
        document = {
            "versions": [1],
            "software": SOFTWARE,
            "origin": config.origin,
            "now": self._core.now(),
            "limits": {
                "message": config.message,
                "batch": limits.BATCH,
                "notification": limits.NOTIFICATION,
                "block": limits.BLOCK,
                "keep_until": limits.KEEP_LONGEST,
                "clock": limits.CLOCK_SKEW,
            },
        }
        body = msgspec.json.encode(document)
        return Response(status=200, body=body, content_type="application/json")


ANYONE = (("Access-Control-Allow-Origin", "*"),)
"""Scripts of any page may read it too (RFC 7033 §5)."""
PRIVATE = (("Cache-Control", "private, no-store"),)
"""Blocks of mail are nobody's to cache."""


def _own_page(status: int, body: bytes) -> Response:
    return Response(status=status, body=body, content_type=page.TYPE, headers=page.HEADERS)


def _key(text: str) -> Key | None:
    """A key in a path; None where it is none."""
    try:
        return names.parse_z(text)
    except Malformed:
        return None


def _cid(text: str) -> Cid:
    """A CID in a path; one that is none names nothing."""
    try:
        return cid.parse(text)
    except Malformed as error:
        raise Absent("there is no such block") from error
