"""`export`: a whole mailbox as one mbox file, or as a Maildir."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import typer

from cli import render
from cli.state import STATE
from node.errors import Absent, Conflict, Refused, StoreFailed, Unreachable, Usage, WillcallError

MBOX = typer.Option(None, "--mbox", metavar="FILE|-", help="One file, mboxrd.")
MAILDIR = typer.Option(None, "--maildir", metavar="DIR", help="A file for each message.")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(export)


class Message(NamedTuple):
    """A message that leaves: what is said of it, and its bytes piece by piece."""

    about: dict[str, Any]
    pieces: Iterator[bytes]


class Broken(Exception):
    """The rest of a message can't be read; why."""


def export(
    mbox: str | None = MBOX,
    maildir: str | None = MAILDIR,
    inbox: bool = typer.Option(False, "--inbox", help="What came, only."),
    sent: bool = typer.Option(False, "--sent", help="What was sent, only."),
) -> None:
    """Writes all mail into a file or a Maildir; over nothing that is there.

    A Maildir that exists gets what it does not have yet. What still waits at its sender is
    left out, and counted.

    Examples: willcall export --mbox mail.mbox    willcall export --maildir ~/Maildir
    """
    if (mbox is None) == (maildir is None):
        raise Usage("give --mbox FILE or --maildir DIR", next="--mbox mail.mbox")
    if inbox and sent:
        raise Usage("--inbox and --sent together are everything", next="leave out both")
    what = "inbox" if inbox else "sent" if sent else "all"
    count = written(what, mbox, maildir)
    made = {"messages": count.messages, "known": count.known, "absent": count.absent}
    if mbox == "-":
        return
    if STATE.json:
        render.document(made | {"size": count.size, "path": mbox or maildir})
        return
    known = f", {count.known} there before" if count.known else ""
    render.line(f"{count}{known}: {mbox or maildir}")
    if count.absent:
        render.note(f"({count.absent} are not here: they wait at their senders, or were freed)")


def written(what: str, mbox: str | None, maildir: str | None) -> "Count":
    """Writes the mail of the owner that is meant; what was written, whole and durable.

    Args:
        what: `inbox`, `sent` or `all`.
        mbox: a file that does not exist; None: a Maildir.
        maildir: where.
    """
    # The first piece is asked for before a file is made: no node, no file.
    messages = _begun(_messages(STATE.local().stream("export", of=what)))
    count = Count()
    with render.counting(lambda: str(count)):
        if mbox is not None:
            _to_mbox(messages, mbox, count)
        else:
            _to_maildir(messages, Path(maildir or ""), count)
    return count


class Count:
    """What was written so far; `broken`: what should be here, and can't be read."""

    def __init__(self) -> None:
        self.messages = self.known = self.absent = self.size = self.broken = 0

    def left_out(self, message: Message, why: Broken) -> None:
        """Counts what is not here; what should be here is named."""
        self.absent += 1
        if message.about.get("state") not in ("waiting", "failed"):
            self.broken += 1
            render.note(f"({render.tail(message.about['message'])}: {why})")

    def __str__(self) -> str:
        return f"{render.many(self.messages, 'message')}, {render.size(self.size)}"


def _begun(messages: Iterator[Message]) -> Iterator[Message]:
    from itertools import chain

    first = next(messages, None)
    return iter(()) if first is None else chain([first], messages)


def _messages(stream: Iterator[bytes]) -> Iterator[Message]:
    """The messages of an export as the node sends it."""
    frames = _Frames(stream)
    while line := frames.line():
        pieces = _pieces(frames)
        yield Message(json.loads(line), pieces)
        with contextlib.suppress(Broken):
            for _ in pieces:
                pass  # what was not looked at is in the way of the next


def _pieces(frames: "_Frames") -> Iterator[bytes]:
    while True:
        length, _, why = frames.line().partition(b" ")
        if length == b"0":
            return
        if not length or length.startswith(b"-"):
            raise Broken(why.decode("utf-8", "replace"))
        yield frames.exactly(int(length))


