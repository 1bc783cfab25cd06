r"""mbox files: many messages in one file.

Written is mboxrd, byte for byte: a message begins after a line `From …`; a line of the message
that matches `^>*From ` gets one more `>`; one empty line follows each message. The one byte that
this can't keep is a missing final line end. Format: qmail's mbox(5), RFC 4155.

Read are three dialects, which differ in what a `>` before `From ` means:

    mboxrd    `>From ` and `>>From ` lose one `>`: what was written comes back
    mboxo     `>From ` loses it and `>>From ` does not: one that was written so is lost
    mboxcl2   nothing was quoted; Content-Length says where a message ends

Only mboxrd says of itself what it is, and only in the files of programs that write `mboxrd@`.

Not every line `From …` of a real file begins a message: some programs quote none. It does where it
says a moment, as separators do, or a header begins behind it.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from node import limits
from node.errors import Malformed, TooLarge
from node.units import LAST, Instant

DIALECTS = ("mboxrd", "mboxo", "mboxcl2")

_SEPARATOR = b"\nFrom "
_MARK = b"\xef\xbb\xbf"
"""A byte order mark: editors on Windows put one before a file."""
_QUOTED = {
    "mboxrd": re.compile(rb"\n>(?=>*From )"),
    "mboxo": re.compile(rb"\n>(?=From )"),
    "mboxcl2": None,
}
_UNQUOTED = re.compile(rb"\n(?=>*From )")
_OPEN = re.compile(rb"\n>*+(F|Fr|Fro|From)?")
"""The end of a piece in which a quoted line may have begun."""
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,12})[ \t\r]*\n", re.IGNORECASE)
_HEADER = 64 * 1024
"""Bytes of a message in which its Content-Length is looked for."""
_LINE = 1000
"""Bytes of a separator at most, its line end counted (RFC 5322 §2.1.1)."""
_FIELD = re.compile(rb"[!-9;-~]{1,76}[ \t]*:")
"""The name of a field: RFC 5322 §3.6.8, and §4.5 for spaces before the colon."""
_NAME = 80
"""Bytes of the line after a separator that tell whether it is a field."""
_BEYOND = 4
"""Line ends between a message of known length and the next separator, at most."""
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = re.compile(
    rb" (?P<month>[A-Z][a-z]{2}) +(?P<day>[0-9]{1,2}) (?P<h>[0-9]{2}):(?P<m>[0-9]{2})"
    rb"(?::(?P<s>[0-9]{2}))?(?: [A-Z+-][A-Z0-9:+-]{0,5})? (?P<year>[0-9]{4})"
)


class Message(NamedTuple):
    """A message of an mbox.

    Attributes:
        separator: the line before it, `From …`, without its end.
        content: the message.
        whole: False where it is larger than what was to be taken: then there is no content.
    """

    separator: bytes
    content: bytes
    whole: bool = True


# --- reading ----------------------------------------------------------------------------


def split(
    chunks: Iterable[bytes],
    *,
    largest: int = limits.MESSAGE_LARGEST,
    dialect: str = "mboxrd",
) -> Iterator[bytes]:
    """The messages of an mbox file, in file order.

    Memory is one message and one chunk. LF and CRLF files are read; an empty file has no
    messages.

    Args:
        chunks: the file in pieces of any size.
        largest: bytes that one message, as it stands in the file, may take in memory.
        dialect: one of `DIALECTS`.

    Raises:
        Malformed: the file does not begin with a separator line.
        TooLarge: a message goes on after `largest` bytes.
    """
    splitter = Splitter(largest=largest, dialect=dialect)
    for chunk in chunks:
        for message in splitter.feed(chunk):
            yield message.content
    for message in splitter.end():
        yield message.content


def begins(head: bytes) -> bool:
    """Whether a file that begins with these bytes begins as an mbox does."""
    return head.removeprefix(_MARK).lstrip(b"\r\n").startswith(b"From ")


def sniff(head: bytes) -> str:
    """The dialect of a file that begins with these bytes, as far as it can be told.

    mboxcl2 only where every Content-Length there is leads to a separator, and one does;
    mboxrd where nothing else is sure.
    """
    if head.removeprefix(_MARK).lstrip(b"\r\n").startswith(b"From mboxrd@"):
        return "mboxrd"
    splitter = Splitter(largest=2 * len(head) + 16, dialect="mboxcl2")
    try:
        # The last message may be cut off; its length was not looked at.
        for _ in splitter.feed(head):
            pass
    except Malformed:
        return "mboxrd"
    return "mboxcl2" if splitter.fitting and not splitter.misfitting else "mboxrd"


class Splitter:
    """`split` for a file that comes in pieces by itself.

    Args:
        largest: bytes that one message, as it stands in the file, may take in memory.
        dialect: one of `DIALECTS`.
        passing: a message that is larger is passed over, and given without its content.

    Attributes:
        fitting, misfitting: Content-Lengths that led to a separator, and that did not
            (looked at in mboxcl2 only).
    """

    def __init__(
        self,
        *,
        largest: int = limits.MESSAGE_LARGEST,
        dialect: str = "mboxrd",
        passing: bool = False,
    ) -> None:
        # The line feed in front makes the first line like every other.
        self._buffer = bytearray(b"\n")
        self._searched = 0
        self._largest, self._quoted = largest, _QUOTED[dialect]
        self._by_length = dialect == "mboxcl2"
        self._stated: int | None = None
        self._passing = passing
        self._passed: bytes | None = None
        self.fitting = self.misfitting = 0

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that are complete with this piece; raises as `split` does."""
        self._buffer += chunk
        if self._buffer.startswith(b"\n" + _MARK):  # from the first message on it never does
            del self._buffer[1 : 1 + len(_MARK)]
        yield from self._drain(last=False)
        if not self._passing or not self._buffer.startswith(_SEPARATOR):
            _check_size(self._buffer, self._largest)
        elif self._searched > self._largest:
            self._pass()

    def _pass(self) -> None:
        """Lets go what was looked through of a message that is too large; its separator stays."""
        buffer = self._buffer
        if self._passed is None:
            self._passed = bytes(buffer[1 : max(1, buffer.find(b"\n", 1, _LINE))]).rstrip(b"\r")
        # Behind `\nFrom ` as ever, so that what is found next divides as everywhere.
        del buffer[len(_SEPARATOR) : self._searched]
        self._searched, self._stated = len(_SEPARATOR), -1

    def end(self) -> Iterator[Message]:
        """What is left."""
        yield from self._drain(last=True)
        if message := self._before(len(self._buffer), self._stated):
            yield message

    def _drain(self, *, last: bool) -> Iterator[Message]:
        buffer = self._buffer
        while (at := self._next(last=last)) >= 0:
            if at and (message := self._before(at + 1, self._stated)):
                yield message
            del buffer[:at]
            self._searched, self._stated = len(_SEPARATOR), None

    def _next(self, *, last: bool) -> int:
        """Where the next separator is; -1: not yet known, or nowhere."""
        buffer = self._buffer
        if self._by_length and self._stated is None and buffer.startswith(_SEPARATOR):
            claimed = _claimed_end(buffer)
            if claimed is not None and not last and self._may_come(claimed):
                return -1
            if claimed is not None:
                self._look_at(claimed, last=last)
        while (at := buffer.find(_SEPARATOR, self._searched)) > 0:
            if (self._stated or 0) > 0 or not buffer.startswith(_SEPARATOR):
                return at  # a length led to it, or nothing but empty lines was before
            if not last and len(buffer) < at + _LINE + _NAME:
                self._searched = at
                return -1
            if _divides(bytes(buffer[at : at + _LINE + _NAME])):
                return at
            self._searched = at + 1
        if at < 0:
            self._searched = max(self._searched, len(buffer) - len(_SEPARATOR) + 1)
        return at

    def _may_come(self, claimed: int) -> bool:
        """Whether what a stated length leads to is not here yet, and can come at all."""
        needed = claimed + _BEYOND + len(_SEPARATOR)
        return len(self._buffer) < needed <= self._largest

    def _look_at(self, claimed: int, *, last: bool) -> None:
        """Believes a stated length if it leads to a separator, or to the end of the file."""
        rest = bytes(self._buffer[claimed : claimed + _BEYOND + len(_SEPARATOR)])
        ends = last and claimed <= len(self._buffer) and not rest.strip(b"\r\n")
        if ends or rest.lstrip(b"\r\n").startswith(b"From "):
            self.fitting += 1
            self._stated, self._searched = claimed, claimed - 1
        else:
            self.misfitting += 1
            self._stated = -1

    def _before(self, end: int, stated: int | None) -> Message | None:
        """The message whose separator the buffer begins with, None for the file's beginning."""
        buffer = self._buffer
        if self._passed is not None:
            separator, self._passed = self._passed, None
            return Message(separator, b"", whole=False)
        if not buffer.startswith(_SEPARATOR):
            _check_empty(buffer[:end])
            return None
        start = buffer.find(b"\n", 1, end)
        if start < 0:
            return Message(bytes(buffer[1:end]).rstrip(b"\r\n"), b"")
        separator = bytes(buffer[1:start]).rstrip(b"\r")
        stop = stated if stated is not None and stated > start else _last(buffer, start, end)
        # With the LF before its first line, so that this line is like every other.
        content = bytes(memoryview(buffer)[start:stop])
        if self._quoted is not None and b">From " in content:
            content = self._quoted.sub(b"\n", content)
        return Message(separator, content[1:])


