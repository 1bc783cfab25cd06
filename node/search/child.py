"""Mail taken apart in a process of its own that may be killed: a stranger feeds the parser.

Run by `node/search/reader.py`. A question is one byte of what is wanted (`w` words, `p` a page, `h`
its HTML, `f` a file), four bytes of the file's number, four of the message's length, and it;
its answer is four bytes of length and JSON. It ends when its parent does.
"""

import base64
import json
import resource
import struct
import sys
from pathlib import Path
from typing import Any

MEMORY = 1 << 30
"""Bytes of address space."""
TEXT = 200_000
"""Characters of a text that are indexed: a book's chapter; nobody finds mail by its end."""


def main() -> None:
    """Answers until there is nothing more to read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.path.insert(0, str(Path(__file__).parents[2]))
    answers = {b"w": words, b"p": page, b"h": markup, b"f": file}
    while len(head := sys.stdin.buffer.read(9)) == 9:
        what, number, size = struct.unpack(">cII", head)
        data = json.dumps(answers[what](sys.stdin.buffer.read(size), number)).encode()
        sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
        sys.stdout.buffer.flush()


def words(content: bytes, _: int) -> dict[str, Any]:
    """As `ports.Words`."""
    from node.mail.display import display

    shown = display(content)
    fields = {name.lower(): value for name, value in shown.headers}
    files = " ".join(each.name for each in shown.attachments)
    return {
        "subject": fields.get("subject", ""),
        "people": " ".join(fields.get(name, "") for name in ("from", "to", "cc")),
        "body": f"{shown.text[:TEXT]}\n{files}".strip(),
    }


def page(content: bytes, _: int) -> dict[str, Any]:
    """As `ports.Shown`."""
    from node.mail.display import display, html

    shown = display(content, rest="the message itself has all of it")
    return {
        "headers": shown.headers,
        "text": shown.text,
        "files": shown.attachments,
        "marks": shown.marks,
        "html": html(content) is not None,
    }


def markup(content: bytes, _: int) -> str | None:
    """Its HTML form, as it came."""
    from node.mail.display import html

    return html(content)


def file(content: bytes, number: int) -> dict[str, Any] | None:
    """As `ports.File`, its data in base64."""
    from node.mail.display import files

    found = files(content).files
    if number >= len(found):
        return None
    data = base64.b64encode(found[number].data).decode()
    return {"name": found[number].name, "type": found[number].type, "data": data}


if __name__ == "__main__":
    main()
