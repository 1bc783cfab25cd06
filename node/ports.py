"""What the services need from the world, as roles.

Adapters implement these; services know nothing else of them. A fake is another
implementation and passes the same conformance suite as the real one.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qs

from node import limits
from node.encoding.cid import Cid
from node.machines import rows
from node.objects.record import Endpoint
from node.policy.iprev import Answers
from node.units import ByteCount, Instant, Key, Millis

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)

DAG_CBOR = "application/vnd.ipld.dag-cbor"
RAW = "application/vnd.ipld.raw"
CARV1 = "application/vnd.ipld.car"
PROBLEM = "application/problem+json"


class Clock(Protocol):
    """Reads the wall clock, and one that never steps."""

    def now(self) -> Instant:
        """The wall clock."""
        ...

    def steady(self) -> Millis:
        """Milliseconds since some fixed moment; never goes back, never jumps."""
        ...


class Randomness(Protocol):
    """Gives random bytes and fractions."""

    def bytes(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        ...

    def fraction(self) -> float:
        """A number in [-1, 1), to move a pause with."""
        ...


class Note(Protocol):
    """Takes a line for the operator."""

    def __call__(self, event: str, /, **facts: object) -> None:
        """Logs `event`, a word, with facts of short names: no body, key or token."""
        ...


class Threads(Protocol):
    """Runs blocking work away from the event loop."""

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work()`; whatever it raises is raised here."""
        ...


class Tx(Protocol):
    """One atomic change over the ordered keys. Reads see its own writes and all earlier ones."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys in [start, stop) in order (last first when `reverse`), with their values."""
        ...

    def put(self, key: bytes, value: bytes) -> None:
        """Sets a value."""
        ...

    def delete(self, key: bytes) -> None:
        """Removes a key; absent is fine."""
        ...


class FrozenRows(Protocol):
    """The rows of a store as they were at one moment, all transactions whole."""

    def scan(self, start: bytes, stop: bytes) -> Generator[tuple[bytes, bytes], None, None]:
        """Keys in [start, stop) in order, with their values.

        Raises:
            StoreFailed: they are lost; begin again.
        """
        ...

    def close(self) -> None:
        """Lets go of them; until then what is deleted meanwhile stays on the disk."""
        ...


