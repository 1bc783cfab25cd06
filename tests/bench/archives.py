"""Archives: import, first sync, what is new, nothing new; beside git, INN and nginx.

    python -m tests.bench.archives [MESSAGES] [ENTRIES] [MEGABYTES]

MESSAGES made-up list messages (sizes lognormal around 4 KiB, mean 14, words of a fixed vocabulary)
are imported, followed, and cloned by git beside it. A log of ENTRIES entries without messages shows
what a poll costs then. An mbox of MEGABYTES shows how much memory an import takes (0: left out).
"""

import base64
import contextlib
import http.client
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from cli.trial import free_ports
from tests.bench import fronts, gits, news, synthetic
from tests.bench.homes import Home, row, timed

MESSAGES = 20_000
ENTRIES = 1_000_000
POLLS = 20_000
AHEAD = 32
"""Polls that are under way at the same time on one connection."""
NEWS = 5_000
"""Messages that INN gets: it takes a few hundred a second."""


def letters(count: int, seed: int = 7) -> Iterator[bytes]:
    """List mail, the same for each seed."""
    chance = random.Random(seed)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(4096)]
    for number in range(count):
        size = min(256 << 10, max(300, int(chance.lognormvariate(8.3, 1.6))))
        text = " ".join(chance.choices(words, k=min(size, 32_768) // 7))
        if size > 32_768:
            text += "\n" + base64.encodebytes(chance.randbytes((size - 32_768) * 3 // 4)).decode()
        lines = "\n".join(text[at : at + 70] for at in range(0, min(len(text), 32_768), 70))
        yield (
            f"From: Bob <bob@a.test>\nDate: Thu, 02 Jan 2020 {number // 3600 % 24:02}:"
            f"{number // 60 % 60:02}:{number % 60:02} +0000\nMessage-ID: <{seed}.{number}@a.test>\n"
            f"Subject: {' '.join(chance.choices(words, k=6))}\n\n{lines}{text[32_768:]}\n"
        ).encode()


def mbox(path: Path, found: Iterator[bytes]) -> None:
    with open(path, "wb") as file:
        for each in found:
            file.write(b"From bob@a.test Thu Jan  2 12:00:00 2020\n" + each + b"\n")


def main(count: int = MESSAGES, entries: int = ENTRIES, megabytes: int = 0) -> None:
    """Measures everything once, and prints a table."""
    with tempfile.TemporaryDirectory(prefix="willcall-bench-") as name:
        folder = Path(name)
        publishing(folder / "list", count)
        lengths(folder / "length", entries)
        if megabytes:
            memory(folder / "memory", megabytes)


@contextlib.contextmanager
def two(folder: Path) -> Iterator[tuple[Home, Home, int]]:
    """A publisher with an empty archive and a follower-to-be, both running; where the first is."""
    folder.mkdir()
    one, other = free_ports(2)
    anna, ben = Home(folder, "anna", one), Home(folder, "ben", other)
    with anna.running(), ben.running():
        anna.command("archive", "create", "list")
        yield anna, ben, one


def publishing(folder: Path, count: int) -> None:
    """One list, and what git, INN and nginx make of the same."""
    with two(folder) as (anna, ben, port):
        path = folder / "list.mbox"
        mbox(path, letters(count))
        size = path.stat().st_size / 1e6
        print(f"{count:,} messages, {size:.0f} MB; {os.cpu_count()} processors\n")
        row("what", "figure", "goal")
        before = anna.cpu()
        seconds = timed(lambda: anna.command("archive", "add", "list", str(path)))
        row("import", f"{count / seconds:,.0f} /s", ">= 3,000 /s")
        row("  processor time a message", _each(anna.cpu() - before, count), "")
        url = anna.command("archive", "publish", "list")["url"]
        site = gits.packed(folder, letters(count))
        clones = {
            "smart": gits.cloned(site, folder, smart=True),
            "dumb, one pack": gits.cloned(site, folder, smart=False),
        }
        if shutil.which("public-inbox-httpd"):
            with gits.public_inbox(folder, letters(count)) as repo:
                clones["public-inbox"] = gits.clone(repo, folder), 0.0
        for name, (seconds, spent) in clones.items():
            row(f"git clone over HTTP, {name}", f"{count / seconds:,.0f} /s", "")
            if spent:
                row("  processor time a message, both sides", _each(spent, count), "")
        pulled = articles(count)
        ben.command("archive", "follow", url)
        before, ours = anna.cpu(), ben.cpu()
        seconds = timed(lambda: ben.command("archive", "poll", "list"))
        row("first sync, all verified", f"{count / seconds:,.0f} /s", "")
        row("  processor time a message, server", _each(anna.cpu() - before, count), "")
        row("  processor time a message, follower", _each(ben.cpu() - ours, count), "")
        for name, (clone, _) in clones.items():
            row(f"  beside git clone, {name}", f"{clone / seconds:.2f} x", ">= 1.5 x")
        if pulled is not None:
            row("  beside an NNTP pull", f"{count / seconds / pulled:.2f} x", ">= 1 x")
        new(folder, anna, ben)
        nothing_new(port, anna)
        fronted(folder, anna, port)


def articles(count: int) -> float | None:
    """Messages a second that are pulled from INN, if it is here."""
    if reason := news.missing():
        print(f"(no NNTP pull: {reason})")
        return None
    got, seconds = news.pulled(letters(min(count, NEWS)))
    row(f"NNTP pull of {got:,} from INN, nothing checked or kept", f"{got / seconds:,.0f} /s", "")
    return got / seconds


def fronted(folder: Path, anna: Home, port: int) -> None:
    """Polls through nginx, beside nginx with a file of its own."""
    if reason := fronts.missing():
        print(f"(no nginx: {reason})")
        return
    alone, front, reached = fronts.rates(anna, port, folder)
    row("nothing new, nginx with a file", f"{alone:,.0f} /s", "")
    row("nothing new, nginx before a node", f"{front:,.0f} /s", "the same")
    row("  of which reached the node", f"{reached}", "")


def lengths(folder: Path, entries: int) -> None:
    """What a poll costs with a short log, and with a long one."""
    print()
    with two(folder) as (anna, ben, _):
        mbox(folder / "new.mbox", islice(letters(10, seed=1), 10))
        anna.command("archive", "add", "list", str(folder / "new.mbox"))
        ben.command("archive", "follow", anna.command("archive", "publish", "list")["url"])
        ben.command("archive", "poll", "list")
    for size in (1_000, entries):
        synthetic.grow(anna.path, ben.path, size)
        with anna.running(), ben.running():
            poll(anna, ben, size)
            new(folder, anna, ben, f"10 new messages behind {size:,} entries")


def poll(anna: Home, ben: Home, size: int) -> None:
    """A poll that finds nothing new, as a command's worth of both nodes."""
    count = 200
    ben.call("archive-poll", "list")
    before = anna.cpu() + ben.cpu()
    seconds = timed(lambda: [ben.call("archive-poll", "list") for _ in range(count)])
    row(f"a poll of {size:,} entries, nothing new", f"{seconds / count * 1e3:.1f} ms", "")
    row("  processor time, both", _each(anna.cpu() + ben.cpu() - before, count), "the same")


def memory(folder: Path, megabytes: int) -> None:
    """A large import: what it takes of memory."""
    print()
    with two(folder) as (anna, _, _):
        path, seed = folder / "large.mbox", 1000
        with open(path, "wb") as file:
            while file.tell() < megabytes * 1_000_000:
                for each in letters(1_000, seed=seed):
                    file.write(b"From bob@a.test Thu Jan  2 12:00:00 2020\n" + each + b"\n")
                seed += 1
        idle, count = anna.memory("VmHWM"), (seed - 1000) * 1_000
        seconds = timed(lambda: anna.command("archive", "add", "list", str(path)))
        size = path.stat().st_size / 1e6
        row(f"import of {size:,.0f} MB, {count:,} messages", f"{size / seconds:.0f} MB/s", "")
        row("  messages", f"{count / seconds:,.0f} /s", ">= 3,000 /s")
        row(
            "  node, RSS at most; idle before",
            f"{anna.memory('VmHWM'):.0f}; {idle:.0f} MiB",
            "flat",
        )


def _each(seconds: float, count: int) -> str:
    return f"{seconds / count * 1e6:.0f} us"


def new(folder: Path, anna: Home, ben: Home, what: str = "10 new messages") -> None:
    """Ten new messages, as the node at the other end sees it."""
    figures = []
    for _ in range(5):
        small = (each for each in letters(50, seed=time.time_ns()) if len(each) < 40_000)
        mbox(folder / "new.mbox", islice(small, 10))
        anna.command("archive", "add", "list", str(folder / "new.mbox"))
        began = time.perf_counter()
        answer = ben.call("archive-poll", "list")
        figures.append((time.perf_counter() - began, answer["requests"]))
    seconds, requests = sorted(figures)[2]
    row(what, f"{seconds * 1000:.0f} ms, {requests} requests", "<= 50 ms, 3")


def nothing_new(port: int, home: Home) -> None:
    """Conditional requests on a kept connection: one by one, and some sent ahead."""
    line = http.client.HTTPConnection("127.0.0.1", port)
    line.request("GET", "/archives/list/checkpoint")
    answer = line.getresponse()
    answer.read()
    tag = answer.headers["ETag"]
    head = (
        f"GET /archives/list/checkpoint HTTP/1.1\r\nHost: x\r\nIf-None-Match: {tag}\r\n\r\n"
    ).encode()
    line.close()
    for ahead in (1, AHEAD):
        before = home.cpu()
        rate = _polled(port, head, ahead)
        each = (home.cpu() - before) / POLLS
        row(f"nothing new, {ahead} under way on one connection", f"{rate:,.0f} /s", ">= 8,000 /s")
        row("  processor time a poll", f"{each * 1e6:.0f} us", "<= 125 us")


def _polled(port: int, head: bytes, ahead: int) -> float:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file, began, done = sock.makefile("rb"), time.perf_counter(), 0
        while done < POLLS:
            sock.sendall(head * ahead)
            for _ in range(ahead):
                assert file.readline().startswith(b"HTTP/1.1 304")
                while file.readline() != b"\r\n":
                    pass
            done += ahead
        file.close()
        return done / (time.perf_counter() - began)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
