"""Real nodes for tests: processes, LevelDB, loopback; everything bounded and ended by pid.

A `Home` is driven by the command line as a person or a program would. Only where a test needs
hundreds of calls does it use the client of the local API in this process.
"""

import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cli.local import Local
from tests.conftest import CHECKOUT
from tests.ports import free_port

T = TypeVar("T")

PROGRAM = (sys.executable, "-m", "cli")
FAILED = {"error", "exit", "detail", "next"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command left behind."""

    code: int
    out: bytes
    err: str

    def document(self) -> Any:
        """The one JSON document on standard output."""
        assert self.code == 0, self
        assert self.out.endswith(b"\n"), self
        return json.loads(self.out)

    def failure(self, code: int) -> dict[str, Any]:
        """The one JSON line on standard error."""
        assert (self.code, self.out) == (code, b""), self
        lines = self.err.splitlines()
        assert len(lines) == 1, self
        said: dict[str, Any] = json.loads(lines[0])
        assert set(said) == FAILED, said
        assert said["exit"] == code
        assert said["detail"]
        return said


def willcall(
    *words: str,
    data: bytes | None = None,
    env: Mapping[str, str] | None = None,
    deadline: float = 60.0,
    before: Sequence[str] = (),
) -> Done:
    """Runs the program; nothing of this machine's own homes is reachable for it.

    Args:
        before: a program that runs it: in another network, at another time.
    """
    done = subprocess.run(
        [*before, *PROGRAM, *words],
        input=data if data is not None else b"",
        capture_output=True,
        timeout=deadline,
        check=False,
        cwd=CHECKOUT,
        env=clean_env() | dict(env or {}),
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr.decode())


def clean_env() -> dict[str, str]:
    """The environment without anything that could lead to a real home."""
    hidden = ("WILLCALL_", "XDG_", "HOME")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    return kept | {"HOME": "/nonexistent"}


class Home:
    """One home and its node.

    Args:
        folder: where homes are made.
        name: of the home and its first owner.

    Attributes:
        before: a program that runs all commands and the node (`willcall`).
        env: what they find in their environment.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path, self.name = folder / name, name
        self.port, self.local_port = free_port(), 0
        self.listen = f"127.0.0.1:{self.port}"
        self.node: subprocess.Popen[bytes] | None = None
        self.before: Sequence[str] = ()
        self.env: dict[str, str] = {}

    # --- commands ----------------------------------------------------------------------

    def run(self, *words: str, data: bytes | None = None, deadline: float = 60.0) -> Done:
        """A command as a person gives it."""
        return willcall(
            "--home",
            str(self.path),
            *words,
            data=data,
            env=self.env,
            deadline=deadline,
            before=self.before,
        )

    def json(self, *words: str, data: bytes | None = None, deadline: float = 60.0) -> Any:
        """The document of a command that has to work; nothing on standard error."""
        done = self.run("--json", *words, data=data, deadline=deadline)
        made = done.document()
        assert done.err == "", done
        assert done.out.count(b"\n") == 1, done
        return made

    def says(self, *words: str, data: bytes | None = None) -> str:
        """What a command that has to work says to a person who reads it in a pipe."""
        done = self.run(*words, data=data)
        assert (done.code, done.err) == (0, ""), done
        return done.out.decode()

    def refuses(self, code: int, *words: str, data: bytes | None = None) -> dict[str, Any]:
        """The error document of a command that has to fail; its hint as without `--home`."""
        said = self.run("--json", *words, data=data).failure(code)
        return said | {"next": said["next"].replace(f"willcall --home {self.path} ", "willcall ")}

    def local(self, owner: str | None = None) -> Local:
        """The client of the local API, in this process."""
        return Local(self.path, owner)

    # --- life --------------------------------------------------------------------------

    def init(self, *words: str) -> Any:
        """Makes the home."""
        return self.json("init", "--name", self.name, "--listen", self.listen, *words)

    def configure(self, **sections: Mapping[str, Any]) -> None:
        """Changes settings, by section."""
        file = self.path / "config.toml"
        known = tomllib.loads(file.read_text())
        for section, values in sections.items():
            known.setdefault(section, {}).update(values)
        lines: list[str] = []
        for section, values in known.items():
            lines += [f"[{section}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
        file.write_text("\n".join(lines) + "\n")

    def start(self, seconds: float = 15.0) -> str:
        """Starts the node; what it says when it serves."""
        self.node = subprocess.Popen(
            [*self.before, *PROGRAM, "--home", str(self.path), "run"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=CHECKOUT,
            env=clean_env() | self.env,
        )
        assert self.node.stdout is not None
        readable, _, _ = select.select([self.node.stdout], [], [], seconds)
        line = self.node.stdout.readline().decode() if readable else ""
        assert line.startswith("ready "), (line, self.end(signal.SIGKILL))
        return line.rstrip("\n")

    def end(self, how: signal.Signals = signal.SIGTERM) -> Done:
        """Ends the node; its exit code, and what it still said."""
        node, self.node = self.node, None
        assert node is not None
        node.send_signal(how)
        try:
            out, err = node.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            node.kill()
            node.communicate(timeout=15)
            raise
        return Done(code=node.returncode, out=out, err=err.decode())

    def stop(self) -> None:
        """Ends the node in good order."""
        done = self.end()
        assert (done.code, done.err) == (0, ""), done

    def kill(self) -> None:
        """Ends the node at once, as a power cut would."""
        self.end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The node's process."""
        assert self.node is not None
        return self.node.pid

    def peak(self) -> int:
        """The most memory the node ever held, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    # --- facts -------------------------------------------------------------------------

    def stored(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())

    def fingerprint(self, but: tuple[str, ...] = ()) -> str:
        """Changes when any file, name or mode of the home does, except those named so."""
        made = hashlib.sha256()
        for path in sorted(self.path.rglob("*")):
            if path.name in but:
                continue
            made.update(f"{path.relative_to(self.path)} {path.stat().st_mode:o}\n".encode())
            made.update(path.read_bytes() if path.is_file() else b"")
        return made.hexdigest()

    def send(self, to: str, content: bytes, *options: str) -> str:
        """Sends raw bytes; the message's CID."""
        return str(self.json("send", "--to", to, "--raw", "-", *options, data=content)["message"])

    def states(self, message: str) -> list[str]:
        """The state of each delivery of a sent message."""
        rows = self.local().get("message", message)["deliveries"]
        return [row["state"] for row in rows]

    def settled(self, message: str, state: str, seconds: float = 15.0) -> None:
        """Waits until every delivery of a message is in a state."""
        until(lambda: set(self.states(message)) == {state}, seconds)

    def arrived(self, count: int, seconds: float = 15.0) -> list[dict[str, Any]]:
        """Waits until the inbox holds that many messages; gives them."""
        rows: list[dict[str, Any]] = until(
            lambda: rows if len(rows := self.local().get("inbox")) >= count else None, seconds
        )
        assert len(rows) == count
        return rows

    def raw(self, ref: str | int) -> bytes:
        """The bytes of a message."""
        done = self.run("read", str(ref), "--raw")
        assert (done.code, done.err) == (0, ""), done
        return done.out


def until(fact: Callable[[], T | None], seconds: float = 15.0) -> T:
    """Waits until `fact` gives something true; gives it."""
    end = time.monotonic() + seconds
    while not (found := fact()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return found


def meet(first: Home, second: Home, *options: str) -> None:
    """Makes the owners of two homes contacts."""
    link = first.json("invite")["link"]
    assert second.json("contact", "add", link, *options)["mutual"] is True
    until(lambda: all(row["mutual"] for row in first.local().get("contacts")))


@contextlib.contextmanager
def ended(homes: list[Home]) -> Iterator[None]:
    """Whatever happens inside: no node of these outlives it."""
    try:
        yield
    finally:
        for home in homes:
            if home.node is not None:
                home.end(signal.SIGKILL)
