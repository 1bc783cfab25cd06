"""Whole nodes in one process: real services and objects over memory engines and a fake net.

The network carries `ports.Request` from node to node by origin, and loses, doubles, delays
or cuts what it is told to. A node can crash (what was not written is gone) and come back.
"""

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
import trio

from node.config import Capacity, Config, Directory, Discovery, Network, Pickup, Retention
from node.encoding.cid import Cid
from node.errors import StoreFailed, Unreachable
from node.machines.rows import Owner, Peer
from node.objects.record import Endpoint
from node.policy import rdap
from node.ports import Request, Response
from node.services import evidence, meet, owners
from node.services import node as nodes
from node.services.awaken import awaken
from node.services.core import LONGEST_SLEEP
from node.services.node import Node
from node.services.submit import Terms
from node.store.committer import Committed
from node.store.memory import MemoryFiles, MemoryKv
from node.store.tables import TableStore
from node.units import ByteCount, Instant, Key, Millis
from tests.fakes.audit import Audit
from tests.fakes.failing import FailingKv, full_disk
from tests.fakes.ports import (
    FakeClock,
    FakeRandomness,
    FakeResolver,
    InlineThreads,
    noted,
    registrable,
)

T = TypeVar("T")


@dataclass
class Weather:
    """What the network does to calls; chances from 0 to 1, delays in seconds.

    `double`: it arrives twice at once; `late`: a copy arrives again after `late_by`. `cut`: one
    way between two; `behind`: they call others, and nobody can call them.
    """

    lose_request: float = 0.0
    lose_answer: float = 0.0
    double: float = 0.0
    late: float = 0.0
    late_by: tuple[float, float] = (1.0, 3600.0)
    delay: tuple[float, float] = (0.001, 0.01)
    cut: set[tuple[str, str]] = field(default_factory=set)
    behind: set[str] = field(default_factory=set)


Loss = Callable[[str, str, Request, Unreachable], None]
"""Sees every call that got no answer: source, destination, call, why."""
Watcher = Callable[[str, str, Request, Response], None]
"""Sees every answer as it leaves its node: source, destination, call, answer."""


class FakeNet:
    """Carries calls between the machines of one world."""

    def __init__(self, nursery: trio.Nursery, seed: int) -> None:
        self.machines: dict[str, Machine] = {}
        self.weather = Weather()
        self.calls: list[tuple[str, str, str]] = []
        self.dns = FakeResolver()
        self.registry: str | None = None
        self.watchers: list[Watcher] = []
        self.losses: list[Loss] = []
        self._nursery = nursery
        self._random = random.Random(seed)

    async def carry(
        self, source: str, endpoint: Endpoint, request: Request, limit: int, deadline: int
    ) -> Response:
        try:
            return await self._carry(source, endpoint, request, limit, deadline)
        except Unreachable as error:
            for lost in self.losses:
                lost(source, endpoint.origin, request, error)
            raise

    async def _carry(
        self, source: str, endpoint: Endpoint, request: Request, limit: int, deadline: int
    ) -> Response:
        to = endpoint.origin
        self.calls.append((source, to, request.path))
        if to in self.weather.behind:
            await trio.sleep(deadline / 1000)
            raise Unreachable(f"{to} does not answer", reason="timeout")
        await self._travel(source, to, self.weather.lose_request, deadline)
        if request.only is not None and request.only not in self.addresses(to):
            raise Unreachable(f"{to} is not at {request.only}", reason="guarded")
        self._meet(endpoint, request)
        answer = await self.deliver(source, to, request)
        if self._random.random() < self.weather.double:
            answer = await self.deliver(source, to, request)
        if self._random.random() < self.weather.late:
            self._nursery.start_soon(self._again, source, to, request)
        await self._travel(to, source, self.weather.lose_answer, deadline)
        if len(answer.body) > limit:
            raise Unreachable("too large an answer", reason="too-large-answer")
        return answer

    def addresses(self, origin: str) -> tuple[str, ...]:
        """Where packets for an origin go, and come from."""
        host = origin.rpartition(":")[0]
        return self.dns.hosts.get(host, (host,))

    def _meet(self, endpoint: Endpoint, request: Request) -> None:
        """TLS, where it is spoken: what a client says to another certificate."""
        machine = self.machines.get(endpoint.origin)
        pin = None if machine is None else machine.pin
        if pin is None or request.greeting or endpoint.pin == pin:
            return
        reason = "tls-untrusted" if endpoint.pin is None else "tls-pin"
        raise Unreachable(f"{endpoint.origin} shows another certificate", reason=reason)

    async def _again(self, source: str, to: str, request: Request) -> None:
        """A copy that was on its way all the time; nobody waits for its answer."""
        await trio.sleep(self._random.uniform(*self.weather.late_by))
        with suppress(Unreachable):
            await self.deliver(source, to, request)

    async def _travel(self, source: str, to: str, lost: float, deadline: int) -> None:
        """One way; what is lost is noticed by the deadline only."""
        if self._random.random() < lost:
            await trio.sleep(deadline / 1000)
            raise Unreachable(f"{to} does not answer", reason="timeout")
        await trio.sleep(self._random.uniform(*self.weather.delay))
        if (source, to) in self.weather.cut:
            raise Unreachable(f"{to} does not answer", reason="timeout")

    async def deliver(self, source: str, to: str, request: Request) -> Response:
        machine = self.machines.get(to)
        if machine is None or machine.node is None:
            raise Unreachable(f"{to} refuses connections", reason="no-connection")
        life = machine.life
        answer = await machine.node.peers.answer(request, self.addresses(source)[0])
        if machine.life != life:
            raise Unreachable(f"{to} went away", reason="gone-away")
        for watch in self.watchers:
            watch(source, to, request, answer)
        return replace(answer, pin=machine.pin) if request.greeting else answer


