"""What a command has made when it returns stays, whatever happens then: a home, a backup.

Each is traced. Of all files it left, under the strictest model of a file system nothing may be
missing after a power cut in the moment it says that it is done.
"""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.cuts import Disk
from tests.crash.trace import calls, need_strace, traced
from tests.e2e.homes import PROGRAM, Home, ended

DIARY = ("lock", "LOCK", "LOG", "LOG.old", "tally")
"""What says nothing that has to last."""


@pytest.fixture
def root() -> Iterator[Path]:
    need_strace()
    with tempfile.TemporaryDirectory(prefix="wc-") as folder:
        (Path(folder) / "root").mkdir()
        yield Path(folder) / "root"


def lost(root: Path, *words: str, data: bytes = b"") -> list[str]:
    """Files below `root`, which was empty, that the command made and a power cut could take."""
    trace = root.with_name("trace")
    traced([*PROGRAM, *words], trace, data)
    disk = Disk(root)
    for call in calls(trace, root):
        disk.take(call)
    left = disk.left("dropped", random.Random(0))
    made = [path for path in root.rglob("*") if path.is_file() and path.name not in DIARY]
    assert made
    return [
        str(path) for path in made if left.get(f"/{path.relative_to(root)}") != path.read_bytes()
    ]


def test_init(root: Path) -> None:
    assert lost(root, "--home", str(root / "deep" / "home"), "init", "--name", "anna") == []


def test_backup_and_restore(root: Path) -> None:
    anna, file, back = Home(root.parent, "anna"), root / "file", root.with_name("back")
    words = anna.init()["recovery_phrase"].encode()
    with ended([anna]):
        anna.start(60)
        anna.settled(anna.send("anna", bytes(200_000)), "confirmed", 60)
        assert lost(root, "--home", str(anna.path), "backup", str(file)) == []
    file.rename(back)
    assert lost(root, "--home", str(root / "home"), "restore", str(back), data=words) == []
    listen = anna.listen
    assert lost_but_moved(root, back, words, listen) == []


def lost_but_moved(root: Path, back: Path, words: bytes, listen: str) -> list[str]:
    """The same for a home that will be somewhere else."""
    inner = root / "elsewhere"
    inner.mkdir()
    home = str(inner / "home")
    return lost(inner, "--home", home, "restore", str(back), "--listen", listen, data=words)
