"""What the commands `archive add`, `export` and `read` do with files."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from cli import composing, mail, render
from cli.local import Local
from cli.state import STATE
from node.errors import Malformed, Usage

HEAD = 1 << 20
"""Bytes of a file by which its form is told."""
FORMS = ("message", "mboxrd", "mboxo", "mboxcl2")
FIELD = re.compile(rb"(?:\xef\xbb\xbf)?[!-9;-~]+[ \t]*:")
"""How a message begins, RFC 5322 §2.2."""


# --- adding --------------------------------------------------------------------------------


def added(local: Local, name: str, path: str, form: str | None) -> dict[str, Any]:
    """Uploads a message, an mbox or a Maildir to an archive; what became of it.

    Raises:
        Malformed: it is none of them.
    """
    if form is not None and form not in FORMS:
        raise Usage(f"{form[:20]!r} is no format", next=", ".join(FORMS))
    if path != "-" and Path(path).is_dir():
        return _maildir(local, name, Path(path))
    with composing.opened(path) as file:
        head = file.read(HEAD)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        known = form or _form(head, path)
        if known == "message":
            whole = file.read()
            return _sent(
                local, name, "frames", _Pieces([b"%d\n" % size, whole]), size + _line(size)
            )
        return _sent(local, name, known, file, size)


def _form(head: bytes, path: str) -> str:
    from node.mail import mbox

    if not head.strip() or mbox.begins(head):
        return mbox.sniff(head)
    if FIELD.match(head) and not path.endswith((".mbox", ".mbx")):
        return "message"
    raise Malformed(
        f"{path} is neither a message nor an mbox: it does not begin with a header field or a line "
        "`From …`; nothing was added",
        next="--format message takes it as it is",
    )


def _line(size: int) -> int:
    return len(b"%d\n" % size)


class _Pieces:
    """Pieces of bytes as a file to be uploaded."""

    def __init__(self, pieces: "Iterator[bytes] | list[bytes]") -> None:
        self._pieces = iter(pieces)

    def read(self, _size: int) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")


def _maildir(local: Local, name: str, folder: Path) -> dict[str, Any]:
    """Every message of a Maildir, the oldest first; unreadable files are named."""
    from node.mail import maildir

    subs = [folder / sub for sub in ("cur", "new") if (folder / sub).is_dir()]
    if not subs:
        raise Malformed(
            f"{folder} is no Maildir: it has neither new nor cur",
            next="give a message, an mbox, or a Maildir",
        )
    found: list[tuple[int, Path, int]] = []
    broken: list[str] = []
    for path in (each for sub in subs for each in sub.iterdir() if each.name[0] != "."):
        try:
            about = path.stat()
            if not os.access(path, os.R_OK) or not path.is_file():
                raise PermissionError(path)
        except OSError:
            broken.append(str(path))
            continue
        at = maildir.moment(path.name) or int(about.st_mtime * 1000)
        found.append((at, path, about.st_size))
    found.sort()
    total = sum(size + _line(size) for _, _, size in found)
    made = _sent(local, name, "frames", _Pieces(_files(found)), total)
    return made | {"broken": made["broken"] + len(broken), "unread": broken}


def _files(found: list[tuple[int, Path, int]]) -> Iterator[bytes]:
    for _, path, size in found:
        content = path.read_bytes()
        if len(content) != size:
            raise Malformed(f"{path} changed while it was read", next="run it again")
        yield b"%d\n" % size
        yield content


def _sent(
    local: Local, name: str, form: str, data: "IO[bytes] | _Pieces", total: int
) -> dict[str, Any]:
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done = count

    with render.counting(pace(lambda: done, total)):
        made: dict[str, Any] = local.upload_to(
            ("archive-add", name), {"format": form}, data, total, told
        )
    return made


def pace(done: Callable[[], int], total: int) -> Callable[[], str]:
    """Says how far an upload is, asked once a second: its rate, and the time that is left."""
    seconds = 0

    def text() -> str:
        nonlocal seconds
        seconds += 1
        rate = max(1, done() // seconds)
        left = (total - done()) // rate
        shown = f"{left // 60} min {left % 60} s" if left >= 60 else f"{left} s"
        return (
            f"{render.size(done())} of {render.size(total)}, {render.size(rate)}/s, {shown} left   "
        )

    return text


def complaints(made: dict[str, Any]) -> Iterator[str]:
    """A line for what was broken."""
    which = made["which"]
    if which:
        more = " and more" if made["broken"] > len(which) else ""
        numbers = ", ".join(map(str, which))
        yield f"(without an author or a date, and kept as they are: number {numbers}{more})"
    for path in made.get("unread", ()):
        yield f"({path} could not be read)"


# --- reading -------------------------------------------------------------------------------


def read(local: Local, name: str, ref: str, *, raw: bool, save: str | None) -> None:
    """A message of an archive, as `read` shows one of the inbox."""
    from itertools import chain

    pieces = local.stream("archive-raw", name, ref)
    first = next(pieces, b"")
    if raw:
        out = sys.stdout.buffer
        for piece in chain([first], pieces):
            out.write(piece)
        out.flush()
        return
    content = first + b"".join(pieces)
    if save is not None:
        mail.saved(content, save)
        return
    from cli import reading

    shown = reading.displayed(content)
    if STATE.json:
        render.document(shown)
    else:
        mail.printed(shown, f"willcall archive read {name} {ref} --save DIR")
