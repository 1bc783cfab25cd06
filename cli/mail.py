"""`send sent inbox read fetch delete retract`: mail."""

import io
import os
import sys
from pathlib import Path
from typing import IO, Any

import typer

from cli import render
from cli.local import Local
from cli.spans import millis
from cli.state import STATE
from node.errors import Absent, NotYet, Usage, WillcallError


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(send)
    app.command()(sent)
    app.command()(inbox)
    app.command()(read)
    app.command()(fetch)
    app.command()(delete)
    app.command()(retract)


def send(
    file: str | None = typer.Argument(
        None, metavar="[FILE|-]", help="The text; - is standard input."
    ),
    to: list[str] | None = typer.Option(
        None, "--to", metavar="NAME|DID|ADDRESS", help="Repeatable."
    ),
    subject: str = typer.Option("", "--subject", "-s"),
    text: str | None = typer.Option(
        None, "-m", "--message", metavar="TEXT", help="The text itself."
    ),
    raw: str | None = typer.Option(
        None, "--raw", metavar="FILE|-", help="A whole message, untouched."
    ),
    mbox: str | None = typer.Option(
        None, "--mbox", metavar="FILE", help="Every message of an mboxrd."
    ),
    attach: list[str] | None = typer.Option(None, "--attach", metavar="FILE", help="Repeatable."),
    keep: str = typer.Option("30d", "--keep", metavar="SPAN", help="How long it waits."),
    keep_sent: bool | None = typer.Option(
        None, "--keep-sent/--drop-sent", help="After confirmation."
    ),
    wait: float | None = typer.Option(
        None, "--wait", metavar="SECONDS", help="Until it is decided."
    ),
) -> None:
    """Stores a message and tells its addressees; returns when it is durable here.

    Examples: willcall send --to ben -s Hi -m 'Hello!'    willcall send --to ben --raw letter.eml
    """
    given = [word for word in (file, text, raw, mbox) if word is not None]
    if len(given) != 1:
        raise Usage("give one of -m TEXT, FILE, --raw FILE or --mbox FILE", next="-m 'Hello!'")
    names = [name.strip() for each in to or [] for name in each.split(",") if name.strip()]
    local = STATE.local()
    query: dict[str, Any] = {"to": names, "keep": millis(keep)}
    if keep_sent is not None:
        query["keep_sent"] = int(keep_sent)
    if mbox is not None:
        _upload_mbox(local, query, mbox, wait)
    elif raw is not None:
        with _opened(raw) as stream:
            row = local.upload("send", query, stream, _size(stream))
        _sent(local, row, wait)
    else:
        content = _composed(local, names, subject, text, file, attach or [])
        _sent(local, local.upload("send", query, content, len(content)), wait)


def _composed(
    local: Local, to: list[str], subject: str, text: str | None, file: str | None, attach: list[str]
) -> bytes:
    from node.mail import compose

    people = local.post("resolve", to=to)
    body = text if text is not None else _text(str(file))
    return compose.compose(
        sender=_mailbox(people["from"]),
        to=[_mailbox(person) for person in people["to"]],
        subject=subject,
        text=body,
        date=people["now"],
        message_id=f"<{people['id']}@willcall>",
        attachments=[_attachment(path) for path in attach],
    )


def _mailbox(person: dict[str, Any]) -> Any:
    from node.mail.compose import Mailbox

    return Mailbox(name=person["name"], address=person["address"] or person["did"])


def _attachment(path: str) -> Any:
    import mimetypes

    from node.mail.compose import Attachment

    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    with _opened(path) as stream:
        return Attachment(name=Path(path).name, type=kind, data=stream.read())


def _text(path: str) -> str:
    with _opened(path) as stream:
        data = stream.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Usage(
            f"{path} is not UTF-8 text", next="send it as it is with --raw, or with --attach"
        ) from error


def _opened(path: str) -> IO[bytes]:
    """A file, or standard input read to its end (its size must be known)."""
    if path == "-":
        return io.BytesIO(sys.stdin.buffer.read())
    try:
        return open(path, "rb")
    except OSError as error:
        raise Absent(f"{path}: {error.strerror}") from error


def _size(stream: IO[bytes]) -> int:
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return end


def _upload_mbox(local: Local, query: dict[str, Any], path: str, wait: float | None) -> None:
    with _opened(path) as stream:
        rows = local.upload("mbox", query, stream, _size(stream))
    done = True
    if wait is not None and rows:
        told = local.post("wait", messages=[row["message"] for row in rows], seconds=wait)
        rows, done = told["messages"], told["done"]
    if STATE.json:
        render.document(rows)
    else:
        counts: dict[str, int] = {}
        for row in rows:
            for each in row["deliveries"]:
                counts[each["state"]] = counts.get(each["state"], 0) + 1
        render.line(f"{len(rows)} messages: {_counted(counts)}")
        render.hint("willcall sent --open")
    _check_done(done, wait)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"


def _sent(local: Local, row: dict[str, Any], wait: float | None) -> None:
    done = True
    seconds = wait
    if wait is None and not STATE.json and sys.stdout.isatty():
        seconds = 2.0
    if seconds is not None:
        told = local.post("wait", messages=[row["message"]], seconds=seconds)
        row, done = told["messages"][0], told["done"]
    if STATE.json:
        render.document(row)
    else:
        render.line(row["message"])
        for each in row["deliveries"]:
            render.line("  " + render.delivery(each))
        render.hint(f"willcall status {render.tail(row['message'])}")
    _check_done(done, wait)


