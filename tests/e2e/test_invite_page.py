"""The page behind an invite link, as a browser, a text browser and a person meet it."""

import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests import browser as browsers
from tests.conftest import CHECKOUT
from tests.e2e.conftest import Make
from tests.e2e.homes import Home, clean_env


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture
def anna(make: Make) -> Home:
    home = make("anna")
    home.start()
    return home


def opened(chromium: Browser, url: str, **options: object) -> tuple[Page, list[str]]:
    """A page, and whatever the browser had against it."""
    said: list[str] = []
    page = chromium.new_page(**options)  # type: ignore[arg-type]
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.goto(url)
    return page, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["PHONE", "DESK"])
def test_it_can_be_read(
    chromium: Browser, anna: Home, scheme: str, size: str, tmp_path: Path
) -> None:
    link = anna.json("invite")["link"]
    viewport = getattr(browsers, size)
    page, said = opened(chromium, link, viewport=viewport, color_scheme=scheme)
    page.screenshot(path=tmp_path / f"invite-{size}-{scheme}.png", full_page=True)
    assert page.inner_text("h1") == "anna invites you to exchange mail by willcall"
    assert f"willcall contact add '{link}'" in page.inner_text("pre >> nth=1")
    assert not page.is_visible("#by-hand")
    assert not page.is_visible("#cut")
    assert not browsers.overflows(page)
    assert browsers.violations(page) == []
    assert said == []
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (lightness == "rgb(25, 25, 23)") is (scheme == "dark")
    page.close()


def test_the_line_it_shows_makes_a_contact(chromium: Browser, anna: Home, make: Make) -> None:
    ben = make("ben")
    ben.start()
    page, _ = opened(chromium, anna.json("invite")["link"])
    line = page.inner_text("pre >> nth=1")
    page.close()
    done = subprocess.run(
        ["sh", "-c", line.replace("willcall", f'"{sys.executable}" -m cli', 1)],
        cwd=CHECKOUT,
        env=clean_env() | {"WILLCALL_HOME": str(ben.path)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"anna is a contact" in done.stdout


@pytest.mark.parametrize(
    "tail", ["", "#", "#short", "#'; touch /tmp/x; '", "#" + "x" * 23, "#" + "x" * 21 + "%"]
)
def test_what_is_no_token_stays_out_of_the_line(chromium: Browser, anna: Home, tail: str) -> None:
    link = anna.json("invite")["link"].partition("#")[0]
    page, _ = opened(chromium, link + tail)
    assert page.inner_text("pre >> nth=1") == f"willcall contact add '{link}#TOKEN'"
    assert page.is_visible("#cut")
    # The right address, pasted into the same tab, mends it: only the fragment changes.
    page.goto(anna.json("invite")["link"])
    assert not page.is_visible("#cut")
    page.close()


def test_without_script_it_says_what_to_do(chromium: Browser, anna: Home) -> None:
    link = anna.json("invite")["link"]
    page, _ = opened(chromium, link, java_script_enabled=False)
    assert link.partition("#")[0] + "#TOKEN" in page.inner_text("pre >> nth=1")
    assert "22 characters" in page.inner_text("#by-hand")
    assert not page.is_visible("#cut")
    page.close()


def test_a_text_browser_reads_it(anna: Home) -> None:
    if shutil.which("w3m") is None:
        pytest.skip("no w3m: apt install w3m")
    url = anna.json("invite")["link"].partition("#")[0]
    done = subprocess.run(
        ["w3m", "-dump", "-cols", "60", "-T", "text/html"],
        input=_get(url)[2],
        capture_output=True,
        check=True,
        timeout=20,
    )
    text = done.stdout.decode()
    assert "anna invites you" in text
    assert "willcall contact add" in text
    assert "22 characters" in " ".join(text.split())


def test_nobody_is_there(chromium: Browser, anna: Home) -> None:
    stranger = "z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
    for last in (stranger, "z6Mk", "%27", "x" * 300):
        url = f"http://127.0.0.1:{anna.port}/i/{last}"
        assert _get(url)[0] == 404
        page, _ = opened(chromium, url, viewport=browsers.PHONE, color_scheme="dark")
        assert page.inner_text("h1") == "Nobody is found at this address"
        assert browsers.violations(page) == []
        page.close()


def test_headers_and_head(anna: Home) -> None:
    url = anna.json("invite")["link"].partition("#")[0]
    status, headers, body = _get(url)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert headers["content-disposition"] == "inline"
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    again = _get(url, "HEAD")
    assert again[2] == b""
    assert again[1]["content-length"] == str(len(body))
    assert again[1]["content-security-policy"] == headers["content-security-policy"]
    # What a messenger hangs on to an address does not matter.
    assert _get(url + "?utm=a/b&x=%2f")[2] == body


def test_the_source_is_the_operator_s_to_name(make: Make) -> None:
    anna = make("anna")
    anna.configure(invite={"source": "https://code.example/willcall.git"})
    anna.start()
    _, _, body = _get(anna.json("invite")["link"].partition("#")[0])
    assert b"git clone https://code.example/willcall.git willcall" in body
    anna.stop()
    anna.configure(invite={"source": "https://code.example/a; rm -rf ~"})
    done = anna.run("--json", "run")
    assert "invite.source" in done.failure(78)["detail"]


def _get(url: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, _lower(answer.headers.items()), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _lower(error.headers.items()), error.read()


def _lower(pairs: object) -> dict[str, str]:
    return {key.lower(): value for key, value in pairs}  # type: ignore[attr-defined]
