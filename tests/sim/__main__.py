"""`python -m tests.sim SEED [WORD…]`: one run, told as a story.

Words pick lines: the end of a message's name, `anna`, `BROKEN`. Without any, all are told.
"""

import sys
import time

from tests.sim.simulate import Plan, simulate


def main() -> int:
    """Prints the story; 1 when a promise was broken."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    words, plan = sys.argv[2:], Plan()
    began = time.monotonic()
    report = simulate(seed, plan)
    for event in report.events:
        if not words or any(word in event for word in words):
            print(event)
    seconds = time.monotonic() - began
    print(f"seed {seed}: {plan.days:g} days in {seconds:.1f} s, trace {report.trace}")
    print(", ".join(f"{count} {word}" for word, count in sorted(report.counts.items())))
    for each in report.broken:
        print("BROKEN", each)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
