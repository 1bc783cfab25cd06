"""A home out of a backup, or nothing at all: damage, full disks, what is in the way."""

import json
import os
import signal
import stat
import subprocess
import tarfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
import trio

from node import rescue
from node.config import Config
from node.crypto import keys, phrase, stream
from node.errors import (
    Absent,
    Conflict,
    Damaged,
    DiskFull,
    Malformed,
    StoreFailed,
    Unverified,
)
from node.homes import Home, init, opened
from node.machines import rows
from node.machines.rows import SCHEMA
from node.objects import backup as form
from node.objects.backup import HomeFile, LargeBlock, StoredRow
from node.services import node as nodes
from node.services import owners
from node.services.node import Node
from node.services.submit import Terms
from node.store import keyspace, migrate
from node.store.backup import Found, Inspection
from node.store.files import BlockFiles
from node.store.leveldb import LevelDbKv
from node.store.tables import encode
from node.system import SystemClock, SystemRandomness
from node.units import MIB, Instant, Key
from tests.conftest import CHECKOUT
from tests.e2e.homes import PROGRAM, clean_env, until
from tests.fakes.ports import InlineThreads
from tests.store.disks import fill, tmpfs

FIXTURES = Path(__file__).parent / "store" / "fixtures"
CONTENT = os.urandom(1_300_000)