def _check_done(done: bool, wait: float | None) -> None:
    if wait is not None and not done:
        raise NotYet(f"not decided after {wait:g} s; it goes on by itself", next="willcall sent")


def sent(
    only_open: bool = typer.Option(False, "--open", help="Only what is not over."),
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=0),
    before: str | None = typer.Option(None, "--before", metavar="CID", help="Older than this one."),
) -> None:
    """Sent mail, newest first, with what is true of each delivery.

    Example: willcall sent --open --limit 20
    """
    query = {"open": 1 if only_open else None, "limit": limit, "before": before}
    rows = STATE.local().get("sent", **query)
    if STATE.json:
        render.document(rows)
        return
    for row in rows:
        render.message(row)


def inbox(
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=0, help="The newest N."),
    watch: bool = typer.Option(False, "--watch", help="A line for each arrival, until ended."),
) -> None:
    """Mail that came, oldest first.

    Example: willcall inbox --limit 20
    """
    local = STATE.local()
    if watch:
        _watch(local)
        return
    rows = local.get("inbox", limit=limit)
    if STATE.json:
        render.document(rows)
        return
    _table(rows)
    if rows:
        render.hint(f"willcall read {rows[-1]['n']}")


def _table(rows: list[dict[str, Any]]) -> None:
    render.table(
        ("n", "state", "from", "size", "received", "subject"),
        [
            (
                str(row["n"]),
                row["state"],
                row["from"],
                render.size(row["size"]),
                render.when(row["received"]),
                _subject(row),
            )
            for row in rows
        ],
    )


def _subject(row: dict[str, Any]) -> str:
    if row["state"] == "waiting":
        return f"(waits at its sender until {render.when(row['keep_until'])})"
    return row["subject"] or "(no subject)"


def _watch(local: Local) -> None:
    rows = local.get("inbox", limit=1)
    last = rows[-1]["n"] if rows else 0
    while True:
        for row in local.get("inbox", after=last, watch=1):
            last = row["n"]
            if STATE.json:
                render.document(row)
            else:
                render.line(f"{row['n']}  {row['from']}  {_subject(row)}")
            sys.stdout.flush()


def read(
    ref: str = typer.Argument(..., metavar="N|CID"),
    raw: bool = typer.Option(False, "--raw", help="The bytes and nothing else."),
) -> None:
    """Shows a message; with --raw its exact bytes.

    Example: willcall read 3
    """
    local = STATE.local()
    try:
        pieces = local.stream("raw", ref)
        first = next(pieces, b"")
    except WillcallError as error:
        if error.reason != "waiting":
            raise
        local.post("fetch", ref)
        pieces = local.stream("raw", ref)
        first = next(pieces, b"")
    if raw:
        _copy(first, pieces)
    else:
        _show(local, ref, first + b"".join(pieces))
    local.post("read", ref)


def _copy(first: bytes, pieces: Any) -> None:
    out = sys.stdout.buffer
    out.write(first)
    for piece in pieces:
        out.write(piece)
    out.flush()


def _show(local: Local, ref: str, content: bytes) -> None:
    from cli import reading

    shown = reading.displayed(content)
    if STATE.json:
        render.document(shown)
        return
    try:
        row = local.get("mail", ref)
        render.line(f"From: {row['from']}  ({row['did']})")
    except WillcallError:
        pass  # one's own sent message has no sender but oneself
    for name, value in shown["headers"]:
        claimed = " (as it claims)" if name.lower() == "from" else ""
        render.line(f"{name}: {value}{claimed}")
    render.line()
    sys.stdout.write(shown["text"].rstrip("\n") + "\n")
    for each in shown["attachments"]:
        render.line(f"[attachment: {each['name']}, {each['type']}]")
    for mark in shown["marks"]:
        render.note(f"({mark})")


def fetch(
    ref: str = typer.Argument(..., metavar="N|CID"),
    wait: int | None = typer.Option(None, "--wait", metavar="SECONDS", min=0),
) -> None:
    """Calls for mail that waits at its sender.

    Example: willcall fetch 5
    """
    local = STATE.local()
    row = local.post_to(("fetch", ref), {"wait": wait})
    if STATE.json:
        render.document(row)
    else:
        _table([row])
        render.hint(f"willcall read {row['n']}")


def delete(refs: list[str] | None = typer.Argument(None, metavar="N…")) -> None:
    """Deletes messages from the inbox.

    Example: willcall delete 3 4
    """
    row = STATE.local().post("delete", refs=refs or [])
    if STATE.json:
        render.document(row)
    else:
        render.line("deleted " + ", ".join(str(n) for n in row["deleted"]))


def retract(ref: str = typer.Argument(..., metavar="CID")) -> None:
    """Withdraws a message from everyone who has not confirmed it.

    Example: willcall retract 7xk2q4ma
    """
    row = STATE.local().post("retract", ref)
    if STATE.json:
        render.document(row)
    else:
        render.message(row)
