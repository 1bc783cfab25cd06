"""Which bytes every row lies under: the only file that knows keys.

    key   = table byte, 0x00, key parts
    index = table byte, index byte, index parts, key parts  →  (empty)

Parts are concatenated: bytes of fixed length as they are, integers as 8 bytes, big end
first. So a prefix of parts selects all below it, and integers sort as numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from node.machines import rows
from node.machines.outbox import PAUSED, is_open

R = TypeVar("R", bound=rows.Row)
Parts = tuple[bytes | int, ...]


def join(parts: Parts) -> bytes:
    """The bytes of some parts."""
    return b"".join(p.to_bytes(8, "big") if isinstance(p, int) else p for p in parts)


def stop_of(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix` (which holds a byte below 0xff)."""
    bare = prefix.rstrip(b"\xff")
    return bare[:-1] + bytes([bare[-1] + 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout(Generic[R]):
    """One table: its byte, its rows, their key, their indexes.

    Attributes:
        letter: the table's byte.
        row: the type of its rows.
        key: the parts of a row's key.
        indexes: name → (index byte, parts or None where the row is not in the index).
    """

    letter: bytes
    row: type[R]
    key: Callable[[R], Parts]
    indexes: Mapping[str, tuple[bytes, Callable[[R], Parts | None]]] = field(default_factory=dict)

    def primary(self, parts: Parts) -> bytes:
        """The key, or key prefix, of `parts`."""
        return self.letter + b"\x00" + join(parts)

    def index(self, name: str, parts: Parts) -> bytes:
        """The prefix of index `name` at `parts`."""
        return self.letter + self.indexes[name][0] + join(parts)

    def entries(self, row: R) -> set[bytes]:
        """All index keys of a row."""
        tail = join(self.key(row))
        made = ((byte, parts(row)) for byte, parts in self.indexes.values())
        return {self.letter + byte + join(p) + tail for byte, p in made if p is not None}


NODE = b"!node"
BODY = b"@"
"""Bytes of small blocks, under sequential numbers: the cheapest order for the engine."""


def body(seq: int) -> bytes:
    """Where the bytes of a small block lie."""
    return BODY + seq.to_bytes(8, "big")


def _due(row: Any) -> Parts | None:
    return None if row.next_at is None else (row.owner, row.to, row.next_at)


OWNERS = Layout(
    letter=b"O",
    row=rows.Owner,
    key=lambda r: (r.owner,),
    indexes={"order": (b"o", lambda r: (r.order,))},
)
ACCOUNTS = Layout(letter=b"A", row=rows.Account, key=lambda r: (r.owner,))
PEERS = Layout(
    letter=b"P",
    row=rows.Peer,
    key=lambda r: (r.owner, r.did),
    indexes={
        "wake": (b"w", lambda r: None if r.wake_at is None else (r.wake_at,)),
        "pickup": (b"p", lambda r: None if r.pickup_at is None else (r.pickup_at,)),
        "poll": (b"q", lambda r: None if r.poll_at is None else (r.poll_at,)),
        "named": (b"n", lambda r: None if r.name is None else (r.owner,)),
    },
)
SENT = Layout(
    letter=b"S",
    row=rows.Sent,
    key=lambda r: (r.owner, r.message),
    indexes={
        "order": (b"o", lambda r: (r.owner, r.order)),
        "grace": (
            b"g",
            lambda r: (r.grace_until,) if r.charge == "grace" and r.grace_until else None,
        ),
        "open": (b"w", lambda r: (r.owner, r.order) if r.open else None),
        "tail": (b"t", lambda r: (r.owner, r.message[-4:])),
    },
)
DELIVERIES = Layout(
    letter=b"D",
    row=rows.Delivery,
    key=lambda r: (r.owner, r.message, r.to),
    indexes={
        "due": (b"d", _due),
        "open": (b"o", lambda r: (r.owner, r.to, r.stamp) if is_open(r) else None),
        "paused": (b"p", lambda r: (r.owner, r.to) if r.state in PAUSED else None),
        "until": (b"u", lambda r: (r.keep_until,) if is_open(r) else None),
        "ticket": (b"t", lambda r: (r.ticket,)),
        "received": (
            b"r",
            lambda r: None if r.receipted is None else (r.owner, r.to, r.receipted),
        ),
    },
)
ERRANDS = Layout(
    letter=b"E",
    row=rows.Errand,
    key=lambda r: (r.owner, r.to, r.kind.encode()[:7].ljust(7), r.message),
    indexes={"due": (b"d", _due)},
)
MAILS = Layout(
    letter=b"M",
    row=rows.Mail,
    key=lambda r: (r.owner, r.n),
    indexes={
        "message": (b"m", lambda r: (r.owner, r.message, r.sender)),
        "shown": (b"s", lambda r: None if r.state == "deleted" else (r.owner, r.n)),
        "tail": (b"t", lambda r: (r.owner, r.message[-4:])),
    },
)
PICKUPS = Layout(
    letter=b"W",
    row=rows.Pickup,
    key=lambda r: (r.owner, r.sender, r.message),
    indexes={
        "due": (
            b"d",
            lambda r: None if r.next_at is None else (r.owner, r.sender, r.next_at),
        ),
        "full": (b"f", lambda r: (r.owner,) if r.reason == "over-quota" else None),
        "until": (b"u", lambda r: (r.keep_until,)),
    },
)
WITHDRAWN = Layout(
    letter=b"X",
    row=rows.Withdrawn,
    key=lambda r: (r.owner, r.sender, r.message),
    indexes={"until": (b"u", lambda r: (r.until,))},
)
HELD = Layout(
    letter=b"H",
    row=rows.Held,
    key=lambda r: (r.owner, r.sender),
    indexes={"n": (b"n", lambda r: (r.owner, r.n))},
)
INVITES = Layout(
    letter=b"I",
    row=rows.Invite,
    key=lambda r: (r.owner, r.id),
    indexes={"until": (b"u", lambda r: (r.expires,))},
)
BLOCKS = Layout(letter=b"B", row=rows.Block, key=lambda r: (r.cid,))
DRAFTS = Layout(letter=b"F", row=rows.Draft, key=lambda r: (r.owner, r.key))
TRASH = Layout(letter=b"T", row=rows.Trash, key=lambda r: (r.cid,))
