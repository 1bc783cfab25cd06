"""`python -m tests.sim.soak [SECONDS]`: fresh seeds, drills and planted faults until told to stop.

Prints what was tried after each round: node-years, every seed that broke a promise, how many
letters old backups gave back, and for each planted fault how many fresh seeds notice it.
"""

import secrets
import sys
import time
from math import inf

from tests.sim import campaign, drill
from tests.sim.more_mutants import ALL
from tests.sim.report import SHORT, Plan

ROUND = 20


def main() -> int:
    """1 when a promise was broken."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else inf
    began, years, bad = time.monotonic(), 0.0, list[int]()
    rates: dict[str, list[int]] = {name: [0, 0] for name in ALL}
    drilled = drill.Drill()
    try:
        while time.monotonic() - began < seconds:
            found = campaign.run(_fresh(ROUND), Plan())
            years += found.node_years
            bad += [report.seed for report in found.broken]
            print(f"{years:.1f} node-years; broken: {bad or 'none'}; last round: {found}")
            drilled += drill.drill(_fresh(1)[0])
            print(f"  {drilled}")
            for name, rate in rates.items():
                caught = campaign.run(_fresh(2), SHORT, mutant=name)
                rate[0] += len(caught.broken)
                rate[1] += caught.seeds
            print("\n".join(f"  {a}/{b} {name}" for name, (a, b) in rates.items()), flush=True)
    except KeyboardInterrupt:
        print(f"stopped after {years:.1f} node-years; broken: {bad or 'none'}; {drilled}")
    return 1 if bad or drilled.lost else 0


def _fresh(count: int) -> list[int]:
    return [10_000 + secrets.randbelow(10**9) for _ in range(count)]


if __name__ == "__main__":
    sys.exit(main())
