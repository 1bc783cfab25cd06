"""A report: what was sent and by whom, for whoever answers for the domain it came from.

It stands alone: offline and years later anybody can check that this key signed this notification
(`evidence`), that the node at that origin told this record of the same key (`record`), and, where
the mail was picked up, that these are the words (`root`, opened with `key`). What the reporter
adds (from which address it came, and what the DNS said of it then) is nobody's signature and is
told apart. JSON, so that it can be mailed and read.
Spec: 13.
"""

from typing import Any

import msgspec

from node import limits
from node.encoding import cid as cids
from node.encoding import names
from node.errors import Malformed, Unverified
from node.objects import content, message, notification, record

LARGEST = 256 * 1024
"""Bytes of a report: a root of 64 KiB in base64, twice."""


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file. Blocks are base64url.

    Attributes:
        willcall_report: 1.
        evidence: the notification with its proof; None: a contact's, which keeps none.
        record: the author's address record.
        root, key: the message as it was picked up, and what opens it.
        said: what only the reporter says: source, domain, proof, received, promise.
    """

    willcall_report: int
    message: str
    author: str
    evidence: str | None = None
    record: str | None = None
    root: str | None = None
    key: str | None = None
    said: dict[str, str | None] = msgspec.field(default_factory=dict)


def encoded(block: bytes | None) -> str | None:
    """A block as it stands in a report."""
    return None if block is None else names.b64(block)


def print_json(report: Report) -> bytes:
    """The file."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def verify(data: bytes) -> dict[str, Any]:
    """What a report proves, as a document.

    Raises:
        Malformed: it is none.
        Unverified: something in it does not hold; nothing of it counts.
    """
    if len(data) > LARGEST:
        raise Malformed("a report has at most 256 KiB")
    try:
        found = msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"this is no report: {error}") from error
    if found.willcall_report != 1:
        raise Malformed("this report is of a later version")
    name, author = cids.parse(found.message), names.parse_did(found.author)
    proved: dict[str, Any] = {"message": found.message, "author": found.author}
    if found.evidence is None and found.root is None:
        raise Unverified("nothing in this report is signed by its author")
    if found.evidence is not None:
        proved |= _announced(names.unb64(found.evidence), name, author)
    if found.record is not None:
        proved |= _placed(names.unb64(found.record), author, proved.get("origin"))
    if found.root is not None:
        proved |= _sent(names.unb64(found.root), found.key, name, author)
    return proved | {"said": found.said}


def _announced(block: bytes, name: bytes, author: bytes) -> dict[str, Any]:
    item = notification.decode(notification.decode_evidence(block).verify().item)
    if item.sender != author or item.message != name:
        raise Unverified("the notification in this report is of another message")
    return {
        "to": names.did(item.to),
        "size": item.size,
        "issued": int(item.issued),
        "keep_until": int(item.keep_until),
        "origin": item.origin,
    }


def _placed(block: bytes, author: bytes, origin: str | None) -> dict[str, Any]:
    known = record.decode(block).verify()
    if known.id != author:
        raise Unverified("the record in this report is somebody else's")
    return {
        "origins": [each.origin for each in known.nodes],
        "lists_origin": None if origin is None else known.lists(origin),
    }


def _sent(block: bytes, key: str | None, name: bytes, author: bytes) -> dict[str, Any]:
    cids.check(cids.Cid(name), block)
    root = message.KIND.decode(block).verify()
    if root.author != author:
        raise Unverified("the message in this report is somebody else's")
    if key is None:
        return {"created": int(root.created)}
    secret = names.unb64(key)
    content.check_key(root, secret)
    if root.body is None:
        return {"created": int(root.created)}
    text = content.open_body(root, secret)[: limits.SCANNED].decode("utf-8", "replace")
    return {"created": int(root.created), "text": text}
