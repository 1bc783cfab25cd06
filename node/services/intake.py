"""Many messages into an archive: read, signed and stored at the same time.

    reading ──contents──▶ signing, in a thread ──messages──▶ storing

So an upload is as fast as the slowest of the three. Each hands over one group and begins the next;
memory is three groups, however much comes. Spec: 12.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

import trio

from node.errors import WillcallError
from node.machines.rows import Owner
from node.services.core import Core, together
from node.services.publish import Plain, Publisher, Tally
from node.units import KIB, ByteCount

GROUP = ByteCount(512 * KIB)
"""Content of one transaction: a hundred list mails. Three are under way, each twice in memory."""
TOGETHER = 256
"""Messages of one transaction."""


class Intake:
    """Takes messages for one archive.

    Args:
        tally: where is told what became of them.
    """

    def __init__(
        self, core: Core, publisher: Publisher, owner: Owner, name: str, tally: Tally
    ) -> None:
        self._core, self._publisher = core, publisher
        self._owner, self._name, self._tally = owner, name, tally

    async def take(self, messages: AsyncIterator[bytes]) -> None:
        """Appends them in their order; what is known is left out.

        Raises:
            WillcallError: of reading, signing or storing. What came before it is kept and counted.
        """
        to_sign, contents = trio.open_memory_channel[list[bytes]](0)
        to_store, signed = trio.open_memory_channel[list[Plain]](0)
        stages = (
            partial(self._read, messages, to_sign),
            partial(self._sign, contents, to_store),
            partial(self._store, signed),
        )
        await together(stages, len(stages))

    async def _read(
        self, messages: AsyncIterator[bytes], send: trio.MemorySendChannel[list[bytes]]
    ) -> None:
        group: list[bytes] = []
        room = int(GROUP)
        async with send:
            with suppress(trio.BrokenResourceError):  # who took them has failed, and says so
                try:
                    async for content in messages:
                        group.append(content)
                        room -= len(content)
                        if len(group) == TOGETHER or room < 0:
                            full, group, room = group, [], int(GROUP)
                            await send.send(full)
                finally:
                    # What came before a message that can't be taken is kept, and told.
                    await send.send(group)

    async def _sign(
        self,
        receive: trio.MemoryReceiveChannel[list[bytes]],
        send: trio.MemorySendChannel[list[Plain]],
    ) -> None:
        async with receive, send:
            async for contents in receive:
                under = self._publisher.under(self._owner, self._name)
                work = partial(self._signed, contents, under)
                made, failed = await self._core.threads.run(work)
                try:
                    await send.send(made)
                except trio.BrokenResourceError:
                    return
                if failed is not None:
                    raise failed

    def _signed(
        self, contents: list[bytes], under: bytes
    ) -> tuple[list[Plain], WillcallError | None]:
        """Signed roots, up to the first content that can't be taken, and why it can't."""
        made: list[Plain] = []
        for content in contents:
            try:
                made.append(self._publisher.sign(self._owner, content, under))
            except WillcallError as error:
                return made, error
        return made, None

    async def _store(self, receive: trio.MemoryReceiveChannel[list[Plain]]) -> None:
        async with receive:
            async for made in receive:
                await self._publisher.add(self._owner, self._name, made, self._tally)
