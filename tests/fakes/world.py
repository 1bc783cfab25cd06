"""Whole nodes in one process: real services and objects over memory engines and a fake net.

The network carries `ports.Request` from node to node by origin, and loses, doubles, delays
or cuts what it is told to. A node can crash (what was not written is gone) and come back.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from node.config import Capacity, Config, Network, Pickup, Retention
from node.encoding.cid import Cid
from node.errors import Unreachable
from node.machines.rows import Owner, Peer
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.services import meet, owners
from node.services import node as nodes
from node.services.node import Node
from node.services.submit import Terms
from node.store.committer import Committed
from node.store.memory import MemoryFiles, MemoryKv
from node.store.tables import TableStore
from node.units import ByteCount, Instant, Key, Millis
from tests.fakes.ports import FakeClock, FakeRandomness, InlineThreads


@dataclass
class Weather:
    """What the network does to calls; chances from 0 to 1, delays in seconds."""

    lose_request: float = 0.0
    lose_answer: float = 0.0
    double: float = 0.0
    delay: tuple[float, float] = (0.001, 0.01)
    cut: set[tuple[str, str]] = field(default_factory=set)


class FakeNet:
    """Carries calls between the machines of one world."""

    def __init__(self, seed: int) -> None:
        self.machines: dict[str, Machine] = {}
        self.weather = Weather()
        self.calls: list[tuple[str, str, str]] = []
        self._random = random.Random(seed)

    async def carry(
        self, source: str, endpoint: Endpoint, request: Request, limit: int, deadline: int
    ) -> Response:
        self.calls.append((source, endpoint.origin, request.path))
        await trio.sleep(self._random.uniform(*self.weather.delay))
        self._cut(source, endpoint.origin, self.weather.lose_request)
        answer = await self._deliver(source, endpoint.origin, request)
        if self._random.random() < self.weather.double:
            answer = await self._deliver(source, endpoint.origin, request)
        await trio.sleep(self._random.uniform(*self.weather.delay))
        self._cut(endpoint.origin, source, self.weather.lose_answer)
        if len(answer.body) > limit:
            raise Unreachable("too large an answer", reason="too-large-answer")
        return answer

    def _cut(self, source: str, to: str, chance: float) -> None:
        if (source, to) in self.weather.cut or self._random.random() < chance:
            raise Unreachable(f"{to} does not answer", reason="timeout")

    async def _deliver(self, source: str, to: str, request: Request) -> Response:
        machine = self.machines.get(to)
        if machine is None or machine.node is None:
            raise Unreachable(f"{to} refuses connections", reason="refused")
        life = machine.life
        answer = await machine.node.peers.answer(request, source.rpartition(":")[0])
        if machine.life != life:
            raise Unreachable(f"{to} went away", reason="gone-away")
        return answer


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
) -> Config:
    return Config(
        network=Network(listen=origin),
        pickup=Pickup(ask_over=ask_over),
        retention=Retention(sent=sent),
        capacity=Capacity(quota=quota, message=message),
    )


class Machine:
    """A node with its disk: it can be switched off, crash and come back."""

    def __init__(self, net: FakeNet, name: str, config: Config, seed: int) -> None:
        self.name, self.config = name, config
        self.net, self.origin = net, config.origin
        self.disk, self.files = MemoryKv(), MemoryFiles()
        self.clock, self.randomness = FakeClock(), FakeRandomness(seed)
        self.node: Node | None = None
        self.life = 0
        self.notes: list[str] = []
        self._scope: trio.CancelScope | None = None
        net.machines[self.origin] = self

    @property
    def on(self) -> Node:
        assert self.node is not None, f"{self.name} is off"
        return self.node

    async def live(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs until `crash`; what was not written by then is gone."""
        store = Committed(self.disk, InlineThreads())
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(store.run)
                db = TableStore(store)
                if not self.disk_has_node():
                    await self._found(db)
                node = nodes.make(
                    db=db,
                    files=self.files,
                    clock=self.clock,
                    randomness=self.randomness,
                    exchange=_Line(self.net, self.origin),
                    config=self.config,
                    note=self.notes.append,
                )
                await node.start((Endpoint(origin=self.origin),))
                self.node = node
                task_status.started()
                await node.run()

    def disk_has_node(self) -> bool:
        return self.disk.get(b"!node") is not None

    async def _found(self, db: TableStore) -> None:
        await owners.make(
            db,
            self.randomness,
            name=self.name,
            endpoints=(Endpoint(origin=self.origin),),
            now=self.clock.now(),
            quota=self.config.quota,
            found=True,
        )

    def crash(self) -> None:
        """Everything that is not on the disk is gone."""
        self.node = None
        self.life += 1
        if self._scope is not None:
            self._scope.cancel()

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
            return await self.on.submission.large(me, _chunks(content), len(content), options)
        return (await self.on.submission.small(me, [content], options))[0]

    def state(self, message: Cid, to: Key) -> str:
        me = self.owner().owner
        for row in self.on.core.db.read(lambda tx: list(tx.owners.scan())):
            got = self.on.core.db.read(
                lambda tx, row=row: tx.deliveries.get(row.owner, message, to)  # type: ignore[misc]
            )
            if got is not None:
                return str(got.state)
        raise AssertionError(f"no delivery of {message!r} by {me!r}")

    def inbox(self, owner: str | None = None) -> list[tuple[int, bytes, str]]:
        me = self.owner(owner).owner
        rows = self.on.core.db.read(lambda tx: list(tx.mails.by("shown", me)))
        return [(row.n, bytes(row.message), row.state) for row in rows]

    def now(self) -> Instant:
        return self.clock.now()


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 65_536):
        yield content[at : at + 65_536]


class World:
    """Machines by name on one network."""

    def __init__(self, nursery: trio.Nursery, seed: int) -> None:
        self.nursery, self.seed = nursery, seed
        self.net = FakeNet(seed)

    async def add(self, name: str, **options: str) -> Machine:
        number = len(self.net.machines) + 1
        config = config_of(f"127.0.0.{number}:4625", **options)
        machine = Machine(self.net, name, config, self.seed * 1000 + number)
        await self.nursery.start(machine.live)
        return machine

    async def back(self, machine: Machine) -> None:
        await self.nursery.start(machine.live)

    async def friends(self, a: Machine, b: Machine) -> None:
        """Both are contacts of each other."""
        await b.join(await a.invite())
        key = a.owner().owner
        await until(lambda: (row := b.peer(key)) is not None and row.met)


async def until(fact: Callable[[], bool], seconds: float = 3600.0) -> None:
    """Waits in virtual time until `fact` holds."""
    with trio.fail_after(seconds):
        while not fact():  # noqa: ASYNC110 (virtual time; a fact has no event)
            await trio.sleep(0.5)


@asynccontextmanager
async def world(seed: int = 1) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        yield World(nursery, seed)
        nursery.cancel_scope.cancel()
