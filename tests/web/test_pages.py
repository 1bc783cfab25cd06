"""Pages of archives, as browsers, feed readers, text browsers and people meet them."""

import contextlib
import gzip
import json
import mailbox
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin
from xml.etree import ElementTree as Xml

import feedparser
import pytest
from playwright.sync_api import Browser

from node.web import sanitise
from tests import browser as browsers
from tests.e2e.homes import Home, clean_env, ended
from tests.e2e.test_archives import mbox
from tests.e2e.test_invite_page import opened

HOSTILE = b"""From: "Eve <b>" <eve@evil.example>
Subject: <script>alert(1)</script> & "quotes" \xff
Date: Thu, 2 Jan 2020 12:00:05 +0000
Message-ID: <evil/../id@x>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html

<p onclick=x()>Hello <img src=http://track.example/1.gif><script>evil()</script>
<a href="javascript:alert(1)">no</a> <a href="https://ok.example/">yes</a>
<style>body{background:url(http://track.example/2)}</style> mail me@example.org</p>
--b
Content-Type: text/html; name="../../evil<b>.html"
Content-Disposition: attachment; filename="../../evil<b>%s.html"

<script>alert(document.domain)</script>
--b--
""".replace(b"%s", b"x" * 80)


def letter(number: int, answers: int | None = None, month: str = "Jan") -> bytes:
    above = f"In-Reply-To: <{answers}@x>\nReferences: <{answers}@x>\n" if answers else ""
    return (
        f"From: Person {number} <p{number}@example.org>\nSubject: letter {number}\n"
        f"Date: Thu, 2 {month} 2020 12:{number % 60:02d}:00 +0000\n"
        f"Message-ID: <{number}@x>\n{above}\n"
        f"Text of letter {number}, write to p{number}@example.org\n"
        f"or see https://example.org/{number}\n"
    ).encode()


MAIL = [
    letter(1),
    letter(2, 1),
    letter(3, 2),
    HOSTILE,
    *(letter(n, None, "Feb") for n in range(4, 124)),
]


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        made = Home(Path(path), "anna")
        with ended([made]):
            made.init()
            made.start()
            made.json("archive", "create", "letters")
            made.json("archive", "add", "letters", "-", data=mbox(MAIL))
            made.json("archive", "publish", "letters")
            yield made


@pytest.fixture(scope="module")
def base(home: Home) -> str:
    return str(home.json("archive", "show", "letters")["url"])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.chromium() as browser:
        yield browser


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """What is at an address; redirects are followed."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=named)) as answer:
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}


def page_of(base: str, subject: str) -> str:
    """The address of a message's page."""
    found = feedparser.parse(get(f"{base}feed/1.atom")[1])
    return next(str(each.link) for each in found.entries if each.title == subject)


# --- in a browser -----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["PHONE", "DESK"])
def test_pages_can_be_read(
    chromium: Browser, base: str, scheme: str, size: str, tmp_path: Path
) -> None:
    paths = ["", "../", "2020-01.html", "search?q=letter", "search"]
    urls = [urljoin(base, path) for path in paths]
    hostile = page_of(base, '<script>alert(1)</script> & "quotes" ÿ')
    urls += [hostile, hostile.replace("/message/", "/thread/"), page_of(base, "letter 2")]
    for number, url in enumerate(urls):
        viewport = getattr(browsers, size)
        page, said = opened(chromium, url, viewport=viewport, color_scheme=scheme)
        page.screenshot(path=tmp_path / f"page-{number}-{size}-{scheme}.png", full_page=True)
        assert not browsers.overflows(page), url
        assert browsers.violations(page) == [], url
        assert said == [], url
        page.close()


def test_html_of_mail_is_safe_in_a_browser(chromium: Browser, base: str) -> None:
    url = page_of(base, '<script>alert(1)</script> & "quotes" ÿ').replace(".html", ".body.html")
    asked: list[str] = []
    page = chromium.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    assert asked == [url]
    assert "Hello" in page.inner_text(".mail")
    assert "me@…" in page.inner_text(".mail")
    assert page.locator(".mail script, .mail img, .mail style, .mail [onclick]").count() == 0
    assert (
        page.locator(".mail a").evaluate_all("all => all.map(a => a.href)")
        == [
            "",
            "https://ok.example/",
        ]
        or page.locator(".mail a[href]").count() == 1
    )
    page.close()


