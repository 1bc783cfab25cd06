"""What must hold: while a run goes on, after each crash, and in the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from node.encoding import cbor
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.machines.rows import Delivery, Mail
from node.objects import answer
from node.objects.receipt import RECEIPT, Receipt
from node.ports import Request, Response, Tables
from node.services.space import FANOUT
from node.units import Key
from tests.fakes.audit import database
from tests.fakes.world import Machine

if TYPE_CHECKING:
    from tests.sim.simulate import Letter, Run


class Judge:
    """Finds broken promises.

    Args:
        run: what it looks at.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def broken(self, text: str) -> None:
        """A promise was broken."""
        self.run.say(f"BROKEN {text}")
        self.run.report.broken.append(text)

    async def after_a_crash(self, name: str, machine: Machine) -> None:
        """I2: what is on the disk agrees with itself."""
        for each in await machine.complaints(resting=False):
            self.broken(f"{name} after a crash: {each}")

    def watch(self, source: str, to: str, request: Request, response: Response) -> None:
        """I5: what a receipt confirms is on its signer's disk when the receipt leaves."""
        word = "" if response.status == 200 else f" {response.status}"
        self.run.say(f"{source} → {to} {request.method} {request.path[:24]}{word}")
        self.run.report.count("calls")
        if request.path == "/v1/receipts":
            claim = RECEIPT.decode(request.body).claim
            self._kept(claim)
        elif request.path == "/v1/notifications" and response.status == 200:
            for each in answer.decode_all(response.body, _count(response.body)):
                if each.receipt is not None:
                    self._kept(each.receipt.claim)
        elif request.path == "/v1/retractions" and response.status == 200:
            told = answer.decode(response.body)
            if told.receipt is not None:
                self._kept(told.receipt.claim)

    def _kept(self, said: Receipt) -> None:
        name = next(n for n in self.run.keys if self.run.keys[n] == said.sender)
        if said.at < self.run.restored.get(name, 0):
            return  # a copy, on its way since before the disk was lost
        disk = database(self.run.machines[name].disk)
        for message in said.messages:
            if not disk.read(partial(_is_here, owner=said.sender, message=message)):
                self.broken(f"I5: {name} confirms {short(message)}, which is not on its disk")

    async def check(self) -> None:
        for name, machine in self.run.machines.items():
            for _ in range(FANOUT):
                # A node looks through one folder of files at a time: here through all.
                await machine.on.sweeper.once()
            for each in await machine.complaints():
                self.broken(f"{name}: {each}")
            self._quiet(name, machine)
        for letter in self.run.letters:
            for to in letter.to:
                self._delivered(letter, to)

    def _quiet(self, name: str, machine: Machine) -> None:
        """I16: nothing is pending but what expired."""
        now = machine.now()

        def pending(tx: Tables) -> list[str]:
            found = [
                f"delivery of {short(d.message)} is {d.state} ({d.reason})"
                for d in tx.deliveries.by("until", after=now)
            ]
            found += [f"{e.kind} of {short(e.message)} is owed" for e in tx.errands.scan()]
            found += [
                f"pickup of {short(p.message)} is {p.state}"
                for p in tx.pickups.scan()
                if p.keep_until > now and bytes(p.message) not in self.run.forgotten
            ]
            return found + ["trash" for _ in tx.trash.scan()]

        for each in machine.on.core.db.read(pending):
            self.broken(f"I16: {name}: {each}")

    def _delivered(self, letter: Letter, to: str) -> None:
        author, reader = self.run.machines[letter.author], self.run.machines[to]
        row = author.on.core.db.read(
            lambda tx: tx.deliveries.get(
                self.run.keys[letter.author], letter.message, self.run.keys[to]
            )
        )
        what = f"{short(letter.message)} from {letter.author} to {to}"
        if row is None:
            self.broken(f"I1: {what} was accepted and is unknown")
            return
        here = reader.on.core.db.read(
            lambda tx: _mails(tx, self.run.keys[to], letter.message, self.run.keys[letter.author])
        )
        self.run.report.count(row.state)
        self._agree(letter, row, here, what)

    def _agree(self, letter: Letter, row: Delivery, here: list[Mail], what: str) -> None:
        arrived = [mail for mail in here if mail.state in ("new", "read", "deleted")]
        if len(here) > 1:
            self.broken(f"I4: {what} is shown {len(here)} times")
        if row.state == "confirmed" and not arrived:
            self.broken(f"I7: {what} is confirmed and not there")
        over = row.keep_until <= self.run.machines[letter.author].now()
        if row.state != "confirmed" and not letter.retracted and not over:
            self.broken(f"I3: {what} is {row.state}")
        if row.state == "expired" and not over:
            self.broken(f"I6: {what} expired early")
        if row.state == "retracted" and not letter.retracted:
            self.broken(f"I1: {what} was retracted by nobody")


def short(message: bytes) -> str:
    """How the story calls a message."""
    return cids.show(Cid(message))[-8:]


def _count(body: bytes) -> int:
    value = cbor.decode(body, levels=8)
    assert isinstance(value, list)
    return len(value)


def _mails(tx: Tables, owner: Key, message: Cid, sender: Key) -> list[Mail]:
    return [row for row in _called(tx, owner, message) if row.sender == sender]


def _called(tx: Tables, owner: Key, message: Cid) -> list[Mail]:
    # Not by the alias, which holds one row by its nature: twice is what is looked for.
    return [r for r in tx.mails.by("tail", owner, message[-4:]) if r.message == message]


def _is_here(tx: Tables, owner: Key, message: Cid) -> bool:
    rows = _called(tx, owner, message)
    if any(row.state == "deleted" for row in rows):
        return True
    block = tx.blocks.get(message)
    return (
        any(row.state in ("new", "read") for row in rows)
        and block is not None
        and tx.blocks.data(block) is not None
    )
