"""A node killed by `kill -9` at random instants, under load: what was told stays true.

I1 (what `send` returned is there), I2 (an audit computes everything derived again), I4 (shown
once) are checked after each kill; and in the end that all of it comes to rest.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.crash import worker
from tests.crash.disk import acknowledged, complaints
from tests.crash.nodes import NODES
from tests.crash.sizes import sized
from tests.crash.worker import Load

KILLS = sized(200, 5_000)
LIFE = 20
"""Kills of one home: its mail, and so each check, grows with every one."""
LANES = 3


def started(home: Path, notes: Path, load: Load) -> ForkServerProcess:
    made = NODES.Process(target=worker.process, args=(home, notes, load), daemon=True)
    made.start()
    return made


def killed(home: Path, notes: Path, chance: random.Random) -> None:
    """One life that ends somewhere: while it opens its store, or in the midst of work."""
    before = _said(notes)  # a life may say it before its start returns
    node = started(home, notes, Load(seed=chance.randrange(1 << 30)))
    early = chance.random() < 0.1 and home.exists()
    if not early:
        _ready(notes, node, before)
    time.sleep(chance.random() * 0.15)
    assert node.is_alive(), "the node ended by itself"
    node.kill()
    node.join(10)


def _said(notes: Path) -> int:
    """How many lives were ready."""
    return notes.read_bytes().count(b"ready") if notes.exists() else 0


def _ready(notes: Path, node: ForkServerProcess, before: int) -> None:
    """Waits until this life is ready, after so many before it."""
    end = time.monotonic() + 30
    while _said(notes) == before:
        assert node.is_alive()
        assert time.monotonic() < end, "the node did not start"
        time.sleep(0.002)


def lives(folder: Path, seed: int, kills: int) -> tuple[int, int]:
    """So many lives of one home, and one that comes to rest; messages sent, and shown."""
    home, notes, chance = folder / f"home{seed}", folder / f"notes{seed}", random.Random(seed)
    for turn in range(kills):
        killed(home, notes, chance)
        found = complaints(home, acknowledged(notes))
        assert not found, (seed, turn, found)
    last = started(home, notes, Load(seed=seed, count=8))
    last.join(60)
    assert last.exitcode == 0
    told = acknowledged(notes)
    found = complaints(home, told, resting=True)
    assert not found, (seed, found)
    return len(told.sent), len(told.seen)


def test_kill_9_under_load(tmp_path: Path, figure: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(LANES) as lanes:
        seeds = range(-(-KILLS // LIFE))
        told = list(lanes.map(lambda seed: lives(tmp_path, seed, LIFE), seeds))
    sent, shown = (sum(numbers) for numbers in zip(*told, strict=True))
    assert sent > KILLS
    assert shown > KILLS
    figure(f"kills: {len(told) * LIFE} of a node under load; {sent} sent, {shown} shown, 0 lost")
