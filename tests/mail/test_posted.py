"""Letters to a list, wrapped and unwrapped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail import posted

LETTER = b"From: a\r\nSubject: s\r\n\r\nwords\r\n"
RAW = posted.wrap(LETTER, b"proof")


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_both_come_out_as_they_went_in(letter: bytes, proof: bytes) -> None:
    raw = posted.wrap(letter, proof)
    assert posted.is_wrapped(raw)
    assert posted.unwrap(raw) == (letter, proof)


def test_a_letter_in_a_letter() -> None:
    assert posted.unwrap(posted.wrap(RAW, b"more")) == (RAW, b"more")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        LETTER,
        RAW[:-1],
        RAW + b"\r\n",
        RAW[: RAW.index(b"words")],
        RAW.replace(b"From: a", b"From: b", 1),
        RAW.replace(b"words", b"sword"),
        RAW.replace(b"8bit\r\n\r\n", b"8bit\r\n"),
        RAW.replace(b"cHJvb2Y=", b"cHJvb2Y"),
        RAW.replace(b"cHJvb2Y=", b"cHJvb2Z="),
        RAW.replace(b"cHJvb2Y=", b"c" * 200_000),
    ],
)
def test_what_is_no_wrapped_letter(raw: bytes) -> None:
    assert posted.unwrap(raw) is None


def test_what_may_be_one_is_seen_at_its_beginning() -> None:
    assert not posted.is_wrapped(LETTER)
    assert posted.is_wrapped(RAW[:200])


@given(st.lists(st.sampled_from([RAW[:150], RAW[150:], b"\r\n\r\n", b"\r\n--=_", b"x"])))
def test_anything_can_be_looked_at(pieces: list[bytes]) -> None:
    found = posted.unwrap(b"".join(pieces))
    assert found is None or posted.wrap(*found) == b"".join(pieces)
