"""A disk that fills up: new mail is refused, all else goes on; room heals it without a restart."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import limits
from tests.e2e.homes import Home, ended, meet, until
from tests.store.disks import fill, tmpfs

ROOM = 48 << 20
"""Left free: less than is kept for receipts, more than LevelDB needs."""
assert limits.DISK_LOW > ROOM


@pytest.fixture
def two() -> Iterator[tuple[Home, Home]]:
    """Anna's home is on a small disk, ben's is not; they know each other."""
    with tempfile.TemporaryDirectory(prefix="wc-") as path, tmpfs(Path(path) / "d", "200m") as disk:
        anna, ben = Home(disk, "anna"), Home(Path(path), "ben")
        with ended([anna, ben]):
            for home in (anna, ben):
                home.init()
                home.start(60)
            meet(anna, ben)
            yield anna, ben


def free(home: Home) -> int:
    disk = os.statvfs(home.path)
    return disk.f_bavail * disk.f_frsize


def nearly_full(home: Home) -> Path:
    """A file that leaves less room than new mail may take."""
    filler = home.path.parent / "much"
    filler.write_bytes(bytes(free(home) - ROOM))
    return filler


def refused(home: Home, data: bytes) -> None:
    before = messages(home)
    said = home.refuses(74, "send", "--to", "ben", "--raw", "-", data=data)
    assert said["error"] == "disk-full"
    assert "make room" in said["next"]
    assert messages(home) == before


def messages(home: Home) -> list[str]:
    return [row["message"] for row in home.json("sent")]


def test_nearly_full_receipts_reading_and_deleting_go_on(two: tuple[Home, Home]) -> None:
    anna, ben = two
    first = ben.send("anna", b"Subject: before\n\n")
    ben.settled(first, "confirmed", 60)
    ben.stop()
    waits = [anna.send("ben", bytes(size)) for size in (10, 300_000)]
    filler = nearly_full(anna)
    for size in (10, 300_000):
        refused(anna, bytes(size))
    assert anna.raw(1) == b"Subject: before\n\n"
    anna.json("read", "1")
    assert [row["state"] for row in anna.json("inbox")] == ["read"]
    # Their receipts come in, and are noted.
    ben.start(60)
    for message in waits:
        anna.settled(message, "confirmed", 60)
    # What comes in waits at its sender.
    theirs = ben.send("anna", b"Subject: waits\n\n")
    until(lambda: ben.states(theirs) != ["stored"], 60)
    anna.json("delete", "1")
    assert anna.json("inbox") == []
    filler.unlink()
    ben.settled(theirs, "confirmed", 60)
    anna.settled(anna.send("ben", bytes(300_000)), "confirmed", 60)
    anna.end()


def test_full_to_the_last_byte_and_back(two: tuple[Home, Home]) -> None:
    anna, ben = two
    kept = [anna.send("ben", b"Subject: %d\n\n" % n) for n in range(3)]
    for message in kept:
        anna.settled(message, "confirmed", 60)
    ben.settled(ben.send("anna", b"Subject: before\n\n"), "confirmed", 60)
    filler = fill(anna.path.parent)
    refused(anna, b"small")
    refused(anna, bytes(6 << 20))
    theirs = ben.send("anna", b"Subject: meanwhile\n\n")
    assert messages(anna) == kept[::-1]
    assert [row["subject"] for row in anna.json("inbox")] == ["before"]
    done = anna.run("read", "1", "--raw")
    assert done.out == b"Subject: before\n\n"
    filler.unlink()
    anna.settled(anna.send("ben", bytes(2 << 20)), "confirmed", 60)
    ben.settled(theirs, "confirmed", 60)
    assert [row["subject"] for row in anna.json("inbox")] == ["before", "meanwhile"]
    anna.end()
