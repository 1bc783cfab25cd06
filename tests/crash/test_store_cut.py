"""Power cuts of a store that is alone, from its making on: what it said is durable is there.

`test_power_cut.py` cuts whole homes. Their other syncs make some of the store's own needless, so
that nobody would notice if these went; but who else opens a store (a restore, a migration) relies
on them.
"""

import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.encoding import cid as cids
from node.errors import StoreFailed
from node.store.leveldb import LevelDbKv
from tests.crash import store
from tests.crash.cuts import MODELS, Disk, State, lay
from tests.crash.faults import ALONE
from tests.crash.sizes import sized
from tests.crash.trace import Call, calls, need_strace, traced

MEMORY = next((path for path in [Path("/dev/shm")] if path.is_dir()), None)
"""Where states are laid out, if it can be had: what reached a disk is in the trace."""
STATES = sized(500, 9_000)
"""Of all models together."""


def run(folder: Path, fault: str = "", program: str = "tests.crash.store") -> list[Call]:
    """Traces all that a program does in `folder/root`; its calls."""
    root, trace = folder / "root", folder / "trace"
    root.mkdir()
    words = [sys.executable, "-m", program, str(root), str(folder / "notes")]
    traced([*words, *([fault] if fault else [])], trace)
    return calls(trace, folder)


def states(
    folder: Path, done: list[Call], chance: random.Random
) -> Iterator[tuple[State, list[str]]]:
    """What a cut leaves after each call, each once; and what had been said by then."""
    disk, said, known = Disk(folder / "root"), list[str](), set[int]()
    for call in done:
        if Path(call.path) == folder / "notes":
            if call.name == "write" and call.begins:
                said.append(call.data.decode().strip())
        elif call.path.startswith(str(folder / "root")):
            disk.take(call)
        for model in MODELS:
            state = disk.left(model, chance)
            key = hash((len(said), *((p, state[p]) for p in sorted(state))))
            if key not in known:
                known.add(key)
                yield state, list(said)


def missing(folder: Path, said: list[str]) -> list[str]:
    """What was said and is not there."""
    rows = [int(line.split()[1]) for line in said if line.startswith("row")]
    blocks = {line.split()[1] for line in said if line.startswith("block")}
    right = {cids.show(cids.of_raw(store.block(n))): store.block(n) for n in range(100)}
    here = {path.name: path for path in (folder / "blocks").glob("??/*")}
    lost = [name for name in blocks if name not in here or here[name].read_bytes() != right[name]]
    try:
        kv = LevelDbKv.open(folder / store.ROWS_IN / "db")
    except StoreFailed as error:
        # Until it said anything nobody relies on it: whoever makes a store begins anew.
        return [*lost, str(error)] if said else []
    try:
        found = dict(kv.scan(b"", b"\xff" * 16))
    finally:
        kv.close()
    return [*lost, *(f"row {n}" for n in rows if dict([store.row(n)]).items() - found.items())]


def looked(folder: Path, fault: str = "", *, first: bool = False) -> tuple[int, list[str]]:
    """How many states were opened, and what was wrong with them."""
    chance, done, count, wrong = random.Random(7), run(folder, fault), 0, list[str]()
    found = list(states(folder, done, chance))
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="wc-cut-") as memory:
        for state, said in chance.sample(found, min(STATES, len(found))):
            place = Path(memory) / "state"
            place.mkdir()
            lay(state, place)
            count += 1
            wrong += missing(place, said)
            shutil.rmtree(place)
            if first and wrong:
                break
    return count, wrong


def test_a_store_alone(tmp_path: Path, figure: Callable[[str], None]) -> None:
    need_strace()
    count, wrong = looked(tmp_path)
    assert not wrong
    assert count > 300
    figure(f"a store alone: {count:,} states of power cuts, from its making on, 0 lost")


@pytest.mark.parametrize("fault", ALONE)
def test_care_that_is_taken_away_shows(fault: str, tmp_path: Path) -> None:
    need_strace()
    assert looked(tmp_path, fault, first=True)[1], f"nothing notices the fault {fault!r}"
