"""`send reply forward sent retract`: mail that goes out."""

import io
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import typer

from cli import render
from cli.local import Local
from cli.spans import millis
from cli.state import STATE
from node.errors import Absent, Malformed, NotYet, Refused, StoreFailed, Usage

LETTER = 64 * 1024
"""Bytes of a message in which its header section is looked for."""
SPOOLED = 8 * 1024 * 1024
"""Standard input up to this size is held in memory, more of it in a temporary file."""

TO = typer.Option(None, "--to", metavar="NAME|DID|ADDRESS", help="Repeatable, or with commas.")
SUBJECT = typer.Option(None, "--subject", "-s", metavar="TEXT")
TEXT = typer.Option(None, "-m", "--message", metavar="TEXT", help="The text itself.")
FILE = typer.Argument(None, metavar="[FILE|-]", help="The text; - is standard input.")
ATTACH = typer.Option(None, "--attach", metavar="FILE", help="Repeatable.")
KEEP = typer.Option("30d", "--keep", metavar="SPAN", help="How long it waits for its addressee.")
KEEP_SENT = typer.Option(None, "--keep-sent/--drop-sent", help="After confirmation and grace.")
WAIT = typer.Option(None, "--wait", metavar="SECONDS", min=0, help="Until it is decided.")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(send)
    app.command()(reply)
    app.command()(forward)
    app.command()(sent)
    app.command()(retract)


def send(
    file: str | None = FILE,
    to: list[str] | None = TO,
    subject: str | None = SUBJECT,
    text: str | None = TEXT,
    raw: str | None = typer.Option(
        None, "--raw", metavar="FILE|-", help="A whole message, untouched."
    ),
    mbox: str | None = typer.Option(
        None, "--mbox", metavar="FILE|-", help="Every message of an mboxrd."
    ),
    attach: list[str] | None = ATTACH,
    keep: str = KEEP,
    keep_sent: bool | None = KEEP_SENT,
    wait: float | None = WAIT,
) -> None:
    """Stores a message and tells its addressees. Returns when it is durable.

    Examples: willcall send --to ben -s Hi -m 'Hello!'    willcall send --to ben --raw letter.eml
    """
    given = [word for word in (file, text, raw, mbox) if word is not None]
    if len(given) != 1:
        raise Usage("give one of -m TEXT, FILE, --raw FILE or --mbox FILE", next="-m 'Hello!'")
    if (raw or mbox) and (attach or subject):
        raise Usage("--raw and --mbox leave messages untouched", next="no -s and no --attach")
    local, terms = STATE.local(), _terms(to, keep, keep_sent)
    if mbox is not None:
        _send_mbox(local, terms, mbox, wait)
    elif raw is not None:
        with opened(raw) as stream:
            row = _upload(local, "send", terms, stream)
        _report(local, row, wait)
    else:
        content = _composed(local, terms["to"], subject or "", _body(text, file), attach or [])
        _report(local, _upload(local, "send", terms, io.BytesIO(content)), wait)


def reply(
    ref: str = typer.Argument(..., metavar="N|CID"),
    file: str | None = FILE,
    text: str | None = TEXT,
    to: list[str] | None = TO,
    subject: str | None = SUBJECT,
    attach: list[str] | None = ATTACH,
    keep: str = KEEP,
    keep_sent: bool | None = KEEP_SENT,
    wait: float | None = WAIT,
) -> None:
    """Answers a message: to its sender, in its conversation.

    Example: willcall reply 3 -m 'Thank you!'
    """
    from node.mail import thread

    local = STATE.local()
    answer = thread.answer(_head(local, ref))
    terms = _terms(to or [local.get("mail", ref)["did"]], keep, keep_sent)
    content = _composed(
        local,
        terms["to"],
        answer.subject if subject is None else subject,
        _body(text, file),
        attach or [],
        in_reply_to=answer.in_reply_to,
        references=answer.references,
    )
    _report(local, _upload(local, "send", terms, io.BytesIO(content)), wait)


def forward(
    ref: str = typer.Argument(..., metavar="N|CID"),
    file: str | None = FILE,
    text: str | None = TEXT,
    to: list[str] | None = TO,
    subject: str | None = SUBJECT,
    attach: list[str] | None = ATTACH,
    keep: str = KEEP,
    keep_sent: bool | None = KEEP_SENT,
    wait: float | None = WAIT,
) -> None:
    """Passes a message on, whole and untouched, as an attachment.

    Example: willcall forward 3 --to carol -m 'See below.'
    """
    from node.mail import thread
    from node.mail.compose import Attachment

    local, terms = STATE.local(), _terms(to, keep, keep_sent)
    original = b"".join(local.stream("raw", ref))
    passed = Attachment(name="forwarded.eml", type="message/rfc822", data=original)
    content = _composed(
        local,
        terms["to"],
        thread.forwarded_subject(original[:LETTER]) if subject is None else subject,
        _body(text if text is not None or file is not None else "", file),
        attach or [],
        also=[passed],
    )
    _report(local, _upload(local, "send", terms, io.BytesIO(content)), wait)


