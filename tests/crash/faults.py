"""Planted faults of the disk's side: each takes one care away, and the power cuts must notice.

The simulator's faults (`tests/sim/mutants.py`) break rules; these break what only a real disk
shows. They are planted in a process of their own, which then runs as it is.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from node import homes
from node.store import files, leveldb, migrate
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


def _no_sync_of_the_name() -> None:
    def prepare(folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)

    _replace(leveldb, "_prepare", prepare)


def _no_sync_of_fresh_folders() -> None:
    def make(self: Any, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    _replace(files.BlockFiles, "_make", make)


def _folders_that_are_there_are_believed() -> None:
    make = files.BlockFiles._make

    def believed(self: Any, folder: Path) -> None:
        if not folder.exists():
            make(self, folder)

    _replace(files.BlockFiles, "_make", believed)


def _no_sync_of_a_snapshot(which: Callable[[Path], bool]) -> Callable[[], None]:
    sync = migrate._sync

    def some(path: Path) -> None:
        if not which(path):
            sync(path)

    return lambda: _replace(migrate, "_sync", some)


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


ALONE: dict[str, Callable[[], None]] = {
    name: FAULTS[name] for name in FAULTS if name != "row before block"
} | {
    "no sync of the database's name": _no_sync_of_the_name,
    "no sync of folders of large blocks": _no_sync_of_fresh_folders,
    "folders that are there are believed": _folders_that_are_there_are_believed,
}
"""What a store shows that is alone: a home syncs more, and by that hides some of it."""

COPIED: dict[str, Callable[[], None]] = {
    "no sync of copies": _no_sync_of_a_snapshot(Path.is_file),
    "no sync of the names of copies": _no_sync_of_a_snapshot(lambda path: path.suffix == ".part"),
    "no sync of a snapshot's name": _no_sync_of_a_snapshot(
        lambda path: path.is_dir() and path.suffix != ".part"
    ),
}
"""What shows while a store of an earlier release is copied."""


def in_line() -> None:
    """No fault: work that waits for the disk is done by the thread that asks for it."""
    _replace(homes, "SystemThreads", InlineThreads)


def plant(name: str) -> None:
    """The fault is there until this process ends."""
    (FAULTS | ALONE | COPIED)[name]()
