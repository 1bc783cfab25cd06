"""What every service stands on: the ports, the configuration, and two bells."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from node import limits
from node.config import Config
from node.crypto import tokens
from node.encoding import cid as cids
from node.encoding import names
from node.encoding import origin as origins
from node.encoding.cid import Cid
from node.errors import Absent, Damaged, DiskFull, WillcallError
from node.machines.rows import Owner, Peer
from node.objects.record import Endpoint
from node.ports import Clock, Database, Exchange, Files, Note, Randomness, Tables, Threads
from node.services.calm import Calm
from node.services.history import History
from node.units import Instant, Key, Millis

T = TypeVar("T")

LONGEST_SLEEP = 300.0
"""Seconds; a wall clock that was set is noticed after this."""


def silent(event: str, /, **facts: object) -> None:
    """`ports.Note` for whoever does not listen."""


def endless() -> int:
    """A disk that never fills, for whoever has none."""
    return limits.INTEGER


class Inline:
    """`ports.Threads` for whoever has none: it is done at once."""

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work()`."""
        await trio.lowlevel.checkpoint()
        return work()


def short(name: Key | Cid) -> str:
    """The last characters of a key's or a message's name, which stand for it in a line."""
    return (cids.show(name) if isinstance(name, Cid) else names.did(name))[-8:]


class Tally:
    """How often something happened since the node started, by kind and word.

    Words may be a peer's: each kind has room for so many, and all further ones are `other`.
    """

    MOST = 48

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def add(self, kind: str, word: str) -> None:
        """Once more."""
        words = self._counts.setdefault(kind, Counter())
        words[word if word in words or len(words) < self.MOST else "other"] += 1

    def of(self, kind: str) -> dict[str, int]:
        """The counts of a kind, by word."""
        return dict(sorted(self._counts.get(kind, {}).items()))

    def counted(self, kind: str, told: Note) -> Note:
        """`told`, and each event counted."""

        def tell(event: str, /, **facts: object) -> None:
            self.add(kind, event)
            told(event, **facts)

        return tell


class Expected:
    """A call that somebody was asked to make.

    Attributes:
        came: set when it was made, from `source`.
    """

    def __init__(self, ticket: bytes) -> None:
        self.ticket, self.source = ticket, None
        self.came = trio.Event()

    source: str | None


class Probes:
    """Messages that are announced only to see who comes for them; see `services.probe`."""

    def __init__(self) -> None:
        self._expected: dict[Cid, Expected] = {}

    def expect(self, message: Cid, ticket: bytes) -> Expected:
        """From now on whoever shows the ticket is noted."""
        made = self._expected[message] = Expected(ticket)
        return made

    def forget(self, message: Cid) -> None:
        """It is over."""
        self._expected.pop(message, None)

    def came(self, message: Cid, ticket: bytes | None, source: str) -> bool:
        """Whether somebody was expected to ask for this, and has the ticket."""
        found = self._expected.get(message)
        if found is None or ticket is None or not tokens.equal(found.ticket, ticket):
            return False
        found.source = source
        found.came.set()
        return True


class Bell:
    """Wakes whoever waits: a hint only, the store is the truth.

    Args:
        longest: seconds after which it wakes by itself.
    """

    def __init__(self, longest: float = LONGEST_SLEEP) -> None:
        self._event, self._longest = trio.Event(), longest

    def ring(self) -> None:
        """Something may be due."""
        self._event.set()

    async def wait(self, pause: float) -> None:
        """Returns when it was rung, or after `pause` seconds."""
        event = self._event
        with trio.move_on_after(max(0.0, min(pause, self._longest))):
            await event.wait()
        # Only what was rung is renewed, and once: others may wait for the same event.
        if event.is_set() and self._event is event:
            self._event = trio.Event()


