"""`sent retract`: what became of mail that went out."""

import sys
from typing import Any

import typer

from cli import completing, render
from cli.local import Local
from cli.state import STATE
from node.errors import NotRunning, NotYet, Unreachable


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
    trouble, seconds = "", wait
    if wait is None and not STATE.json and sys.stdout.isatty():
        seconds = 2.0
    if seconds is not None:
        (row,), trouble = _waited(local, [row], seconds)
    tail = render.tail(row["message"])
    if STATE.json:
        render.document(row)
    else:
        render.line(row["message"])
        for each in _deliveries(local, row):
            render.one(each)
        render.hint(f"willcall status {tail}")
    _check_done(trouble, wait, f"status {tail}")


def report_all(local: Local, rows: list[dict[str, Any]], wait: float | None) -> None:
    """The same for many messages: their number."""
    trouble = ""
    if wait is not None and rows:
        rows, trouble = _waited(local, rows, wait)
    if STATE.json:
        render.document(rows)
    else:
        render.line(f"{render.many(len(rows), 'message')}: {_counted(rows)}")
        render.hint("willcall sent --open")
    _check_done(trouble, wait, "sent --open")


def _waited(local: Local, rows: list[Any], seconds: float) -> tuple[list[Any], str]:
    """What is known in the end, and why it is not more; "" once all is decided.

    The messages are durable: that the node ends meanwhile is no reason to hide their names.
    """
    try:
        with render.patience(f"waiting up to {seconds:g} s until it is decided"):
            told = local.post("wait", messages=[row["message"] for row in rows], seconds=seconds)
    except (NotRunning, Unreachable):
        return rows, "stored, and the node ended meanwhile; it goes on when it runs again"
    late = f"not decided after {seconds:g} s; it goes on by itself"
    return told["messages"], "" if told["done"] else late


def _deliveries(local: Local, row: dict[str, Any]) -> list[dict[str, Any]]:
    try:
        return list(local.get("message", row["message"])["deliveries"])
    except (NotRunning, Unreachable):
        return list(row["deliveries"])


def _counted(rows: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        for each in row["deliveries"]:
            counts[each["state"]] = counts.get(each["state"], 0) + 1
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"


def _check_done(trouble: str, wait: float | None, then: str) -> None:
    if wait is not None and trouble:
        raise NotYet(trouble, next=f"willcall {then}")
