"""A node without defences, for comparison: no gate, and whoever writes is treated as a contact.

    python -m tests.flood.defenceless PROGRAM…

It runs the program (`Home.before`) with three functions replaced: everything is looked at, every
lane is the contacts'. All the rest is the node as it is. How many boxes it opened is written to
the file that `FLOOD_OPENED` names.
"""

import os
import sys
from pathlib import Path
from typing import Any

from cli import main as cli
from node.crypto import sealed
from node.machines import inbox
from node.services.gate import Gate


def main(words: list[str]) -> None:
    """The command `words`, without defences."""
    opened, sound = 0, sealed.unbox

    def counted(*given: Any) -> bytes:
        nonlocal opened
        opened += 1
        return sound(*given)

    replaced: tuple[tuple[Any, str, Any], ...] = (
        (Gate, "admits", lambda *given: True),
        (Gate, "hears", lambda *given: True),
        (inbox, "lane", lambda peer, holds: inbox.Lane.CONTACT),
        (sealed, "unbox", counted),
    )
    for where, what, made in replaced:
        setattr(where, what, made)
    sys.argv = words
    try:
        cli.main()
    finally:
        Path(os.environ["FLOOD_OPENED"]).write_text(str(opened))


if __name__ == "__main__":
    # In front of it stand Python's own words: python -m cli
    main(["willcall", *sys.argv[4:]])
