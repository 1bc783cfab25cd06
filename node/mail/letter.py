"""A letter before it is a message: what its author decides, and how a draft of it looks.

A draft is text that a person edits: fields of one line, an empty line, the words. What is
not there when the draft is read again was not meant; an unknown field is an error, so that a
mistyped `Bbc:` does not lose a recipient.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.errors import Malformed

_LISTS = ("To", "Cc", "Bcc")
_ONE = {
    "From": "owner",
    "Subject": "subject",
    "Answers": "answers",
    "Forwards": "forwards",
    "Keep": "keep",
    "Keep-sent": "keep_sent",
}
"""Fields with one value, and what they are called here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What somebody wants to send.

    Attributes:
        to, cc, bcc: names, dids or addresses, as they were typed. Those in `bcc` get it, and
            nobody learns of them.
        subject: one line.
        text: the words.
        attach: paths of files to go along.
        answers, forwards: the message (its number or CID) that this answers or passes on.
        keep: how long it waits, as typed; "" for the usual time.
        keep_sent: `yes`, `no`, or "" as configured.
        owner: whose letter it is, on a node with several owners; "" for the first.
    """

    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = ""
    text: str = ""
    attach: tuple[str, ...] = ()
    answers: str = ""
    forwards: str = ""
    keep: str = ""
    keep_sent: str = ""
    owner: str = ""

    @property
    def everybody(self) -> list[str]:
        """All addressees."""
        return [*self.to, *self.cc, *self.bcc]


def names(texts: Sequence[str]) -> tuple[str, ...]:
    """Names that may stand together, with commas between them."""
    return tuple(name.strip() for each in texts for name in each.split(",") if name.strip())


def print_draft(letter: Letter) -> str:
    """The letter as a draft; `parse_draft` gives it back."""
    fields = [
        ("From", letter.owner),
        ("To", ", ".join(letter.to)),
        ("Cc", ", ".join(letter.cc)),
        ("Bcc", ", ".join(letter.bcc)),
        ("Subject", letter.subject),
        *(("Attach", path) for path in letter.attach or ("",)),
        ("Answers", letter.answers),
        ("Forwards", letter.forwards),
        ("Keep", letter.keep),
        ("Keep-sent", letter.keep_sent),
    ]
    asked = ("To", "Cc", "Bcc", "Subject", "Attach")
    lines = [
        f"{name}: {_line(name, value)}".rstrip() for name, value in fields if value or name in asked
    ]
    return "\n".join([*lines, "", letter.text])


def _line(name: str, value: str) -> str:
    if any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in value):
        raise Malformed(
            f"{name} {value[:80]!r} can't stand in a draft: it is not one line of text",
            next="give the words with -m TEXT: then there is no draft",
        )
    return value


def parse_draft(text: str) -> Letter:
    """The letter a draft says.

    Raises:
        Malformed: a line before the first empty one is no field; says which.
    """
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    if text.startswith("\n"):
        head, body = "", text[1:]
    many: dict[str, list[str]] = {name: [] for name in (*_LISTS, "Attach")}
    one: dict[str, str] = {}
    for number, line in enumerate(head.splitlines(), 1):
        name, colon, value = line.partition(":")
        name, value = name.strip().capitalize(), value.strip()
        if not colon or (name not in many and name not in _ONE):
            raise Malformed(
                f"line {number} of the draft is no field that is known: {line[:60]!r}",
                next="an empty line ends the fields: " + ", ".join([*many, "Subject"]),
            )
        if name in many:
            many[name].append(value)
        else:
            one[_ONE[name]] = value
    lists = {name.lower(): names(many[name]) for name in _LISTS}
    attach = tuple(path for path in many["Attach"] if path)
    return Letter(**lists, **one, attach=attach, text=body)  # type: ignore[arg-type]


def quoted(text: str, who: str, when: str) -> str:
    """The words of a message as an answer quotes them."""
    lines = [f"> {line}".rstrip() for line in text.strip("\n").split("\n")]
    return "\n".join(["", "", f"{who} wrote{f' on {when}' if when else ''}:", *lines, ""])