class _Frames:
    """Lines and bytes out of an answer that comes in pieces."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream, self._buffer = stream, bytearray()

    def line(self) -> bytes:
        while (at := self._buffer.find(b"\n")) < 0:
            if not self._more():
                return b""
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._more():
                raise Unreachable("the node went away", next="willcall status")
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        return piece

    def _more(self) -> bool:
        piece = next(self._stream, b"")
        self._buffer += piece
        return bool(piece)


def _to_mbox(messages: Iterator[Message], path: str, count: Count) -> None:
    from node.mail import mbox
    from node.units import Instant

    with new_file(path) as file:
        for message in messages:
            start = file.tell() if path != "-" else 0
            try:
                first = next(message.pieces, b"")
                pieces = _counted(first, message.pieces)
                for piece in mbox.write(Instant(message.about["at"]), pieces):
                    file.write(piece)
            except Broken as why:
                count.left_out(message, why)
                _cut(file, path, start)
                continue
            count.messages += 1
            count.size += message.about["size"]


def _counted(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _cut(file: IO[bytes], path: str, start: int) -> None:
    """Takes back a message of which only a part could be read."""
    if path != "-":
        file.seek(start)
        file.truncate()


def check_new(path: str) -> None:
    """Before work is begun whose outcome goes there: a node remembers of which backup it was.

    Raises:
        Conflict: something is there already.
    """
    if path != "-" and (Path(path).exists() or Path(path).is_symlink()):
        raise Conflict(f"{path} exists; nothing was changed", next="choose another name")


@contextlib.contextmanager
def new_file(path: str) -> Iterator[IO[bytes]]:
    """A file that is there whole, or not at all, and takes the place of none."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    check_new(path)
    try:
        with open(part, "xb", opener=_private) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link replaces nothing that came meanwhile.
        os.link(part, target)
        _sync(target.parent)
    except FileExistsError as error:
        raise Conflict(f"{path} exists; nothing was changed", next="choose another name") from error
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    """A file's name is durable only with its folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _failed(path: Path | str, error: OSError) -> WillcallError:
    if isinstance(error, PermissionError):
        return Refused(f"{path} may not be written to by this user")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Absent(f"{path}: {error.strerror}", next="is the folder right?")
    return StoreFailed(f"{path} can't be written: {error.strerror}")


def _to_maildir(messages: Iterator[Message], folder: Path, count: Count) -> None:
    from node.mail import maildir

    try:
        boxes = {False: _box(folder), True: None}
        for message in messages:
            is_sent = "n" not in message.about
            box = boxes[is_sent]
            if box is None:
                box = boxes[is_sent] = _box(folder / maildir.SENT)
            try:
                box.put(message, count)
            except Broken as why:
                count.left_out(message, why)
    except OSError as error:
        raise _failed(folder, error) from error


class _Box:
    """One Maildir and what is in it."""

    def __init__(self, folder: Path) -> None:
        from node.mail import maildir

        self._folder = folder
        names = (name for sub in ("new", "cur") for name in os.listdir(folder / sub))
        self._known = {maildir.stem(name) for name in names}

    def put(self, message: Message, count: Count) -> None:
        """Writes a message that is not there yet."""
        from node.mail import maildir
        from node.units import Instant

        base = maildir.base(Instant(message.about["at"]), message.about["message"])
        if base in self._known:
            count.known += 1
            return
        temporary = self._folder / "tmp" / base
        try:
            with open(temporary, "wb", opener=_private) as file:
                for piece in message.pieces:
                    file.write(piece)
            new = message.about.get("state") == "new"
            temporary.rename(self._folder / ("new" if new else "cur") / (base + ":2,S" * (not new)))
        finally:
            temporary.unlink(missing_ok=True)
        self._known.add(base)
        count.messages += 1
        count.size += message.about["size"]


def _box(folder: Path) -> _Box:
    """The Maildir in a folder, made where nothing is."""
    subs = ("tmp", "new", "cur")
    is_one = folder.is_dir() and all((folder / sub).is_dir() for sub in subs)
    if folder.exists() and not is_one and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} exists and is no Maildir", next="choose another name")
    for sub in subs:
        (folder / sub).mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.name.startswith("."):
        (folder / "maildirfolder").touch(0o600)
    return _Box(folder)
