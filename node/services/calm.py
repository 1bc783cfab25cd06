"""Calm: strangers stand back while something of a contact's is under way.

    a contact's word comes, or an answer of its node ─▶ calm, for as long as a letter takes here
    a stranger's request, or a slice of what strangers said ─▶ waits while it is calm, not for long

Picking up a letter takes some forty steps of the event loop. Each would wait for whatever strangers
have begun meanwhile; so nothing of theirs begins. A contact that writes all the time slows them
down, and never shuts them out. Spec: 06 §strangers.
"""

import math

import trio

WINDOW = 0.02
"""Seconds of calm after a sign of a contact's: what its letter takes here, from one answer of its
node to the next, disk included."""
PATIENCE = 0.025
"""Seconds that a stranger waits at most: while contacts write without a pause, forty requests a
second are still answered."""


class Calm:
    """Whether something of a contact's is under way."""

    def __init__(self) -> None:
        self._until = -math.inf

    def stir(self) -> None:
        """Something of a contact's is."""
        self._until = trio.current_time() + WINDOW

    async def wait(self) -> None:
        """Returns when nothing of a contact's is under way, or after PATIENCE; often at once."""
        if trio.current_time() >= self._until:
            return
        with trio.move_on_after(PATIENCE):
            while trio.current_time() < self._until:  # noqa: ASYNC110  # it may be put off meanwhile
                await trio.sleep_until(self._until)
