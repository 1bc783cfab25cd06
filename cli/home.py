"""`init run try whoami status version`: the node itself."""

import os
import sys
from functools import partial
from typing import Any

import typer

from cli import completing, phrase, render
from cli.local import default_home, home_of
from cli.state import STATE

LARGEST = 5
"""Messages that are named under a table of what is used."""
NODE = ("did", "origin", "uptime", "stored", "waiting", "held", "quota", "returned")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(init)
    app.command()(run)
    app.command("try")(try_)
    app.command()(whoami)
    app.command()(status)
    app.command()(invite)
    app.command()(quota)
    app.command()(version)


def init(
    name: str | None = typer.Option(None, "--name", help="What others see you called."),
    listen: str | None = typer.Option(
        None, "--listen", metavar="HOST:PORT", help="Where to listen."
    ),
    origin: str | None = typer.Option(
        None, "--origin", metavar="HOST:PORT", help="Where others call."
    ),
    recover: bool = typer.Option(False, "--recover", help="Read the 24 words from stdin."),
) -> None:
    """Makes a home: keys, a store, a configuration. Asks nothing.

    With --recover the owner is who the words say: the same key, with no mail and no contacts.
    Examples: willcall init --name anna    willcall init --recover --name anna < words.txt
    """
    import trio

    from node import homes

    home = homes.Home(home_of(STATE.home))
    home.check_new()
    words = phrase.asked() if recover else None

    async def work() -> dict[str, str | None]:
        return await homes.init(
            home,
            name=_name(name),
            listen=listen,
            at=origin,
            recover=words,
            usual=homes.Home(default_home()),
        )

    made = trio.run(work)
    if STATE.json:
        render.document(made)
        return
    render.line(f"{made['did']}")
    render.line(f"home:     {made['home']}")
    render.line(f"listens:  {made['listen']}  (reached at {made['origin']})")
    render.line("")
    if made["recovery_phrase"] is None:
        render.line("You are the same person to your contacts, but this home knows none of them.")
        render.line("Add each again, by address. They need not do anything; what they sent you in")
        render.line("the last 14 days comes again.")
        render.hint("willcall run    (then, in another terminal: willcall contact add ADDRESS)")
        return
    phrase.show("Your recovery phrase. Write it down now", made["recovery_phrase"])
    render.hint("willcall run    (then, in another terminal: willcall invite)")
    _say_where_commands_go()


def _say_where_commands_go() -> None:
    """Who is logged in elsewhere would look for this home's mail there."""
    from cli import remote

    known = None if STATE.home or os.environ.get("WILLCALL_HOME") else remote.saved()
    if known is not None:
        render.note(f"commands go to {known['node']} until: willcall logout")


def _name(given: str | None) -> str:
    """The given name, else the system's word for the user, else none."""
    if given is not None:
        return given
    import getpass

    try:
        login = getpass.getuser()
    except (OSError, KeyError):
        return ""
    return login if login.isalnum() and login != "root" else ""


