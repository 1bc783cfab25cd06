"""A whole node under load, to be killed or traced: real services, real LevelDB, real files.

Two owners of one node write to each other, so that every step of a message's life (sealed, told,
fetched, receipted) happens in this one process, on this one disk. What was acknowledged to
somebody is noted in a file beside the home, one line each, in one call to the system:

    made                    the home is whole
    ready                   the node runs
    sent CID                `send` returned
    seen OWNER N CID        the inbox showed it
    retracted CID           `retract` returned
    deleted OWNER N         `delete` is about to begin: it may be gone from here on
    done                    all that was asked for was tried

`python -m tests.crash.worker HOME NOTES SEED COUNT [FAULT]`
"""

import os
import random
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from node import homes
from node.encoding import cid as cids
from node.encoding import names
from node.errors import StoreFailed, Unreachable, WillcallError
from node.machines.rows import Owner
from node.objects.record import Endpoint
from node.ports import Request, Response, Tables
from node.services import meet, owners
from node.services import node as nodes
from node.services.mailbox import Mailbox
from node.services.node import Node
from node.services.submit import Terms, is_small
from node.store.lock import HomeLock
from node.system import SystemClock, SystemRandomness
from node.units import ByteCount, Millis
from tests.crash.faults import in_line, plant

SIZES = (0, 10, 300, 2_000, 9_000, 47_000, 60_000, 150_000)
"""Bytes of mail: on both sides of 48 KiB, where it becomes files."""
TASKS = 4


class Nowhere:
    """`ports.Exchange`: there is nobody else."""

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        raise Unreachable("nobody else is here", reason="no-connection")


class Notes:
    """What was acknowledged; a line is in the system's hands when `say` returns.

    By `writev`, which nothing else here uses: calls that are made to fail don't meet it.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *words: object) -> None:
        os.writev(self._fd, [" ".join(map(str, words)).encode() + b"\n"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is done, by chance of a seed; `count` messages, or endlessly.

    Attributes:
        refused: the disk may refuse; then the next message is tried.
        patience: seconds to wait, when all is sent, until nothing is owed.
        inline: the disk is waited for in the event loop: all calls are made by one thread.
    """

    seed: int
    count: int | None = None
    refused: bool = False
    sizes: Sequence[int] = SIZES
    patience: float = 5.0
    inline: bool = False


async def live(folder: Path, notes: Notes, load: Load) -> None:
    """Runs the node of a home, which is made when it is absent."""
    home = homes.Home(folder)
    if load.inline:
        in_line()
    if not home.config.exists():
        await homes.init(home, name="anna", listen=None, at=None)
        notes.say("made")
    with HomeLock(home.lock):
        async with homes.opened(home) as (db, files), trio.open_nursery() as nursery:
            await files.clean()
            node = nodes.make(
                db=db,
                files=files,
                clock=SystemClock(),
                randomness=SystemRandomness(),
                exchange=Nowhere(),
                config=home.load(),
                sweep_every=0.1,
            )
            await node.start()
            nursery.start_soon(node.run)
            await _friends(node)
            notes.say("ready")
            await _work(node, notes, load)
            notes.say("done")
            nursery.cancel_scope.cancel()


async def _friends(node: Node) -> None:
    """Anna and ben on this node, who know each other."""
    core, now = node.core, node.core.now()
    people = core.db.read(lambda tx: list(tx.owners.scan()))
    if len(people) == 1:
        await owners.make(
            core.db,
            core.randomness,
            name="ben",
            endpoints=core.endpoints,
            now=now,
            quota=core.config.quota,
        )
    anna, ben = (_owner(node, name) for name in ("anna", "ben"))
    if _known(node, anna, ben) and _known(node, ben, anna):
        return
    id = core.randomness.bytes(4)

    def work(tx: Tables) -> None:
        invite = meet.make_invite(tx, anna, id, 86_400_000, now)
        link = meet.print_link(tx, invite, core.config.origin)
        meet.add(tx, ben, meet.parse_link(link), None, now)

    await core.db.transact(work)
    core.outgoing.ring()
    await until(lambda: _known(node, anna, ben) and _known(node, ben, anna))


def _owner(node: Node, name: str) -> Owner:
    return node.core.db.read(lambda tx: owners.find(tx, name))


def _known(node: Node, owner: Owner, to: Owner) -> bool:
    row = node.core.db.read(lambda tx: tx.peers.get(owner.owner, to.owner))
    return row is not None and row.met


# --- the load ---------------------------------------------------------------------------