def test_a_conversation_is_shown_as_one(chromium: Browser, base: str) -> None:
    page, _ = opened(chromium, page_of(base, "letter 2"))
    assert page.locator("h1").inner_text() == "letter 2"
    lines = page.locator("ul.rows li").all_inner_texts()
    assert [line.split(" Person")[0] for line in lines] == ["letter 1", "letter 2", "letter 3"]
    assert page.locator("ul.rows [aria-current=page]").inner_text() == "letter 2"
    page.click("text=letter 3")
    assert page.locator("h1").inner_text() == "letter 3"
    page.click("text=on a page of its own")
    assert page.locator("ul.rows li").count() == 3
    page.close()


def test_a_text_browser_reads_it(base: str) -> None:
    program = shutil.which("w3m")
    if program is None:
        pytest.skip("no w3m: apt install w3m")
    done = subprocess.run(
        [program, "-dump", "-cols", "80", page_of(base, "letter 2")],
        capture_output=True, text=True, timeout=30, check=True, env=clean_env(),
    )  # fmt: skip
    assert "Text of letter 2" in done.stdout
    assert "p2@…" in done.stdout
    assert "p2@example.org" not in done.stdout


# --- policy and masks -------------------------------------------------------------------


def test_every_page_has_the_strict_policy(base: str) -> None:
    for path in ("", "2020-01.html", "search?q=x", "feed.atom"):
        status, body, headers = get(base + path)
        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "script" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert b"@example.org" not in body


def test_what_is_attached_is_saved_never_shown(base: str) -> None:
    url = page_of(base, '<script>alert(1)</script> & "quotes" ÿ')
    page = get(url)[1].decode()
    assert "<script>" not in page
    link = urljoin(url, page.split('<li><a href="')[1].split('"')[0])
    status, body, headers = get(link)
    assert status == 200
    assert body.strip() == b"<script>alert(document.domain)</script>"
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in headers["content-security-policy"]
    assert "/" not in headers["content-disposition"].partition("filename=")[2].split(";")[0]
    assert get(link.rpartition("/")[0] + "/9.bin")[0] == 404


def test_only_harmless_markup_is_left() -> None:
    cleaned = sanitise.clean(
        '<svg><a xlink:href="javascript:x()">a</a></svg><math><mtext></mtext></math>'
        '<form action=x><input></form><iframe src=x></iframe><b style="position:fixed">b</b>'
        '<a href="data:text/html,x">c</a><a href="//x.example/">d</a><base href=x>'
        "<meta http-equiv=refresh>"
        "<table background=x><td width=1 colspan=2>e</td></table>"
    )
    assert "b</b>" in cleaned
    for word in (
        "style",
        "svg",
        "form",
        "input",
        "iframe",
        "data:",
        "base",
        "meta",
        "background",
        "width",
    ):
        assert word not in cleaned, word


# --- feeds ------------------------------------------------------------------------------


def test_a_feed_reader_reads_the_feeds(base: str) -> None:
    status, body, headers = get(f"{base}feed.atom")
    assert headers["content-type"].startswith("application/atom+xml")
    found = feedparser.parse(body)
    assert not found.bozo
    assert found.feed.title == "letters"
    assert [each.title for each in found.entries[:2]] == ["letter 123", "letter 122"]
    assert len(found.entries) == 50
    assert "Text of letter 123" in found.entries[0].content[0].value
    status, body, _ = get(f"{base}feed.atom", if_none_match=headers["etag"])
    assert (status, body) == (304, b"")
    items = list(json.loads(get(f"{base}feed.json")[1])["items"])
    assert [str(each["title"]) for each in items[:2]] == ["letter 123", "letter 122"]
    assert items[0]["authors"] == [{"name": "Person 123 (claimed)"}]


def test_all_mail_is_in_the_archived_documents(base: str) -> None:
    """RFC 5005: from the current document back to the first."""
    seen: dict[str, str] = {}
    url: str | None = f"{base}feed.atom"
    while url is not None:
        found = feedparser.parse(get(url)[1])
        assert not found.bozo
        seen |= {each.id: each.title for each in found.entries}
        url = next((e.href for e in found.feed.links if e.rel == "prev-archive"), None)
    assert len(seen) == len(MAIL)
    assert get(f"{base}feed/3.atom")[0] == 404