def run(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Say what happens, on stderr."),
) -> None:
    """Runs the node until SIGTERM or Ctrl-C. Prints a line when it serves.

    Example: willcall run
    """
    import trio

    from node import daemon, homes

    def ready(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        render.hint("in another terminal: willcall invite, or willcall contact add LINK")

    home = homes.Home(home_of(STATE.home))
    trio.run(partial(daemon.run, home, ready, verbose=verbose))


def try_() -> None:
    """Two real nodes in a temporary folder write to each other.

    Example: willcall try
    """
    from cli import trial

    trial.run()


def whoami() -> None:
    """Your name, key and addresses.

    Example: willcall whoami
    """
    row = STATE.local().get("whoami")
    if STATE.json:
        render.document(row)
        return
    render.line(f"{row['name'] or '(no name)'}")
    for address in dict.fromkeys([row["address"], *row["addresses"]]):
        render.line(address)
    if row["replaced_by"]:
        render.line(f"This key was replaced: your contacts go on with {row['replaced_by']}")


def status(
    message: str | None = typer.Argument(
        None, metavar="[CID]", help="A message that was sent.", autocompletion=completing.sent
    ),
) -> None:
    """What is true of a message, or of the node.

    Examples: willcall status    willcall status 7xk2q4ma
    """
    if message is not None:
        row = STATE.local().get("message", message)
        render.document(row) if STATE.json else render.message(row, attempts=True)
        return
    row = STATE.local().get("status")
    render.document({word: row[word] for word in NODE}) if STATE.json else _node(row)


def _node(row: dict[str, Any]) -> None:
    quota = row["quota"]
    used = sum(quota["used"].values())
    render.line(f"{row['did']} at {row['origin']}, up {render.span(row['uptime'])}")
    render.line(f"sent {row['stored']}, still open {row['open']}")
    render.line(f"waiting at senders {row['waiting']}, held from strangers {row['held']}")
    render.line(f"quota: {render.size(used)} of {render.size(quota['limit'])} used")
    if row["called_from"] == "this machine":
        render.line("nobody elsewhere can call this node: it asks its contacts for mail by itself,")
        render.line(
            "and what you send to them can't be picked up. To change that, set network.listen"
        )
        render.line(
            "and network.origin in config.toml to an address that others reach; then run again"
        )
    if row["returned"]:
        render.line(f"given back to the disk since then: {render.size(row['returned'])}")


def invite(
    valid: str = typer.Option("7d", "--valid", metavar="SPAN", help="How long it can be used."),
) -> None:
    """A link that makes one person a contact.

    Example: willcall invite --valid 2d
    """
    from cli.spans import millis

    row = STATE.local().post("invite", valid=millis(valid))
    if STATE.json:
        render.document(row)
        return
    render.line(f"For one person on {row['reach']}, until {render.when(row['expires'])} UTC:")
    render.line(row["link"])
    if row["reach"] == "this machine":
        render.hint("others elsewhere can't call this node: let them invite you (willcall doctor)")
    if sys.stdout.isatty():
        import segno

        segno.make(row["link"], error="l").terminal(compact=True)
    render.hint("they run: willcall contact add LINK")


def quota(
    by: str | None = typer.Option(
        None, "--by", metavar="contact|state", help="What, for whom, and until when."
    ),
) -> None:
    """What of your quota is used, and by what.

    With --by the messages behind it: how many, for whom, until when, and how much goes by itself
    then. A message for several people counts with each of them.

    Examples: willcall quota    willcall quota --by contact    willcall quota --by state
    """
    row = STATE.local().get("quota", by=by)
    if STATE.json:
        render.document(row)
    elif by is None:
        rows = [(word, render.size(count)) for word, count in row["used"].items()]
        rows += [("free", render.size(row["free"])), ("limit", render.size(row["limit"]))]
        render.table(("", "size"), rows)
        render.hint("willcall quota --by state, or --by contact")
    else:
        _groups(row["by"], by)


def _groups(groups: list[dict[str, Any]], by: str) -> None:
    render.table(
        (by, "messages", "size", "until", "freed then"),
        [
            (
                row[by] or "(imported)",
                str(row["messages"]),
                render.size(row["bytes"]),
                render.when(row["until"]),
                render.size(row["freed"]) if row["freed"] else "",
            )
            for row in groups
        ],
    )
    large = [each for row in groups for each in row["largest"]]
    large.sort(key=lambda each: -int(each["bytes"]))
    shown = list({each["message"] + each["state"]: each for each in large}.values())[:LARGEST]
    if not shown:
        return
    render.line()
    render.table(
        ("largest", "size", "state", "until", "then", "for, from", "subject"),
        [_large(each) for each in shown],
        cut=True,
    )
    render.hint(
        "willcall delete N|CID    (what somebody may still fetch: first willcall retract CID)"
    )


def _large(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(row["n"]) if row["n"] is not None else render.tail(row["message"]),
        render.size(row["bytes"]),
        row["state"],
        render.when(row["until"]),
        row["then"] or "",
        ", ".join(row["for"]) or "(imported)",
        row["subject"] or "(no subject)",
    )


def version() -> None:
    """The version of this program.

    Example: willcall version
    """
    from importlib.metadata import version as installed

    text = installed("willcall")
    if STATE.json:
        render.document({"version": text})
    else:
        render.line(f"willcall {text}")
