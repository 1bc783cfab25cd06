"""Old backups give back everything: a few seeds here, more in `make soak`."""

import secrets
from collections.abc import Callable

import pytest

from tests.sim.drill import LETTERS, Drill, drill

FRESH = 10_000 + secrets.randbelow(10**9)


@pytest.mark.slow
def test_an_old_backup_loses_nothing(figure: Callable[[str], None]) -> None:
    made = Drill()
    for seed in (1, 2, 3, FRESH):
        made += drill(seed)
        assert not made.lost, (seed, made.lost)
    assert made.letters > 3 * LETTERS * made.seeds
    figure(str(made))
