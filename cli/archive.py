"""`archive …`: lists that are polled: publish them, follow them, read them."""

import sys
from typing import Any

import typer

from cli import render, shelving
from cli.local import Local
from cli.state import STATE
from node.errors import Malformed, Unverified, Usage, WillcallError

SHOW = (
    "name", "url", "link", "vkey", "size", "root", "followed", "verified_at", "epoch", "access",
    "served", "posting", "reason", "addresses", "fork",
)  # fmt: skip
POLLED = ("name", "before", "after", "verified")
ADDED = ("added", "known", "broken", "size")

archives = typer.Typer(
    name="archive", help="Lists that are polled, and can't be rewritten.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    from cli.readers import readers

    archives.add_typer(readers)
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
    private: bool = typer.Option(False, "--private", help="Sealed, for readers that you name."),
) -> None:
    """A new archive, seen by nobody until it is published.

    With --private by its readers alone (archive readers add). That can't be changed later.
    Examples: willcall archive create kitchen    willcall archive create family --private
    """
    row = STATE.local().post("archive", name=name, posting=posting, private=private or None)
    if STATE.json:
        render.document(document(row))
        return
    render.line(f"{row['name']} is there, and empty")
    if private:
        render.hint(f"willcall archive readers add {name} CONTACT")
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

    A broken message (without author or date) is kept like any other, and named. What is too large
    or can't be read is left out and named, and the exit code is 65. What was begun can be begun
    again. Examples: willcall archive add kitchen old.mbox    willcall archive add kitchen ~/Maildir
    """
    local = STATE.local()
    made = shelving.added(local, name, path, form)
    row = {word: made[word] for word in ADDED}
    if STATE.json:
        render.document(row)
    else:
        _added(name, made, served=local.get("archive", name)["served"])
    if made["left"]:
        sys.stdout.flush()
        sys.exit(Malformed.exit_code)


def _added(name: str, made: dict[str, Any], *, served: bool) -> None:
    known = f", {render.many(made['known'], 'was', 'were')} there already" if made["known"] else ""
    render.line(
        f"{render.many(made['added'], 'message')} added{known}; {name} has {_entries(made['size'])}"
    )
    for line in shelving.complaints(made):
        render.note(line)
    render.hint(f"willcall archive {'list' if served else 'publish'} {name}")


@archives.command()
def post(
    name: str = typer.Argument(...),
    refs: list[str] = typer.Argument(..., metavar="N…", help="Letters of the inbox."),
) -> None:
    """Appends letters that came by mail, each with the proof of who wrote it.

    With `create --posting append` that happens by itself. Example: willcall archive post kitchen 3
    """
    row = STATE.local().post("archive-post", name, refs=refs)
    if STATE.json:
        render.document(row)
        return
    known = f", {render.many(row['known'], 'was', 'were')} there already" if row["known"] else ""
    render.line(
        f"{render.many(row['added'], 'letter')} posted{known}; {name} has {_entries(row['size'])}"
    )


@archives.command()
def publish(
    name: str = typer.Argument(...),
    new_epoch: bool = typer.Option(
        False, "--new-epoch", help="Begin a new log, with a new key; the old one stays readable."
    ),
) -> None:
    """Serves an archive to everybody, or to its readers; one that you follow: as a mirror.

    Example: willcall archive publish kitchen
    """
    row = STATE.local().post("archive-publish", name, new_epoch=new_epoch or None)
    if STATE.json:
        render.document(document(row))
        return
    render.line(f"{row['name']}, {_entries(row['size'])}: {row['url']}")
    render.line(f"  link: {row['link']}")
    where = "at a reader's" if row["access"] == "private" else "anywhere else"
    render.hint(f"willcall archive follow '{row['link']}'   ({where})")


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
    """Writes an archive as plain files, pages and feeds too, for any web server or object store.

    Again into the same folder: what changed is written, what was removed goes.
    Example: willcall archive export kitchen --static /srv/www
    """
    from cli import siting

    row = siting.exported(STATE.local(), name, static)
    if STATE.json:
        render.document(row)
        return
    render.line(f"{row['files']} files, {render.size(row['size'])}: {static}")
    render.line(f"  {row['written']} were new or changed, {row['removed']} went")


@archives.command()
def drop(
    name: str = typer.Argument(...),
    yes: bool = typer.Option(False, "--yes", help="Don't ask; nobody is asked but on a terminal."),
) -> None:
    """Deletes an archive of yours with all its messages. What others have of it, they keep.

    Example: willcall archive drop kitchen
    """
    if not (yes or STATE.json) and sys.stdin.isatty() and sys.stderr.isatty():
        _asked(name)
    row = STATE.local().post("archive-drop", name)
    if STATE.json:
        render.document(row)
    else:
        render.line(f"{row['name']} is gone")


def _asked(name: str) -> None:
    """Raises Malformed unless a person wants to lose an archive."""
    size = _entries(STATE.local().get("archive", name)["size"])
    sys.stderr.write(f"{name} has {size}, and all of it goes for ever. Type yes to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != "yes":
        raise Malformed(
            f"cancelled: {name} is as it was",
            reason="cancelled",
            next=f"willcall archive export {name} --static DIR keeps a copy of it",
        )


# --- following ----------------------------------------------------------------------------


@archives.command()
def follow(
    urls: list[str] = typer.Argument(..., metavar="URL|LINK…", help="Several: mirrors of one."),
    name: str | None = typer.Option(None, "--as", metavar="NAME", help="What you call it."),
) -> None:
    """Follows an archive: it is polled from now on, and nobody knows.

    A LINK holds its owner's key; of a URL alone the key that is met first is kept. With several
    addresses all of them are asked, one after the other.
    Example: willcall archive follow https://example.org/archives/kitchen/
    """
    with render.patience("asking there"):
        row = STATE.local().post("archive-follow", urls=urls, name=name)
    if STATE.json:
        render.document(document(row))
        return
    render.line(f"{row['name']} is followed; its messages are on their way")
    render.line(f"  signed by {row['link'].partition('#')[2]}")
    render.hint(f"willcall archive poll {row['name']}, then willcall archive list {row['name']}")


@archives.command()
def poll(
    name: str | None = typer.Argument(None, help="Which; else all that you follow."),
    by: str | None = typer.Option(
        None, "--from", metavar="URL", help="Ask there; an own archive catches up there."
    ),
) -> None:
    """Asks now for what is new, and verifies it to the last byte.

    Examples: willcall archive poll    willcall archive poll kitchen
    """
    local = STATE.local()
    if name is not None:
        with render.patience("fetching and verifying"):
            row = local.post("archive-poll", name, **{"from": by})
        _polled([row], one=True)
        return
    if by is not None:
        raise Usage("--from is for one archive", next="willcall archive poll NAME --from URL")
    rows = [_one(local, row["name"]) for row in local.get("archives") if row["followed"]]
    _polled(rows)
    if failed := [row["exit"] for row in rows if "exit" in row]:
        sys.stdout.flush()
        sys.exit(min(failed))  # what does not hold is worse than silence


def _one(local: Local, name: str) -> dict[str, Any]:
    """A poll of one among all: what fails is told in its line, and by the exit code in the end."""
    try:
        made: dict[str, Any] = local.post("archive-poll", name)
        return made
    except WillcallError as error:
        row = local.get("archive", name)
        return {"name": name, "before": row["size"], "after": row["size"], "verified": False,
                "reason": error.text, "exit": error.exit_code}  # fmt: skip


def _polled(rows: list[dict[str, Any]], *, one: bool = False) -> None:
    shown = [_poll(row) for row in rows]
    if STATE.json:
        render.document(shown[0] if one else shown)
        return
    for row in rows:
        new = row["after"] - row["before"]
        said = f"{new} new" if new else "nothing new"
        if row.get("epoch"):
            said = f"a new log, epoch {row['epoch']}; {said}"
        said = row.get("reason") or f"{said}, {_entries(row['after'])}"
        render.line(f"{row['name']}: {said}")
        if row.get("missing"):
            render.note(f"({_missing(row['missing'])})")
    if not rows:
        render.note("no archive is followed")
        render.hint("willcall archive follow URL")


def _poll(row: dict[str, Any]) -> dict[str, Any]:
    """A poll as programs see it: one that is not verified says why."""
    made = {word: row[word] for word in POLLED}
    if not row["verified"]:
        made["reason"] = row.get("reason") or _missing(row["missing"])
    return made


def _missing(count: int) -> str:
    found = render.many(count, "message is", "messages are")
    return f"{found} served by nobody, or not as {'it' if count == 1 else 'they'} should be"


@archives.command()
def verify(name: str = typer.Argument(...)) -> None:
    """Computes all of an archive again from what is stored here: entries, bytes, signatures.

    Example: willcall archive verify kitchen
    """
    with render.patience("hashing"):
        row = STATE.local().post("archive-verify", name)
    forked = row.pop("forked")
    if STATE.json:
        render.document(row)
    else:
        found = render.many(row["messages"], "message")
        render.line(f"{name}: {_entries(row['size'])} and {found} verified")
        if row["reason"]:
            render.note(f"({row['reason']})")
            render.hint(f"willcall archive {'show' if forked else 'poll'} {name}")
    if forked:
        sys.stdout.flush()
        sys.exit(Unverified.exit_code)


@archives.command()
def unfollow(name: str = typer.Argument(...)) -> None:
    """Polls an archive no more, and deletes what is here of it.

    Example: willcall archive unfollow kitchen
    """
    row = STATE.local().post("archive-unfollow", name)
    if STATE.json:
        render.document(row)
    else:
        render.line(f"{row['name']} is not followed any more")


@archives.command()
def feed(
    name: str = typer.Argument(...),
    device: str | None = typer.Option(None, "--device", metavar="WORD", help="Where it is read."),
) -> None:
    """A new address at which an archive is read on this machine: feeds and pages, opened.

    It holds a token that opens this archive alone, and is shown once. willcall owner tokens
    lists it, willcall owner token NAME --revoke ID ends it. Example: willcall archive feed family
    """
    row = STATE.local().post("archive-feed", name, device=device)
    if STATE.json:
        render.document(row)
        return
    render.line(row["atom"])
    render.line(f"  {row['json']}")
    render.line(f"  {row['url']}")
    render.line(f"  token {row['id']}: whoever has the address reads {name}")


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
    kind += ", private" if row["access"] == "private" else ""
    render.line(f"{row['name']}  {kind}, {_entries(row['size'])}, epoch {row['epoch']}")
    for word in ("url", "link", "vkey", "root"):
        render.line(f"  {word}: {row[word] or '-'}")
    for url in row["addresses"]:
        render.line(f"  asked: {url}")
    if row["followed"]:
        render.line(f"  verified: {render.when(row['verified_at']) or 'never'}")
    if row["reason"]:
        render.line(f"  {row['reason']}")
    for note in row["fork"] or ():
        render.line("")
        for text in note.splitlines():
            render.line(f"  | {text}")


@archives.command("list")
def list_(
    name: str | None = typer.Argument(None, help="Its messages; else all archives."),
    limit: int | None = typer.Option(None, "--limit", metavar="N", min=1, help="20 if not told."),
    before: int | None = typer.Option(None, "--before", metavar="N", help="Earlier ones."),
    epoch: int | None = typer.Option(None, "--epoch", metavar="N", help="Of an older log."),
) -> None:
    """All archives, yours and those you follow; with a NAME its newest messages.

    A message of an older log is read by its CID, or the last 8 characters of it.
    Examples: willcall archive list    willcall archive list kitchen --limit 50
    """
    local = STATE.local()
    if name is not None:
        told = _told(local, name, limit, before, epoch)
        _messages(name, told, by_name=epoch is not None)
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


def _told(
    local: Local, name: str, limit: int | None, before: int | None, epoch: int | None
) -> list[dict[str, Any]]:
    """Messages, asked for piece by piece: one answer has so many at most."""
    found: list[dict[str, Any]] = []
    while True:
        left = None if limit is None else limit - len(found)
        some = local.get("archive-entries", name, limit=left, before=before, epoch=epoch)
        found[:0] = some
        if limit is None or len(found) >= limit or not some or not some[0]["n"]:
            return found
        before = some[0]["n"]


def _entries(count: int) -> str:
    return render.many(count, "entry", "entries")


def _messages(name: str, rows: list[dict[str, Any]], *, by_name: bool) -> None:
    if STATE.json:
        render.document(rows)
        return
    words = [(row["message"] or "")[-8:] if by_name else str(row["n"]) for row in rows]
    render.table(
        ("message" if by_name else "n", "date", "from", "size", "subject"),
        [
            (
                word,
                render.when(row.get("date")),
                (row.get("from") or "")[:40],
                "" if row.get("size") is None else render.size(row["size"]),
                _subject(row),
            )
            for word, row in zip(words, rows, strict=True)
        ],
    )
    if rows:
        render.hint(f"willcall archive read {name} {words[-1]}")


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
