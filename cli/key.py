"""`key rotate`: keys that are renewed."""

import typer

from cli import render
from cli.state import STATE

keys = typer.Typer(
    name="key", help="Your keys, renewed.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(keys)


@keys.command()
def rotate() -> None:
    """A new key to seal mail to; your contacts are told. You stay who you are.

    What was sealed to the old one opens for 400 days. Who gets at the home later can't open mail
    sealed to keys that are gone by then. Example: willcall key rotate
    """
    with render.patience("telling contacts, up to 10 s"):
        row = STATE.local().post("rotate")
    if STATE.json:
        render.document(row)
        return
    told, contacts = row["told"], row["contacts"]
    render.line(
        f"mail to you is sealed to a new key; {told} of {contacts} contacts know it already"
    )
    if told < contacts:
        render.line("The others are told as soon as they answer; until then they use the old one.")
    if row["dropped"]:
        render.line("The oldest of the keys kept for mail on its way was dropped: four are kept.")