@dataclass
class _Line:
    """`ports.Exchange` of one machine."""

    net: FakeNet
    origin: str

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        return await self.net.carry(self.origin, endpoint, request, limit, deadline)


def config_of(
    origin: str,
    *,
    ask_over: str = "10MiB",
    sent: str = "keep",
    quota: str = "5GiB",
    message: str = "64MiB",
    inbound: bool = True,
    directory: Directory | None = None,
    discovery: Discovery | None = None,
) -> Config:
    return Config(
        network=Network(listen=origin, inbound=inbound),
        pickup=Pickup(ask_over=ask_over),
        retention=Retention(sent=sent),
        capacity=Capacity(quota=quota, message=message),
        directory=directory or Directory(),
        discovery=discovery or Discovery(),
    )


class _Files:
    """The files of one life: a task that outlives its node writes no more.

    Each file takes a moment, so that a crash can come in between.
    """

    def __init__(self, machine: "Machine") -> None:
        self._machine, self._life = machine, machine.life

    async def _moment(self) -> None:
        await trio.sleep(self._machine.moment())
        if self._machine.life != self._life:
            raise StoreFailed("the machine is off")

    async def keep(self, cid: bytes, block: bytes) -> None:
        await self._moment()
        if self._machine.kv.full:
            raise full_disk()
        await self._machine.files.keep(cid, block)

    async def read(self, cid: bytes) -> bytes:
        await self._moment()
        return await self._machine.files.read(cid)

    async def drop(self, cid: bytes) -> ByteCount:
        await self._moment()
        return await self._machine.files.drop(cid)

    async def names(self, fanout: int) -> list[Cid]:
        return await self._machine.files.names(fanout)


