"""The manual page in man(7), for `man` and `mandoc`."""

import re
from collections.abc import Iterator
from typing import Any

from cli import helping

CODES = (
    ("0", "done"),
    ("64", "called wrongly"),
    ("65", "bad input: not of its form, too large, or it does not verify"),
    ("66", "there is no such message or file"),
    ("67", "there is no such contact, owner or archive"),
    ("69", "no node is running, or the port is taken"),
    ("70", "a bug"),
    ("73", "it exists already, or the quota is full"),
    ("74", "the disk: full, failing or damaged"),
    ("75", "not yet, or running already"),
    ("77", "not allowed"),
    ("78", "the settings can't be used"),
)
PLACES = (
    ("WILLCALL_HOME", "the node's folder, unless --home names one"),
    ("WILLCALL_NODE", "a node by its address, unless --node or --home names one"),
    ("WILLCALL_TOKEN", "what opens the node named by WILLCALL_NODE or --node"),
    ("VISUAL, EDITOR", "what letters are written in"),
)
FILES = (
    ("~/.local/share/willcall", "the home: keys, mail, settings (XDG_DATA_HOME is honoured)"),
    ("~/.config/willcall/login.json", "what willcall login remembers"),
)


def page(root: Any, version: str) -> str:
    """The page.

    Args:
        root: the whole program; its help was parted from the examples.
        version: of the program.
    """
    return "\n".join(_lines(root, version)) + "\n"


def _lines(root: Any, version: str) -> Iterator[str]:
    yield f'.TH WILLCALL 1 "" "willcall {escaped(version)}" "User Commands"'
    yield ".SH NAME"
    yield "willcall \\- mail that waits at the sender's, until called for"
    yield ".SH SYNOPSIS"
    yield "\\fBwillcall\\fR [\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]"
    yield ".SH OPTIONS"
    yield "They may stand before or behind the command."
    yield from _parameters(root)
    yield ".SH COMMANDS"
    for command, path in helping.commands(root):
        if path and not helping.subcommands(command):
            yield from _command(command, path)
    for title, rows in (("EXIT STATUS", CODES), ("ENVIRONMENT", PLACES), ("FILES", FILES)):
        yield f".SH {title}"
        for word, words in rows:
            yield from (".TP", f"\\fB{escaped(word)}\\fR", escaped(words))


def _command(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    words, examples = helping.parted(command.help or "")
    yield f".SS willcall {escaped(' '.join(path))}"
    for number, paragraph in enumerate(re.split(r"\n\s*\n", words)):
        if number:
            yield ".PP"
        yield escaped(" ".join(paragraph.split()))
    yield from _parameters(command)
    if examples:
        yield from (".PP", ".EX", *(escaped(each) for each in examples), ".EE")


def _parameters(command: Any) -> Iterator[str]:
    for each in command.params:
        names = [*each.opts, *each.secondary_opts] if each.param_type_name == "option" else []
        if "--help" in names or getattr(each, "hidden", False):
            continue
        takes = "" if getattr(each, "is_flag", False) else each.metavar or each.name.upper()
        yield ".TP"
        bold, italic = escaped(", ".join(names)), escaped(takes)
        yield " ".join([f"\\fB{bold}\\fR"] * bool(bold) + [f"\\fI{italic}\\fR"] * bool(italic))
        yield escaped(getattr(each, "help", None) or "\u2026")


def escaped(text: str) -> str:
    """Text that man(7) shows as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text