class Source:
    """A home that was made, used, and backed up, without a network.

    Attributes:
        home: which; words: its owner's phrase; data: the backup; file: the same on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.file = Home(folder / "source"), folder / "source.backup"
        self.words = ""
        trio.run(self._make)
        self.data = self.file.read_bytes()

    async def _make(self) -> None:
        made = await init(self.home, name="anna", listen="127.0.0.1:46251", at=None)
        self.words = made["recovery_phrase"] or ""
        await self.again()

    async def again(self) -> None:
        async with opened(self.home) as (db, files):
            node = nodes.make(
                db=db, files=files, clock=SystemClock(), randomness=SystemRandomness(),
                exchange=None, config=self.home.load(), kept=self.home.kept,  # type: ignore[arg-type]  # nobody is called
            )  # fmt: skip
            await self._use(node)
            async with aclosing(node.backups.stream()) as pieces:
                self.file.write_bytes(b"".join([piece async for piece in pieces]))

    async def _use(self, node: Node) -> None:
        me = node.core.db.read(lambda tx: owners.find(tx, None))

        terms = Terms(to=(me.owner,))
        async with aclosing(_content()) as content:
            await node.submission.large(me, content, len(CONTENT), terms)
        await node.submission.small(me, [b"x" * 30_000] * 20, terms)

    def restored(self, into: Path, words: str | None = None) -> rescue.Report:
        return restored(self.file, into, words or self.words)


async def _content() -> AsyncGenerator[bytes, None]:
    yield CONTENT


def restored(file: Path, into: Path, words: str) -> rescue.Report:
    with rescue.reading(file) as found:
        return rescue.restore(found, found.key(words), Home(into))


def verified(file: Path, words: str) -> rescue.Report:
    with rescue.reading(file) as found:
        return rescue.verify(found, found.key(words))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return Source(tmp_path_factory.mktemp("rescue"))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def test_the_restored_home_is_the_one_that_was(source: Source, tmp_path: Path) -> None:
    report = source.restored(tmp_path / "new")
    new = Home(tmp_path / "new")
    assert sorted(path.name for path in new.folder.iterdir()) == [
        "blocks", "config.toml", "db", "lock", "tls-certificate.pem", "tls-key.pem",
    ]  # fmt: skip
    for name in ("config.toml", "tls-key.pem"):
        assert (new.folder / name).read_bytes() == (source.home.folder / name).read_bytes()
    assert all(stat.S_IMODE(p.stat().st_mode) & 0o077 == 0 for p in new.folder.rglob("*"))
    assert new.load() == source.home.load() == Config(network=new.load().network)
    facts = report.document()
    assert (facts["sent"], facts["blocks"], facts["complaints"]) == (21, 2, [])
    before, after = blocks(source.home), blocks(new)
    assert after == before != {}
    with pytest.raises(Conflict):
        source.restored(tmp_path / "new")


def blocks(home: Home) -> dict[str, bytes]:
    found = [path for path in home.blocks.rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in found}


def damaged(data: bytes) -> dict[str, bytes]:
    """What may have become of a file."""
    file = memoryview(data)
    start = len(form.MAGIC) + 2 + int.from_bytes(file[len(form.MAGIC) : len(form.MAGIC) + 2], "big")
    step = form.PIECE + 17
    first, second = file[start : start + step], file[start + step : start + 2 * step]
    assert len(second) == step, "the backup is too small for this test"

    def flipped(at: int) -> bytes:
        return bytes(file[:at]) + bytes([file[at] ^ 1]) + bytes(file[at + 1 :])

    return {
        "empty": b"",
        "another file": b"#!/bin/sh\n" + data,
        "newer": data.replace(b"backup 1\n", b"backup 2\n", 1),
        "cut in the head": data[:100],
        "cut behind the head": data[:start],
        "cut in a piece": data[:-1],
        "cut between pieces": data[: start + 2 * step],
        "longer": data + b"\n",
        "a bit of the head": flipped(start - 20),
        "a bit of the signature": flipped(start - 1),
        "a bit of the first piece": flipped(start + 1000),
        "a bit of the end": flipped(len(data) - 1),
        "pieces swapped": bytes(file[:start]) + bytes(second) + bytes(first)
        + bytes(file[start + 2 * step :]),
        "a piece left out": bytes(file[:start]) + bytes(file[start + step :]),
        "a piece twice": bytes(file[: start + step]) + bytes(file[start:]),
    }  # fmt: skip


def test_what_is_no_whole_backup_is_refused(source: Source, tmp_path: Path, scratch: Path) -> None:
    wrong, home = tmp_path / "wrong.backup", tmp_path / "home"
    for what, data in damaged(source.data).items():
        wrong.write_bytes(data)
        for work in (partial(restored, wrong, home), partial(verified, wrong)):
            with pytest.raises((Malformed, Unverified)) as caught:
                work(source.words)
            assert (caught.value.exit_code, bool(caught.value.next)) == (65, True), what
        assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "wrong.backup"]
        assert list(scratch.iterdir()) == []


def test_any_bit_counts(source: Source, tmp_path: Path, scratch: Path) -> None:
    """Every seventh byte of the head, and every 39,973rd of the rest."""
    wrong, data = tmp_path / "wrong.backup", bytearray(source.data)
    for at in [*range(0, 400, 7), *range(400, len(data), 39_973)]:
        data[at] ^= 4
        wrong.write_bytes(data)
        data[at] ^= 4
        with pytest.raises((Malformed, Unverified)):
            verified(wrong, source.words)
    assert list(scratch.iterdir()) == []


def test_other_words(source: Source, tmp_path: Path) -> None:
    other = trio.run(
        partial(init, Home(tmp_path / "other"), name="eve", listen="127.0.0.1:46252", at=None)
    )["recovery_phrase"]
    for words in (other or "", "zoo " * 24, "", source.words.rpartition(" ")[0]):
        with pytest.raises((Malformed, Unverified)) as caught:
            source.restored(tmp_path / "home", words or " ")
        assert caught.value.text
    assert not (tmp_path / "home").exists()
    source.restored(tmp_path / "home", "\n".join(source.words.upper().split()))


def test_what_is_in_the_way_stays(source: Source, tmp_path: Path) -> None:
    for name in ("file", "folder", "link"):
        way = tmp_path / name
        if name == "file":
            way.write_text("mine")
        elif name == "folder":
            way.mkdir()
            (way / "mine").touch()
        else:
            way.symlink_to(tmp_path / "nowhere")
        with pytest.raises(Conflict, match="nothing was changed"):
            source.restored(way)
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]
    (tmp_path / "empty").mkdir()
    source.restored(tmp_path / "empty")
    source.restored(tmp_path / "deep" / "down" / "home")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Absent):
        verified(tmp_path / "none", "words")
    with pytest.raises(Absent, match="is a folder"):
        verified(tmp_path, "words")


def test_a_full_disk(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is seen before or met on the way: nothing is left, and what to do is said."""
    with tmpfs(tmp_path / "disk", "80m") as disk:
        for spare in (rescue.SPARE, 0):
            monkeypatch.setattr(rescue, "SPARE", spare)
            filler = fill(disk)
            with filler.open("r+b") as file:
                file.truncate(filler.stat().st_size - len(source.data) - MIB // 4)
            monkeypatch.setenv("TMPDIR", str(disk))
            for work in (partial(source.restored, disk / "home"), partial(_try, source)):
                with pytest.raises(DiskFull) as caught:
                    work()
                assert caught.value.next
            assert [path.name for path in disk.iterdir()] == ["filler"]
            filler.unlink()
        source.restored(disk / "home")


def _try(source: Source) -> None:
    verified(source.file, source.words)


def written(file: Path, words: str, records: Sequence[form.Record], schema: int = SCHEMA) -> Path:
    """A backup of these records, sealed as only the owner's own node could."""
    made = keys.derive(phrase.seed(words))
    recovery, key = keys.public(made.recovery), b"k" * stream.KEY
    header = form.Header(
        owner=keys.public(made.signing), recovery=recovery, made=Instant(1), schema=schema,
        key=stream.box(key, recovery), stream=b"h" * stream.HEADER,
    )  # fmt: skip
    head = form.BACKUP.sign(header, made.signing)
    counter, cutter, sealing = form.Counter(), form.Cutter(), stream.Sealing(key, header.stream)
    out = [form.begin(head)]
    for record in records:
        data = form.encode(record)
        if isinstance(record, StoredRow):
            counter.row(data)
        elif isinstance(record, LargeBlock):
            counter.block(record)
        out += [sealing.piece(piece, head) for piece in cutter.add(data)]
    out += [sealing.piece(piece, head) for piece in cutter.add(form.encode(counter.end()))]
    out.append(sealing.piece(cutter.rest(), head, last=True))
    file.write_bytes(b"".join(out))
    return file


def records_of(source: Source) -> list[form.Record]:
    """All but the end."""
    with rescue.reading(source.file) as found:
        return list(form.open_with(found.read, found.signed, found.key(source.words)))[:-1]


def test_no_file_leads_out_of_the_home(source: Source, tmp_path: Path) -> None:
    records = records_of(source)
    for path in ("../evil", "/evil", "a/b/c", "drafts/../../evil", "", "drafts//x", "config.toml"):
        evil = HomeFile(path=path, data=b"x")
        file = written(tmp_path / "evil.backup", source.words, [evil, *records])
        with pytest.raises((Malformed, StoreFailed)):
            restored(file, tmp_path / "in" / "home", source.words)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["evil.backup", "in"]
        assert list((tmp_path / "in").iterdir()) == []


def test_a_store_that_contradicts_itself_is_no_good_backup(
    source: Source, tmp_path: Path, scratch: Path
) -> None:
    head = keyspace.ACCOUNTS.primary(b"")
    records = [
        StoredRow(key=each.key, value=encode(rows.fresh_account(Key(each.key[len(head) :]), 1)))
        if isinstance(each, StoredRow) and each.key.startswith(head)
        else each
        for each in records_of(source)
    ]
    file = written(tmp_path / "poor.backup", source.words, records)
    with pytest.raises(Damaged, match="contradicts itself"):
        verified(file, source.words)
    assert list(scratch.iterdir()) == []
    # Better than nothing, when it is all there is.
    assert restored(file, tmp_path / "home", source.words).found.complaints


def test_a_backup_of_a_newer_program_is_refused(source: Source, tmp_path: Path) -> None:
    file = written(tmp_path / "newer.backup", source.words, records_of(source), SCHEMA + 1)
    with pytest.raises(Damaged, match="newer willcall"):
        restored(file, tmp_path / "home", source.words)
    assert not (tmp_path / "home").exists()


def test_a_backup_of_an_older_program_is_brought_up(source: Source, tmp_path: Path) -> None:
    """As one of the first release would be, had it been able to make any."""
    old = tmp_path / "old"
    with tarfile.open(FIXTURES / "home-0.1.tar.xz") as archive:
        archive.extractall(old, filter="data")
    words = json.loads((FIXTURES / "home-0.1.json").read_text())["phrase"]
    engine = LevelDbKv.open(old / "db")
    try:
        stored = [StoredRow(key=k, value=v) for k, v in engine.scan(b"", keyspace.END)]
    finally:
        engine.close()
    config = HomeFile(path="config.toml", data=(old / "config.toml").read_bytes())
    file = written(tmp_path / "old.backup", words, [config, *stored], 1)
    report = restored(file, tmp_path / "new", words)
    assert (len(report.found.owners), report.found.complaints) == (2, [])
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "config.toml", "db", "lock",
    ]  # fmt: skip
    engine = migrate.open_store(tmp_path / "new" / "db", Instant(1), pytest.fail)
    engine.close()


