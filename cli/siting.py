"""An archive as files in a folder, for a web server: what changed is fetched, what is gone goes.

    the node tells units, each with a tag ─┬─ it is noted, and its files are there ──▶ nothing
                                           └─ else ──▶ fetched, some together; written; noted
    what was noted before, and was not told this time ──▶ removed

Notes are in one SQLite file in the archive's folder, so a large archive needs no more memory than a
small one, and an export that was interrupted goes on where it was. Each file is whole or not there.
"""

import base64
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from cli import render
from cli.local import Local
from node.errors import Malformed, Refused, StoreFailed, Unreachable

TOGETHER = 50
"""Units that are asked for at once: their names fit into any request."""
NOTES = ".willcall-files"
"""In the archive's folder. Its name begins with a dot: no web server has to give it."""
_TILE = re.compile(r"archives/[^/]+/(?:[0-9]+/)?tile/.+")
_FORM = 1
_TABLES = f"""
    PRAGMA user_version = {_FORM};
    CREATE TABLE units (name TEXT PRIMARY KEY, tag TEXT, round INTEGER) WITHOUT ROWID;
    CREATE TABLE files (path TEXT PRIMARY KEY, unit TEXT, size INTEGER) WITHOUT ROWID;
    CREATE INDEX by_unit ON files (unit);
    CREATE INDEX by_round ON units (round);
"""


