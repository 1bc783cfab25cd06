"""The page for the invited: what stands on it, whatever an owner is called."""

import base64
import hashlib
import re
import shlex
from html.parser import HTMLParser

import pytest

from node.discovery import page

DID = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
HEAD = "https://mail.example:4625/i/z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"


def made(name: str | None = "anna", reach: str = "anywhere", source: str = "") -> str:
    return page.invited(name=name, did=DID, head=HEAD, reach=reach, source=source).decode()


class Reader(HTMLParser):
    """The tags of a page, and the text of each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self._open:
            self.texts[tag] = self.texts.get(tag, "") + data


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><b>', "&lt;", "$did", "ä'ö", None]
)
def test_a_name_is_only_a_name(name: str | None) -> None:
    plain, told = Reader(made()), Reader(made(name))
    assert told.tags == plain.tags
    assert (name or "Somebody") + " invites you" in told.texts["h1"]


def test_the_policy_allows_what_is_there_and_nothing_else() -> None:
    for text in (made(), page.nobody().decode()):
        for tag in ("style", "script"):
            for inside in re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL):
                digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
                assert f"{tag}-src 'sha256-{digest}'" in page.POLICY
        assert not re.search(r"\b(src|href|style|action|on\w+)=", text)
    assert page.POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in page.POLICY


def test_three_lines_install_it() -> None:
    source = "https://code.example/willcall.git"
    for each in ("", source):
        assert len(page.install(each)) == 3
        assert "\n".join(page.install(each)) in Reader(made(source=each)).texts["pre"]
    assert shlex.split(page.install(source)[0])[:3] == ["git", "clone", source]


def test_it_says_where_the_link_leads() -> None:
    assert "the computer it was made on" in made(reach="this machine")
    assert "inside the network" in made(reach="this network")
    assert "can be used only" not in made(reach="anywhere")
