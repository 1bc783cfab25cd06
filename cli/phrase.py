"""The 24 words, between a person and a command: never an argument, shown once."""

import sys

from cli import render
from node.errors import Malformed

LONGEST = 4096
"""Bytes: 24 words with numbers and all the blanks that a person may put in."""
WORDS = 24


def asked() -> str:
    """The words from standard input; on a terminal until there are 24, or an empty line.

    Raises:
        Malformed: it is no text, or far too long.
    """
    if sys.stdin.isatty():
        return _typed()
    data = sys.stdin.buffer.read(LONGEST + 1)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("this is no recovery phrase: it is no text") from error
    if len(data) > LONGEST:
        raise Malformed("this is no recovery phrase: it is far too long")
    return text


def _typed() -> str:
    """They can be seen while they are typed: 24 words are not typed blindly."""
    render.note("Type the 24 words, in as many lines as you like; an empty line ends.")
    lines: list[str] = []
    while sum(_count(line) for line in lines) < WORDS:
        line = sys.stdin.readline()
        if not line.strip():
            break
        lines.append(line)
    render.note("Clear this terminal afterwards: the words are on it.")
    return "".join(lines)


def _count(line: str) -> int:
    return sum(any(map(str.isalpha, word)) for word in line.split())


def show(what: str, words: str) -> None:
    """A new phrase, six words a line."""
    render.line(f"{what}: it is shown once and kept nowhere.")
    found = words.split()
    for at in range(0, WORDS, 6):
        render.line("  " + " ".join(found[at : at + 6]))
