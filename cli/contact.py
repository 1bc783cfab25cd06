"""`contact add | list | show | verify | rename | block | unblock | remove`."""

from typing import Any

import typer

from cli import completing, reasons, render
from cli.state import STATE

ROW = ("name", "did", "address", "origin", "lane", "mutual", "blocked", "added", "verified")
SHOWN = (
    *ROW, "origins", "says", "heard", "keyed", "issued", "expires", "was", "heir", "followed",
    "trouble",
)  # fmt: skip
TIMES = frozenset({"added", "verified", "heard", "keyed", "issued", "expires", "followed"})

contacts = typer.Typer(
    name="contact", help="People you exchange mail with.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(contacts)


@contacts.command()
def add(
    link: str = typer.Argument(..., metavar="LINK|ADDRESS", help="An invite link, or an address."),
    name: str | None = typer.Option(None, "--as", metavar="NAME", help="What you call them."),
) -> None:
    """Adds a contact; waits up to 10 s for the other side.

    Examples: willcall contact add 'https://host:4625/i/z6Mk…#…' --as ben
    willcall contact add anna@example.org
    """
    with render.patience("asking the other side, up to 10 s"):
        row = STATE.local().post("contacts", link=link, name=name)
    if STATE.json:
        render.document(document(row))
        return
    if row["mutual"]:
        render.line(f"{row['name']} is a contact, and has you as one")
        render.hint(f"willcall send --to {row['name']} -s Hello -m 'Hello!'")
    else:
        render.line(f"{row['name']} is noted; {reasons.joining(row['trouble'])}")
        render.hint("willcall contact list")


def document(row: dict[str, Any]) -> dict[str, Any]:
    """A contact as programs see it."""
    return {word: row[word] for word in ROW}


@contacts.command("list")
def list_(
    blocked: bool = typer.Option(
        False, "--blocked", help="Instead: keys, domains and networks that are blocked."
    ),
) -> None:
    """All contacts.

    Examples: willcall contact list    willcall contact list --blocked
    """
    if blocked:
        _blocked(STATE.local().get("barred"))
        return
    rows = STATE.local().get("contacts")
    if STATE.json:
        render.document([document(row) for row in rows])
        return
    if not rows:
        render.note("no contacts yet")
        render.hint("willcall invite, or willcall contact add LINK")
        return
    render.table(
        ("name", "lane", "mutual", "verified", "origin", "did"),
        [
            (
                row["name"],
                row["lane"],
                "yes" if row["mutual"] else "no",
                "yes" if row["verified"] else "no",
                row["origin"] or "",
                row["did"],
            )
            for row in rows
        ],
    )
    say_who_was_replaced(rows)


def _blocked(rows: list[dict[str, Any]]) -> None:
    if STATE.json:
        render.document(rows)
        return
    if not rows:
        render.note("nothing is blocked")
        return
    table = [(row["word"], row["name"] or "-", render.when(row["at"]) or "-") for row in rows]
    render.table(("blocked", "name", "since"), table)
    render.hint(f"to undo it: willcall contact unblock {rows[-1]['word']}")


def say_who_was_replaced(rows: list[dict[str, Any]]) -> None:
    """Contacts that go on with another key, until the six words were compared with them."""
    for row in rows:
        if row["heir"]:
            render.note(f"the key of {row['name']} was replaced; mail to it goes to {row['heir']}")
        elif row["was"] and not row["verified"]:
            render.note(
                f"{row['name']} has a new key since {render.when(row['followed'])} UTC: their old "
                "key and their recovery phrase signed that. The old one is refused."
            )
            render.note(f"To be sure of it: willcall contact verify {row['name']}")


def _changed(contact: str, action: str, name: str | None = None) -> dict[str, Any] | None:
    """The changed row; None where its document was what was asked for."""
    row: dict[str, Any] = STATE.local().post("contact", contact=contact, action=action, name=name)
    if STATE.json:
        render.document(document(row))
        return None
    return row


@contacts.command()
def show(
    contact: str = typer.Argument(..., metavar="NAME|DID", autocompletion=completing.contact),
) -> None:
    """All that is known of one contact.

    `says`: what they call themselves. `heard`: the last sign of life, to the hour. `keyed`: since
    when their sealing key is the same. `was`, `heir`, `followed`: their key before and after
    a replacement, and when that was learnt. `trouble`: why they are not reached now.
    Example: willcall contact show ben
    """
    row = STATE.local().post("contact", contact=contact, action="show")
    if STATE.json:
        render.document({word: row[word] for word in SHOWN})
        return
    for word in SHOWN:
        render.line(f"{word + ':':<10}{_shown(word, row[word])}")
    if row["trouble"]:
        render.note(reasons.joining(row["trouble"]))
    if not row["verified"]:
        render.hint(f"willcall contact verify {contact}")


def _shown(word: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return (render.when(value) if word in TIMES else value) or "-"


@contacts.command()
def verify(
    contact: str = typer.Argument(..., metavar="NAME|DID", autocompletion=completing.contact),
    yes: bool = typer.Option(False, "--yes", help="They saw the same six words: note it."),
) -> None:
    """Six words that both of you see if nobody stands between you.

    Compare them over the phone or face to face, not by mail. Each word, and their order.
    Examples: willcall contact verify ben    willcall contact verify ben --yes
    """
    row = STATE.local().post("verify", contact=contact, confirmed=yes)
    if STATE.json:
        render.document({word: row[word] for word in ("name", "did", "words", "verified")})
        return
    render.line(row["words"])
    who = row["name"] or row["did"]
    if yes:
        render.line(f"{who} is verified: this key is the person you compared with")
        return
    render.line(f"Compare with {who}, who sees them by: willcall contact verify YOUR-NAME-THERE")
    render.line("If one word differs, this key is somebody else's: don't write to it.")
    render.hint(f"all six the same? willcall contact verify {contact} --yes")


@contacts.command()
def rename(
    contact: str = typer.Argument(..., metavar="NAME|DID", autocompletion=completing.contact),
    name: str = typer.Argument(..., metavar="NEW"),
) -> None:
    """Calls a contact something else; only you see it.

    Example: willcall contact rename ben benjamin
    """
    row = _changed(contact, "rename", name)
    if row is not None:
        render.line(f"{contact} is {row['name']} now; only you see that name")


@contacts.command()
def block(
    contact: str = typer.Argument(
        ..., metavar="NAME|DID|DOMAIN|NETWORK", autocompletion=completing.contact
    ),
) -> None:
    """Their mail is never shown again, and they can't tell.

    A key (DID), contact or not; or a domain, or an address for its network (/24, IPv6: /48):
    nothing of strangers is taken from there.
    Examples: willcall contact block ben    willcall contact block example.org
    """
    if is_place(contact):
        _barred(contact, free=False)
        return
    row = _changed(contact, "block")
    if row is not None:
        render.line(f"{row['name'] or row['did']} is blocked: what they send is not taken any more")
        render.hint(f"to undo it: willcall contact unblock {contact}")


def is_place(text: str) -> bool:
    """Whether a domain or an address is meant: a name may hold a dot, but then it is known."""
    if text.startswith("did:") or "@" in text or not ("." in text or ":" in text):
        return False
    return all(row["name"] != text for row in STATE.local().get("contacts"))


def _barred(word: str, *, free: bool) -> None:
    row = STATE.local().post("bar", word=word, free=free)
    if STATE.json:
        render.document(row)
    elif free:
        render.line(f"{row['word']} is not blocked: strangers from there are heard")
    else:
        render.line(f"{row['word']} is blocked: nothing of strangers is taken from there")
        render.hint(f"to undo it: willcall contact unblock {row['word']}")


@contacts.command()
def unblock(
    contact: str = typer.Argument(
        ..., metavar="NAME|DID|DOMAIN|NETWORK", autocompletion=completing.contact
    ),
) -> None:
    """Hears them again, and asks at once what waits at theirs.

    Example: willcall contact unblock ben
    """
    if is_place(contact):
        _barred(contact, free=True)
        return
    row = _changed(contact, "unblock")
    if row is not None:
        render.line(f"{row['name'] or row['did']} is not blocked")


@contacts.command()
def remove(
    contact: str = typer.Argument(..., metavar="NAME|DID", autocompletion=completing.contact),
) -> None:
    """Forgets a contact, who is a stranger then. Mail on its way to them goes on.

    Example: willcall contact remove ben
    """
    row = _changed(contact, "remove")
    if row is not None:
        render.line(f"{row['name'] or row['did']} is no contact any more")
        render.hint("mail on its way to them: willcall sent --open, willcall retract CID")
