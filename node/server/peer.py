"""The node's public calls as an ASGI application, in front of `ports.PeerApp`.

Decides from the request line and the header section alone which call is meant, and refuses
what is too large, of another type or unknown before a byte of the body is read (I8). What
the bytes mean, and every other answer, is the `PeerApp`'s.

Spec: design section 5.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import trio

from node import limits
from node.asgi import (
    Receive,
    Scope,
    Send,
    Traffic,
    header,
    read_body,
    respond,
)
from node.discovery import page
from node.encoding import names
from node.errors import Absent, Malformed, Media, WillcallError
from node.ports import DAG_CBOR, PeerApp, Request, Response
from node.problems import problem
from node.server.admission import Network, source
from node.server.outgoing import Outgoing
from node.server.turns import Turns
from node.units import KIB, ByteCount

log = logging.getLogger(__name__)

NOTHING = ByteCount(0)
"""A call without a body."""
BLOCKS = ByteCount(16 * KIB)
"""256 CIDs, each with a ticket of its own, are 15 KiB."""
TICKET = 16
"""Bytes of a ticket."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path, or all paths under a prefix: its methods, and the largest body of each."""

    bodies: Mapping[str, ByteCount]
    query: bool = False
    """Whether a query belongs to the call. Elsewhere it names something that is not there."""
    answer: ByteCount = NOTHING
    """The largest answer, or what is set aside for one until its size is known, where that is more
    than memory takes no notice of."""
    car: ByteCount = NOTHING
    """The same where a CAR is asked for, if the path has one."""
    large: bool = False
    """Whether it says itself what is to be set aside, once it knows that there is work to do."""


READ = {"GET": NOTHING, "HEAD": NOTHING}

PATHS: Mapping[str, Route] = {
    "/v1/notifications": Route({"POST": limits.NOTIFICATIONS}),
    "/v1/receipts": Route({"POST": limits.RECEIPT}),
    "/v1/retractions": Route({"POST": limits.SMALL}),
    "/v1/introductions": Route({"POST": limits.INTRODUCTION}),
    "/v1/poll": Route({"POST": limits.SMALL}),
    "/v1/blocks": Route({"POST": BLOCKS}, answer=limits.CAR),
    "/.well-known/willcall": Route(READ),
    "/.well-known/webfinger": Route(READ, query=True),
    "/archives": Route(READ),
    "/archives/": Route(READ),
}

PREFIXES: Mapping[str, Route] = {
    "/v1/blocks/": Route(READ, answer=limits.BLOCK),
    "/v1/owners/": Route(READ),
    "/v1/records/": Route({**READ, "PUT": limits.RECORD}),
    "/i/": Route(READ, query=True),
    "/archives/": Route(READ, query=True, answer=limits.BLOCK),
    "/ipfs/": Route(READ, query=True, answer=limits.BLOCK, car=limits.CAR),
}

FILES = re.compile(r"/archives/.*(?:\.eml|\.mbox\.gz|/message/[^/]+/[^/]+)")
"""Pages of archives that are whole messages, or many."""
FILE = Route(READ, large=True)
NO_ROUTE = Route({})
"""A path that is no call."""
NO_PAGE = Response(
    status=404,
    body=page.nothing(),
    content_type=page.TYPE,
    headers=(*page.HEADERS, ("Vary", "Accept")),
)
"""Where nothing is, for whoever shows pages to a person; programs get a problem document."""


