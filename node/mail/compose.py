"""A new RFC 5322 message from words a person gave.

Gives CRLF, 7-bit bytes: UTF-8 text as quoted-printable or base64 where it needs to be, names
and subjects as encoded words. Nothing is random: the boundary is a hash of what is written,
so the same arguments give the same bytes. No value can begin another field: a control
character in any of them is `Malformed`.

Written here and not with `email.message`: that one draws random boundaries and re-wraps
header fields in ways that differ between Python versions, and writing MIME is the small half.
"""

import binascii
import re
from base64 import encodebytes
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from urllib.parse import quote

from node.errors import Malformed
from node.mail import people, words
from node.units import Instant

_WIDTH = 78
"""Where lines are folded: RFC 5322 §2.1.1's recommendation."""
_LONGEST = 998
"""The longest line there may be (RFC 5322 §2.1.1)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PHRASE = re.compile(rf"{_ATOM}(?: {_ATOM})*")
_ID = re.compile(r"<[!-;=?-~]{1,900}>")
_TYPE = re.compile(r"[a-z0-9][\w.+-]{0,60}/[a-z0-9][\w.+-]{0,100}", re.A | re.I)
_PLAIN_NAME = re.compile(r"[\w .()+,@-]{1,60}", re.A)
_PLAIN_LINES = re.compile(r"[\t\r\n -~]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """Who is written in `From`, `To` and `Cc`.

    Attributes:
        name: the owner's or contact's name; may be empty.
        address: `did:key:z6Mk…@host:port` or `name@domain`; how it is written: `people`.
    """

    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file to go along.

    Attributes:
        name: its file name.
        type: its media type without parameters, such as `image/png`.
        data: its bytes; they arrive unchanged.
    """

    name: str
    type: str
    data: bytes


def compose(
    *,
    sender: Mailbox,
    to: Sequence[Mailbox],
    cc: Sequence[Mailbox] = (),
    subject: str,
    text: str,
    date: Instant,
    message_id: str,
    in_reply_to: str | None = None,
    references: Sequence[str] = (),
    attachments: Sequence[Attachment] = (),
) -> bytes:
    """The message.

    Args:
        sender: its author.
        to: its recipients; none gives an empty group, unless there is a `cc`.
        cc: those who get it for their information. Hidden recipients (Bcc) are nowhere here.
        subject: one line.
        text: any text; line ends of every kind become CRLF.
        date: when it was written; shown in UTC.
        message_id: `<…@…>`, unique; the caller makes it.
        in_reply_to: the Message-ID this answers (see `thread.answer`).
        references: the Message-IDs of the conversation, oldest first.
        attachments: files, in order.

    Raises:
        Malformed: a value holds a line end or another control character, or is not of its
            form.
    """
    fields = [
        ("From", _mailbox(sender)),
        ("To", _listed(to) or ([] if cc else ["undisclosed-recipients:;"])),
        ("Cc", _listed(cc)),
        ("Subject", _unstructured(subject)),
        ("Date", [_date(date)]),
        ("Message-ID", [_id(message_id)]),
        ("In-Reply-To", [_id(in_reply_to)] if in_reply_to else []),
        ("References", [_id(reference) for reference in references]),
        ("MIME-Version", ["1.0"]),
    ]
    head = b"".join(_field(name, tokens) for name, tokens in fields if tokens)
    parts = [_text(text), *(_attached(attachment) for attachment in attachments)]
    return head + (_mixed(parts) if attachments else parts[0])


def readable(name: str) -> str:
    """A file name without line ends, control characters and bytes that are no text."""
    return _CONTROL.sub("_", name)


def _clean(value: str, what: str) -> str:
    """The value, if it can stand in a header field."""
    if _CONTROL.search(value):
        raise Malformed(f"{what} {value[:80]!r} holds a line end or a control character")
    return value


def _field(name: str, tokens: Iterable[str]) -> bytes:
    """A field, folded before a token that would pass the line's width."""
    lines, line = [], f"{name}:"
    for token in tokens:
        if len(line) + 1 + len(token) > _WIDTH and line.strip() != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {token}"
    return "\r\n".join([*lines, line]).encode("ascii") + b"\r\n"


def _unstructured(value: str) -> list[str]:
    """Words of a subject; encoded ones where plain ones would not come back the same."""
    tokens = _clean(value, "the subject").split(" ")
    plain = value.isascii() and "=?" not in value and "\t" not in value
    # Blanks in a row or at the ends can't be folded at: an empty line would end the header.
    if plain and all(tokens) and max(map(len, tokens)) <= _WIDTH:
        return tokens
    return words.encode(value)


