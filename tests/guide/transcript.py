"""Transcripts: pages of the guide, run as they stand there.

A fenced block `console` holds what people see in their terminals:

    anna$ willcall invite
    For one person on this machine, until … UTC:
    http://127.0.0.1:…/i/z6Mk…#…
    …

`anna$` is a login of its own: a home directory, and nothing shared with others but the
machine. What follows is the whole output. `…` stands for any characters within a line, alone
on a line for any lines. In a *command*, a word with `…` is the newest word of any output
above that fits: what a reader would copy. A command ending in `&` goes on; its output is
awaited. A command that fails must be followed by `echo $?` and its code.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

SECONDS = 60
"""The longest a command of the guide takes."""
_FENCE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^([a-z]+)\$ (.*)$")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Differs(AssertionError):
    """The program does something else than the page says."""


@dataclass(slots=True)
class Step:
    """One command, and what it prints."""

    login: str
    command: str
    expected: list[str] = field(default_factory=list)


def steps(text: str) -> list[Step]:
    """The commands of a page, in their order."""
    found: list[Step] = []
    for block in _FENCE.findall(text):
        begun = False
        for line in block.splitlines():
            prompt = _PROMPT.match(line)
            if prompt:
                found.append(Step(login=prompt[1], command=prompt[2]))
                begun = True
            elif begun and not found[-1].expected and line.startswith("> "):
                found[-1].command += "\n" + line[2:]
            elif begun:
                found[-1].expected.append(line.rstrip())
            else:
                raise Differs(f"a block begins with output: {line}")
    return found


def matches(expected: list[str], lines: list[str]) -> bool:
    """Whether the output is what the page shows; `…` as in this module's words."""
    pattern = ""
    for line in expected:
        any_lines = line == "…"
        pattern += (
            r"(?:[^\n]*\n)*?" if any_lines else re.escape(line).replace("…", r"[^\n]*?") + r"\n"
        )
    shown = "\n".join(lines).rstrip("\n")
    return re.fullmatch(pattern + r"\n*", shown + "\n" if shown else "") is not None


def filled(command: str, said: list[str]) -> str:
    """The command with every word that has a `…` written out."""
    return re.sub(r"[^\s'\"=]*…[^\s'\"]*", lambda found: _word(found[0], said), command)


def _word(short: str, said: list[str]) -> str:
    pattern = re.compile(r"\S+?".join(re.escape(part) for part in short.split("…")))
    for line in reversed(said):
        for word in reversed(line.split()):
            if pattern.fullmatch(word):
                return word
    raise Differs(f"no output above has a word like {short}")


class Logins:
    """People at their terminals.

    Args:
        folder: their home directories lie in it; a short path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._codes: dict[str, int] = {}
        self._said: list[str] = []
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, step: Step) -> None:
        """Runs one command and holds its output against the page.

        Raises:
            Differs: another output, or it failed and the page does not say so.
        """
        if self._codes.get(step.login) and step.command != "echo $?":
            raise Differs(f"failed, and no `echo $?` follows; before: {step.command}")
        command = filled(step.command, self._said)
        background = command.endswith("&")
        lines = self._shown(step, command.removesuffix("&"), background)
        if not matches(step.expected, lines):
            shown = "\n".join(lines)
            wanted = "\n".join(step.expected)
            raise Differs(
                f"{step.login}$ {command}\n--- the page\n{wanted}\n--- the program\n{shown}"
            )
        self._said += lines

    def _shown(self, step: Step, command: str, background: bool) -> list[str]:
        screen, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        last = self._codes.get(step.login, 0)
        process = subprocess.Popen(
            ["bash", "-c", f"(exit {last})\n{command}"],
            cwd=self._home(step.login),
            env=self._environment(step.login),
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        self._running.append(process)
        lines: list[str] = []
        for lines in _screen(screen, step):
            if background and matches(step.expected, lines):
                Thread(target=_drain, args=(screen,), daemon=True).start()
                return lines
        os.close(screen)
        self._codes[step.login] = process.wait(SECONDS)
        return lines

    def _home(self, login: str) -> Path:
        home = self._folder / login
        home.mkdir(exist_ok=True)
        return home

    def _environment(self, login: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WILLCALL", "XDG_"))}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        home = str(self._home(login))
        # `root` would have no name of its own: the login's word is the owner's.
        return (
            kept
            | {"HOME": home, "PATH": programs, "NO_COLOR": "1", "TERM": "dumb", "TZ": "UTC"}
            | {
                "LOGNAME": login,
                "USER": login,
            }
        )

    def end(self) -> None:
        """Ends whatever still runs."""
        for process in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        until = time.monotonic() + 12
        for process in self._running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _screen(screen: int, step: Step) -> Iterator[list[str]]:
    """What the terminal shows after each piece of output, until its program has ended."""
    data, until = b"", time.monotonic() + SECONDS
    os.set_blocking(screen, False)
    while time.monotonic() < until:
        try:
            piece = os.read(screen, 65_536)
        except BlockingIOError:
            time.sleep(0.01)
            continue
        except OSError:  # the other end is closed: the program has ended
            piece = b""
        data += piece
        yield _lines(data)
        if not piece:
            return
    raise Differs(f"{step.login}$ {step.command}\n--- not done after {SECONDS} s:\n{data!r}")


def _drain(screen: int) -> None:
    """Reads on, so that a program in the background never waits for its reader."""
    os.set_blocking(screen, True)
    with suppress(OSError):
        while os.read(screen, 65_536):
            pass
    os.close(screen)


def _lines(data: bytes) -> list[str]:
    text = _ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n")
    # A line that was drawn over shows what was drawn last.
    return [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]


@contextmanager
def logins(folder: Path) -> Iterator[Logins]:
    """People at their terminals, whose programs end with the block."""
    people = Logins(folder)
    try:
        yield people
    finally:
        people.end()
