"""Many seeds on all cores: how many, how long, and what they found."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import inf
from multiprocessing import get_context

from tests.sim.more_mutants import ALL
from tests.sim.mutants import planted
from tests.sim.report import Plan, Report
from tests.sim.simulate import simulate

YEAR = 365.0
LONGEST = 120.0
"""Seconds of a processor that a run may take: most take five."""
HOLLOW = ("TypeError:", "AttributeError:", "NameError:")
"""How a planted fault fails that was made for other code."""


@dataclass(slots=True, kw_only=True)
class Campaign:
    """What many runs came to.

    Attributes:
        node_years: of virtual time, over all machines.
        broken: the seeds that broke a promise, with their stories.
    """

    seeds: int = 0
    node_years: float = 0.0
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    broken: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """One more run."""
        self.seeds += 1
        self.node_years += report.nodes * report.days / YEAR
        for word, count in report.counts.items():
            self.counts[word] = self.counts.get(word, 0) + count
        if report.broken:
            self.broken.append(report)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {word}" for word, count in sorted(self.counts.items()))
        return (
            f"{self.seeds} seeds, {self.node_years:.1f} node-years in {self.seconds:.0f} s, "
            f"{len(self.broken)} broke a promise: {counts}"
        )


def run(
    seeds: Iterable[int],
    plan: Plan,
    *,
    years: float = inf,
    seconds: float = inf,
    mutant: str | None = None,
    first: bool = False,
) -> Campaign:
    """Runs seeds in their order until there are none, or it is enough.

    Args:
        years: node-years that are enough.
        seconds: after how many no seed is begun.
        mutant: a fault that is planted in every run.
        first: whether one broken promise is enough.
    """
    began, made = time.monotonic(), Campaign()

    def enough() -> bool:
        over = made.node_years >= years or time.monotonic() - began >= seconds
        return over or (first and bool(made.broken))

    for report in _reports(iter(seeds), plan, mutant, enough):
        made.add(report)
    made.seconds = time.monotonic() - began
    return made


def hunt(wanted: Mapping[str, Iterable[int]], plan: Plan) -> dict[str, list[int]]:
    """Looks for planted faults, each with its seeds in their order until one notices.

    Returns:
        For each the seeds that were tried; the last one noticed, unless there is a -1 behind it.
    """
    left = {name: iter(seeds) for name, seeds in wanted.items()}
    tried: dict[str, list[int]] = {name: [] for name in wanted}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        while left:
            turn = {name: next(seeds, -1) for name, seeds in left.items()}
            for name, seed in turn.items():
                tried[name].append(seed)
            going = {n: pool.submit(_one, s, plan, n) for n, s in turn.items() if s >= 0}
            caught = {name for name, future in going.items() if future.result().broken}
            left = {name: left[name] for name in going if name not in caught}
    return tried


def _one(seed: int, plan: Plan, mutant: str | None) -> Report:
    """A run; one that ends with an error, or not at all, breaks a promise and not the campaign."""
    signal.signal(signal.SIGVTALRM, _no_end)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        with planted(ALL[mutant]) if mutant else nullcontext():
            return simulate(seed, plan)
    except Exception:  # whatever it is, its seed has to be known
        told = traceback.format_exc()
        if mutant and any(word in told for word in HOLLOW):
            raise  # it does not fit the code any more: that is no catch
        return Report(seed=seed, broken=[told])
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _no_end(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"I16: no end in {LONGEST:g} s: something goes round and round")


def _reports(
    seeds: Iterator[int], plan: Plan, mutant: str | None, enough: Callable[[], bool]
) -> Iterator[Report]:
    # Spawned, not forked: a run must not begin with what pytest left in memory.
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        going: set[Future[Report]] = set()
        for seed in seeds:
            if enough():
                break
            going.add(pool.submit(_one, seed, plan, mutant))
            if len(going) > (os.cpu_count() or 1):
                done, going = wait(going, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        yield from (each.result() for each in going)
