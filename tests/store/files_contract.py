"""What every `Files` promises. An implementation's test subclasses this and gives the fixtures."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from node import ports
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Absent, Damaged
from node.store.files import FANOUT, fanout_of

Damage = Callable[[Cid], None]


class Files(ports.Files, Protocol):
    async def clean(self) -> None: ...

    async def names(self, fanout: int) -> list[Cid]: ...


class FilesContract:
    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        raise NotImplementedError

    @pytest.fixture
    def damage(self, files: Files) -> Damage:
        """Changes a kept block behind its back."""
        raise NotImplementedError

    async def test_what_is_kept_is_read(self, files: Files) -> None:
        for block in (b"", b"x", bytes(range(256)) * 4096):
            for name in (cids.of_raw(block), cids.of_object(block)):
                await files.keep(name, block)
                assert await files.read(name) == block

    async def test_keeping_again_is_harmless_and_heals(self, files: Files, damage: Damage) -> None:
        block = b"block" * 1000
        name = cids.of_raw(block)
        await files.keep(name, block)
        await files.keep(name, block)
        damage(name)
        await files.keep(name, block)
        assert await files.read(name) == block

    async def test_an_absent_block_is_absent(self, files: Files) -> None:
        name = cids.of_raw(b"never")
        with pytest.raises(Absent, match=cids.show(name)):
            await files.read(name)
        assert await files.drop(name) == 0

    async def test_a_dropped_block_is_absent(self, files: Files) -> None:
        name = cids.of_raw(b"block")
        await files.keep(name, b"block")
        assert await files.drop(name) == 5
        with pytest.raises(Absent):
            await files.read(name)

    async def test_damaged_bytes_are_never_given(self, files: Files, damage: Damage) -> None:
        name = cids.of_raw(b"block")
        await files.keep(name, b"block")
        damage(name)
        with pytest.raises(Damaged, match=cids.show(name)):
            await files.read(name)
        with pytest.raises(Absent):
            await files.read(name)
        assert await files.names(fanout_of(name)) == []

    async def test_names_lists_every_block_in_its_part(self, files: Files) -> None:
        kept = {cids.of_raw(b"%d" % n) for n in range(50)}
        for n in range(50):
            await files.keep(cids.of_raw(b"%d" % n), b"%d" % n)
        found = {fanout: await files.names(fanout) for fanout in range(FANOUT)}
        assert {name for names in found.values() for name in names} == kept
        for fanout, names in found.items():
            assert names == sorted(names)
            assert all(fanout_of(name) == fanout for name in names)

    async def test_cleaning_removes_nothing_that_is_kept(self, files: Files) -> None:
        await files.clean()
        await files.keep(cids.of_raw(b"block"), b"block")
        await files.clean()
        assert await files.read(cids.of_raw(b"block")) == b"block"
