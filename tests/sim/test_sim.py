"""Weeks of virtual time: fixed seeds and fresh ones, until 20 node-years or 150 s.

`SIM_SECONDS` is the time given; a fresh seed that breaks a promise is printed with its story,
and `make sim SEED=…` tells it again.
"""

import os
import secrets
from collections.abc import Callable

import pytest

from tests.sim import campaign
from tests.sim.report import SHORT, Plan
from tests.sim.simulate import simulate

SECONDS = float(os.environ.get("SIM_SECONDS", "150"))
YEARS = 20.0
FIXED = (372510171, *range(1, 201))
"""In the first, whoever was restored is not heard before the grace is over: copies of polls are."""


def test_one_seed_gives_one_trace() -> None:
    """The canary of `deterministic`: a new trio may move its switches."""
    first, second = simulate(7, SHORT), simulate(7, SHORT)
    assert first.events == second.events
    assert first.trace == second.trace != simulate(8, SHORT).trace


@pytest.mark.slow
def test_promises_hold(figure: Callable[[str], None]) -> None:
    fresh = [10_000 + secrets.randbelow(10**9) for _ in range(8)]
    seeds = [seed for pair in zip(fresh, FIXED[:8], strict=True) for seed in pair]
    found = campaign.run([*seeds, *FIXED[8:]], Plan(), years=YEARS, seconds=SECONDS)
    figure(f"simulation: {found}")
    figure(f"fresh seeds: {', '.join(map(str, fresh))}")
    for report in found.broken:
        print(f"--- seed {report.seed}", *map(str, report.events[-200:]), *report.broken, sep="\n")
    assert not found.broken, [report.seed for report in found.broken]
    assert found.counts["confirmed"] > 30 * found.seeds
    # What is not tried is not proved.
    attacks = ("attacks answered 422", "attacks answered 404")
    for word in ("restores", "crashes", "declined", *attacks):
        assert found.counts[word] > 0, word
