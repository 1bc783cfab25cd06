"""Power cuts, replayed from traced runs: what was acknowledged before the cut is on the disk.

`kill -9` can't see a missing sync, because the system keeps what a process wrote. So a node is
traced from the making of its home on, and the folders are built that a cut at any call could have
left. Each is opened by the real store: nothing that was told to anybody may be missing (I1), and
an audit computes everything derived again (I2). Care that is taken away has to show.
"""

import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from node import homes
from node.errors import ConfigBroken, StoreFailed
from tests.crash.cuts import MODELS, Disk, State, lay
from tests.crash.disk import Acknowledged, complaints
from tests.crash.faults import FAULTS
from tests.crash.nodes import NODES
from tests.crash.sizes import sized
from tests.crash.trace import Call, calls, need_strace, traced

STATES = sized(3_000, 100_000)
"""Of each model."""
MESSAGES = (4, 10, 18)
"""In a run: the more, the larger its states, and the longer a look at each."""
RUNS = sized(8, 250)
SOME = 80
"""States of each model that have to be enough to notice a fault."""

# Where each state is laid out: in memory, if that can be had. What reached a disk is in the trace.
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the states of one run showed, each looked at once."""

    cuts: int
    states: dict[str, int]
    wrong: list[str]


def run(folder: Path, seed: int, fault: str | None = None, messages: int = 10) -> Path:
    """Makes a home, writes mail in it, and traces that: the folder with all of it."""
    root = folder / f"run{seed}"
    root.mkdir()
    words = [sys.executable, "-m", "tests.crash.worker", root / "home", root / "notes", seed]
    said = traced(
        [*map(str, words), str(messages), *([fault] if fault else [])], folder / f"trace{seed}"
    )
    assert "ended" not in said, said
    return root


def cuts(
    root: Path, done: Sequence[Call], chosen: set[int], chance: random.Random
) -> Iterator[tuple[str, State, Acknowledged]]:
    """States that a cut may leave after the chosen calls, each once; and what was told by then."""
    disk, told, known = Disk(root), Acknowledged(), set[bytes]()
    for at, call in enumerate(done):
        if Path(call.path) == root / "notes":
            _tell(call, told)
        else:
            disk.take(call)
        if at in chosen:
            for model in MODELS:
                state = disk.left(model, chance)
                if (key := _fingerprint(state, told)) not in known:
                    known.add(key)
                    yield model, state, told


def _fingerprint(state: State, told: Acknowledged) -> bytes:
    made = sha256(repr(told).encode())
    for path, data in sorted(state.items()):
        made.update(path.encode() + sha256(data or b"").digest())
    return made.digest()


def _tell(call: Call, told: Acknowledged) -> None:
    if call.name == "write" and call.begins:
        told.take(call.data)


def looked(root: Path, seed: int, most: int) -> Found:
    """Lays out and opens some states of one run."""
    chance, done = random.Random(seed), calls(root.with_name(f"trace{seed}"), root)
    chosen = set(chance.sample(range(len(done)), min(most, len(done))))
    found = Found(cuts=len(chosen), states=dict.fromkeys(MODELS, 0), wrong=[])
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="wc-cut-") as folder:
        for model, state, told in cuts(root, done, chosen, chance):
            place = Path(folder) / "state"
            place.mkdir()
            lay(state, place)
            found.states[model] += 1
            found.wrong.extend(f"run {seed}, {model}: {w}" for w in _wrong(place / "home", told))
            shutil.rmtree(place)
    return found


def _wrong(home: Path, told: Acknowledged) -> list[str]:
    try:
        homes.Home(home).check()
    except ConfigBroken:
        return ["the home is gone"] if told.made else _unfinished(home)
    try:
        return complaints(home, told)
    except StoreFailed as error:
        return [str(error)]


def _unfinished(home: Path) -> list[str]:
    """What was cut off before it was a home does not keep `init` from making one."""
    homes.Home(home).check_new()
    return []


def run_and_look(folder: Path, seed: int) -> Found:
    root = run(folder, seed, messages=MESSAGES[seed % len(MESSAGES)])
    found = looked(root, seed, -(-STATES // RUNS))
    shutil.rmtree(root)
    root.with_name(f"trace{seed}").unlink()
    return found


def test_power_cuts(tmp_path: Path, figure: Callable[[str], None]) -> None:
    need_strace()
    with ProcessPoolExecutor(2, mp_context=NODES) as pool:
        found = list(pool.map(run_and_look, [tmp_path] * RUNS, range(RUNS)))
    assert not [word for one in found for word in one.wrong]
    cut = sum(one.cuts for one in found)
    counted = {model: sum(one.states[model] for one in found) for model in MODELS}
    assert cut > STATES * 0.9
    words = ", ".join(f"{count:,} {model}" for model, count in counted.items())
    figure(f"crash states: {cut:,} power cuts × 3 models = {sum(counted.values()):,} different "
           f"states ({words}) of {RUNS} traced runs, 0 lost")  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_care_that_is_taken_away_shows(fault: str, tmp_path: Path) -> None:
    need_strace()
    found = looked(run(tmp_path, 1, fault, messages=24), 1, SOME)
    assert found.wrong, f"nothing notices the fault {fault!r}"
