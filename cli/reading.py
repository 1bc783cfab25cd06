"""Mail for display, parsed in a child that can be killed: the parser is fed by strangers."""

import json
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from node.errors import Refused, StoreFailed

SECONDS = 5.0
"""The slowest hostile message known takes half a second."""
SAVING = 60.0
"""A gigabyte of attachments is decoded in this time."""
MEMORY = 1 << 30
"""Bytes of address space the child may use for a message of ordinary size."""

Parse = Callable[[bytes], list[bytes]]


def displayed(content: bytes) -> dict[str, Any]:
    """Headers, text, attachments and marks of a message; never an exception of the parser."""
    made = _in_child(_display, content, SECONDS)
    if made is not None:
        shown: dict[str, Any] = json.loads(made[0])
        return _with_originals(shown, content)
    text = content[:65_536].decode("utf-8", "replace")
    safe = "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
    return {
        "headers": [],
        "text": safe,
        "attachments": [],
        "originals": [],
        "marks": ["this message could not be parsed: its first bytes are shown"],
    }


def _with_originals(shown: dict[str, Any], content: bytes) -> dict[str, Any]:
    """What was forwarded, and is its author's by a proof that was checked."""
    if not shown["attachments"]:
        return shown
    from node.mail import original

    if all(each["type"] != original.TYPE for each in shown["attachments"]):
        return shown
    made = _in_child(_originals, content, SAVING)
    found = {"originals": [], "marks": ["what was forwarded could not be checked"]}
    if made is not None:
        found = json.loads(made[0])
    return shown | {
        "originals": found["originals"],
        "marks": [*shown["marks"], *found["marks"]],
    }


def saved(content: bytes, folder: str) -> tuple[list[str], list[str]]:
    """Writes the attachments into a folder, over nothing; their paths, and marks.

    Raises:
        Refused, StoreFailed: the folder can't be written to.
    """
    made = _in_child(_files, content, SAVING)
    if made is None:
        return [], ["this message could not be parsed: nothing was saved"]
    found = json.loads(made[0])
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        named = zip(found["names"], made[1:], strict=True)
        return [_written(Path(folder), name, data) for name, data in named], found["marks"]
    except PermissionError as error:
        raise Refused(f"{folder} may not be written to by this user") from error
    except OSError as error:
        other = isinstance(error, (NotADirectoryError, FileExistsError, FileNotFoundError))
        raise StoreFailed(
            f"{folder} can't be written to: {error.strerror}",
            next="--save another folder" if other else None,
        ) from error


def _written(folder: Path, name: str, data: bytes) -> str:
    """Writes a file under its name, or `name-2` where that is taken."""
    wanted, number = Path(name), 1
    path = folder / wanted.name
    while True:
        try:
            with open(path, "xb") as file:
                try:
                    file.write(data)
                    file.flush()
                except OSError:
                    path.unlink(missing_ok=True)  # half a file is none
                    raise
            return str(path)
        except FileExistsError:
            number += 1
            path = folder / f"{wanted.stem}-{number}{wanted.suffix}"


def _in_child(parse: Parse, content: bytes, seconds: float) -> list[bytes] | None:
    """What `parse` makes of a message; None when it died of it or took too long."""
    mine, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_work, args=(parse, content, theirs))
    child.start()
    theirs.close()
    try:
        if not mine.poll(seconds):
            return None
        count = int(mine.recv_bytes())
        return [mine.recv_bytes() for _ in range(count)]
    except EOFError:
        return None
    finally:
        child.kill()
        child.join()
        mine.close()


def _work(parse: Parse, content: bytes, out: Connection) -> None:
    import resource

    if sys.platform == "linux":
        room = MEMORY + 8 * len(content)
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
    try:
        made = parse(content)
    except (MemoryError, RecursionError):
        return  # no trace on a reader's screen: that nothing came says it
    out.send_bytes(str(len(made)).encode())
    for each in made:
        out.send_bytes(each)


def _display(content: bytes) -> list[bytes]:
    from node.mail.display import display

    shown = display(content)
    document = {
        "headers": [list(pair) for pair in shown.headers],
        "text": shown.text,
        "attachments": [
            {"name": each.name, "type": each.type, "size": each.size} for each in shown.attachments
        ],
        "originals": [],
        "marks": list(shown.marks),
    }
    return [json.dumps(document).encode()]


def _originals(content: bytes) -> list[bytes]:
    from node.mail import original
    from node.mail.display import files

    found, marks = original.proven(content, files(content).files)
    return [json.dumps({"originals": [each._asdict() for each in found], "marks": marks}).encode()]


def _files(content: bytes) -> list[bytes]:
    from node.mail.display import files

    found = files(content)
    document = {"names": [each.name for each in found.files], "marks": list(found.marks)}
    return [json.dumps(document).encode(), *(each.data for each in found.files)]
