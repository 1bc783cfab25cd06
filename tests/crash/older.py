"""A store of an earlier release, to be traced while it is copied, and nothing else is done.

In a start the next syncs would hide that one of the copy's own is missing. What is on the disk by
its word is noted beside it, a line:

    copied      `snapshot` returned

`python -m tests.crash.older FOLDER NOTES [FAULT]`
"""

import os
import shutil
import sys
from pathlib import Path

from node.store import migrate
from node.store.files import sync
from node.store.leveldb import LevelDbKv
from tests.crash.faults import plant
from tests.crash.worker import Notes

HOME = "home"
"""The folder above the database: snapshots lie in it."""
SNAPSHOT = "db.schema-1.0"
ROWS = {b"Z%02d" % n: bytes([n]) * 700 for n in range(20)}
"""What the earlier release wrote, half of it in a table by now, half in the log."""


def make(folder: Path) -> None:
    """The store of the earlier release."""
    rows = sorted(ROWS.items())
    for some in (rows[:10], rows[10:]):
        kv = LevelDbKv.open(folder)
        kv.write(dict(some))
        kv.close()


def main(folder: str, noted: str, fault: str = "") -> None:
    """Makes it, and copies it."""
    home, notes = Path(folder) / HOME, Notes(Path(noted))
    home.mkdir()
    sync(Path(folder))
    make(home / "db")
    if fault:
        plant(fault)
    migrate.snapshot(home / "db", home / SNAPSHOT)
    notes.say("copied")


if __name__ == "__main__":
    os.umask(0o077)
    # A copy inside the kernel would be in no trace.
    setattr(shutil, "_USE_CP_SENDFILE", False)  # noqa: B010  # no name that mypy knows
    main(*sys.argv[1:])
