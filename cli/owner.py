"""`owner add | rename | quota | remove | list | token | tokens`: whose mail this node keeps."""

from typing import Any

import typer

from cli import completing, phrase, render
from cli.state import STATE
from node.errors import StoreFailed, Usage

owners = typer.Typer(
    name="owner", help="Whose mail this node keeps.", no_args_is_help=True, rich_markup_mode=None
)

OPENS = {"owner": "the mailbox", "monitor": "the node's numbers", "archive": "one archive's feed"}
"""What a token opens, for people."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(owners)


@owners.command()
def add(
    name: str = typer.Argument(..., metavar="NAME"),
    quota: str | None = typer.Option(None, "--quota", metavar="SIZE", help="Like 5GiB."),
    recover: bool = typer.Option(False, "--recover", help="Read the 24 words from stdin."),
) -> None:
    """A new owner with fresh keys; prints the recovery phrase once.

    With --recover it is who the words say, with no mail and no contacts.
    Examples: willcall owner add ben --quota 2GiB    willcall owner add ben --recover < words.txt
    """
    words = phrase.asked() if recover else None
    row = STATE.local().post("owners", name=name, quota=quota, recover=words)
    if STATE.json:
        render.document(row)
        return
    render.line(f"{row['name']}: {row['did']}")
    if row["recovery_phrase"] is None:
        render.line("The same person as before, but without contacts: add each again by address.")
        render.hint(f"willcall --owner {row['name']} contact add ADDRESS")
        return
    phrase.show("The recovery phrase of this owner", row["recovery_phrase"])
    render.hint(f"willcall --owner {row['name']} invite")


@owners.command()
def rename(
    name: str = typer.Argument(..., metavar="NAME", autocompletion=completing.owner),
    new: str = typer.Argument(..., metavar="NEW"),
) -> None:
    """Another name: here, and as a wish for contacts who meet you from now on.

    Those who have you as a contact keep what they call you.
    Example: willcall owner rename ben benjamin
    """
    row = STATE.local().post("rename", name, name=new)
    if STATE.json:
        render.document(row)
    else:
        render.line(f"{name} is {row['name']} now")


@owners.command()
def quota(
    name: str = typer.Argument(..., metavar="NAME", autocompletion=completing.owner),
    size: str = typer.Argument(..., metavar="SIZE", help="Like 5GiB."),
) -> None:
    """Another quota for an owner who is here already.

    Mail that waited only for room comes at once. Less than is used deletes nothing: what comes then
    waits at its senders, and sending is refused, until there is room.
    Example: willcall owner quota ben 10GiB
    """
    row = STATE.local().post("quota", name, quota=size)
    if STATE.json:
        render.document(row)
        return
    limit, used = row["quota"]["limit"], sum(row["quota"]["used"].values())
    render.line(f"{row['name']} has {render.size(limit)} now, and uses {render.size(used)}")
    if used > limit:
        render.hint(f"it is over its quota: willcall --owner {row['name']} quota --by state")


@owners.command()
def remove(
    name: str = typer.Argument(...),
    mbox: str | None = typer.Option(None, "--mbox", metavar="FILE", help="Export there first."),
    maildir: str | None = typer.Option(
        None, "--maildir", metavar="DIR", help="Export there first, a file for each message."
    ),
    without: bool = typer.Option(False, "--without-export", help="Its mail is not wanted."),
) -> None:
    """Removes an owner and all its mail from this node, for ever; exports the mail first.

    What nobody has confirmed yet is withdrawn, and who was told of it hears that. Its 24 words
    still are the same person, at any node. The last owner can't be removed.

    Examples: willcall owner remove ben --mbox ben.mbox
    willcall owner remove ben --without-export
    """
    if sum((mbox is not None, maildir is not None, without)) > 1 or mbox == "-":
        raise Usage(
            "give one of --mbox FILE, --maildir DIR, --without-export", next="--mbox ben.mbox"
        )
    local, mark = STATE.local(), None
    found = local.get("leaving", name)
    if mbox is not None or maildir is not None:
        _check_can_go(local, name, found)
        mark = found["mark"]
        _exported(name, mbox, maildir)
    with render.patience("telling those who have not confirmed yet"):
        row = local.post("remove", name, exported=mark, without_export=without or None)
    if STATE.json:
        render.document(row)
        return
    render.line(f"{row['name']} is removed; {render.size(row['freed'])} are free again")
    if row["withdrawn"]:
        render.line(f"withdrawn, because not confirmed yet: {row['withdrawn']}")
    if row["untold"]:
        render.note(f"(not told, because their nodes do not answer: {row['untold']})")
    if found["waiting"]:
        render.note(f"({found['waiting']} letters still waited at their senders)")
    if found["first"]:
        render.note("backups open with the words of the next owner from now on: " + row["first"])


def _check_can_go(local: Any, name: str, found: dict[str, Any]) -> None:
    """Whoever can't be removed is not exported for nothing: the node says why."""
    if found["last"] or found["archives"]:
        local.post("remove", name)


