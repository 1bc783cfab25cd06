"""What a message answers: the identities that put it into a conversation.

Decides which Message-IDs stand above a message (RFC 5322 §3.6.4). Who was there first, and which
of several messages with one identity is meant, is decided by the order of the log.
"""

import re

from node.mail import scan

LONGEST = 500
"""Characters of an identity; more is no message's."""
ABOVE = 20
"""References that are looked at, the nearest ones: deeper conversations name all of them again."""
_ID = re.compile(rb"<([^<>\s]{1,500})>")


def identity(head: bytes) -> str | None:
    """The message's own Message-ID without brackets; None where it has none.

    Args:
        head: the message, or its beginning.
    """
    found = _identities(head, b"message-id")
    return found[0] if found else None


def above(head: bytes) -> list[str]:
    """Message-IDs of what it answers, the nearest first; each once."""
    found = _identities(head, b"in-reply-to")[:1] + _identities(head, b"references")[::-1]
    return list(dict.fromkeys(found))[:ABOVE]


def _identities(head: bytes, name: bytes) -> list[str]:
    header = scan.header_section(head)
    value = scan.field(header, header.lower(), name, len(header))
    return [found.decode("utf-8", "replace") for found in _ID.findall(value or b"")]
