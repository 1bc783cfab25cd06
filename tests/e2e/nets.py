"""Networks of our own: namespaces with addresses as on the internet, and nobody else in them.

A net lives as long as a shell in it, which ends with its standard input: nothing is left behind,
whatever becomes of the tests. Root makes them as they are; other users inside a user namespace,
where the system allows that. They have their own /etc/hosts.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

LIVES = "ip link set lo up && echo ready && exec cat"
AS_ROOT, AS_USER = ("unshare", "-n", "-m"), ("unshare", "-U", "-r", "-n", "-m")


class Net:
    """One network namespace.

    Attributes:
        enter: the words before a command that is to run inside.
    """

    def __init__(self, shell: "subprocess.Popen[str]", *, user: bool) -> None:
        self._shell = shell
        self.user = user
        whose = ["-U", "--preserve-credentials"] if user else []
        self.enter: Sequence[str] = (
            *("nsenter", "-t", str(shell.pid), "-n", "-m", *whose),
            f"--wd={CHECKOUT}",
            "--",
        )

    def run(self, *words: str) -> None:
        """A command that has to work."""
        subprocess.run([*self.enter, *words], check=True, capture_output=True, timeout=20)

    def address(self, *addresses: str, on: str = "lo") -> None:
        """Gives it addresses, `a.b.c.d/n`."""
        for each in addresses:
            self.run("ip", "address", "add", each, "dev", on)

    def hosts(self, folder: Path, **names: str) -> None:
        """Its own /etc/hosts: names (`_` for a dot) and their addresses."""
        file = folder / f"hosts-{self._shell.pid}"
        lines = [f"{address} {name.replace('_', '.')}" for name, address in names.items()]
        file.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        self.run("mount", "--bind", str(file), "/etc/hosts")

    def beside(self, other: "Net") -> None:
        """A cable: `wire` here and there."""
        there = str(other._shell.pid)
        self.run("ip", "link", "add", "wire", "type", "veth", "peer", "wire", "netns", there)
        for net in (self, other):
            net.run("ip", "link", "set", "wire", "up")


@contextmanager
def net(inside: Net | None = None) -> Iterator[Net]:
    """A new one; skips where the system does not allow it.

    Args:
        inside: one that it may be joined with (`beside`).
    """
    if inside is not None:
        ways = [([*inside.enter, *AS_ROOT], inside.user)]
    else:
        ways = [([*AS_ROOT], False), ([*AS_USER], True)]
    why = ""
    for words, user in ways:
        try:
            shell = _shell([*words, "sh", "-c", LIVES])
        except OSError as error:
            why = str(error)
            continue
        assert shell.stdin
        assert shell.stdout
        assert shell.stderr
        try:
            if shell.stdout.readline() == "ready\n":
                yield Net(shell, user=user)
                return
            why = shell.stderr.read().strip()
        finally:
            shell.stdin.close()
            shell.wait(10)
            shell.stdout.close()
            shell.stderr.close()
    pytest.skip(f"no network namespaces here: {why}")


def _shell(words: list[str]) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