def _terms(to: list[str] | None, keep: str, keep_sent: bool | None) -> dict[str, Any]:
    names = [name.strip() for each in to or [] for name in each.split(",") if name.strip()]
    if not names:
        raise Usage("nobody to send to", next="--to NAME (willcall contact list)")
    made: dict[str, Any] = {"to": names, "keep": millis(keep)}
    return made if keep_sent is None else made | {"keep_sent": int(keep_sent)}


# --- composing --------------------------------------------------------------------------


def _head(local: Local, ref: str) -> bytes:
    """The first bytes of a message."""
    pieces = local.stream("raw", ref)
    head = b""
    while len(head) < LETTER and (piece := next(pieces, b"")):
        head += piece
    return head


def _composed(
    local: Local,
    to: list[str],
    subject: str,
    text: str,
    attach: list[str],
    *,
    also: Sequence[Any] = (),
    in_reply_to: str | None = None,
    references: Sequence[str] = (),
) -> bytes:
    from node.mail import compose

    people = local.post("resolve", to=to)
    return compose.compose(
        sender=_mailbox(people["from"]),
        to=[_mailbox(person) for person in people["to"]],
        subject=subject,
        text=text,
        date=people["now"],
        message_id=f"<{people['id']}@willcall>",
        in_reply_to=in_reply_to,
        references=references,
        attachments=[*(_attachment(path) for path in attach), *also],
    )


def _mailbox(person: dict[str, Any]) -> Any:
    from node.mail.compose import Mailbox

    return Mailbox(name=person["name"], address=person["address"] or person["did"])


def _attachment(path: str) -> Any:
    import mimetypes

    from node.mail.compose import Attachment

    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    with opened(path) as stream:
        return Attachment(name=Path(path).name, type=kind, data=stream.read())


def _body(text: str | None, path: str | None) -> str:
    """The text as it was given, or from a file."""
    if (text is None) == (path is None):
        raise Usage("give -m TEXT or FILE (- is standard input)", next="-m 'Hello!'")
    if text is not None:
        return text
    assert path is not None
    with opened(path) as stream:
        data = stream.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(
            f"{path} is not UTF-8 text", next="send it as it is with --raw, or with --attach"
        ) from error


def opened(path: str) -> IO[bytes]:
    """A file, or standard input to its end (its size must be known).

    Raises:
        Absent: there is no such file.
        Refused: it may not be read.
    """
    try:
        return _spooled() if path == "-" else open(path, "rb")
    except PermissionError as error:
        raise Refused(f"{path} may not be read by this user") from error
    except OSError as error:
        raise Absent(f"{path}: {error.strerror}", next="is the name right?") from error


def _spooled() -> IO[bytes]:
    """Standard input, as something whose size can be told."""
    import shutil
    import tempfile

    stdin = sys.stdin.buffer
    if stat.S_ISREG(os.fstat(stdin.fileno()).st_mode) and not stdin.tell():
        return stdin
    spool: Any = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115 - the caller closes it
    try:
        shutil.copyfileobj(stdin, spool)
    except OSError as error:
        raise StoreFailed(f"there is no room for a temporary file: {error.strerror}") from error
    spool.seek(0)
    return spool  # type: ignore[no-any-return]


def _upload(local: Local, word: str, terms: dict[str, Any], stream: IO[bytes]) -> Any:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return local.upload(word, terms, stream, size, render.progress(size))


# --- what came of it --------------------------------------------------------------------


def _send_mbox(local: Local, terms: dict[str, Any], path: str, wait: float | None) -> None:
    with opened(path) as stream:
        rows = _upload(local, "mbox", terms, stream)
    done = True
    if wait is not None and rows:
        rows, done = _waited(local, rows, wait)
    if STATE.json:
        render.document(rows)
    else:
        render.line(f"{len(rows)} messages: {_counted(rows)}")
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


def _report(local: Local, row: dict[str, Any], wait: float | None) -> None:
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
        for each in row["deliveries"]:
            render.line("  " + render.delivery(each))
        render.hint(f"willcall status {tail}")
    _check_done(done, wait, f"status {tail}")


def _check_done(done: bool, wait: float | None, then: str) -> None:
    if wait is not None and not done:
        raise NotYet(f"not decided after {wait:g} s; it goes on by itself", next=f"willcall {then}")


def sent(
    only_open: bool = typer.Option(False, "--open", help="Only what is not over."),
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=0, help="The newest N."),
    before: str | None = typer.Option(None, "--before", metavar="CID", help="Older than this one."),
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


def retract(ref: str = typer.Argument(..., metavar="CID")) -> None:
    """Withdraws a message from everyone who has not confirmed it.

    Example: willcall retract 7xk2q4ma
    """
    row = STATE.local().post("retract", ref)
    if STATE.json:
        render.document(row)
    else:
        render.message(row)
