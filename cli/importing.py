"""`import`: mail from elsewhere, out of an mbox or a Maildir."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import typer

from cli import composing, render
from cli.local import Local
from cli.state import STATE
from node.errors import Malformed, TooLarge, Usage

if TYPE_CHECKING:
    from node.mail.mbox import Message, Splitter

CHUNK = 1 << 20
"""Bytes of a file that are read at once."""
HEAD = 1 << 20
"""Bytes of an mbox by which its dialect is told."""
QUOTES = 1 << 20
"""Bytes that a message may have more in its file: its separator, and a `>` here and there."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import")(import_)


class Found(NamedTuple):
    """A message in a file, and what the file says about it."""

    content: bytes
    at: int | None = None
    unread: bool = False
    sent: bool = False


def import_(
    path: str = typer.Argument(..., metavar="FILE|DIR|-", help="An mbox, or a Maildir."),
    sent: bool = typer.Option(False, "--sent", help="It is mail that you sent."),
    dialect: str | None = typer.Option(
        None, "--format", metavar="WORD", help="mboxrd (if not told), mboxo or mboxcl2."
    ),
) -> None:
    """Takes in mail from elsewhere. What is here already by its content is left out.

    It is shown as imported: nobody's key vouches for it. It counts in your quota. A file of
    which a part was imported can be imported again. What can't be read is named, and the exit code
    is 65.

    Examples: willcall import old.mbox    willcall import ~/Maildir    willcall import --sent Sent
    """
    from node.mail import mbox

    if dialect is not None and dialect not in mbox.DIALECTS:
        raise Usage(f"{dialect[:20]!r} is no format", next=", ".join(mbox.DIALECTS))
    local, broken = STATE.local(), list[str]()
    largest = local.get("status")["largest"]
    if path != "-" and Path(path).is_dir():
        folders = _folders(Path(path), sent)
        row = _imported(local, lambda: _in_maildir(folders, largest, broken))
    else:
        with composing.opened(path) as file:
            row = _imported(local, lambda: _in_mbox(file, largest, sent, dialect))
    row = {"added": row["added"], "known": row["known"], "broken": len(set(broken)),
           "size": row["size"]}  # fmt: skip
    if STATE.json:
        render.document(row)
    else:
        _told(row, broken, sent=sent)
    if broken:
        sys.stdout.flush()
        sys.exit(Malformed.exit_code)


def _told(row: dict[str, Any], broken: list[str], *, sent: bool) -> None:
    known = f", {render.many(row['known'], 'was', 'were')} here already" if row["known"] else ""
    render.line(
        f"{render.many(row['added'], 'message')} imported, {render.size(row['size'])}{known}"
    )
    for name in dict.fromkeys(broken):
        render.note(f"({name} could not be read)")
    render.hint("willcall sent" if sent else "willcall inbox --limit 20")


def _imported(local: Local, found: Callable[[], Iterator[Found]]) -> dict[str, Any]:
    """Reads everything twice: what does not fit, or is no mail, is known before the first byte."""
    with render.patience("looking through the files"):
        total = sum(len(piece) for each in found() for piece in _frames(each))
    free = local.get("quota")["free"]
    # What is here already takes no room: it is asked first what is new.
    if total + total // 8 > free:
        with render.patience("asking what of it is new"):
            local.upload("import", {"dry": 1}, _Reader(found()), total)
    made: dict[str, Any] = local.upload(
        "import", {}, _Reader(found()), total, render.progress(total)
    )
    return made


def _frames(each: Found) -> Iterator[bytes]:
    about: dict[str, Any] = {
        "size": len(each.content),
        "sha256": hashlib.sha256(each.content).hexdigest(),
        "at": each.at,
        "unread": each.unread,
        "sent": each.sent,
    }
    yield json.dumps(about).encode() + b"\n"
    yield each.content


class _Reader:
    """Frames as a file to be uploaded."""

    def __init__(self, found: Iterator[Found]) -> None:
        self._pieces = (piece for each in found for piece in _frames(each) if piece)

    def read(self, _size: int) -> bytes:
        """The next piece; its size is its own."""
        return next(self._pieces, b"")


def _check_size(size: int, largest: int, which: str) -> None:
    if size > largest:
        raise TooLarge(
            f"{which} has {size:,} bytes, at most {largest:,} are taken; nothing was imported",
            next="capacity.message in config.toml raises it, up to 1GiB",
        )


def _in_mbox(file: IO[bytes], largest: int, sent: bool, dialect: str | None) -> Iterator[Found]:
    """Every message of the file, from its beginning."""
    from node.mail import mbox

    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    splitter = mbox.Splitter(largest=largest + QUOTES, dialect=dialect or mbox.sniff(head))
    try:
        for number, message in enumerate(_split(splitter, file), 1):
            _check_size(len(message.content), largest, f"message {number}")
            yield Found(message.content, mbox.moment(message.separator), sent=sent)
    except TooLarge:
        raise
    except Malformed as error:
        error.next = "a single message: put it into the folder new/ of a Maildir, and import that"
        raise


def _split(splitter: "Splitter", file: IO[bytes]) -> "Iterator[Message]":
    while chunk := file.read(CHUNK):
        yield from splitter.feed(chunk)
    yield from splitter.end()


def _folders(folder: Path, sent: bool) -> list[tuple[Path, bool]]:
    """The folders with messages, and whether they hold sent mail; others are named."""
    from node.mail import maildir

    if not any((folder / sub).is_dir() for sub in ("new", "cur")):
        raise Malformed(
            f"{folder} is no Maildir: it has neither new nor cur", next="give an mbox, or a Maildir"
        )
    found = [(folder, sent)]
    for path in sorted(folder.glob(".*")):
        if path.name == maildir.SENT:
            found.append((path, True))
        elif (path / "cur").is_dir():
            render.note(f"(left out: {path}; it can be imported by itself)")
    return [(path / sub, is_sent) for path, is_sent in found for sub in ("cur", "new")
            if (path / sub).is_dir()]  # fmt: skip


def _in_maildir(
    folders: list[tuple[Path, bool]], largest: int, broken: list[str]
) -> Iterator[Found]:
    """Every message; what its owner marked as to be deleted stays out."""
    from node.mail import maildir

    for folder, sent in folders:
        for name in sorted(os.listdir(folder)):
            path, letters = folder / name, maildir.flags(name)
            if name.startswith(".") or "T" in letters:
                continue
            if not os.path.isfile(path):  # a folder, or a pipe into which nobody may ever write
                broken.append(str(path))
                continue
            try:
                about = path.stat()
                _check_size(about.st_size, largest, str(path))
                content = path.read_bytes()
                at = maildir.moment(name) or int(about.st_mtime * 1000)
            except OSError:
                broken.append(str(path))
                continue
            yield Found(content, at, unread="S" not in letters and not sent, sent=sent)
