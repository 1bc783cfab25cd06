"""An archive as files: the same pages, whole, behind real nginx, for people, readers and nodes."""

import os
import re
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

import feedparser
import pytest
from playwright.sync_api import Browser

from tests import browser as browsers
from tests.e2e.homes import Home, ended
from tests.e2e.test_archives import Web, mbox
from tests.e2e.test_archives_cached import nginx_of, served, snippet
from tests.e2e.test_invite_page import opened
from tests.ports import free_port
from tests.web.test_pages import HOSTILE, MAIL, get, letter

LINK = re.compile(
    rb"""(?:href|url|action)=['"]?([^'" >]+)|"(?:url|home_page_url|feed_url|next_url)": "(.+?)\""""
)
MORE = [
    *(letter(n, None, "Mar") for n in range(200, 410)),  # a month of two pages
    letter(500, 500).replace(b"<500@x>\nIn", b"<slash/500@x>\nIn"),
    letter(501, None, "Apr").replace(b"letter 501", b"the same identity"),
    letter(501, None, "Apr"),
]


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        made = Home(Path(path), "anna")
        with ended([made]):
            made.init()
            made.start()
            for name, mail in (("letters", [*MAIL, *MORE]), ("few", MAIL[:2])):
                made.json("archive", "create", name)
                made.json("archive", "add", name, "-", data=mbox(mail))
                made.json("archive", "publish", name)
            yield made


@pytest.fixture(scope="module")
def site(home: Home) -> Path:
    """Both archives in one folder."""
    folder = home.path.parent / "www"
    for name in ("few", "letters"):
        home.json("archive", "export", name, "--static", str(folder))
    return folder


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """The page's nginx over the files; the address of what is in them."""
    listen = f"127.0.0.1:{free_port()}"
    text = snippet(
        "A web server with files",
        "nginx",
        ("listen 443 ssl;", f"listen {listen};"),
        ("root /srv/www;", f"root {folder};"),
    )
    with (
        tempfile.TemporaryDirectory(prefix="wc-") as work,
        nginx_of(text, listen, "/archives/", Path(work)),
    ):
        yield f"http://{listen}/"


@contextmanager
def simplest(folder: Path) -> Iterator[str]:
    """The least that serves files."""
    with served(folder) as listen:
        yield f"http://{listen}/"


SERVERS = pytest.mark.parametrize("server", [nginx, simplest])


def files(site: Path) -> dict[str, Path]:
    """What was exported, by path."""
    found = {str(each.relative_to(site)): each for each in site.rglob("*") if each.is_file()}
    return {path: file for path, file in found.items() if "/." not in path}


def landed(url: str) -> tuple[str, bytes, dict[str, str]]:
    """Where an address leads to, and what is there."""
    with urllib.request.urlopen(url) as answer:
        return answer.url, answer.read(), {k.lower(): v for k, v in answer.headers.items()}


# --- what is in it ----------------------------------------------------------------------


def test_every_file_is_what_the_node_serves(home: Home, site: Path) -> None:
    """All but the two that are made for files."""
    kinds = Counter[str]()
    with closing(Web(home.listen)) as web:
        for path, file in files(site).items():
            if re.search(r"/search/index\.html$|/id/[^/]+/index\.html$", path):
                continue
            url = "/" + quote(path.removesuffix("index.html"))
            status, body, _ = web.ask(url)
            assert (status, body) == (200, file.read_bytes()), url
            kinds["/".join(path.split("/")[2:])[:7]] += 1
    assert kinds["message"] > 3 * len(MAIL)
    assert kinds["thread/"] == 2 + 2  # of the one conversation in either
    for path in ("index.html", "feed.atom", "feed.json", "2020-03.p2.html", "2020-01.mbox.gz"):
        assert (site / "archives/letters" / path).is_file(), path
    assert {"archives/index.html", "archives/archives.opml"} <= set(files(site))
    assert not list(site.rglob("*.part"))