class _Threads:
    """The disk of one life: a write takes a moment before and after it is done."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine

    async def run(self, work: Callable[[], T]) -> T:
        await trio.sleep(self._machine.moment())
        made = work()
        await trio.sleep(self._machine.moment())
        return made


class Machine:
    """A node with its disk: it can be switched off, crash and come back.

    Attributes:
        disk: what is written; kv: the same, and fails when it is told to.
        pin: of the certificate it shows; None: it speaks plain HTTP.
        phrase: the first owner's 24 words; recover: those it begins again from.
        slow: seconds that a write may take at most, before and after it is done.
        sweeps: seconds between sweeps.
        looks: seconds after which a task that nobody wakes looks at the clock again.
    """

    def __init__(self, net: FakeNet, name: str, config: Config, seed: int) -> None:
        self.name, self.config = name, config
        self.net, self.origin = net, config.origin
        self.disk, self.files = MemoryKv(), MemoryFiles()
        self.kv = FailingKv(self.disk)
        self.clock, self.randomness = FakeClock(), FakeRandomness(seed)
        self.node: Node | None = None
        self.life = 0
        self.pin: bytes | None = None
        self.slow, self.sweeps, self.looks = 0.0, 60.0, LONGEST_SLEEP
        self.seeds: tuple[Endpoint, ...] = ()
        self.notes: list[str] = []
        self.phrase: str | None = None
        self.recover: str | None = None
        self._random = random.Random(seed)
        self._scope: trio.CancelScope | None = None
        self._over = trio.Event()
        net.machines[self.origin] = self

    @property
    def on(self) -> Node:
        assert self.node is not None, f"{self.name} is off"
        return self.node

    def moment(self) -> float:
        return self._random.uniform(0, self.slow) if self.slow else 0.0

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until `crash`; what was not written by then is gone."""
        self._over = trio.Event()
        store = Committed(self.kv, _Threads(self))
        try:
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(store.run)
                    await self._boot(TableStore(store), task_status)
        finally:
            self._over.set()

    async def _boot(self, db: TableStore, task_status: trio.TaskStatus[None]) -> None:
        if not self.disk_has_node():
            await self._found(db)
        node = nodes.make(
            db=db,
            files=_Files(self),
            clock=self.clock,
            randomness=self.randomness,
            exchange=_Line(self.net, self.origin),
            config=self.config,
            pin=self.pin,
            note=noted(self.notes),
            warn=noted(self.notes),
            sweep_every=self.sweeps,
            look_every=self.looks,
            seeds=self.seeds,
            world=evidence.World(
                resolver=self.net.dns,
                registrable=registrable,
                registry=None
                if self.net.registry is None
                else rdap.Registry(at=self.net.registry, base="/"),
            ),
        )
        await node.start()
        self.node = node
        task_status.started()
        await node.run()

    def disk_has_node(self) -> bool:
        return self.disk.get(b"!node") is not None

    async def _found(self, db: TableStore) -> None:
        made = await owners.make(
            db,
            self.randomness,
            name=self.name,
            endpoints=(Endpoint(origin=self.origin, pin=self.pin),),
            now=self.clock.now(),
            quota=self.config.quota,
            found=True,
            recover=self.recover,
        )
        self.phrase = made.phrase or self.recover

    def crash(self) -> None:
        """Everything that is not on the disk is gone."""
        self.node = None
        self.life += 1
        if self._scope is not None:
            self._scope.cancel()

    async def gone(self) -> None:
        """The last life is over."""
        await self._over.wait()

    async def flushed(self) -> None:
        """Everything that was written so far is on the disk."""
        await self.on.core.db.transact(lambda tx: None)

    async def settled(self) -> None:
        """Nobody stands on the doorstep: what strangers sent was looked at."""
        while self.node is not None and self.on.strangers.doorstep:  # noqa: ASYNC110  # no event
            await trio.sleep(0.01)

    async def complaints(self, *, resting: bool = True) -> list[str]:
        """What an audit of the disk finds."""
        if self.node is not None:
            await self.flushed()
        return Audit(self.disk, self.files, self.now(), resting=resting).complaints()

    async def restore(self, disk: MemoryKv, files: MemoryFiles, memory: int) -> None:
        """The machine is off; its disk becomes an old copy, as it was at `memory`, and awakes."""
        self.disk, self.files = disk.copy(), files.copy()
        self.kv = FailingKv(self.disk)
        store = Committed(self.disk, InlineThreads())
        async with trio.open_nursery() as nursery:
            await nursery.start(store.run)
            db, now = TableStore(store), self.clock.now()
            await db.transact(lambda tx: awaken(tx, Instant(memory), now))
            nursery.cancel_scope.cancel()

    async def another(self, name: str) -> Owner:
        """A second owner on the same node."""
        made = await owners.make(
            self.on.core.db,
            self.randomness,
            name=name,
            endpoints=(Endpoint(origin=self.origin, pin=self.pin),),
            now=self.clock.now(),
            quota=self.config.quota,
        )
        return made.owner

    # --- what a person does --------------------------------------------------------------

    def owner(self, name: str | None = None) -> Owner:
        return self.on.core.db.read(lambda tx: owners.find(tx, name))

    def peer(self, did: Key) -> Peer | None:
        me = self.owner().owner
        return self.on.core.db.read(lambda tx: tx.peers.get(me, did))

    async def invite(self, owner: str | None = None) -> str:
        core = self.on.core
        id, now = core.randomness.bytes(4), core.now()

        def work(tx: object) -> str:
            row = meet.make_invite(tx, owners.find(tx, owner), id, 7 * 86_400_000, now)  # type: ignore[arg-type]
            return meet.print_link(tx, row, self.origin)  # type: ignore[arg-type]

        return await core.db.transact(work)

    async def join(self, link: str, owner: str | None = None) -> Peer:
        core = self.on.core
        now = core.now()
        row = await core.db.transact(
            lambda tx: meet.add(tx, owners.find(tx, owner), meet.parse_link(link), None, now)
        )
        core.outgoing.ring()
        return row

    async def send(
        self, to: list[Key], content: bytes, *, owner: str | None = None, **terms: int
    ) -> Cid:
        me = self.owner(owner)
        options = Terms(to=tuple(to), **terms)  # type: ignore[arg-type]
        if len(content) > 40_000:
            async with aclosing(_chunks(content)) as chunks:
                return await self.on.submission.large(me, chunks, len(content), options)
        return (await self.on.submission.small(me, [content], options))[0]

    def state(self, message: Cid, to: Key) -> str:
        for row in self.on.core.db.read(lambda tx: list(tx.owners.scan())):
            got = self.on.core.db.read(
                lambda tx, row=row: tx.deliveries.get(row.owner, message, to)  # type: ignore[misc]
            )
            if got is not None:
                return str(got.state)
        raise AssertionError(f"no delivery of {message!r}")

    def inbox(self, owner: str | None = None) -> list[tuple[int, bytes, str]]:
        me = self.owner(owner).owner
        rows = self.on.core.db.read(lambda tx: list(tx.mails.by("shown", me)))
        return [(row.n, bytes(row.message), row.state) for row in rows]

    def now(self) -> Instant:
        return self.clock.now()


