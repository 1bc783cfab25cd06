"""`python -m tests.sim SEED [WORD…]`: one run, and the story of one message in it.

Without a word it is the message a promise was broken for, else the one with most to tell. The end
of a message's name tells that one, `all` tells everything, and any other word picks lines.
"""

import sys
import time
from collections.abc import Iterator

from tests.sim.report import Plan, Report
from tests.sim.simulate import simulate


def main() -> int:
    """Prints the story; 1 when a promise was broken."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    plan, began = Plan(), time.monotonic()
    report = simulate(seed, plan)
    seconds = time.monotonic() - began
    for line in _told(report, sys.argv[2:]):
        print(line)
    print(f"\nseed {seed}: {report.nodes} nodes, {report.days:g} days in {seconds:.1f} s")
    print(", ".join(f"{count} {word}" for word, count in sorted(report.counts.items())))
    print(f"trace {report.trace}; ARGS=all tells everything, ARGS=NAME another message")
    for each in report.broken:
        print("BROKEN", each)
    return 1 if report.broken else 0


def _told(report: Report, words: list[str]) -> Iterator[str]:
    names = [word for word in words if word in report.letters]
    if words == ["all"]:
        yield from map(str, report.events)
    elif words and not names:
        yield from (line for line in map(str, report.events) if any(w in line for w in words))
    else:
        for name in names or [report.busiest()]:
            letter = report.letters[name]
            yield f"the story of {name}, from {letter.author} to {', '.join(letter.to)}:\n"
            yield from report.story(name)
            ends = report.ends.get(name, {})
            yield f"\nin the end: {', '.join(f'{to} {end}' for to, end in ends.items()) or 'lost'}"


if __name__ == "__main__":
    sys.exit(main())
