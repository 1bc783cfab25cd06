"""`GET health` and `GET metrics`: how the node is, for programs that watch it.

Metrics are Prometheus' text format. On the local listeners only: the public port has no such
call. Whatever label there is takes its values from a list that is ours and bounded.
"""

import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
import trio

from node.asgi import Traffic
from node.errors import StoreFailed
from node.limits import DISK_LOW
from node.localapi.call import Call, Handler
from node.ports import Process
from node.services import vitals
from node.services.node import Node
from node.services.vitals import Vitals
from node.units import SECOND

PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
PATIENCE = 5.0
"""Seconds until a store that has not answered is not well."""

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer that is not JSON, or not 200."""

    status: int
    kind: bytes
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a monitor is told beside what the node itself knows.

    Attributes:
        traffic: by listener: `public`, `socket`, `remote`.
        process: the system's facts; None: they are left out.
    """

    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    process: Callable[[], Process] | None = None


class MonitorCalls:
    """Health and metrics."""

    def __init__(self, node: Node, watched: Watched) -> None:
        self._node, self._core, self._watched = node, node.core, watched
        self._started = node.core.clock.steady()
        self.table: dict[str, Handler] = {
            "GET health": self._health,
            "GET metrics": self._metrics,
        }

    async def _health(self, call: Call) -> Told:
        """200 while mail can be taken and told; else 503. `problems` says what is wrong."""
        problems = [word async for word in self._problems()]
        document = {
            "ok": not problems,
            "problems": problems,
            "origin": self._core.config.origin,
            "uptime": self._uptime(),
        }
        status = 503 if problems else 200
        return Told(status, b"application/json", msgspec.json.encode(document))

    async def _problems(self) -> AsyncIterator[str]:
        with trio.move_on_after(PATIENCE) as patience:
            try:
                # Durable when it returns: so the committer and the disk are alive.
                await self._core.db.transact(lambda tx: tx.put_node(tx.node()))
            except StoreFailed as error:
                yield error.reason
        if patience.cancelled_caught:
            yield "store-silent"
        process = self._watched.process
        if process is not None and process().disk_free < DISK_LOW:
            yield "disk-low"

    def _uptime(self) -> int:
        return (self._core.clock.steady() - self._started) // SECOND

    async def _metrics(self, call: Call) -> Told:
        return Told(200, PROMETHEUS, "".join(self._lines()).encode())

    def _lines(self) -> Iterator[str]:
        yield from _of_node(vitals.look(self._core, self._node.sweeper), self._core.now())
        yield from _gauge("uptime_seconds", "since the node started", self._uptime())
        returned = self._node.sweeper.space.returned
        yield from _counter("disk_returned_bytes", "given back to the disk", returned)
        yield from self._of_tally()
        yield from _of_traffic(self._watched.traffic)
        if self._watched.process is not None:
            yield from _of_process(self._watched.process())

    def _of_tally(self) -> Iterator[str]:
        tally = self._core.tally
        for kind, name, help in TALLIES:
            samples = [((("reason", word),), count) for word, count in tally.of(kind).items()]
            yield from _family(name, "counter", help, samples)
        answers = [
            ((("state", state), ("reason", reason)), count)
            for word, count in tally.of("notifications").items()
            for state, _, reason in [word.partition(" ")]
        ]
        help = "notifications of others, by our answer"
        yield from _family("notifications_total", "counter", help, answers)


TALLIES = (
    ("problems", "problems_total", "calls of others that got a problem document, by its word"),
    ("unanswered", "unanswered_total", "rounds in which a peer was not reached, by why"),
    ("unserved", "unserved_total", "pickups that failed, by why"),
    ("warnings", "warnings_total", "warnings in the log, by their word"),
)


# --- families -----------------------------------------------------------------------------


