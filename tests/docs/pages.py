"""The pages of the documentation, and what can be picked out of them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import CHECKOUT

DOCS = CHECKOUT / "docs"
GLOBALS = {"--home", "--node", "--owner", "--json", "--help", "-h"}

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CALL = re.compile(r"(?:^|[;&|(] *)willcall +(.+)", re.MULTILINE)
_END = re.compile(r"[)|&;#]|\"\$\(|\n")


def pages() -> list[Path]:
    """All pages that people read, but the specification: its own tests hold that."""
    found = [*CHECKOUT.glob("*.md"), *DOCS.glob("*.md")]
    found += [*DOCS.glob("decisions/*.md"), *DOCS.glob("guide/*.md")]
    return sorted(found)


def name(path: Path) -> str:
    """How a test calls a page."""
    return str(path.relative_to(CHECKOUT))


def fences(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [block for kind, block in _FENCE.findall(text) if kind == language]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text)


def words_in_code(text: str) -> list[str]:
    """What stands between backticks, outside of fenced blocks."""
    return _INLINE.findall(prose(text))


def links(text: str) -> list[str]:
    """Where the links go, outside of fenced blocks."""
    return _LINK.findall(prose(text))


def calls(text: str) -> Iterator[list[str]]:
    """The words after `willcall` of each command line, in shell blocks and between backticks."""
    for code in [*fences(text, "sh"), *words_in_code(text)]:
        # A command inside another one's argument is a call as well.
        for at in re.finditer(r"(?=willcall )", code):
            found = _CALL.match(code[at.start() :])
            if found and _stands_alone(code, at.start()):
                yield _END.split(found[1])[0].split()


def _stands_alone(code: str, at: int) -> bool:
    """Whether a command may begin here."""
    return code[:at].rstrip(" ")[-1:] in ("", "\n", ";", "&", "|", "(")


def table(text: str, heading: str) -> list[list[str]]:
    """The rows of the first table after a heading, without its head."""
    section = text.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def anchors(text: str) -> set[str]:
    """What `#…` may point to on a page."""
    heads = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@cache
def help_of(*command: str) -> str:
    """What `willcall COMMAND --help` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "cli", *command, "--help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


@cache
def commands(*group: str) -> frozenset[str]:
    """The commands that `--help` lists."""
    listed = help_of(*group).partition("\nCommands:\n")[2]
    return frozenset(re.findall(r"^  (\w[\w-]*)", listed, re.MULTILINE))
