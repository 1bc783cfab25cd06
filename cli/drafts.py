"""`drafts`: letters that are written in an editor, and those that are not sent yet.

A letter without words becomes a file in the home's folder `drafts` first, then the editor
opens it. The file goes when the node has the message, or when nothing was written: neither a
crash nor a failing send loses a word.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli import composing, render
from cli.local import Local, home_of
from cli.sent import report
from cli.state import STATE
from node.errors import Absent, Malformed, NotYet, StoreFailed, Usage, WillcallError

if TYPE_CHECKING:
    from node.mail.letter import Letter

EDITORS = ("sensible-editor", "editor", "nano", "vi")
"""What is tried when neither VISUAL nor EDITOR is set."""
LARGEST = 64 * 1024 * 1024
"""Bytes of a draft that are read: as much as a message has by default."""

drafts = typer.Typer(
    name="drafts",
    help="Letters that are not sent yet.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(drafts)


@drafts.callback()
def list_(context: typer.Context) -> None:
    """Letters that were begun and not sent.

    Examples: willcall drafts    willcall drafts edit 1    willcall drafts delete 1
    """
    if context.invoked_subcommand is not None:
        return
    rows = [_row(path) for path in _paths()]
    if STATE.json:
        render.document(rows)
    elif rows:
        shown = [(str(r["n"]), ", ".join(r["to"]), render.when(r["changed"]), r["subject"] or "")
                 for r in rows]  # fmt: skip
        render.table(("n", "to", "changed", "subject"), shown)
        render.hint(f"willcall drafts edit {rows[-1]['n']}")
    else:
        render.note("there are no drafts")


@drafts.command()
def edit(
    n: int = typer.Argument(..., metavar="N"),
    wait: float | None = typer.Option(None, "--wait", metavar="SECONDS", min=0),
) -> None:
    """Opens a draft in the editor again, then sends it.

    Example: willcall drafts edit 1
    """
    _written(STATE.local(), _path(n), "", wait)


@drafts.command()
def send(
    n: int = typer.Argument(..., metavar="N"),
    wait: float | None = typer.Option(None, "--wait", metavar="SECONDS", min=0),
) -> None:
    """Sends a draft as it is.

    Example: willcall drafts send 1
    """
    _sent(STATE.local(), _path(n), wait)


@drafts.command()
def delete(refs: list[int] = typer.Argument(..., metavar="N…")) -> None:
    """Deletes drafts.

    Example: willcall drafts delete 1
    """
    paths = [_path(n) for n in dict.fromkeys(refs)]
    for path in paths:
        path.unlink(missing_ok=True)
    if STATE.json:
        render.document({"deleted": [int(path.name) for path in paths]})
    else:
        render.line("deleted " + ", ".join(path.name for path in paths))


# --- writing ----------------------------------------------------------------------------


def begin(local: Local, letter: "Letter", wait: float | None) -> None:
    """A new letter: everybody must be known; then a draft, the editor, and off it goes."""
    people = composing.resolved(local, letter)
    named = {word: _names(people, word) for word in ("to", "cc", "bcc")}
    words = _quoted(local, letter.answers) if letter.answers else ""
    path = _new(replace(letter, **named, text=words))  # type: ignore[arg-type]
    _written(local, path, words, wait)


def _names(people: dict[str, Any], word: str) -> tuple[str, ...]:
    """Contacts as they are called; a name of one's own may be somebody else's as well."""
    me = people["from"]["did"]
    return tuple(
        each["name"] if each["name"] and each["did"] != me else each["address"] or each["did"]
        for each in people[word]
    )


def _quoted(local: Local, ref: str) -> str:
    from cli import reading
    from node.mail import letter

    row = local.get("mail", ref)
    shown = reading.displayed(b"".join(local.stream("raw", ref)))
    return letter.quoted(shown["text"], row["from"], render.when(row["date"] or row["received"]))


def _written(local: Local, path: Path, before: str, wait: float | None) -> None:
    """Has a draft written and sends it; unless there are words of its author, it goes."""
    _edit(path)
    text = _parsed(path).text.strip()
    if text in ("", before.strip()):
        path.unlink(missing_ok=True)
        what = "the text is empty" if not text else "nothing was written"
        raise Malformed(f"cancelled: {what}; nothing was sent", reason="cancelled")
    _sent(local, path, wait)


def _edit(path: Path) -> None:
    """Runs the editor on a draft.

    Raises:
        Usage: there is none.
        NotYet: it ended with an error; the draft stays.
    """
    before = path.read_bytes()
    # Ctrl-C is the editor's while it runs; unlike an ignored one, a handler is not inherited.
    heard = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = _run(path)
    finally:
        signal.signal(signal.SIGINT, heard)
    if code is None and path.read_bytes() == before:
        path.unlink()
    if code is None:
        raise Usage("no editor was found", next="set EDITOR, or give -m TEXT")
    if code:
        raise NotYet(
            f"the editor ended with {code}; nothing was sent, the draft is {path}",
            next=f"willcall drafts edit {path.name}, or willcall drafts delete {path.name}",
        )


def _run(path: Path) -> int | None:
    """The editor's exit code; None: there is no editor."""
    import shlex

    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    for editor in (chosen,) if chosen else EDITORS:
        try:
            return subprocess.call([*shlex.split(editor), str(path)])
        except (OSError, ValueError):
            continue
    return None