def test_what_is_attached_can_t_be_taken_for_a_page(site: Path) -> None:
    (name,) = {path for path in files(site) if path.endswith(".bin") and "letters" in path}
    assert re.fullmatch(r"archives/letters/message/b[a-z2-7]+/1\.bin", name)
    pages = b"".join(f.read_bytes() for p, f in files(site).items() if p.endswith(".html"))
    assert b"<script" not in pages
    for path, file in files(site).items():
        if path.endswith(".html"):
            assert b'<meta http-equiv="Content-Security-Policy"' in file.read_bytes(), path


@SERVERS
def test_every_link_leads_to_a_file(server: object, home: Home, site: Path) -> None:
    """From the list of archives through pages and feeds, as a crawler goes."""
    node = f"http://{home.listen}/"
    with server(site) as base:  # type: ignore[operator]  # it is one of the two above
        todo, seen = [f"{base}archives/"], dict[str, str]()
        while todo:
            url = todo.pop()
            url, body, headers = landed(url)
            if not headers["content-type"].split(";")[0].endswith(("html", "xml", "json")):
                continue
            for pair in LINK.findall(body):
                link = (pair[0] or pair[1]).decode().replace("&amp;", "&")
                # Feeds name the node: its addresses are those of the files.
                whole = urljoin(url, link).replace(node, base).partition("#")[0]
                if whole.startswith(base) and whole not in seen:
                    seen[whole] = url
                    todo.append(whole)
    reached = {unquote(urlsplit(url).path).lstrip("/") for url in seen}
    pages = {
        path.removesuffix("index.html")
        for path in files(site)
        if path.endswith((".html", ".atom", ".json", ".gz", ".eml", ".bin", ".opml"))
    }
    # A link to `search` is answered with where its folder is; nobody links to an alias.
    unnamed = {each for each in pages - reached if "/id/" not in each}
    assert unnamed <= {"archives/letters/search/", "archives/few/search/"}


# --- who reads it -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.chromium() as browser:
        yield browser


@pytest.mark.parametrize(("size", "scheme"), [("PHONE", "light"), ("DESK", "dark")])
def test_a_browser_shows_it(
    chromium: Browser, site: Path, size: str, scheme: str, tmp_path: Path
) -> None:
    with nginx(site) as base:
        found = feedparser.parse(get(f"{base}archives/letters/feed/1.atom")[1])
        hostile = next(urlsplit(e.link).path for e in found.entries if "<script>" in e.title)
        below = ["", "2020-03.html", "search?q=x", f"id/{quote('501@x')}/"]
        paths = ["archives/", *(f"archives/letters/{path}" for path in below)]
        paths += [hostile, hostile.replace(".html", ".body.html")]
        first = next(urlsplit(e.link).path for e in found.entries if e.title == "letter 1")
        paths += [first.replace("/message/", "/thread/")]
        for number, path in enumerate(paths):
            url = urljoin(base, path)
            viewport = getattr(browsers, size)
            page, said = opened(chromium, url, viewport=viewport, color_scheme=scheme)
            page.screenshot(path=tmp_path / f"file-{number}-{size}-{scheme}.png", full_page=True)
            assert not browsers.overflows(page), url
            assert browsers.violations(page) == [], url
            assert said == [], url
            assert page.evaluate("document.querySelectorAll('script').length") == 0
            page.close()


def test_a_browser_finds_its_way(chromium: Browser, site: Path) -> None:
    with nginx(site) as base:
        page, _ = opened(chromium, f"{base}archives/letters/id/{quote('2@x')}")
        page.wait_for_url("**/message/*.html")
        assert page.inner_text("h1") == "letter 2"
        page.click("nav >> text=letters")
        page.fill("#q", "letter")
        page.click("button")
        assert "files can't search" in page.inner_text("main")
        page.click("text=by month")
        assert page.inner_text("h1") == "letters"
        page.close()


