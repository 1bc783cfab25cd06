"""A contact's letters, written by a process of their own: what bots do must not slow the pen.

    python -m tests.flood.letters HOME DID PID

Each line on standard input is a number: so many letters are written, one after the other, each
until it is confirmed; or `on`: until the next line. What they took comes back as one line of JSON:
pairs of seconds, and of seconds for which the node PID, to which they went, was on a processor
meanwhile. On a machine where nothing else runs a flood can add no more than the second tells.
"""

import json
import select
import sys
import time
from pathlib import Path

from cli.local import Local

BODY = b"Subject: hello\r\n\r\nhello\r\n"
PAUSE = 0.03
"""Seconds between two letters: twenty a second are much for a contact, and leave the bots room."""


def worked(pid: str) -> float:
    """Seconds for which the event loop of a node was on a processor (no ticks: nanoseconds)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def took(local: Local, did: str, pid: str) -> tuple[float, float]:
    """How long one letter takes until its receipt is here."""
    began, before = time.perf_counter(), worked(pid)
    made = local.upload("send", {"to": [did]}, BODY, len(BODY))
    local.post("wait", messages=[made["message"]], seconds=60)
    seconds = time.perf_counter() - began, worked(pid) - before
    time.sleep(PAUSE)
    return seconds


def asked() -> bool:
    """Whether a further line has come."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main(home: str, did: str, pid: str) -> None:
    """Writes as it is told, until nobody tells."""
    local = Local(Path(home), None)
    while line := sys.stdin.readline().strip():
        times = []
        if line == "on":
            while not asked():
                times.append(took(local, did, pid))
            sys.stdin.readline()
        else:
            times = [took(local, did, pid) for _ in range(int(line))]
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
