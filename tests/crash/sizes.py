"""How much is tried: a little on every run, much more under `make soak-crash`."""

import os

SOAK = os.environ.get("CRASH") == "soak"


def sized(usual: int, soak: int) -> int:
    """`usual` in CI, `soak` on demand."""
    return soak if SOAK else usual
