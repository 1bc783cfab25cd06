"""`owner add | list | token`: who else keeps mail at this node."""

import typer

from cli import render
from cli.state import STATE

owners = typer.Typer(
    name="owner", help="Whose mail this node keeps.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(owners)


@owners.command()
def add(
    name: str = typer.Argument(...),
    quota: str | None = typer.Option(None, "--quota", metavar="SIZE", help="Like 5GiB."),
) -> None:
    """A new owner with fresh keys; prints the recovery phrase once.

    Example: willcall owner add ben --quota 2GiB
    """
    row = STATE.local().post("owners", name=name, quota=quota)
    if STATE.json:
        render.document(row)
        return
    render.line(f"{row['name']}: {row['did']}")
    render.line("The recovery phrase of this owner. It is shown once and kept nowhere.")
    words = row["recovery_phrase"].split()
    for at in range(0, 24, 6):
        render.line("  " + " ".join(words[at : at + 6]))
    render.hint(f"willcall --owner {row['name']} invite")


@owners.command("list")
def list_() -> None:
    """All owners of this node.

    Example: willcall owner list
    """
    rows = STATE.local().get("owners")
    if STATE.json:
        render.document(rows)
        return
    render.table(
        ("name", "used", "limit", "did"),
        [
            (
                row["name"],
                render.size(sum(row["quota"]["used"].values())),
                render.size(row["quota"]["limit"]),
                row["did"],
            )
            for row in rows
        ],
    )


@owners.command()
def token(name: str = typer.Argument(...)) -> None:
    """A new bearer token for an owner's programs; the older one is void.

    Example: willcall owner token ben
    """
    row = STATE.local().post("token", name)
    if STATE.json:
        render.document(row)
    else:
        render.line(row["token"])