def _listed(mailboxes: Sequence[Mailbox]) -> list[str]:
    tokens = [_mailbox(box) for box in mailboxes]
    return [token for box in tokens[:-1] for token in (*box[:-1], f"{box[-1]},")] + [
        token for box in tokens[-1:] for token in box
    ]


def _mailbox(box: Mailbox) -> list[str]:
    """Name and address as tokens between which a line may be folded."""
    name = _clean(box.name, "the name").strip()
    spec = people.spell(_clean(box.address, "the address"))
    if not name:
        return [spec]
    if not name.isascii() or "=?" in name or len(name) > _WIDTH:
        return [*words.encode(name), f"<{spec}>"]
    if not _PHRASE.fullmatch(name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return [name, f"<{spec}>"]


def _date(date: Instant) -> str:
    try:
        return format_datetime(_EPOCH + timedelta(milliseconds=date))
    except OverflowError as error:
        raise Malformed("this date is outside the calendar") from error


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise Malformed("a Message-ID is one word in angle brackets")
    return value


# --- body -----------------------------------------------------------------------------


def _text(text: str) -> bytes:
    """The text as an entity, in the smallest encoding that keeps it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    text = "\r\n".join(lines) + "\r\n"
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("the text holds half a character (a lone surrogate)") from error
    if _PLAIN_LINES.fullmatch(text) and max(map(len, lines)) <= _LONGEST:
        return _entity("text/plain; charset=us-ascii", "7bit", data)
    quoted = binascii.b2a_qp(data, istext=True)
    # Quoted-printable is for people who read the source; base64 where it would be longer.
    if len(quoted) <= 2 * len(data):
        return _entity("text/plain; charset=utf-8", "quoted-printable", quoted)
    return _entity("text/plain; charset=utf-8", "base64", _base64(data))


def _attached(attachment: Attachment) -> bytes:
    kind = _clean(attachment.type, "the media type").lower()
    if not _TYPE.fullmatch(kind):
        raise Malformed("a media type is written like image/png")
    disposition = ["attachment", *_name(attachment.name)]
    if kind == "message/rfc822" and _is_seven_bit(attachment.data):
        return _entity(kind, "7bit", attachment.data, disposition)
    # These two may not be encoded (RFC 2046 §5.2.1), and unencoded they would not arrive as
    # they are: they go as plain bytes under their file name.
    if kind.startswith(("message/", "multipart/")):
        kind = "application/octet-stream"
    return _entity(kind, "base64", _base64(attachment.data), disposition)


def _entity(kind: str, encoding: str, body: bytes, disposition: Sequence[str] = ()) -> bytes:
    head = _field("Content-Type", [kind]) + _field("Content-Transfer-Encoding", [encoding])
    if disposition:
        marked = [f"{token};" for token in disposition[:-1]] + [disposition[-1]]
        head += _field("Content-Disposition", marked)
    return head + b"\r\n" + body


def _name(name: str) -> Iterator[str]:
    """A file name as parameters (RFC 2183, RFC 2231 §4)."""
    if _PLAIN_NAME.fullmatch(_clean(name, "the file name")):
        yield f'filename="{name}"'
        return
    coded = "utf-8''" + quote(name, safe="")
    for number, start in enumerate(range(0, len(coded), 60)):
        yield f"filename*{number}*={coded[start : start + 60]}"


def _is_seven_bit(data: bytes) -> bool:
    """Whether a message can stand in another unencoded: ASCII, CRLF, no long lines."""
    ends = data.count(b"\r\n")
    whole = ends == data.count(b"\r") == data.count(b"\n") and b"\0" not in data
    return data.isascii() and whole and all(len(line) <= _LONGEST for line in data.split(b"\r\n"))


def _base64(data: bytes) -> bytes:
    return encodebytes(data).replace(b"\n", b"\r\n")


def _mixed(parts: Sequence[bytes]) -> bytes:
    """The parts as one body.

    The boundary can't be in them: `=_` is in no base64 and no quoted-printable, and a text
    that holds its own hash can't be written.
    """
    digest = sha256(b"\0".join(sha256(part).digest() for part in parts)).hexdigest()
    boundary = f"=_{digest[:32]}"
    line = b"--" + boundary.encode()
    head = _field("Content-Type", ["multipart/mixed;", f'boundary="{boundary}"']) + b"\r\n"
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    return head + body + line + b"--\r\n"
