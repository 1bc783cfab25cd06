"""What goes wrong in a run: machines, disks, clocks, the network, and people who mean ill.

Each fault is a task of its own that ends when the days of faults are over, and leaves the
world so that everything can heal: clocks come back, cuts are mended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from node.encoding import cbor
from node.encoding import cid as cids
from node.errors import StoreFailed
from node.objects.receipt import RECEIPT, Receipt
from node.ports import Request, Response
from node.store.memory import MemoryFiles, MemoryKv
from tests.fakes.world import Machine, Weather
from tests.sim.report import DAY, HOUR

if TYPE_CHECKING:
    from tests.sim.simulate import Run

OLDEST = 6 * DAY
"""The oldest backup that is put back: the grace leaves eight days to ask again."""
BY_ITSELF = ("clock", "expired", "malformed", "too-large")
"""Why an item is refused by what anybody can see of it."""
SIGNATURE = b"csigX@"
"""What stands before a signature of 64 bytes in canonical CBOR."""


class Faults:
    """All that goes wrong.

    Args:
        run: whose machines they are.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.random = run, run.random
        self.backups: dict[str, tuple[MemoryKv, MemoryFiles, int, float]] = {}
        self.heard: list[tuple[str, Request]] = []
        self.cuts: Counter[tuple[str, str]] = Counter()

    def all(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        """The tasks."""
        machines = (self.crash, self.fill, self.restore, self.jump)
        return (*machines, self.storm, self.cut, self.part, self.steal, self.forge)

    def watch(self, source: str, to: str, request: Request, response: Response) -> None:
        """Remembers what was said, for the forger."""
        if request.path in ("/v1/notifications", "/v1/receipts") and response.status == 200:
            self.heard = [*self.heard[-60:], (to, request)]

    def _machine(self) -> tuple[str, Machine]:
        name = self.random.choice(list(self.run.machines))
        return name, self.run.machines[name]

    # --- machines and disks ----------------------------------------------------------------

    async def crash(self) -> None:
        """Nodes die, and disks fail."""
        while await self.run.pause(self.run.plan.crashes):
            name, machine = self._machine()
            if self.random.random() < 0.3:
                machine.kv.fail_next(after=self.random.random() < 0.5)
                self.run.say(f"the next write of {name} fails", who=(name,))
            elif machine.node is not None:
                await self._die(name, machine)

    async def _die(self, name: str, machine: Machine) -> None:
        self.run.say(f"{name} crashes", who=(name,))
        self.run.report.count("crashes")
        await self.run.world.off(machine)
        await self.run.judge.after_a_crash(name, machine)
        await trio.sleep(self.random.choice([0.0, 1.0, 60.0, HOUR, DAY, 4 * DAY]))
        # On a broken disk a node does not start, and says so; here it has been mended.
        machine.kv.heal()
        await self.run.world.back(machine)
        self.run.say(f"{name} is back", who=(name,))

    async def fill(self) -> None:
        """A disk is full for a while: what is there can be read, and writing resumes by itself."""
        while await self.run.pause(self.run.plan.full):
            name, machine = self._machine()
            if machine.kv.full or machine.node is None:
                continue
            self.run.say(f"the disk of {name} is full", who=(name,))
            self.run.report.count("full disks")
            machine.kv.full = True
            await trio.sleep(self.random.choice([60.0, HOUR, 12 * HOUR]))
            machine.kv.full = False
            self.run.say(f"the disk of {name} has room again", who=(name,))

    async def restore(self) -> None:
        """Backups are made, and an old one is put back after a disk has died."""
        while await self.run.pause(2 * self.run.plan.restores):
            name, machine = self._machine()
            if machine.node is None or name in self.run.odd:
                continue
            old = self.backups.get(name)
            if old is None or trio.current_time() - old[3] > OLDEST:
                await self._back_up(name, machine)
            else:
                del self.backups[name]
                await self._put_back(name, machine, old)

    async def _back_up(self, name: str, machine: Machine) -> None:
        try:
            await machine.flushed()
        except StoreFailed:
            return  # no backup of a disk that does not write
        memory = machine.now()
        self.backups[name] = (
            machine.disk.copy(), machine.files.copy(), memory, trio.current_time(),
        )  # fmt: skip
        self.run.say(f"{name} makes a backup", who=(name,))

    async def _put_back(
        self, name: str, machine: Machine, backup: tuple[MemoryKv, MemoryFiles, int, float]
    ) -> None:
        disk, files, memory, at = backup
        age = (trio.current_time() - at) / DAY
        self.run.say(f"{name} loses its disk; back comes one of {age:.1f} days ago", who=(name,))
        self.run.report.count("restores")
        await self.run.world.off(machine)
        self.run.forget(machine, at)
        self.run.restored[name] = machine.now()
        await machine.restore(disk, files, memory)
        await self.run.world.back(machine)
        # Receipts of the life before, which still were on their way.
        for pause in (0.05, 0.5, 5.0, 60.0):
            await trio.sleep(pause)
            for to, said in self.heard:
                if said.path == "/v1/receipts":
                    await self._ask(self._at(to), said, (200,))

    # --- clocks ----------------------------------------------------------------------------

    async def jump(self) -> None:
        """A clock is a year off for some hours, ahead or behind."""
        while await self.run.pause(self.run.plan.jumps):
            name, machine = self._machine()
            if name in self.run.odd:
                continue
            self.run.odd.add(name)
            years = self.random.choice([-1, 1]) * 400 * 86_400_000
            machine.clock.step(years)
            where = "ahead" if years > 0 else "behind"
            self.run.say(f"the clock of {name} is 400 days {where}", who=(name,))
            await trio.sleep(self.random.choice([60.0, HOUR, 20 * HOUR]))
            machine.clock.step(-years)
            self.run.odd.discard(name)
            self.run.say(f"the clock of {name} is right again", who=(name,))

    # --- the network -----------------------------------------------------------------------

    async def storm(self) -> None:
        """The weather changes."""
        while await self.run.pause(self.run.plan.storms):
            bad = self.random.choice([0.0, 0.05, 0.3, 0.9])
            net = self.run.world.net
            net.weather = Weather(
                lose_request=bad,
                lose_answer=bad,
                double=bad / 2,
                late=self.random.choice([0.0, 0.2]),
                late_by=(1.0, self.random.choice([10.0, HOUR, 3 * DAY])),
                delay=(0.001, self.random.choice([0.01, 1.0, 15.0])),
                cut=net.weather.cut,
            )
            self.run.say(f"the weather: {bad:.0%} lost each way")

    async def cut(self) -> None:
        """Two machines can't reach each other, or one the other."""
        while await self.run.pause(self.run.plan.cuts):
            a, b = self.random.sample([m.origin for m in self.run.machines.values()], 2)
            pairs = {(a, b)} if self.random.random() < 0.5 else {(a, b), (b, a)}
            who = (self.run.name(a), self.run.name(b))
            await self._cut(pairs, f" {'and' if len(pairs) == 2 else 'to'} ".join(who), who)

    async def part(self) -> None:
        """The network falls into two halves."""
        while await self.run.pause(self.run.plan.cuts // 4):
            all_of_them = list(self.run.machines.values())
            here = self.random.sample(all_of_them, self.random.randint(1, len(all_of_them) - 1))
            there = [m for m in all_of_them if m not in here]
            pairs = {p for a in here for b in there for p in _both(a.origin, b.origin)}
            halves = [", ".join(m.name for m in half) for half in (here, there)]
            await self._cut(pairs, " and ".join(halves), ())

    async def _cut(self, pairs: set[tuple[str, str]], between: str, who: tuple[str, ...]) -> None:
        self.cuts.update(pairs)
        self.run.world.net.weather.cut |= pairs
        self.run.say(f"{between}: cut", who=who)
        await trio.sleep(self.random.choice([60.0, HOUR, DAY, 3 * DAY]))
        self.cuts.subtract(pairs)
        self.run.world.net.weather.cut -= {pair for pair in pairs if not self.cuts[pair]}
        self.run.say(f"{between}: mended", who=who)

    # --- people who mean ill -----------------------------------------------------------------

    async def steal(self) -> None:
        """Somebody who knows a message's name asks for its bytes without a ticket."""
        while await self.run.pause(self.run.plan.thefts):
            if not self.run.letters:
                continue
            letter = self.random.choice(self.run.letters[-10:])
            machine = self.run.people[letter.author].machine
            ticket = self.random.choice([None, bytes(16), self.random.randbytes(16)])
            path = f"/v1/blocks/{cids.show(letter.message)}"
            await self._ask(machine, Request(method="GET", path=path, ticket=ticket), (404, 410))

    async def forge(self) -> None:
        """Somebody repeats what was said, as it was or with another signature, or makes it up."""
        while await self.run.pause(self.run.plan.forgeries):
            kind = self.random.choice([self._repeat, self._spoil, self._invent])
            if self.heard and self.run.letters:
                await kind()

    async def _repeat(self) -> None:
        to, said = self.random.choice(self.heard)
        await self._ask(self._at(to), said, (200, 429))

    async def _spoil(self) -> None:
        to, said = self.random.choice(self.heard)
        body = bytearray(said.body)
        body[body.rindex(SIGNATURE) + 6 + self.random.randrange(32)] ^= 1
        forged = Request(method="POST", path=said.path, body=bytes(body))
        # A receipt for nothing that is open is taken without a look at its signature.
        right = (422, 429) if said.path == "/v1/notifications" else (200, 422)
        for _ in range(2):
            await self._ask(self._at(to), forged, right)

    async def _invent(self) -> None:
        """A receipt for mail that may never have arrived, signed by nobody we know."""
        letter = self.run.letters[-1]
        author = self.run.people[letter.author]
        said = Receipt(
            sender=self.run.people[letter.to[0]].key,
            to=author.key,
            messages=(letter.message,),
            at=author.machine.now(),
        )
        forged = RECEIPT.sign(said, self.random.randbytes(32))
        request = Request(method="POST", path="/v1/receipts", body=forged)
        await self._ask(author.machine, request, (200, 422))

    def _at(self, origin: str) -> Machine:
        return next(m for m in self.run.machines.values() if m.origin == origin)

    async def _ask(self, machine: Machine, request: Request, right: tuple[int, ...]) -> None:
        node = machine.node
        if node is None:
            return
        answer = await node.peers.answer(request, "127.0.0.99")
        self.run.report.count(f"attacks answered {answer.status}")
        # While its disk fails a node refuses everybody.
        if answer.status not in (*right, 500, 503, 507) and not _is_unread(answer):
            self.run.judge.broken(f"I7: {request.method} {request.path[:24]} gave {answer.status}")


def _is_unread(answer: Response) -> bool:
    """Whether an answer says only what each item shows by itself, or nothing.

    A batch of a network that had its share is not looked at closer, not even its signature.
    """
    told = cbor.decode(answer.body, levels=8) if answer.status == 200 else None
    return isinstance(told, list) and all(
        each == {"state": "held"} or (isinstance(each, dict) and each.get("reason") in BY_ITSELF)
        for each in told
    )


def _both(a: str, b: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (a, b), (b, a)