def _of_node(row: Vitals, now: int) -> Iterator[str]:
    yield from _gauge("owners", "owners of this node", row.owners)
    used: list[Sample] = [((("by", word),), count) for word, count in row.used.items()]
    yield from _family("quota_used_bytes", "gauge", "of all owners, by what keeps them", used)
    yield from _gauge("quota_limit_bytes", "what all owners may use together", row.limit)
    yield from _gauge("owners_full", "owners whose quota has no room", row.full)
    yield from _gauge("sent_messages", "sent messages that are known", row.sent)
    yield from _counter("received_messages_total", "messages that ever came in", row.received)
    yield from _gauge("ring_slots", "slots that strangers hold", row.held)
    states: list[Sample] = [((("state", word),), count) for word, count in row.open.items()]
    help = f"that are not over, by state; counted up to {vitals.COUNTED}"
    yield from _family("deliveries_open", "gauge", help, states)
    oldest = 0 if row.oldest is None else max(0, now - row.oldest)
    yield from _gauge("oldest_open_seconds", "age of the oldest that is not over", oldest / SECOND)
    yield from _gauge("delivery_late_seconds", "how long a peer is due", row.late / SECOND)
    yield from _gauge("pickup_late_seconds", "the same, to fetch", row.pickup_late / SECOND)
    help = f"mail that waits at its senders; counted up to {vitals.COUNTED}"
    yield from _gauge("pickups_waiting", help, row.waiting)
    yield from _gauge("clock_believed", "1: the clock is; else nothing expires", row.clock_believed)
    for name, moment in (("backup", row.backed_up), ("verified_backup", row.verified)):
        help = "the moment that the newest one holds; 0: there is none"
        yield from _gauge(f"{name}_timestamp_seconds", help, moment / SECOND)


def _of_traffic(by: Mapping[str, Traffic]) -> Iterator[str]:
    def each(take: Callable[[Traffic], float]) -> list[Sample]:
        return [((("listener", name),), take(row)) for name, row in by.items()]

    help = "open now"
    yield from _family("connections", "gauge", help, each(lambda row: row.open))
    help = "closed unheard: too many in all, or of one network"
    yield from _family("connections_refused_total", "counter", help, each(lambda row: row.refused))
    help = "that met a bug; the log says more"
    yield from _family("requests_failed_total", "counter", help, each(lambda row: row.failed))
    answers = [
        ((("method", method), ("call", call), ("status", str(status))), float(count))
        for row in by.values()
        for (method, call, status), count in sorted(row.answers.items())
    ]
    yield from _family("requests_total", "counter", "calls of others, answered", answers)


def _of_process(row: Process) -> Iterator[str]:
    """By the names that other programs use for the same."""
    facts = (
        ("cpu_seconds_total", "counter", row.cpu),
        ("resident_memory_bytes", "gauge", row.memory),
        ("threads", "gauge", row.threads),
        ("open_fds", "gauge", row.descriptors),
        ("max_fds", "gauge", row.descriptors_most),
    )
    for name, kind, value in facts:
        if value is not None:
            yield from _family(name, kind, "of this process", [((), value)], prefix="process")
    yield from _gauge("disk_free_bytes", "where the home is", row.disk_free)
    yield from _gauge("disk_size_bytes", "where the home is", row.disk_size)


# --- text ---------------------------------------------------------------------------------


def _gauge(name: str, help: str, value: float) -> Iterator[str]:
    return _family(name, "gauge", help, [((), value)])


def _counter(name: str, help: str, value: float) -> Iterator[str]:
    return _family(name, "counter", help, [((), value)])


def _family(
    name: str, kind: str, help: str, samples: Iterable[Sample], prefix: str = "willcall"
) -> Iterator[str]:
    """One metric with its samples, in the text format 0.0.4."""
    whole = f"{prefix}_{name}"
    yield f"# HELP {whole} {help}\n# TYPE {whole} {kind}\n"
    for labels, value in samples:
        said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        yield f"{whole}{'{' + said + '}' if said else ''} {_number(value)}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))
