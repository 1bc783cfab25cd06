"""One node: all services over one set of ports, and the tasks that run them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import trio

from node.config import Config
from node.errors import StoreFailed
from node.machines.rows import Owner
from node.objects.record import Endpoint
from node.ports import (
    Clock,
    Database,
    Exchange,
    Files,
    Note,
    Randomness,
    Reader,
    Shelf,
    Tables,
    Threads,
)
from node.services import meet, owners
from node.services.admit import Admission
from node.services.backup import Backups, Kept
from node.services.callback import CallBacks
from node.services.calls import Calls
from node.services.core import LONGEST_SLEEP, Bell, Core, Inline, Tally, endless, silent
from node.services.deliver import Deliverer
from node.services.desk import Desk
from node.services.directory import Directory
from node.services.evidence import Evidence, World
from node.services.find import Finder
from node.services.follow import Follower
from node.services.gate import Gate, Seen
from node.services.greet import Greeter
from node.services.hear import Hearing
from node.services.leave import Leaving
from node.services.meet import Introductions
from node.services.peerapp import Peers
from node.services.pickup import Collector
from node.services.post import Poster
from node.services.probe import Prober
from node.services.publish import Publisher
from node.services.readers import Doorman, Readers
from node.services.search import Search
from node.services.seek import Seeker, Teller
from node.services.serve import Serving
from node.services.strangers import Strangers
from node.services.submit import Submission
from node.services.sweep import EVERY, Sweeper
from node.services.switch import Switch
from node.units import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The services of one node, wired."""

    core: Core
    peers: Peers
    submission: Submission
    serving: Serving
    finder: Finder
    deliverer: Deliverer
    collector: Collector
    sweeper: Sweeper
    leaving: Leaving
    backups: Backups
    seeker: Seeker
    teller: Teller
    prober: Prober
    calls: Calls
    search: Search | None
    desk: Desk
    publisher: Publisher
    readers: Readers
    poster: Poster
    follower: Follower
    strangers: Strangers
    callbacks: CallBacks
    gate: Gate

    async def start(self) -> None:
        """What comes first: leftovers of a crash, records that say where we are, polls due."""
        await self.submission.clean()
        await self.leaving.finish()
        if self.search is not None:
            await self.search.clean()
        now = self.core.now()

        def work(tx: Tables) -> None:
            for row in list(tx.owners.scan()):
                moved = owners.moved(row, self.core.endpoints, now)
                tx.owners.put(moved)
                if moved != row:
                    meet.tell_record(tx, moved, now)
                _poll_contacts(tx, row, now)
            for slot in list(tx.held.scan()):
                if not slot.network and not slot.shown:
                    # The first release showed it at once: it is not hidden again.
                    tx.held.put(slot.but(shown=slot.received))
                elif not slot.shown and slot.call_at is None and self.strangers.answered_for(slot):
                    tx.held.put(slot.but(call_at=now))

        await self.core.db.transact(work)
        await self.publisher.say_where()

    async def run(self) -> None:
        """Runs all tasks until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.deliverer.run)
                nursery.start_soon(self.collector.run)
                nursery.start_soon(self.sweeper.run)
                nursery.start_soon(self.seeker.run)
                nursery.start_soon(self.teller.run)
                nursery.start_soon(self.follower.run)
                nursery.start_soon(self.poster.run)
                nursery.start_soon(self.strangers.run)
                nursery.start_soon(self.callbacks.run)
        finally:
            with suppress(StoreFailed):  # nothing of it is needed
                self.core.history.flush(self.core.db)


def _poll_contacts(tx: Tables, owner: Owner, now: Instant) -> None:
    """A node that starts asks its contacts what it missed."""
    named = [] if owner.heir is not None else list(tx.peers.by("named", owner.owner))
    for row in named:
        if row.met and not row.blocked and row.heir is None:
            tx.peers.put(row.but(poll_at=now, wake_at=now, silent=0))


def make(
    *,
    db: Database,
    files: Files,
    clock: Clock,
    randomness: Randomness,
    exchange: Exchange,
    config: Config,
    pin: bytes | None = None,
    note: Note = silent,
    warn: Note = silent,
    sweep_every: float = EVERY,
    look_every: float = LONGEST_SLEEP,
    kept: Kept = tuple,
    seeds: tuple[Endpoint, ...] = (),
    found_by: tuple[Shelf, Reader] | None = None,
    world: World | None = None,
    room: Callable[[], int] = endless,
    threads: Threads | None = None,
) -> Node:
    """The services of one node over these ports.

    Args:
        pin: of the certificate that is met at its origin; None: callers need none.
        sweep_every: seconds between sweeps.
        look_every: seconds after which a task that nobody wakes looks at the clock again.
        kept: the small files that belong into a backup.
        seeds: directories to begin with.
        found_by: what mail is found with; None: none is.
        world: whom to ask about strangers; None: nobody.
        room: bytes that are free on the disk.
        threads: where many signatures are made or checked; None: in line.
    """
    own = Endpoint(origin=config.origin, pin=pin)
    switch, tally = Switch(exchange, own), Tally()
    core = Core(
        db=db,
        files=files,
        clock=clock,
        randomness=randomness,
        exchange=switch,
        config=config,
        endpoints=(own,),
        outgoing=Bell(look_every),
        incoming=Bell(look_every),
        missing=Bell(look_every),
        note=note,
        seeds=seeds,
        warn=tally.counted("warnings", warn),
        room=room,
        threads=threads or Inline(),
        tally=tally,
    )
    calls = Calls(switch)
    strangers = Strangers(core, Evidence(core, calls, world or World()))
    gate = Gate(core)
    admission = Admission(core, strangers, gate, Seen())
    greeter = Greeter(core, calls)
    serving = Serving(core)
    directory, desk = Directory(core, calls), Desk(core, Doorman(core))
    introductions = Introductions(core, strangers, gate, Seen())
    peers = Peers(
        core, admission, Hearing(core, strangers), introductions, serving, directory, desk
    )
    switch.app = peers
    sweeper = Sweeper(core, sweep_every)
    publisher = Publisher(core, desk)
    return Node(
        core=core,
        peers=peers,
        submission=Submission(core),
        serving=serving,
        finder=Finder(core, calls),
        deliverer=Deliverer(core, calls, admission, greeter),
        collector=Collector(core, calls, greeter),
        sweeper=sweeper,
        leaving=Leaving(core, sweeper.space),
        backups=Backups(core, kept),
        seeker=Seeker(core, calls),
        search=None if found_by is None else Search(core, *found_by),
        teller=Teller(core, calls, look_every),
        desk=desk,
        publisher=publisher,
        readers=Readers(core, desk.changed),
        poster=Poster(core, publisher),
        prober=Prober(core, calls, greeter),
        strangers=strangers,
        gate=gate,
        callbacks=CallBacks(core, calls, strangers),
        calls=calls,
        follower=Follower(core, desk),
    )