def test_a_whole_store_is_inspected(source: Source, tmp_path: Path) -> None:
    """The inspection can say no: every kind of row, each made wrong, is noticed."""
    source.restored(tmp_path / "home")
    home = Home(tmp_path / "home")
    engine = LevelDbKv.open(home.db)
    try:
        seen = set()
        for key, value in list(engine.scan(b"", keyspace.END)):
            if key == keyspace.NODE or key[:1] in seen or key[1:2] == b"\0":
                continue
            seen.add(key[:1])
            engine.write({key: None})
            found = trio.run(_looked, home, engine)
            assert found.complaints, key[:2]
            engine.write({key: value})
        assert len(seen) >= 4
        assert trio.run(_looked, home, engine).complaints == []
    finally:
        engine.close()


async def _looked(home: Home, engine: LevelDbKv) -> Found:
    return await Inspection(engine, BlockFiles(home.blocks, InlineThreads())).everything()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_trial_that_is_ended_is_cleaned_up(
    source: Source, scratch: Path, tmp_path: Path, how: signal.Signals
) -> None:
    """At once, or, where nobody could, by the next trial."""
    pipe = tmp_path / "slow.backup"
    os.mkfifo(pipe)
    trial = subprocess.Popen(
        [*PROGRAM, "--home", str(tmp_path / "none"), "backup", "verify", str(pipe)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=CHECKOUT, env=clean_env() | {"TMPDIR": str(scratch)},
    )  # fmt: skip
    assert trial.stdin is not None
    with trial.stdin as words:
        words.write(source.words.encode())
    with open(pipe, "wb") as writer:
        writer.write(source.data[:-1])
        writer.flush()
        until(lambda: list(scratch.glob("*/db")))

        # A pipe that gives some bytes and then no more hides a signal that came with them.
        def ended() -> bool:
            trial.send_signal(how)
            return trial.poll() is not None

        until(ended)
        assert trial.returncode == -how
    left = [path.name for path in scratch.iterdir()]
    assert len(left) == (how == signal.SIGKILL)
    verified(source.file, source.words)
    assert list(scratch.iterdir()) == []
