"""Damaged databases: an error, or right bytes, never wrong ones."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.errors import StoreFailed
from node.store.leveldb import LevelDbKv
from tests.store.kv_contract import LAST

COPIES = 60
Rows = dict[bytes, bytes]


def value(rng: random.Random, n: int) -> bytes:
    return b"%06d" % n + (rng.randbytes(40) if n % 3 else b"words and words " * 20)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rows]:
    """A store with tables, a manifest and a log, and what is in it."""
    folder = tmp_path_factory.mktemp("damage") / "db"
    rng = random.Random(20)
    rows = {b"k%05d" % (n * 7919 % 100_003): value(rng, n) for n in range(6_000)}
    keys = list(rows)
    for part in range(3):
        # Opening again turns the log into a table.
        kv = LevelDbKv.open(folder)
        for at in range(part * 2_000, part * 2_000 + 2_000, 250):
            kv.write({key: rows[key] for key in keys[at : at + 250]})
        kv.close()
    return folder, rows


def flipped(rng: random.Random, path: Path) -> None:
    block = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 3, 50])):
        block[rng.randrange(len(block))] ^= 1 << rng.randrange(8)
    path.write_bytes(block)


def zeroed(rng: random.Random, path: Path) -> None:
    block = bytearray(path.read_bytes())
    at = rng.randrange(len(block))
    length = min(rng.choice([1, 64, 4096]), len(block) - at)
    block[at : at + length] = bytes(length)
    path.write_bytes(block)


def cut(rng: random.Random, path: Path) -> None:
    block = path.read_bytes()
    path.write_bytes(block[: rng.randrange(len(block))])


def gone(rng: random.Random, path: Path) -> None:
    path.unlink()


def swapped(rng: random.Random, path: Path) -> None:
    block = path.read_bytes()
    half = len(block) // 2
    path.write_bytes(block[half:] + block[:half])


HARMS: list[Callable[[random.Random, Path], None]] = [flipped, flipped, zeroed, cut, gone, swapped]


def scanned(kv: LevelDbKv, reverse: bool, rows: Rows) -> bool:
    """Whether a scan gave all rows. What it gives until damage stops it must be right."""
    found: Rows = {}
    try:
        for key, one in kv.scan(b"", LAST, reverse=reverse):
            found[key] = one
    except StoreFailed:
        assert found.items() <= rows.items()
        return True
    assert found.items() <= rows.items()
    return found == rows


def gotten(kv: LevelDbKv, rows: Rows) -> bool:
    """Whether every row was there, or an error said why not."""
    complete = True
    for key in sorted(rows)[::7]:
        try:
            found = kv.get(key)
        except StoreFailed:
            continue
        assert found in (None, rows[key])
        complete = complete and found is not None
    return complete


def noticed(folder: Path, rows: Rows) -> bool:
    """Whether no row is missing without an error. Wrong bytes fail at once."""
    try:
        kv = LevelDbKv.open(folder)
    except StoreFailed:
        return True
    answers = [scanned(kv, False, rows), scanned(kv, True, rows), gotten(kv, rows)]
    kv.close()
    return all(answers)


@pytest.mark.parametrize("seed", range(COPIES))
def test_damage_gives_errors_or_right_bytes(
    seed: int, whole: tuple[Path, Rows], tmp_path: Path
) -> None:
    folder, rows = whole
    rng = random.Random(seed)
    copy = tmp_path / "db"
    shutil.copytree(folder, copy)
    kinds = ["*.ldb", "*.log", "MANIFEST-*", "CURRENT"]
    harmed = rng.choice(sorted(copy.glob(kinds[seed % 7 if seed % 7 < 4 else 0])))
    HARMS[seed % len(HARMS)](rng, harmed)
    assert noticed(copy, rows), f"{harmed.name}: rows are missing, and nothing said so"
