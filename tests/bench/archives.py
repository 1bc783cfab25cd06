"""Archives: import, first sync, what is new, nothing new; beside git over HTTP.

    python -m tests.bench.archives [MESSAGES]

Made-up list mail: sizes lognormal around 4 KiB (mean 14), words of a fixed vocabulary.
"""

import base64
import contextlib
import functools
import http.client
import http.server
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from cli.trial import free_ports
from tests.bench.homes import Home, row, timed

MESSAGES = 20_000
POLLS = 20_000
AHEAD = 32
"""Polls that are under way at the same time on one connection."""


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


def main(count: int = MESSAGES) -> None:
    """Measures everything once, and prints a table."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="willcall-bench-")))
        one, two = free_ports(2)
        anna, ben = Home(folder, "anna", one), Home(folder, "ben", two)
        stack.enter_context(anna.running())
        stack.enter_context(ben.running())
        path = folder / "list.mbox"
        mbox(path, letters(count))
        size = path.stat().st_size / 1e6
        print(f"{count:,} messages, {size:.0f} MB; {os.cpu_count()} processors\n")
        row("what", "figure", "goal")
        anna.command("archive", "create", "list")
        seconds, cpu = timed(lambda: anna.command("archive", "add", "list", str(path))), anna.cpu()
        row("import", f"{count / seconds:,.0f} /s", ">= 3,000 /s")
        row("  processor time a message, node", f"{cpu / count * 1e6:.0f} us", "")
        url = anna.command("archive", "publish", "list")["url"]
        clone = git(folder, letters(count), stack)
        row("git clone over HTTP of the same", f"{count / clone:,.0f} /s", "")
        ben.command("archive", "follow", url)
        before = anna.cpu(), ben.cpu()
        seconds = timed(lambda: ben.command("archive", "poll", "list"))
        spent = [(home.cpu() - at) / count for home, at in zip((anna, ben), before, strict=True)]
        row(
            "first sync, all verified",
            f"{count / seconds:,.0f} /s",
            f">= {1.5 * count / clone:,.0f} /s",
        )
        row("  processor time a message, server", f"{spent[0] * 1e6:.0f} us", "")
        row("  processor time a message, follower", f"{spent[1] * 1e6:.0f} us", "")
        row("  beside git clone", f"{clone / seconds:.2f} x", ">= 1.5 x")
        new(folder, anna, ben)
        nothing_new(one, anna)


def new(folder: Path, anna: Home, ben: Home) -> None:
    """Ten new messages, as the node at the other end sees it."""
    figures = []
    for run in range(5):
        small = (each for each in letters(50, seed=100 + run) if len(each) < 40_000)
        mbox(folder / "new.mbox", islice(small, 10))
        anna.command("archive", "add", "list", str(folder / "new.mbox"))
        began = time.perf_counter()
        answer = ben.call("archive-poll", "list")
        figures.append((time.perf_counter() - began, answer["requests"]))
    seconds, requests = sorted(figures)[2]
    row("10 new messages", f"{seconds * 1000:.0f} ms, {requests} requests", "<= 50 ms, 3")


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


def git(folder: Path, found: Iterator[bytes], stack: contextlib.ExitStack) -> float:
    """Seconds of a clone over HTTP: one commit a message, packed, from plain files.

    That is what git does fastest: the pack is one file, and the server only sends it.
    """
    site = folder / "site"
    repo = site / "list.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "master", str(repo)], check=True)
    feed = subprocess.Popen(
        ["git", "-C", str(repo), "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE
    )
    assert feed.stdin is not None
    for number, each in enumerate(found):
        at = 1_700_000_000 + number * 60
        feed.stdin.write(
            b"commit refs/heads/master\ncommitter L <l@l.test> %d +0000\ndata 4\nmsg\n"
            b"M 100644 inline m\ndata %d\n" % (at, len(each)) + each + b"\n"
        )
    feed.stdin.write(b"done\n")
    feed.stdin.close()
    assert feed.wait() == 0
    subprocess.run(["git", "-C", str(repo), "repack", "-adq"], check=True)
    subprocess.run(["git", "-C", str(repo), "update-server-info"], check=True)
    handler = functools.partial(_Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    stack.callback(server.shutdown)
    url = f"http://127.0.0.1:{server.server_address[1]}/list.git"

    def clone() -> None:
        shutil.rmtree(folder / "clone", ignore_errors=True)
        subprocess.run(["git", "clone", "-q", "--bare", url, str(folder / "clone")], check=True)

    return timed(clone)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES)
