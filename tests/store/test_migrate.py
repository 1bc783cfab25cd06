"""Older homes are brought up to date after a snapshot, newer ones refused, crashes repeated."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from node.errors import Damaged, DiskFull, StoreFailed
from node.machines import rows
from node.machines.rows import SCHEMA
from node.store import keyspace, migrate
from node.store.kv import KeyValue
from node.store.leveldb import LevelDbKv
from node.store.migrate import STEPS, Puts, Step
from node.store.tables import encode
from node.units import DAY, Instant
from tests import factories as make
from tests.store.disks import fill, tmpfs
from tests.store.kv_contract import LAST

NOW = Instant(1_790_000_000_000)
Rows = dict[bytes, bytes]


def node_row(schema: int, **more: object) -> bytes:
    row = rows.Node(
        schema=schema, ticket=b"t" * 32, capability=b"c" * 32, invite=b"i" * 32, last_clock=NOW
    )
    return msgspec.msgpack.encode(msgspec.msgpack.decode(encode(row)) | more)


def made(folder: Path, schema: int, **puts: bytes) -> Path:
    kv = LevelDbKv.open(folder)
    kv.write({keyspace.NODE: node_row(schema)})
    for turn in range(2):  # tables, not only a log; too few for LevelDB to compact on its own
        kv.write({b"Z%d-%d" % (turn, n): os.urandom(500) for n in range(200)})
        kv.close()
        kv = LevelDbKv.open(folder)
    kv.write({name.encode(): value for name, value in puts.items()})
    kv.close()
    return folder


def content(folder: Path) -> Rows:
    kv = LevelDbKv.open(folder)
    try:
        return dict(kv.scan(b"", LAST))
    finally:
        kv.close()


def snapshots(folder: Path) -> list[Path]:
    return sorted(folder.parent.glob(f"{folder.name}.schema-*"))


def adds(name: bytes) -> Step:
    def changes(engine: KeyValue) -> Iterator[Puts]:
        yield {name: b"a"}
        yield {name: (engine.get(name) or b"") + b"b"}

    return Step(to=0, changes=changes)


def steps(*names: bytes, first: int) -> list[Step]:
    return [Step(to=first + at, changes=adds(name).changes) for at, name in enumerate(names)]


def test_a_store_of_today_is_opened_and_nothing_else(tmp_path: Path) -> None:
    folder = made(tmp_path / "db", SCHEMA)
    before = content(folder)
    said: list[str] = []
    migrate.open_store(folder, NOW, said.append).close()
    assert (content(folder), said, snapshots(folder)) == (before, [], [])


def test_an_empty_store_belongs_to_no_schema_yet(tmp_path: Path) -> None:
    kv = migrate.open_store(tmp_path / "db", NOW, print)
    assert kv.get(keyspace.NODE) is None
    kv.close()
    assert snapshots(tmp_path / "db") == []


def test_a_newer_store_is_refused_and_not_changed(tmp_path: Path) -> None:
    folder = made(tmp_path / "db", SCHEMA + 1)
    kv = LevelDbKv.open(folder)
    kv.write({keyspace.NODE: node_row(SCHEMA + 1, ticket=7, unheard_of=["of"])})
    kv.close()
    before = content(folder)
    with pytest.raises(Damaged, match="newer willcall") as caught:
        migrate.open_store(folder, NOW, print)
    assert "newer" in str(caught.value.next)
    assert (content(folder), snapshots(folder)) == (before, [])


def test_a_damaged_first_row_is_damage(tmp_path: Path) -> None:
    folder = made(tmp_path / "db", SCHEMA)
    kv = LevelDbKv.open(folder)
    kv.write({keyspace.NODE: b"\xc1nonsense"})
    kv.close()
    with pytest.raises(Damaged, match="first row"):
        migrate.open_store(folder, NOW, print)
    assert snapshots(folder) == []


def test_steps_run_in_order_after_a_snapshot_that_opens(tmp_path: Path) -> None:
    folder = made(tmp_path / "db", 3)
    before = content(folder)
    said: list[str] = []
    tables = {path.name: path.stat().st_ino for path in folder.glob("*.ldb")}
    kv = migrate.open_store(
        folder, NOW, said.append, steps=steps(b"x3", b"x4", b"x5", first=3), newest=5
    )
    assert [kv.get(name) for name in (b"x3", b"x4", b"x5")] == [None, b"ab", b"ab"]
    assert msgspec.msgpack.decode(kv.get(keyspace.NODE) or b"")["schema"] == 5
    kv.close()
    (place,) = snapshots(folder)
    linked = {path.name: path.stat().st_ino for path in place.glob("*.ldb")}
    assert linked == tables  # before LevelDB opens the snapshot and may compact it
    assert place.name == f"db.schema-3.{NOW}"
    assert str(place) in said[0]
    assert place.stat().st_mode & 0o777 == 0o700
    assert content(place) == before
    now = content(folder)
    migrate.open_store(
        folder, NOW, said.append, steps=steps(b"x4", b"x5", first=4), newest=5
    ).close()
    assert (content(folder), len(said), len(snapshots(folder))) == (now, 1, 1)


@pytest.mark.parametrize("at", range(6))
def test_a_step_that_was_killed_runs_again(tmp_path: Path, at: int) -> None:
    """Killed behind every portion of every step: the next start ends where one start would."""
    folder = made(tmp_path / "db", 1)
    whole = steps(b"x2", b"x3", first=2)

    class Killed(BaseException):
        pass

    count = 0

    def dying(step: Step) -> Step:
        def changes(engine: KeyValue) -> Iterator[Puts]:
            nonlocal count
            for puts in step.changes(engine):
                if count == at:
                    raise Killed
                count += 1
                yield puts
            if count == at:
                raise Killed
            count += 1

        return Step(to=step.to, changes=changes)

    with pytest.raises(Killed):
        migrate.open_store(folder, NOW, print, steps=[dying(each) for each in whole], newest=3)
    migrate.open_store(folder, Instant(NOW + 1), print, steps=whole, newest=3).close()
    after = content(folder)
    assert (after[b"x2"], after[b"x3"]) == (b"ab", b"ab")
    assert msgspec.msgpack.decode(after[keyspace.NODE])["schema"] == 3
    oldest = snapshots(folder)[0]
    assert b"x2" not in content(oldest)


def test_a_snapshot_that_can_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "96m") as disk:
        folder = made(disk / "db", 1)
        before = content(folder)
        kv = LevelDbKv.open(folder)
        kv.write({b"big": os.urandom(3_000_000)})  # in the log, which is copied
        kv.close()
        filler = fill(disk)
        with pytest.raises(DiskFull, match="Nothing was changed"):
            migrate.snapshot(folder, disk / "db.schema-1.0")
        with pytest.raises(StoreFailed):
            migrate.open_store(folder, NOW, print, steps=steps(b"x2", first=2), newest=2)
        assert snapshots(folder) == []
        filler.unlink()
        after = content(folder)
        assert len(after.pop(b"big")) == 3_000_000
        assert after == before


def test_snapshots_go_after_a_month_while_the_clock_is_believed(tmp_path: Path) -> None:
    folder = made(tmp_path / "db", 1)
    one = steps(b"x2", first=2)
    migrate.open_store(folder, Instant(NOW - 31 * DAY), print, steps=one, newest=2).close()
    (folder.parent / f"db.schema-1.{NOW}.part").mkdir()
    (folder.parent / "db.schema-1.mine").mkdir()
    for now in (NOW - 3 * DAY, NOW + 300 * DAY):  # last_clock is NOW: a clock that jumped
        migrate.open_store(folder, Instant(now), print, steps=one, newest=2).close()
        assert len(snapshots(folder)) == 3
    migrate.open_store(folder, NOW, print, steps=one, newest=2).close()
    assert [path.name for path in snapshots(folder)] == ["db.schema-1.mine"]


def test_rows_that_a_peer_made_are_counted(tmp_path: Path) -> None:
    """As often as it is begun; a row of another kind, or of nobody's making, is not."""
    failed = make.mail_row(n=2, message=make.named(7), state="failed")
    kept = [(keyspace.PICKUPS, make.pickup_row(message=make.named(n))) for n in range(3)]
    kept += [(keyspace.MAILS, make.mail_row()), (keyspace.MAILS, failed)]  # type: ignore[list-item]
    folder = made(tmp_path / "db", 2)
    kv = LevelDbKv.open(folder)
    for layout, row in kept:
        kv.write({layout.primary(layout.key(row)): encode(row)})
    for _ in range(2):
        for puts in STEPS[1].changes(kv):
            kv.write(puts)
    pair = failed.owner + failed.sender
    assert list(kv.scan(keyspace.MADE, keyspace.stop_of(keyspace.MADE))) == [
        (keyspace.MADE + pair, keyspace.u64(4))
    ]
    kv.close()


def test_the_steps_lead_to_the_schema_one_by_one() -> None:
    assert [step.to for step in STEPS] == list(range(2, SCHEMA + 1))
