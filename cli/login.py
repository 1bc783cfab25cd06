"""`login logout`: a node on another machine, remembered with its token."""

import sys

import typer

from cli import remote, render
from cli.remote import Remote
from cli.state import STATE
from node.errors import Usage


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(login)
    app.command()(logout)


def login(
    url: str = typer.Argument(..., metavar="URL", help="Like https://host:4626#PIN"),
    token: str = typer.Option("-", "--token", metavar="-", help="Read from standard input."),
) -> None:
    """Remembers a node and your token for it; commands then go there.

    The token is asked for, or read from standard input: a command line can be read by others.
    Example: willcall login http://127.0.0.1:4626 --token - < token.txt
    """
    address = remote.parse(url)
    if token != "-":
        raise Usage(
            "a token on a command line can be read by others of this machine",
            next="--token - reads it from standard input; let this one be revoked",
        )
    given = remote.checked_token(_asked())
    row = Remote(address, given, None).get("whoami")
    remote.save(address, given)
    if STATE.json:
        render.document(row | {"node": address.text})
    else:
        render.line(f"{row['name']} at {address.text}: commands go there now")
        render.hint("willcall inbox    (willcall logout forgets it)")


def _asked() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    import getpass

    return getpass.getpass("token: ", sys.stderr)


def logout() -> None:
    """Forgets the node and the token; the token itself is not revoked.

    Example: willcall logout
    """
    gone = remote.forget()
    if STATE.json:
        render.document({"forgotten": gone})
    else:
        render.line("forgotten" if gone else "nobody was logged in")
