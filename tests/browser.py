"""A real browser for tests of pages: Debian's chromium, without a window.

What is not there is said: without chromium these tests are skipped, with the package's name.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PHONE = {"width": 320, "height": 640}
"""CSS pixels: the narrowest that WCAG 2.2 (1.4.10, reflow) asks for."""
DESK = {"width": 1280, "height": 800}

AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe has against a page: rule, and the first element it is about."""
    page.evaluate(AXE)
    options = {"runOnly": {"type": "tag", "values": RULES}}
    found: Any = page.evaluate("options => axe.run(document, options)", options)
    assert found["passes"], "axe looked at nothing"
    return [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]]


def overflows(page: Page) -> bool:
    """Whether a reader has to scroll sideways."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return wide
