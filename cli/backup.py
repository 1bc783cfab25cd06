"""`backup FILE`, `backup verify FILE`, `restore FILE`: all of a node in one file, and back."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from cli import phrase, render
from cli.exporting import check_new, new_file
from cli.local import home_of
from cli.state import STATE
from node.errors import Absent, NotRunning, Unreachable, Usage, WillcallError

if TYPE_CHECKING:
    from node.rescue import Backup, Report

T = TypeVar("T")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    file: str = typer.Argument(..., metavar="FILE|verify"),
    tried: str | None = typer.Argument(None, metavar="[FILE]"),
    words: bool = typer.Option(False, "--words", help="Verify with the 24 words, from stdin."),
) -> None:
    """Writes all of a running node into one file, which only the first owner's 24 words open.

    `backup verify FILE` restores it for trial, compares, and removes the trial. The node that made
    it opens its newest backup itself; words on standard input are used where there are some.

    Examples: willcall backup ~/mail.backup    willcall backup verify ~/mail.backup
    """
    if file == "verify":
        if tried is None:
            raise Usage("which file?", next="willcall backup verify FILE")
        _verify(Path(tried), words)
    elif tried is not None or words:
        raise Usage("give one file", next="willcall backup FILE, or willcall backup verify FILE")
    else:
        _make(file)


def _make(path: str) -> None:
    check_new(path)
    local, size = STATE.local(), 0
    # The first piece is asked for before a file is made: no node, no file.
    pieces = local.stream("backup")
    first = next(pieces)
    with render.counting(lambda: render.size(size)), new_file(path) as out:
        try:
            out.write(first)
            size = len(first)
            for piece in pieces:
                out.write(piece)
                size += len(piece)
        except Unreachable as error:
            raise _why(error) from error
    made = local.get("backups")["last"]
    if path == "-":
        return
    if STATE.json:
        render.document(made | {"path": path})
        return
    render.line(f"{render.size(made['size'])}, as of {render.when(made['made'])} UTC: {path}")
    if made["missing"]:
        render.note(f"({made['missing']} damaged files are not in it; the node's log names them)")
    render.line("It opens with the 24 words of the first owner, and with nothing else:")
    render.line(made["did"])
    render.hint(f"willcall backup verify {path}")


def _why(error: Unreachable) -> WillcallError:
    """The node may still be there to say why it did not go on."""
    try:
        failed = STATE.local().get("backups")["failed"]
    except WillcallError:
        return error
    if failed is None:
        return error
    return Unreachable(f"the backup was not finished: {failed}", next="willcall backup FILE again")


# --- the way back -------------------------------------------------------------------------


def _verify(path: Path, with_words: bool) -> None:
    from node import rescue

    with rescue.reading(path) as found:
        key, by = _opener(found, with_words)
        report = _watched(found, lambda: rescue.verify(found, key))
    noted = _noted(found)
    if STATE.json:
        render.document(report.document() | {"path": str(path), "opened_by": by, "noted": noted})
        return
    render.line("Restored for trial, compared, and removed again: this backup is good.")
    _say(report)
    if by == "node":
        render.line("The node opened it. Your words were not tried: --words does that.")
    if not noted:
        render.note("(no node of this owner is running here: nobody will remember this trial)")


def _opener(found: "Backup", with_words: bool) -> tuple[bytes, str]:
    """The key, from words that were given, from the node, or from words that are asked for."""
    if not with_words and sys.stdin.isatty():
        key = _of_node(found)
        return (found.key(phrase.asked()), "words") if key is None else (key, "node")
    text = phrase.asked()
    key = None if text.strip() or with_words else _of_node(found)
    return (found.key(text), "words") if key is None else (key, "node")


def _of_node(found: "Backup") -> bytes | None:
    """The key that the running node remembers; None: there is no node, or it remembers none."""
    try:
        return bytes.fromhex(STATE.local().post("unlock", header=found.signed.block.hex())["key"])
    except (NotRunning, Unreachable):
        return None
    except WillcallError as error:
        if error.exit_code != Absent.exit_code:
            raise
        return None


def _noted(found: "Backup") -> bool:
    try:
        STATE.local().post("verified", header=found.signed.block.hex())
    except WillcallError:
        return False
    return True


def restore(
    file: str = typer.Argument(..., metavar="FILE"),
    listen: str | None = typer.Option(
        None, "--listen", metavar="HOST:PORT", help="Where to listen; else as it was."
    ),
    origin: str | None = typer.Option(
        None, "--origin", metavar="HOST:PORT", help="Where others call; else as it was."
    ),
) -> None:
    """Makes a home of a backup; reads the 24 words from standard input. Needs no running node.

    The home must not exist yet. Never let the old one run again: both would speak with one key.

    Example: willcall restore ~/mail.backup < words.txt
    """
    from node import homes, rescue

    home = homes.Home(home_of(STATE.home))
    rescue.check_free(home)
    with rescue.reading(Path(file)) as found:
        key = found.key(phrase.asked())
        report = _watched(found, lambda: rescue.restore(found, key, home, listen=listen, at=origin))
    if STATE.json:
        render.document(report.document() | {"home": str(home.folder)})
        return
    _say(report)
    render.line(f"home:     {home.folder}")
    render.line("")
    render.line(
        "What you received since then comes again by itself, from whoever still keeps it (14"
    )
    render.line("days). What you sent since then is gone where it was not picked up yet.")
    for complaint in report.found.complaints:
        render.note(f"(not as it should be: {complaint})")
    if report.tokens:
        render.note(f"({report.tokens} tokens open mailboxes again, also those revoked since then:")
        render.note(" willcall owner tokens NAME)")
    render.hint("willcall run")


def _watched(found: "Backup", work: Callable[[], T]) -> T:
    def text() -> str:
        if found.done < found.size:
            return f"{render.size(found.done)} of {render.size(found.size)}"
        return f"{render.size(found.size)}, comparing"

    with render.counting(text):
        return work()


def _say(report: "Report") -> None:
    row: dict[str, Any] = report.document()
    render.line(f"{row['did']}")
    owners = ", ".join(name or "(no name)" for name in row["owners"])
    render.line(f"as of:    {render.when(row['made'])} UTC")
    render.line(f"owners:   {owners}")
    render.line(
        f"holds:    {row['received']} received, {row['sent']} sent, {row['contacts']} contacts, "
        f"{row['blocks']} large blocks"
    )
    if row["missing"]:
        render.note(f"({row['missing']} large blocks were damaged when it was made)")
