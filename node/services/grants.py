"""Private archives in the store: their keys, who is given them, what their entries name.

    entry ─ sealed under the key of its span ─▶ served        names row: CID of what it names,
    content ─ under K, out of that key and the entry's nonce    so that mirrors can keep bodies

The owner's node, a reader's and a mirror's hold the same rows; a mirror's without keys. Who may
fetch is what the owner last signed. Spec: 12 §12.8.
"""

from collections.abc import Iterable, Sequence

from node import limits
from node.archive import entry as entries
from node.archive.entry import AnyEntry, Entry, Removal, Sealed
from node.archive.tile import WIDTH
from node.crypto import keys, sealed
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Conflict, Malformed, Unverified
from node.machines.rows import Archive, Log, Owner, Reader, Tile
from node.objects import readers as objects
from node.objects.readers import Granted, Readers, Span
from node.ports import Tables
from node.units import Instant, Key

NAMES, GRANTS = 100, 101
"""Rows of `Tile`, beside those of the log."""
NAME = 1 + cids.LENGTH
"""Bytes of one name: what the entry is, and a CID."""
MESSAGE, REMOVES, UNKNOWN = 0, 1, 2
"""What an entry is: it names a message, removes one, or could not be opened here."""


# --- keys and entries ---------------------------------------------------------------------


def key_at(log: Log, index: int) -> bytes | None:
    """The key that an entry is sealed under; None: it is not known here."""
    found = [key for start, key in log.keys if start <= index]
    return found[-1] if found else None


def opened(log: Log, index: int, raw: bytes) -> AnyEntry:
    """An entry, in clear if its key is here; what does not open stays sealed."""
    found = entries.decode(raw)
    key = key_at(log, index)
    if not isinstance(found, Sealed) or key is None:
        return found
    try:
        return entries.unseal(found, key, log.origin, index)
    except (Unverified, Malformed):
        return found


def message_key(log: Log, index: int, raw: bytes) -> bytes:
    """K of the message that a sealed entry names; none: its key is not here, or it needs none."""
    found, key = entries.decode(raw), key_at(log, index)
    if not isinstance(found, Sealed) or key is None:
        return b""
    return entries.message_key(key, found.nonce)


# --- what entries name --------------------------------------------------------------------


def name_of(entry: AnyEntry) -> bytes:
    """An entry's name, for whoever keeps the bodies and can't open entries."""
    if isinstance(entry, Entry):
        return bytes((MESSAGE,)) + entry.message
    if isinstance(entry, Removal):
        return bytes((REMOVES,)) + entry.message
    return bytes((UNKNOWN,)) + bytes(cids.LENGTH)


def named(raw: bytes) -> tuple[int, Cid | None]:
    """What a name says.

    Raises:
        Malformed: nothing that it may.
    """
    kind, found = raw[0], raw[1:]
    if kind == UNKNOWN and not any(found):
        return kind, None
    if kind not in (MESSAGE, REMOVES):
        raise Malformed("a name of an entry that is of no kind")
    message = cids.from_bytes(found)
    if not cids.is_object(message):
        raise Malformed("an entry that names no message")
    return kind, message


def put_names(tx: Tables, log: Log, first: int, found: Sequence[bytes]) -> None:
    """Writes the names of entries from `first` on; those before are there."""
    for at, name in enumerate(found, first):
        index, place = at // WIDTH, at % WIDTH * NAME
        stored = names_of(tx, log, index)
        data = stored[:place].ljust(place, b"\0") + name + stored[place + NAME :]
        tx.tiles.put(Tile(archive=log.archive, epoch=log.epoch, row=NAMES, index=index, data=data))


def names_of(tx: Tables, log: Log, index: int) -> bytes:
    """The names of a bundle of entries, one after the other."""
    found = tx.tiles.get(log.archive, log.epoch, NAMES, index)
    return b"" if found is None else found.data


def message_at(tx: Tables, log: Log, index: int) -> Cid | None:
    """The message that a sealed entry names, as far as it is known."""
    at = index % WIDTH * NAME
    raw = names_of(tx, log, index // WIDTH)[at : at + NAME]
    if len(raw) < NAME or raw[0] != MESSAGE:
        return None
    return named(raw)[1]


# --- who reads ----------------------------------------------------------------------------


def may_read(row: Archive, who: Key | None) -> bool:
    """Whether somebody may fetch an archive."""
    if not row.private:
        return True
    return who is not None and (who == row.publisher or any(who == r.did for r in row.readers))


def object_of(tx: Tables, log: Log) -> bytes:
    """The signed `readers` object of a log; none: it is not here."""
    found = tx.tiles.get(log.archive, log.epoch, GRANTS, 0)
    return b"" if found is None else found.data


def put_object(tx: Tables, log: Log, block: bytes) -> None:
    """Keeps a `readers` object."""
    tx.tiles.put(Tile(archive=log.archive, epoch=log.epoch, row=GRANTS, index=0, data=block))


def begin(tx: Tables, owner: Owner, row: Archive, log: Log, key: bytes, now: Instant) -> Log:
    """The first key of a log, given to all readers; the log with it."""
    made: Log = log.but(keys=((0, key),))
    _say(tx, owner, row, made, (Span(start=0),), now)
    return made


def say(tx: Tables, owner: Owner, row: Archive, log: Log, now: Instant) -> None:
    """Says anew who the readers are; the keys stay."""
    _say(tx, owner, row, log, _said(tx, log).keys, now)


def rekeyed(
    tx: Tables, owner: Owner, row: Archive, log: Log, key: bytes, nonce: bytes, now: Instant
) -> Log:
    """A new key for later entries, given to who is a reader now.

    Raises:
        Conflict: this log has as many keys as it may have.
    """
    said, held = list(_said(tx, log).keys), list(log.keys)
    if held[-1][0] == log.size:  # nothing lies under the last one yet
        held.pop()
        said.pop()
    if len(held) >= limits.ARCHIVE_KEYS:
        raise Conflict(
            f"{row.name} had {len(held)} keys in this epoch; nothing was changed",
            reason="too-many",
            next=f"willcall archive publish {row.name} --new-epoch",
        )
    older = objects.older(key, held[-1][1], nonce, log.origin, log.size) if held else None
    made: Log = log.but(keys=(*held, (log.size, key)))
    _say(tx, owner, row, made, (*said, Span(start=log.size, older=older)), now)
    return made


def _said(tx: Tables, log: Log) -> Readers:
    return objects.decode(object_of(tx, log)).claim


def _say(
    tx: Tables, owner: Owner, row: Archive, log: Log, spans: Sequence[Span], now: Instant
) -> None:
    newest, before = log.keys[-1][1], object_of(tx, log)
    if before:
        now = Instant(max(now, objects.decode(before).claim.issued + 1))
    me = Reader(did=owner.owner, sealing=keys.sealing_public(owner.sealing[0][0]))
    said = Readers(
        owner=owner.owner,
        log=log.origin,
        issued=now,
        keys=tuple(spans),
        readers=tuple(_granted((me, *row.readers), newest)),
    )
    put_object(tx, log, objects.sign(said, owner.signing))


def _granted(found: Iterable[Reader], key: bytes) -> Iterable[Granted]:
    for each in sorted(found, key=lambda each: each.did):
        yield Granted(to=each.did, box=sealed.box(key, each.sealing) if each.sealing else None)
