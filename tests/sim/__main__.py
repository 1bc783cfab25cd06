"""`python -m tests.sim SEED [DAYS]`: one run, told as a story."""

import sys
import time

from tests.sim.simulate import Plan, simulate


def main() -> int:
    """Prints the story; 1 when a promise was broken."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    days = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    began = time.monotonic()
    report = simulate(seed, Plan(days=days))
    for event in report.events:
        print(event)
    print(f"seed {seed}: {days:g} days in {time.monotonic() - began:.1f} s, trace {report.trace}")
    print(", ".join(f"{count} {word}" for word, count in sorted(report.counts.items())))
    for each in report.broken:
        print("BROKEN", each)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
