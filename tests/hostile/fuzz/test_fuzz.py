"""The fuzzer's targets without the fuzzer: their seeds, what was found before, and some changes."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import strategies as some
from tests.hostile.fuzz.targets import TARGETS, saved


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_findings(name: str) -> None:
    for data in (*TARGETS[name].seeds, *saved(name)):
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100)
@given(st.data())
def test_changed_seeds(name: str, data: st.DataObject) -> None:
    seeds = st.sampled_from(TARGETS[name].seeds)
    TARGETS[name].run(data.draw(some.touched(seeds) | st.binary(max_size=300)))


def test_how_many(figure: Callable[[str], None]) -> None:
    inputs = sum(len(target.seeds) + len(saved(name)) for name, target in TARGETS.items())
    figure(f"fuzzing: {len(TARGETS)} targets, {inputs:,} saved inputs run again")
    assert inputs > 1_000
