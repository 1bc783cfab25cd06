"""The command line: one door, one way to fail.

`--home`, `--owner` and `--json` may stand before or after the command. Results go to
standard output, everything else to standard error. Exit codes are in `node.errors`.
"""

import json
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from typer.exceptions import Abort, TyperException

from cli import (
    archive,
    argv,
    backup,
    completing,
    contact,
    doctor,
    drafts,
    exporting,
    finding,
    helping,
    home,
    importing,
    key,
    login,
    mail,
    operating,
    owner,
    sending,
    sent,
    service,
    settings,
    stranger,
    streams,
)
from cli.state import STATE
from node.errors import Usage, WillcallError

GLOBAL_VALUES = ("--home", "--node", "--owner")
TAKES_VALUE = {
    "-m", "--message", "--subject", "-s", "--to", "--attach", "--raw", "--mbox", "--keep",
    "--wait", "--as", "--valid", "--name", "--listen", "--origin", "--limit", "--before",
    "--quota", "--save", "--by", "--device", "--revoke", "--token",
    "--cc", "--bcc", "--maildir", "--format", "--reason", "--static", "--from", "--posting",
    "--after", "--epoch",
    "--verify",
}  # fmt: skip
"""Options whose next word is their value, whatever it looks like."""

app = typer.Typer(
    name="willcall",
    help="Mail that waits at the sender's, until called for.\n\nExample: willcall try",
    epilog="First steps: willcall init, willcall run, willcall invite.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for part in (
    home,
    login,
    contact,
    sending,
    drafts,
    sent,
    mail,
    finding,
    exporting,
    importing,
    archive,
    stranger,
    owner,
    key,
    settings,
    service,
    doctor,
    operating,
    backup,
    helping,
):
    part.register(app)


@app.callback()
def _root(
    home: str | None = typer.Option(None, "--home", metavar="DIR", help="The node's folder."),
    node: str | None = typer.Option(None, "--node", metavar="URL", help="A node by its address."),
    owner: str | None = typer.Option(
        None, "--owner", metavar="NAME", help="Whose mailbox.", autocompletion=completing.owner
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON document on standard output."),
) -> None:
    STATE.home, STATE.node, STATE.owner, STATE.json = home, node, owner, as_json


def ordered(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The global options, wherever they stood; and all the rest."""
    front: list[str] = []
    rest: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            return front, [*rest, word, *words]
        if word in GLOBAL_VALUES and words:
            front += [word, words.pop(0)]
        elif word == "--json" or word.startswith(tuple(f"{name}=" for name in GLOBAL_VALUES)):
            front.append(word)
        elif word in TAKES_VALUE and words:
            rest += [word, words.pop(0)]
        else:
            rest.append(word)
    return front, rest


NEXT = {
    64: "willcall --help",
    65: "correct it and try again; `{command} --help` says what is taken",
    66: "willcall inbox, willcall sent",
    67: "willcall contact list",
    69: "willcall run",
    73: "willcall quota",
    74: "see whether the disk is full or failing; nothing accepted is lost",
    75: "try again later",
    77: "ask whoever may",
    78: "willcall config check",
}
"""What to do about an error that does not say it better, by exit code."""


def fail(error: WillcallError) -> NoReturn:
    """Says what went wrong and what to do next; ends the program."""
    then = error.next or NEXT.get(error.exit_code, "please report it").format(command=command())
    then, text = argv.shown(STATE.pasted(then)), argv.shown(error.text)
    if STATE.json:
        said = {"error": error.reason, "exit": error.exit_code, "detail": text}
        plain = streams.plain(sys.stderr)
        sys.stderr.write(json.dumps(said | {"next": then}, ensure_ascii=plain) + "\n")
    else:
        sys.stderr.write(f"willcall: {text}\n  next: {then}\n")
    sys.stdout.flush()
    sys.exit(error.exit_code)


def command() -> str:
    """What was called, without its arguments: `willcall contact add`."""
    found, said = typer.main.get_command(app), ["willcall"]
    for word in ordered(sys.argv[1:])[1]:
        inner = getattr(found, "commands", {}).get(word)
        if inner is None:
            break
        found = inner
        said.append(word)
    return " ".join(said)


def first_of(group: BaseExceptionGroup[WillcallError]) -> WillcallError:
    """The first error of a group, however deep."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, WillcallError)
    return found


def main() -> None:
    """The program `willcall`."""
    streams.prepare()
    front, rest = ordered(sys.argv[1:])
    STATE.json = "--json" in front
    try:
        code = ran(args=front + rest)
        sys.stdout.flush()
    except TyperException as error:
        fail(_usage(error))
    except (Abort, KeyboardInterrupt):
        sys.exit(130)
    except WillcallError as error:
        fail(error)
    except BaseExceptionGroup as group:
        known, other = group.split(WillcallError)
        if known is None or other is not None:
            _bug(group)
        fail(first_of(known))
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        streams.drop()
        sys.exit(0)
    except OSError as error:
        _foreign(error)
    except Exception as error:  # noqa: BLE001 - the one place where a bug gets its exit code
        _bug(error)
    sys.exit(code or 0)


def ran(*, args: list[str]) -> int | None:
    """Runs one command; its exit code, if it has one of its own."""
    program = helping.tidied(typer.main.get_command(app))
    argv.check(program, args)
    code: int | None = program.main(args=args, standalone_mode=False, prog_name="willcall")
    return code


def _foreign(error: OSError) -> NoReturn:
    """What the system refused, and nobody has translated: standard output, or a bug."""
    known = streams.failed(error)
    if known is None:
        _bug(error)
    streams.drop()
    fail(known)


def _bug(error: BaseException) -> NoReturn:
    """What nobody foresaw: the trace for whoever mends it, and one line as for any error."""
    if not STATE.json:
        import traceback

        traceback.print_exception(error)
    fail(Bug(f"a bug: {type(error).__name__}: {error}"))


class Bug(WillcallError):
    """Something willcall did not expect of itself."""

    reason, exit_code = "bug", 70

    def __init__(self, text: str) -> None:
        super().__init__(text, next="please report it, with what you did")


def _usage(error: TyperException) -> Usage:
    """What the parser says, with the help of the command it stumbled in."""
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "willcall"
    if type(error).__name__ == "NoArgsIsHelpError":
        if not STATE.json:
            sys.stderr.write(error.message + "\n\n")
        return Usage("a command is missing", next=f"{where} --help")
    say = getattr(error, "format_message", None)
    return Usage(str(say() if say is not None else error), next=f"{where} --help")
