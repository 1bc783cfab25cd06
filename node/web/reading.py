"""Messages of archives, taken apart for pages: one after another, in a child that may be killed.

A message may take some seconds of its child. So nobody waits for it longer than `PATIENCE`, however
many have asked before; and documents of many messages have a child of their own, and a deadline
for all of it (`web.feeds`).
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import trio

from node import limits
from node.errors import Absent, Damaged, WillcallError
from node.machines.rows import Item
from node.mail import original, posted
from node.mail.display import SHOWN
from node.ports import File, Reader, Shown, Threads
from node.services.core import beginning
from node.services.library import Library

T = TypeVar("T")

PATIENCE = 15.0
"""Seconds that a page waits for one message: its own five, and those of two before it."""


_HEAD = 2 * limits.SCANNED
"""Bytes in which the header section of a letter to a list ends: eight copied fields."""


class Signature(NamedTuple):
    """What is known of a letter's author: who signed it, or why nobody can say."""

    did: str
    why: str = ""


class Reading:
    """Opens messages.

    Args:
        library: where they are.
        reader: what takes them apart; nobody else's.
        threads: where signatures are checked.
    """

    def __init__(self, library: Library, reader: Reader, threads: Threads) -> None:
        self._library, self._reader, self._lock = library, reader, trio.Lock()
        self._threads = threads

    async def page(self, item: Item) -> Shown | None:
        """How a message looks; None where its bytes are not here, or it can't be taken apart."""
        # One byte more than is shown: so it is seen that there is more.
        content = await beginning(self._library.content(item), SHOWN + 1)
        return await self._asked(lambda: self._reader.page(content)) if content else None

    async def signature(self, item: Item, most: int) -> Signature | None:
        """Who signed a letter to a list; None for all other mail, whose authors nobody vouches for.

        Args:
            item: the message.
            most: bytes that are read; of a larger one it is not known.
        """
        if not posted.is_wrapped(await beginning(self._library.content(item), _HEAD)):
            return None
        if item.size > most:
            return Signature("", "the author's signature is not checked here: it is too large")
        try:
            raw = await self.whole(item, most)
        except (Absent, Damaged):
            return None
        return await self._threads.run(lambda: _signed(raw))

    async def html(self, item: Item) -> str | None:
        """Its markup, hostile as it came."""
        content = await beginning(self._library.content(item), SHOWN)
        return await self._asked(lambda: self._reader.html(content))

    async def file(self, item: Item, number: int, most: int) -> File | None:
        """An attachment by its place. Raises Absent as `whole`."""
        content = await self.whole(item, most)
        return await self._asked(lambda: self._reader.file(content, number))

    async def whole(self, item: Item, most: int) -> bytes:
        """All its bytes.

        Raises:
            Absent: they are not here, or more than `most`.
        """
        if item.size > most:
            raise Absent(
                f"this message has {item.size:,} bytes: too much for one answer",
                next="take its blocks from /ipfs/",
            )
        return b"".join([piece async for piece in self._library.content(item)])

    async def _asked(self, ask: Callable[[], Awaitable[T | None]]) -> T | None:
        with trio.move_on_after(PATIENCE):
            async with self._lock:
                return await ask()
        return None

    async def close(self) -> None:
        """Ends the child."""
        await self._reader.close()


def _signed(raw: bytes) -> Signature | None:
    found = posted.unwrap(raw)
    try:
        return None if found is None else Signature(original.author(*found).did)
    except WillcallError as error:
        return Signature("", f"the author's signature does not hold: {error.text}")
