"""What the commands `archive add`, `export` and `read` do with files."""

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from cli import composing, mail, render
from cli.local import Local
from cli.state import STATE
from node.errors import Malformed, TooLarge, Usage

HEAD = 1 << 20
"""Bytes of a file by which its form is told."""
FORMS = ("message", "mboxrd", "mboxo", "mboxcl2")
_TOO_LARGE = "larger than this node takes"
_LARGER = "capacity.message in config.toml raises it, up to 1GiB"
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
            made = _sent(
                local, name, "frames", _Pieces([b"%d\n" % size, whole]), size + _line(size)
            )
            if made["left"]:
                raise TooLarge(
                    f"{path} is larger than this node takes ({size:,} bytes); nothing was added",
                    next=_LARGER,
                )
            return made
        made = _sent(local, name, known, file, size)
    unread = [f"message {number} of {path}: {_TOO_LARGE}" for number in made["large"]]
    return made | {"unread": unread}


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
    """Every message of a Maildir, the oldest first, as `import` takes them; what can't be is named.

    Links are not followed: who writes into the folder could have any file published.
    """
    subs = [folder / sub for sub in ("cur", "new") if (folder / sub).is_dir()]
    if not subs:
        raise Malformed(
            f"{folder} is no Maildir: it has neither new nor cur",
            next="give a message, an mbox, or a Maildir",
        )
    for path in sorted(folder.glob(".*")):
        if (path / "cur").is_dir():
            render.note(f"(left out: {path}; it can be added by itself)")
    found, unread = _looked_through(subs)
    total = sum(size + _line(size) for _, _, size in found)
    made = _sent(local, name, "frames", _Pieces(_files(found)), total)
    large = [f"{found[number - 1][1]}: {_TOO_LARGE}" for number in made["large"]]
    return made | {"broken": made["broken"] + len(unread), "unread": [*unread, *large],
                   "left": made["left"] + len(unread)}  # fmt: skip


def _looked_through(subs: list[Path]) -> tuple[list[tuple[int, Path, int]], list[str]]:
    """The files of a Maildir by their moments, with their sizes; and what is none of them."""
    from node.mail import maildir

    found: list[tuple[int, Path, int]] = []
    unread: list[str] = []
    for path in (each for sub in subs for each in sub.iterdir()):
        if path.name.startswith(".") or "T" in maildir.flags(path.name):
            continue
        try:
            about = path.lstat()
        except OSError:
            unread.append(f"{path}: could not be read")
            continue
        if not stat.S_ISREG(about.st_mode) or not os.access(path, os.R_OK):
            why = "a link, and not followed" if path.is_symlink() else "could not be read"
            unread.append(f"{path}: {why}")
            continue
        found.append((maildir.moment(path.name) or int(about.st_mtime * 1000), path, about.st_size))
    return sorted(found), sorted(unread)


def _files(found: list[tuple[int, Path, int]]) -> Iterator[bytes]:
    for _, path, size in found:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            content = file.read()
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
        more = " and more" if made["unnamed"] else ""
        numbers = ", ".join(map(str, which))
        yield f"(without an author or a date, and kept as they are: number {numbers}{more})"
    for what in made.get("unread", ()):
        yield f"(left out: {what})"
    if made["large"]:
        yield f"({_LARGER})"


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
