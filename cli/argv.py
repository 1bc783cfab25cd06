"""The words a shell gave. They are text in UTF-8, but for names of files: those are any bytes.

Python hands a byte that is no UTF-8 over as half a surrogate (PEP 383). It goes back into the
name of a file unchanged, and it is no text: it can be neither sent nor stored nor asked for.
"""

import re
from collections.abc import Sequence
from typing import Any

from node.errors import Usage

_BYTE = re.compile("[\udc80-\udcff]")
_FILE = re.compile("FILE|DIR")
"""How the metavar of what names a file or folder is written."""


def check(program: Any, words: Sequence[str]) -> None:
    """Looks at every word before anything is done with one.

    Where a command takes a file, its words that are no options' values may name one. A home
    is a folder as well, but its name stands in documents and units: it has to be text.

    Raises:
        Usage: a word is not text, and names no file.
    """
    if all(map(is_text, words)):
        return
    command = _called(program, words)
    valued = _options(program) | _options(command)
    files = [param for param in command.params if _is_file(param)]
    named = _names(files) if command is not program else set()
    positional = any(param.param_type_name == "argument" for param in files)
    for before, word in zip(["", *words], words, strict=False):
        name, equals, _ = word.partition("=")
        option = name if equals and name in valued else before if before in valued else ""
        allowed = option in named if option else positional and not word.startswith("-")
        if not is_text(word) and not allowed:
            raise no_text(word)


def is_text(word: str) -> bool:
    """Whether every byte of it belonged to a letter."""
    return not any("\ud800" <= char <= "\udfff" for char in word)


def no_text(word: str, then: str = "type it in a terminal that is set to UTF-8") -> Usage:
    """What is said of a word that is none."""
    return Usage(f"'{shown(word)}' is not text in UTF-8", next=then)


def shown(text: str) -> str:
    r"""The same for people: `\xfc` for a byte that is no text, as a shell's $'…' takes it."""
    return _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def _called(program: Any, words: Sequence[str]) -> Any:
    """The command that is meant."""
    for word in words:
        program = getattr(program, "commands", {}).get(word, program)
    return program


def _options(command: Any) -> set[str]:
    """The options of a command behind which a value stands."""
    return _names([param for param in command.params if not getattr(param, "is_flag", False)])


def _names(params: Sequence[Any]) -> set[str]:
    return {name for param in params for name in param.opts if name.startswith("-")}


def _is_file(param: Any) -> bool:
    return bool(_FILE.search(param.metavar or ""))
