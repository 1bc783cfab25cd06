"""The words of mail, read in a process of its own that may be killed: a stranger feeds the parser.

Run by `node/search/reader.py`. Each message comes as four bytes of its length and its bytes; its
words go back in the same form, as JSON. It ends when its parent does.
"""

import json
import resource
import struct
import sys
from pathlib import Path

MEMORY = 1 << 30
"""Bytes of address space."""
TEXT = 200_000
"""Characters of a text that are indexed: a book's chapter; nobody finds mail by its end."""


def main() -> None:
    """Answers until there is nothing more to read."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from node.mail.display import display

    while len(head := sys.stdin.buffer.read(4)) == 4:
        content = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
        shown = display(content)
        fields = {name.lower(): value for name, value in shown.headers}
        files = " ".join(each.name for each in shown.attachments)
        words = {
            "subject": fields.get("subject", ""),
            "people": " ".join(fields.get(name, "") for name in ("from", "to", "cc")),
            "body": f"{shown.text[:TEXT]}\n{files}".strip(),
        }
        data = json.dumps(words).encode()
        sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
