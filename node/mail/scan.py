"""Subject, date, author and Message-ID from the first bytes of a message.

What `inbox` shows of a message that nobody opened. No parser: the header section is cut at
the first empty line, and each field is found by searching for its name. Any bytes are fine;
what is not there, or can't be read, is None. The time is linear in the bytes looked at.
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz
from typing import NamedTuple

from node import limits
from node.mail import text, words
from node.units import Instant

_FIELD = 8 * 1024
"""Bytes of one field that are looked at: 64 encoded words and their folding fit."""
_DATE = 200
"""Bytes of a date: the longest in 4,448 real messages has 93, comments included."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI = timedelta(milliseconds=1)
_MONTHS = {
    name: number + 1
    for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
}
_USUAL = re.compile(
    rb" ?(?:[A-Z][a-z]{2}, +)?(\d\d?) ([A-Z][a-z]{2}) (\d{4})"
    rb" (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\b"
)
_ID = re.compile(r"<[^<>]{1,996}>")


class Scan(NamedTuple):
    """What a message says about itself, safe to print; a claim, not a fact.

    Attributes:
        subject: the decoded Subject, at most 998 characters; "" if empty.
        date: the Date field.
        sender: the whole decoded From field: who wrote it is the key, not this.
        message_id: with its angle brackets if it has them. Not unique in real mail.
    """

    subject: str | None
    date: Instant | None
    sender: str | None
    message_id: str | None


def scan(head: bytes) -> Scan:
    """Reads what can be read from the first 64 KiB of a message.

    Args:
        head: the message, or its beginning; bytes after the first 64 KiB are ignored.
    """
    header = header_section(head[: limits.SCANNED])
    names = header.lower()
    return Scan(
        subject=_shown(field(header, names, b"subject")),
        date=_instant(field(header, names, b"date")),
        sender=_shown(field(header, names, b"from")),
        message_id=_id(field(header, names, b"message-id")),
    )


def dated(head: bytes) -> tuple[Instant | None, bool]:
    """The Date field, and whether the two fields that every message has are there and readable.

    A message without author or date (RFC 5322 §3.6) is broken: shown all the same, and said so.
    """
    header = header_section(head[: limits.SCANNED])
    names = header.lower()
    date = _instant(field(header, names, b"date"))
    sender = field(header, names, b"from")
    return date, date is not None and sender is not None and bool(sender.strip())


def header_section(content: bytes) -> bytes:
    r"""The header section with LF line ends, and one LF before the first line.

    CRLF, LF and a bare CR all end a line; the first empty line ends the section. An mbox
    separator or a byte order mark before the first field is left out.
    """
    header = content.partition(b"\n\n")[0].removeprefix(b"\xef\xbb\xbf")
    if b"\r" in header:
        header = header.partition(b"\n\r")[0].partition(b"\r\r")[0]
        header = header.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if header.startswith(b"From "):
        return header[header.find(b"\n") :] if b"\n" in header else b""
    return b"" if header.startswith(b"\n") else b"\n" + header


def field(header: bytes, names: bytes, name: bytes, most: int = _FIELD) -> bytes | None:
    """The unfolded value of the first field of that name, at most `most` bytes of it.

    Args:
        header: what `header_section` gave.
        names: the same in lower case.
        name: the field's name in lower case.
        most: how much of it is looked at.
    """
    start = _value(names, b"\n" + name, 0)
    if start < 0:
        return None
    limit = min(start + most, len(header))
    end = header.find(b"\n", start, limit)
    while end >= 0 and header[end + 1 : end + 2] in (b" ", b"\t"):
        end = header.find(b"\n", end + 1, limit)
    return header[start : end if end >= 0 else limit].replace(b"\n", b"")


def _value(names: bytes, start: bytes, at: int) -> int:
    """Where the value begins; white space before the colon is RFC 5322's obsolete form."""
    at = names.find(start, at)
    while at >= 0:
        colon = at + len(start)
        if names[colon : colon + 1] == b":":
            return colon + 1
        gap = names[colon : colon + 80].lstrip(b" \t")
        if gap.startswith(b":"):
            return names.index(b":", colon) + 1
        at = names.find(start, colon)
    return -1


def shown(value: bytes) -> str:
    """A field value as a person reads it: decoded (RFC 2047, RFC 6532) and safe to print."""
    return text.safe_line(words.decode(text.guess(value)))


def _shown(value: bytes | None) -> str | None:
    return None if value is None else shown(value)


def _id(value: bytes | None) -> str | None:
    line = _shown(value)
    found = _ID.search(line) if line else None
    return found[0] if found else line or None


def _instant(value: bytes | None) -> Instant | None:
    """A date (RFC 5322 §3.3, obsolete forms too); None before 1970 and where it is no date."""
    if value is None or len(value) > _DATE:
        return None
    try:
        moment = _usual(value) or _unusual(value)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        # The parser's own failures on nonsense; which of them depends on its version.
        return None
    millis = (moment - _EPOCH) // _MILLI if moment else -1
    return Instant(millis) if millis >= 0 else None


def _usual(value: bytes) -> datetime | None:
    """The one form that nearly all mail has: a quarter of the time of the other way."""
    found = _USUAL.match(value)
    if not found or found[2] not in _MONTHS:
        return None
    day, month, year, hour, minute, second, sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    # A leap second is real and unknown to datetime.
    at = (int(hour), int(minute), min(int(second), 59))
    moment = datetime(int(year), _MONTHS[month], int(day), *at, tzinfo=UTC)
    return moment + offset if sign == b"-" else moment - offset


def _unusual(value: bytes) -> datetime | None:
    parsed = parsedate_tz(value.decode("ascii", "replace"))
    if parsed is None:
        return None
    year, month, day, hour, minute, second = parsed[:6]
    moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    return moment - timedelta(seconds=parsed[9] or 0)
