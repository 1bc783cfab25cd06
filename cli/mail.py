"""`inbox read fetch delete`: mail that came."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import typer

from cli import completing, contact, render
from cli.local import Local
from cli.state import STATE
from node.errors import Unreachable, Usage, WillcallError

CLAIMED = 40
"""Characters of an imported message's From field in the list."""

RESTART = 60
"""Seconds for which a watch waits for a node that went away: longer than any restart takes."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(inbox)
    app.command()(read)
    app.command()(fetch)
    app.command()(delete)


def inbox(
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=0, help="The newest N."),
    after: int | None = typer.Option(None, "--after", metavar="N", min=0, help="Behind this one."),
    watch: bool = typer.Option(False, "--watch", help="A line for each arrival, until ended."),
) -> None:
    """Mail that came, oldest first.

    With --watch a line for each arrival from now on, or from behind number N on: nothing between
    two calls is missed. It outlives a restart of the node.

    Examples: willcall inbox --limit 20    willcall inbox --watch --after 41
    """
    local = STATE.local()
    if watch:
        _watch(local, after)
        return
    rows = local.get("inbox", limit=limit, after=after)
    if STATE.json:
        render.document(rows)
    elif rows:
        _table(rows)
        contact.say_who_was_replaced(local.get("contacts"))
        render.hint(_next(rows[-1]))
    else:
        contact.say_who_was_replaced(local.get("contacts"))
        render.note("the inbox is empty")
        render.hint("willcall invite    (a link that makes somebody a contact)")


def _next(row: dict[str, Any]) -> str:
    return f"willcall {'fetch' if row['state'] == 'waiting' else 'read'} {row['n']}"


def _table(rows: list[dict[str, Any]]) -> None:
    render.table(
        ("n", "state", "from", "size", "received", "subject"),
        [
            (
                str(row["n"]),
                row["state"],
                _from(row),
                render.size(row["size"]),
                render.when(row["received"]),
                _subject(row),
            )
            for row in rows
        ],
        cut=True,
    )


def _subject(row: dict[str, Any]) -> str:
    if row["state"] == "waiting":
        return f"(waits at its sender until {render.when(row['keep_until'])})"
    if row["state"] == "failed":
        return "(its sender keeps it no longer)"
    return row["subject"] or "(no subject)"


def _from(row: dict[str, Any]) -> str:
    """Who sent it; what an imported message claims is marked as that."""
    if not row.get("imported"):
        return str(row["from"])
    claimed = row["from"] or "nobody"
    return f"{claimed if len(claimed) <= CLAIMED else claimed[: CLAIMED - 1] + '…'} (imported)"


def _watch(local: Local, after: int | None) -> None:
    rows = local.get("inbox", limit=1)
    last = after if after is not None else rows[-1]["n"] if rows else 0
    while True:
        for row in _arrivals(local, last):
            last = row["n"]
            if STATE.json:
                render.document(row)
            else:
                render.line(f"{row['n']}  {_from(row)}  {_subject(row)}")
            sys.stdout.flush()


def _arrivals(local: Local, last: int) -> list[dict[str, Any]]:
    """What came behind a number, or nothing yet; a node that restarts is waited for."""
    for left in range(RESTART, -1, -1):
        try:
            rows: list[dict[str, Any]] = local.get("inbox", after=last, watch=1)
            return rows
        except WillcallError as error:
            if error.exit_code != Unreachable.exit_code or not left:
                raise
        time.sleep(1)
    raise AssertionError("the last attempt returns or raises")


def read(
    ref: str = typer.Argument(..., metavar="N|CID", autocompletion=completing.received),
    raw: bool = typer.Option(False, "--raw", help="The bytes and nothing else."),
    save: str | None = typer.Option(None, "--save", metavar="DIR", help="Writes attachments."),
) -> None:
    """Shows a message; with --raw its exact bytes.

    Examples: willcall read 3    willcall read 3 --raw > letter.eml
    """
    if raw and save is not None:
        raise Usage("--raw gives the bytes and nothing else", next="leave out --save")
    local = STATE.local()
    pieces = _content(local, ref)
    if raw:
        _copy(pieces)
    elif save is not None:
        saved(b"".join(pieces), save)
    else:
        _show(local, ref, b"".join(pieces))
    local.post("read", ref)


def _content(local: Local, ref: str) -> Iterator[bytes]:
    """The bytes of a message; what waits at its sender is called for."""
    try:
        return _begun(local.stream("raw", ref))
    except WillcallError as error:
        if error.reason != "waiting":
            raise
    with render.patience("calling for it at its sender"):
        local.post_to(("fetch", ref), {})
    return _begun(local.stream("raw", ref))


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, after an error that comes before the first of them."""
    from itertools import chain

    return chain([next(pieces, b"")], pieces)


