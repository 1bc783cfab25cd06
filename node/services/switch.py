"""Calls to one's own node stay in the process: the same call, the same answer, no socket."""

from node.objects.record import Endpoint
from node.ports import Exchange, PeerApp, Request, Response
from node.units import ByteCount, Millis

OWN = "127.0.0.1"
"""The source of a call that never left the node."""


class Switch:
    """`ports.Exchange` that answers for its own origin itself.

    Args:
        outside: carries all other calls.
        own: this node's origin.
    """

    def __init__(self, outside: Exchange, own: str) -> None:
        self._outside, self._own = outside, own
        self.app: PeerApp | None = None

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        """The answer, from inside or outside."""
        if endpoint.origin == self._own and self.app is not None:
            return await self.app.answer(request, OWN)
        return await self._outside.exchange(endpoint, request, limit=limit, deadline=deadline)
