"""What words mean, and where they stand."""

import sqlite3
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Usage
from node.mail import wanted

BASE = sqlite3.connect(":memory:")
BASE.execute("CREATE VIRTUAL TABLE w USING fts5(subject, people, body, content = '', "
             "tokenize = 'unicode61 remove_diacritics 2')")  # fmt: skip
BASE.execute(
    "INSERT INTO w (rowid, subject, people, body) VALUES (1, ?, ?, ?)",
    ("Offer: a boat", "Anna <anna@example.org>", "Grüße an den Zahnarzt, 10 % am Dienstag; "
     "न्यूज़ Ελλάδα"),
)  # fmt: skip


def finds(*words: str) -> bool:
    match = wanted.parse(words).match
    return bool(BASE.execute("SELECT rowid FROM w WHERE w MATCH ?", (match,)).fetchall())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["offer"], True),
        (["OFFER", "boat"], True),
        (["offer", "car"], False),
        (["gruße"], True),
        (["grüße"], True),
        (["gru\u0308ße"], True),
        (["zahn"], False),
        (["zahn*"], True),
        (["den zahnarzt"], True),
        (["zahnarzt den"], False),
        (["zahnarzt", "den"], True),
        (["den zahn*"], True),
        (["from:anna"], True),
        (["FROM:anna"], True),
        (["from:offer"], False),
        (["subject:offer"], True),
        (["subject:anna"], False),
        (["body:zahnarzt"], False),
        (["anna@example.org"], True),
        (["10", "%"], True),
        (["न्यूज़"], True),
        (["ΕΛΛΆΔΑ"], True),
        (["offer OR car"], False),
        (["NOT"], False),
        (['a"boat'], True),
        (["offer\0boat"], False),
    ],
)
def test_what_is_found(words: list[str], found: bool) -> None:
    assert finds(*words) is found


@pytest.mark.parametrize("words", [[], [""], ["%", '"', "*"], ["from:"], ["x" * 1001]])
def test_nothing_to_look_for(words: list[str]) -> None:
    with pytest.raises(Usage):
        wanted.parse(words)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_nothing_of_a_question_is_obeyed(words: list[str]) -> None:
    with suppress(Usage):
        finds(*words)


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("short", ["nowhere"], "short"),
        ("a\n b\tc", ["c"], "a b c"),
        ("x" * 200, ["y"], "x" * 120 + "…"),
        ("a " * 99 + "Grüße" + " b" * 99, ["gruße"], "…" + "a " * 30 + "Grüße" + " b" * 57 + "…"),
        ("unlike like", ["like"], "unlike like"),
        ("", ["x"], ""),
    ],
)  # fmt: skip
def test_the_line_where_it_stands(text: str, words: list[str], line: str) -> None:
    assert wanted.snippet(text, words) == line


@given(st.text(max_size=300), st.text(alphabet="abcß", min_size=1, max_size=5))
def test_a_line_is_one_line(text: str, word: str) -> None:
    line = wanted.snippet(text, [word])
    assert "\n" not in line
    assert len(line) <= wanted.AROUND * 3 + 2


@given(st.text(max_size=100))
def test_folding_keeps_places(text: str) -> None:
    assert len(wanted.folded(text)) == len(text)
