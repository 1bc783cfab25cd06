from email.header import decode_header, make_header
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail import words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("plain", "plain"),
        ("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        ("=?ISO-8859-1?q?a?= b", "a b"),
        # RFC 2047 §8
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("=?utf-8*en?B?YQ==?= (x)", "a (x)"),
        # Padding forgotten, a character cut in two, a word with blanks and a question mark.
        ("=?utf-8?B?YQ?=", "a"),
        ("=?utf-8?B?w6Q=?= =?utf-8?B?w?= x", "ä =?utf-8?B?w?= x"),
        ("=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=", "ä"),
        ("=?utf-8?Q?a b?c?=", "a b?c"),
        # Not encoded words.
        ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
        ("=?utf-8?Q", "=?utf-8?Q"),
        ("=?utf-8?Q?never closed", "=?utf-8?Q?never closed"),
        ("=??Q?a?=", "=??Q?a?="),
        ("=?=?utf-8?Q?a?=", "=?a"),
        ("=?" + "x" * 80 + " =?utf-8?Q?a?=", "=?" + "x" * 80 + " a"),
        ("=?no-such?Q?a=FF?=", "aÿ"),
        ("=?utf-8?Q?ä?=", "?"),
    ],
)
def test_decode(value: str, said: str) -> None:
    assert words.decode(value) == said


def test_at_most_so_many() -> None:
    said = words.decode("=?utf-8?Q?a?= " * 100)
    assert said.startswith("a" * words.MOST + " =?utf-8?Q?a?=")


@pytest.mark.parametrize("piece", ["=?", "=?a?q?", "=?a?q?a?= ", "=?a?b?=", "=?a", "?=", "=?a?q"])
def test_linear(piece: str) -> None:
    begun = process_time()
    words.decode(piece * 200_000)
    assert process_time() - begun < 1


@given(st.text())
def test_takes_anything(value: str) -> None:
    words.decode(value)


@given(st.text(alphabet=st.sampled_from("=?utf-8QBqb? _\tä")))
def test_takes_almost_words(value: str) -> None:
    words.decode(value)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_encode_comes_back(value: str) -> None:
    tokens = words.encode(value)
    assert all(len(token) <= 75 and token.isascii() for token in tokens)
    assert words.decode("\n ".join(tokens[: words.MOST])).replace("\r", "")[:500] is not None
    if len(tokens) <= words.MOST:
        assert words.decode("\n ".join(tokens)) == value
    assert str(make_header(decode_header("\n ".join(tokens)))) == value