class Site:
    """The folder that an archive is exported to.

    Attributes:
        count: files, their bytes, how many were written, how many removed.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._name = root, name
        self.count = {"files": 0, "size": 0, "written": 0, "removed": 0}
        notes = root / "archives" / name / NOTES
        notes.parent.mkdir(parents=True, exist_ok=True)
        self._notes = _opened(notes)
        last = self._notes.execute("SELECT max(round) FROM units").fetchone()[0] or 0
        self._round = last + 1

    def close(self) -> None:
        """Lets go of the notes."""
        self._notes.close()

    def has(self, unit: str, tag: str) -> bool:
        """Whether the files of a unit are here as they should be; notes that it was told."""
        noted = self._notes.execute("SELECT tag FROM units WHERE name = ?", (unit,)).fetchone()
        if noted is None or noted[0] != tag or not tag:
            return False
        query = "SELECT path, size FROM files WHERE unit = ?"
        files = self._notes.execute(query, (unit,)).fetchall()
        if not all(_size(self._root / path) == size for path, size in files):
            return False
        self._notes.execute("UPDATE units SET round = ? WHERE name = ?", (self._round, unit))
        for _, size in files:
            self._counted(size)
        return True

    def take(self, unit: str, tag: str, files: Sequence[tuple[str, bytes]]) -> None:
        """Writes the files of a unit, and removes those that it had and has no more."""
        for path, data in files:
            self.put(path, data)
        query = "SELECT path FROM files WHERE unit = ?"
        before = self._notes.execute(query, (unit,)).fetchall()
        now = {path for path, _ in files}
        for (path,) in before:
            if path not in now:
                self._remove(path)
        row = (unit, tag, self._round)
        self._notes.execute("INSERT OR REPLACE INTO units VALUES (?, ?, ?)", row)
        rows = [(path, unit, len(data)) for path, data in files]
        self._notes.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    def put(self, path: str, data: bytes) -> None:
        """Writes a file that is not noted."""
        self.count["written"] += _write(_inside(self._root, path), data)
        self._counted(len(data))

    def commit(self) -> None:
        """What was written so far is not asked for again."""
        self._notes.commit()

    def clear(self) -> None:
        """Removes what an earlier export wrote and this one did not tell of."""
        query = "SELECT path FROM files JOIN units ON files.unit = units.name WHERE round < ?"
        for (path,) in self._notes.execute(query, (self._round,)).fetchall():
            # Tiles that were partial once stay: somebody may hold a checkpoint of then.
            if not _TILE.fullmatch(path):
                self._remove(path)
        gone = """DELETE FROM units WHERE round < ?
            AND NOT EXISTS (SELECT 1 FROM files WHERE unit = name)"""
        self._notes.execute(gone, (self._round,))
        self.commit()

    def beside(self) -> list[str]:
        """The names of all archives that were exported to this folder."""
        return sorted(each.parent.name for each in (self._root / "archives").glob(f"*/{NOTES}"))

    def _counted(self, size: int) -> None:
        self.count["files"] += 1
        self.count["size"] += size

    def _remove(self, path: str) -> None:
        self._notes.execute("DELETE FROM files WHERE path = ?", (path,))
        if path.startswith("ipfs/") and self._is_shared(path):
            return
        file = _inside(self._root, path)
        with suppress(FileNotFoundError):
            file.unlink()
            self.count["removed"] += 1
        with suppress(OSError):
            file.parent.rmdir()  # the folder of an alias, or of attachments; others are not empty

    def _is_shared(self, path: str) -> bool:
        """Whether another archive in this folder has the same message."""
        for name in self.beside():
            if name != self._name:
                with closing(_opened(self._root / "archives" / name / NOTES)) as other:
                    if other.execute("SELECT 1 FROM files WHERE path = ?", (path,)).fetchone():
                        return True
        return False


def exported(local: Local, name: str, folder: str) -> dict[str, Any]:
    """Writes the files of an archive into a folder, each whole or not at all.

    Raises:
        Refused, StoreFailed: the folder can't be written to.
    """
    # The node knows whether there is such an archive: nothing is written before.
    lines = _lines(local.stream("archive-export", name))
    total = int(next(lines)["total"])
    try:
        with closing(Site(Path(folder), name)) as site:
            _copied(local, name, site, lines, total)
            # Above all archives: their list, and their feeds.
            for head, data in _frames(local.stream("archive-export", name, beside=site.beside())):
                site.put(head["path"], data)
            return {"name": name, "path": folder, **site.count}
    except PermissionError as error:
        raise Refused(f"{folder} may not be written to by this user") from error
    except (NotADirectoryError, FileExistsError, FileNotFoundError) as error:
        raise StoreFailed(
            f"{folder} can't be written to: {error.strerror}", next="--static another folder"
        ) from error
    except OSError as error:
        raise StoreFailed(f"{folder} can't be written to: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreFailed(f"the notes in {folder} can't be used: {error}") from error


def _copied(
    local: Local, name: str, site: Site, lines: Iterator[dict[str, Any]], total: int
) -> None:
    heads: list[tuple[str, bytes]] = []
    wanted: dict[str, str] = {}
    looked = 0
    with render.counting(_pace(lambda: looked, total)):
        for line in lines:
            looked += 1
            unit, tag = line["unit"], line["tag"]
            if line["data"] is not None:
                heads.append((unit, base64.b64decode(line["data"])))
            elif not site.has(unit, tag):
                wanted[unit] = tag
            if len(wanted) == TOGETHER:
                _fetched(local, name, site, wanted)
        _fetched(local, name, site, wanted)
    for unit, data in heads:
        site.take(unit, "", [(unit, data)])
    site.clear()


def _fetched(local: Local, name: str, site: Site, wanted: dict[str, str]) -> None:
    """Takes the files of some units; afterwards none is wanted."""
    got: list[tuple[str, bytes]] = []
    unit, tag = "", ""
    stream = local.stream("archive-export", name, unit=list(wanted)) if wanted else iter(())
    for head, data in _frames(stream):
        if head["unit"] != unit:
            if unit:
                site.take(unit, tag, got)
            unit, got = head["unit"], []
            tag = wanted[unit]
        # A page that could not be made whole has a tag of its own: next time it is asked for again.
        tag = head["tag"] or tag
        got.append((head["path"], data))
    if unit:
        site.take(unit, tag, got)
    site.commit()
    wanted.clear()


def _pace(done: Callable[[], int], total: int) -> Callable[[], str]:
    """Says how far an export is, asked once a second: its rate, and about what time is left."""
    seconds = 0

    def text() -> str:
        nonlocal seconds
        seconds += 1
        rate = max(1, done() // seconds)
        left = max(0, total - done()) // rate
        shown = f"{left // 60} min {left % 60} s" if left >= 60 else f"{left} s"
        return f"{done():,} of about {total:,} pages, {rate:,}/s, {shown} left   "

    return text


# --- files ---------------------------------------------------------------------------------


def _write(file: Path, data: bytes) -> bool:
    """Writes a file unless it is there; whether it was new."""
    if _size(file) == len(data) and file.read_bytes() == data:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(".part")
    part.write_bytes(data)
    part.replace(file)
    return True


def _inside(root: Path, path: str) -> Path:
    if path.startswith("/") or ".." in path.split("/"):
        raise Malformed("the node names a file outside of the folder")
    return root / path


def _size(file: Path) -> int:
    """The bytes of a file; -1 where there is none."""
    try:
        return file.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _opened(notes: Path) -> sqlite3.Connection:
    base = sqlite3.connect(notes)
    try:
        if base.execute("PRAGMA user_version").fetchone()[0] == _FORM:
            return base
        base.executescript(f"BEGIN; {_TABLES} COMMIT;")
    except sqlite3.DatabaseError:
        # Of an earlier form, or damaged: everything is compared once more.
        base.close()
        notes.unlink()
        base = sqlite3.connect(notes)
        base.executescript(f"BEGIN; {_TABLES} COMMIT;")
    return base


# --- what the node sends -------------------------------------------------------------------


def _lines(stream: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    buffer = b""
    for piece in stream:
        *whole, buffer = (buffer + piece).split(b"\n")
        for line in whole:
            yield json.loads(line)
    if buffer:
        raise Unreachable("the node went away", next="willcall status")


def _frames(stream: Iterator[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    buffer = bytearray()
    about: dict[str, Any] | None = None
    for piece in stream:
        buffer += piece
        while True:
            if about is None:
                line, found, _ = buffer.partition(b"\n")
                if not found:
                    break
                about = json.loads(bytes(line))
                del buffer[: len(line) + 1]
            if len(buffer) < about["size"]:
                break
            yield about, bytes(buffer[: about["size"]])
            del buffer[: about["size"]]
            about = None
    if about is not None or buffer:
        raise Unreachable("the node went away", next="willcall status")
