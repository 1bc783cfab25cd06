"""A message as a person reads it: header fields, text, attachments, and what was odd.

Works on a copy, decides nothing, and never fails: whatever the bytes are, something safe to
print comes back. The header fields are found by the own scanner, the parts by the standard
library's parser, which is kept from what it does badly: its header classes (seconds for
20,000 encoded words, exceptions on 1 % of real mail) are not used, and bytes that would cost
it too much are counted before. The worst case found takes less than a second; the caller
still runs it where it can be killed.
"""

import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message
from email.policy import Compat32
from itertools import islice
from typing import NamedTuple

from node.mail import markup, scan, text
from node.mail.compose import Attachment
from node.units import MIB

SHOWN = int(MIB)
"""Bytes of a message that are looked at for display: a thick book."""
HTML = 512 * 1024
"""Characters of HTML that are turned into text, in all: the largest newsletter seen has 300 K."""
_DEPTH = 20
"""Parts inside each other that are opened: real mail has five."""
_PARTS = 200
"""Parts that are shown: real digests have 50."""
_CONTAINERS = 100
"""Mentions of `multipart/` or `message/` before the parser is not asked: it recurses."""
_LINES = 2_500_000
"""Lines times containers: for each line the parser asks each open container (0.1 µs)."""
_BOUNDARIES = 10_000
"""Lines that begin with `--`: each may be a part, at 8 µs."""
_FIELDS = 20_000
"""Lines of the header section before the parser is not asked."""
_VALUE = 2_048
"""Characters of a field inside the parser: its parameter search is quadratic."""
_PARAMETERS = 40
"""Semicolons in such a field, for the same reason."""
_FILE_NAME = 100
"""Characters of a shown or saved file name."""
_FILE_BYTES = 200
"""Bytes of it in UTF-8: file systems take 255, and a number may be added."""
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|\s|$)")
"""Names that are devices on Windows, whatever ending they have."""
_INSIDE = ("From", "Date", "Subject")
"""What is said of a message inside."""
_FIELDS_SHOWN = (b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Date", b"Subject")
# What the parser raises on hostile bytes, in one version or another: IndexError, KeyError,
# UnicodeError, RecursionError, its own. Not MemoryError: that is for who runs this.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MessageError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Listed(NamedTuple):
    """An attachment in the list; `size` is None where its end was not looked at."""

    name: str
    type: str
    size: int | None


class Display(NamedTuple):
    """What is shown. Every string in it is safe to print.

    Attributes:
        headers: name and decoded value, From to Subject.
        text: the readable parts, LF line ends.
        attachments: what is not shown as text.
        marks: what the reader should know: cut, damaged, odd charset. Half sentences.
    """

    headers: list[tuple[str, str]]
    text: str
    attachments: list[Listed]
    marks: list[str]


class Files(NamedTuple):
    """Attachments to save: file names without folders, each another one."""

    files: list[Attachment]
    marks: list[str]


def display(content: bytes, *, most: int = SHOWN, rest: str = "--raw gives all of it") -> Display:
    """The message for reading.

    Args:
        content: the message as it was submitted.
        most: bytes of it that are looked at.
        rest: where all of it is, for whoever sees that there is more.
    """
    cut = len(content) > most
    content = content[:most]
    header = scan.header_section(content)
    reader = _Reader()
    if cut:
        reader.mark(f"only the first {most // 1024} KiB are shown; {rest}")
    headers = list(_headers(header, reader))
    reader.open(content, _LINES)
    if cut and reader.ends_with_file:
        reader.files[-1] = reader.files[-1]._replace(data=None)
    listed = [Listed(file.name, file.type, file.size) for file in reader.files]
    shown = text.safe_text("\n\n".join(reader.texts)).strip("\n")
    return Display(headers, shown, listed, reader.marks)


def files(content: bytes) -> Files:
    """The attachments with their bytes, for `--save`.

    Reads the whole message: about 0.35 s for a file of 10 MiB.
    """
    reader = _Reader()
    reader.open(content, 20 * _LINES)
    taken: set[str] = set()
    found = [
        Attachment(name=_untaken(file.name, taken), type=file.type, data=file.data)
        for file in reader.files
        if file.data is not None
    ]
    return Files(found, reader.marks)


def html(content: bytes, *, most: int = SHOWN) -> str | None:
    """The markup of its HTML form as it came, for a sanitiser; None where there is none.

    Args:
        content: the message as it was submitted.
        most: bytes of it that are looked at.
    """
    content = content[:most]
    if _is_costly(content, _LINES):
        return None
    try:
        for part in islice(message_from_bytes(content, policy=_Policy()).walk(), _PARTS):
            if part.get_content_type() == "text/html" and not _is_file(part, "text/html"):
                return text.decode(_data(part), part.get_content_charset() or "")[0][:HTML]
    except _FAILURES:
        pass  # it can't be taken apart: there is the text
    return None


def file_name(name: str, instead: str) -> str:
    """A name without folders, hidden beginnings and characters that trouble a terminal."""
    last = re.split(r"[/\\]", text.safe_line(name, 4 * _FILE_NAME))[-1]
    last = re.sub(r'[<>:"|?*]|^-', "_", last.strip(" .")).strip(" .")
    if len(last) > _FILE_NAME or len(last.encode()) > _FILE_BYTES:
        stem, dot, ending = last.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 8 else ""
        room = _FILE_BYTES - len(ending.encode())
        short = last[: _FILE_NAME - len(ending)].encode()[:room].decode("utf-8", "ignore")
        last = short.rstrip(" .") + ending
    return _RESERVED.sub(r"\1_", last, count=1) if _RESERVED.match(last) else last or instead


def _untaken(name: str, taken: set[str]) -> str:
    """The name, or `name-2`; without regard to case, as some file systems have it."""
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    number, tried = 1, name
    while tried.lower() in taken:
        number += 1
        tried = f"{stem}-{number}{ending}"
    taken.add(tried.lower())
    return tried


def _headers(header: bytes, reader: "_Reader") -> Iterator[tuple[str, str]]:
    """The fields that are shown, the first of each name."""
    names = header.lower()
    for name in _FIELDS_SHOWN:
        value = scan.field(header, names, name.lower())
        if value is not None:
            yield name.decode(), scan.shown(value)
    if names.count(b"\nfrom:") > 1:
        reader.mark("it has several From fields; the first is shown")


class _Policy(Compat32):
    """Raw header values, cut to what the parser's parameter search can take."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, _, value = sourcelines[0].partition(":")
        value = (value.lstrip(" \t") + "".join(sourcelines[1:]))[:_VALUE].rstrip("\r\n")
        if value.count(";") > _PARAMETERS:
            value = ";".join(value.split(";")[:_PARAMETERS])
        return name, value

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value


class _File(NamedTuple):
    name: str
    type: str
    data: bytes | None

    @property
    def size(self) -> int | None:
        return None if self.data is None else len(self.data)


class _Reader:
    """Collects texts, files and marks while walking through one message."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.files: list[_File] = []
        self.marks: list[str] = []
        self.ends_with_file = False
        self._parts = 0
        self._html = HTML
        self._own: list[str] = []

    def mark(self, words: str) -> None:
        if words and words not in self.marks:
            self.marks.append(words)

    def open(self, content: bytes, lines: int) -> None:
        """Reads the message, or shows its body as it is where that can't be done."""
        if _is_costly(content, lines):
            return self._plain(content, "it is too much to be taken apart")
        try:
            message = message_from_bytes(content, policy=_Policy())
            self._own = _names(message)
            self._read(message, 0, silent=False)
        except _FAILURES:
            self._plain(content, "it can't be taken apart")

    def _plain(self, content: bytes, why: str) -> None:
        """The fallback: everything behind the header section as text."""
        self.mark(f"{why}: shown as it is")
        found = re.search(rb"\r\n\r\n|\n\r?\n|\r\r", content)
        self.texts = [text.guess(content[found.end() :] if found else b"")]
        self.files = []

    def _read(self, part: Message, depth: int, silent: bool) -> None:
        """A part and what is in it; `silent` lists files only."""
        self._parts += 1
        if self._parts > _PARTS or depth > _DEPTH:
            self.mark("it has more parts than are shown")
            return
        kind = part.get_content_type()
        children = part.get_payload() if part.is_multipart() else None
        if isinstance(children, list):
            messages = [child for child in children if isinstance(child, Message)]
            self._inside(kind, messages, depth + 1, silent)
            return
        name = _name(part)
        if name or _is_file(part, kind):
            self._file(part, kind, name)
        else:
            self._text(part, kind, silent)

    def _inside(self, kind: str, children: list[Message], depth: int, silent: bool) -> None:
        if kind == "message/delivery-status":
            self._say("\n\n".join(_fields(child) for child in children[:_PARTS]), silent)
            return
        chosen = min(children, key=_rank) if kind == "multipart/alternative" else None
        for child in children:
            # A letter to a list has the fields of the letter inside, which stand above it already.
            if kind.startswith("message/") and _names(child) != self._own:
                self._say(_fields(child, _INSIDE), silent)
            # The other forms of a text are not shown, but files may hang on any of them.
            self._read(child, depth, silent or (chosen is not None and child is not chosen))

    def _say(self, words: str, silent: bool) -> None:
        if words and not silent:
            self.texts.append(words)

    def _text(self, part: Message, kind: str, silent: bool) -> None:
        self.ends_with_file = False
        if silent:
            return
        if kind.startswith("multipart/"):
            self.mark("its parts can't be told apart")
        words, odd = text.decode(_data(part), part.get_content_charset() or "")
        self.mark(odd)
        if kind == "text/html":
            self.mark("made from HTML" if len(words) <= self._html else "made from HTML, and cut")
            words, left = markup.text(words[: self._html]), self._html - len(words)
            self._html = max(left, 0)
        self._say(words.removeprefix("\ufeff"), silent)

    def _file(self, part: Message, kind: str, name: str) -> None:
        name = file_name(name, f"part-{self._parts}")
        self.files.append(_File(name, text.safe_line(kind, _FILE_NAME), _data(part)))
        self.ends_with_file = True


def _is_costly(content: bytes, lines: int) -> bool:
    """Whether the parser would recurse too deep or take too long; a count, not a parse."""
    if scan.header_section(content).count(b"\n") > _FIELDS:
        return True
    names = content.lower()
    containers = names.count(b"multipart/") + names.count(b"message/")
    if not containers:
        return False
    ends = content.count(b"\n") + content.count(b"\r")
    boundaries = content.count(b"\n--") + content.count(b"\r--")
    if b"message/delivery-status" in names:
        # In there each empty line begins a part.
        boundaries += sum(names.count(empty) for empty in (b"\n\n", b"\n\r", b"\r\r"))
    return containers > _CONTAINERS or ends * containers > lines or boundaries > _BOUNDARIES


def _is_file(part: Message, kind: str) -> bool:
    if part.get_content_disposition() == "attachment":
        return True
    return not kind.startswith(("text/", "multipart/", "message/")) or kind == "text/calendar"


def _name(part: Message) -> str:
    """The decoded file name, "" for none."""
    try:
        name = part.get_filename() or ""
        return scan.shown(name.encode("utf-8", "surrogateescape"))
    except _FAILURES:
        # An odd charset in a name (RFC 2231 allows one) is no reason not to show the rest.
        return "unreadable name"


def _data(part: Message) -> bytes:
    """The bytes of a part, with its transfer encoding undone as far as it can be."""
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _rank(part: Message) -> int:
    """Which form of one text to show: the plain one, if there is something in it."""
    kind = part.get_content_type()
    if kind == "text/plain":
        return 0 if _data(part).strip() else 4
    return 1 if part.is_multipart() else 2 if kind == "text/html" else 3


def _names(part: Message) -> list[str]:
    """What is said of a message, in whatever order and folded however its fields are."""
    return sorted(" ".join(line.split()) for line in _fields(part, _INSIDE).splitlines())


def _fields(part: Message, names: tuple[str, ...] | None = None) -> str:
    """Header fields of a message inside, one on a line."""
    chosen = (item for item in part.items() if names is None or item[0].title() in names)
    return "\n".join(
        f"{text.safe_line(name)}: {scan.shown(value.encode('utf-8', 'surrogateescape'))}"
        for name, value in islice(chosen, _PARTS)
    )
