"""What must hold: while a run goes on, after each crash, and in the end."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING

from node import limits
from node.encoding import cbor
from node.encoding.cid import Cid
from node.machines import outbox
from node.machines.rows import Delivery, Mail
from node.objects import answer
from node.objects.introduction import POLL, Poll
from node.objects.receipt import RECEIPT, Receipt
from node.ports import Request, Response, Tables
from node.services.mailbox import Contents
from node.services.space import FANOUT
from node.units import Key
from tests.fakes.audit import database
from tests.fakes.world import Machine
from tests.sim.report import short

if TYPE_CHECKING:
    from tests.sim.report import Letter
    from tests.sim.simulate import Person, Run


class Judge:
    """Finds broken promises.

    Args:
        run: what it looks at.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.numbers: dict[tuple[str, int], Cid] = {}
        self.deleted: dict[tuple[str, Cid], float] = {}
        """What somebody deleted, and when: it is not shown again."""
        self.declined: set[tuple[str, Cid]] = set()
        """What somebody deleted, or tried to, while it waited, and never deleted as read."""
        self.left: set[tuple[Key, Cid, Key]] = set()
        """Whose deliveries may be open in the end: author, message, reader."""
        self.asked: dict[tuple[Key, Key, tuple[int, int]], int] = {}
        """When an author first heard of a loss, by its clock: who, whom, what it lost."""

    def broken(self, text: str, *messages: bytes) -> None:
        """A promise was broken."""
        of = tuple((short(message), "") for message in messages)
        self.run.say(f"BROKEN {text}", of=of, broke=True)
        self.run.report.broken.append(" ".join([text, *(name for name, _ in of)]))

    # --- while it goes on ------------------------------------------------------------------

    def accepted(self, person: Person, letter: Letter) -> tuple[Cid, ...]:
        """I1, I2: when `send` returns, all of it is on the disk. Gives the letter's parts."""
        disk, message = database(person.machine.disk), letter.message
        sent = disk.read(lambda tx: tx.sent.get(person.key, message))
        if sent is None:
            self.broken(f"I1: {person.name} was told that it is kept:", message)
            return ()
        for to in letter.to:
            key = self.run.people[to].key
            if disk.read(partial(_delivery, of=(person.key, message, key))) is None:
                self.broken(f"I2: there is no delivery to {to} of", message)
        for block in (*sent.parts, message):
            stored = disk.read(partial(_is_stored, cid=block))
            if not stored and block not in person.machine.files._blocks:
                self.broken(f"I1: {person.name} does not hold a block of", message)
        return sent.parts

    def opened(self, name: str, message: Cid, content: bytes) -> None:
        """I9: what is shown is what was sent."""
        letter = self.run.report.letters.get(short(message))
        right = self.run.lives.unsure if letter is None else {letter.digest}
        if hashlib.sha256(content).digest() not in right:
            self.broken(f"I9: {name} reads other bytes in", message)

    def forget(self, machine: Machine, since: float) -> None:
        """Its disk is as it was then."""
        mine = {name for name, person in self.run.people.items() if person.machine is machine}
        for key, at in list(self.deleted.items()):
            if key[0] in mine and at >= since:
                del self.deleted[key]

    def shown(self, name: str, row: Mail) -> None:
        """I4: what was deleted stays away, and a number is never another letter's."""
        if (name, row.message) in self.deleted:
            self.broken(f"I4: {name} had deleted and is shown again:", row.message)
        known = self.numbers.setdefault((name, row.n), row.message)
        if known != row.message:
            self.broken(f"I4: {name} finds another letter under {row.n}:", known, row.message)

    async def after_a_crash(self, name: str, machine: Machine) -> None:
        """I2: what is on the disk agrees with itself."""
        for each in await machine.complaints(resting=False):
            self.broken(f"{name} after a crash: {each}")

    def watch(self, source: str, to: str, request: Request, response: Response) -> None:
        """I5: what a receipt confirms is on its signer's disk when the receipt leaves."""
        self.run.report.count("calls")
        if request.path == "/v1/receipts":
            self._kept(RECEIPT.decode(request.body).claim)
        elif request.path == "/v1/notifications" and response.status == 200:
            for each in answer.decode_all(response.body, _count(response.body)):
                if each.receipt is not None:
                    self._kept(each.receipt.claim)
        elif request.path == "/v1/retractions" and response.status == 200:
            told = answer.decode(response.body)
            if told.receipt is not None:
                self._kept(told.receipt.claim)
        elif request.path == "/v1/poll" and response.status == 200:
            self._hear_lost(POLL.decode(request.body).claim, self.run.world.net.machines[to])

    def _hear_lost(self, said: Poll, machine: Machine) -> None:
        # By its time a copy from long ago, or of a wrong clock: it is refused, so nobody heard.
        refused = abs(said.issued - machine.now()) > limits.CLOCK_SKEW
        if said.lost is not None and not refused:
            self.asked.setdefault((said.sender, said.to, said.lost), machine.now())

    def _asked_late(self, row: Delivery) -> bool:
        """Whether its addressee came with its loss only when the grace was over."""
        assert row.first_receipt is not None
        over = row.first_receipt + limits.GRACE
        mine = [at for key, at in self.asked.items() if key[:2] == (row.to, row.owner)]
        return any(at >= over for at in mine)

    def _kept(self, said: Receipt) -> None:
        person = next(p for p in self.run.people.values() if p.key == said.sender)
        if said.at < self.run.restored.get(person.machine.name, 0):
            return  # a copy, on its way since before the disk was lost
        disk = database(person.machine.disk)
        for message in said.messages:
            declined = {(person.name, message)} <= self.declined & self.deleted.keys()
            if declined or not disk.read(partial(_is_here, owner=said.sender, message=message)):
                self.broken(f"I5: not on the disk of {person.name}, who confirms", message)

    # --- in the end ------------------------------------------------------------------------

    async def check(self) -> None:
        self.left = self._left()
        for name, machine in self.run.machines.items():
            for _ in range(FANOUT):
                # A node looks through one folder of files at a time: here through all.
                await machine.on.sweeper.once()
            for each in await machine.complaints():
                self.broken(f"{name}: {each}")
            self._quiet(name, machine)
        for letter in self.run.letters:
            for to in letter.to:
                await self._delivered(letter, to)

    def _left(self) -> set[tuple[Key, Cid, Key]]:
        """What its reader declined, and does not see again since an older disk came back."""
        found: set[tuple[Key, Cid, Key]] = set()
        for name, message in self.declined:
            reader = self.run.people[name]
            rows = reader.machine.on.core.db.read(
                partial(_called, owner=reader.key, message=message)
            )
            found |= {(row.sender, message, row.owner) for row in rows if _was_declined(row)}
        return found

    def _stays(self, row: Delivery) -> bool:
        """Whether its reader left it where it is, and its author was told."""
        told = row.state == "fetched" or (row.state, row.reason) == ("held", "waiting")
        return told and (row.owner, row.message, row.to) in self.left

    def _quiet(self, name: str, machine: Machine) -> None:
        """I16: nothing is pending but what expired, or was declined."""
        now = machine.now()

        def pending(tx: Tables) -> list[tuple[str, Cid]]:
            found = [
                (f"delivery is {d.state} ({d.reason})", d.message)
                for d in tx.deliveries.by("until", after=now)
                if not self._stays(d)
            ]
            found += [(f"{e.kind} is owed", e.message) for e in tx.errands.scan()]
            found += [
                (f"pickup is {p.state}", p.message)
                for p in tx.pickups.scan()
                if p.keep_until > now and bytes(p.message) not in self.run.forgotten
            ]
            return found + [("trash", t.cid) for t in tx.trash.scan()]

        for what, message in machine.on.core.db.read(pending):
            self.broken(f"I16: {name}: {what}:", message)

    async def _delivered(self, letter: Letter, to: str) -> None:
        author, reader = self.run.people[letter.author], self.run.people[to]
        row = author.machine.on.core.db.read(
            lambda tx: tx.deliveries.get(author.key, letter.message, reader.key)
        )
        what = f"from {letter.author} to {to}"
        if row is None:
            self.broken(f"I1: {what}, accepted and unknown:", letter.message)
            return
        here = reader.machine.on.core.db.read(
            lambda tx: _mails(tx, reader.key, letter.message, author.key)
        )
        self.run.report.count(row.state)
        self.run.report.ends.setdefault(short(letter.message), {})[to] = row.state
        self._agree(letter, row, here, what)
        for mail in here:
            if mail.state != "deleted":
                self.shown(to, mail)
            if mail.state in ("new", "read"):
                contents = Contents(reader.machine.on.core)
                content = [piece async for piece in contents.read(mail)]
                self.opened(to, mail.message, b"".join(content))

    def _agree(self, letter: Letter, row: Delivery, here: list[Mail], what: str) -> None:
        arrived = [mail for mail in here if _arrived(mail)]
        over = row.keep_until <= self.run.people[letter.author].machine.now()
        wrong = {
            f"I4: {what}, shown {len(here)} times:": len(here) > 1,
            f"I7: {what}, confirmed and not there:": row.state == "confirmed"
            and not arrived
            and not self._asked_late(row),
            f"I3: {what}, {row.state}:": outbox.is_open(row) and not over and not self._stays(row),
            f"I6: {what}, expired early:": row.state == "expired" and not over,
            f"I1: {what}, retracted by nobody:": row.state == "retracted" and not letter.retracted,
        }
        for text, broken in wrong.items():
            if broken:
                self.broken(text, letter.message)


