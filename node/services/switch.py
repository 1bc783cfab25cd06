"""Calls to one's own node stay in the process: the same call, the same answer, no socket."""

from dataclasses import replace

from node.objects.record import Endpoint
from node.ports import Exchange, PeerApp, Request, Response
from node.units import ByteCount, Millis

OWN = ""
"""The source of a call that never left the node: no address of anybody's."""


class Switch:
    """`ports.Exchange` that answers for its own origin itself.

    Args:
        outside: carries all other calls.
        own: where this node is reached, and by which pin.
    """

    def __init__(self, outside: Exchange, own: Endpoint) -> None:
        self._outside, self._own = outside, own
        self.app: PeerApp | None = None

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        """The answer, from inside or outside."""
        if endpoint.origin == self._own.origin and self.app is not None:
            answer = await self.app.answer(request, OWN)
            return replace(answer, pin=self._own.pin) if request.greeting else answer
        return await self._outside.exchange(endpoint, request, limit=limit, deadline=deadline)
