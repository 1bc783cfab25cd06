"""The README's first mail, run as it stands there: real processes, real sockets."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.docs import pages

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
SECONDS = 120


def first_mail() -> str:
    """The block under its heading."""
    section = README.split("\n## From nothing to first mail\n")[1].split("\n## ")[0]
    return pages.fences(section, "sh")[0]


@pytest.fixture
def house() -> Iterator[Path]:
    """A home directory with a short path: a node's socket lies in it."""
    with tempfile.TemporaryDirectory(prefix="wc-") as folder:
        yield Path(folder)


def run(script: str, house: Path) -> str:
    """What a shell prints that runs `script`; nothing it started is left behind."""
    here = Path(sys.executable).parent
    env = os.environ | {"HOME": str(house), "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    for name in ("WILLCALL_HOME", "XDG_DATA_HOME"):
        env.pop(name, None)
    shell = subprocess.Popen(
        ["bash", "-eu", "-c", script + "wait\n"],
        cwd=CHECKOUT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = shell.communicate(timeout=SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert shell.returncode == 0, said
    return said


def test_first_mail_is_short() -> None:
    lines = first_mail().splitlines()
    assert len(lines) <= 10
    # A command for each line or half-line, five a side at most.
    for side in ("anna", "ben"):
        assert len(re.findall(rf"willcall --home ~/{side} ", first_mail())) <= 5


@pytest.mark.slow
def test_first_mail_arrives(house: Path) -> None:
    said = run(first_mail(), house)
    assert "anna is a contact, and has you as one" in said
    assert "  anna: confirmed" in said
    assert re.search(r"^1 +new +ben +\d+ B +\S+ \S+ +Hello$", said, re.MULTILINE)
    assert said.rstrip().endswith("It waits here until you call.")
    # The nodes went as they came: nothing is left that a next start would have to replace.
    assert not (house / "anna" / "socket").exists()
    assert not (house / "ben" / "socket").exists()


def test_the_output_that_is_shown_is_the_program_s() -> None:
    """Lines of `make try` in the README are lines that the program still has."""
    block = next(b for b in pages.fences(README, "text") if b.startswith("1. "))
    source = (CHECKOUT / "cli" / "trial.py").read_text(encoding="utf-8")
    for line in block.splitlines():
        words = re.findall(r"[a-z' ,]{16,}", line.partition(". ")[2])
        for piece in words:
            assert piece.strip() in source, line
