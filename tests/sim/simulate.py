"""Weeks of virtual time: three nodes, bad weather, crashes; then calm, then the promises.

    days of faults ──▶ faults stop ──▶ two days of calm ──▶ promises are checked

Everything follows from the seed: what is written to whom, what the network and the disks do,
which machine dies when. `Report.trace` is a hash over all that happened.
"""

import hashlib
import random
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import StoreFailed, WillcallError
from node.services.mailbox import Mailbox
from node.units import Key
from tests.fakes.world import Machine, Weather, World
from tests.sim import deterministic
from tests.sim.faults import Faults
from tests.sim.judge import Judge, short

HOUR, DAY = 3600.0, 86_400.0
NAMES = ("anna", "ben", "cleo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, how much, how bad."""

    days: float = 30.0
    calm: float = 2.0
    letters: int = 60
    crashes: int = 40
    storms: int = 20
    cuts: int = 20
    restores: int = 4
    jumps: int = 3
    thefts: int = 20
    forgeries: int = 20


SHORT = Plan(
    days=10.0,
    letters=40,
    crashes=15,
    storms=8,
    cuts=8,
    restores=4,
    jumps=2,
    thefts=10,
    forgeries=15,
)
"""Ten worse days: what planted faults are looked for in."""


@dataclass(slots=True, kw_only=True)
class Letter:
    """What somebody sent, and what the network still owes them."""

    author: str
    message: Cid
    to: tuple[str, ...]
    size: int
    keep_until: int
    sent: float
    retracted: bool = False


@dataclass(slots=True, kw_only=True)
class Report:
    """What happened, and which promises were broken (none, if all is well)."""

    seed: int
    events: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def trace(self) -> str:
        """A hash over all events."""
        return hashlib.sha256("\n".join(self.events).encode()).hexdigest()[:16]

    def count(self, word: str) -> None:
        """One more of `word`."""
        self.counts[word] = self.counts.get(word, 0) + 1


def simulate(seed: int, plan: Plan | None = None) -> Report:
    """One run of `seed`."""
    return deterministic.run(lambda: Run(seed, plan or Plan()).whole(), seed)


class Run:
    """One run: people who write and read on three machines, while `Faults` do their worst."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.plan, self.random = plan, random.Random(seed)
        self.report = Report(seed=seed)
        self.letters: list[Letter] = []
        self.machines: dict[str, Machine] = {}
        self.keys: dict[str, Key] = {}
        self.odd: set[str] = set()
        self.forgotten: set[bytes] = set()
        self.restored: dict[str, int] = {}
        self.faults, self.judge = Faults(self), Judge(self)

    async def whole(self) -> Report:
        async with trio.open_nursery() as nursery:
            self.world = World(nursery, self.report.seed)
            self.world.net.watchers += [self.judge.watch, self.faults.watch]
            self.started = trio.current_time()
            await self._meet()
            async with trio.open_nursery() as faults:
                for work in (self._write, self._read, *self.faults.all()):
                    faults.start_soon(work)
            await self._calm()
            await self.judge.check()
            nursery.cancel_scope.cancel()
        return self.report

    # --- what happens --------------------------------------------------------------------

    def say(self, text: str) -> None:
        seconds = trio.current_time() - self.started
        self.report.events.append(f"{seconds / DAY:8.4f} {text}")

    async def _meet(self) -> None:
        for name in NAMES:
            ask = self.random.choice(["300KiB", "10MiB"])
            sent = self.random.choice(["keep", "drop"])
            machine = await self.world.add(name, ask_over=ask, sent=sent, sweeps=HOUR, looks=HOUR)
            machine.clock.step(self.random.randint(-180_000, 180_000))
            machine.slow = self.random.choice([0.0, 0.05, 2.0])
            self.machines[name] = machine
            self.keys[name] = machine.owner().owner
            self.say(f"{name} starts (asks over {ask}, {sent}s sent mail, {machine.slow} s disk)")
        for a, b in (("anna", "ben"), ("ben", "cleo"), ("cleo", "anna")):
            await self.world.friends(self.machines[a], self.machines[b])

    async def pause(self, count: int) -> bool:
        """One of `count` pauses in the days of faults; whether they go on."""
        if count == 0:
            return False
        days = self.plan.days * DAY
        left = self.started + days - trio.current_time()
        await trio.sleep(min(self.random.expovariate(count / days), max(0.0, left) + 1.0))
        return not self._over()

    def _over(self) -> bool:
        return trio.current_time() - self.started > self.plan.days * DAY

    def forget(self, name: str, since: float) -> None:
        """What `name` sent after its backup is gone with its disk, unless somebody has it."""
        gone = [each for each in self.letters if each.author == name and each.sent >= since]
        self.letters = [each for each in self.letters if each not in gone]
        self.forgotten |= {bytes(each.message) for each in gone}

    async def _write(self) -> None:
        while await self.pause(self.plan.letters):
            name = self.random.choice(NAMES)
            for _ in range(self.random.choice([1, 1, 1, 4])):
                await self._send(name)
            if self.random.random() < 0.15:
                await self._retract()

    async def _send(self, name: str) -> None:
        machine = self.machines[name]
        others = [other for other in NAMES if other != name]
        to = tuple(self.random.sample(others, self.random.choice([1, 1, 2])))
        size = self.random.choice([10, 300, 4_000, 30_000, 30_000, 70_000, 1_200_000])
        keep = self.random.choice([20 * DAY, 60 * DAY, 60 * DAY, 1.5 * DAY])
        content = self.random.randbytes(16) * (size // 16 + 1)
        # Nobody writes a letter while the clock on the wall is a year off.
        if machine.node is None or name in self.odd:
            return
        sent = trio.current_time()
        try:
            message = await machine.send(
                [self.keys[other] for other in to], content[:size], keep=int(keep * 1000)
            )
        except (StoreFailed, AssertionError):
            self.say(f"{name} could not send")
            return
        until = machine.now() + int(keep * 1000)
        self.letters.append(
            Letter(author=name, message=message, to=to, size=size, keep_until=until, sent=sent)
        )
        self.report.count("accepted")
        self.say(f"{name} sends {short(message)} ({size} bytes) to {', '.join(to)}")

    async def _retract(self) -> None:
        if not self.letters:
            return
        letter = self.random.choice(self.letters[-6:])
        machine = self.machines[letter.author]
        if machine.node is None:
            return
        try:
            await Mailbox(machine.on.core).retract(machine.owner(), cids.show(letter.message))
        except WillcallError as error:
            self.say(f"{letter.author} can't retract {short(letter.message)}: {error.reason}")
            # A store that failed may or may not have kept it: nothing is promised any more.
            letter.retracted |= isinstance(error, StoreFailed)
            return
        letter.retracted = True
        self.say(f"{letter.author} retracts {short(letter.message)}")

    async def _read(self) -> None:
        """Owners read, call for what waits, and delete."""
        while not self._over():
            await trio.sleep(self.random.uniform(HOUR, 2 * DAY))
            name = self.random.choice(NAMES)
            machine = self.machines[name]
            if machine.node is None:
                continue
            try:
                await self._look(name, machine)
            except WillcallError as error:
                self.say(f"{name} fails at the inbox: {error.reason}")

    async def _look(self, name: str, machine: Machine) -> None:
        mailbox, owner = Mailbox(machine.on.core), machine.owner()
        rows = machine.on.core.db.read(lambda tx: list(tx.mails.by("shown", owner.owner)))
        for row in rows:
            if row.state == "waiting" and self.random.random() < 0.5:
                await mailbox.call(owner, row)
            elif row.state == "new" and self.random.random() < 0.5:
                await mailbox.mark_read(row)
            elif row.state in ("read", "failed") and self.random.random() < 0.3:
                await mailbox.delete(owner, [str(row.n)])
                self.say(f"{name} deletes {row.n}, which was {row.state}")

    async def _calm(self) -> None:
        self.say("faults stop")
        self.world.net.weather = Weather()
        for machine in self.machines.values():
            if machine.node is None:
                await self.world.back(machine)
        for _ in range(4):
            for name in NAMES:
                await self._call_all(name)
            await trio.sleep(self.plan.calm * DAY / 4)

    async def _call_all(self, name: str) -> None:
        """The owner calls for all that waits."""
        machine, me = self.machines[name], self.keys[name]
        rows = machine.on.core.db.read(lambda tx: list(tx.mails.by("shown", me)))
        for row in rows:
            if row.state == "waiting":
                # It may have expired by now.
                with suppress(WillcallError):
                    await Mailbox(machine.on.core).call(machine.owner(), row)
