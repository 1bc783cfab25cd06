"""Names at domains: what is asked, answered and believed."""

import json
from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.discovery import webfinger
from node.discovery.webfinger import Handle, Place
from node.encoding import names, text
from node.errors import Malformed
from node.units import Key

KEY = Key(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
OTHER = Key(bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"))
ANNA = Handle(name="anna", domain="example.org")
HEAD = "https://mail.example.org:4625"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("anna@example.org", "anna@example.org"),
        ("anna@Example.ORG", "anna@example.org"),
        ("Anna@example.org", "Anna@example.org"),  # names are as their owners write them
        ("bjørn@xn--bcher-kva.example", "bjørn@xn--bcher-kva.example"),
        ("a@localhost", "a@localhost"),
    ],
)
def test_handles(typed: str, meant: str) -> None:
    assert str(webfinger.parse(typed)) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "anna@",
        "@example.org",
        "anna@example",
        "anna@example.org:443",
        "anna@127.0.0.1",
        "anna@0x7f.1",
        "anna@2130706433",
        "anna@[::1]",
        "anna@bücher.example",
        "anna@a@example.org",
        "an na@example.org",
        "anna@exa mple.org",
        "anna@example.org/x",
        "anna@example.org.",
        "anna@-a.org",
        "a" * 65 + "@example.org",
        "anna@" + "a." * 60 + "org",
    ],
)
def test_what_is_no_handle(typed: str) -> None:
    with pytest.raises(Malformed):
        webfinger.parse(typed)


@st.composite
def some_names(draw: st.DrawFn) -> str:
    made = draw(st.text(min_size=1, max_size=16))
    try:
        text.check_name(made)
    except Malformed:
        return "ü%2f+&=#?"
    return made


@given(some_names())
def test_what_is_asked_is_what_is_understood(name: str) -> None:
    handle = Handle(name=name, domain="example.org")
    path, _, query = webfinger.question(handle).partition("?")
    assert path == "/.well-known/webfinger"
    assert query.isascii()
    assert webfinger.asked(query) == (handle, ["self"])
    body = webfinger.document(handle, KEY, HEAD, ["self"])
    assert webfinger.read(body, handle) == Place(did=KEY, origin="mail.example.org:4625")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "rel=self",
        "resource=acct%3Aanna%40example.org&resource=acct%3Aanna%40example.org",
        "resource=acct%3A%ff%40example.org",
        "resource=a&" + "x=1&" * 20,
    ],
)
def test_queries_that_ask_nothing(query: str) -> None:
    with pytest.raises(Malformed):
        webfinger.asked(query)


@pytest.mark.parametrize(
    "resource",
    ["", "anna@example.org", "https://example.org/anna", "acct:anna", "acct:%ff@example.org",
     "acct:a%40b@example.org", "mailto:anna@example.org", "ACCT:anna@example.org"],
)  # fmt: skip
def test_resources_that_are_nobody(resource: str) -> None:
    assert webfinger.asked(f"resource={quote(resource, safe='')}") == (None, [])


def test_the_answer_is_what_the_rfc_says() -> None:
    told = json.loads(webfinger.document(ANNA, KEY, HEAD, []))
    z = names.z(KEY)
    assert told == {
        "subject": "acct:anna@example.org",
        "aliases": [f"did:key:{z}"],
        "links": [
            {
                "rel": "self",
                "type": "application/vnd.ipld.dag-cbor",
                "href": f"https://mail.example.org:4625/v1/owners/{z}",
            }
        ],
    }
    # RFC 7033 §4.3: `rel` leaves out other links, and nothing else.
    assert json.loads(webfinger.document(ANNA, KEY, HEAD, ["avatar"])) == told | {"links": []}
    assert json.loads(webfinger.document(ANNA, KEY, HEAD, ["avatar", "self"])) == told


def link(key: Key = KEY, **other: object) -> dict[str, object]:
    href = f"{HEAD}/v1/owners/{names.z(key)}"
    return {"rel": "self", "type": webfinger.RECORD_TYPE, "href": href} | other


def answer(*links: object, subject: object = "acct:anna@example.org", **more: object) -> bytes:
    return json.dumps({"subject": subject, "links": links, **more}).encode()


def test_other_people_s_links_are_left_alone() -> None:
    others = [
        {"rel": "http://webfinger.net/rel/profile-page", "href": "https://example.org/anna"},
        {"rel": "self", "type": "application/activity+json", "href": "https://example.org/anna"},
        {"rel": "subscribe", "template": "https://example.org/{uri}", "titles": {"und": "x"}},
    ]
    body = answer(*others, link(), link(), properties={"x": None})
    assert webfinger.read(body, ANNA) == Place(did=KEY, origin="mail.example.org:4625")
    assert webfinger.read(answer(*others), ANNA) is None
    assert webfinger.read(b'{"subject":"acct:anna@example.org"}', ANNA) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'"' + b"x" * 20_000,
        b"[" * 10_000,
        b'{"x":' * 3_000,
        b"{}",
        answer(link(), subject=None),
        answer(link(), subject="acct:ben@example.org"),
        answer(link(), subject="acct:anna@example.net"),
        answer(link(), subject="anna@example.org"),
        answer(7),
        answer("self"),
        answer(link(href=7)),
        answer(link(), link(OTHER)),
        answer(link(href=f"ftp://a.example:21/v1/owners/{names.z(KEY)}")),
        answer(link(href=f"https://a.example/v1/owners/{names.z(KEY)}")),
        answer(link(href=f"https://u@a.example:443/v1/owners/{names.z(KEY)}")),
        answer(link(href=f"https://a.example:443/v1/owners/{names.z(KEY)}?x")),
        answer(link(href=f"https://a.example:443/v1/owners/{names.z(KEY)[:-1]}")),
        answer(link(href=f"https://a.example:443/x/v1/owners/{names.z(KEY)}")),
        answer(link(href="https://a.example:443/v1/owners/")),
    ],
)
def test_answers_that_are_none(body: bytes) -> None:
    with pytest.raises(Malformed):
        webfinger.read(body, ANNA)


@given(st.binary(max_size=200))
def test_any_bytes_are_malformed_or_nobody(body: bytes) -> None:
    with suppress(Malformed):
        assert webfinger.read(body, ANNA) is None
