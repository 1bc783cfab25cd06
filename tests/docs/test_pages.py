"""What the pages name is there: commands, files, settings, exit codes, limits, tests."""

import re
from pathlib import Path

import msgspec
import pytest

from cli import reasons
from node import config, errors, limits
from node.errors import WillcallError
from node.store import keyspace
from node.store.keyspace import Layout
from node.units import DAY, GIB, HOUR, KIB, MIB, MINUTE
from tests.conftest import CHECKOUT
from tests.docs import pages

OPERATIONS = (pages.DOCS / "operations.md").read_text(encoding="utf-8")
ARCHITECTURE = (pages.DOCS / "architecture.md").read_text(encoding="utf-8")
PROMISES = (pages.DOCS / "promises.md").read_text(encoding="utf-8")
SECURITY = (pages.DOCS / "security.md").read_text(encoding="utf-8")

every_page = pytest.mark.parametrize("page", pages.pages(), ids=pages.name)


@every_page
def test_every_command_line_parses(page: Path) -> None:
    for words in pages.calls(page.read_text(encoding="utf-8")):
        command = _command(words)
        if command is None:
            continue
        shown = pages.help_of(*command)
        assert shown, f"there is no command: willcall {' '.join(words)}"
        for option in _options(words):
            known = re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown)
            assert known or option in pages.GLOBALS, f"{option}: willcall {' '.join(words)}"


def _command(words: list[str]) -> list[str] | None:
    """The command's words; None: only global options stand there."""
    left = list(words)
    while left and left[0].startswith("-"):
        if left.pop(0) in ("--home", "--node", "--owner") and left:
            left.pop(0)
    if not left:
        return None
    deep = 1
    while len(left) > deep and left[deep] in pages.commands(*left[:deep]):
        deep += 1
    return left[:deep]


def _options(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]


def test_unknown_commands_would_be_found() -> None:
    assert pages.commands() >= {"init", "run", "send"}
    assert pages.commands("contact") >= {"add", "list"}
    assert not pages.help_of("no-such-command")
    text = "`willcall --home ~/a contact add X` and\n```sh\nwillcall run & b=$(willcall who)\n```\n"
    assert list(pages.calls(text)) == [
        ["run"],
        ["who"],
        ["--home", "~/a", "contact", "add", "X"],
    ]


@every_page
def test_every_link_resolves(page: Path) -> None:
    for link in pages.links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in pages.anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", [p for p in pages.pages() if p.parent != CHECKOUT], ids=pages.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for word in pages.words_in_code(page.read_text(encoding="utf-8")):
        path, _, function = word.partition("::")
        if not re.fullmatch(r"(node|cli|tests|docs|typings|bootstrap)(/[\w.-]*)+", path):
            continue
        assert (CHECKOUT / path).exists(), word
        if function:
            assert f"def {function}(" in (CHECKOUT / path).read_text(encoding="utf-8"), word


def test_every_promise_names_a_test() -> None:
    what_holds = SECURITY.split("\n## What holds\n")[1].split("\n## ")[0]
    promises = re.split(r"^\d+\. ", what_holds, flags=re.MULTILINE)[1:]
    assert len(promises) > 10
    for promise in promises:
        assert re.search(r"`tests/[\w/]+\.py", promise), promise


def test_each_of_the_sixteen_promises_has_its_mechanism_and_its_tests() -> None:
    rows = re.findall(r"^\| (I\d+) \| (.+) \|$", PROMISES, flags=re.MULTILINE)
    names = [f"I{number}" for number in range(1, 17)]
    assert [name for name, _ in rows] == [*names, *names]
    for name, text in rows[:16]:
        assert re.search(r"`node/[\w/]+\.py`", text), name
    for name, text in rows[16:]:
        # That the named tests are there, `test_every_file_that_is_named_exists` looks.
        assert re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+`(, )?)+", text), name


def test_tables_of_the_store() -> None:
    told = {
        row[0].strip("`"): (row[1], set(pages.words_in_code(row[3])))
        for row in pages.table(ARCHITECTURE, "## What the store holds")
    }
    layouts = {name: value for name, value in vars(keyspace).items() if isinstance(value, Layout)}
    assert len({layout.letter for layout in layouts.values()}) == len(layouts)
    assert told == {
        name: (layout.letter.decode(), {*layout.indexes, *layout.aliases})
        for name, layout in layouts.items()
    }


def test_settings() -> None:
    told = {row[0].strip("`"): row[1] for row in pages.table(OPERATIONS, "## Settings")}
    written = config.print_toml(config.Config())
    assert told.keys() == {
        f"{section}.{key}"
        for section, values in msgspec.to_builtins(config.Config()).items()
        for key in values
    }
    for key, default in told.items():
        line = f"{key.partition('.')[2]} = {default.strip('`')}"
        known = {text.removeprefix("# ") for text in written.splitlines()}
        assert line in known or default == "none", key


def test_why_nothing_moves() -> None:
    """Every word that is explained in a sentence is in the table, in its world."""
    told: dict[str, set[str]] = {}
    for words, whose, _ in pages.table(OPERATIONS, "## Why nothing moves"):
        told.setdefault(whose, set()).update(re.findall(r"`([a-z0-9-]+)`", words))
    assert told == {
        "nobody was reached": set(reasons.NOT_REACHED),
        "somebody else was reached": set(reasons.OTHERS_REACHED),
        "their node said no": set(reasons.SAID_NO) | {"expired"},
    }


def test_exit_codes() -> None:
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, WillcallError)
    ]
    told = {
        word: int(row[0])
        for row in pages.table(OPERATIONS, "## Exit codes")
        for word in pages.words_in_code(row[2])
    }
    assert told == {each.__name__: each.exit_code for each in classes}


def test_limits() -> None:
    rows = pages.table(OPERATIONS, "## Limits")
    assert len(rows) > 10
    for name, value, reason in rows:
        assert reason
        assert _shown(value) == getattr(limits, name.strip("`")), name


def _shown(text: str) -> int:
    units = {
        "KiB": KIB, "MiB": MIB, "GiB": GIB, "min": MINUTE, "h": HOUR, "d": DAY, "": 1,
    }  # fmt: skip
    number, _, unit = text.partition(" ")
    return int(number) * units[unit]
