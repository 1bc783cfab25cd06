r"""The mboxrd file format: many messages in one file, byte for byte.

A message begins after a line `From …`; a line of the message that matches `^>*From ` got one
more `>`; one empty line follows each message. Other dialects are not guessed at: in mboxo a
quoted line can't be told from one that was written so. The one byte that the format can't
keep is a missing final line end. Format: qmail's mbox(5).
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from node import limits
from node.errors import Malformed, TooLarge
from node.units import Instant

_SEPARATOR = b"\nFrom "
_QUOTED = re.compile(rb"\n>(?=>*From )")
_UNQUOTED = re.compile(rb"\n(?=>*From )")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def split(chunks: Iterable[bytes], *, largest: int = limits.MESSAGE_LARGEST) -> Iterator[bytes]:
    """The messages of an mboxrd file, in file order, each exactly as it was written.

    Memory is one message and one chunk. LF and CRLF files are read; an empty file has no
    messages.

    Args:
        chunks: the file in pieces of any size.
        largest: bytes that one message, as it stands in the file, may take in memory.

    Raises:
        Malformed: the file does not begin with a separator line.
        TooLarge: a message goes on after `largest` bytes.
    """
    splitter = Splitter(largest=largest)
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.end()


class Splitter:
    """`split` for a file that comes in pieces by itself.

    Args:
        largest: bytes that one message, as it stands in the file, may take in memory.
    """

    def __init__(self, *, largest: int = limits.MESSAGE_LARGEST) -> None:
        # The line feed in front makes the first line like every other.
        self._buffer = bytearray(b"\n")
        self._searched = 0
        self._largest = largest

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The messages that are complete with this piece; raises as `split` does."""
        buffer = self._buffer
        buffer += chunk
        while (at := buffer.find(_SEPARATOR, self._searched)) >= 0:
            if at and (message := _before(buffer, at + 1)):
                yield message.content
            del buffer[:at]
            self._searched = len(_SEPARATOR)
        self._searched = max(self._searched, len(buffer) - len(_SEPARATOR) + 1)
        _check_size(buffer, self._largest)

    def end(self) -> Iterator[bytes]:
        """The last message."""
        if message := _before(self._buffer, len(self._buffer)):
            yield message.content


class _Message(NamedTuple):
    content: bytes


def _before(buffer: bytearray, end: int) -> _Message | None:
    """The message whose separator the buffer begins with, None for the file's beginning."""
    if not buffer.startswith(_SEPARATOR):
        _check_empty(buffer[:end])
        return None
    start = buffer.find(b"\n", 1, end)
    if start < 0:
        return _Message(b"")
    # With the LF before its first line, so that this line is like every other.
    content = bytes(memoryview(buffer)[start : _last(buffer, start, end)])
    if b">From " in content:
        content = _QUOTED.sub(b"\n", content)
    return _Message(content[1:])


def _last(buffer: bytearray, start: int, end: int) -> int:
    """Where the message ends: before the one empty line that the format adds."""
    if buffer.endswith(b"\n\r\n", start, end):
        return end - 2
    return end - 1 if buffer.endswith(b"\n\n", start, end) else end


def _check_empty(start: bytes | bytearray) -> None:
    if start.strip(b"\r\n"):
        raise Malformed(
            "this is no mbox file: it does not begin with a line `From …`",
            next="send a single message with --raw",
        )


def _check_size(buffer: bytearray, largest: int) -> None:
    """Ends early what can't become a message: another format, or one without an end."""
    if not buffer.startswith(_SEPARATOR):
        # Its last bytes may be the beginning of the first separator.
        _check_empty(buffer[: -len(_SEPARATOR)])
    if len(buffer) > largest:
        raise TooLarge(
            f"a message in this file has more than {largest:,} bytes",
            next="capacity.message in config.toml raises it, up to 1GiB",
        )


def join(messages: Iterable[tuple[Instant, bytes]]) -> Iterator[bytes]:
    """An mboxrd file in pieces, from messages and the moments they came.

    A message without a final line end gets one: the format knows no other way.
    """
    for moment, content in messages:
        yield b"From mboxrd@z %s\n" % _print(moment).encode()
        yield _quoted(content)
        yield b"\n" if content.endswith(b"\n") or not content else b"\n\n"


def _quoted(content: bytes) -> bytes:
    if b"From " not in content:
        return content
    return _UNQUOTED.sub(b"\n>", b"\n" + content)[1:]


def _print(moment: Instant) -> str:
    """`Thu Jan  2 12:00:29 2020`, UTC: asctime's form in every locale."""
    date = _EPOCH + timedelta(milliseconds=moment)
    day, month = _DAYS[date.weekday()], _MONTHS[date.month - 1]
    return f"{day} {month} {date.day:2} {date:%H:%M:%S} {date.year:04}"
