"""Finding mail by its words: an index beside the store, made when somebody searches.

Nothing is indexed when mail arrives. Who searches has the index brought up to the mailbox
first: what came since, and what was waiting then. So a crash, a restore and an import need
nothing of their own. Every hit is looked up in the store before it is shown: what was deleted
is not found. When an eighth of an index is deleted mail, or it is damaged, or of another time
than the store, it is thrown away and made anew. See decision 0009.
"""

from collections.abc import Sequence
from itertools import islice

import trio

from node.encoding import names
from node.errors import Damaged
from node.machines.rows import Mail, Owner, Sent
from node.mail import wanted
from node.mail.display import SHOWN
from node.ports import Entry, Hit, Index, Marks, Reader, Shelf, Tables, Words
from node.services import ledger
from node.services.core import Core, beginning, short
from node.services.mailbox import Contents
from node.units import Key

TOGETHER = 100
"""Messages entered in one transaction of the index."""
STALE = 64
"""Deleted messages that an index may hold, whatever its size: making it anew costs more."""
LIMIT = 50
"""Hits that are shown unless more are asked for."""
SPARE = 1_000
"""Hits that are looked at beyond those, because some may be deleted mail."""

Found = tuple[Mail | Sent, str]
"""A message, and the line of it where the words stand."""


class Search:
    """Finds mail of the owners of a node.

    Args:
        core: the ports.
        shelf: where the indexes are.
        reader: what takes mail apart.
    """

    def __init__(self, core: Core, shelf: Shelf, reader: Reader) -> None:
        self._core, self._shelf, self._reader = core, shelf, reader
        self._contents = Contents(core)
        self._lock = trio.Lock()

    async def find(
        self, owner: Owner, words: Sequence[str], limit: int | None
    ) -> tuple[list[Found], str | None]:
        """Mail in which all the words are, newest first; and why the index was made anew, if so.

        Raises:
            Usage: there is no word.
            StoreFailed: there is no room for the index, or it can't be used.
        """
        question = wanted.parse(words)
        most = LIMIT if limit is None else limit
        async with self._lock:
            index = self._shelf.index(_file(owner))
            try:
                hits, why = await self._asked(index, owner, question.match, most)
                return [await self._found(row, question.words) for row in hits], why
            finally:
                await self._reader.close()
                await index.close()

    async def rebuild(self, owner: Owner) -> int:
        """Makes an owner's index anew; how many messages are in it. Raises as `find`."""
        async with self._lock:
            index = self._shelf.index(_file(owner))
            try:
                await index.clear()
                return (await self._caught_up(index, owner, self._fresh(owner))).entries
            finally:
                await self._reader.close()
                await index.close()

    async def clean(self) -> None:
        """Removes the indexes of owners who are not here any more."""
        rows = self._core.db.read(lambda tx: list(tx.owners.scan()))
        await self._shelf.keep([_file(row) for row in rows])

    async def _asked(
        self, index: Index, owner: Owner, match: str, most: int
    ) -> tuple[list[Mail | Sent], str | None]:
        why = None
        try:
            why = await self._current(index, owner)
            hits = await index.find(match, most + SPARE)
        except Damaged as error:
            why = "damaged"
            self._core.warn("search-rebuilt", owner=short(owner.owner), why=error.text)
            await index.clear()
            await self._caught_up(index, owner, self._fresh(owner))
            hits = await index.find(match, most + SPARE)
        return self._core.db.read(lambda tx: _alive(tx, owner.owner, hits, most)), why

    # --- keeping up with the mailbox --------------------------------------------------------

    async def _current(self, index: Index, owner: Owner) -> str | None:
        """Brings an index up to the mailbox; why it had to be made anew, if so."""
        marks = await index.marks()
        why = self._core.db.read(lambda tx: _outdated(tx, owner.owner, marks))
        if why is not None:
            await index.clear()
        if why is not None or marks == Marks():
            marks = self._fresh(owner)
        await self._caught_up(index, owner, marks)
        return why

    def _fresh(self, owner: Owner) -> Marks:
        account = self._core.db.read(lambda tx: ledger.account(tx, owner.owner))
        return Marks(deleted=account.deleted)

    async def _caught_up(self, index: Index, owner: Owner, marks: Marks) -> Marks:
        me = owner.owner
        marks = await self._returned(index, me, marks)
        while mails := self._core.db.read(lambda tx, n=marks.mail: _mails(tx, me, n)):  # type: ignore[misc]
            marks = marks._replace(mail=mails[-1].n, mail_name=bytes(mails[-1].message))
            marks = await self._entered(index, mails, marks)
        while sents := self._core.db.read(lambda tx, n=marks.sent: _sents(tx, me, n)):  # type: ignore[misc]
            marks = marks._replace(sent=sents[-1].order, sent_name=bytes(sents[-1].message))
            marks = await self._entered(index, sents, marks)
        return marks

    async def _returned(self, index: Index, me: Key, marks: Marks) -> Marks:
        """What waited at its sender when it was passed, and is here or gone now."""
        for n in await index.missing():
            row = self._core.db.read(lambda tx, n=n: tx.mails.get(me, n))  # type: ignore[misc]
            if row is None or row.state not in ("waiting", "failed"):
                here = [row] if row is not None and row.stored else []
                marks = await self._entered(index, here, marks, found=[n])
        return marks

    async def _entered(
        self, index: Index, rows: Sequence[Mail | Sent], marks: Marks, found: Sequence[int] = ()
    ) -> Marks:
        missing = [row.n for row in rows if isinstance(row, Mail) and not row.stored]
        here = [row for row in rows if not isinstance(row, Mail) or row.stored]
        entries = [_entry(row, await self._words(row)) for row in here]
        marks = marks._replace(entries=marks.entries + len(entries))
        await index.add(entries, marks, missing, found)
        return marks

    async def _words(self, row: Mail | Sent) -> Words:
        """The words of a message; of one that can't be taken apart, or is freed, its subject."""
        content = await beginning(self._contents.read(row), SHOWN)
        words = await self._reader.words(content) if content else None
        if words is None:
            known = await self._contents.scanned(row)
            words = Words(subject=known.subject or "", people=known.sender or "", body="")
        return words

    async def _found(self, row: Mail | Sent, words: Sequence[str]) -> Found:
        return row, wanted.snippet((await self._words(row)).body, words)


