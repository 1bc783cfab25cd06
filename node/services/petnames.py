"""Petnames: an owner's own words for keys, each for one key only.

What a peer says it is called is a wish: it becomes the petname once, when nothing better is
known, and never takes a name that another contact has. Later wishes change nothing. Two
names are the same when they read the same: capitals and compatibility forms don't count.
"""

import unicodedata

from node import limits
from node.encoding import names
from node.encoding import text as texts
from node.errors import Conflict, Malformed, NoContact, Usage
from node.machines.rows import Peer
from node.objects import record
from node.ports import Tables
from node.services import succession
from node.units import Key


def give(tx: Tables, row: Peer, wanted: str | None) -> Peer:
    """The row with a name nobody else has: as wanted, else as its record says, else a stand-in.

    Raises:
        Conflict: another contact has the wanted name; nothing was changed.
    """
    if wanted is not None:
        chosen = free(tx, row, wanted)
        if chosen != wanted:
            raise Conflict(
                f"there is a contact {wanted!r} already; nothing was changed",
                next=f"take {chosen}, or free the name: willcall contact rename {wanted} NEW",
            )
        return _named(row, chosen)
    if row.name is not None and not row.provisional:
        return row
    said = _said(row)
    if said is not None:
        return _named(row, free(tx, row, said))
    if row.name is not None:
        return row
    return _named(row, _numbered(tx, row), provisional=True)


def _said(row: Peer) -> str | None:
    """What its record says it is called, if that can be a petname."""
    said = None if row.record is None else record.decode(row.record).claim.name
    return None if said is None or _is_did(said) else said


def _named(row: Peer, name: str, *, provisional: bool = False) -> Peer:
    made: Peer = row.but(name=name, provisional=provisional)
    return made


def free(tx: Tables, row: Peer, wanted: str) -> str:
    """`wanted`, or `wanted-2`, `wanted-3`, … where another contact has it."""
    taken, chosen, count = _taken(tx, row), wanted, 1
    while _same(chosen) in taken:
        count += 1
        tail = f"-{count}"
        head = wanted.encode()[: limits.NAME - len(tail)].decode(errors="ignore")
        chosen = head + tail
    return chosen


def _numbered(tx: Tables, row: Peer) -> str:
    taken, count = _taken(tx, row), 1
    while f"contact-{count}" in taken:
        count += 1
    return f"contact-{count}"


def _taken(tx: Tables, row: Peer) -> set[str]:
    """The names of all other contacts."""
    others = (p for p in tx.peers.by("named", row.owner) if p.did != row.did)
    return {_same(p.name) for p in others if p.name is not None}


def _same(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def find(tx: Tables, owner: Key, text: str) -> Peer:
    """The contact called `text`, or whoever has that did or address.

    A text that begins like a did is never looked up among the names.

    Raises:
        NoContact: there is none.
    """
    bare = text.strip()
    row = _by_did(tx, owner, bare) if _is_did(bare) else _by_name(tx, owner, bare)
    if row is None:
        raise NoContact(f"there is no contact {bare[:80]!r}", next="willcall contact list")
    return row


def _by_did(tx: Tables, owner: Key, text: str) -> Peer | None:
    """By a key that was replaced: whoever goes on with its name."""
    try:
        row = tx.peers.get(owner, names.parse_did(text.partition("@")[0]))
    except Malformed:
        return None
    return row if row is None or row.name is not None else succession.following(tx, row)


def _by_name(tx: Tables, owner: Key, text: str) -> Peer | None:
    return next((row for row in tx.peers.by("named", owner) if row.name == text), None)


def _is_did(text: str) -> bool:
    return _same(text).startswith("did:")


def checked(name: str) -> str:
    """A contact's name as it was typed.

    Raises:
        Usage: it breaks the rules for names, or looks like a key.
    """
    try:
        texts.check_name(name)
    except Malformed as error:
        raise Usage(
            f"{name[:64]!r} can't be a name: {error.text}", next="choose another, such as ben"
        ) from error
    if _is_did(name):
        raise Usage(
            f"{name[:64]!r} can't be a name: it looks like a key",
            next="choose another, such as ben",
        )
    return name
