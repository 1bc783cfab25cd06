"""Weeks of virtual time: three nodes, bad weather, crashes; then calm, then the promises.

    days of faults ──▶ faults stop ──▶ two days of calm ──▶ promises are checked

Everything follows from the seed: what is written to whom, what the network and the disks do,
which machine dies when. `Report.trace` is a hash over all that happened.
"""

import hashlib
import random
from dataclasses import dataclass, field

import trio

from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import StoreFailed, WillcallError
from node.machines.rows import Delivery, Mail
from node.objects import answer
from node.objects.receipt import RECEIPT
from node.ports import Request, Response, Tables
from node.services.mailbox import Mailbox
from node.units import Key
from tests.fakes.audit import database
from tests.fakes.world import Machine, Weather, World
from tests.sim import deterministic

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


@dataclass(slots=True, kw_only=True)
class Letter:
    """What somebody sent, and what the network still owes them."""

    author: str
    message: Cid
    to: tuple[str, ...]
    size: int
    keep_until: int
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
        self.counts[word] = self.counts.get(word, 0) + 1


def simulate(seed: int, plan: Plan | None = None) -> Report:
    """One run of `seed`."""
    return deterministic.run(lambda: _Run(seed, plan or Plan()).whole(), seed)


class _Run:
    def __init__(self, seed: int, plan: Plan) -> None:
        self.plan, self.random = plan, random.Random(seed)
        self.report = Report(seed=seed)
        self.letters: list[Letter] = []
        self.machines: dict[str, Machine] = {}
        self.keys: dict[str, Key] = {}
        self.deleted: dict[str, set[bytes]] = {name: set() for name in NAMES}

    async def whole(self) -> Report:
        async with trio.open_nursery() as nursery:
            self.world = World(nursery, self.report.seed)
            self.world.net.watchers.append(self._watch)
            self.started = trio.current_time()
            await self._meet()
            async with trio.open_nursery() as faults:
                for work in (self._write, self._crash, self._storm, self._cut, self._read):
                    faults.start_soon(work)
            await self._calm()
            await self._check()
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
            machine = await self.world.add(name, ask_over=ask, sent=sent, sweeps=3600.0)
            machine.clock.step(self.random.randint(-180_000, 180_000))
            machine.slow = self.random.choice([0.0, 0.05, 2.0])
            self.machines[name] = machine
            self.keys[name] = machine.owner().owner
            self.say(f"{name} starts (asks over {ask}, {sent}s sent mail, {machine.slow} s disk)")
        for a, b in (("anna", "ben"), ("ben", "cleo"), ("cleo", "anna")):
            await self.world.friends(self.machines[a], self.machines[b])

    async def _pauses(self, count: int) -> None:
        """One of `count` pauses in the days of faults; raises Cancelled never, ends on time."""
        await trio.sleep(self.random.expovariate(count / (self.plan.days * DAY)))

    def _over(self) -> bool:
        return trio.current_time() - self.started > self.plan.days * DAY

    async def _write(self) -> None:
        while True:
            await self._pauses(self.plan.letters)
            if self._over():
                return
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
        if machine.node is None:
            return
        try:
            message = await machine.send(
                [self.keys[other] for other in to], content[:size], keep=int(keep * 1000)
            )
        except (StoreFailed, AssertionError):
            self.say(f"{name} could not send")
            return
        until = machine.now() + int(keep * 1000)
        self.letters.append(
            Letter(author=name, message=message, to=to, size=size, keep_until=until)
        )
        self.report.count("accepted")
        self.say(f"{name} sends {_short(message)} ({size} bytes) to {', '.join(to)}")

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
            self.say(f"{letter.author} can't retract {_short(letter.message)}: {error.reason}")
            # A store that failed may or may not have kept it: nothing is promised any more.
            letter.retracted |= isinstance(error, StoreFailed)
            return
        letter.retracted = True
        self.say(f"{letter.author} retracts {_short(letter.message)}")

    async def _crash(self) -> None:
        while True:
            await self._pauses(self.plan.crashes)
            if self._over():
                return
            name = self.random.choice(NAMES)
            machine = self.machines[name]
            if self.random.random() < 0.3:
                machine.kv.fail_next(after=self.random.random() < 0.5)
                self.say(f"the next write of {name} fails")
                continue
            await self._die(name, machine)

    async def _die(self, name: str, machine: Machine) -> None:
        self.say(f"{name} crashes")
        self.report.count("crashes")
        await self.world.off(machine)
        found = await machine.complaints(resting=False)
        self.report.broken += [f"{name} after a crash: {each}" for each in found]
        await trio.sleep(self.random.choice([0.0, 1.0, 60.0, HOUR, DAY, 4 * DAY]))
        # On a broken disk a node does not start, and says so; here it has been mended.
        machine.kv.heal()
        await self.world.back(machine)
        self.say(f"{name} is back")

    async def _storm(self) -> None:
        while True:
            await self._pauses(self.plan.storms)
            if self._over():
                break
            bad = self.random.choice([0.0, 0.05, 0.3, 0.9])
            self.world.net.weather = Weather(
                lose_request=bad,
                lose_answer=bad,
                double=bad / 2,
                late=self.random.choice([0.0, 0.2]),
                late_by=(1.0, self.random.choice([10.0, HOUR, 3 * DAY])),
                delay=(0.001, self.random.choice([0.01, 1.0, 15.0])),
                cut=self.world.net.weather.cut,
            )
            self.say(f"the weather: {bad:.0%} lost each way")

    async def _cut(self) -> None:
        while True:
            await self._pauses(self.plan.cuts)
            if self._over():
                return
            a, b = self.random.sample([m.origin for m in self.machines.values()], 2)
            pairs = {(a, b)} if self.random.random() < 0.5 else {(a, b), (b, a)}
            self.world.net.weather.cut |= pairs
            self.say(f"{a} {'and' if len(pairs) == 2 else 'to'} {b}: cut")
            await trio.sleep(self.random.choice([60.0, HOUR, DAY, 3 * DAY]))
            self.world.net.weather.cut -= pairs
            self.say(f"{a} {'and' if len(pairs) == 2 else 'to'} {b}: mended")

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
                self.deleted[name].add(bytes(row.message))
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
                await Mailbox(machine.on.core).call(machine.owner(), row)

    # --- what must hold -------------------------------------------------------------------

    def _watch(self, source: str, to: str, request: Request, response: Response) -> None:
        """I5: what a receipt confirms is on its signer's disk when the receipt leaves."""
        word = "" if response.status == 200 else f" {response.status}"
        self.say(f"{source} → {to} {request.method} {request.path[:24]}{word}")
        self.report.count("calls")
        if request.path == "/v1/receipts":
            claim = RECEIPT.decode(request.body).claim
            self._kept(claim.sender, claim.messages)
        elif request.path == "/v1/notifications" and response.status == 200:
            for each in answer.decode_all(response.body, _count(response.body)):
                if each.receipt is not None:
                    self._kept(each.receipt.claim.sender, each.receipt.claim.messages)
        elif request.path == "/v1/retractions" and response.status == 200:
            told = answer.decode(response.body)
            if told.receipt is not None:
                self._kept(told.receipt.claim.sender, told.receipt.claim.messages)

    def _kept(self, signer: Key, messages: tuple[Cid, ...]) -> None:
        name = next(n for n in NAMES if self.keys[n] == signer)
        disk = database(self.machines[name].disk)
        for message in messages:
            if not disk.read(lambda tx, m=message: _is_here(tx, signer, m)):  # type: ignore[misc]
                self.break_(f"I5: {name} confirms {_short(message)}, which is not on its disk")

    def break_(self, text: str) -> None:
        self.say(f"BROKEN {text}")
        self.report.broken.append(text)

    async def _check(self) -> None:
        for name, machine in self.machines.items():
            for each in await machine.complaints():
                self.break_(f"{name}: {each}")
            self._quiet(name, machine)
        for letter in self.letters:
            for to in letter.to:
                self._delivered(letter, to)

    def _quiet(self, name: str, machine: Machine) -> None:
        """I16: nothing is pending but what expired."""
        now = machine.now()

        def pending(tx: Tables) -> list[str]:
            found = [
                f"delivery of {_short(d.message)} is {d.state} ({d.reason})"
                for d in tx.deliveries.by("until", after=now)
            ]
            found += [f"{e.kind} of {_short(e.message)} is owed" for e in tx.errands.scan()]
            found += [
                f"pickup of {_short(p.message)} is {p.state}"
                for p in tx.pickups.scan()
                if p.keep_until > now
            ]
            return found + ["trash" for _ in tx.trash.scan()]

        for each in machine.on.core.db.read(pending):
            self.break_(f"I16: {name}: {each}")

    def _delivered(self, letter: Letter, to: str) -> None:
        author, reader = self.machines[letter.author], self.machines[to]
        row = author.on.core.db.read(
            lambda tx: tx.deliveries.get(self.keys[letter.author], letter.message, self.keys[to])
        )
        what = f"{_short(letter.message)} from {letter.author} to {to}"
        if row is None:
            self.break_(f"I1: {what} was accepted and is unknown")
            return
        here = reader.on.core.db.read(
            lambda tx: _mails(tx, self.keys[to], letter.message, self.keys[letter.author])
        )
        self.report.count(row.state)
        self._agree(letter, row, here, what)

    def _agree(self, letter: Letter, row: Delivery, here: list[Mail], what: str) -> None:
        arrived = [mail for mail in here if mail.state in ("new", "read", "deleted")]
        if len(here) > 1:
            self.break_(f"I4: {what} is shown {len(here)} times")
        if row.state == "confirmed" and not arrived:
            self.break_(f"I7: {what} is confirmed and not there")
        over = row.keep_until <= self.machines[letter.author].now()
        if row.state != "confirmed" and not letter.retracted and not over:
            self.break_(f"I3: {what} is {row.state}")
        if row.state == "expired" and not over:
            self.break_(f"I6: {what} expired early")
        if row.state == "retracted" and not letter.retracted:
            self.break_(f"I1: {what} was retracted by nobody")


def _short(message: bytes) -> str:
    return cids.show(message)[-8:]


def _count(body: bytes) -> int:
    from node.encoding import cbor

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
