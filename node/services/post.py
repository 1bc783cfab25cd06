"""Posting: mail to the owner of an archive becomes part of it, at once or when the owner says so.

    a letter arrives ─┬─ policy `append` ─▶ wrapped with its proof, appended
                      └─ policy `hold` ──▶ stays in the inbox, until `archive post NAME N`

Only mail that its author signed can be posted: what was imported is nobody's. Spec: 12 §12.6.
"""

from collections.abc import Sequence
from itertools import islice

from node.errors import StoreFailed, WillcallError
from node.machines.rows import Archive, Mail, Owner
from node.mail import posted
from node.ports import Tables
from node.services import library, mailbox
from node.services.core import Core, short
from node.services.mailbox import Contents
from node.services.publish import Publisher, Tally

PAGE = 100
"""Letters looked at in one transaction."""
LOOK = 300.0
"""Seconds between looks, if nothing rings: only a hint could be lost."""
AGAIN = 5.0


class Poster:
    """Posts letters into the archives of the node's owners."""

    def __init__(self, core: Core, publisher: Publisher) -> None:
        self._core, self._publisher, self._contents = core, publisher, Contents(core)

    async def run(self) -> None:
        """Posts what arrives, where the policy says so, until cancelled."""
        while True:
            pause = LOOK
            try:
                await self.once()
            except StoreFailed as error:
                self._core.warn("posting-pauses", why=error.text)
                pause = AGAIN
            await self._core.arrivals.wait(pause)

    async def once(self) -> None:
        """Everything that arrived since the last look."""
        for row in self._core.db.read(lambda tx: list(tx.archives.scan())):
            if row.posting == "append" and not row.urls and not row.behind:
                while await self._some(row):
                    pass

    async def _some(self, row: Archive) -> bool:
        """The next letters of one archive; whether there may be more."""

        def work(tx: Tables) -> tuple[Owner | None, Archive | None, list[Mail]]:
            stored = tx.archives.get(row.id)
            after = 0 if stored is None else stored.posted
            found = islice(tx.mails.by("shown", row.owner, after=after), PAGE)
            return tx.owners.get(row.owner), stored, list(found)

        owner, stored, mails = self._core.db.read(work)
        if owner is None or stored is None or not mails:
            return False
        for mail in mails:
            if mail.state == "waiting":
                return False  # its turn comes when it is here
            if mail.stored and not mail.imported:
                try:
                    await self.post(owner, row.name, [mail])
                except StoreFailed:
                    raise
                except WillcallError as error:
                    self._core.note("not-posted", archive=row.name, message=short(mail.message),
                                    why=error.text)  # fmt: skip
            await self._core.db.transact(lambda tx, n=mail.n: _posted(tx, row, n))  # type: ignore[misc]
        return len(mails) == PAGE

    async def by_hand(self, owner: Owner, name: str, refs: Sequence[str]) -> Tally:
        """Posts letters of the inbox, named by number or CID.

        Raises:
            Absent: there is no such letter, or nobody signed it.
        """

        def work(tx: Tables) -> list[Mail]:
            library.own(tx, owner, name)
            return [mailbox.find_mail(tx, owner.owner, ref) for ref in refs]

        return await self.post(owner, name, self._core.db.read(work))

    async def post(self, owner: Owner, name: str, mails: Sequence[Mail]) -> Tally:
        """Appends letters with their proofs; what is there already is left out."""
        tally = Tally()
        for mail in mails:
            proof = self._contents.proof(mail)
            letter = b"".join([piece async for piece in self._contents.read(mail)])
            under = self._publisher.under(owner, name)
            made = self._publisher.sign(owner, posted.wrap(letter, proof), under)
            await self._publisher.add(owner, name, [made], tally)
        self._publisher.serve(name)
        return tally


def _posted(tx: Tables, row: Archive, n: int) -> None:
    stored = tx.archives.get(row.id)
    if stored is not None:
        tx.archives.put(stored.but(posted=max(stored.posted, n)))
