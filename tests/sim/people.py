"""What people do while all goes wrong: write, retract, read, call for mail, decline it, delete."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from node.encoding import cid as cids
from node.errors import Damaged, StoreFailed, WillcallError
from node.machines.rows import Mail
from node.services.mailbox import Contents, Mailbox
from tests.sim.report import DAY, HOUR, Letter, short

if TYPE_CHECKING:
    from tests.sim.simulate import Person, Run


class People:
    """Everybody's doings, each a task.

    Args:
        run: whose people they are.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.random = run, run.random
        self.unsure: set[bytes] = set()
        """What could not be sent, as far as its author was told."""

    def _somebody(self) -> Person:
        return self.random.choice(list(self.run.people.values()))

    # --- writing ---------------------------------------------------------------------------

    async def write(self) -> None:
        """Letters are sent, and some withdrawn."""
        while await self.run.pause(self.run.plan.letters):
            person = self._somebody()
            for _ in range(self.random.choice([1, 1, 1, 4])):
                await self._send(person)
            if self.random.random() < 0.15:
                await self._retract()

    async def _send(self, person: Person) -> None:
        to = self._addressees(person)
        size = self.random.choice([10, 300, 4_000, 30_000, 30_000, 70_000, 1_200_000])
        keep = self.random.choice([20 * DAY, 60 * DAY, 60 * DAY, 1.5 * DAY])
        content = (self.random.randbytes(16) * (size // 16 + 1))[:size]
        machine, sent = person.machine, trio.current_time()
        # Nobody writes a letter while the clock on the wall is a year off.
        if machine.node is None or machine.name in self.run.odd:
            return
        keys = [self.run.people[other].key for other in to]
        try:
            message = await machine.send(keys, content, owner=person.name, keep=int(keep * 1000))
        except (StoreFailed, AssertionError):
            # A disk may fail when all was written: then it arrives all the same.
            self.unsure.add(hashlib.sha256(content).digest())
            self.run.say(f"{person.name} could not send", who=(machine.name,))
            return
        letter = Letter(
            author=person.name,
            message=message,
            to=to,
            digest=hashlib.sha256(content).digest(),
            keep_until=machine.now() + int(keep * 1000),
            sent=sent,
        )
        self._sent(person, letter, size)

    def _addressees(self, person: Person) -> tuple[str, ...]:
        """One or two others, and now and then oneself as well."""
        others = [other for other in self.run.people if other != person.name]
        to = self.random.sample(others, self.random.choice([1, 1, 2]))
        return (*to, person.name) if self.random.random() < 0.05 else tuple(to)

    def _sent(self, person: Person, letter: Letter, size: int) -> None:
        self.run.letters.append(letter)
        self.run.report.letters[short(letter.message)] = letter
        self.run.report.count("accepted")
        parts = self.run.judge.accepted(person, letter)
        self.run.story.learn(letter.message, parts)
        of = ((short(letter.message), f"({size:,} bytes, to {', '.join(letter.to)})"),)
        self.run.say(f"{person.name} sends", of=of)

    async def _retract(self) -> None:
        if not self.run.letters:
            return
        letter = self.random.choice(self.run.letters[-6:])
        person, name = self.run.people[letter.author], short(letter.message)
        if person.machine.node is None:
            return
        mailbox = Mailbox(person.machine.on.core)
        try:
            await mailbox.retract(person.owner, cids.show(letter.message))
        except WillcallError as error:
            self.run.say(f"{letter.author} can't retract:", of=((name, error.reason),))
            # A store that failed may or may not have kept it: nothing is promised any more.
            letter.retracted |= isinstance(error, StoreFailed)
            return
        letter.retracted = True
        self.run.say(f"{letter.author} retracts", of=((name, ""),))

    # --- reading ---------------------------------------------------------------------------

    async def read(self) -> None:
        """Owners read, call for what waits, and delete."""
        while not self.run.over():
            await trio.sleep(self.random.uniform(HOUR / 4, 2 * DAY / len(self.run.people)))
            person = self._somebody()
            if person.machine.node is None:
                continue
            try:
                await self._look(person)
            except Damaged:
                raise
            except StoreFailed as error:
                what = f"{person.name} fails at the inbox: {error.reason}"
                self.run.say(what, who=(person.machine.name,))

    async def _look(self, person: Person) -> None:
        core, owner, name = person.machine.on.core, person.owner, person.name
        mailbox, contents = Mailbox(core), Contents(core)
        for row in inbox(person):
            of = ((short(row.message), f"(number {row.n})"),)
            self.run.judge.shown(name, row)
            if row.state == "waiting" and self.random.random() < 0.5:
                await mailbox.call(owner, row)
                self.run.say(f"{name} calls for", of=of)
                if self.random.random() < 0.15:
                    await self._decline(person, row)
            elif row.state == "waiting" and self.random.random() < 0.15:
                await self._decline(person, row)
            elif row.state == "new" and self.random.random() < 0.5:
                content = [piece async for piece in contents.read(row)]
                self.run.judge.opened(name, row.message, b"".join(content))
                await mailbox.mark_read(row)
                self.run.say(f"{name} reads", of=of)
                if self.random.random() < 0.5:
                    await self._delete(person, row, "read")
            elif row.state in ("read", "failed") and self.random.random() < 0.3:
                await self._delete(person, row, row.state)

    async def _decline(self, person: Person, row: Mail) -> None:
        """It stays at its author; unless it came, or failed, while others were looked at."""
        if row in inbox(person):
            # Noted before: a disk may fail when all was written.
            self.run.judge.declined.add((person.name, row.message))
            await self._delete(person, row, "waiting")
            self.run.report.count("declined")

    async def _delete(self, person: Person, row: Mail, state: str) -> None:
        """Who has no receipt yet tells of it again, and it must not come back."""
        await Mailbox(person.machine.on.core).delete(person.owner, [str(row.n)])
        if state != "failed":
            self.run.judge.deleted[person.name, row.message] = trio.current_time()
        if state == "read":
            self.run.judge.declined.discard((person.name, row.message))
        of = ((short(row.message), f"(number {row.n})"),)
        self.run.say(f"{person.name} deletes, {state},", of=of)

    async def call_all(self, person: Person) -> None:
        """The owner calls for all that waits."""
        for row in inbox(person):
            if row.state == "waiting":
                # It may have expired by now.
                with suppress(WillcallError):
                    await Mailbox(person.machine.on.core).call(person.owner, row)


def inbox(person: Person) -> list[Mail]:
    """What its owner is shown."""
    return person.machine.on.core.db.read(lambda tx: list(tx.mails.by("shown", person.key)))
