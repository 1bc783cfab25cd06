"""`held allow deny`: what strangers have pending."""

import typer

from cli import completing, contact, render
from cli.state import STATE


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(held)
    app.command()(allow)
    app.command()(deny)


def held() -> None:
    """What strangers have pending: facts, not text. None of it was fetched.

    Example: willcall held
    """
    rows = STATE.local().get("held")
    if STATE.json:
        render.document(rows)
        return
    if not rows:
        render.note("nothing is held")
        return
    render.table(
        ("n", "message", "size", "origin", "received", "did"),
        [
            (
                str(row["n"]),
                render.tail(row["message"]) or "(introduction)",
                "" if row["size"] is None else render.size(row["size"]),
                row["origin"] or "",
                render.when(row["received"]),
                row["did"],
            )
            for row in rows
        ],
    )
    render.hint("willcall allow CID (this one) or DID (a contact), or willcall deny CID|DID")


def allow(
    ref: str = typer.Argument(..., metavar="CID|DID", autocompletion=completing.held),
    name: str | None = typer.Option(None, "--as", metavar="NAME", help="What you call them."),
) -> None:
    """Takes one message (CID), or makes its sender a contact (DID).

    Example: willcall allow did:key:z6Mk… --as carol
    """
    with render.patience("asking the other side, up to 10 s"):
        row = STATE.local().post("allow", ref=ref, name=name)
    if STATE.json:
        render.document(contact.document(row) if "name" in row else row)
    elif "name" in row:
        render.line(f"{row['name']} is a contact")
    else:
        render.line(f"{render.tail(row['message'])} is picked up")
        render.hint("willcall inbox")


def deny(ref: str = typer.Argument(..., metavar="CID|DID", autocompletion=completing.held)) -> None:
    """Drops what is held (CID), or blocks its sender too (DID). Nobody is told.

    Example: willcall deny 7xk2q4ma
    """
    row = STATE.local().post("deny", ref=ref)
    if STATE.json:
        render.document(row)
    else:
        render.line("dropped" if not ref.startswith("did:") else "dropped and blocked")
