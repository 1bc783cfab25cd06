"""What a person looks for, and the place in a text where it stands.

Decides what words mean: all of them must occur, in any order; several words in one argument
are a phrase, `word*` is a beginning, `from:` and `subject:` look there only. The index that
is asked, and the text the place is looked for in, are the callers'.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from node.errors import Usage

COLUMNS = ("subject", "people", "body")
"""What of a message is found, as the index calls it."""
LONGEST = 1_000
"""Characters of a question: more than anybody types."""
AROUND = 60
"""Characters of a snippet on each side of what was found."""

_FIELDS = {"from": "people", "subject": "subject"}
_TOKEN = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A question.

    Attributes:
        match: for FTS5; every word of it is quoted, so that nothing of it is obeyed.
        words: what is looked for in the text, folded.
    """

    match: str
    words: tuple[str, ...]


def parse(arguments: Sequence[str]) -> Wanted:
    """The question that a command line asks.

    Raises:
        Usage: there is no word in it, or too many.
    """
    if sum(map(len, arguments)) > LONGEST:
        raise Usage("that is too much to look for", next="willcall find dentist tuesday")
    terms = [term for argument in arguments if (term := _term(argument)) is not None]
    if not terms:
        raise Usage("there is no word to look for", next="willcall find dentist tuesday")
    words = tuple(word for _, found in terms for word in found)
    return Wanted(match=" AND ".join(match for match, _ in terms), words=words)


def _term(argument: str) -> tuple[str, list[str]] | None:
    field, colon, rest = argument.partition(":")
    column = _FIELDS.get(field.lower()) if colon else None
    text = (rest if column else argument).strip()
    beginning, text = text.endswith("*"), text.rstrip("*")
    words = _TOKEN.findall(folded(unicodedata.normalize("NFC", text)))
    if not words:
        return None
    quoted = text.replace('"', '""').replace("\0", " ")
    phrase = f'"{quoted}"{"*" if beginning else ""}'
    return (f"{column} : {phrase}" if column else phrase), words


def folded(text: str) -> str:
    """Without case and accents, as the index has it; one character for each, where that can be."""
    return "".join(_plain(char) for char in text)


def _plain(char: str) -> str:
    if char < "\x80":
        return char.lower()
    base = unicodedata.normalize("NFD", char)[0]
    lower = base.lower()
    return lower if len(lower) == 1 else base


def snippet(text: str, words: Sequence[str]) -> str:
    """One line of the text around the first of the words; its beginning where none is there."""
    plain, at = folded(text), 0
    for word in words:
        found = re.search(rf"(?<![^\W_]){re.escape(word)}", plain)
        if found:
            at = found.start()
            break
    start, end = max(0, at - AROUND), at + 2 * AROUND
    line = " ".join(text[start:end].split())
    return ("…" if start else "") + line + ("…" if end < len(text) else "")
