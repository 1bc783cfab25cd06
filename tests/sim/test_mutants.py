"""Every planted fault is caught: by a fresh seed, or by those that were seen to catch it.

How often a fresh seed catches each is what `make soak` measures, of these and of others.
"""

import secrets
from collections.abc import Callable

import pytest

from tests.sim import campaign
from tests.sim.more_mutants import ALL
from tests.sim.mutants import MUTANTS, planted
from tests.sim.report import SHORT

FRESH = 10_000 + secrets.randbelow(10**9)
MOST = 12
"""Seeds that are tried at most, beside the recorded ones."""


@pytest.mark.slow
def test_planted_faults_are_caught(figure: Callable[[str], None]) -> None:
    # What a seed does changes with every change of the code: the recorded ones come first,
    # others follow until one notices.
    wanted = {
        name: dict.fromkeys([*mutant.seeds, *range(1, MOST)]) for name, mutant in MUTANTS.items()
    }
    tried = campaign.hunt(wanted, SHORT)
    missed = [name for name, seeds in tried.items() if seeds[-1] < 0]
    assert not missed, f"nobody notices: {missed}"
    fresh = campaign.hunt({name: [FRESH] for name in MUTANTS}, SHORT)
    count = sum(seeds[-1] >= 0 for seeds in fresh.values())
    figure(
        f"mutants: {len(tried)} of {len(MUTANTS)} caught, "
        f"{count} of them by the fresh seed {FRESH} too"
    )


@pytest.mark.slow
def test_without_a_fault_the_same_seeds_are_quiet() -> None:
    seeds = sorted({seed for mutant in ALL.values() for seed in mutant.seeds} | {FRESH})
    found = campaign.run(seeds, SHORT)
    assert not found.broken, found.broken[0].broken


def test_a_fault_is_taken_out_again() -> None:
    for mutant in ALL.values():
        sound = getattr(mutant.where, mutant.what)
        with planted(mutant):
            assert getattr(mutant.where, mutant.what) is not sound
        assert getattr(mutant.where, mutant.what) is sound
