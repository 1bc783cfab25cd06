"""`make bench`: how fast, and how small, on this machine, beside the goals.

Real processes, real LevelDB, loopback. Figures are medians of a few runs; machines are
noisy, so nothing here is a test: the goals stand beside the figures, and a person reads.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cli.trial import free_ports, program

RUNS = 5
MESSAGES = 2_000
LARGE = 64 * 1024 * 1024


class Home:
    """One node and its command line."""

    def __init__(self, folder: Path, name: str, port: int) -> None:
        self.path, self.pid = folder / name, 0
        self.command("init", "--name", name, "--listen", f"127.0.0.1:{port}")

    def command(self, *words: str, data: bytes | None = None) -> Any:
        done = self.plain(*words, "--json", data=data)
        return json.loads(done.stdout)

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


def list_mail() -> bytes:
    """2,000 list messages as mboxrd: the corpus where it is there, else made up."""
    root = Path(os.environ.get("WILLCALL_CORPUS", "../shared/corpus"))
    archive = root / "list-archive" / "linux-watchdog-2020.mbox"
    if archive.is_file():
        whole = archive.read_bytes()
        starts = list(_starts(whole))[: MESSAGES + 1]
        return whole[: starts[MESSAGES]] if len(starts) > MESSAGES else whole
    print("(no corpus: made-up list mail)")
    line = b"the quick brown fox jumps over the lazy dog 0123456789\n"
    return b"".join(
        b"From mboxrd@z Thu Jan  2 12:00:29 2020\nSubject: message %d\n\n" % n
        + line * (20 + n * 7 % 200)
        + b"\n"
        for n in range(MESSAGES)
    )


def _starts(whole: bytes) -> Iterator[int]:
    at = 0
    while at >= 0:
        yield at
        at = whole.find(b"\nFrom mboxrd@z ", at + 1)
        at = at + 1 if at >= 0 else at


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="willcall-bench-")))
        one, two = free_ports(2)
        anna, ben = Home(folder, "anna", one), Home(folder, "ben", two)
        stack.enter_context(anna.running())
        stack.enter_context(ben.running())
        print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors\n")
        row("what", "figure", "goal")
        small(anna, ben)
        ben.command("contact", "add", anna.command("invite")["link"])
        single(anna)
        many(anna, ben, folder)
        large(anna, ben, folder)


def small(anna: Home, ben: Home) -> None:
    seconds = median(lambda: anna.plain("--help"))
    row("willcall --help", f"{seconds * 1000:.0f} ms", "<= 150 ms")
    row("idle node, RSS", f"{anna.memory('VmRSS'):.0f} MiB", "<= 80 MiB")


def single(anna: Home) -> None:
    letter = b"Subject: four kilobytes\r\n\r\n" + b"x" * 4069
    send = ("send", "--to", "ben", "--raw", "-")
    seconds = median(lambda: anna.plain(*send, data=letter))
    row("send of 4 KiB, with the command's start", f"{seconds * 1000:.0f} ms", "<= 200 ms")
    seconds = median(lambda: anna.plain(*send, "--wait", "10", data=letter))
    row("the same until confirmed", f"{seconds * 1000:.0f} ms", "<= 1000 ms")


def many(anna: Home, ben: Home, folder: Path) -> None:
    path = folder / "list.mbox"
    path.write_bytes(list_mail())
    for run in range(3):
        before = anna.cpu(), ben.cpu()
        began = time.perf_counter()
        rows = anna.command("send", "--to", "ben", "--mbox", str(path), "--wait", "60")
        seconds = time.perf_counter() - began
        done = sum(r["deliveries"][0]["state"] == "confirmed" for r in rows)
        rate = done / seconds
        row(f"{done} list messages, confirmed (run {run + 1})", f"{rate:,.0f} /s", ">= 1,000 /s")
        for name, home, at in (("sender", anna, before[0]), ("recipient", ben, before[1])):
            each = (home.cpu() - at) / max(1, done) * 1e6
            row(f"  processor time a message, {name}", f"{each:.0f} us", "")


def large(anna: Home, ben: Home, folder: Path) -> None:
    path = folder / "large.eml"
    path.write_bytes(b"Subject: large\r\n\r\n" + os.urandom(LARGE - 64))
    sent = anna.command("send", "--to", "ben", "--raw", str(path), "--wait", "10")
    n = ben.command("inbox")[-1]["n"]
    seconds = timed(lambda: ben.command("fetch", str(n), "--wait", "60"))
    state = "sent"
    for _ in range(100):
        state = anna.command("status", sent["message"])["deliveries"][0]["state"]
        if state == "confirmed":
            break
        time.sleep(0.1)
    row(f"64 MiB called for: {state}", f"{64 / seconds:.0f} MiB/s", "")
    row("  sender, RSS at most", f"{anna.memory('VmHWM'):.0f} MiB", "<= 250 MiB")
    row("  recipient, RSS at most", f"{ben.memory('VmHWM'):.0f} MiB", "<= 250 MiB")


main()
