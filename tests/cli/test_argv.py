"""Words that are not text in UTF-8: told at one place, but for the names of files."""

import json
from pathlib import Path

import pytest
import typer

from cli import argv, helping, main
from node.errors import Usage
from tests.cli.test_streams import shell

ODD = "Gr\udcfc\udcdfe"
"""`Gr\\xfc\\xdfe`, Latin-1, as Python hands it over."""


@pytest.mark.parametrize(
    "words",
    [
        "--home ODD init",
        "--home=ODD inbox",
        "--owner ODD inbox",
        "--owner ODD send --to ben x.txt",
        "--node http://ODD inbox",
        "send --to ben -s ODD -m x",
        "send --to ben --subject=ODD -m x",
        "send --to ben -m ODD",
        "send --to ODD -m x",
        "contact show ODD",
        "contact add ODD",
        "contact verify ODD",
        "owner add ODD",
        "find ODD",
        "read ODD",
        "allow did:key:z6Mk --as ODD",
        "ODD",
        "--ODD",
        "completion ODD",
        "archive create ODD",
        "reply 3 -s ODD x.txt",
        "reply 3 x.txt -s ODD",
    ],
)
def test_what_is_no_text_is_said_once(words: str) -> None:
    with pytest.raises(Usage, match="is not text in UTF-8") as caught:
        argv.check(program(), words.replace("ODD", ODD).split(" "))
    assert "'Gr\\xfc\\xdfe'" in caught.value.text or "Gr\\xfc\\xdfe" in caught.value.text
    assert caught.value.next == "type it in a terminal that is set to UTF-8"


@pytest.mark.parametrize(
    "words",
    [
        "send --to ben ODD",
        "send --to ben --attach ODD -m x",
        "send --to ben --attach=ODD -m x",
        "send --to ben --raw ODD",
        "send --to ben --mbox ODD",
        "reply 3 ODD",
        "read 3 --save ODD",
        "export --mbox ODD",
        "export --maildir ODD",
        "import ODD",
        "backup ODD",
        "backup verify ODD",
        "restore ODD",
        "report 3 --verify ODD",
        "policy try ODD",
        "archive add kitchen ODD",
        "archive export kitchen --static ODD",
        "owner remove ben --mbox ODD",
        "--json --home x export --mbox ODD",
        "send --to ben --keep-sent ODD",
        "send --to ben -- ODD",
        "send -s Grüße -m x",
    ],
)
def test_a_file_may_be_called_anything(words: str) -> None:
    argv.check(program(), words.replace("ODD", ODD).split(" "))


def program() -> helping.Command:
    return typer.main.get_command(main.app)


@pytest.mark.parametrize(
    "line",
    [
        r"willcall --home HERE/$'\xfc' init",
        r"WILLCALL_HOME=HERE/$'\xfc' willcall init",
        r"WILLCALL_HOME=HERE/$'\xfc' willcall inbox",
        r"HOME=HERE/$'\xfc' willcall init",
        r"willcall --home HERE contact show $'\xfc'",
        r"willcall --home HERE send --to ben -m x -s $'\xfc'",
    ],
)
def test_the_door(line: str, tmp_path: Path) -> None:
    line = line.replace("HERE", str(tmp_path))
    done = shell(line)
    assert not list(tmp_path.iterdir())
    assert (done.returncode, done.stdout) == (64, b"")
    assert rb"\xfc" in done.stderr.splitlines()[0]
    assert b"is not text in UTF-8" in done.stderr.splitlines()[0]
    assert b"next: " in done.stderr.splitlines()[1]
    assert len(done.stderr.splitlines()) == 2
    said = json.loads(shell(f"{line} --json").stderr)
    assert (said["error"], said["exit"]) == ("usage", 64)


def test_the_name_of_a_file_is_shown_as_it_can_be_typed(tmp_path: Path) -> None:
    done = shell(rf"willcall --home {tmp_path} restore $'/nosuch/\xfc'")
    assert rb"/nosuch/\xfc" in done.stderr
    assert b"udcfc" not in done.stderr
