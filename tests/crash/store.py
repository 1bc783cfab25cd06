"""A store alone, to be traced: made, opened again and again, written to; no home syncs around it.

In a home a missing sync of the store's own is often mended by the next one of somebody else. Here
there is nobody else. What is on the disk by the store's word is noted beside it, a line each:

    row N           `write` returned
    block CID       `keep` returned

`python -m tests.crash.store FOLDER NOTES [FAULT]`
"""

import os
import sys
from functools import partial
from pathlib import Path

import trio

from node.encoding import cid as cids
from node.store.files import BlockFiles, sync
from node.store.leveldb import LevelDbKv
from tests.crash.faults import plant
from tests.crash.worker import Notes
from tests.store.threads import InlineThreads

ROWS_IN = "rows"
"""The folder of the database has one of its own above it, in which nobody else syncs a name."""
LIVES = 4
"""How often it is opened: the first time it is made, then its log is replayed."""
ROWS = 5
"""Written in each life."""


def row(n: int) -> tuple[bytes, bytes]:
    """What is written n-th."""
    return b"%04d" % n, bytes([n]) * 700


def block(n: int) -> bytes:
    """What is kept n-th."""
    return bytes([n]) * 2_000


async def life(folder: Path, notes: Notes, number: int) -> None:
    """Opens it, writes and keeps, and lets go."""
    kv, files = (
        LevelDbKv.open(folder / ROWS_IN / "db"),
        BlockFiles(folder / "blocks", InlineThreads()),
    )
    for n in range(number * ROWS, (number + 1) * ROWS):
        kv.write(dict([row(n)]))
        notes.say("row", n)
        name, data = cids.of_raw(block(n)), block(n)
        # As a process leaves it that was killed between making a folder and syncing its name.
        place = folder / "blocks" / cids.show(name)[-2:]
        if number and n % 2:
            place.mkdir(exist_ok=True)
        await files.keep(name, data)
        notes.say("block", cids.show(name))
    kv.close()


def main(folder: str, noted: str, fault: str = "") -> None:
    """All its lives."""
    (Path(folder) / ROWS_IN).mkdir()
    sync(Path(folder))
    if fault:
        plant(fault)
    notes = Notes(Path(noted))
    for number in range(LIVES):
        trio.run(partial(life, Path(folder), notes, number))


if __name__ == "__main__":
    os.umask(0o077)
    main(*sys.argv[1:])
