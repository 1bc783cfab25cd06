"""Which bytes every row lies under: the only file that knows keys.

    key   = table byte, 0x00, key
    index = table byte, index byte, entry, key  →  (empty)
    alias = table byte, alias byte, alias       →  key
    count = "#", owner, peer                    →  how many rows an owner keeps because of a peer

Keys and entries are parts joined: bytes of fixed length as they are, integers as 8 bytes, big
end first. So a prefix of parts selects all below it, and integers sort as numbers.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, TypeVar

from node.limits import INTEGER
from node.machines import rows
from node.machines.outbox import PAUSED, is_open

R = TypeVar("R", bound=rows.Row)
Parts = tuple[bytes | int, ...]

u64 = struct.Struct(">Q").pack
"""An integer as 8 bytes, which sort as the number does."""


def join(parts: Parts) -> bytes:
    """The bytes of some parts."""
    return b"".join([u64(p) if isinstance(p, int) else p for p in parts])


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
        width: bytes of a row's key, with which each of its index entries ends.
        key: a row's key.
        indexes: name → (index byte, the entry or None where the row is not in the index).
        aliases: name → (alias byte, another key of the row that no other row has).
        maker: owner and peer, where the row is there because that peer said something, and is paid
            by nobody's quota; such rows are counted.
    """

    letter: bytes
    row: type[R]
    width: int
    key: Callable[[R], bytes]
    indexes: Mapping[str, tuple[bytes, Callable[[R], bytes | None]]] = field(default_factory=dict)
    aliases: Mapping[str, tuple[bytes, Callable[[R], bytes]]] = field(default_factory=dict)
    maker: Callable[[R], bytes | None] | None = None

    def primary(self, key: bytes) -> bytes:
        """The key, or key prefix, in the store."""
        return self.letter + b"\x00" + key

    def index(self, name: str, parts: Parts) -> bytes:
        """The prefix of index `name` at `parts`."""
        return self.letter + self.indexes[name][0] + join(parts)

    def alias(self, name: str, value: bytes) -> bytes:
        """Where alias `name` of a row is `value`."""
        return self.letter + self.aliases[name][0] + value

    def entry(self, name: str, row: R) -> bytes:
        """A row's own entry in index `name`, which it is in."""
        return self.index(name, (self.indexes[name][1](row) or b"", self.key(row)))

    def entries(self, row: R) -> dict[bytes, bytes]:
        """All that is written beside the row, so that it is found: key → value."""
        letter, key = self.letter, self.key(row)
        made: dict[bytes, bytes] = {}
        for byte, entry in self.indexes.values():
            found = entry(row)
            if found is not None:
                made[letter + byte + found + key] = b""
        for byte, alias in self.aliases.values():
            made[letter + byte + alias(row)] = key
        return made


NODE = b"!node"
END = b"\x7f"
"""Behind every key: they begin with a letter, or one of `!`, `#` and `@`."""
BODY = b"@"
"""Bytes of small blocks, under sequential numbers: the cheapest order for the engine."""


MADE = b"#"
"""Of each owner and peer, how many rows there are with that `maker`; none: no key."""


def body(seq: int) -> bytes:
    """Where the bytes of a small block lie."""
    return BODY + seq.to_bytes(8, "big")


def _due(row: Any) -> bytes | None:
    return None if row.next_at is None else row.owner + row.to + u64(row.next_at)


