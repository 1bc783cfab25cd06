"""`archive readers …`: who may read a private archive."""

from typing import Any

import typer

from cli import render
from cli.state import STATE

readers = typer.Typer(
    name="readers", help="Who may read a private archive.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


@readers.command()
def add(
    name: str = typer.Argument(...),
    who: str = typer.Argument(..., metavar="CONTACT", help="A contact's name, or a did."),
    mirror: bool = typer.Option(False, "--mirror", help="It keeps and serves, and opens nothing."),
) -> None:
    """Gives a contact the key of a private archive: all of the current epoch can be read with it.

    Again: the key is given anew, sealed to the contact's newest.
    Examples: willcall archive readers add family ben
    willcall archive readers add family did:key:z6Mk… --mirror
    """
    rows = STATE.local().post("archive-readers", name, who=who, action="add", mirror=mirror or None)
    if STATE.json:
        render.document(rows)
        return
    render.line(f"{who} {'mirrors' if mirror else 'reads'} {name}")
    row = STATE.local().get("archive", name)
    if row["link"] is None:
        render.hint(f"willcall archive publish {name}")
    else:
        render.hint(f"willcall archive follow '{row['link']}'   (what {who} enters)")


@readers.command()
def remove(
    name: str = typer.Argument(...),
    who: str = typer.Argument(..., metavar="CONTACT", help="A contact's name, or a did."),
) -> None:
    """Takes it away: nothing more is served to them, and what comes from now on has another key.

    What they have fetched they keep, and with the old key they could read all that was appended
    until now. Example: willcall archive readers remove family ben
    """
    rows = STATE.local().post("archive-readers", name, who=who, action="remove")
    if STATE.json:
        render.document(rows)
        return
    render.line(f"{who} reads nothing that is added to {name} from now on")
    render.line("  what is in it already may have been read and kept")


@readers.command("list")
def list_(name: str = typer.Argument(...)) -> None:
    """Who may read a private archive, beside its owner.

    Example: willcall archive readers list family
    """
    rows: list[dict[str, Any]] = STATE.local().get("archive-readers", name)
    if STATE.json:
        render.document(rows)
        return
    render.table(
        ("name", "what", "added", "did"),
        [
            (
                row["name"] or "-",
                "mirror" if row["mirror"] else "reader",
                render.when(row["added"]) or "-",
                row["did"],
            )
            for row in rows
        ],
    )
    if not rows:
        render.note(f"nobody reads {name} but its owner")
        render.hint(f"willcall archive readers add {name} CONTACT")
