"""`archive …`: lists that are polled: publish them, follow them, read them."""

from typing import Any

import typer

from cli import render, shelving
from cli.state import STATE
from node.errors import Usage

SHOW = (
    "name", "url", "link", "vkey", "size", "root", "followed", "verified_at", "epoch", "access",
    "served", "posting", "reason", "fork",
)  # fmt: skip
ADDED = ("added", "known", "broken", "size")

archives = typer.Typer(
    name="archive", help="Lists that are polled, and can't be rewritten.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(archives)


# --- publishing ----------------------------------------------------------------------------


@archives.command()
def create(
    name: str = typer.Argument(..., help="It stands in its address."),
    posting: str | None = typer.Option(
        None,
        "--posting",
        metavar="WORD",
        help="Mail to you goes in: off (if not told), hold, append.",
    ),
) -> None:
    """A new archive, seen by nobody until it is published.

    Example: willcall archive create kitchen
    """
    row = STATE.local().post("archive", name=name, posting=posting)
    if STATE.json:
        render.document(document(row))
        return
    render.line(f"{row['name']} is there, and empty")
    render.hint(f"willcall archive add {name} FILE, then willcall archive publish {name}")


@archives.command()
def add(
    name: str = typer.Argument(...),
    path: str = typer.Argument(
        ..., metavar="FILE|MBOX|MAILDIR|-", help="A message, an mbox, or a Maildir."
    ),
    form: str | None = typer.Option(
        None,
        "--format",
        metavar="WORD",
        help="message, mboxrd, mboxo or mboxcl2, if not told right.",
    ),
) -> None:
    """Appends messages, byte for byte; what is in the archive already is left out.

    A broken message (without author or date) is kept like any other, and named. What was begun can
    be begun again. Examples: willcall archive add kitchen old.mbox
    willcall archive add kitchen ~/Maildir
    """
    made = shelving.added(STATE.local(), name, path, form)
    row = {word: made[word] for word in ADDED}
    if STATE.json:
        render.document(row)
        return
    known = f", {row['known']} were there already" if row["known"] else ""
    render.line(f"{row['added']} messages added{known}; {name} has {row['size']} entries")
    for line in shelving.complaints(made):
        render.note(line)
    render.hint(f"willcall archive publish {name}")


@archives.command()
def publish(
    name: str = typer.Argument(...),
    new_epoch: bool = typer.Option(
        False, "--new-epoch", help="Begin a new log, with a new key; the old one stays readable."
    ),
) -> None:
    """Serves an archive to everybody; one that you follow: as a mirror.

    Example: willcall archive publish kitchen
    """
    row = STATE.local().post("archive-publish", name, new_epoch=new_epoch or None)
    if STATE.json:
        render.document(document(row))
        return
    render.line(f"{row['name']}, {row['size']} entries: {row['url']}")
    render.line(f"  link: {row['link']}")
    render.hint(f"willcall archive follow '{row['link']}'   (anywhere else)")


@archives.command()
def remove(
    name: str = typer.Argument(...),
    ref: str = typer.Argument(..., metavar="CID|N"),
    reason: str = typer.Option(..., "--reason", metavar="R", help="Why; everybody can read it."),
) -> None:
    """Erases a message's bytes. The log keeps its name, and says that it was removed and why.

    Example: willcall archive remove kitchen 17 --reason "asked for by its author"
    """
    row = STATE.local().post("archive-remove", name, ref=ref, reason=reason)
    if STATE.json:
        render.document(row)
    else:
        render.line(f"message {row['n']} of {name} is erased; whoever mirrors {name} follows")


@archives.command()
def export(
    name: str = typer.Argument(...),
    static: str = typer.Option(..., "--static", metavar="DIR", help="Where the files go."),
) -> None:
    """Writes an archive as plain files, for any web server or object store.

    Again into the same folder: what is new is written, what was removed goes.
    Example: willcall archive export kitchen --static /srv/www
    """
    row = shelving.exported(STATE.local(), name, static)
    if STATE.json:
        render.document(row)
        return
    render.line(f"{row['files']} files, {render.size(row['size'])}: {static}")
    render.line(f"  {row['written']} were new or changed, {row['removed']} went")


@archives.command()
def drop(name: str = typer.Argument(...)) -> None:
    """Deletes an archive of yours with all its messages. What others have of it, they keep.

    Example: willcall archive drop kitchen
    """
    row = STATE.local().post("archive-drop", name)
    if STATE.json:
        render.document(row)
    else:
        render.line(f"{row['name']} is gone")


# --- reading -------------------------------------------------------------------------------


@archives.command()
def show(name: str = typer.Argument(...)) -> None:
    """An archive: where it is, whose key signs it, how large it is.

    Example: willcall archive show kitchen
    """
    row = STATE.local().get("archive", name)
    if STATE.json:
        render.document(document(row))
        return
    kind = "followed" if row["followed"] else "yours"
    render.line(f"{row['name']}  {kind}, {row['size']} entries, epoch {row['epoch']}")
    for word in ("url", "link", "vkey", "root"):
        render.line(f"  {word}: {row[word] or '-'}")
    if row["followed"]:
        render.line(f"  verified: {render.when(row['verified_at']) or 'never'}")
    if row["reason"]:
        render.line(f"  {row['reason']}")
    for note in row["fork"] or ():
        render.line("")
        render.line("\n".join(f"  | {line}" for line in note.splitlines()))


@archives.command("list")
def list_(
    name: str | None = typer.Argument(None, help="Its messages; else all archives."),
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=1, help="20 if not told."),
    before: int | None = typer.Option(None, "--before", metavar="N", help="Earlier ones."),
) -> None:
    """All archives, yours and those you follow; with a NAME its newest messages.

    Examples: willcall archive list    willcall archive list kitchen --limit 50
    """
    local = STATE.local()
    if name is not None:
        _messages(name, local.get("archive-entries", name, limit=limit, before=before))
        return
    rows = local.get("archives")
    if STATE.json:
        render.document([document(row) for row in rows])
        return
    render.table(
        ("name", "kind", "size", "state", "url"),
        [
            (
                row["name"],
                "followed" if row["followed"] else "yours",
                str(row["size"]),
                row["reason"] or ("served" if row["served"] else "-"),
                row["url"] or "-",
            )
            for row in rows
        ],
    )
    if not rows:
        render.note("there are no archives")
        render.hint("willcall archive create NAME, or willcall archive follow URL")


