"""How much is tried: a little on every run, much more under `make soak-crash`."""

import os

ASKED = os.environ.get("CRASH", "1")
"""`soak`, or how many times the usual size."""


def sized(usual: int, soak: int) -> int:
    """`usual` in CI; on demand so many times more, and `soak` at most."""
    return soak if ASKED == "soak" else min(soak, usual * int(ASKED))
