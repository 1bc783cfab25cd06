"""The restore drill: the sender, then the recipient, comes back from an old backup. 0 are lost.

    letters ─▶ backup ─▶ letters, hours to days ─▶ the disk dies ─▶ the backup ─▶ two days ─▶ count

Of the sender's only what it sent after its backup, and nobody had fetched, may be gone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import trio

from node.encoding.cid import Cid
from tests.fakes.world import Machine, World
from tests.sim import deterministic

HOUR, DAY = 3600.0, 86_400.0
LETTERS = 50
"""Letters sent before the backup, and again between it and the end of the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What drills came to: letters that had to come back, and those that did not."""

    seeds: int = 0
    letters: int = 0
    lost: tuple[str, ...] = ()

    def __add__(self, other: Drill) -> Drill:
        return Drill(
            seeds=self.seeds + other.seeds,
            letters=self.letters + other.letters,
            lost=self.lost + other.lost,
        )

    def __str__(self) -> str:
        return f"restore drill: {self.seeds} seeds, {self.letters} letters, {len(self.lost)} lost"


def drill(seed: int) -> Drill:
    """Both drills of one seed."""
    return deterministic.run(partial(_both, seed), seed)


async def _both(seed: int) -> Drill:
    made = Drill(seeds=1)
    for who in ("sender", "recipient"):
        async with trio.open_nursery() as nursery:
            made += await _one(World(nursery, seed), random.Random(seed), who)
            nursery.cancel_scope.cancel()
    return made


async def _one(world: World, chance: random.Random, who: str) -> Drill:
    sent = chance.choice(["keep", "drop"])
    anna = await world.add("anna", sent=sent, sweeps=HOUR, looks=HOUR)
    ben = await world.add("ben", sweeps=HOUR, looks=HOUR)
    await world.friends(anna, ben)
    before = await _letters(anna, ben, chance, hours=chance.uniform(6, 48))
    broken = anna if who == "sender" else ben
    await broken.flushed()
    disk, files, memory = broken.disk.copy(), broken.files.copy(), broken.now()
    after = await _letters(anna, ben, chance, hours=chance.uniform(2, 6 * 24))
    arrived = [message for message in after if _has(ben, message)]
    await world.off(broken)
    await trio.sleep(chance.choice([60.0, HOUR, DAY]))
    await broken.restore(disk, files, memory)
    await world.back(broken)
    await trio.sleep(2 * DAY)
    owed = [*before, *(arrived if who == "sender" else after)]
    return Drill(
        letters=len(owed), lost=tuple(f"{who}: {m.hex()[-8:]}" for m in owed if not _has(ben, m))
    )


async def _letters(
    anna: Machine, ben: Machine, chance: random.Random, *, hours: float
) -> list[Cid]:
    """Anna writes at any time of these hours."""
    made = []
    for _ in range(LETTERS):
        await trio.sleep(chance.expovariate(LETTERS / (hours * HOUR)))
        size = chance.choice([10, 4_000, 30_000, 1_200_000])
        content = (chance.randbytes(16) * (size // 16 + 1))[:size]
        made.append(await anna.send([ben.owner().owner], content))
    return made


def _has(machine: Machine, message: Cid) -> bool:
    return any(name == message and state == "new" for _, name, state in machine.inbox())
