"""The 24 words, against the published BIP-39 vectors."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from node.crypto import phrase
from node.errors import Malformed
from node.units import Key

# From the BIP-39 reference vectors (256 bits).
KNOWN = [
    ("00" * 32, "abandon " * 23 + "art"),
    ("7f" * 32, "legal winner thank year wave sausage worth useful " * 2
     + "legal winner thank year wave sausage worth title"),
    ("80" * 32, "letter advice cage absurd amount doctor acoustic avoid " * 2
     + "letter advice cage absurd amount doctor acoustic bless"),
    ("ff" * 32, "zoo " * 23 + "vote"),
    (
        "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f",
        "void come effort suffer camp survey warrior heavy shoot primary clutch crush "
        "open amazing screen patrol group space point ten exist slush involve unfold",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("seed", "text"), KNOWN)
def test_known_phrases(seed: str, text: str) -> None:
    assert phrase.words(bytes.fromhex(seed)) == text
    assert phrase.seed(text).hex() == seed


@given(st.binary(min_size=32, max_size=32))
def test_both_ways(seed: bytes) -> None:
    text = phrase.words(seed)
    assert len(text.split(" ")) == 24
    assert phrase.seed(text) == seed


def test_capitals_and_white_space_do_not_matter() -> None:
    text = KNOWN[-1][1]
    sloppy = "\n\t " + text.upper().replace(" ", "  \r\n") + "\u00a0"
    assert phrase.seed(sloppy) == phrase.seed(text)


@pytest.mark.parametrize("seed", [b"", bytes(16), bytes(31), bytes(33)])
def test_seeds_have_32_bytes(seed: bytes) -> None:
    with pytest.raises(Malformed):
        phrase.words(seed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has 0"),
        ("abandon " * 11 + "about", "has 12"),
        ("abandon " * 25, "has 25"),
        ("abandon " * 22 + "abandn art", "word 23, 'abandn'"),
        ("abandon " * 23 + "\ud800", "word 24"),
        ("é" * 500 + " abandon" * 23, "word 1,"),
        ("abandon " * 22 + "abandom art", "'abandon'"),
        ("abandon " * 23 + "4rt", "word 24, '4rt'"),
        ("abandon " * 24, "checksum"),
        ("art " + "abandon " * 23, "checksum"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(Malformed) as caught:
        phrase.seed(text)
    assert says in caught.value.text
    assert len(caught.value.text) < 200


def test_a_numbered_list_is_as_good() -> None:
    seed, text = KNOWN[-1]
    found = text.split()
    for form in (
        "{n}. {w}\n",
        "{n}) {w}, ",
        "({n}) {w}; ",
        "{n}: {w}\t",
        "{n}.{w} ",
        "#{n} {w}\r\n",
    ):
        spelt = "".join(form.format(n=n, w=w.title()) for n, w in enumerate(found, 1))
        assert phrase.seed(spelt).hex() == seed, form


@given(st.binary(min_size=32, max_size=32), st.integers(0, 22))
def test_two_words_exchanged_are_found(seed: bytes, at: int) -> None:
    found = phrase.words(seed).split()
    found[at], found[at + 1] = found[at + 1], found[at]
    try:
        assert phrase.seed(" ".join(found)) != seed or found[at] == found[at + 1]
    except Malformed as error:
        # One in 256 exchanges has a right checksum too; else the place is named, or too many are.
        said = error.text
        assert f"words {at + 1} and {at + 2}" in said or "or the order is wrong" in said


def test_one_word_mistaken_for_its_neighbour_is_found() -> None:
    found = KNOWN[-1][1].replace("point", "print").split()
    with pytest.raises(Malformed) as caught:
        phrase.seed(" ".join(found))
    assert "word 19, 'print', is 'point'" in caught.value.text


@given(st.text(max_size=60))
def test_any_other_text_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        phrase.seed(text)


# --- six words ----------------------------------------------------------------------------

KEYS = st.binary(min_size=32, max_size=32)


@settings(max_examples=3, deadline=None)
@given(KEYS, KEYS, KEYS)
def test_six_words_are_the_same_for_both_and_for_nobody_else(
    one: bytes, other: bytes, third: bytes
) -> None:
    assume(len({one, other, third}) == 3)
    said = phrase.compared(Key(one), Key(other))
    assert said == phrase.compared(Key(other), Key(one))
    assert len(said.split(" ")) == 6
    assert said != phrase.compared(Key(one), Key(third))
