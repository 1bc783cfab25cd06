"""Slow and greedy clients at a real node: contacts exchange mail meanwhile, memory stays flat.

Latencies are figures: what they are on a busy machine says little. That mail arrives, and how much
memory the node ever took, is asserted.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from node.units import MIB
from tests.conftest import CHECKOUT
from tests.e2e.homes import Home, ended, meet
from tests.hostile.crowd import Act, crowd, dripping, greedy, saying, silent
from tests.hostile.enemy import Enemy
from tests.ports import free_port

LETTERS = 4
ROOM = 160 * MIB
"""What a crowd may cost beyond an idle node: 1,024 connections of 100 KiB, and slack."""
POST = (
    b"POST /v1/notifications HTTP/1.1\r\nHost: a\r\nContent-Type: application/vnd.ipld.dag-cbor\r\n"
)
GET = b"GET /.well-known/willcall HTTP/1.1\r\nHost: a\r\n"

CROWDS: dict[str, tuple[int, Act, bool]] = {
    "2,000 that say nothing": (2_000, silent, True),
    "1,000 heads at a byte a second": (1_000, dripping(GET + b"X: "), True),
    "1,000 bodies at a byte a second": (
        1_000,
        dripping(POST + b"Content-Length: 132096\r\n\r\n" + bytes(60_000)),
        True,
    ),
    "100 that declare 2 GiB": (100, saying(POST + b"Content-Length: 2147483648\r\n\r\n"), True),
    "100 with 3,000 fields": (100, saying(GET + b"a: b\r\n" * 3_000 + b"\r\n"), True),
    "200 that ask and take nothing": (200, greedy(GET + b"\r\n", 1_000), True),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Home]]:
    folder = tmp_path_factory.mktemp("overload")
    anna, ben = Home(folder, "anna"), Home(folder, "ben")
    for home in (anna, ben):
        home.init()
    with ended([anna, ben]):
        for home in (anna, ben):
            home.start()
        meet(anna, ben)
        exchanged(anna, ben)
        yield anna, ben
        for home in (anna, ben):
            home.stop()


def exchanged(anna: Home, ben: Home) -> float:
    """Milliseconds from `send` to the receipt, the slowest of some letters both ways."""
    worst = 0.0
    for number in range(LETTERS):
        one, other = (anna, ben) if number % 2 else (ben, anna)
        content, start = b"Subject: %d\r\n\r\nhello" % number, time.monotonic()
        row = one.local().upload("send", {"to": [other.name]}, content, len(content))
        one.settled(str(row["message"]), "confirmed", 60)
        worst = max(worst, (time.monotonic() - start) * 1000)
    return worst


@pytest.mark.parametrize("name", CROWDS)
async def test_contacts_write_on(
    pair: tuple[Home, Home], name: str, figure: Callable[[str], None]
) -> None:
    anna, ben = pair
    count, act, forever = CROWDS[name]
    before, idle = anna.peak(), await trio.to_thread.run_sync(exchanged, anna, ben)
    with trio.fail_after(120):
        async with crowd(anna.port, count, act, forever=forever) as made:
            busy = await trio.to_thread.run_sync(exchanged, anna, ben)
    grown = anna.peak() - before
    figure(
        f"overload: {name}: slowest letter {idle:.0f} → {busy:.0f} ms, "
        f"{made.begun:,} connections, {grown / MIB:.0f} MiB more"
    )
    assert grown < ROOM


async def test_a_contact_that_asks_for_much_and_takes_nothing(
    pair: tuple[Home, Home], figure: Callable[[str], None]
) -> None:
    """A request of 1 KiB is answered with 16 MiB, which lie in memory until they are taken."""
    anna, ben = pair
    enemy = Enemy(anna.port, f"127.0.0.1:{free_port()}")
    enemy.join(anna.json("invite")["link"])
    size = 15 * MIB
    anna.local().upload("send", {"to": ["mallory"]}, bytes(size), size)
    (item,) = enemy.poll()
    request = enemy.wants(item, enemy.parts(item))
    before = anna.peak()
    with trio.fail_after(120):
        async with crowd(anna.port, 120, greedy(request, 1)):
            busy = await trio.to_thread.run_sync(exchanged, anna, ben)
    grown = anna.peak() - before
    figure(f"overload: 120 × 15 MiB asked for: {busy:.0f} ms a letter, {grown / MIB:.0f} MiB more")
    assert grown < ROOM


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


FEW = 256
"""Descriptors: less than connections are taken where there are enough."""


async def test_connections_leave_descriptors_for_the_node(tmp_path: Path) -> None:
    """Or the store could open no file, and who came first would keep all others out."""
    anna, ben = Home(tmp_path, "anna"), Home(tmp_path, "ben")
    for home in (anna, ben):
        home.init()
    anna.before = ("prlimit", f"--nofile={FEW}:{FEW}")
    with ended([anna, ben]):
        for home in (anna, ben):
            home.start()
        meet(anna, ben)
        with trio.fail_after(120):
            async with crowd(anna.port, 600, silent, forever=True):
                await trio.to_thread.run_sync(exchanged, anna, ben)
                held = open_files(anna.pid)
        assert held < FEW
        for home in (anna, ben):
            home.stop()


@pytest.mark.parametrize(("soft", "hard", "most"), [(256, 4_096, 4_096), (256, 300, 300)])
def test_a_node_asks_for_more_descriptors(soft: int, hard: int, most: int) -> None:
    code = "from node.system import descriptors; print(descriptors(4_096))"
    words = ["prlimit", f"--nofile={soft}:{hard}", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, check=True, cwd=CHECKOUT)
    assert int(done.stdout) == most