@dataclass(slots=True, kw_only=True)
class Core:
    """The ports of one node.

    Attributes:
        endpoints: where others reach this node, for its owners' records.
        outgoing, incoming: rung when something is owed to a peer, or wanted from one.
        arrivals: rung when mail has arrived.
        calm: whether something of a contact's is under way, and strangers stand back.
        polls: rung when an archive may be due.
        keeping: files that a task needs though no row does yet; files_lock: held to change it
            or to remove a file, so that the two can't cross.
        files_held: on the steady clock, until when no file is removed: a backup reads them.
        missed: peers that are silent where we knew them, for `seek`; missing: rung when one is.
        seeds: directories to begin with.
        drafting: keys of large messages that are being submitted now.
        room: bytes that are free on the disk.
        threads: where many signatures are made or checked.
        history: what happened to single messages, for `willcall log`.
        tally: what happened how often, for who watches the node.
        probes: calls that contacts were asked to make.
        latest: the latest time that anything went by since the sweeper looked.
        note, warn: called with a line for the operator; a warning is for somebody to mend.
    """

    db: Database
    files: Files
    clock: Clock
    randomness: Randomness
    exchange: Exchange
    config: Config
    endpoints: tuple[Endpoint, ...]
    outgoing: Bell = field(default_factory=Bell)
    incoming: Bell = field(default_factory=Bell)
    arrivals: Bell = field(default_factory=Bell)
    polls: Bell = field(default_factory=Bell)
    calm: Calm = field(default_factory=Calm)
    keeping: Counter[bytes] = field(default_factory=Counter)
    files_held: Millis = Millis(0)
    missing: Bell = field(default_factory=Bell)
    missed: set[tuple[Key, Key]] = field(default_factory=set)
    seeds: tuple[Endpoint, ...] = ()
    drafting: set[bytes] = field(default_factory=set)
    files_lock: trio.Lock = field(default_factory=trio.Lock)
    history: History = field(default_factory=History)
    tally: Tally = field(default_factory=Tally)
    probes: Probes = field(default_factory=Probes)
    room: Callable[[], int] = endless
    threads: Threads = field(default_factory=Inline)
    latest: Instant = Instant(0)
    note: Note = silent
    warn: Note = silent

    def miss(self, owner: Key, did: Key, silent: int) -> None:
        """A peer did not answer `silent` times in a row; a hint, given again with the next."""
        if silent >= limits.SEEK_AFTER and len(self.missed) < limits.SEEK_KEYS:
            self.missed.add((owner, did))
            self.missing.ring()

    def is_called_from(self, there: str) -> bool:
        """Whether a node at `there` could call us, as far as we know."""
        return self.config.network.inbound and origins.reaches(self.config.origin, there)

    def check_disk(self, size: int) -> None:
        """Raises DiskFull unless the disk has room for `size` more bytes of mail."""
        if (room := self.room()) < size + limits.DISK_LOW:
            raise DiskFull(
                f"the disk is full: {room:,} bytes are free, of which "
                f"{limits.DISK_LOW:,} are kept for receipts and deletions; nothing was stored",
                next="make room; it goes on by itself",
            )

    def followed(self, before: Peer, after: Peer) -> None:
        """Says that a contact goes on with another key, once that one is met."""
        if after.before is not None and after.met and not before.met:
            self.warn("contact-replaced", peer=short(after.did), was=short(after.before))

    def now(self) -> Instant:
        """The wall clock, to be read once for each fact."""
        now = self.clock.now()
        self.latest = max(self.latest, now)
        return now

    def jitter(self) -> float:
        """A number in [-1, 1)."""
        return self.randomness.fraction()


async def beginning(pieces: AsyncGenerator[bytes, None], most: int) -> bytes:
    """As many bytes of a message as are asked for; none where they are not here.

    Args:
        pieces: its bytes; they are let go of, however many were taken.
    """
    data = bytearray()
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                data += piece
                if len(data) >= most:
                    break
    except (Absent, Damaged):
        return b""
    await trio.lowlevel.checkpoint()  # a small message came without one: others have their turn
    return bytes(data[:most])


async def together(works: Iterable[Callable[[], Awaitable[None]]], at_once: int) -> None:
    """Does all of these, so many at the same time.

    Raises:
        WillcallError: the first of them; the others were done all the same.
    """
    failed: list[WillcallError] = []
    room = trio.CapacityLimiter(at_once)

    async def one(work: Callable[[], Awaitable[None]]) -> None:
        async with room:
            try:
                await work()
            except WillcallError as error:
                failed.append(error)

    async with trio.open_nursery() as nursery:
        for work in works:
            nursery.start_soon(one, work)
    if failed:
        raise failed[0]


def the_owner(tx: Tables, owner: Key) -> Owner:
    """The row of an owner that must be there."""
    row = tx.owners.get(owner)
    assert row is not None, "the owner was looked up before"
    return row


def secrets_of(owner: Owner) -> list[bytes]:
    """The sealing secrets to try on a box, newest first."""
    return [secret for secret, _ in owner.sealing]
