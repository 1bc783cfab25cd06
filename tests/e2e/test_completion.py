"""Completion in real shells, from a running node."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.e2e.homes import Home, clean_env, willcall

Friends = tuple[Home, Home]


def shell(folder: Path, home: Path, *words: str) -> list[str]:
    """Lines that a shell prints, with `willcall` in its path."""
    program = folder / "bin" / "willcall"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    program.chmod(0o700)
    env = clean_env() | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "WILLCALL_HOME": str(home),
        "HOME": str(folder),
    }
    done = subprocess.run(words, capture_output=True, env=env, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode().splitlines()


def in_bash(folder: Path, home: Path, line: str) -> list[str]:
    words = line.split(" ")
    array = " ".join(f"'{word}'" for word in words)
    script = f"""
        source <(willcall completion bash)
        COMP_WORDS=({array}); COMP_CWORD={len(words) - 1}
        _willcall_completion willcall
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return shell(folder, home, "bash", "-c", script)


def test_bash(friends: Friends, tmp_path: Path) -> None:
    anna, ben = friends
    message = anna.send("ben", b"Subject: to complete\n\n")
    anna.settled(message, "confirmed")
    n = str(ben.json("inbox")[-1]["n"])
    assert in_bash(tmp_path, anna.path, "willcall contact show b") == ["ben"]
    assert in_bash(tmp_path, anna.path, "willcall send --to b") == ["ben"]
    assert message in in_bash(tmp_path, anna.path, f"willcall retract {message[:9]}")
    assert n in in_bash(tmp_path, ben.path, "willcall read ")
    assert message in in_bash(tmp_path, ben.path, f"willcall read {message[:9]}")
    assert in_bash(tmp_path, ben.path, f"willcall --home {anna.path} --owner an") == ["anna"]
    assert in_bash(tmp_path, anna.path, "willcall cont") == ["contact"]
    assert in_bash(tmp_path, tmp_path / "nowhere", "willcall contact show ") == [""]


@pytest.mark.skipif(shutil.which("fish") is None, reason="apt install fish")
def test_fish(friends: Friends, tmp_path: Path) -> None:
    anna, _ = friends
    script = 'willcall completion fish | source; complete -C "willcall contact show "'
    (line,) = shell(tmp_path, anna.path, "fish", "-c", script)
    assert line.split("\t")[0] == "ben"


@pytest.mark.skipif(shutil.which("zsh") is None, reason="apt install zsh")
def test_zsh(friends: Friends, tmp_path: Path) -> None:
    anna, _ = friends
    # Its widgets need a person at the line; what they evaluate is looked at instead.
    script = """
        autoload -Uz compinit && compinit -u -d $HOME/dump
        source <(willcall completion zsh)
        _arguments() { print -r -- "$@" }
        words=(willcall contact show b) CURRENT=4
        _willcall_completion
    """
    (line,) = shell(tmp_path, anna.path, "zsh", "-f", "-c", script)
    assert '"ben"' in line


def test_another_shell(friends: Friends) -> None:
    assert friends[0].refuses(64, "completion", "csh")["next"]
    assert set(willcall("completion", "bash", "--json").document()) == {"shell", "script"}
