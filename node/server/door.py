"""The local API's door on TCP: what is turned away before the API looks at it.

    Host no address and no name of ours → 403: a page of the web that made a name of its own
                                          point here (DNS rebinding) still says that name
    the API answers 401                 → counted for the source's network; too many: 429

A right token always opens. Tokens are 32 random bytes, so a limit need not hinder guessing; what
it hinders is load, and one that also held for right tokens would let anybody lock owners out.
"""

import re
from collections.abc import Collection

from node.asgi import App, Message, Receive, Scope, Send, header, respond
from node.encoding import address
from node.errors import Malformed, Refused, WillcallError
from node.ports import Clock, Note
from node.problems import problem, problem_of
from node.server.admission import source
from node.units import MINUTE, Millis

FAILURES = 10
"""Wrong tokens of one network in a window: a person's typing, a program's old configuration."""
WINDOW = Millis(1 * MINUTE)
"""After this a network starts afresh."""
NETWORKS = 1024
"""Networks that are remembered; the one seen first is forgotten first."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:]+))(?::\d{1,5})?\Z")


class Door:
    """An ASGI application in front of the local API.

    Args:
        app: the API; it answers 401 to what no token opens.
        names: host names under which owners call, beside addresses and `localhost`.
        clock: for the windows.
        warn: called with a line for the operator.
    """

    def __init__(self, app: App, names: Collection[str], clock: Clock, warn: Note) -> None:
        self._app, self._names, self._warn = app, frozenset(names), warn
        self._failures = Failures(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            self._check_host(scope)
        except WillcallError as error:
            await respond(send, problem_of(error))
            return
        network = address.network(source(scope, ()))
        silenced = False

        async def judged(message: Message) -> None:
            nonlocal silenced
            if message["type"] == "http.response.start" and message["status"] == 401:
                silenced = self._failed(network)
                if silenced:
                    wait = f"Too many wrong tokens; wait {WINDOW // 1000} s."
                    await respond(send, problem(429, wait, "rate-limited", exit_code=77))
            if not silenced:
                await send(message)

        await self._app(scope, receive, judged)

    def _check_host(self, scope: Scope) -> None:
        text = (header(scope, b"host") or b"").decode("latin-1").lower()
        host = _HOST.match(text)
        if host is None:
            raise Malformed("The Host field is missing, or names no host.")
        name = host[1] or host[2]
        if name != "localhost" and name not in self._names and address.parse(name) is None:
            raise Refused(
                f"This node is not called {name[:100]}.",
                reason="host",
                next="put the name into local.names of config.toml",
            )

    def _failed(self, network: str) -> bool:
        """Counts a wrong token; whether there were too many."""
        count = self._failures.add(network)
        if count == FAILURES:
            self._warn("wrong-tokens", count=count, network=network)
        return count > FAILURES


class Failures:
    """Counts by network, each in a window that begins with its first failure."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[Millis, int]] = {}

    def add(self, network: str) -> int:
        """One more; how many there are in this window."""
        now = self._clock.steady()
        start, count = self._counts.get(network, (now, 0))
        if now - start >= WINDOW:
            start, count = now, 0
            self._counts.pop(network)
        if network not in self._counts and len(self._counts) >= NETWORKS:
            del self._counts[next(iter(self._counts))]
        self._counts[network] = (start, count + 1)
        return count + 1
