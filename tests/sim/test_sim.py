"""Weeks of virtual time for a few fixed seeds, and as many more as `SIM_SEEDS` says."""

import os

import pytest

from tests.sim.simulate import Plan, simulate

FIXED = (1, 2, 3, 4, 5)
MORE = range(1000, 1000 + int(os.environ.get("SIM_SEEDS", "0")))
SHORT = Plan(days=3.0, letters=15, crashes=6, storms=4, cuts=4)


def test_one_seed_gives_one_trace() -> None:
    """The canary of `deterministic`: a new trio may move its switches."""
    first, second = simulate(7, SHORT), simulate(7, SHORT)
    assert first.events == second.events
    assert first.trace == second.trace != simulate(8, SHORT).trace


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*FIXED, *MORE])
def test_promises_hold(seed: int) -> None:
    report = simulate(seed)
    assert not report.broken, "\n".join([*report.events[-200:], *report.broken])
    assert report.counts["confirmed"] > 30
