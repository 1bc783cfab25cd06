"""Words of one owner's mail in SQLite's FTS5: derived from the store, thrown away when in doubt.

The table of words has no copy of the mail (contentless), so it can tell where a word is and
nothing else. Debian 12's SQLite can't delete from such a table: what was deleted stays until
the index is made anew, and whoever asks checks every hit against the store.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from node.errors import Damaged, DiskFull, StoreFailed
from node.ports import Entry, Hit, Marks, Threads

T = TypeVar("T")

_FORM = 1
"""Of the tables below; another one is thrown away."""
_TABLES = f"""
    PRAGMA user_version = {_FORM};
    CREATE TABLE marks (only INTEGER PRIMARY KEY, data BLOB);
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, sent INTEGER, number INTEGER, message BLOB, at INTEGER
    );
    CREATE TABLE missing (number INTEGER PRIMARY KEY);
    CREATE VIRTUAL TABLE words USING fts5(
        subject, people, body, content = '', tokenize = 'unicode61 remove_diacritics 2'
    );
"""
_FIND = """
    SELECT sent, number, message FROM entries
    WHERE id IN (SELECT rowid FROM words WHERE words MATCH ?) ORDER BY at DESC, id DESC
"""


class SqliteIndex:
    """`ports.Index`, in one file.

    Args:
        file: where; its folder is there.
        threads: where SQLite works.
    """

    def __init__(self, file: Path, threads: Threads) -> None:
        self._file, self._threads = file, threads
        self._base: sqlite3.Connection | None = None

    async def marks(self) -> Marks:
        """How far it came."""

        def work(base: sqlite3.Connection) -> Marks:
            row = base.execute("SELECT data FROM marks").fetchone()
            return Marks() if row is None else msgspec.msgpack.decode(row[0], type=Marks)

        return await self._run(work)

    async def missing(self) -> list[int]:
        """Numbers of the inbox that were passed because their mail was not here yet."""
        return await self._run(lambda base: [n for (n,) in base.execute("SELECT * FROM missing")])

    async def add(
        self,
        entries: Sequence[Entry],
        marks: Marks,
        missing: Sequence[int] = (),
        found: Sequence[int] = (),
    ) -> None:
        """Enters messages and how far that is; `missing` are passed, `found` no longer missing."""

        def work(base: sqlite3.Connection) -> None:
            for entry in entries:
                made = base.execute(
                    "INSERT INTO entries (sent, number, message, at) VALUES (?, ?, ?, ?)",
                    (entry.hit.sent, entry.hit.number, entry.hit.message, entry.at),
                )
                base.execute(
                    "INSERT INTO words (rowid, subject, people, body) VALUES (?, ?, ?, ?)",
                    (made.lastrowid, entry.words.subject, entry.words.people, entry.words.body),
                )
            base.executemany("INSERT OR IGNORE INTO missing VALUES (?)", [(n,) for n in missing])
            base.executemany("DELETE FROM missing WHERE number = ?", [(n,) for n in found])
            data = msgspec.msgpack.encode(marks)
            base.execute("INSERT OR REPLACE INTO marks VALUES (1, ?)", (data,))

        await self._run(work)

    async def find(self, match: str, most: int) -> list[Hit]:
        """Where all of it is, newest first."""

        def work(base: sqlite3.Connection) -> list[Hit]:
            rows = base.execute(_FIND, (match,)).fetchmany(most)
            return [Hit(sent=bool(sent), number=n, message=name) for sent, n, name in rows]

        return await self._run(work)

    async def clear(self) -> None:
        """Throws everything away."""
        await self._threads.run(self._cleared)

    async def close(self) -> None:
        """Lets go of the file."""
        await self._threads.run(self._closed)

    # --- in a thread ----------------------------------------------------------------------

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._threads.run(lambda: self._worked(work))

    def _worked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _told(self._file):
            base = self._opened()
            with base:
                return work(base)

    def _opened(self) -> sqlite3.Connection:
        if self._base is not None:
            return self._base
        self._file.parent.mkdir(mode=0o700, exist_ok=True)
        base = sqlite3.connect(self._file, check_same_thread=False)
        try:
            _check(base)
        except sqlite3.Error:
            base.close()
            raise
        self._file.chmod(0o600)
        self._base = base
        return base

    def _closed(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            base.close()

    def _cleared(self) -> None:
        with _told(self._file):
            self._closed()
            for name in (self._file, self._file.with_name(f"{self._file.name}-journal")):
                name.unlink(missing_ok=True)


def _check(base: sqlite3.Connection) -> None:
    """Makes the tables where none are; raises DatabaseError for what can't be used."""
    form = base.execute("PRAGMA user_version").fetchone()[0]
    if form == 0 and not base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        base.executescript(f"BEGIN; {_TABLES} COMMIT;")
    elif form != _FORM or base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise sqlite3.DatabaseError("it has another form")


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Turns SQLite's errors, and the system's, into ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull(
                "there is no room for the index of the search", next="make room, and try again"
            ) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise StoreFailed(f"{file} can't be used: {error}", next=f"remove {file}") from error
        raise Damaged(f"{file} is damaged: {error}", next="willcall find --rebuild") from error
    except OSError as error:
        raise StoreFailed(f"{file} can't be used: {error.strerror}") from error


class SqliteShelf:
    """`ports.Shelf`: the folder of the indexes, a file for each owner.

    Args:
        folder: made when it is needed.
        threads: where SQLite works.
    """

    def __init__(self, folder: Path, threads: Threads) -> None:
        self._folder, self._threads = folder, threads

    def index(self, owner: str) -> SqliteIndex:
        """The index of an owner; nothing is opened yet."""
        return SqliteIndex(self._folder / f"{owner}.sqlite", self._threads)

    async def keep(self, owners: Sequence[str]) -> None:
        """Removes the indexes of all others."""
        known = tuple(f"{owner}.sqlite" for owner in owners)
        await self._threads.run(lambda: self._swept(known))

    def _swept(self, known: tuple[str, ...]) -> None:
        try:
            for file in self._folder.glob("*.sqlite*"):
                if not file.name.startswith(known):
                    file.unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailed(f"{self._folder} can't be used: {error.strerror}") from error
