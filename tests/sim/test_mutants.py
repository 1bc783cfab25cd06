"""Every planted fault is caught: by a fresh seed, or by those that were seen to catch it.

How often a fresh seed catches each is what `make soak` measures.
"""

import secrets
from collections.abc import Callable

import pytest

from tests.sim import campaign
from tests.sim.mutants import MUTANTS, planted
from tests.sim.report import SHORT

FRESH = 10_000 + secrets.randbelow(10**9)
MOST = 12
"""Seeds that are tried at most, beside the recorded ones."""
caught_fresh: list[str] = []


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_caught(name: str) -> None:
    # What a seed does changes with every change of the code: the recorded ones come first,
    # others follow until one notices.
    seeds = dict.fromkeys([*MUTANTS[name].seeds, *range(1, MOST)])
    found = campaign.run([FRESH, *seeds], SHORT, mutant=name, first=True)
    assert found.broken, f"none of {found.seeds} seeds notices: {name}"
    if any(report.seed == FRESH for report in found.broken):
        caught_fresh.append(name)


@pytest.mark.slow
def test_without_a_fault_the_same_seeds_are_quiet(figure: Callable[[str], None]) -> None:
    seeds = sorted({seed for mutant in MUTANTS.values() for seed in mutant.seeds})
    found = campaign.run(seeds, SHORT)
    assert not found.broken, found.broken[0].broken
    figure(f"mutants: {len(MUTANTS)}, {len(caught_fresh)} caught by the fresh seed {FRESH} too")


def test_a_fault_is_taken_out_again() -> None:
    mutant = MUTANTS["no dedupe"]
    sound = getattr(mutant.where, mutant.what)
    with planted("no dedupe"):
        assert getattr(mutant.where, mutant.what) is not sound
    assert getattr(mutant.where, mutant.what) is sound