OWNERS = Layout(
    letter=b"O",
    row=rows.Owner,
    width=32,
    key=lambda r: r.owner,
    indexes={"order": (b"o", lambda r: u64(r.order))},
)
TOKENS = Layout(
    letter=b"K",
    row=rows.Token,
    width=36,
    key=lambda r: r.owner + r.id,
    aliases={"digest": (b"d", lambda r: r.digest)},
)
ACCOUNTS = Layout(letter=b"A", row=rows.Account, width=32, key=lambda r: r.owner)
PEERS = Layout(
    letter=b"P",
    row=rows.Peer,
    width=64,
    key=lambda r: r.owner + r.did,
    indexes={
        "wake": (b"w", lambda r: None if r.wake_at is None else u64(r.wake_at)),
        "pickup": (b"p", lambda r: None if r.pickup_at is None else u64(r.pickup_at)),
        "named": (b"n", lambda r: None if r.name is None else r.owner),
    },
)
SENT = Layout(
    letter=b"S",
    row=rows.Sent,
    width=68,
    key=lambda r: r.owner + r.message,
    indexes={
        "order": (b"o", lambda r: r.owner + u64(r.order)),
        "grace": (
            b"g",
            lambda r: u64(r.grace_until) if r.charge == "grace" and r.grace_until else None,
        ),
        "open": (b"w", lambda r: r.owner + u64(r.order) if r.open else None),
        "tail": (b"t", lambda r: r.owner + r.message[-4:]),
    },
)
DELIVERIES = Layout(
    letter=b"D",
    row=rows.Delivery,
    width=100,
    key=lambda r: r.owner + r.message + r.to,
    indexes={
        "due": (b"d", _due),
        "open": (b"o", lambda r: r.owner + r.to + u64(r.stamp) if is_open(r) else None),
        "paused": (b"p", lambda r: r.owner + r.to if r.state in PAUSED else None),
        "until": (b"u", lambda r: u64(r.keep_until) if is_open(r) else None),
        "received": (
            b"r",
            lambda r: None if r.receipted is None else r.owner + r.to + u64(r.receipted),
        ),
    },
    aliases={"ticket": (b"t", lambda r: r.ticket)},
)
ERRANDS = Layout(
    letter=b"E",
    row=rows.Errand,
    width=107,
    key=lambda r: r.owner + r.to + r.kind.encode()[:7].ljust(7) + r.message,
    indexes={"due": (b"d", _due)},
)
MAILS = Layout(
    letter=b"M",
    row=rows.Mail,
    width=40,
    key=lambda r: r.owner + u64(r.n),
    indexes={
        "shown": (b"s", lambda r: None if r.state == "deleted" else r.owner + u64(r.n)),
        "tail": (b"t", lambda r: r.owner + r.message[-4:]),
    },
    aliases={"message": (b"m", lambda r: r.owner + r.message + r.sender)},
    maker=lambda r: r.owner + r.sender if r.state == "failed" else None,
)
PICKUPS = Layout(
    letter=b"W",
    row=rows.Pickup,
    width=100,
    key=lambda r: r.owner + r.sender + r.message,
    indexes={
        "due": (
            b"d",
            lambda r: None if r.next_at is None else r.owner + r.sender + u64(r.next_at),
        ),
        "full": (b"f", lambda r: r.owner if r.reason == "over-quota" else None),
        "until": (b"u", lambda r: u64(r.keep_until)),
    },
    maker=lambda r: r.owner + r.sender,
)
WITHDRAWN = Layout(
    letter=b"X",
    row=rows.Withdrawn,
    width=100,
    key=lambda r: r.owner + r.sender + r.message,
    indexes={"until": (b"u", lambda r: u64(r.until))},
    maker=lambda r: r.owner + r.sender,
)
HELD = Layout(
    letter=b"H",
    row=rows.Held,
    width=64,
    key=lambda r: r.owner + r.sender,
    indexes={
        "n": (b"n", lambda r: r.owner + u64(r.n)),
        "call": (b"c", lambda r: None if r.call_at is None else u64(r.call_at)),
    },
)
STANDINGS = Layout(
    letter=b"g",
    row=rows.Standing,
    width=32,
    key=lambda r: r.id,
    indexes={"until": (b"u", lambda r: u64(r.until))},
)
DOMAINS = Layout(letter=b"d", row=rows.Domain, width=32, key=lambda r: r.id)
PROMISES = Layout(
    letter=b"r",
    row=rows.Promise,
    width=100,
    key=lambda r: r.owner + r.sender + r.message,
    indexes={"until": (b"u", lambda r: u64(r.until))},
)
BARRED = Layout(letter=b"z", row=rows.Barred, width=64, key=lambda r: r.owner + r.id)
VOUCHES = Layout(
    letter=b"v",
    row=rows.Vouch,
    width=96,
    key=lambda r: r.owner + r.did + r.by,
    indexes={"by": (b"b", lambda r: r.owner + r.by)},
)
INVITES = Layout(
    letter=b"I",
    row=rows.Invite,
    width=36,
    key=lambda r: r.owner + r.id,
    indexes={"until": (b"u", lambda r: u64(r.expires))},
)
PINS = Layout(letter=b"N", row=rows.Pin, width=64, key=lambda r: r.owner + r.digest)
LISTED = Layout(
    letter=b"L",
    row=rows.Listed,
    width=32,
    key=lambda r: r.did,
    indexes={
        "network": (b"n", lambda r: r.network),
        "until": (b"u", lambda r: u64(r.until)),
    },
)
BLOCKS = Layout(letter=b"B", row=rows.Block, width=36, key=lambda r: r.cid)
DRAFTS = Layout(letter=b"F", row=rows.Draft, width=64, key=lambda r: r.owner + r.key)
CHAPTERS = Layout(letter=b"J", row=rows.Chapter, width=40, key=lambda r: r.owner + u64(r.number))
TRASH = Layout(letter=b"T", row=rows.Trash, width=36, key=lambda r: r.cid)

ARCHIVES = Layout(
    letter=b"C",
    row=rows.Archive,
    width=16,
    key=lambda r: r.id,
    indexes={
        "owner": (b"o", lambda r: r.owner),
        "due": (b"d", lambda r: None if r.poll_at is None else u64(r.poll_at)),
        "public": (b"p", lambda r: sha256(r.name.encode()).digest() if r.public else None),
    },
    aliases={"named": (b"n", lambda r: r.owner + sha256(r.name.encode()).digest())},
)
LOGS = Layout(letter=b"G", row=rows.Log, width=24, key=lambda r: r.archive + u64(r.epoch))
TILES = Layout(
    letter=b"Y",
    row=rows.Tile,
    width=40,
    key=lambda r: r.archive + u64(r.epoch) + u64(r.row) + u64(r.index),
)
ITEMS = Layout(
    letter=b"V",
    row=rows.Item,
    width=52,
    key=lambda r: r.message + r.archive,
    indexes={
        "wanted": (
            b"w",
            # The newest first: what people look at before the past.
            lambda r: r.archive + u64(INTEGER - r.index) if r.state == "wanted" else None,
        ),
        "missing": (b"m", lambda r: r.archive if r.state == "missing" else None),
        "digest": (b"d", lambda r: r.archive + r.digest if r.digest else None),
    },
)

LAYOUTS: tuple[Layout[Any], ...] = tuple(
    each for each in tuple(globals().values()) if isinstance(each, Layout)
)
"""Every table: found, not listed, so that none is forgotten where all are looked through."""
