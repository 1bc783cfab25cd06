"""Drafts: what is written is what is read, and what is not understood is not lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Malformed
from node.mail.letter import Letter, parse_draft, print_draft, quoted

LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), max_size=20)
NAMES = st.lists(LINE.filter(lambda t: t and "," not in t), max_size=3).map(tuple)


@given(
    st.builds(
        Letter,
        to=NAMES,
        cc=NAMES,
        bcc=NAMES,
        subject=LINE,
        text=st.text().filter(lambda t: "\r" not in t),
        attach=st.lists(LINE.filter(bool), max_size=2).map(tuple),
        answers=LINE,
        forwards=LINE,
        keep=LINE,
        keep_sent=LINE,
        owner=LINE,
    )
)
def test_a_draft_comes_back(letter: Letter) -> None:
    assert parse_draft(print_draft(letter)) == letter


def test_what_a_person_sees() -> None:
    draft = print_draft(Letter(to=("ben", "eve"), subject="Hi", text="\n> old\n", answers="3"))
    assert draft == ("To: ben, eve\nCc:\nBcc:\nSubject: Hi\nAttach:\nAnswers: 3\n\n\n> old\n")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("", Letter()),
        ("To: a\nto: b , c\r\nCC : d\n\nHi\n", Letter(to=("a", "b", "c"), cc=("d",), text="Hi\n")),
        ("Attach: a b\nAttach:\nattach: c", Letter(attach=("a b", "c"))),
        ("\nonly words\n\nmore", Letter(text="only words\n\nmore")),
        ("Subject: a: b", Letter(subject="a: b")),
    ],
)
def test_drafts_that_were_edited(text: str, letter: Letter) -> None:
    assert parse_draft(text) == letter


@pytest.mark.parametrize("text", ["Hello\n", "To: a\nBbc: b\n\nx", "To a\n\n", ": x\n\n"])
def test_what_is_no_field_is_named(text: str) -> None:
    with pytest.raises(Malformed, match=r"line [12]"):
        parse_draft(text)


@pytest.mark.parametrize(
    ("letter", "what"),
    [
        (Letter(subject="a\nBcc: b"), "Subject 'a\\\\nBcc: b'"),
        (Letter(attach=("a\udcfc",)), "Attach 'a\\\\udcfc'"),
    ],
)
def test_a_field_is_one_line(letter: Letter, what: str) -> None:
    with pytest.raises(Malformed, match=what):
        print_draft(letter)


def test_quoting() -> None:
    assert quoted("one\n\ntwo\n", "ben", "2026-01-02 10:00") == (
        "\n\nben wrote on 2026-01-02 10:00:\n> one\n>\n> two\n"
    )
