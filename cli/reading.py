"""Mail for display, parsed in a child that can be killed: the parser is fed by strangers."""

import json
import multiprocessing
import sys
from multiprocessing.connection import Connection
from typing import Any

SECONDS = 5.0
"""The slowest hostile message known takes half a second."""
MEMORY = 1 << 30
"""Bytes of address space the child may use."""


def displayed(content: bytes) -> dict[str, Any]:
    """Headers, text, attachments and marks of a message; never an exception of the parser."""
    mine, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_parse, args=(content, theirs))
    child.start()
    theirs.close()
    try:
        if mine.poll(SECONDS):
            shown: dict[str, Any] = json.loads(mine.recv_bytes())
            return shown
    except EOFError:
        pass  # the child died of it
    finally:
        child.kill()
        child.join()
    text = content[:65_536].decode("utf-8", "replace")
    safe = "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
    return {
        "headers": [],
        "text": safe,
        "attachments": [],
        "marks": ["this message could not be parsed: its first bytes are shown"],
    }


def _parse(content: bytes, out: Connection) -> None:
    import resource

    from node.mail.display import display

    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    shown = display(content)
    document = {
        "headers": [list(pair) for pair in shown.headers],
        "text": shown.text,
        "attachments": [
            {"name": each.name, "type": each.type, "size": each.size} for each in shown.attachments
        ],
        "marks": list(shown.marks),
    }
    out.send_bytes(json.dumps(document).encode())
