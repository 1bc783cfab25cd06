"""`contact add | list | show | rename | block | remove`."""

from typing import Any

import typer

from cli import render
from cli.state import STATE

ROW = ("name", "did", "address", "origin", "lane", "mutual", "blocked", "added")

contacts = typer.Typer(
    name="contact", help="People you exchange mail with.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(contacts)


@contacts.command()
def add(
    link: str = typer.Argument(..., metavar="LINK|ADDRESS", help="An invite link, or an address."),
    name: str | None = typer.Option(None, "--as", metavar="NAME", help="What you call them."),
) -> None:
    """Adds a contact; waits up to 10 s for the other side.

    Example: willcall contact add 'http://127.0.0.1:4625/i/z6Mk…#…' --as ben
    """
    with render.patience("asking the other side, up to 10 s"):
        row = STATE.local().post("contacts", link=link, name=name)
    if STATE.json:
        render.document(document(row))
        return
    if row["mutual"]:
        render.line(f"{row['name']} is a contact, and has you as one")
        render.hint(f"willcall send --to {row['name']} -s Hello -m 'Hello!'")
    else:
        render.line(f"{row['name']} is noted; {_why(row)}")
        render.hint("willcall contact list")


def document(row: dict[str, Any]) -> dict[str, Any]:
    """A contact as programs see it."""
    return {word: row[word] for word in ROW}


def _why(row: dict[str, Any]) -> str:
    words = {
        "spent": "the invite was used by another key already: ask for a new one",
        "expired": "the invite has expired: ask for a new one",
        "forged": "the link proves nothing over there: was it copied whole?",
        "held": "they have to allow you first; it goes on by itself once they do",
        "not-here": "their node answers, but does not know them: is the link old?",
        "clock": "their clock and yours disagree by more than ten minutes: check yours",
    }
    refused = row.get("refused")
    return words.get(refused or "", "they can't be reached now; it goes on by itself")


@contacts.command("list")
def list_() -> None:
    """All contacts.

    Example: willcall contact list
    """
    rows = STATE.local().get("contacts")
    if STATE.json:
        render.document([document(row) for row in rows])
        return
    if not rows:
        render.note("no contacts yet")
        render.hint("willcall invite, or willcall contact add LINK")
        return
    render.table(
        ("name", "lane", "mutual", "origin", "did"),
        [
            (r["name"], r["lane"], "yes" if r["mutual"] else "no", r["origin"] or "", r["did"])
            for r in rows
        ],
    )


def _change(contact: str, action: str, name: str | None = None) -> None:
    row = STATE.local().post("contact", contact=contact, action=action, name=name)
    if STATE.json:
        render.document(document(row))
    else:
        _print(row)


def _print(row: dict[str, Any]) -> None:
    for word in ROW:
        value = row[word]
        if isinstance(value, bool):
            value = "yes" if value else "no"
        render.line(f"{word + ':':<9}{render.when(value) if word == 'added' else value or '-'}")


@contacts.command()
def show(contact: str = typer.Argument(..., metavar="NAME|DID")) -> None:
    """One contact.

    Example: willcall contact show ben
    """
    _change(contact, "show")


@contacts.command()
def rename(
    contact: str = typer.Argument(..., metavar="NAME|DID"),
    name: str = typer.Argument(..., metavar="NEW"),
) -> None:
    """Calls a contact something else; only you see it.

    Example: willcall contact rename ben benjamin
    """
    _change(contact, "rename", name)


@contacts.command()
def block(contact: str = typer.Argument(..., metavar="NAME|DID")) -> None:
    """Their mail is never shown again. They can't tell; `add` undoes it.

    Example: willcall contact block ben
    """
    _change(contact, "block")


@contacts.command()
def remove(contact: str = typer.Argument(..., metavar="NAME|DID")) -> None:
    """Forgets a contact. Mail on its way to them goes on, or retract it.

    Example: willcall contact remove ben
    """
    _change(contact, "remove")