def _sent(local: Local, path: Path, wait: float | None) -> None:
    """Sends a draft; it stays unless the node has the message."""
    try:
        letter = _parsed(path)
        if letter.owner:
            STATE.owner = letter.owner
            local = STATE.local()
        row = composing.send(local, letter)
    except WillcallError as error:
        error.text += f"; the draft is kept: {path}"
        error.next = f"willcall drafts edit {path.name}" + (
            f" ({error.next})" if error.next else ""
        )
        raise
    path.unlink(missing_ok=True)
    report(local, row, wait)


# --- files ------------------------------------------------------------------------------


def _folder() -> Path:
    """Where drafts are: here, even where the node is on another machine."""
    return home_of(STATE.home) / "drafts"


def _paths() -> list[Path]:
    """The drafts, oldest first."""
    folder = _folder()
    names = [name for name in (os.listdir(folder) if folder.is_dir() else []) if name.isdigit()]
    return [folder / name for name in sorted(names, key=int)]


def _path(n: int) -> Path:
    path = _folder() / str(n)
    if not path.is_file():
        raise Absent(f"there is no draft {n}", next="willcall drafts")
    return path


def _new(letter: "Letter") -> Path:
    """Writes a letter into a new file that nobody else can read."""
    from node.mail.letter import print_draft

    text, folder = print_draft(letter).encode("utf-8", "replace"), _folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in _free(folder):
            try:
                number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            with open(number, "wb") as file:
                file.write(text)
            return path
    except OSError as error:
        raise StoreFailed(f"{folder} can't be written to: {error.strerror}") from error
    raise AssertionError("numbers do not end")


def _free(folder: Path) -> Iterator[Path]:
    number = max((int(path.name) for path in _paths()), default=0)
    while True:
        number += 1
        yield folder / str(number)


def _parsed(path: Path) -> "Letter":
    """The letter in a file, as its author left it.

    Raises:
        Absent: it is gone.
        Malformed: it is no draft.
    """
    from node.mail.letter import parse_draft

    try:
        with open(path, "rb") as file:
            return parse_draft(file.read(LARGEST).decode("utf-8"))
    except FileNotFoundError as error:
        raise Absent("the draft is gone; nothing was sent", next="willcall drafts") from error
    except UnicodeDecodeError as error:
        raise Malformed(f"the draft {path} is not UTF-8") from error


def _row(path: Path) -> dict[str, Any]:
    """A draft in the list; what can't be read is listed all the same."""
    from node.mail.letter import Letter

    try:
        letter = _parsed(path)
    except WillcallError:
        letter = Letter()
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return {
        "n": int(path.name),
        "to": letter.everybody,
        "subject": letter.subject or None,
        "changed": changed.isoformat(timespec="milliseconds")[:-6] + "Z",
        "file": str(path),
    }