def _messages(name: str, rows: list[dict[str, Any]]) -> None:
    if STATE.json:
        render.document(rows)
        return
    render.table(
        ("n", "date", "from", "size", "subject"),
        [
            (
                str(row["n"]),
                render.when(row.get("date")),
                (row.get("from") or "")[:40],
                "" if row.get("size") is None else render.size(row["size"]),
                _subject(row),
            )
            for row in rows
        ],
    )
    if rows:
        render.hint(f"willcall archive read {name} {rows[-1]['n']}")


def _subject(row: dict[str, Any]) -> str:
    if "removes" in row:
        return f"(removes {row['removes']}: {row['reason']})"
    if row["state"] != "here":
        return f"({row['state']})"
    return row.get("subject") or "(no subject)"


@archives.command()
def read(
    name: str = typer.Argument(...),
    ref: str = typer.Argument(..., metavar="N|CID"),
    raw: bool = typer.Option(False, "--raw", help="The bytes and nothing else."),
    save: str | None = typer.Option(None, "--save", metavar="DIR", help="Writes attachments."),
) -> None:
    """Shows a message of an archive; with --raw its exact bytes.

    Examples: willcall archive read kitchen 17    willcall archive read kitchen 17 --raw > 17.eml
    """
    if raw and save is not None:
        raise Usage("--raw gives the bytes and nothing else", next="leave out --save")
    shelving.read(STATE.local(), name, ref, raw=raw, save=save)


def document(row: dict[str, Any]) -> dict[str, Any]:
    """An archive as programs see it."""
    return {word: row[word] for word in SHOW}
