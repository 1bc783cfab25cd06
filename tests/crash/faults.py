"""Planted faults of the disk's side: each takes one care away, and the power cuts must notice.

The simulator's faults (`tests/sim/mutants.py`) break rules; these break what only a real disk
shows. They are planted in a process of their own, which then runs as it is.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from node import daemon
from node.store import files, leveldb
from node.store.leveldb import LevelDbKv
from tests.store.threads import InlineThreads


def _no_sync() -> None:
    def commit(self: Any, db: Any, puts: Mapping[bytes, bytes | None]) -> None:
        with db.write_batch(transaction=True, sync=False) as batch:
            for key, value in puts.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)

    _replace(LevelDbKv, "_commit", commit)


def _no_directory_sync() -> None:
    class NoFsync:
        """`os` with an fsync that does nothing: the store syncs nothing else by it."""

        def __getattr__(self, name: str) -> Any:
            return (lambda fd: None) if name == "fsync" else getattr(os, name)

    _replace(leveldb, "os", NoFsync())


def _no_block_directory_sync() -> None:
    _replace(files, "sync", _nothing)


def _no_block_sync() -> None:
    def write(path: Path, block: bytes) -> None:
        path.write_bytes(block)

    _replace(files, "_write", write)


def _row_before_block() -> None:
    keep = files.BlockFiles._keep
    late: list[tuple[Any, ...]] = []

    def later(self: Any, *given: Any) -> None:
        """The file comes one message late: its row is durable first."""
        if late:
            keep(self, *late.pop())
        late.append(given)

    _replace(files.BlockFiles, "_keep", later)


def _nothing(*given: object) -> None:
    pass


def _replace(where: Any, name: str, by: Any) -> None:
    setattr(where, name, by)


FAULTS: dict[str, Callable[[], None]] = {
    "no sync": _no_sync,
    "no directory sync": _no_directory_sync,
    "no sync of large blocks": _no_block_sync,
    "no directory sync of large blocks": _no_block_directory_sync,
    "row before block": _row_before_block,
}


def in_line() -> None:
    """No fault: work that waits for the disk is done by the thread that asks for it."""
    _replace(daemon, "SystemThreads", InlineThreads)


def plant(name: str) -> None:
    """The fault is there until this process ends."""
    FAULTS[name]()
