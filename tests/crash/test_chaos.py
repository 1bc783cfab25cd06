"""Three real nodes behind a proxy that loses, delays, resets and hangs, and that are killed.

When it calms down, everything accepted is confirmed, and in every inbox once.
"""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.chaos import FAULTS, Chaos
from tests.crash.sizes import sized
from tests.e2e.homes import Home, ended, meet

SECONDS = sized(60, 1_800)
PAUSE = 6.0
"""Seconds between kills."""
SIZES = (40, 3_000, 30_000, 300_000)
PEOPLE = ("anna", "ben", "cleo")


@pytest.fixture
def trio_of_nodes() -> Iterator[tuple[Chaos, list[Home]]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wc-")))
        chaos = Chaos(1)
        chaos.storm = False
        homes = [Home(folder, name) for name in PEOPLE]
        origins = [f"127.0.0.1:{chaos.front(home.port)}" for home in homes]
        stack.enter_context(chaos)
        stack.enter_context(ended(homes))
        for home, origin in zip(homes, origins, strict=True):
            home.init("--origin", origin)
            home.start()
        for at, home in enumerate(homes):
            for other in homes[at + 1 :]:
                meet(home, other)
        yield chaos, homes


class Storm:
    """Mail is written and nodes are killed, until it is over.

    Attributes:
        accepted: what was accepted: its sender, its readers.
        kills: of nodes.
    """

    def __init__(self, homes: list[Home], seed: int) -> None:
        self.homes, self.accepted, self.kills = homes, dict[str, tuple[Home, list[str]]](), 0
        self._chance = random.Random(seed)

    def rage(self, seconds: float) -> None:
        end, kill = time.monotonic() + seconds, time.monotonic() + PAUSE
        while time.monotonic() < end:
            self.write()
            if time.monotonic() > kill:
                self._kill(self._chance.choice(self.homes))
                kill = time.monotonic() + PAUSE
            time.sleep(self._chance.random() * 0.2)

    def write(self) -> None:
        home = self._chance.choice(self.homes)
        others = [name for name in PEOPLE if name != home.name]
        self.write_to(home, self._chance.choice([others, others[:1], others[1:]]))

    def write_to(self, home: Home, to: list[str]) -> None:
        content = self._chance.randbytes(self._chance.choice(SIZES))
        made = home.local().upload("send", {"to": to}, content, len(content))
        self.accepted[made["message"]] = (home, to)

    def _kill(self, home: Home) -> None:
        home.kill()
        self.kills += 1
        home.start(60)

    def settled(self) -> None:
        """Whatever hangs is over, everybody is heard from, and all that was accepted is there."""
        for home in self.homes:
            self._kill(home)
            self.write_to(home, [name for name in PEOPLE if name != home.name])
        for message, (home, _) in self.accepted.items():
            home.settled(message, "confirmed", 120)

    def shown(self, home: Home) -> Counter[str]:
        return Counter(row["message"] for row in home.local().get("inbox"))

    def expected(self, home: Home) -> Counter[str]:
        return Counter(m for m, (_, to) in self.accepted.items() if home.name in to)


def test_three_nodes_in_a_storm(
    trio_of_nodes: tuple[Chaos, list[Home]], figure: Callable[[str], None]
) -> None:
    chaos, homes = trio_of_nodes
    storm = Storm(homes, 1)
    chaos.storm = True
    storm.rage(SECONDS)
    chaos.calm()
    storm.settled()
    for home in homes:
        assert storm.shown(home) == storm.expected(home), home.name
    assert all(chaos.count[fault] for fault in FAULTS), chaos.count
    faults = ", ".join(f"{chaos.count[fault]} {fault}" for fault in FAULTS)
    figure(
        f"chaos: {SECONDS / 60:g} minutes, three nodes, {storm.kills} kills, {faults}; "
        f"{len(storm.accepted)} messages, each confirmed and shown once"
    )
