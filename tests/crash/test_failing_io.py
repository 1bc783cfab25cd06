"""Calls to the system that fail: the n-th of a run, one in each run (EIO, ENOSPC).

`strace` lets a call of a real process fail that works on a real disk. A run is recorded first, so
that the n-th call is known by its kind; then it is done again for each n. Whatever fails, nothing
that was acknowledged is missing afterwards, what is there agrees with itself, and the node either
went on or ended with words.
"""

import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.crash import worker
from tests.crash.disk import acknowledged, complaints
from tests.crash.nodes import NODES
from tests.crash.sizes import ASKED, sized
from tests.crash.trace import need_strace
from tests.crash.worker import Load
from tests.e2e.homes import until

FAILING = sized(500, 5_000)
RUNS = 5
"""Different loads: the first calls of each fail, so many that all together are `FAILING`."""
KINDS = ("openat", "write", "fsync", "fdatasync", "rename", "unlink", "mkdir", "ftruncate")
ERRORS = ("EIO", "ENOSPC")
LANES = 3


def begun(folder: Path, load: Load) -> ForkServerProcess:
    """A node that has not touched its disk yet: it waits for the file `go`."""
    given = (folder / "home", folder / "notes", load)
    node = NODES.Process(
        target=worker.process, args=given, kwargs={"go": folder / "go", "said": folder / "said"}
    )
    node.start()
    until(lambda: said(folder).startswith("waits"), 60)
    return node


def said(folder: Path) -> str:
    path = folder / "said"
    return path.read_text() if path.exists() else ""


@contextmanager
def watched(pid: int, *options: str) -> Iterator[None]:
    """`strace` looks at a process, from here on until it ends."""
    strace = subprocess.Popen(
        ["strace", "-f", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True
    )
    assert strace.stderr is not None
    try:
        assert "attached" in strace.stderr.readline()
        yield
        strace.communicate(timeout=60)
    finally:
        if strace.poll() is None:
            strace.kill()
            strace.communicate()


def lived(folder: Path, load: Load, *options: str) -> int:
    """One life under `strace`; its exit code."""
    node = begun(folder, load)
    try:
        assert node.pid is not None
        with watched(node.pid, *options):
            (folder / "go").touch()
    finally:
        node.join(60)
        if node.is_alive():
            node.kill()
    assert node.exitcode is not None
    return node.exitcode


def recorded(folder: Path, load: Load) -> list[tuple[str, int]]:
    """The calls of one life about its home: the kind, and the how-manieth of its kind."""
    trace = folder / "trace"
    code = lived(folder, load, "-y", "-o", str(trace), "-e", f"trace={','.join(KINDS)}")
    assert code == 0, said(folder)
    counts: Counter[str] = Counter()
    found = []
    first = trace.read_text().split(maxsplit=1)[0]
    for line in trace.read_text().splitlines():
        thread, call = line.split(maxsplit=1)
        kind = call.partition("(")[0]
        if thread == first and kind in KINDS:  # the others' are LevelDB's own, and count apart
            counts[kind] += 1
            if str(folder / "home") in call:
                found.append((kind, counts[kind]))
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with some mail, and what was acknowledged of it."""
    need_strace()
    folder = tmp_path_factory.mktemp("model")
    assert lived(folder, Load(seed=1, count=4), "-o", "/dev/null", "-e", "trace=none") == 0
    return folder


def copied(model: Path, folder: Path) -> Path:
    shutil.copytree(model / "home", folder / "home")
    shutil.copyfile(model / "notes", folder / "notes")
    return folder


def failed(model: Path, folder: Path, load: Load, kind: str, n: int, error: str) -> str:
    """One life in which one call fails: whether it `went on`, or `ended`."""
    folder.mkdir()
    copied(model, folder)
    inject = f"inject={kind}:error={error}:when={n}"
    code = lived(folder, load, "-o", "/dev/null", "-e", f"trace={kind}", "-e", inject)
    words, what = said(folder), f"{kind} {n} of load {load.seed}: {error}"
    if code and (code != 74 or "ended: " not in words or "Traceback" in words):
        return f"{what}\n{words}"
    found = complaints(folder / "home", acknowledged(folder / "notes"))
    if found:
        return f"{what}\n{found}"
    shutil.rmtree(folder)
    return "ended" if code else "went on"


def loads() -> list[Load]:
    return [
        Load(seed=seed, count=5, refused=True, patience=0.3, inline=True) for seed in range(RUNS)
    ]


def test_calls_that_fail(model: Path, tmp_path: Path, figure: Callable[[str], None]) -> None:
    todo = []
    for load in loads():
        folder = tmp_path / f"record{load.seed}"
        folder.mkdir()
        calls = recorded(copied(model, folder), load)
        assert len(calls) > FAILING // RUNS or ASKED != "1"
        todo += [(load, *call) for call in calls[: FAILING // RUNS]]
    chance = random.Random(4)

    def one(at: int) -> str:
        load, kind, n = todo[at]
        return failed(model, tmp_path / str(at), load, kind, n, errors[at])

    errors = [chance.choice(ERRORS) for _ in todo]
    with ThreadPoolExecutor(LANES) as lanes:
        outcomes = Counter(lanes.map(one, range(len(todo))))
    right = {word: outcomes.pop(word) for word in ("ended", "went on")}
    assert not outcomes, "\n\n".join(outcomes)
    assert min(right.values())
    figure(
        f"failing calls: {len(todo):,} of {len(KINDS)} kinds, one a run; the node went on after "
        f"{right['went on']:,}, ended in words after {right['ended']:,}; 0 lost"
    )
