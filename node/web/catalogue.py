"""What pages need to know of an archive at once: months, conversations, who and when.

    log, entry by entry ──▶ one SQLite file an archive ──▶ lists, threads, search

Derived from the log, brought up when a page is asked for, thrown away when in doubt: it notes
how many entries of which epoch it has seen and reads on from there. A log only grows, and a
removal is an entry, so reading on is enough. Conversations are put together as messages come:
an answer that was there before what it answers is adopted when that comes.
"""

import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from node.encoding.cid import Cid
from node.errors import Absent, Damaged, StoreFailed
from node.ports import Threads, Words
from node.units import Instant

T = TypeVar("T")

ALL = -1
"""To SQLite: no limit."""
UNDATED = "undated"
"""The month of a message that does not say when it was written."""
_FORM = 1
_TABLES = f"""
    PRAGMA user_version = {_FORM};
    CREATE TABLE marks (only INTEGER PRIMARY KEY, archive BLOB, epoch INTEGER, seen INTEGER);
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY, message BLOB UNIQUE, date INTEGER, month TEXT, size INTEGER,
        subject TEXT, sender TEXT, identity TEXT, above TEXT, parent INTEGER, root INTEGER,
        removed TEXT, pending INTEGER
    );
    CREATE INDEX by_month ON messages (month, date, id);
    CREATE INDEX by_root ON messages (root, date, id);
    CREATE INDEX by_identity ON messages (identity);
    CREATE INDEX by_above ON messages (above) WHERE above IS NOT NULL;
    CREATE INDEX by_pending ON messages (id) WHERE pending;
    CREATE TABLE wordless (id INTEGER PRIMARY KEY);
    CREATE VIRTUAL TABLE words USING fts5(
        subject, people, body, content = '', tokenize = 'unicode61 remove_diacritics 2'
    );
"""
_COLUMNS = "id, message, date, month, size, subject, sender, parent, root, removed"
_BELOW = """
    WITH RECURSIVE below(id) AS (
        SELECT ?1 UNION SELECT messages.id FROM messages JOIN below ON messages.parent = below.id
        WHERE messages.root = ?1
    ) UPDATE messages SET root = ?2 WHERE id IN (SELECT id FROM below)
"""


class Seen(NamedTuple):
    """How far a catalogue has come: so many entries of that epoch."""

    epoch: int = 1
    entries: int = 0


class New(NamedTuple):
    """A message for the catalogue.

    Attributes:
        here: whether its bytes were; else it is looked at again.
        above: what it answers, the nearest first.
    """

    message: Cid
    date: Instant
    month: str
    size: int
    subject: str
    sender: str
    identity: str | None
    above: Sequence[str]
    here: bool = True


class Gone(NamedTuple):
    """A removal: the body of a message is no more."""

    message: Cid
    reason: str


class Month(NamedTuple):
    """A month that has messages: how many, and how many bytes."""

    month: str
    messages: int
    size: int


class Row(NamedTuple):
    """A message as lists show it; `removed` is why its body is gone, "" while it is not."""

    id: int
    message: Cid
    date: Instant
    month: str
    size: int
    subject: str
    sender: str
    parent: int | None
    root: int
    removed: str


