"""`doctor`, `doctor reach`: what may be wrong, and what to do about it."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from cli import completing, render
from cli.local import home_of
from cli.state import STATE
from node.errors import NotRunning

if TYPE_CHECKING:
    from node.doctor import Finding

MARKS = {"ok": "ok", "warn": "warn", "fail": "FAIL", "unknown": "?"}

doctors = typer.Typer(
    name="doctor",
    help="Looks for what may be wrong, and says what to do.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(doctors)


@doctors.callback()
def doctor(context: typer.Context) -> None:
    """Clock, disk, ports, names, certificate, backup: what is wrong, and what to do.

    Changes nothing, and works with the node stopped. Ends with 0 when nothing fails.
    Examples: willcall doctor    willcall doctor --json    willcall doctor reach
    """
    if context.invoked_subcommand is not None:
        return
    from node import doctor as examining
    from node import homes

    home = homes.Home(home_of(STATE.home))
    try:
        with render.patience("asking contacts what time it is"):
            checkup = STATE.local().get("checkup")
    except NotRunning:
        checkup = None
    _tell(examining.examine(home, checkup))


@doctors.command()
def reach(
    contact: str | None = typer.Argument(
        None, metavar="[NAME|DID]", autocompletion=completing.contact
    ),
) -> None:
    """Makes a contact's node come here, as if to pick up mail, and sees whether it does.

    It is told of a message that was withdrawn already; they see nothing of it.
    Example: willcall doctor reach ben
    """
    from node import doctor as examining

    with render.patience("a contact's node is asked to come here, up to half a minute"):
        answer = STATE.local().post("reach", contact=contact)
    _tell(examining.reached(answer))


def _tell(findings: "Iterable[Finding]") -> None:
    """Says them, each as soon as it is known; ends with the code of the first that fails."""
    rows = []
    for each in findings:
        then = None if each.next is None else STATE.pasted(each.next)
        rows.append((each, then))
        if not STATE.json:
            render.line(f"{MARKS[each.state]:<5} {each.check:<12} {each.detail}")
            if then is not None and each.state != "ok":
                render.line(f"{'':<19}next: {then}")
    if STATE.json:
        render.document(
            [
                {"check": row.check, "state": row.state, "detail": row.detail, "next": then}
                for row, then in rows
            ]
        )
    failed = next((row.code for row, _ in rows if row.state == "fail"), None)
    if failed is not None:
        sys.stdout.flush()
        sys.exit(failed)