class PeerFace:
    """The ASGI application.

    Args:
        app: the node as its peers see it.
        proxies: networks whose word on the client's address is believed.
        traffic: where answers are counted.
        first: whether whoever calls from an address waits for no stranger.
        calm: returns when a stranger's request may begin.
    """

    def __init__(
        self,
        app: PeerApp,
        proxies: Iterable[Network] = (),
        traffic: Traffic | None = None,
        first: Callable[[str], bool] = lambda source: False,
        calm: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        self._app = app
        self._first, self._turns = first, Turns(calm)
        self._proxies = proxies
        self._traffic = traffic or Traffic()
        self._outgoing = Outgoing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        head = scope["method"] == "HEAD"
        # The path as it was sent: decoding it would give one thing several names.
        path: str = scope["raw_path"].decode("latin-1")
        name, route = _route(path)
        with ExitStack() as until_sent:
            try:
                answer = await self._answer(scope, receive, path, route, until_sent)
            except WillcallError as error:
                # What to do next, and exit codes, are for our own command line.
                answer = problem(error.status, error.text, error.reason)
            self._note(scope, name, route, answer.status)
            await respond(send, answer, head=head, again=self._again(scope, name, route, answer))

    def _again(
        self, scope: Scope, name: str, route: Route, answer: Response
    ) -> Callable[[], bool] | None:
        """For an answer that says how long it holds: whether it does, and it is counted then."""
        holds = answer.holds
        if holds is None or answer.body:
            return None

        def again() -> bool:
            # A log of requests names who asked, and these are not looked at so closely.
            held = holds() and not log.isEnabledFor(logging.DEBUG)
            if held:
                self._note(scope, name, route, answer.status)
            return held

        return again

    def _note(self, scope: Scope, name: str, route: Route, status: int) -> None:
        # Of what the client wrote, only what is ours: it must not choose what is counted.
        method = scope["method"] if scope["method"] in route.bodies else "other"
        self._traffic.answers[method, name, status] += 1
        if log.isEnabledFor(logging.DEBUG):
            facts = {"call": f"{method} {name}", "status": status}
            facts["source"] = source(scope, self._proxies)
            log.debug("request", extra={"facts": facts})

    async def _answer(
        self, scope: Scope, receive: Receive, path: str, route: Route, until_sent: ExitStack
    ) -> Response:
        if not route.bodies or (scope["query_string"] and not route.query):
            if scope["method"] in READ and "text/html" in _text(scope, b"accept"):
                return NO_PAGE
            raise Absent("There is no such call.")
        if scope["query_string"]:
            path = f"{path}?{scope['query_string'].decode('latin-1')}"
        method: str = scope["method"]
        if method not in route.bodies:
            return _not_allowed(route)
        request = await _request(scope, receive, method, path, route.bodies[method])
        where = source(scope, self._proxies)
        if route.bodies[method]:
            # Not the pages of archives: whoever reads them makes nobody check a signature.
            await self._turns.take(first=self._first(where))
        if not route.answer and not route.large:
            return await self._app.answer(request, where)
        most = route.car if route.car and request.car else route.answer
        share = until_sent.enter_context(self._outgoing.share(where, most))
        if route.large:
            request = replace(request, reserve=share.grow)
        elif share.room < most:
            request = replace(request, room=share.room)
        answer = await self._app.answer(request, where)
        share.shrink(len(answer.body))
        return answer


async def _request(
    scope: Scope, receive: Receive, method: str, path: str, limit: ByteCount
) -> Request:
    ticket, reading, bad_ticket = _ticket(scope)
    if limit:
        _check_type(scope)
    return Request(
        method=method,
        path=path,
        body=await read_body(scope, receive, limit),
        content_type=DAG_CBOR,
        ticket=ticket,
        reading=reading,
        bad_ticket=bad_ticket,
        if_none_match=_text(scope, b"if-none-match"),
        accept=_text(scope, b"accept"),
    )


def _route(path: str) -> tuple[str, Route]:
    """The route of a path, and what it is called."""
    exact = PATHS.get(path)
    if exact is not None:
        return path, exact
    if FILES.fullmatch(path):
        return "/archives/… file", FILE
    for prefix, route in PREFIXES.items():
        if path.startswith(prefix) and len(path) > len(prefix):
            return f"{prefix}…", route
    return "other", NO_ROUTE


def _not_allowed(route: Route) -> Response:
    allowed = ", ".join(route.bodies)
    answer = problem(405, f"This call takes {allowed}.", "method")
    return Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        headers=(("allow", allowed),),
    )


def _check_type(scope: Scope) -> None:
    # To the letter: a form or a script of a foreign page can't send this type without asking
    # first (CORS), and a parameter would be a second spelling of every object.
    if header(scope, b"content-type") != DAG_CBOR.encode("ascii"):
        raise Media(f"Objects are sent as {DAG_CBOR}.")


def _text(scope: Scope, name: bytes) -> str:
    """A header field that may stand there several times: all of them, as one (RFC 9110 §5.3)."""
    found: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return b", ".join(found).decode("latin-1")


def _ticket(scope: Scope) -> tuple[bytes | None, bytes, bool]:
    """The ticket of the request, or who asks; whether something else stood in a ticket's place."""
    fields = [value for name, value in scope["headers"] if name == b"authorization"]
    if not fields:
        return None, b"", False
    scheme, _, word = fields[0].partition(b" ")
    if len(fields) > 1 or scheme.lower() != b"willcall":
        return None, b"", True
    try:
        shown = names.unb64(word.decode("ascii"))
    except (Malformed, UnicodeDecodeError):
        return None, b"", True
    if len(shown) == TICKET:
        return shown, b"", False
    return None, shown if len(shown) > TICKET else b"", True