async def _work(node: Node, notes: Notes, load: Load) -> None:
    chance = random.Random(load.seed)
    each = None if load.count is None else -(-load.count // TASKS)
    async with trio.open_nursery() as watching:
        for name in ("anna", "ben"):
            watching.start_soon(_watch, node, notes, name, chance.randrange(1 << 30))
        async with trio.open_nursery() as sending:
            for _ in range(TASKS):
                seed = chance.randrange(1 << 30)
                sending.start_soon(_send, node, notes, load, random.Random(seed), each)
        if load.count is not None:
            with trio.move_on_after(load.patience):
                await _settled(node)
        watching.cancel_scope.cancel()


async def _send(
    node: Node, notes: Notes, load: Load, chance: random.Random, count: int | None
) -> None:
    while count is None or count > 0:
        count = None if count is None else count - 1
        try:
            await _one(node, notes, load, chance)
        except StoreFailed:
            if not load.refused:
                raise
        await trio.sleep(0 if chance.random() < 0.8 else chance.random() / 50)


async def _one(node: Node, notes: Notes, load: Load, chance: random.Random) -> None:
    who, to = chance.sample(["anna", "ben"], 2)
    owner, other = _owner(node, who), _owner(node, to)
    readers = chance.choice([(other.owner,), (other.owner,), (other.owner, owner.owner)])
    content = chance.randbytes(chance.choice(load.sizes) + chance.randrange(99))
    terms = Terms(to=readers)
    if is_small(len(content)):
        message = (await node.submission.small(owner, [content], terms))[0]
    else:
        async with aclosing(_pieces(content)) as pieces:
            message = await node.submission.large(owner, pieces, len(content), terms)
    notes.say("sent", cids.show(message))
    if chance.random() < 0.1:
        await Mailbox(node.core).retract(owner, cids.show(message))
        notes.say("retracted", cids.show(message))


async def _pieces(content: bytes) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(content), 30_000):
        yield content[at : at + 30_000]


async def _watch(node: Node, notes: Notes, name: str, seed: int) -> None:
    """Looks at an inbox as a person does, and deletes some of it."""
    chance, last, owner = random.Random(seed), 0, _owner(node, name)
    did = names.did(owner.owner)
    while True:
        fresh = node.core.db.read(
            lambda tx: [r for r in tx.mails.by("shown", owner.owner) if r.n > last]  # noqa: B023
        )
        try:
            await node.core.db.transact(lambda tx: None)
            for row in fresh:
                notes.say("seen", did, row.n, cids.show(row.message))
                if chance.random() < 0.1:
                    notes.say("deleted", did, row.n)
                    await Mailbox(node.core).delete(owner, [str(row.n)])
        except StoreFailed:
            await trio.sleep(0.01)  # shown again with the next look
            continue
        last = max([last, *(row.n for row in fresh)])
        await node.core.arrivals.wait(0.05)


async def _settled(node: Node) -> None:
    """Waits until nothing is owed any more."""

    def quiet() -> bool:
        def work(tx: Tables) -> bool:
            return not any(r.next_at is not None for r in tx.deliveries.scan())

        return node.core.db.read(work)

    await until(quiet)


async def until(fact: Callable[[], bool]) -> None:
    while not fact():  # noqa: ASYNC110  # rows don't say when they change
        await trio.sleep(0.002)


# --- as a process -----------------------------------------------------------------------


def run(
    folder: Path,
    notes: Path,
    load: Load,
    fault: str | None = None,
    *,
    go: Path | None = None,
    said: Path | None = None,
) -> int:
    """The exit code; 74 and words where the store ended the node.

    Args:
        fault: care that is not taken.
        go: once it `waits`, it does nothing before this file is there.
        said: where standard error goes.
    """
    told = Notes(notes)
    if said is not None:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT, 0o600), 2)
    if fault is not None:
        plant(fault)
    if go is not None:
        print("waits", file=sys.stderr, flush=True)
    while go is not None and not go.exists():
        time.sleep(0.002)
    return _ended(partial(trio.run, live, folder, told, load))


def process(*given: Any, **more: Any) -> None:
    """`run` as the whole of a process."""
    sys.exit(run(*given, **more))


def _ended(work: Callable[[], None]) -> int:
    ended: list[BaseException] = []
    try:
        work()
    except* WillcallError as group:
        ended = _leaves(group)
    for error in ended:
        print(f"ended: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    return 74 if ended else 0


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


if __name__ == "__main__":
    home, noted, seed, count, *fault = sys.argv[1:]
    sys.exit(run(Path(home), Path(noted), Load(seed=int(seed), count=int(count)), *fault))
