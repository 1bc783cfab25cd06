"""The vectors of page 12: a log that grows, from given seeds."""

from hashlib import sha256
from typing import Any

from node.archive import append, entry, note, tile
from node.archive.entry import Entry, Removal
from node.archive.note import Checkpoint
from node.archive.tree import Frontier
from node.crypto import keys
from node.crypto.note import Verifier
from node.encoding import cid as cids
from node.machines.rows import Owner
from node.objects import archive as abouts
from node.objects.archive import About, Previous
from node.services.publish import Plain, plain
from node.units import Instant, Key

SEED, LOG, READERS = b"o" * 32, b"l" * 32, b"r" * 32
LINE = "127.0.0.1:4625/archives/cats/2"
MESSAGES = 300
HEADS = (0, 1, 2, 3, 7, 8, 255, 256, 257, 301)
REMOVED = 7
CONTENT = "From: a@example.org\r\nDate: Thu, 2 Jan 2020 12:00:00 +0000\r\n\r\nnumber {n}\r\n"
DATE = Instant(1_577_966_400_000)
SHOWN = (0, 1, REMOVED, 299, 300)


def owner() -> Owner:
    """Whose archive it is."""
    return Owner(
        owner=keys.public(SEED),
        order=0,
        name="",
        signing=SEED,
        sealing=(),
        recovery=Key(bytes(32)),
        record=b"",
        created=Instant(0),
    )


def message(number: int) -> Plain:
    return plain(owner(), CONTENT.format(n=number).encode(), DATE)


def entries() -> list[bytes]:
    """All entries of the log: messages, then the removal of one."""
    made = [message(n) for n in range(MESSAGES)]
    found = [entry.encode(Entry(message=m.message, size=m.size, date=m.date)) for m in made]
    gone = Removal(
        index=REMOVED, message=made[REMOVED].message, reason="asked for", at=Instant(DATE + 1)
    )
    return [*found, entry.encode(gone)]


def document() -> Any:
    """What `archives.json` holds."""
    raw = entries()
    stored: dict[tuple[int | None, int], bytes] = {}
    edge, heads = Frontier(), []

    def read(level: int | None, index: int) -> bytes:
        return stored.get((level, index), b"")

    for size in HEADS:
        grown = append.grow(edge, raw[edge.size : size], read)
        edge = grown.frontier
        stored.update({(level, index): data for level, index, data in grown.tiles})
        said = Checkpoint(origin=LINE, size=size, root=edge.root)
        heads.append({"size": size, "root": edge.root.hex(), "note": note.sign(said, LOG).decode()})
    first = message(0)
    sealed = entry.seal(
        Entry(message=first.message, size=first.size, date=DATE), READERS, b"n" * 24, LINE, 5
    )
    return {
        "content": CONTENT,
        "messages_count": MESSAGES,
        "owner_seed": SEED.hex(),
        "log_seed": LOG.hex(),
        "vkey": _vkey(),
        "about": _about().hex(),
        "heads": heads,
        "tiles": _tiles(stored, edge.size),
        "entries": [{"index": n, "bytes": raw[n].hex()} for n in SHOWN],
        "messages": [
            {"number": n, "cid": cids.show(message(n).message), "block": message(n).block.hex()}
            for n in SHOWN
            if n < MESSAGES
        ],
        "sealed": {
            "key": READERS.hex(),
            "index": 5,
            "bytes": entry.encode(sealed).hex(),
            "opens_to": raw[0].hex(),
        },
    }


def _vkey() -> str:
    return str(Verifier(name=LINE, key=keys.public(LOG)))


def _about() -> bytes:
    about = About(
        owner=keys.public(SEED),
        name="cats",
        epoch=2,
        vkey=_vkey(),
        origins=("127.0.0.1:4625",),
        access="public",
        issued=DATE,
        previous=Previous(epoch=1, size=3, root=sha256(b"an earlier log").digest()),
    )
    return abouts.sign(about, SEED)


def _tiles(stored: dict[tuple[int | None, int], bytes], size: int) -> list[dict[str, Any]]:
    wanted = [*tile.row(None, 0, size), *tile.grown(0, size)]
    return [
        {
            "path": tile.path(each),
            "size": len(data := append.cut(each, stored[each.level, each.index])),
            "sha256": sha256(data).hexdigest(),
        }
        for each in wanted
    ]
