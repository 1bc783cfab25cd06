"""Finding people by name: `anna@example.org`, whose key is pinned at first use.

A domain may say tomorrow that a name is somebody else's key: it was sold, broken into, or the
person has a new key. Who was found once stays who it was, and the difference is the owner's to
judge. Spec: 08 §8.6.
"""

from node.discovery import webfinger
from node.discovery.webfinger import Handle
from node.encoding import names
from node.errors import Malformed, NoContact, Refused, Unreachable, Usage
from node.machines.rows import Pin
from node.objects.record import Endpoint
from node.ports import Tables
from node.services import succession
from node.services.calls import Calls
from node.services.core import Core
from node.services.meet import Link, learn, parse_link
from node.units import Instant, Key


class Finder:
    """Asks domains for names."""

    def __init__(self, core: Core, calls: Calls) -> None:
        self._core, self._calls = core, calls

    async def link(self, text: str) -> Link:
        """An invite link, an address, or what a domain says of a name.

        Raises:
            Usage: it is none of them.
            NoContact: the domain knows nobody of that name, or nothing of willcall; or
                there is no such domain.
            Unreachable: the domain did not answer as it has to.
        """
        bare = text.strip()
        if not webfinger.is_handle(bare):
            return parse_link(bare)
        handle = parse(bare)
        try:
            place = await self._calls.webfinger(handle)
        except Unreachable as error:
            hint = f"https://{handle.domain} has to answer at its own address"
            hint += "; or ask for an invite link"
            if error.reason == "dns":
                raise NoContact(f"{handle}: {error.text}", next=hint) from error
            error.next = error.next or hint
            raise
        return Link(did=place.did, origin=place.origin, handle=handle)

    async def succeeded(self, owner: Key, link: Link) -> None:
        """Where a domain names another key than before: did the one before say so itself?

        The node that the domain names is asked for the last record of the key that is pinned.
        """
        handle = link.handle
        known = (
            None if handle is None else self._core.db.read(lambda tx: _pinned(tx, owner, handle))
        )
        if known is None or known == link.did:
            return
        try:
            signed = await self._calls.owner(Endpoint(origin=link.origin), known)
        except Unreachable:
            return  # then it did not
        now = self._core.now()
        await self._core.db.transact(lambda tx: learn(tx, owner, known, signed.block, now))


def _pinned(tx: Tables, owner: Key, handle: Handle) -> Key | None:
    row = tx.pins.get(owner, handle.digest)
    return None if row is None else row.did


def parse(text: str) -> Handle:
    """A name at a domain, as it was typed.

    Raises:
        Usage: it is none.
    """
    try:
        return webfinger.parse(text)
    except Malformed as error:
        raise Usage(
            f"{text[:80]!r} is no name at a domain: {error.text}", next="write name@example.org"
        ) from error


def known(tx: Tables, owner: Key, text: str) -> str:
    """The did of a name at a domain that was found before; else the text as it is."""
    bare = text.strip()
    row = tx.pins.get(owner, parse(bare).digest) if webfinger.is_handle(bare) else None
    return bare if row is None or tx.peers.get(owner, row.did) is None else names.did(row.did)


def pin(tx: Tables, owner: Key, link: Link, now: Instant) -> None:
    """Notes whose key the name was, unless this was noted before.

    Raises:
        Refused: it was another key; nothing is changed.
    """
    handle = link.handle
    if handle is None:
        return
    row = tx.pins.get(owner, handle.digest)
    if row is None:
        tx.pins.put(
            Pin(owner=owner, digest=handle.digest, handle=str(handle), did=link.did, at=now)
        )
    elif succession.end_of(tx, owner, row.did) == link.did:
        tx.pins.put(row.but(did=link.did))
    else:
        old, new = names.did(row.did), names.did(link.did)
        raise Refused(
            f"{handle} was {old}, and {handle.domain} now says {new}; nothing was changed",
            reason="key-changed",
            next=f"ask them by another way which key is theirs. To take the new one: willcall "
            f"contact remove {old}, then willcall contact add {handle}",
        )


def unpin(tx: Tables, owner: Key, did: Key) -> bool:
    """The key's names are free to be found anew; whether it had one."""
    found = [row for row in tx.pins.scan(owner) if row.did == did]
    for row in found:
        tx.pins.delete(row)
    return bool(found)
