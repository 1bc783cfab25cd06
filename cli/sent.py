"""`sent retract`: what became of mail that went out."""

import sys
from typing import Any

import typer

from cli import completing, render
from cli.local import Local
from cli.state import STATE
from node.errors import NotYet


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(sent)
    app.command()(retract)


def sent(
    only_open: bool = typer.Option(False, "--open", help="Only what is not over."),
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=0, help="The newest N."),
    before: str | None = typer.Option(
        None, "--before", metavar="CID", help="Older than this one.", autocompletion=completing.sent
    ),
) -> None:
    """Sent mail, newest first, and what is true of each delivery.

    Example: willcall sent --open --limit 20
    """
    query = {"open": 1 if only_open else None, "limit": limit, "before": before}
    rows = STATE.local().get("sent", **query)
    if STATE.json:
        render.document(rows)
        return
    for row in rows:
        render.message(row)
    if rows:
        render.hint(f"willcall status {render.tail(rows[0]['message'])}")
    else:
        render.note("nothing is open" if only_open else "nothing was sent yet")


def retract(ref: str = typer.Argument(..., metavar="CID", autocompletion=completing.sent)) -> None:
    """Withdraws a message from everyone who has not confirmed it.

    Example: willcall retract 7xk2q4ma
    """
    row = STATE.local().post("retract", ref)
    if STATE.json:
        render.document(row)
    else:
        render.message(row)
        render.hint(f"willcall status {render.tail(row['message'])}    (whether it was in time)")


# --- what came of sending ---------------------------------------------------------------


def report(local: Local, row: dict[str, Any], wait: float | None) -> None:
    """Says what is known of a message that was sent; on a terminal after two seconds at most."""
    done, seconds = True, wait
    if wait is None and not STATE.json and sys.stdout.isatty():
        seconds = 2.0
    if seconds is not None:
        (row,), done = _waited(local, [row], seconds)
    tail = render.tail(row["message"])
    if STATE.json:
        render.document(row)
    else:
        render.line(row["message"])
        for each in local.get("message", row["message"])["deliveries"]:
            render.one(each)
        render.hint(f"willcall status {tail}")
    _check_done(done, wait, f"status {tail}")


def report_all(local: Local, rows: list[dict[str, Any]], wait: float | None) -> None:
    """The same for many messages: their number."""
    done = True
    if wait is not None and rows:
        rows, done = _waited(local, rows, wait)
    if STATE.json:
        render.document(rows)
    else:
        render.line(f"{render.many(len(rows), 'message')}: {_counted(rows)}")
        render.hint("willcall sent --open")
    _check_done(done, wait, "sent --open")


def _waited(local: Local, rows: list[Any], seconds: float) -> tuple[list[Any], bool]:
    with render.patience(f"waiting up to {seconds:g} s until it is decided"):
        told = local.post("wait", messages=[row["message"] for row in rows], seconds=seconds)
    return told["messages"], told["done"]


def _counted(rows: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        for each in row["deliveries"]:
            counts[each["state"]] = counts.get(each["state"], 0) + 1
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"


def _check_done(done: bool, wait: float | None, then: str) -> None:
    if wait is not None and not done:
        raise NotYet(f"not decided after {wait:g} s; it goes on by itself", next=f"willcall {then}")
