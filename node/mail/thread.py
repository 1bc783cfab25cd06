"""What an answer takes over from the message it answers (RFC 5322 §3.6.3, §3.6.4)."""

import re
from typing import NamedTuple

from node import limits
from node.mail import people, scan

_REFERENCES = 20
"""Message-IDs carried on: the first, which names the conversation, and the latest."""
_ID = re.compile(rb"<[!-;=?-~]{1,500}>")
_PREFIX = re.compile(r"(?:re|aw|sv)\s*:", re.IGNORECASE)
_FORWARDED = re.compile(r"(?:fwd?|wg)\s*:", re.IGNORECASE)


class Answer(NamedTuple):
    """Arguments for `compose`; all of them are accepted there."""

    subject: str
    in_reply_to: str | None
    references: tuple[str, ...]


def answer(head: bytes) -> Answer:
    """Subject and references of a reply to the message that begins with these bytes.

    Foreign Message-IDs that are not of their form are left out: carrying them on would break
    the reply.
    """
    header = scan.header_section(head[: limits.SCANNED])
    names = header.lower()
    own = _ids(scan.field(header, names, b"message-id"))[:1]
    before = _ids(scan.field(header, names, b"references"))
    before = before or _ids(scan.field(header, names, b"in-reply-to"))[:1]
    chain = list(dict.fromkeys([identity for identity in before if identity not in own] + own))
    if len(chain) > _REFERENCES:
        chain = chain[:1] + chain[1 - _REFERENCES :]
    return Answer(
        subject=_prefixed("Re: ", _PREFIX, head),
        in_reply_to=own[0] if own else None,
        references=tuple(chain),
    )


def addressed(head: bytes) -> tuple[list[str], list[str]]:
    """The addresses in To and in Cc of the message that begins with these bytes.

    They are what its author wrote there; who really got it, nobody but the author knows.
    """
    header = scan.header_section(head[: limits.SCANNED])
    names = header.lower()
    values = (scan.field(header, names, name, limits.SCANNED) for name in (b"to", b"cc"))
    to, cc = (people.read((value or b"").decode("latin-1")) for value in values)
    return to, cc


def forwarded_subject(head: bytes) -> str:
    """The subject under which the message that begins with these bytes is passed on."""
    return _prefixed("Fwd: ", _FORWARDED, head)


def _prefixed(prefix: str, seen: re.Pattern[str], head: bytes) -> str:
    subject = scan.scan(head).subject or ""
    return subject if seen.match(subject) else f"{prefix}{subject}".rstrip()


def _ids(value: bytes | None) -> list[str]:
    return [found.decode() for found in _ID.findall(value or b"")]
