"""What the command line makes of words, spans and sizes."""

import io
import json
import sys
from typing import Any

import pytest

from cli import main, render, spans
from cli.contact import ROW
from cli.local import home_of
from cli.state import STATE
from node.errors import Conflict, Usage


@pytest.mark.parametrize(
    ("given", "front", "rest"),
    [
        ("inbox", "", "inbox"),
        ("--json inbox", "--json", "inbox"),
        ("inbox --json --home x", "--json --home x", "inbox"),
        ("inbox --home=x --owner=y", "--home=x --owner=y", "inbox"),
        ("send -m --json --to --home", "", "send -m --json --to --home"),
        ("send --owner ben -m x", "--owner ben", "send -m x"),
        ("read -- --json", "", "read -- --json"),
        ("inbox --home", "", "inbox --home"),
    ],
)
def test_global_options_go_in_front(given: str, front: str, rest: str) -> None:
    assert main.ordered(given.split()) == (front.split(), rest.split())


def test_every_option_with_a_value_is_known() -> None:
    """A value that looks like a global option is still a value: `-s --json`."""
    import typer

    group: Any = typer.main.get_command(main.app)
    commands = [*group.commands.values()]
    for command in group.commands.values():
        commands += getattr(command, "commands", {}).values()
    for command in commands:
        for param in command.params:
            if param.param_type_name == "option" and not param.is_flag:
                assert {*param.opts} <= main.TAKES_VALUE, (command.name, param.opts)


@pytest.mark.parametrize(
    ("text", "millis"),
    [("1s", 1_000), ("45m", 2_700_000), ("12h", 43_200_000), ("30d", 2_592_000_000), (" 2w ", 0)],
)
def test_spans(text: str, millis: int) -> None:
    assert spans.millis(text) == (millis or 14 * 86_400_000)


@pytest.mark.parametrize("text", ["", "0d", "7", "d", "-1d", "1.5d", "1D", "forever", "1d2h", "١d"])
def test_no_spans(text: str) -> None:
    with pytest.raises(Usage):
        spans.millis(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert render.size(count) == text


def test_what_peers_wrote_can_not_drive_a_terminal() -> None:
    assert render.safe("a\x1b[2Jb\r\nc\u202ed\t") == "a�[2Jb��c�d\t"


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(("n", "name"), [("1", "ben"), ("12", "a\x07")])
    assert capsys.readouterr().out == "n   name\n1   ben\n12  a�\n"


def test_deliveries_in_words() -> None:
    row = {"to": "ben", "state": "refused", "reason": "clock", "delayed": True, "next_at": None}
    assert render.delivery(row) == "ben: refused (clock), delayed"
    row = {"to": "ben", "state": "confirmed", "confirmed_at": "2026-11-23T10:02:00.000Z"}
    assert render.delivery(row) == "ben: confirmed 2026-11-23 10:02"
    row = {"to": "ben", "state": "expired"}
    assert (
        render.delivery(row, "2026-11-23T10:02:00.000Z")
        == "ben: expired, not confirmed by 2026-11-23 10:02"
    )


class Terminal(io.StringIO):
    """Standard error of a person."""

    def isatty(self) -> bool:
        return True


def test_hints_and_progress_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert render.progress(1 << 30) is None
    said = Terminal()
    monkeypatch.setattr(sys, "stderr", said)
    monkeypatch.setattr(STATE, "home", None)
    render.hint("willcall inbox")
    assert said.getvalue() == "  next: willcall inbox\n"
    assert render.progress(1000) is None
    told = render.progress(100 << 20)
    assert told is not None
    for done in (1 << 20, (1 << 20) + 1, 100 << 20):
        told(done)
    assert said.getvalue().count("\r") == 2
    assert said.getvalue().endswith("100.0 MiB of 100.0 MiB, 100 %\n")


@pytest.mark.parametrize(
    ("hint", "pasted"),
    [
        ("willcall inbox", "willcall --home '/a b' inbox"),
        ("stop it, then: willcall run", "stop it, then: willcall --home '/a b' run"),
        (
            "willcall inbox, willcall sent",
            "willcall --home '/a b' inbox, willcall --home '/a b' sent",
        ),
        ("willcall send --help", "willcall send --help"),
        ("willcall --home /c run", "willcall --home /c run"),
        ("they run: willcall contact add LINK", "they run: willcall contact add LINK"),
        ("try again later", "try again later"),
    ],
)
def test_hints_go_to_the_same_home(monkeypatch: pytest.MonkeyPatch, hint: str, pasted: str) -> None:
    monkeypatch.setattr(STATE, "home", None)
    assert STATE.pasted(hint) == hint
    monkeypatch.setattr(STATE, "home", "/a b")
    assert STATE.pasted(hint) == pasted


def test_failing_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(STATE, "home", None)
    with pytest.raises(SystemExit) as ended:
        main.fail(Conflict("there is one", next="take another"))
    assert ended.value.code == 73
    assert capsys.readouterr() == ("", "willcall: there is one\n  next: take another\n")
    monkeypatch.setattr(STATE, "json", True)
    with pytest.raises(SystemExit):
        main.fail(Conflict("there is one"))
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {
        "error": "exists", "exit": 73, "detail": "there is one", "next": "willcall quota",
    }  # fmt: skip


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bug_ends_with_seventy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(main, "ran", broken)
    monkeypatch.setattr(STATE, "json", False)
    monkeypatch.setattr(sys, "argv", ["willcall", "inbox", *(["--json"] if as_json else [])])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 70
    out, err = capsys.readouterr()
    assert out == ""
    assert ("Traceback" in err) is not as_json
    if as_json:
        assert json.loads(err)["error"] == "bug"


def test_a_group_of_errors_is_told_by_its_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise ExceptionGroup("two", [ExceptionGroup("one", [Conflict("first")]), Usage("second")])

    monkeypatch.setattr(main, "ran", broken)
    monkeypatch.setattr(sys, "argv", ["willcall", "inbox"])
    monkeypatch.setattr(STATE, "json", False)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 73
    assert "first" in capsys.readouterr().err


def test_which_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    monkeypatch.delenv("WILLCALL_HOME", raising=False)
    assert str(home_of(None)).endswith("willcall")
    monkeypatch.setenv("WILLCALL_HOME", "/y")
    assert str(home_of(None)) == "/y"
    assert str(home_of("/z")) == "/z"


def test_a_contact_has_the_words_of_section_10() -> None:
    words = ("name", "did", "address", "origin", "lane", "mutual", "blocked", "added")
    assert (*words, "verified") == ROW