def _divides(line: bytes) -> bool:
    """Whether a line `From …` begins a message.

    Args:
        line: from the line feed before it on, with as much of the next one as names a field.
    """
    own, _, after = line[1:].partition(b"\n")
    return bool(_MOMENT.search(own[:_LINE]) or _FIELD.match(after))


def _claimed_end(buffer: bytearray) -> int | None:
    """Where the message that the buffer begins with ends, by its Content-Length."""
    start = buffer.find(b"\n", 1)
    if start < 0:
        return None
    ends = [
        at for at in (buffer.find(end, start, _HEADER) for end in (b"\n\n", b"\n\r\n")) if at >= 0
    ]
    if not ends:
        return None
    head = min(ends)
    found = _LENGTH.search(bytes(buffer[start : head + 1]))
    body = head + (3 if buffer[head + 1 : head + 2] == b"\r" else 2)
    return body + int(found[1]) if found else None


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


def moment(separator: bytes) -> Instant | None:
    """When a message came, as its separator says it; taken as UTC, None where it says nothing."""
    found = _MOMENT.search(separator)
    if not found or (month := found["month"].decode()) not in _MONTHS:
        return None
    try:
        date = datetime(
            int(found["year"]), _MONTHS.index(month) + 1, int(found["day"]), int(found["h"]),
            int(found["m"]), min(int(found["s"] or 0), 59), tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return None
    return Instant(max(0, (date - _EPOCH) // timedelta(milliseconds=1)))


# --- writing ----------------------------------------------------------------------------


def join(messages: Iterable[tuple[Instant, bytes]]) -> Iterator[bytes]:
    """An mboxrd file in pieces, from messages and the moments they came."""
    for moment, content in messages:
        yield from write(moment, [content])


def write(moment: Instant, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One message of an mboxrd file, in pieces; memory is one chunk.

    A message without a final line end gets one: the format knows no other way.

    Args:
        moment: when it came.
        chunks: the message in pieces of any size.
    """
    yield b"From mboxrd@z %s\n" % _print(moment).encode()
    last = b"\n"
    for piece in _quote(chunks):
        yield piece
        last = piece[-1:]
    yield b"\n" if last == b"\n" else b"\n\n"


def _quote(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One `>` more before every `>*From ` that begins a line.

    Where a piece ends in what may become one, its `>`s are let go (one more before `From ` is
    the same as one more at the line's beginning) and the rest is held back.
    """
    held, fresh = b"", True
    for chunk in chunks:
        data = (b"\n" if fresh else b"") + held + chunk
        found = _OPEN.fullmatch(data, max(0, data.rfind(b"\n")))
        held = (found[1] or b"") if found else b""
        piece = data[: len(data) - len(held)]
        if b"From " in piece:
            piece = _UNQUOTED.sub(b"\n>", piece)
        if piece[fresh:]:
            yield piece[fresh:]
        fresh = found is not None
    if held:
        yield held


def _print(moment: Instant) -> str:
    """`Thu Jan  2 12:00:29 2020`, UTC: asctime's form in every locale, to the end of its years."""
    date = _EPOCH + timedelta(milliseconds=min(moment, LAST))
    day, month = _DAYS[date.weekday()], _MONTHS[date.month - 1]
    return f"{day} {month} {date.day:2} {date:%H:%M:%S} {date.year:04}"
