"""`send reply forward`: mail that goes out."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from cli import completing, composing, drafts, render
from cli.local import Local
from cli.sent import report, report_all
from cli.state import STATE
from node.errors import Usage

if TYPE_CHECKING:
    from node.mail.letter import Letter

TO = typer.Option(
    None,
    "--to",
    metavar="NAME|DID|ADDRESS",
    autocompletion=completing.recipient,
    help="Repeatable, or with commas.",
)
CC = typer.Option(
    None,
    "--cc",
    metavar="NAME|DID|ADDRESS",
    autocompletion=completing.recipient,
    help="The same, for their information.",
)
BCC = typer.Option(
    None,
    "--bcc",
    metavar="NAME|DID|ADDRESS",
    autocompletion=completing.recipient,
    help="The same; nobody sees them.",
)
SUBJECT = typer.Option(None, "--subject", "-s", metavar="TEXT")
TEXT = typer.Option(None, "-m", "--message", metavar="TEXT", help="The text itself.")
FILE = typer.Argument(None, metavar="[FILE|-]", help="The text; - is standard input.")
ATTACH = typer.Option(None, "--attach", metavar="FILE", help="Repeatable.")
KEEP = typer.Option(
    composing.KEEP, "--keep", metavar="SPAN", help="How long it waits for its addressee."
)
KEEP_SENT = typer.Option(None, "--keep-sent/--drop-sent", help="After confirmation and grace.")
WAIT = typer.Option(None, "--wait", metavar="SECONDS", min=0, help="Until it is decided.")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(send)
    app.command()(reply)
    app.command()(forward)


def send(
    file: str | None = FILE,
    to: list[str] | None = TO,
    cc: list[str] | None = CC,
    bcc: list[str] | None = BCC,
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

    On a terminal, without a text, your editor opens ($VISUAL, $EDITOR). Attached files grow by
    37 % in mail: 46 MiB of them fit into the usual 64 MiB (capacity.message in config.toml), which
    the other node has to take too. What is over 10 MiB waits here until it is called for.

    Examples: willcall send --to ben -s Hi -m 'Hello!'    willcall send --to ben --raw letter.eml
    """
    given = [word for word in (file, text, raw, mbox) if word is not None]
    if len(given) > 1 or not (given or attach or _has_person()):
        raise Usage(
            "give one of -m TEXT, FILE, --raw FILE or --mbox FILE",
            next="-m 'Hello!', or - for standard input",
        )
    if (raw or mbox) and (attach or subject):
        raise Usage("--raw and --mbox leave messages untouched", next="no -s and no --attach")
    local = STATE.local()
    letter = _letter(to, cc, bcc, subject or "", attach, keep, keep_sent)
    if raw is None and mbox is None:
        _post(local, letter, composing.text_of(text, file), wait)
        return
    terms = composing.terms(letter)
    with composing.opened(raw or mbox or "") as stream:
        if mbox is not None:
            report_all(local, composing.upload(local, "mbox", terms, stream), wait)
        else:
            report(local, composing.upload(local, "send", terms, stream), wait)


def reply(
    ref: str = typer.Argument(..., metavar="N|CID", autocompletion=completing.received),
    file: str | None = FILE,
    text: str | None = TEXT,
    everybody: bool = typer.Option(False, "--all", help="And everybody in its To and Cc."),
    to: list[str] | None = TO,
    cc: list[str] | None = CC,
    bcc: list[str] | None = BCC,
    subject: str | None = SUBJECT,
    attach: list[str] | None = ATTACH,
    keep: str = KEEP,
    keep_sent: bool | None = KEEP_SENT,
    wait: float | None = WAIT,
) -> None:
    """Answers a message: to its sender, in its conversation.

    On a terminal, without a text, your editor opens with the original quoted.

    Examples: willcall reply 3 -m 'Thank you!'    willcall reply 3 --all -m 'At nine, then.'
    """
    from node.mail import thread

    local = STATE.local()
    head = composing.head(local, ref)
    answer = thread.answer(head).subject if subject is None else subject
    to = to or [_sender(local, ref)]
    if everybody:
        cc = [*(cc or []), *_others(local, head)]
    letter = _letter(to, cc, bcc, answer, attach, keep, keep_sent, answers=ref)
    _post(local, letter, composing.text_of(text, file), wait)


def forward(
    ref: str = typer.Argument(..., metavar="N|CID", autocompletion=completing.received),
    file: str | None = FILE,
    text: str | None = TEXT,
    to: list[str] | None = TO,
    cc: list[str] | None = CC,
    bcc: list[str] | None = BCC,
    subject: str | None = SUBJECT,
    attach: list[str] | None = ATTACH,
    keep: str = KEEP,
    keep_sent: bool | None = KEEP_SENT,
    wait: float | None = WAIT,
) -> None:
    """Passes a message on, whole and untouched, as an attachment.

    On a terminal, without a text, your editor opens; -m '' adds none.

    Example: willcall forward 3 --to carol -m 'See below.'
    """
    from node.mail import thread

    local = STATE.local()
    if subject is None:
        subject = thread.forwarded_subject(composing.head(local, ref))
    letter = _letter(to, cc, bcc, subject, attach, keep, keep_sent, forwards=ref)
    words = composing.text_of(text, file)
    if words is None and not _has_person():
        words = ""
    _post(local, letter, words, wait)


def _letter(
    to: list[str] | None,
    cc: list[str] | None,
    bcc: list[str] | None,
    subject: str,
    attach: list[str] | None,
    keep: str,
    keep_sent: bool | None,
    **original: str,
) -> "Letter":
    from node.mail.letter import Letter, names

    return Letter(
        to=names(to or ()),
        cc=names(cc or ()),
        bcc=names(bcc or ()),
        subject=subject,
        attach=tuple(attach or ()),
        keep="" if keep == composing.KEEP else keep,
        keep_sent={None: "", True: "yes", False: "no"}[keep_sent],
        owner=STATE.owner or "",
        **original,
    )


def _has_person() -> bool:
    """Whether somebody sits there who can write in an editor."""
    return not STATE.json and sys.stdin.isatty() and sys.stdout.isatty()


def _sender(local: Local, ref: str) -> str:
    row = local.get("mail", ref)
    if row["did"] is None:
        raise Usage("this was imported: nobody is known to have sent it", next="--to NAME")
    return str(row["did"])


def _others(local: Local, head: bytes) -> list[str]:
    """Who else is to get an answer to all: those in To and Cc that can be reached."""
    from node.mail import thread

    to, cc = thread.addressed(head)
    me = local.get("whoami")["did"]
    found = dict.fromkeys(each for each in to + cc if not each.startswith(me))
    left_out = [each for each in found if not each.startswith("did:key:")]
    if left_out:
        render.note(f"left out, not addresses of willcall: {', '.join(left_out)}")
    return [each for each in found if each not in left_out]


def _post(local: Local, letter: "Letter", text: str | None, wait: float | None) -> None:
    """Sends a letter; without words, once its author has written them."""
    if text is None and letter.attach and not _has_person():
        text = ""
    if text is None and not _has_person():
        raise Usage("give -m TEXT or FILE (- is standard input)", next="-m 'Hello!'")
    if text is None:
        drafts.begin(local, letter, wait)
    else:
        report(local, composing.send(local, replace(letter, text=text)), wait)