def _count(body: bytes) -> int:
    value = cbor.decode(body, levels=8)
    assert isinstance(value, list)
    return len(value)


def _mails(tx: Tables, owner: Key, message: Cid, sender: Key) -> list[Mail]:
    return [row for row in _called(tx, owner, message) if row.sender == sender]


def _called(tx: Tables, owner: Key, message: Cid) -> list[Mail]:
    # Not by the alias, which holds one row by its nature: twice is what is looked for.
    return [r for r in tx.mails.by("tail", owner, message[-4:]) if r.message == message]


def _delivery(tx: Tables, of: tuple[Key, Cid, Key]) -> Delivery | None:
    return tx.deliveries.get(*of)


def _is_stored(tx: Tables, cid: Cid) -> bool:
    block = tx.blocks.get(cid)
    return block is not None and tx.blocks.data(block) is not None


def _is_here(tx: Tables, owner: Key, message: Cid) -> bool:
    rows = [row for row in _called(tx, owner, message) if _arrived(row)]
    if any(row.state == "deleted" for row in rows):
        return True
    block = tx.blocks.get(message)
    return bool(rows) and block is not None and tx.blocks.data(block) is not None


def _arrived(row: Mail) -> bool:
    return row.state in ("new", "read") or (row.state == "deleted" and not row.missed)


def _was_declined(row: Mail) -> bool:
    return row.state == "deleted" and row.missed and row.keep_until is not None
