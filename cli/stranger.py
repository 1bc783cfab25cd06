"""`held allow deny storm report policy`: what strangers have pending, and what is made of it."""

import json
import sys
from pathlib import Path
from typing import Any

import typer

from cli import completing, contact, render
from cli.state import STATE
from node.errors import Absent, Malformed, Usage

policy = typer.Typer(
    name="policy", help="Which rule decides about strangers, and why.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(held)
    app.command()(allow)
    app.command()(deny)
    app.command()(storm)
    app.command()(report)
    app.add_typer(policy)


def held(
    raw: bool = typer.Option(
        False, "--raw", help="The notifications as they came, for `policy try`; shown or not."
    ),
) -> None:
    """What strangers have pending: facts, not text. None of it was fetched.

    Shown is whose node answered twice, an hour apart. Example: willcall held
    """
    if raw:
        render.document(STATE.local().get("held", "raw"))
        return
    rows = STATE.local().get("held")
    if STATE.json:
        render.document(rows)
        return
    if not rows:
        render.note("nothing is held")
        return
    render.table(
        ("message", "size", "origin", "domain", "since", "remarks", "received", "did"),
        [
            (
                render.tail(row["message"]) or "(introduction)",
                "" if row["size"] is None else render.size(row["size"]),
                row["origin"] or "",
                _domain(row["facts"]),
                _since(row["facts"]),
                _remarks(row["facts"]),
                render.when(row["received"]),
                row["did"],
            )
            for row in rows
        ],
    )
    render.hint(
        "willcall allow MESSAGE (this one) or DID (a contact), or willcall deny MESSAGE|DID"
    )


def _domain(facts: dict[str, Any]) -> str:
    if facts["proven"]:
        return f"{facts['domain']} (proven)"
    return f"{facts['domain']} (claimed)" if facts["domain"] else "none"


def _since(facts: dict[str, Any]) -> str:
    if facts["registered"]:
        return f"registered {facts['registered'][:10]}"
    return f"seen {facts['first_seen'][:10]}" if facts["first_seen"] else "unknown"


def _remarks(facts: dict[str, Any]) -> str:
    said = list(facts["marks"])
    if facts["contact_before"]:
        said.append("was a contact")
    if facts["introducers"]:
        said.append(f"introduced by {', '.join(facts['introducers'])}")
    if facts["named"] is not None:
        said.append("named by its domain" if facts["named"] else "not named by its domain")
    if facts["kept"] or facts["broken"]:
        said.append(f"kept {facts['kept']}, broke {facts['broken']}")
    return ", ".join(said) or "-"


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


def storm(state: str = typer.Argument("", metavar="[on|off]")) -> None:
    """Nothing is taken from strangers, nor worked on; contacts go on. For a flood.

    Strangers are told the same as ever, and try again by themselves. Example: willcall storm on
    """
    if state not in ("", "on", "off"):
        raise Usage(f"{state[:20]!r} is neither on nor off", next="willcall storm on")
    local = STATE.local()
    row = local.post("storm", on=state == "on") if state else local.get("storm")
    if STATE.json:
        render.document(row)
    elif row["storm"]:
        render.line(f"storm since {render.when(row['since'])}: strangers are not heard")
        render.hint("willcall storm off")
    else:
        render.line("no storm: strangers are heard")


def report(
    ref: str = typer.Argument("", metavar="CID|N"),
    check: Path | None = typer.Option(
        None, "--verify", metavar="FILE", help="Checks a report instead; needs no node."
    ),
) -> None:
    """Evidence of one message, for whoever answers for its domain: who sent what, and when.

    It can be checked offline, and years later. Examples: willcall report 7xk2q4ma > spam.json
    willcall report --verify spam.json
    """
    if check is not None:
        _checked(check)
        return
    if not ref:
        raise Usage("which message?", next="willcall held, willcall inbox")
    made = STATE.local().get("report", ref)
    render.document(made)
    render.hint("willcall report --verify FILE shows what it proves")


def _checked(path: Path) -> None:
    from node import daemon

    proved = daemon.verify_report(_read(path))
    if STATE.json:
        render.document(proved)
        return
    said, text = proved.pop("said"), proved.pop("text", None)
    render.line("Every signature in it holds. Its author signed:")
    for word, value in proved.items():
        shown = render.size(value) if word == "size" else _fact(value)
        render.line(f"  {word + ':':<14}{shown}")
    if text is not None:
        render.line("  text:")
        for each in text.splitlines():
            render.line(f"  | {each}")
    render.line("Only the reporter says so:")
    for word, value in said.items():
        render.line(f"  {word + ':':<14}{value or '-'}")


@policy.command()
def explain(ref: str = typer.Argument(..., metavar="CID|DID|N")) -> None:
    """Which rule decided about a message, and on what evidence.

    Example: willcall policy explain 7xk2q4ma
    """
    row = STATE.local().get("explain", ref)
    if STATE.json:
        render.document(row)
        return
    render.line(f"{row['verdict']}: {row['why']} (rule {row['rule']})")
    if row["marks"]:
        render.line(f"marked: {', '.join(row['marks'])}")
    if row["waits"]:
        render.line(f"not shown yet: {row['waits']}")
    for word, value in (row["facts"] or {}).items():
        render.line(f"  {word + ':':<16}{_fact(value)}")


def _fact(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)


@policy.command("try")
def try_(path: Path = typer.Argument(..., metavar="FILE")) -> None:
    """What each policy would have made of recorded notifications. Changes nothing.

    FILE is what `willcall held --raw` printed, on one day or on many: each is judged anew, with
    the DNS of today; or `willcall held --json`: by the facts of that day, among which the reverse
    DNS is only where it was asked. In an hour it looks up 120 names of one domain at most,
    8 of them for one network.
    Example: willcall policy try held.json
    """
    rows: list[Any] = []
    for line in _read(path).decode("utf-8", "replace").splitlines():
        rows += _recorded(line)
    made = STATE.local().post("try", rows=rows)
    if STATE.json:
        render.document(made)
        return
    render.table(
        ("message", "personal", "strict", "why strict says so"),
        [
            (
                render.tail(row["message"]) or "(introduction)",
                row["personal"]["verdict"],
                row["strict"]["verdict"],
                row["strict"]["why"],
            )
            for row in made
        ],
    )


def _recorded(line: str) -> list[Any]:
    if not line.strip():
        return []
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise Malformed(
            f"a line is no JSON: {error}", next="willcall held --raw > held.json makes such a file"
        ) from error
    return found if isinstance(found, list) else [found]


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise Absent(
            f"{path} can't be read: {error.strerror}", next="is the name right?"
        ) from error
