"""Homes of earlier releases: brought up to this one's schema, after a snapshot.

    open → schema? ── the same ──────────────▶ go on
                   ── newer ─────────────────▶ refused, nothing changed
                   ── older ─▶ close, snapshot, open ─▶ step by step ─▶ go on

A new field with a default needs no migration: an older row reads with it. A step is needed where
a row's form, its key or an index of it changes, and is then added to `STEPS` together with
`rows.SCHEMA`. A step may be killed and run again from its beginning: it only writes what it can
write twice, and the schema is the last it writes.

A snapshot is the folder of the database once more: its tables are never changed once written, so
they are linked, and only the log and the manifest are copied.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from node import limits
from node.errors import Damaged, DiskFull, StoreFailed
from node.machines import rows
from node.store import keyspace
from node.store.keyspace import MADE, TOKENS, stop_of, u64
from node.store.kv import KeyValue
from node.store.leveldb import FULL, LevelDbKv
from node.store.tables import decode, encode
from node.units import DAY, Instant, Millis

KEPT = Millis(30 * DAY)
"""How long a snapshot stays: a month in which somebody may notice what a step did wrong."""
LINKED = (".ldb", ".sst")
"""LevelDB's tables: written once, then only read and removed."""
LEFT = ("LOCK", "LOG", "LOG.old")

Puts = dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From one schema to the next.

    Attributes:
        to: the schema that it leads to.
        changes: what it writes, in portions that fit in memory.
    """

    to: int
    changes: Callable[[KeyValue], Iterator[Puts]]


# --- the steps ----------------------------------------------------------------------------


def _tokens(engine: KeyValue) -> Iterator[Puts]:
    """2: the one token of an owner became one for each device."""
    head = keyspace.OWNERS.primary(b"")
    with closing(engine.scan(head, stop_of(head))) as scan:
        for key, data in list(scan):
            row: dict[str, Any] = msgspec.msgpack.decode(data)
            digest = row.pop("token", None)
            if digest is None:
                continue
            token = rows.Token(
                owner=row["owner"],
                id=digest[:4],
                digest=digest,
                made=row["created"],
                device="before 0.2",
            )
            yield {
                **TOKENS.entries(token),
                TOKENS.primary(TOKENS.key(token)): encode(token),
                key: msgspec.msgpack.encode(row),
            }


def _made(engine: KeyValue) -> Iterator[Puts]:
    """3: rows that a peer made are counted."""
    counts = Counter[bytes]()
    for layout in keyspace.LAYOUTS:
        head = layout.primary(b"")
        if layout.maker is not None:
            with closing(engine.scan(head, stop_of(head))) as scan:
                pairs = (layout.maker(decode(layout.row, data)) for _, data in scan)
                counts.update(pair for pair in pairs if pair is not None)
    yield {MADE + pair: u64(count) for pair, count in counts.items()}


STEPS: tuple[Step, ...] = (Step(to=2, changes=_tokens), Step(to=3, changes=_made))


# --- running them -------------------------------------------------------------------------


class _Schema(msgspec.Struct):
    """Of the node's row what every release can read."""

    schema: int
    last_clock: int = 0


def open_store(
    folder: Path,
    now: Instant,
    note: Callable[[str], None],
    *,
    steps: Sequence[Step] = STEPS,
    newest: int = rows.SCHEMA,
) -> LevelDbKv:
    """Opens a store of this schema, or of an older one, which it brings up first.

    Args:
        folder: of the database. Snapshots lie beside it.
        now: the clock, for the name of a snapshot.
        note: is told what takes time.
        steps: all there are.
        newest: the schema that they lead to.

    Raises:
        Damaged: it was written by a newer program, or is no store; nothing was changed.
        StoreFailed: as `LevelDbKv.open`; a step that was begun is run again at the next start.
    """
    engine = LevelDbKv.open(folder)
    try:
        found = _schema(engine)
        _check(found, newest)
        if found is None or found.schema == newest:
            _forget_old(folder, found, now)
            return engine
    except BaseException:
        engine.close()
        raise
    engine.close()
    place = folder.with_name(f"{folder.name}.schema-{found.schema}.{now}")
    note(f"bringing this home from schema {found.schema} to {newest}; as it was: {place}")
    snapshot(folder, place)
    engine = LevelDbKv.open(folder)
    try:
        for step in steps:
            if step.to > found.schema:
                _run(engine, step)
    except BaseException:
        engine.close()
        raise
    return engine


def _schema(engine: KeyValue) -> _Schema | None:
    """Of an empty store None: it belongs to nobody yet."""
    data = engine.get(keyspace.NODE)
    if data is None:
        return None
    try:
        return msgspec.msgpack.decode(data, type=_Schema)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Damaged("the store's first row is damaged", next="restore a backup") from error


def check_schema(schema: int, newest: int = rows.SCHEMA) -> None:
    """Raises Damaged for what a newer program wrote."""
    if schema > newest:
        raise Damaged(
            f"this was written by a newer willcall (schema {schema}, this one knows {newest}); "
            "nothing was changed",
            next="install the newer version",
        )


def _check(found: _Schema | None, newest: int) -> None:
    if found is not None:
        check_schema(found.schema, newest)


def _run(engine: KeyValue, step: Step) -> None:
    for puts in step.changes(engine):
        engine.write(puts)
    data = engine.get(keyspace.NODE)
    assert data is not None
    node: dict[str, Any] = msgspec.msgpack.decode(data)
    engine.write({keyspace.NODE: msgspec.msgpack.encode(node | {"schema": step.to})})


# --- snapshots ----------------------------------------------------------------------------


def snapshot(folder: Path, into: Path) -> None:
    """Copies a database that nobody has open; whole and durable under its name, or not there.

    Raises:
        StoreFailed: it can't be (DiskFull: no room); nothing is left of it.
    """
    part = into.with_name(f"{into.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        for path in sorted(folder.iterdir()):
            if path.name not in LEFT:
                _copy(path, part / path.name)
        _sync(part)
        part.rename(into)
        _sync(into.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        text = f"A snapshot of {folder} can't be made: {error.strerror}. Nothing was changed."
        if error.errno in FULL:
            raise DiskFull(text, next="make room, then start again") from error
        raise StoreFailed(text) from error


def _copy(path: Path, to: Path) -> None:
    if path.suffix in LINKED:
        try:
            to.hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copyfile(path, to)
    else:
        shutil.copyfile(path, to)
    to.chmod(0o600)
    _sync(to)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _forget_old(folder: Path, found: _Schema | None, now: Instant) -> None:
    """Removes snapshots of long ago, while the clock is believed; what was half-made, always."""
    if found is None or not abs(now - found.last_clock) < limits.CLOCK_STEP:
        return
    with suppress(OSError):  # there will be another start
        for place in folder.parent.glob(f"{folder.name}.schema-*"):
            stamp = place.name.rpartition(".")[2]
            half = stamp == "part"
            if half or (stamp.isdigit() and int(stamp) + KEPT < now):
                shutil.rmtree(place, ignore_errors=True)
