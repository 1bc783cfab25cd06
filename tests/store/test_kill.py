"""A process killed while it writes: what it acknowledged is there, the rest whole or not at all."""

import os
import random
import subprocess
import sys
from pathlib import Path

from node.store.leveldb import LevelDbKv
from tests.conftest import CHECKOUT
from tests.store.kv_contract import LAST
from tests.store.writer import both

KILLS = 20


def killed(folder: Path, run: str, after: int) -> list[bytes]:
    """What a writer acknowledged that was killed after about so many lines."""
    command = [sys.executable, "-m", "tests.store.writer", os.fspath(folder), run]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after)]
        child.kill()
        lines += child.stdout.readlines()
    return [line.strip() for line in lines if line.endswith(b"\n")]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    rng = random.Random(9)
    acknowledged: set[bytes] = set()
    for turn in range(KILLS):
        acknowledged.update(killed(folder, f"run{turn}", rng.randrange(1, 400)))
        kv = LevelDbKv.open(folder)
        rows = dict(kv.scan(b"", LAST))
        kv.close()
        names = {key[2:] for key in rows}
        assert acknowledged <= names
        assert all(rows[key] == name * 20 for name in names for key in both(name))
    assert len(acknowledged) > KILLS