def _copy(pieces: Iterator[bytes]) -> None:
    out = sys.stdout.buffer
    for piece in pieces:
        out.write(piece)
    out.flush()


def saved(content: bytes, folder: str) -> None:
    """Writes the attachments of a message into a folder, and says which."""
    from cli import reading

    paths, marks = reading.saved(content, folder)
    if STATE.json:
        render.document({"saved": paths, "marks": marks})
        return
    for path in paths:
        render.line(path)
    for mark in marks:
        render.note(f"({mark})")
    if not paths:
        render.note("there are no attachments")


def _show(local: Local, ref: str, content: bytes) -> None:
    from cli import reading

    shown = reading.displayed(content)
    if STATE.json:
        render.document(shown)
        return
    try:
        row = local.get("mail", ref)
        if row.get("imported"):
            render.line("Imported: nobody's key vouches for what it says")
        else:
            render.line(f"From: {row['from']}  ({row['did']})")
    except WillcallError:
        pass  # one's own sent message has no sender but oneself
    printed(shown, save_hint=f"willcall read {ref} --save DIR")


def printed(shown: dict[str, Any], save_hint: str) -> None:
    """A message that was parsed for display."""
    for name, value in shown["headers"]:
        claimed = " (as it claims)" if name.lower() == "from" else ""
        render.line(f"{name}: {value}{claimed}")
    render.line()
    sys.stdout.write(shown["text"].rstrip("\n") + "\n")
    for each in shown["originals"]:
        render.line(_original(each))
    for each in shown["attachments"]:
        render.line(f"[attachment: {each['name']}, {each['type']}{_size(each['size'])}]")
    for mark in shown["marks"]:
        render.note(f"({mark})")
    if shown["attachments"]:
        render.hint(save_hint)


def _original(row: dict[str, Any]) -> str:
    """Who wrote what is passed on here: by the author's signature, not by who passed it on."""
    known = {each["did"]: each["name"] for each in STATE.local().get("contacts")}
    who = f"{known[row['did']]} ({row['did']})" if row["did"] in known else row["did"]
    subject = row["subject"] or "(no subject)"
    return f"[forwarded: {subject!r} was written by {who}; the author's signature holds]"


def _size(count: int | None) -> str:
    return "" if count is None else f", {render.size(count)}"


def fetch(
    ref: str = typer.Argument(..., metavar="N|CID", autocompletion=completing.received),
    wait: int | None = typer.Option(None, "--wait", metavar="SECONDS", min=0, help="10 if not."),
) -> None:
    """Calls for mail that waits at its sender.

    Example: willcall fetch 5
    """
    local = STATE.local()
    with render.patience("calling for it at its sender"):
        row = local.post_to(("fetch", ref), {"wait": wait})
    if STATE.json:
        render.document(row)
    else:
        _table([row])
        render.hint(f"willcall read {row['n']}")


def delete(
    refs: list[str] = typer.Argument(..., metavar="N|CID…", autocompletion=completing.received),
) -> None:
    """Deletes messages from the inbox, and frees the bytes of sent ones.

    What was confirmed stays for its 14 days, as its addressee may have to ask again after a
    restore: its room is free then. `willcall sent` goes on telling what became of it.

    Examples: willcall delete 3 4    willcall delete 7xk2q4ma
    """
    row = STATE.local().post("delete", refs=refs)
    if STATE.json:
        render.document(row)
    else:
        render.line("deleted " + ", ".join(str(n) for n in row["deleted"]))
        for each in row["later"]:
            freed = f"its {render.size(each['bytes'])} are free again {render.when(each['until'])}"
            render.line(f"  {render.tail(each['message'])} was confirmed: {freed}")
        render.hint("willcall inbox")