def test_what_is_attached_is_saved(site: Path) -> None:
    with nginx(site) as base:
        for path in files(site):
            if path.endswith(".bin"):
                _, body, headers = get(base + path)
                assert body.strip() == b"<script>alert(document.domain)</script>"
                assert headers["content-type"] == "application/octet-stream"
                assert headers["content-disposition"] == "attachment"
                assert headers["content-security-policy"] == "sandbox"
        assert get(f"{base}archives/letters/.willcall-files")[0] == 404
        mail = [path for path in files(site) if path.endswith(".eml")]
        (hostile,) = [path for path in mail if (site / path).read_bytes() == HOSTILE]
        assert get(base + hostile)[1] == HOSTILE


def test_a_node_follows_the_files(site: Path, tmp_path: Path) -> None:
    ben = Home(tmp_path, "ben")
    with ended([ben]), nginx(site) as base:
        ben.init()
        ben.start()
        ben.json("archive", "follow", f"{base}archives/few/")
        polled = {"name": "few", "before": 0, "after": 2, "verified": True}
        assert ben.json("archive", "poll", "few") == polled
        assert ben.run("archive", "read", "few", "1", "--raw").out == MAIL[1]


# --- again ------------------------------------------------------------------------------


def test_only_what_changed_is_written(home: Home, tmp_path: Path) -> None:
    home.json("archive", "create", "grows")
    home.json("archive", "add", "grows", "-", data=mbox([*MAIL, *MORE]))
    home.json("archive", "publish", "grows")

    def export() -> tuple[set[str], dict[str, int]]:
        """What it wrote, and what it said."""
        before = {path: file.stat().st_ino for path, file in files(tmp_path).items()}
        said = home.json("archive", "export", "grows", "--static", str(tmp_path))
        after = {path: file.stat().st_ino for path, file in files(tmp_path).items()}
        assert said["files"] == len(after) - kept
        # A file that is replaced is another one.
        return {path for path in after if before.get(path) != after[path]}, said

    kept = 0
    first, said = export()
    assert len(first) == said["written"] == said["files"]
    again, said = export()
    assert (again, said["written"], said["removed"]) == (set(), 0, 0)

    home.json("archive", "add", "grows", "-", data=mbox([letter(600, 3)]))
    kept += 2 + 2  # a partial tile and bundle stay, in each of two folders
    wrote, said = export()
    assert len(wrote) == said["written"]
    short = (path.removeprefix("archives/grows/") for path in wrote)
    names = {re.sub(r"b[a-z2-7]{50,}", "CID", path) for path in short}
    assert names == {
        "ipfs/CID", "message/CID.html", "message/CID.eml", "id/600@x/index.html",
        "thread/CID.html", "thread/CID.mbox.gz", "2020-01.html", "2020-01.mbox.gz", "index.html",
        "feed.atom", "feed.json", "archives/index.html", "checkpoint", "1/checkpoint",
        *(p for p in names if "tile/" in p),
    }  # fmt: skip
    # Of messages only those of the conversation that grew.
    assert len([path for path in wrote if "/message/" in path]) == 2 + 3

    home.json("archive", "remove", "grows", "0", "--reason", "asked for")
    kept += 2 + 2
    wrote, said = export()
    assert said["removed"] == 1 + 1 + 1  # the block, the .eml, the alias
    assert not [p for p, f in files(tmp_path).items() if b"Text of letter 1," in f.read_bytes()]

    # What somebody deleted or cut is there again.
    victim = tmp_path / "archives/grows/2020-02.html"
    victim.unlink()
    (tmp_path / "archives/grows/feed.json").write_bytes(b"")
    os.unlink(next((tmp_path / "ipfs").iterdir()))
    assert export()[1]["written"] == 3
    # And without its notes it compares everything.
    (tmp_path / "archives/grows/.willcall-files").write_bytes(b"no notes" * 100)
    assert export()[1]["written"] == 0


def test_it_says_what_it_can_t(home: Home, tmp_path: Path) -> None:
    assert home.refuses(67, "archive", "export", "none", "--static", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "archives").write_bytes(b"")
    assert home.refuses(74, "archive", "export", "few", "--static", str(tmp_path))
