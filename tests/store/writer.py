"""Writes until it is killed, and says what was acknowledged: `python -m tests.store.writer`."""

import os
import sys
from pathlib import Path

import trio

from node.ports import Tx
from node.store.committer import Committed
from node.store.leveldb import LevelDbKv
from tests.store.threads import RealThreads

TASKS = 8


def both(name: bytes) -> tuple[bytes, bytes]:
    return b"a-" + name, b"z-" + name


async def write(store: Committed, run: bytes, task: int) -> None:
    turn = 0
    while True:
        name = b"%s-%d-%d" % (run, task, turn)

        def work(tx: Tx, name: bytes = name) -> None:
            for key in both(name):
                tx.put(key, name * 20)

        await store.transact(work)
        os.write(1, name + b"\n")
        turn += 1


async def main(folder: Path, run: bytes) -> None:
    store = Committed(LevelDbKv.open(folder), RealThreads())
    async with trio.open_nursery() as nursery:
        await nursery.start(store.run)
        for task in range(TASKS):
            nursery.start_soon(write, store, run, task)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2].encode())
