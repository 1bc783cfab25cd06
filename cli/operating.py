"""`log`: what happened, for whoever wants to know why."""

import typer

from cli import completing, render
from cli.state import STATE


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(log)


def log(
    message: str = typer.Argument(
        ..., metavar="N|CID", help="An inbox number, or a CID.", autocompletion=completing.received
    ),
) -> None:
    """Every step of one message, sent or received, oldest first.

    Example: willcall log 7xk2q4ma
    """
    rows = STATE.local().get("log", message)
    if STATE.json:
        render.document(rows)
        return
    render.table(
        ("time (UTC)", "step", "who", "detail"),
        [
            (
                "-" if row["at"] is None else row["at"][:19].replace("T", " "),
                row["step"],
                row["who"] or "",
                row["detail"] or "",
            )
            for row in rows
        ],
    )