class Catalogue:
    """One archive's.

    Args:
        file: where; its folder is made.
        archive: whose; a catalogue of another one is thrown away.
        threads: where SQLite works.
    """

    def __init__(self, file: Path, archive: bytes, threads: Threads) -> None:
        self._file, self._archive, self._threads = file, archive, threads
        self._base: sqlite3.Connection | None = None
        self._ended = False

    # --- keeping up -------------------------------------------------------------------------

    async def seen(self) -> Seen:
        """How far it has come."""
        return await self._run(_seen)

    async def add(self, found: Sequence[New | Gone], seen: Seen) -> None:
        """Enters what comes next in the log, and how far that is."""

        def work(base: sqlite3.Connection) -> None:
            for each in found:
                _enter(base, each) if isinstance(each, New) else _remove(base, each)
            base.execute("UPDATE marks SET epoch = ?, seen = ?", seen)

        await self._run(work)

    async def pending(self, count: int) -> list[Cid]:
        """Messages whose bytes were not here yet."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE pending LIMIT ?"
        return [row.message for row in await self._rows(query, count)]

    # --- reading ----------------------------------------------------------------------------

    async def newest(self, count: int) -> list[Row]:
        """The last messages of the log, the last first."""
        return await self._rows(f"SELECT {_COLUMNS} FROM messages ORDER BY id DESC LIMIT ?", count)

    async def span(self, first: int, count: int) -> list[Row]:
        """Messages by their number in the order of the log, from 1."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE id >= ? ORDER BY id LIMIT ?"
        return await self._rows(query, first, count)

    async def months(self) -> list[Month]:
        """Each month that has messages, newest first."""
        query = """SELECT month, count(*), sum(size) FROM messages
            GROUP BY month ORDER BY month DESC"""
        found = await self._run(lambda base: base.execute(query).fetchall())
        return [Month(*each) for each in found]

    async def count(self) -> int:
        """How many messages there are."""
        query = "SELECT count(*) FROM messages"
        return int(await self._run(lambda base: base.execute(query).fetchone()[0]))

    async def roots(self, numbers: Sequence[int]) -> dict[int, Cid]:
        """The messages that conversations are called after, by their numbers (`Row.root`)."""
        asked = tuple(set(numbers))
        query = f"SELECT {_COLUMNS} FROM messages WHERE id IN ({', '.join('?' * len(asked))})"
        return {row.id: row.message for row in await self._rows(query, *asked)}

    async def conversations(self, after: int, count: int) -> list[Row]:
        """What conversations of several messages are called after, by number, behind `after`."""
        query = f"""SELECT {_COLUMNS} FROM messages WHERE root = id AND id > ? AND EXISTS
            (SELECT 1 FROM messages AS other WHERE other.root = messages.id
            AND other.id != messages.id) ORDER BY id LIMIT ?"""
        return await self._rows(query, after, count)

    async def identities(self, after: str, count: int) -> list[str]:
        """The Message-IDs behind `after`, in their order."""
        query = """SELECT DISTINCT identity FROM messages WHERE identity > ?
            ORDER BY identity LIMIT ?"""
        found = await self._run(lambda base: base.execute(query, (after, count)).fetchall())
        return [each for (each,) in found]

    async def month(self, month: str, skip: int, count: int) -> list[Row]:
        """The messages of a month, oldest first."""
        query = (
            f"SELECT {_COLUMNS} FROM messages WHERE month = ? ORDER BY date, id LIMIT ? OFFSET ?"
        )
        return await self._rows(query, month, count, skip)

    async def sizes(self, month: str) -> list[int]:
        """The bytes of each message of a month, in the order of `month`; 0 where it is removed."""
        return await self._sizes("month = ?", month)

    async def sizes_of_thread(self, message: Cid) -> list[int]:
        """The same of the conversation that a message is in."""
        which = "root = (SELECT root FROM messages WHERE message = ?)"
        return await self._sizes(which, bytes(message))

    async def _sizes(self, which: str, value: object) -> list[int]:
        query = f"""SELECT CASE removed WHEN '' THEN size ELSE 0 END FROM messages
            WHERE {which} ORDER BY date, id"""
        found = await self._run(lambda base: base.execute(query, (value,)).fetchall())
        return [size for (size,) in found]

    async def thread(self, message: Cid, count: int) -> list[Row]:
        """The conversation that a message is in, oldest first; none: it is not known.

        Args:
            message: which.
            count: how many of it are wanted; `ALL`: all.
        """
        query = f"""SELECT {_COLUMNS} FROM messages WHERE root =
            (SELECT root FROM messages WHERE message = ?) ORDER BY date, id LIMIT ?"""
        return await self._rows(query, bytes(message), count)

    async def message(self, message: Cid) -> Row | None:
        """One message."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE message = ?"
        return next(iter(await self._rows(query, bytes(message))), None)

    async def called(self, identity: str, count: int) -> list[Row]:
        """All messages with a Message-ID: in real mail up to 14."""
        query = f"SELECT {_COLUMNS} FROM messages WHERE identity = ? ORDER BY id LIMIT ?"
        return await self._rows(query, identity, count)

    async def find(self, words: Sequence[str], count: int) -> list[Row]:
        """Messages in which all the words are, newest first; none without words."""
        match = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        query = f"""SELECT {_COLUMNS} FROM messages WHERE removed = '' AND id IN
            (SELECT rowid FROM words WHERE words MATCH ?) ORDER BY id DESC LIMIT ?"""
        return await self._rows(query, match, count) if words else []

    # --- words ------------------------------------------------------------------------------

    async def wordless(self, count: int) -> list[Row]:
        """Messages whose words are not entered yet."""
        query = f"SELECT {_COLUMNS} FROM messages JOIN wordless USING (id) LIMIT ?"
        return await self._rows(query, count)

    async def enter_words(self, found: Sequence[tuple[int, Words]]) -> None:
        """Enters the words of messages, by their number."""

        def work(base: sqlite3.Connection) -> None:
            for row, words in found:
                base.execute(
                    "INSERT INTO words (rowid, subject, people, body) VALUES (?, ?, ?, ?)",
                    (row, words.subject, words.people, words.body),
                )
                base.execute("DELETE FROM wordless WHERE id = ?", (row,))

        await self._run(work)

    async def _rows(self, query: str, *values: object) -> list[Row]:
        rows = await self._run(lambda base: base.execute(query, values).fetchall())
        return [Row(row[0], Cid(row[1]), *row[2:]) for row in rows]

    async def end(self) -> None:
        """Lets go of the file, which is not made again by whoever still looks at it."""
        self._ended = True
        await self.close()

    async def close(self) -> None:
        """Lets go of the file."""
        await self._threads.run(self._closed)

    # --- in a thread ------------------------------------------------------------------------

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._threads.run(lambda: self._worked(work))

    def _worked(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            base = self._opened()
            with base:
                return work(base)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
                raise StoreFailed(f"{self._file} can't be used: {error}") from error
            self._thrown_away()
            raise Damaged(f"{self._file} was damaged: it is made anew", next="ask again") from error
        except OSError as error:
            raise StoreFailed(f"{self._file} can't be used: {error.strerror}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._ended:
            raise Absent("this archive is not here any more", reason="no-archive")
        if self._base is None:
            self._file.parent.mkdir(mode=0o700, exist_ok=True)
            self._base = self._connected()
            if not self._is_ours(self._base):
                self._thrown_away()
                self._base = self._connected()
        return self._base

    def _connected(self) -> sqlite3.Connection:
        base = sqlite3.connect(self._file, check_same_thread=False)
        try:
            self._file.chmod(0o600)
            if not base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                base.executescript(f"BEGIN; {_TABLES} COMMIT;")
                with base:
                    base.execute("INSERT INTO marks VALUES (1, ?, 1, 0)", (self._archive,))
        except sqlite3.Error:
            base.close()
            raise
        return base

    def _is_ours(self, base: sqlite3.Connection) -> bool:
        form = base.execute("PRAGMA user_version").fetchone()[0]
        if form != _FORM or base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            return False
        return bool(base.execute("SELECT archive FROM marks").fetchone() == (self._archive,))

    def _closed(self) -> None:
        base, self._base = self._base, None
        if base is not None:
            base.close()

    def _thrown_away(self) -> None:
        self._closed()
        for name in (self._file, self._file.with_name(f"{self._file.name}-journal")):
            name.unlink(missing_ok=True)


_OF_THE_DISK = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
)


def _seen(base: sqlite3.Connection) -> Seen:
    return Seen(*base.execute("SELECT epoch, seen FROM marks").fetchone())


def _enter(base: sqlite3.Connection, new: New) -> None:
    """A message, its place in a conversation, and its words."""
    known = base.execute(
        "SELECT id, pending FROM messages WHERE message = ?", (bytes(new.message),)
    ).fetchone()
    if known is not None and not (known[1] and new.here):
        return
    row = _inserted(base, new) if known is None else _completed(base, known[0], new)
    if new.here:
        base.execute("INSERT INTO wordless VALUES (?)", (row,))
        _join(base, row, new)


def _inserted(base: sqlite3.Connection, new: New) -> int:
    made = base.execute(
        """INSERT INTO messages (message, date, month, size, subject, sender, identity, removed,
           pending) VALUES (?, ?, ?, ?, ?, ?, ?, '', ?)""",
        (bytes(new.message), new.date, new.month, new.size, new.subject, new.sender,
         new.identity, not new.here),
    )  # fmt: skip
    base.execute("UPDATE messages SET root = id WHERE id = ?", (made.lastrowid,))
    assert made.lastrowid is not None
    return made.lastrowid


def _completed(base: sqlite3.Connection, row: int, new: New) -> int:
    base.execute(
        "UPDATE messages SET subject = ?, sender = ?, identity = ?, pending = 0 WHERE id = ?",
        (new.subject, new.sender, new.identity, row),
    )
    return row


def _join(base: sqlite3.Connection, row: int, new: New) -> None:
    """Puts a message below what it answers, and below it what answered it before."""
    for identity in new.above:
        found = base.execute(
            "SELECT id, root FROM messages WHERE identity = ? AND id != ? ORDER BY id LIMIT 1",
            (identity, row),
        ).fetchone()
        if found is not None:
            _below(base, row, *found)
            break
    else:
        wished = new.above[0] if new.above else None
        base.execute("UPDATE messages SET above = ? WHERE id = ?", (wished, row))
    if new.identity is None:
        return
    waiting = base.execute("SELECT id FROM messages WHERE above = ?", (new.identity,)).fetchall()
    for (each,) in waiting:
        root = base.execute("SELECT root FROM messages WHERE id = ?", (row,)).fetchone()[0]
        if root != each:  # else they answer each other: somebody made that up
            _below(base, each, row, root)


def _below(base: sqlite3.Connection, row: int, parent: int, root: int) -> None:
    base.execute(_BELOW, (row, root))
    base.execute("UPDATE messages SET parent = ?, above = NULL WHERE id = ?", (parent, row))


def _remove(base: sqlite3.Connection, gone: Gone) -> None:
    """Its place in the conversation stays; what it said, and who, goes."""
    base.execute(
        "DELETE FROM wordless WHERE id IN (SELECT id FROM messages WHERE message = ?)",
        (bytes(gone.message),),
    )
    base.execute(
        """UPDATE messages SET removed = ?, subject = '', sender = '', identity = NULL,
           pending = 0 WHERE message = ?""",
        (gone.reason or "removed", bytes(gone.message)),
    )


_WORD = re.compile(r"\w+")


def words_of(text: str, most: int = 8) -> list[str]:
    """The words of a question, at most `most` of them."""
    return _WORD.findall(text)[:most]
