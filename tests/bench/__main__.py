"""`make bench`: how fast, and how small, on this machine, beside the goals.

Real processes, real LevelDB, loopback. Figures are medians of a few runs; machines are
noisy, so nothing here is a test: the goals stand beside the figures, and a person reads.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from cli.trial import free_ports
from tests.bench import archives
from tests.bench.homes import Home, median, row, timed

MESSAGES = 2_000
LARGE = 64 * 1024 * 1024


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
    print()
    archives.main()


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