def _exported(name: str, mbox: str | None, maildir: str | None) -> None:
    from cli import exporting

    STATE.owner = name
    count = exporting.written("all", mbox, maildir)
    STATE.owner = None
    render.note(f"{count}: {mbox or maildir}") if not STATE.json else None
    if count.broken:
        raise StoreFailed(
            f"{count.broken} messages can't be read, so {name} was not removed",
            next="restore a backup for them, or --without-export",
        )


@owners.command("list")
def list_() -> None:
    """All owners of this node.

    Example: willcall owner list
    """
    rows = STATE.local().get("owners")
    if STATE.json:
        render.document(rows)
        return
    render.table(
        ("name", "used", "limit", "did"),
        [
            (
                row["name"],
                render.size(sum(row["quota"]["used"].values())),
                render.size(row["quota"]["limit"]),
                row["did"],
            )
            for row in rows
        ],
    )


@owners.command()
def token(
    name: str = typer.Argument(..., metavar="NAME", autocompletion=completing.owner),
    device: str | None = typer.Option(None, "--device", metavar="LABEL", help="Where it will be."),
    revoke: str | None = typer.Option(None, "--revoke", metavar="ID", help="Voids this one."),
    monitor: bool = typer.Option(False, "--monitor", help="For GET /metrics and /health alone."),
) -> None:
    """A new token: it opens this owner's mailbox from one device, and nothing else.

    With --monitor it opens no mailbox, but the node's numbers. It is shown once and kept nowhere.
    Examples: willcall owner token ben --device laptop
    willcall owner token ben --revoke 5f2c9a01
    """
    if revoke is not None:
        _revoke(name, revoke)
        return
    row = STATE.local().post("token", name, device=device, monitor=monitor or None)
    if STATE.json:
        render.document(row)
        return
    render.line(row["token"])
    render.note(f"Token {row['id']} of {name}. It is shown once and kept nowhere.")
    render.hint(f"willcall owner tokens {name}")


def _revoke(name: str, id: str) -> None:
    row = STATE.local().post("revoke", name, id=id)
    if STATE.json:
        render.document(row)
    else:
        render.line(f"token {row['id']} of {name} opens nothing any more")


@owners.command()
def tokens(
    name: str = typer.Argument(..., metavar="NAME", autocompletion=completing.owner),
) -> None:
    """The tokens of an owner: where each is, and the day it was last used.

    Example: willcall owner tokens ben
    """
    rows = STATE.local().get("tokens", name)
    if STATE.json:
        render.document(rows)
        return
    render.table(
        ("id", "device", "opens", "made", "last used"),
        [
            (
                row["id"],
                row["device"] or "-",
                OPENS[row["opens"]],
                render.when(row["made"]),
                row["used"] or "never",
            )
            for row in rows
        ],
    )
    if not rows:
        render.note(f"{name} has no tokens")
        render.hint(f"willcall owner token {name} --device laptop")
