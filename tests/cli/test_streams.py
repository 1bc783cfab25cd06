"""What the program does with streams that are closed, full, or not in UTF-8."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def shell(line: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a line of a shell in which `willcall` is the program."""
    function = f'willcall() {{ {sys.executable} -m cli "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", function + line], env=os.environ | env, capture_output=True, timeout=60
    )


@pytest.mark.parametrize(
    "words", ["version", "version --json", "man", "config show --home /nosuch"]
)
def test_a_full_disk_behind_standard_output(words: str) -> None:
    done = shell(f"willcall {words} > /dev/full")
    assert b"Traceback" not in done.stderr
    if "config" in words:
        assert done.returncode == 78
        return
    assert done.returncode == 74
    assert b"standard output can't be written: No space left on device" in done.stderr
    if "--json" in words:
        assert json.loads(done.stderr)["error"] == "disk-full"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"),
    [("version", 0), ("nosuch", 64), ("send --to ben --home /nosuch", 64), ("man", 0)],
)
def test_closed_streams_are_nothing(closed: str, words: str, code: int) -> None:
    done = shell(f"willcall {words} {closed}")
    assert (done.returncode, b"Traceback" in done.stderr) == (code, False)


def test_a_letter_that_the_encoding_has_not_is_escaped(tmp_path: Path) -> None:
    home, ascii_only = tmp_path / "ü", {"PYTHONIOENCODING": "ascii"}
    home.mkdir()
    (home / "config.toml").write_text("")
    done = shell(f"willcall config check --home {home}", **ascii_only)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xfc/config.toml: nothing wrong" in done.stdout
    document = json.loads(shell(f"willcall config check --json --home {home}", **ascii_only).stdout)
    assert document["file"] == str(home / "config.toml")
    said = json.loads(shell("willcall --json nosüch", **ascii_only).stderr)
    assert "nosüch" in said["detail"]
