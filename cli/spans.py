"""Lengths of time as people write them."""

import re

from node.errors import Usage

UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def millis(text: str) -> int:
    """`30d`, `12h`, `45m`, `10s`, `2w` in milliseconds.

    Raises:
        Usage: anything else.
    """
    found = re.fullmatch(r"([0-9]{1,9})([smhdw])", text.strip())
    if found is None or not int(found[1]):
        raise Usage(f"{text[:40]!r} is no length of time", next="write it like 30d, 12h or 45m")
    return int(found[1]) * UNITS[found[2]]
