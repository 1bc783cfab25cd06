"""Messages as they arrive in an upload for an archive: out of an mbox, or one behind the other.

What is larger than the node takes is left out and told; it holds up nothing that comes behind it.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from node.errors import Malformed, Usage
from node.mail import mbox
from node.units import MIB, ByteCount

QUOTES = ByteCount(1 * MIB)
"""Bytes that a message may have more in its mbox: a separator, and a `>` here and there."""
TOLD = 100
"""Places that are told one by one."""
_LINE = 16
"""Characters of a length, its line end counted."""


@dataclass(slots=True)
class Left:
    """Messages that were left out, being larger than the node takes.

    Attributes:
        count: how many.
        places: of the first of them in the upload, from 1.
    """

    count: int = 0
    places: list[int] = field(default_factory=list)

    def out(self, place: int) -> None:
        """One more."""
        self.count += 1
        if self.count <= TOLD:
            self.places.append(place)


async def split(
    chunks: AsyncIterator[bytes], largest: int, dialect: str, left: Left
) -> AsyncIterator[bytes]:
    """The messages of an mbox that arrives in pieces.

    Raises:
        Malformed: it is none. Usage: there is no such dialect.
    """
    place = 0
    async for message in _messages(chunks, largest, dialect):
        place += 1
        if message.whole and len(message.content) <= largest:
            yield message.content
        else:
            left.out(place)


async def _messages(
    chunks: AsyncIterator[bytes], largest: int, dialect: str
) -> AsyncIterator[mbox.Message]:
    if dialect not in mbox.DIALECTS:
        raise Usage(f"{dialect[:20]!r} is no format", next=", ".join(mbox.DIALECTS))
    splitter = mbox.Splitter(largest=largest + QUOTES, dialect=dialect, passing=True)
    async for chunk in chunks:
        for message in splitter.feed(chunk):
            yield message
    for message in splitter.end():
        yield message


async def framed(chunks: AsyncIterator[bytes], largest: int, left: Left) -> AsyncIterator[bytes]:
    """Messages that arrive one after the other, each behind a line with its length.

    Raises:
        Malformed: a length is none, or the last message is cut off.
    """
    frames = _Frames(largest, left)
    async for chunk in chunks:
        for message in frames.feed(chunk):
            yield message
    frames.end()


class _Frames:
    """What has arrived and is not given yet: one message at most, and the piece behind it."""

    def __init__(self, largest: int, left: Left) -> None:
        self._largest, self._left = largest, left
        self._buffer, self._place = bytearray(), 0
        self._size: int | None = None
        self._over = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The messages that are complete with this piece."""
        self._buffer += chunk
        while (size := self._length()) is not None:
            if len(self._buffer) < size and not self._over:
                return
            message = bytes(self._buffer[:size])
            del self._buffer[:size]
            if self._over and len(message) < size:
                self._size = size - len(message)
                return
            if not self._over:
                yield message
            self._size = None

    def end(self) -> None:
        """Raises Malformed if something is left."""
        if self._buffer or self._size is not None:
            raise Malformed("the last message is cut off")

    def _length(self) -> int | None:
        """Bytes of the message that the buffer begins with; None: its line is not here yet."""
        if self._size is not None:
            return self._size
        line, found, _ = bytes(self._buffer[:_LINE]).partition(b"\n")
        if not found and len(line) < _LINE:
            return None
        if not found or not line.isdigit():
            raise Malformed("a line before a message is no length")
        del self._buffer[: len(line) + 1]
        self._size, self._place = int(line), self._place + 1
        self._over = self._size > self._largest
        if self._over:
            self._left.out(self._place)
        return self._size
