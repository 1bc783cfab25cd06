"""Block files, and their twin in memory."""

import os
import resource
from pathlib import Path

import pytest
import trio

from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent, Damaged, DiskFull, StoreFailed
from node.store.files import FANOUT, BlockFiles, fanout_name
from node.store.memory import MemoryFiles
from tests.store.disks import file_size_limit, fill, tmpfs
from tests.store.files_contract import Damage, Files, FilesContract
from tests.store.threads import InlineThreads, RealThreads

BLOCK = b"block" * 20_000
NAME = cids.of_raw(BLOCK)


def place(folder: Path, name: Cid) -> Path:
    text = cids.show(name)
    return folder / text[-2:] / text


class TestMemoryFiles(FilesContract):
    @pytest.fixture
    def files(self, tmp_path: Path) -> MemoryFiles:
        return MemoryFiles()

    @pytest.fixture
    def damage(self, files: Files) -> Damage:
        assert isinstance(files, MemoryFiles)
        return files.damage


class TestBlockFiles(FilesContract):
    @pytest.fixture
    def files(self, tmp_path: Path) -> BlockFiles:
        return BlockFiles(tmp_path / "blocks", RealThreads())

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Damage:
        def damage(name: Cid) -> None:
            with place(tmp_path / "blocks", name).open("r+b") as file:
                file.write(b"!")

        return damage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blocks"


@pytest.fixture
def files(folder: Path) -> BlockFiles:
    return BlockFiles(folder, InlineThreads())


def test_the_folders_are_the_ends_of_names() -> None:
    for last in range(FANOUT):
        name = cids.from_bytes(cids.RAW_PREFIX + bytes(31) + bytes([last]))
        assert fanout_name(last) == cids.show(name)[-2:]


def test_a_copy_is_what_a_crash_would_leave() -> None:
    async def main() -> None:
        files = MemoryFiles()
        await files.keep(NAME, BLOCK)
        twin = files.copy()
        await files.drop(NAME)
        assert await twin.read(NAME) == BLOCK

    trio.run(main)


async def test_only_the_owner_may_look(files: BlockFiles, folder: Path) -> None:
    await files.keep(NAME, BLOCK)
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert os.stat(place(folder, NAME)).st_mode & 0o777 == 0o600


async def test_a_damaged_file_lies_in_quarantine(files: BlockFiles, folder: Path) -> None:
    await files.keep(NAME, BLOCK)
    place(folder, NAME).write_bytes(BLOCK[:-1])
    with pytest.raises(Damaged, match="quarantine"):
        await files.read(NAME)
    assert (folder / "quarantine" / cids.show(NAME)).read_bytes() == BLOCK[:-1]
    await files.keep(NAME, BLOCK)
    assert await files.read(NAME) == BLOCK


async def test_a_damaged_file_that_cant_be_moved_is_not_served(
    files: BlockFiles, folder: Path
) -> None:
    await files.keep(NAME, BLOCK)
    place(folder, NAME).write_bytes(b"")
    (folder / "quarantine").write_bytes(b"in the way")
    for _ in range(2):
        with pytest.raises(Damaged):
            await files.read(NAME)


async def test_half_written_files_are_removed_at_start(files: BlockFiles, folder: Path) -> None:
    await files.clean()
    (folder / "part" / "left").write_bytes(b"half")
    await BlockFiles(folder, InlineThreads()).clean()
    assert os.listdir(folder / "part") == []


async def test_stray_files_are_nobodys_names(files: BlockFiles, folder: Path) -> None:
    await files.keep(NAME, BLOCK)
    (place(folder, NAME).parent / "notes.txt").write_bytes(b"")
    assert await files.names(NAME[-1]) == [NAME]


@pytest.fixture
def refusing(folder: Path) -> BlockFiles:
    folder.write_bytes(b"a file where the folder should be")
    return BlockFiles(folder, InlineThreads())


async def test_a_disk_that_refuses_is_store_failed(refusing: BlockFiles) -> None:
    files = refusing
    with pytest.raises(StoreFailed):
        await files.keep(NAME, BLOCK)
    with pytest.raises(StoreFailed):
        await files.read(NAME)
    with pytest.raises(StoreFailed):
        await files.drop(NAME)
    with pytest.raises(StoreFailed):
        await files.clean()
    with pytest.raises(StoreFailed):
        await files.names(NAME[-1])


async def test_a_write_cut_short_leaves_nothing(files: BlockFiles, folder: Path) -> None:
    await files.clean()
    with file_size_limit(resource.getpagesize()), pytest.raises(StoreFailed):
        await files.keep(NAME, BLOCK)
    with pytest.raises(Absent):
        await files.read(NAME)
    assert os.listdir(folder / "part") == []
    await files.keep(NAME, BLOCK)
    assert await files.read(NAME) == BLOCK


async def test_many_at_once(folder: Path) -> None:
    files = BlockFiles(folder, RealThreads())
    blocks = [b"%d" % (n % 20) * 1000 for n in range(60)]
    async with trio.open_nursery() as nursery:
        for block in blocks:
            nursery.start_soon(files.keep, cids.of_raw(block), block)
    for block in blocks:
        assert await files.read(cids.of_raw(block)) == block
    assert os.listdir(folder / "part") == []


async def test_a_full_disk_says_so_and_goes_on_by_itself(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "2m") as disk:
        files = BlockFiles(disk / "blocks", InlineThreads())
        await files.keep(NAME, BLOCK)
        filler = fill(disk)
        other = BLOCK[1:]
        with pytest.raises(DiskFull, match="full"):
            await files.keep(cids.of_raw(other), other)
        assert await files.read(NAME) == BLOCK
        with pytest.raises(Absent):
            await files.read(cids.of_raw(other))
        filler.unlink()
        await files.keep(cids.of_raw(other), other)
        assert await files.read(cids.of_raw(other)) == other
