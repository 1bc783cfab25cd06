"""What every command says of itself: an example that parses, a manual, completion."""

import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest
import typer

from cli import completing, helping, manual
from cli.main import app, ordered
from cli.state import STATE
from tests.e2e.homes import willcall

ROOT: Any = helping.tidied(typer.main.get_command(app))
EVERY = list(helping.commands(ROOT))
OPERATORS = re.compile(r"\s(?:[|<>]|&&|&$).*")


def parse(words: list[str]) -> None:
    """Lets each command of a line take its words, as the program does; none is run."""
    front, rest = ordered(words)
    here = ROOT.make_context("willcall", front + rest)
    while helping.subcommands(here.command):
        left = [*here._protected_args, *here.args]
        if not left:
            assert here.command.invoke_without_command
            return
        name, command, left = here.command.resolve_command(here, left)
        here = command.make_context(name, left, parent=here)


def test_help_for_programs() -> None:
    done = willcall("--json", "help", "contact", "add")
    assert (done.document()["command"], done.err) == ("willcall contact add", "")
    assert "Usage: willcall contact add" in done.document()["help"]


@pytest.mark.parametrize("path", [" ".join(path) for _, path in EVERY])
def test_every_help_has_an_example_that_works(path: str) -> None:
    context = helping._found(ROOT.make_context("willcall", ["whoami"]), path.split())
    lines = [line.strip() for line in context.get_help().splitlines()]
    examples = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    assert examples
    for example in examples:
        words = shlex.split(OPERATORS.sub("", example))
        assert words[0] == "willcall"
        parse(words[1:])
    assert any(example.startswith(f"willcall {path}".strip()) for example in examples)


def test_an_example_that_does_not_work_is_found() -> None:
    for words in (["inbox", "--nosuch"], ["contact", "nosuch"], ["contact", "add"], ["nosuch"]):
        with pytest.raises(typer.exceptions.TyperException):
            parse(words)


def test_examples_in_any_form() -> None:
    text = "Does it. Examples: willcall a 1    willcall b | willcall c\n    willcall d 'e\n   f'"
    assert helping.parted(text) == (
        "Does it.",
        ["willcall a 1", "willcall b |", "willcall c", "willcall d 'e f'"],
    )
    assert helping.parted("No more than this.") == ("No more than this.", [])


def test_the_manual_names_every_command_and_option() -> None:
    page = manual.page(ROOT, "1.2.3")
    for command, path in EVERY:
        if path and not helping.subcommands(command):
            assert f"\n.SS willcall {' '.join(path)}\n" in page
            for each in command.params:
                if each.param_type_name == "option" and "--help" not in each.opts:
                    assert manual.escaped(each.opts[-1]) in page
    assert "\b" not in page


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="apt install mandoc")
def test_the_manual_is_well_formed() -> None:
    page = manual.page(ROOT, "1.2.3").encode()
    lint = ["mandoc", "-T", "lint", "-W", "warning"]
    said = subprocess.run(lint, input=page, capture_output=True, check=False).stdout.decode()
    # A page made at any time has no date of its own.
    assert [line for line in said.splitlines() if "missing date" not in line] == []
    shown = subprocess.run(
        ["mandoc", "-T", "utf8"], input=page, capture_output=True, check=True
    ).stdout.decode()
    assert "willcall send --to ben -s Hi -m 'Hello!'" in re.sub(".\b", "", shown)


class Answers:
    """A node that answers with what is given; None: it does not."""

    hurry = None

    def __init__(self, **rows: Any) -> None:
        self.rows = rows

    def get(self, word: str, **_: Any) -> Any:
        return self.rows[word]


def offered(offer: Any, begun: str, monkeypatch: pytest.MonkeyPatch, **rows: Any) -> list[str]:
    monkeypatch.setattr(type(STATE), "local", lambda self: Answers(**rows))
    context = ROOT.make_context("willcall", ["whoami"])
    return [word for word, _ in offer(context, begun)]


def test_what_a_shell_would_obey_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["ben", "bob", "$(reboot)", "b`x`", "b;ls", "b|x", "b'x", "b>x", "b*", "Bjørn", "bé"]
    rows = [{"name": name, "origin": None} for name in names]
    assert offered(completing.contact, "b", monkeypatch, contacts=rows) == ["ben", "bob", "bé"]
    assert offered(completing.recipient, "ann,b", monkeypatch, contacts=rows) == [
        "ann,ben", "ann,bob", "ann,bé",
    ]  # fmt: skip


def test_remarks_are_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"n": 3, "message": "bafy", "from": "x", "subject": "a'; rm -rf ~ #$(b)", "state": "new"}
    monkeypatch.setattr(type(STATE), "local", lambda self: Answers(inbox=[row]))
    context = ROOT.make_context("willcall", ["whoami"])
    assert completing.received(context, "") == [("3", "x a rm -rf b ")]


def test_without_a_node_nothing_is_offered(tmp_path: Any) -> None:
    context = ROOT.make_context("willcall", ["--home", str(tmp_path), "whoami"])
    assert completing.contact(context, "") == []
