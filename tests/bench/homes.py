"""Nodes to measure, and the table that is printed."""

import json
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.local import Local
from cli.trial import program

RUNS = 5


class Home:
    """One node and its command line."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.path, self.pid = folder / name, 0
        self.command("init", "--name", name, "--listen", f"127.0.0.1:{port}")

    def command(self, *words: str, data: bytes | None = None) -> Any:
        done = self.plain(*words, "--json", data=data)
        return json.loads(done.stdout)

    def call(self, *words: str) -> Any:
        """A POST to the local API, without the start of a command."""
        return Local(self.path, None).post(*words)

    def plain(self, *words: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*program(), "--home", str(self.path), *words],
            input=data,
            capture_output=True,
            check=True,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        node = subprocess.Popen(
            [*program(), "--home", str(self.path), "run"], stdout=subprocess.PIPE
        )
        try:
            assert node.stdout is not None
            node.stdout.readline()
            self.pid = node.pid
            yield
        finally:
            node.terminate()
            node.wait(timeout=20)

    def memory(self, word: str) -> float:
        """`VmRSS` now, or `VmHWM` at most, in MiB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(word):
                return int(line.split()[1]) / 1024
        return float("nan")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connected(port: int) -> socket.socket:
    """A connection to a server that is just starting."""
    end = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < end, f"nobody listens at port {port}"
            time.sleep(0.05)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that `work` took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def median(work: Callable[[], Any], runs: int = RUNS) -> float:
    """The median of some runs, after one that does not count."""
    work()
    return statistics.median(timed(work) for _ in range(runs))


def row(what: str, figure: str, goal: str) -> None:
    """One line of the table."""
    print(f"{what:<58} {figure:>16}   {goal}", flush=True)
