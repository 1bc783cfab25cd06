"""Addresses of archives."""

import pytest

from node.archive import place
from node.archive.place import Place, check_name, check_new_name, link, parse
from node.encoding import names
from node.errors import Malformed
from node.units import Key

KEY = Key(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
Z = names.z(KEY)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("http://127.0.0.1:4625/archives/cats/", ("127.0.0.1:4625", "", "cats")),
        ("http://127.0.0.1:4625/archives/cats", ("127.0.0.1:4625", "", "cats")),
        ("http://127.0.0.1:4625/archives/cats/3/", ("127.0.0.1:4625", "", "cats")),
        ("http://[::1]:4625/archives/cats/", ("[::1]:4625", "", "cats")),
        ("http://10.0.0.7/archives/cats/", ("10.0.0.7:80", "", "cats")),
        ("https://Example.org/archives/Cats-2/", ("example.org:443", "", "Cats-2")),
        ("https://example.org:8443/a/b/archives/c.d/", ("example.org:8443", "/a/b", "c.d")),
        ("https://example.org/archives/a/archives/x", ("example.org:443", "/archives/a", "x")),
    ],
)
def test_addresses(text: str, at: tuple[str, str, str]) -> None:
    found = parse(text)
    assert (found.origin, found.root, found.name) == at
    assert found.owner is None
    assert parse(found.url) == found
    assert parse(link(found.url, KEY)).owner == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cats",
        "ftp://example.org/archives/cats/",
        "https://example.org/cats/",
        "https://example.org/archives/",
        "https://example.org/archives/../",
        "https://example.org/archives/12/",
        "https://example.org/archives/cats/0/",
        "https://example.org/archives/cats/x/",
        "https://example.org/archives/cats/?a=b",
        "https://example.org/archives/c%20ats/",
        "https://a@example.org/archives/cats/",
        "https://127.0.0.1/archives/cats/",
        "http://example.org/archives/cats/",
        f"https://example.org/archives/cats/#{Z[:-1]}",
        "https://example.org/archives/cats/#x",
        "https://example.org:99999/archives/cats/",
        f"https://example.org/{'a' * 500}/archives/cats/",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)


@pytest.mark.parametrize("name", ["a", "cats", "Cats_2", "a.b-c", "2026-kitchen", "x" * 64])
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "7", "-a", "a-", ".a", "a..b", "a/b", "a b", "é", "x" * 65, "a+b", "a\n"]
)
def test_no_names(name: str) -> None:
    with pytest.raises(Malformed):
        check_name(name)


def test_where_it_is() -> None:
    at = Place(origin="127.0.0.1:4625", root="", name="cats")
    assert (at.base, at.url) == ("/archives/cats/", "http://127.0.0.1:4625/archives/cats/")
    assert place.NAME.fullmatch("cats")


@pytest.mark.parametrize("name", ["archives.opml", "index.html"])
def test_files_beside_the_archives_are_no_new_ones(name: str) -> None:
    check_name(name)
    check_new_name(f"x{name}")
    with pytest.raises(Malformed, match="beside"):
        check_new_name(name)
