"""`find`: mail by its words, received and sent."""

from typing import Any

import typer

from cli import render
from cli.state import STATE
from node.errors import Usage

WHY = {
    "damaged": "the index was damaged",
    "other-time": "the index was of another time than the mail",
    "deleted": "much of what was in the index had been deleted",
}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(find)


def find(
    words: list[str] = typer.Argument(None, metavar="[WORD]…", help="What must stand in it."),
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=0, help="50 if not told."),
    rebuild: bool = typer.Option(False, "--rebuild", help="Makes the index anew."),
) -> None:
    """Mail in which all these words are, received and sent, newest first.

    A word may be `from:anna`, `subject:offer`, the beginning of one (`dent*`), or several in
    quotes, which then stand together. The first search reads all mail, later ones what came since.

    Examples: willcall find dentist tuesday    willcall find from:anna "see you*"
    willcall find --rebuild
    """
    if rebuild == bool(words):
        raise Usage("give words, or --rebuild", next="willcall find dentist tuesday")
    local = STATE.local()
    with render.patience("reading the mail that came since the last search"):
        if rebuild:
            row = local.post_to(("reindex",), {})
        else:
            row = local.get("find", words=words, limit=limit)
    if rebuild:
        _rebuilt(row)
        return
    if row["rebuilt"]:
        render.note(f"({WHY.get(row['rebuilt'], row['rebuilt'])}: it was made anew)")
    if STATE.json:
        render.document(row["rows"])
    elif row["rows"]:
        _shown(row["rows"])
    else:
        render.note("nothing was found")


def _rebuilt(row: dict[str, Any]) -> None:
    if STATE.json:
        render.document(row)
    else:
        render.line(f"{render.many(row['messages'], 'message')} can be found")


def _shown(rows: list[dict[str, Any]]) -> None:
    """Two lines for each message: which, and where the words stand."""
    for row in rows:
        render.line("  ".join((_name(row), render.when(row["received"]), _who(row), _what(row))))
        if row["snippet"]:
            render.line(f"    {row['snippet']}")
    render.hint(f"willcall read {_name(rows[0])}")


def _name(row: dict[str, Any]) -> str:
    return str(row["n"]) if row["n"] is not None else render.tail(row["message"])


def _who(row: dict[str, Any]) -> str:
    if row["state"] == "sent":
        return "to " + (", ".join(row["to"]) or "(imported)")
    return f"{row['from'] or 'nobody'}{' (imported)' if row.get('imported') else ''}"


def _what(row: dict[str, Any]) -> str:
    return row["subject"] or "(no subject)"
