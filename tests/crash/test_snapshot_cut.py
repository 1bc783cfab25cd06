"""Power cuts while a store is copied: what has the snapshot's name is whole, and stays."""

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from node.errors import StoreFailed
from node.store.leveldb import LevelDbKv
from tests.crash import older
from tests.crash.cuts import lay
from tests.crash.faults import COPIED
from tests.crash.test_store_cut import MEMORY, run, states
from tests.crash.trace import need_strace

ROUNDS = 6
"""How often chance decides what each cut leaves: copying is short."""


def rows(folder: Path) -> dict[bytes, bytes] | str:
    """What a database holds, or why it can't be opened."""
    try:
        kv = LevelDbKv.open(folder)
    except StoreFailed as error:
        return str(error)
    try:
        return dict(kv.scan(b"", b"\xff" * 16))
    finally:
        kv.close()


def wrong(root: Path, said: list[str]) -> str | None:
    """What a cut did that must not be."""
    place = root / older.HOME / older.SNAPSHOT
    if not place.exists():
        return "it was copied, and there is nothing" if "copied" in said else None
    found = rows(place)
    return None if found == older.ROWS else f"the snapshot is another: {str(found)[:200]}"


def looked(folder: Path, fault: str = "") -> tuple[int, list[str]]:
    """How many states with something to look at there were, and what was wrong with them."""
    count, found = 0, list[str]()
    done = run(folder, fault, "tests.crash.older")
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="wc-cut-") as memory:
        for state, said in (
            each for seed in range(ROUNDS) for each in states(folder, done, random.Random(seed))
        ):
            here = f"/{older.HOME}/{older.SNAPSHOT}" in state
            if not here and "copied" not in said:
                continue
            count += 1
            place = Path(memory) / "state"
            place.mkdir()
            lay(state, place)
            found += [] if (text := wrong(place, said)) is None else [text]
            shutil.rmtree(place)
            if found:
                break
    return count, found


def test_a_snapshot_is_whole_under_its_name(tmp_path: Path, figure: Callable[[str], None]) -> None:
    need_strace()
    count, found = looked(tmp_path)
    assert not found
    assert count > 30
    figure(f"a snapshot of a store: whole in {count:,} states of power cuts")


@pytest.mark.parametrize("fault", COPIED)
def test_care_that_is_taken_away_shows(fault: str, tmp_path: Path) -> None:
    need_strace()
    assert looked(tmp_path, fault)[1], f"nothing notices the fault {fault!r}"
