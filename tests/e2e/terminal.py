"""A person at a terminal: the program under a pseudo-terminal, its editor a script."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CHECKOUT
from tests.e2e.homes import PROGRAM, Home, clean_env


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a person saw, and how the program ended."""

    code: int
    text: str


class Terminal:
    """One command on a terminal.

    Args:
        home: whose.
        *words: the command.
        env: beside what is needed; EDITOR, say.
    """

    def __init__(self, home: Home, *words: str, env: Mapping[str, str] | None = None) -> None:
        self._mine, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [*PROGRAM, "--home", str(home.path), *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=CHECKOUT,
            env=clean_env() | {"TERM": "dumb"} | dict(env or {}),
            start_new_session=True,
        )
        os.close(theirs)
        self._seen = b""

    def type(self, text: str) -> None:
        """Presses keys."""
        os.write(self._mine, text.encode())

    def sees(self, words: str, seconds: float = 20.0) -> None:
        """Waits until the words stand there."""
        end = time.monotonic() + seconds
        while words.encode() not in self._seen:
            assert self._more(end - time.monotonic()), self._seen

    def _more(self, seconds: float) -> bool:
        readable, _, _ = select.select([self._mine], [], [], max(0.0, seconds))
        try:
            piece = os.read(self._mine, 65_536) if readable else b""
        except OSError:  # the other end is closed: EIO on Linux
            piece = b""
        self._seen += piece
        return bool(piece)

    def end(self, seconds: float = 20.0) -> Seen:
        """Waits until the program is over."""
        end = time.monotonic() + seconds
        try:
            while self._more(end - time.monotonic()):
                pass
            code = self.process.wait(timeout=max(0.1, end - time.monotonic()))
        finally:
            self.kill()
            os.close(self._mine)
        return Seen(code=code, text=self._seen.decode().replace("\r\n", "\n"))

    def kill(self) -> None:
        """Ends the program and its editor at once, as a closed lid would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)


def editor(folder: Path, script: str) -> dict[str, str]:
    """An environment whose editor is a shell script; "$1" is the draft."""
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\nset -e\n{script}\n")
    path.chmod(0o700)
    return {"EDITOR": str(path)}
