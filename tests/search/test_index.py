"""The index of words: one file, private, and thrown away rather than believed."""

import os
import stat
from pathlib import Path

import pytest

from node.errors import Damaged, StoreFailed
from node.ports import Entry, Hit, Marks, Words
from node.search.index import SqliteIndex, SqliteShelf
from node.system import SystemThreads


def entry(n: int, body: str, *, at: int = 0, sent: bool = False) -> Entry:
    return Entry(Hit(sent, n, b"m%d" % n), at, Words(f"subject{n}", "anna", body))


def index(folder: Path) -> SqliteIndex:
    return SqliteIndex(folder / "search" / "x.sqlite", SystemThreads())


async def test_what_was_entered_is_found_newest_first(tmp_path: Path) -> None:
    made = index(tmp_path)
    assert await made.marks() == Marks()
    marks = Marks(mail=2, mail_name=b"m2", deleted=5, entries=3)
    entries = [
        entry(1, "a boat", at=10),
        entry(2, "boat", at=30),
        entry(7, "boat", at=20, sent=True),
    ]
    await made.add(entries, marks, missing=[4, 5])
    await made.add([], marks, missing=[4], found=[5])
    await made.close()
    again = index(tmp_path)
    assert await again.marks() == marks
    assert await again.missing() == [4]
    assert [hit.number for hit in await again.find('"boat"', 9)] == [2, 7, 1]
    assert [hit.number for hit in await again.find('"boat"', 1)] == [2]
    assert await again.find('subject : "subject1"', 9) == [Hit(False, 1, b"m1")]
    await again.clear()
    assert await again.marks() == Marks()
    assert await again.find('"boat"', 9) == []
    await again.close()


async def test_only_its_owner_can_look(tmp_path: Path) -> None:
    made = index(tmp_path)
    await made.add([entry(1, "secret")], Marks())
    file = tmp_path / "search" / "x.sqlite"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    await made.close()


@pytest.mark.parametrize("harm", ["garbage", "cut", "flipped", "form"])
async def test_damage_is_noticed_and_thrown_away(tmp_path: Path, harm: str) -> None:
    made = index(tmp_path)
    await made.add([entry(n, f"word{n} and more " * 50) for n in range(300)], Marks())
    await made.close()
    file = tmp_path / "search" / "x.sqlite"
    data = bytearray(file.read_bytes())
    if harm == "garbage":
        data[:] = b"no database" * 100
    elif harm == "cut":
        del data[len(data) // 2 :]
    elif harm == "flipped":
        data[4096:-1] = bytes(byte ^ 255 for byte in data[4096:-1])
    else:
        data[60:64] = (99).to_bytes(4, "big")
    file.write_bytes(data)
    with pytest.raises(Damaged) as told:
        await made.find('"word1"', 9)
    assert told.value.next
    await made.clear()
    assert await made.find('"word1"', 9) == []
    await made.close()


async def test_a_folder_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "search").write_bytes(b"a file")
    with pytest.raises(StoreFailed):
        await index(tmp_path).marks()


async def test_owners_who_left_leave_no_index(tmp_path: Path) -> None:
    shelf = SqliteShelf(tmp_path, SystemThreads())
    for owner in ("anna", "ben"):
        made = shelf.index(owner)
        await made.add([entry(1, "x")], Marks())
        await made.close()
    await shelf.keep(["anna"])
    assert os.listdir(tmp_path) == ["anna.sqlite"]
    await SqliteShelf(tmp_path / "none", SystemThreads()).keep([])
