"""Weeks of virtual time: three to five nodes, bad weather, crashes; then calm, then the promises.

    days of faults ──▶ faults stop ──▶ two days of calm ──▶ promises are checked

Everything follows from the seed: how many there are, what is written to whom, what the network
and the disks do, which machine dies when. `Report.trace` is a hash over all that happened.
"""

import random
from dataclasses import dataclass
from itertools import combinations

import trio

from node.machines.rows import Owner
from node.units import Key
from tests.fakes.world import Machine, Weather, World, until
from tests.sim import deterministic
from tests.sim.faults import Faults
from tests.sim.judge import Judge
from tests.sim.people import People
from tests.sim.report import DAY, HOUR, Event, Letter, Plan, Report, short
from tests.sim.story import Story

NAMES = ("anna", "ben", "cleo", "dora", "emil")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An owner of one of the machines."""

    name: str
    key: Key
    machine: Machine

    @property
    def owner(self) -> Owner:
        """The owner's row."""
        return self.machine.owner(self.name)


def simulate(seed: int, plan: Plan | None = None) -> Report:
    """One run of `seed`."""
    return deterministic.run(lambda: Run(seed, plan or Plan()).whole(), seed)


class Run:
    """One run: people who write and read, while `Faults` do their worst."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.plan, self.random = plan, random.Random(seed)
        self.report = Report(seed=seed)
        self.letters: list[Letter] = []
        self.machines: dict[str, Machine] = {}
        self.people: dict[str, Person] = {}
        self.odd: set[str] = set()
        self.forgotten: set[bytes] = set()
        self.restored: dict[str, int] = {}
        self.faults, self.judge, self.story = Faults(self), Judge(self), Story(self)
        self.lives = People(self)

    async def whole(self) -> Report:
        async with trio.open_nursery() as nursery:
            self.world = World(nursery, self.report.seed)
            self.world.net.watchers += [self.story.watch, self.judge.watch, self.faults.watch]
            self.world.net.losses.append(self.story.lost)
            self.started = trio.current_time()
            await self._meet()
            async with trio.open_nursery() as faults:
                for work in (self.lives.write, self.lives.read, *self.faults.all()):
                    faults.start_soon(work)
            await self._calm()
            await self.judge.check()
            self.report.days = (trio.current_time() - self.started) / DAY
            nursery.cancel_scope.cancel()
        return self.report

    # --- what happens --------------------------------------------------------------------

    def say(
        self,
        text: str,
        *,
        of: tuple[tuple[str, str], ...] = (),
        who: tuple[str, ...] = (),
        call: bool = False,
        broke: bool = False,
    ) -> None:
        """Something happened."""
        at = (trio.current_time() - self.started) / DAY
        event = Event(at=at, text=text, of=of, who=who, call=call, broke=broke)
        self.report.events.append(event)

    def name(self, origin: str) -> str:
        """The machine at `origin`."""
        return self.world.net.machines[origin].name

    async def _meet(self) -> None:
        count = self.random.choice([3, 3, 3, 4, 5])
        self.report.nodes = count
        for name in NAMES[:count]:
            await self._begin(name)
        if self.random.random() < 0.4:
            await self._join("anton", self.machines["anna"])
        for a, b in combinations(self.people.values(), 2):
            await self._befriend(a, b)

    async def _begin(self, name: str) -> None:
        ask = self.random.choice(["300KiB", "10MiB"])
        sent = self.random.choice(["keep", "drop"])
        machine = await self.world.add(name, ask_over=ask, sent=sent, sweeps=HOUR, looks=HOUR)
        machine.clock.step(self.random.randint(-180_000, 180_000))
        machine.slow = self.random.choice([0.0, 0.05, 2.0])
        self.machines[name] = machine
        self.people[name] = Person(name=name, key=machine.owner().owner, machine=machine)
        self.say(f"{name} starts (asks over {ask}, {sent}s sent mail, {machine.slow} s disk)")

    async def _join(self, name: str, machine: Machine) -> None:
        row = await machine.another(name)
        self.people[name] = Person(name=name, key=row.owner, machine=machine)
        self.say(f"{name} lives at {machine.name}'s")

    async def _befriend(self, a: Person, b: Person) -> None:
        await b.machine.join(await a.machine.invite(a.name), b.name)
        db = b.machine.on.core.db

        def met() -> bool:
            row = db.read(lambda tx: tx.peers.get(b.key, a.key))
            return row is not None and row.met

        await until(met)

    async def pause(self, count: int) -> bool:
        """One of `count` pauses in the days of faults; whether they go on."""
        if count == 0:
            return False
        days = self.plan.days * DAY
        left = self.started + days - trio.current_time()
        await trio.sleep(min(self.random.expovariate(count / days), max(0.0, left) + 1.0))
        return not self.over()

    def over(self) -> bool:
        """Whether the days of faults are."""
        return trio.current_time() - self.started > self.plan.days * DAY

    def forget(self, machine: Machine, since: float) -> None:
        """What was sent there after the backup is gone with the disk, unless somebody has it."""
        self.judge.forget(machine, since)
        gone = [
            each
            for each in self.letters
            if self.people[each.author].machine is machine and each.sent >= since
        ]
        self.letters = [each for each in self.letters if each not in gone]
        self.forgotten |= {bytes(each.message) for each in gone}
        names = [short(each.message) for each in gone]
        self.report.forgotten |= set(names)
        if names:
            lost = tuple((name, "") for name in names)
            self.say(f"{machine.name} knows no more of", of=lost, who=(machine.name,))

    async def _calm(self) -> None:
        self.say("faults stop")
        self.world.net.weather = Weather()
        for machine in self.machines.values():
            if machine.node is None:
                await self.world.back(machine)
        for _ in range(4):
            for person in self.people.values():
                await self.lives.call_all(person)
            await trio.sleep(self.plan.calm * DAY / 4)