async def _chunks(content: bytes) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(content), 65_536):
        yield content[at : at + 65_536]


class World:
    """Machines by name on one network."""

    def __init__(self, nursery: trio.Nursery, seed: int) -> None:
        self.nursery, self.seed = nursery, seed
        self.seeds: tuple[Endpoint, ...] = ()
        self.net = FakeNet(nursery, seed)

    async def add(
        self,
        name: str,
        *,
        sweeps: float = 60.0,
        looks: float = LONGEST_SLEEP,
        pin: bytes | None = None,
        **options: Any,
    ) -> Machine:
        number = len(self.net.machines) + 1
        config = config_of(f"127.0.0.{number}:4625", **options)
        machine = Machine(self.net, name, config, self.seed * 1000 + number)
        machine.sweeps, machine.looks = sweeps, looks
        machine.pin, machine.seeds = pin, self.seeds
        await self.nursery.start(machine.live)
        return machine

    async def again(self, machine: Machine) -> Machine:
        """The machine, which is off, is gone for good; its owner begins again with the phrase."""
        number = len(self.net.machines) + 1
        self.net.machines[f"gone {machine.origin}"] = self.net.machines.pop(machine.origin)
        network = msgspec.structs.replace(machine.config.network, listen=f"127.0.0.{number}:4625")
        config = msgspec.structs.replace(machine.config, network=network)
        made = Machine(self.net, machine.name, config, self.seed * 1000 + number)
        made.recover, made.clock = machine.phrase, machine.clock
        await self.nursery.start(made.live)
        return made

    async def back(self, machine: Machine) -> None:
        await machine.gone()
        await self.nursery.start(machine.live)

    def move(self, machine: Machine, origin: str) -> None:
        """A machine that is off will come back elsewhere."""
        del self.net.machines[machine.origin]
        network = msgspec.structs.replace(machine.config.network, listen=origin)
        machine.config = msgspec.structs.replace(machine.config, network=network)
        machine.origin = origin
        self.net.machines[origin] = machine

    async def off(self, machine: Machine) -> None:
        machine.crash()
        await machine.gone()

    async def friends(self, a: Machine, b: Machine) -> None:
        """Both are contacts of each other."""
        await b.join(await a.invite())
        key = a.owner().owner
        await until(lambda: (row := b.peer(key)) is not None and row.met)

    async def audit(self) -> None:
        """Raises AssertionError unless everything stored agrees with itself."""
        for machine in self.net.machines.values():
            found = await machine.complaints(resting=False)
            assert not found, (machine.name, found)


async def until(fact: Callable[[], bool], seconds: float = 3600.0) -> None:
    """Waits in virtual time until `fact` holds."""
    pause = 0.5
    with trio.fail_after(seconds):
        while not fact():
            await trio.sleep(pause)
            pause = min(60.0, pause * 1.02)


@asynccontextmanager
async def world(seed: int = 1) -> AsyncIterator[World]:
    """A world; in the end every machine that is on passes an audit."""
    async with trio.open_nursery() as nursery:
        made = World(nursery, seed)
        yield made
        await made.audit()
        nursery.cancel_scope.cancel()
