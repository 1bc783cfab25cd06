"""`try`: two real nodes in a temporary folder, and the whole life of one message.

Two processes, two LevelDBs, real sockets on free ports; only this program's own commands.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli import render
from node.errors import NotYet, StoreFailed

LETTER = 300_000
"""Bytes of the attachment: more than a root holds, so that parts are seen."""


class Person:
    """One home, driven by the command line."""

    def __init__(self, folder: Path, name: str) -> None:
        self.home, self.name = folder / name, name

    def command(self, *words: str, data: bytes | None = None) -> Any:
        """The JSON document of one command."""
        done = subprocess.run(
            [*program(), "--home", str(self.home), "--json", *words],
            input=data,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise StoreFailed(f"willcall {' '.join(words)}: {done.stderr.decode()[:500]}")
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """The node, until the end of the block."""
        node = subprocess.Popen(
            [*program(), "--home", str(self.home), "run"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert node.stdout is not None
            yield node.stdout.readline().strip()
        finally:
            node.terminate()
            node.wait(timeout=15)

    def stored(self) -> int:
        """Bytes of this home on the disk, without the engine's own files."""
        blocks = self.home / "blocks"
        return sum(path.stat().st_size for path in blocks.rglob("*") if path.is_file())


def program() -> list[str]:
    """This program, in a new process."""
    return [sys.executable, "-m", "cli"]


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in taken]


def step(number: int, text: str) -> None:
    """One step of the story."""
    render.line(f"{number}. {text}")
    sys.stdout.flush()


def run() -> None:
    """The whole story, in a folder that is gone afterwards."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="willcall-") as folder:
        anna, ben = Person(Path(folder), "anna"), Person(Path(folder), "ben")
        for person, port in zip((anna, ben), free_ports(2), strict=True):
            person.command("init", "--name", person.name, "--listen", f"127.0.0.1:{port}")
        with anna.running() as first, ben.running() as second:
            step(1, "two nodes are running, each with its own keys and store:")
            render.line(f"     anna  {first}")
            render.line(f"     ben   {second}")
            state = _story(anna, ben)
    render.line(
        f"{state}, {time.monotonic() - began:.1f} s after the start; nothing is left behind"
    )


def _story(anna: Person, ben: Person) -> str:
    _meet(anna, ben)
    letter = _letter()
    sent = anna.command("send", "--to", "ben", "--raw", "-", data=letter)
    step(3, f"anna sends {len(letter):,} bytes. They are sealed, signed and stored at anna's:")
    render.line(f"     {sent['message']}")
    status = _until_confirmed(anna, sent["message"])
    step(4, "anna's node told ben's: one notification of about 360 bytes, and no text in it")
    mail = ben.command("inbox")[0]
    step(5, f"ben's node picked it up by its hash and checked every byte: inbox number {mail['n']}")
    render.line(f"     from {mail['from']}: {mail['subject']}")
    same = _read(ben, mail["n"]) == letter
    step(6, f"ben reads it: {'the same bytes, one for one' if same else 'OTHER BYTES'}")
    _bytes(anna, ben)
    _retract(anna, ben)
    row = status["deliveries"][0]
    step(9, f"ben's signed receipt reached anna at {row['confirmed_at']}")
    return f"message {render.tail(sent['message'])} to ben: {row['state']}"


def _meet(anna: Person, ben: Person) -> None:
    invite = anna.command("invite")
    contact = ben.command("contact", "add", invite["link"])
    step(2, f"anna invites ben: {len(invite['link'])} characters, for one person")
    met = "have each other as contacts" if contact["mutual"] else "have NOT met"
    render.line(f"     {contact['name']} and ben {met}")


def _letter() -> bytes:
    head = b"From: anna\r\nTo: ben\r\nSubject: a letter that waits at its sender's\r\n\r\n"
    return head + os.urandom(LETTER // 2).hex().encode() + b"\r\n"


def _until_confirmed(anna: Person, message: str) -> Any:
    for _ in range(100):
        status = anna.command("status", message)
        if status["deliveries"][0]["state"] == "confirmed":
            return status
        time.sleep(0.1)
    raise NotYet("the message was not confirmed within 10 s")


def _read(ben: Person, number: int) -> bytes:
    done = subprocess.run(
        [*program(), "--home", str(ben.home), "read", str(number), "--raw"],
        capture_output=True,
        check=True,
    )
    return done.stdout


def _bytes(anna: Person, ben: Person) -> None:
    used = anna.command("quota")["used"]
    step(7, f"under anna's quota: {sum(used.values()):,} bytes, kept 14 days more in case ben's")
    render.line(f"     node is restored from a backup; ben's home holds {ben.stored():,} of them")


def _retract(anna: Person, ben: Person) -> None:
    big = b"Subject: too big to be taken unasked\r\n\r\n" + bytes(11 * 1024 * 1024)
    sent = anna.command("send", "--to", "ben", "--raw", "-", "--wait", "5", data=big)
    state = sent["deliveries"][0]["state"]
    gone = anna.command("retract", sent["message"])["deliveries"][0]["state"]
    step(8, f"a letter of {len(big):,} bytes waits at anna's ({state}), until she takes it back:")
    render.line(f"     {gone}; ben never got a byte of it, and no bounce was made")