def _file(owner: Owner) -> str:
    """What an owner's index is called: nothing that a file system could take for more."""
    return names.did(owner.owner).removeprefix("did:key:")


def _mails(tx: Tables, owner: Key, after: int) -> list[Mail]:
    return list(islice(tx.mails.by("shown", owner, after=after), TOGETHER))


def _sents(tx: Tables, owner: Key, after: int) -> list[Sent]:
    return list(islice(tx.sent.by("order", owner, after=after), TOGETHER))


def _entry(row: Mail | Sent, words: Words) -> Entry:
    if isinstance(row, Mail):
        return Entry(Hit(False, row.n, bytes(row.message)), row.received, words)
    return Entry(Hit(True, row.order, bytes(row.message)), row.created, words)


def _outdated(tx: Tables, owner: Key, marks: Marks) -> str | None:
    """Why an index is worth nothing: it is of another time than the store, or too much is gone."""
    mail = tx.mails.get(owner, marks.mail)
    sent = next(tx.sent.by("order", owner, after=marks.sent - 1), None) if marks.sent else None
    if marks.mail and (mail is None or mail.message != marks.mail_name):
        return "other-time"
    if marks.sent and (sent is None or sent.message != marks.sent_name):
        return "other-time"
    deleted = ledger.account(tx, owner).deleted - marks.deleted
    if deleted < 0 or deleted > max(STALE, marks.entries // 8):
        return "deleted"
    return None


def _alive(tx: Tables, owner: Key, hits: Sequence[Hit], most: int) -> list[Mail | Sent]:
    """Hits that the store has, and shows."""
    rows = (_row(tx, owner, hit) for hit in hits)
    return list(islice((row for row in rows if row is not None), most))


def _row(tx: Tables, owner: Key, hit: Hit) -> Mail | Sent | None:
    if hit.sent:
        sent = tx.sent.get(owner, hit.message)
        gone = sent is None or (sent.imported and sent.charge == "gone")
        return None if gone or sent is None or sent.order != hit.number else sent
    mail = tx.mails.get(owner, hit.number)
    return mail if mail is not None and mail.stored and mail.message == hit.message else None