def test_the_list_of_feeds(base: str) -> None:
    body = get(urljoin(base, "../archives.opml"))[1]
    outline = Xml.fromstring(body).findall("./body/outline")
    assert [each.get("xmlUrl") for each in outline] == [f"{base}feed.atom"]
    assert b'href="letters/"' in get(urljoin(base, "../"))[1]


# --- addresses --------------------------------------------------------------------------


def test_a_message_id_leads_to_the_message(base: str) -> None:
    assert b"<h1>letter 2</h1>" in get(f"{base}id/{quote('2@x')}")[1]
    assert b"<h1>letter 2</h1>" in get(f"{base}id/{quote('<2@x>')}")[1]
    assert get(f"{base}id/{quote('evil/../id@x', safe='')}")[0] == 200
    assert get(f"{base}id/nobody@x")[0] == 404


def test_bytes_are_what_they_were(base: str, tmp_path: Path) -> None:
    url = page_of(base, '<script>alert(1)</script> & "quotes" ÿ')
    _, body, headers = get(url.replace(".html", ".eml"))
    assert body == HOSTILE
    assert headers["content-type"] == "message/rfc822"
    thread = page_of(base, "letter 3").replace("/message/", "/thread/").replace(".html", ".mbox.gz")
    for url, mails in ((thread, MAIL[:3]), (f"{base}2020-02.mbox.gz", MAIL[4:])):
        file = tmp_path / "mbox"
        file.write_bytes(gzip.decompress(get(url)[1]))
        with contextlib.closing(mailbox.mbox(file)) as box:
            found = [bytes(each.as_bytes()) for each in box]
        assert sorted(found) == sorted(mails)


def test_months_have_pages(base: str) -> None:
    page = get(base)[1].decode()
    assert page.index("2020-02.html") < page.index("2020-01.html")
    assert b"120 messages" in get(f"{base}2020-02.html")[1]
    assert get(f"{base}2020-02.p2.html")[0] == 404


def test_words_are_found(base: str) -> None:
    assert b"1 found" in get(f"{base}search?q=letter+117")[1]
    assert b"1 found" in get(f"{base}search?q=Hello")[1]
    assert b"0 found" in get(f"{base}search?q=onclick")[1]
    status, body, _ = get(f"{base}search?q={quote(chr(34) + ' OR * NEAR( ' + '<x>')}")
    assert status == 200
    assert b"<x>" not in body


@pytest.mark.parametrize(
    "path",
    [
        "nothing.html", "2020-13.html", "2021-01.html", "2020-01.p0.html", "message/bafy.html",
        "message/../../x", "thread/b.html", "feed/0.atom", "feed/999999999.atom", "id/", "%00",
        "message/bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy.html", "a/b/c/d",
        "2020-01.p99999.html", "id/" + "x" * 2000,
    ],
)  # fmt: skip
def test_absurd_addresses(base: str, path: str) -> None:
    status, body, _ = get(base + path)
    assert status == 404
    assert json.loads(body)["reason"]


def test_an_address_without_its_slash(base: str) -> None:
    assert b"<h1>letters</h1>" in get(base.rstrip("/"))[1]


# --- what changes -----------------------------------------------------------------------


def test_pages_follow_the_log(home: Home) -> None:
    home.json("archive", "create", "grows")
    home.json("archive", "add", "grows", "-", data=mbox([letter(2, 1)]))
    home.json("archive", "publish", "grows")
    base = str(home.json("archive", "show", "grows")["url"])
    before = get(base)
    first = get(f"{base}feed.atom")[2]["etag"]
    assert b"letter 2" in before[1]
    home.json("archive", "add", "grows", "-", data=mbox([letter(1), letter(3, 2)]))
    home.json("archive", "publish", "grows")
    after = get(base, if_none_match=before[2]["etag"])
    assert after[0] == 200
    assert get(f"{base}feed.atom", if_none_match=first)[0] == 200
    url = f"{base}id/{quote('2@x')}"
    assert b"letter 1" in get(url)[1]
    home.json("archive", "remove", "grows", "0", "--reason", "asked for")
    page = get(base)[1]
    assert b"Person 2" not in page
    found = feedparser.parse(get(f"{base}feed.atom")[1])
    assert sorted(each.title for each in found.entries) == ["letter 1", "letter 3"]
    assert get(url)[0] == 404
    home.stop()
    home.start()
    assert get(base)[1] == page
