"""What is an address in running text, and what stays of it."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail.mask import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a@b.example", "a@…"),
        ("Anna <anna.b+c@mail.example.org>, ben@x.example", "Anna <anna.b+c@…>, ben@…"),
        ("ünï@bücher.example!", "ünï@…!"),
        ("x" * 70 + "@b.example", "x" * 70 + "@…"),
        ("a@" + "b" * 70 + ".example", "a@…"),
        ('"ada b"@private.example', '"ada b"@…'),
        ("ada(the first)@private.example", "ada(the first)@…"),
        ("ada＠private.example", "ada＠…"),
        ("ada@private。example", "ada@…"),
        ("http://x.example/?e=atom.p%40adtran.com&x=1", "http://x.example/?e=atom.p%40…&x=1"),
        ("atom.p%2540adtran.com", "atom.p%2540…"),
        ("ada&#64;private.example ben&commat;private.example", "ada&#64;… ben&commat;…"),
        ("key@[willcall:127.0.0.1:4628], a@[1.2.3.4]!", "key@…, a@…!"),
        ("a@[IPv6:2001:db8::1", "a@…"),
        ("ada[U+200B]@pri[U+200B]vate.example", "ada[U+200B]@…"),
        ("ada\u200b@\u00adpri\u00advate.example", "ada\u200b@…"),
        ("ada@\nprivate.example then", "ada@… then"),
        ("> ada@private.\n> example then", "> ada@… then"),
        ("> > ada@priv \n> > ate.example then", "> > ada@… then"),
        ("ada \n@private.example", "ada \n@…"),
        ("ada@private \n.example", "ada@…"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "no address: a@b, @x.org, a @ b.org",
        "return x\n@app.route",
        "(@org.junit.Test) and @org.junit.Test",
        "100%, 5%40 of it, 5%40. 5",
        "@@ -1,3 +1,3 @@ word.word",
        "a@\n\nb.example",
    ],
)
def test_what_is_none(text: str) -> None:
    assert masked(text) == text


def test_a_sentence_that_ends_with_one() -> None:
    assert masked("Write to a@b.example.\nThen wait.") == "Write to a@….\nThen wait."


@pytest.mark.parametrize(
    "text",
    [
        "a@", "@", "a.", "a@b.", "a%40", "a@[", "a@[x", '"', '"@', " \n", "a@\n", "a@b \n", "a \n@",
        "a@[U+200B]", "a@b \n> ", "&#64;", "&#0", "a%25",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", "@", "b.example", "@b.example"])
def test_the_time_is_linear(text: str, end: str) -> None:
    begun = process_time()
    masked(text * (400_000 // len(text)) + end)
    assert process_time() - begun < 2


@given(
    st.lists(st.sampled_from([*'ab.@%[]\n >"', "%40", "＠", " \n> ", "b.example", "@x.example"]))
)
def test_the_domain_of_no_address_is_left(pieces: list[str]) -> None:
    assert "a@x.example" not in masked("".join(pieces))
    assert "b@b.example" not in masked("".join(pieces))
