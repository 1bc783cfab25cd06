"""`help man completion`: what the commands say of themselves, for people, man and shells.

A command is described once, in its docstring; what `--help` shows, the manual page and the
tests' examples are made of it. An example is a line `Example: willcall …`, or several behind
`Examples:`, each beginning with `willcall`.
"""

import re
from collections.abc import Iterator
from typing import Any

import typer

from cli import render
from cli.state import STATE
from node.errors import Usage

SHELLS = ("bash", "zsh", "fish")
EVERYWHERE = "With every command: --home DIR, --node URL, --owner NAME, --json"

_EXAMPLES = re.compile(r"\s*\bExamples?:\s+(?=willcall )")
_NEXT = re.compile(r"\s+(?=willcall (?!init, |run, ))")

Command = Any
"""A command of typer's; it ships no types of its own parser."""


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("help")(help_)
    app.command()(man)
    app.command()(completion)


def tidied(root: Command) -> Command:
    """The same commands, whose `--help` ends with examples that stand on lines of their own."""
    for command, path in commands(root):
        words, found = parted(command.help or "")
        if not found and path and (children := subcommands(command)):
            found = parted(next(iter(children.values())).help or "")[1][:1]
        lines = "".join(f"\nExample: {each}" for each in found)
        command.help = f"{words}\n\n\b{lines}" if found else words
        if path:
            command.epilog = EVERYWHERE
    return root


def parted(text: str) -> tuple[str, list[str]]:
    """What a command says of itself, and its examples."""
    words, *rest = _EXAMPLES.split(text.replace("\b", ""))
    found = [re.sub(r"\s*\n\s*", " ", each.strip()) for part in rest for each in _NEXT.split(part)]
    return words.strip(), [each for each in found if each]


def commands(root: Command, *path: str) -> Iterator[tuple[Command, tuple[str, ...]]]:
    """Every command with the words that call it; groups before what is in them."""
    yield root, path
    for name, command in subcommands(root).items():
        yield from commands(command, *path, name)


def subcommands(command: Command) -> dict[str, Command]:
    """What is in a group; nothing in a command that is none."""
    return dict(getattr(command, "commands", {}))


def help_(
    context: typer.Context,
    words: list[str] = typer.Argument(None, metavar="[COMMAND]…", help="Of which command."),
) -> None:
    """What a command does and takes; without one, which there are.

    Examples: willcall help    willcall help contact add
    """
    found = _found(context.find_root(), words or [])
    if STATE.json:
        render.document({"command": found.command_path, "help": found.get_help()})
    else:
        typer.echo(found.get_help(), color=False)


def _found(root: Any, words: list[str]) -> Any:
    """The context of a command that is only looked at."""
    here = root
    for word in words:
        command = subcommands(here.command).get(word)
        if command is None:
            raise Usage(f"there is no command {' '.join(words)!r}", next="willcall --help")
        here = type(root)(command, info_name=word, parent=here)
    return here


def man(context: typer.Context) -> None:
    """The manual page, made of what the commands say of themselves.

    Examples: willcall man | man -l -    willcall man > ~/.local/share/man/man1/willcall.1
    """
    from importlib.metadata import version

    from cli import manual

    page = manual.page(context.find_root().command, version("willcall"))
    if STATE.json:
        render.document({"page": page})
    else:
        typer.echo(page, nl=False)


def completion(
    shell: str = typer.Argument(..., metavar="bash|zsh|fish", help="For which shell."),
) -> None:
    """What makes a shell complete commands, contacts and messages.

    Names and numbers come from the running node; without one only commands are completed.

    Examples: willcall completion bash > ~/.local/share/bash-completion/completions/willcall
    willcall completion zsh > ~/.zfunc/_willcall
    willcall completion fish > ~/.config/fish/completions/willcall.fish
    """
    from typer import completion as shells

    if shell not in SHELLS:
        raise Usage(f"{shell[:20]!r} is no shell known here", next=f"one of {', '.join(SHELLS)}")
    script = shells.get_completion_script(  # type: ignore[attr-defined]  # imported there
        prog_name="willcall", complete_var="_WILLCALL_COMPLETE", shell=shell
    )
    if STATE.json:
        render.document({"shell": shell, "script": script})
    else:
        typer.echo(script)