class Store(Protocol):
    """An ordered, durable, transactional store of bytes.

    `work` runs at once and to its end (it must not block or await), so what it read is
    still true when its writes enter. `transact` returns only when all that `work` read
    and wrote is durable: an answer that depends on a read must wait for it as well.
    When `work` raises, nothing of it is written.
    """

    def read(self, work: Callable[[Tx], T]) -> T:
        """Runs `work` for its result only; what it read may not be durable yet."""
        ...

    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Runs `work`, then waits until everything up to it is durable.

        Raises:
            StoreFailed: nothing of it was kept (DiskFull: try again when there is room).
        """
        ...

    def apply(self, work: Callable[[Tx], T]) -> T:
        """Runs `work` and writes with the next group, without waiting for the disk."""
        ...

    async def freeze(self) -> FrozenRows:
        """All that was written so far, durable. Close it.

        Raises:
            StoreFailed: it was not written.
        """
        ...

    async def compact(self, start: bytes, stop: bytes) -> None:
        """Gives the space of deleted keys in [start, stop) back to the disk.

        Raises:
            StoreFailed: it could not (DiskFull: that takes a little room itself).
        """
        ...


class Files(Protocol):
    """Large blocks, one file each, named by their CID."""

    async def keep(self, cid: bytes, block: bytes) -> None:
        """Durable when it returns; keeping it again is harmless."""
        ...

    async def read(self, cid: bytes) -> bytes:
        """The bytes, whose hash was checked. Absent when there is no such file."""
        ...

    async def drop(self, cid: bytes) -> ByteCount:
        """Removes the file; its bytes. Absent is fine: none."""
        ...

    async def names(self, fanout: int) -> list[Cid]:
        """The files whose CID ends with the byte `fanout`."""
        ...


def _unbounded(size: int) -> None:
    """For whoever counts no bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call to a peer. `ticket` travels as `Authorization: Willcall <base64url>`."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = DAG_CBOR
    ticket: bytes | None = None
    reading: bytes = b""
    """Who asks for a private archive: a signed `reading`, in the place of a ticket."""
    bad_ticket: bool = False
    """An Authorization header was there and is none of ours: never the same as no header."""
    if_none_match: str = ""
    """The strong entity tag that is here already; none: the whole answer is wanted."""
    accept: str = ""
    """The type that is asked for, where a call has several."""
    only: str | None = None
    """The one address that may be connected to, whatever the origin resolves to by now."""
    greeting: bool = False
    """Anybody may answer, over TLS too: the answer proves itself, held against `Response.pin`."""
    room: ByteCount = limits.CAR
    """How large the answer to a request for many blocks may be; one block is always given."""
    reserve: Callable[[int], None] = _unbounded
    """Is told how large an answer will be before it is made; RateLimited: there is no room."""

    @property
    def car(self) -> bool:
        """Whether a block and all under it are asked for: by `format`, else by `Accept`."""
        asked = parse_qs(self.path.partition("?")[2]).get("format", [""])[-1]
        return asked == "car" or (not asked and CARV1 in self.accept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back, whole."""

    status: int
    body: bytes = b""
    content_type: str = DAG_CBOR
    headers: tuple[tuple[str, str], ...] = ()
    pin: bytes | None = None
    """The SPKI SHA-256 of who answered a greeting. None: it was no TLS."""
    holds: Callable[[], bool] | None = None
    """Whether the same request would get the same answer now; None: nobody can say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What the system says of this process and its disk; None: it does not say."""

    memory: int | None
    """Bytes that are held."""
    cpu: float
    """Seconds of work since it began."""
    threads: int | None
    descriptors: int | None
    descriptors_most: int
    disk_free: int
    """Bytes that this user may still write where the home is."""
    disk_size: int


class Resolver(Protocol):
    """Asks the DNS. What it says is a value; nothing is raised."""

    async def addresses(self, host: str) -> Answers:
        """The A and AAAA records of a name, as addresses in their usual spelling."""
        ...

    async def names(self, address: str) -> Answers:
        """The PTR records of an address, as lower-case names without the last dot."""
        ...


class Exchange(Protocol):
    """Carries one request to a peer and brings the answer back."""

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        """The answer, of at most `limit` body bytes, within `deadline`.

        Raises:
            Unreachable: no whole answer came (nobody there, timed out, too large, redirected),
                or not from whom it was to come from (`tls-…`).
        """
        ...


class PeerApp(Protocol):
    """The node as its peers see it, whatever carries the call."""

    async def answer(self, request: Request, source: str) -> Response:
        """Answers one request that came from the address `source`. Never raises WillcallError."""
        ...


class Table(Protocol[R_co]):
    """Rows of one type under an ordered key; a row knows its own key.

    Key parts are bytes of fixed length or integers (8 bytes); a prefix of the parts selects
    all rows under it.
    """

    def get(self, *key: bytes | int) -> R_co | None:
        """The row, or None."""
        ...

    def called(self, alias: str, *value: bytes | int) -> R_co | None:
        """The one row whose alias is `value`, or None."""
        ...

    def put(self, row: Any) -> None:
        """Writes the row and its index entries."""
        ...

    def insert(self, row: Any) -> None:
        """The same for a row that is certainly new: nothing is read first."""
        ...

    def delete(self, row: Any) -> None:
        """Removes the row and its index entries."""
        ...

    def scan(
        self, *prefix: bytes | int, after: tuple[bytes | int, ...] = (), reverse: bool = False
    ) -> Iterator[R_co]:
        """Rows under `prefix` in key order, those after the key `after` (before, if reverse)."""
        ...

    def by(
        self,
        index: str,
        *prefix: bytes | int,
        until: int | None = None,
        after: int | None = None,
        behind: Any | None = None,
        reverse: bool = False,
    ) -> Iterator[R_co]:
        """Rows in the order of `index` under `prefix`.

        Args:
            index: its name.
            *prefix: leading parts of the index.
            until: only entries whose next part (an integer) is at most this.
            after: only entries whose next part is more than this.
            behind: only entries behind this row's, which may have changed since; it was in the
                index.
            reverse: last first.
        """
        ...


class Blocks(Protocol):
    """Stored blocks and how many rows need them."""

    def get(self, cid: bytes) -> rows.Block | None:
        """What is known of a block."""
        ...

    def data(self, block: rows.Block) -> bytes | None:
        """The bytes of a small block; None when they lie in a file, or are gone.

        Raises:
            Damaged: the bytes are not what they are named.
        """
        ...

    def add(
        self,
        cid: bytes,
        size: int,
        data: bytes | None,
        *,
        author: Key | None = None,
        message: Cid | None = None,
    ) -> None:
        """One more row needs the block. `data` is None when its file is kept already."""
        ...

    def drop(self, cid: bytes) -> ByteCount:
        """One row fewer needs it; with the last one its bytes go, its name stays.

        Returns:
            The bytes that go.
        """
        ...

    def forget(self, cid: bytes) -> None:
        """The name goes too."""
        ...

    def disown(self, cid: bytes) -> None:
        """Its author is nobody here any more: the name goes with the bytes."""
        ...


class Tables(Protocol):
    """All that is stored, inside one transaction."""

    owners: Table[rows.Owner]
    tokens: Table[rows.Token]
    accounts: Table[rows.Account]
    peers: Table[rows.Peer]
    sent: Table[rows.Sent]
    deliveries: Table[rows.Delivery]
    errands: Table[rows.Errand]
    mails: Table[rows.Mail]
    pickups: Table[rows.Pickup]
    withdrawn: Table[rows.Withdrawn]
    held: Table[rows.Held]
    standings: Table[rows.Standing]
    domains: Table[rows.Domain]
    promises: Table[rows.Promise]
    barred: Table[rows.Barred]
    vouches: Table[rows.Vouch]
    invites: Table[rows.Invite]
    pins: Table[rows.Pin]
    listed: Table[rows.Listed]
    drafts: Table[rows.Draft]
    chapters: Table[rows.Chapter]
    trash: Table[rows.Trash]
    archives: Table[rows.Archive]
    logs: Table[rows.Log]
    tiles: Table[rows.Tile]
    items: Table[rows.Item]
    blocks: Blocks

    def made(self, owner: Key, peer: Key) -> int:
        """How many rows an owner keeps because a peer said something, and no quota pays for.

        That is mail that is not here yet, mail that failed, and retractions. It is known, not
        counted when asked.
        """
        ...

    def node(self) -> rows.Node:
        """The node's own row."""
        ...

    def put_node(self, row: rows.Node) -> None:
        """Writes the node's own row."""
        ...


class FrozenTables(Protocol):
    """All that is stored, as it was at one moment, piece by piece; close it in the end."""

    def rows(self, after: bytes, size: int) -> list[tuple[bytes, bytes]]:
        """About `size` bytes of keys and values behind the key `after`, in order; none: the end.

        Raises:
            StoreFailed: it is lost; begin again.
        """
        ...

    def files(self, after: bytes) -> tuple[list[Cid], bytes | None]:
        """Some of the blocks that are files, from `after` on; and where to go on (None: the end).

        Raises:
            StoreFailed: it is lost; begin again.
        """
        ...

    def close(self) -> None:
        """Lets go of it; until then what is deleted meanwhile stays on the disk."""
        ...


class Database(Protocol):
    """`Store`, seen as tables."""

    def read(self, work: Callable[[Tables], T]) -> T:
        """Runs `work` for its result; what it read may not be durable yet."""
        ...

    async def transact(self, work: Callable[[Tables], T]) -> T:
        """Runs `work`; returns when all that it read and wrote is durable."""
        ...

    def apply(self, work: Callable[[Tables], T]) -> T:
        """Runs `work`; its writes become durable with the next group."""
        ...

    def take_dead(self) -> ByteCount:
        """Bytes of small blocks that were deleted since it was asked last."""
        ...

    async def compact(self, *, tables: bool = False) -> None:
        """Gives the space of small blocks that were deleted back to the disk.

        Args:
            tables: of all other rows as well.

        Raises:
            StoreFailed: it could not (DiskFull: that takes a little room itself).
        """
        ...

    async def freeze(self) -> FrozenTables:
        """All that was written so far, durable. Close it.

        Raises:
            StoreFailed: it was not written.
        """
        ...


class Words(NamedTuple):
    """What can be found of one message."""

    subject: str
    people: str
    body: str


class Listed(NamedTuple):
    """An attachment that is offered; `size` is None where its end was not looked at."""

    name: str
    type: str
    size: int | None


class Shown(NamedTuple):
    """A message as a page shows it. Every string is safe to print.

    Attributes:
        headers: by name, From to Subject.
        text: the readable parts.
        files: attachments, in their order.
        marks: what was odd, in half sentences.
        html: whether it has an HTML form.
    """

    headers: dict[str, str]
    text: str
    files: list[Listed]
    marks: list[str]
    html: bool


class File(NamedTuple):
    """An attachment: a name without folders, the type it claims, its bytes."""

    name: str
    type: str
    data: bytes


class Reader(Protocol):
    """Takes mail apart, where it can be killed. One question at a time."""

    async def words(self, content: bytes) -> Words | None:
        """What is in a message; None where it can't be taken apart in time.

        Raises:
            StoreFailed: nothing can be read now.
        """
        ...

    async def page(self, content: bytes) -> Shown | None:
        """How it looks; None and errors as for `words`."""
        ...

    async def html(self, content: bytes) -> str | None:
        """The markup of its HTML form, as hostile as it came; None as for `words`, or none."""
        ...

    async def file(self, content: bytes, number: int) -> File | None:
        """An attachment by its place, from 0; None as for `words`, or where there is none."""
        ...

    async def close(self) -> None:
        """Lets go of what it needs to read."""
        ...


class Hit(NamedTuple):
    """A message: its number in the inbox, or its order in sent mail; and its name."""

    sent: bool
    number: int
    message: bytes


class Entry(NamedTuple):
    """A message that is entered into an index, and when it came."""

    hit: Hit
    at: int
    words: Words


class Marks(NamedTuple):
    """How far an index came: the last message of the inbox, and of sent mail, that it looked at.

    `deleted` is the account's count when the index was begun; `entries` how many it has.
    """

    mail: int = 0
    mail_name: bytes = b""
    sent: int = 0
    sent_name: bytes = b""
    deleted: int = 0
    entries: int = 0


class Index(Protocol):
    """Words of one owner's mail. Derived from the store, and never believed without it.

    Every call may raise Damaged (throw it away: `clear`) and StoreFailed.
    """

    async def marks(self) -> Marks:
        """How far it came."""
        ...

    async def missing(self) -> list[int]:
        """Numbers of the inbox that were passed because their mail was not here yet."""
        ...

    async def add(
        self,
        entries: Sequence[Entry],
        marks: Marks,
        missing: Sequence[int] = (),
        found: Sequence[int] = (),
    ) -> None:
        """Enters messages, and how far that is; `missing` were passed, `found` are no more."""
        ...

    async def find(self, match: str, most: int) -> list[Hit]:
        """Where all of it is, newest first."""
        ...

    async def clear(self) -> None:
        """Throws everything away."""
        ...

    async def close(self) -> None:
        """Lets go of it until it is asked again."""
        ...


class Shelf(Protocol):
    """The indexes of a node."""

    def index(self, owner: str) -> Index:
        """The index of an owner."""
        ...

    async def keep(self, owners: Sequence[str]) -> None:
        """Removes the indexes of all others."""
        ...
