"""Readers of private archives: who is one, and who asks.

    add ─▶ the newest key boxed to them: they read all of the current epoch
    remove ─▶ a new key, boxed to those who stay: what is appended from now on is not theirs

Whoever asks for a private archive shows a `reading`, signed by their key for this origin. Who is
no reader is answered as for an archive that was never here. Spec: 12 §12.8.
"""

from collections import OrderedDict
from collections.abc import Callable

from node import limits
from node.crypto import keys
from node.encoding import names
from node.errors import Conflict, NoContact, NotYet, Refused, Unverified, Usage
from node.machines.rows import Archive, Owner, Reader
from node.objects import readers as objects
from node.objects import record as records
from node.ports import Request, Tables
from node.services import grants, library, petnames
from node.services.core import Core
from node.units import Instant, Key

KNOWN = 1_024
"""Readers whose signature is remembered: a check costs 41 µs, a look-up nothing."""


class Doorman:
    """Tells who asks, by the `reading` that a request carries."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: OrderedDict[bytes, tuple[Key, Instant]] = OrderedDict()

    def who(self, request: Request) -> Key | None:
        """Who asks; None: nobody says.

        What is wrong with it is told whatever is asked for: that says nothing of what is here.

        Raises:
            Malformed, Unverified: it is no reading, for another origin, or not signed.
            Refused: its clock or ours is wrong.
        """
        block = request.reading
        if not block:
            return None
        now, found = self._core.now(), self._known.get(block)
        by, issued = found or self._checked(block)
        if abs(now - issued) > limits.CLOCK_SKEW:
            raise Refused("this was signed at another time than now", reason="clock")
        if found is None:
            self._known[block] = by, issued
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return by

    def _checked(self, block: bytes) -> tuple[Key, Instant]:
        signed = objects.READING.decode(block)
        if signed.claim.at != self._core.config.origin:
            raise Unverified(
                f"this was signed for {signed.claim.at}, and this is {self._core.config.origin}",
                reason="other-origin",
            )
        return signed.verify().by, signed.claim.issued


class Shown:
    """Makes the `reading` that an owner shows at one origin, and uses it for some minutes."""

    def __init__(self, core: Core, owner: Owner, at: str) -> None:
        self._core, self._owner, self._at = core, owner, at
        self._block, self._until = b"", Instant(0)

    def block(self) -> bytes:
        """What to show now."""
        now = self._core.now()
        if now >= self._until:
            made = objects.Reading(by=self._owner.owner, at=self._at, issued=now)
            self._block = objects.READING.sign(made, self._owner.signing)
            self._until = Instant(now + limits.READING)
        return self._block


class Readers:
    """Gives and takes the right to read the archives that are published here.

    Args:
        core: the ports.
        changed: told the name of an archive whose readers changed.
    """

    def __init__(self, core: Core, changed: Callable[[str], None]) -> None:
        self._core, self._changed = core, changed

    async def add(self, owner: Owner, name: str, who: str, *, mirror: bool = False) -> Archive:
        """Somebody reads an archive from now on, or mirrors it unread. Again: with its newest key.

        Raises:
            NoContact: a reader is a contact; a mirror may be any key.
            NotYet: the contact's record is not here yet.
            Conflict: there are as many as there may be.
            Refused: it was restored and did not catch up: its keys may not be the newest.
        """
        now = self._core.now()

        def work(tx: Tables) -> Archive:
            row = _private(tx, owner, name)
            library.check_signs(row)
            made = _reader(tx, owner, who, now, mirror=mirror)
            if made.did == owner.owner:
                raise Usage("the owner of an archive reads it anyway")
            others = tuple(each for each in row.readers if each.did != made.did)
            if len(others) + 2 > limits.READERS:
                raise Conflict(
                    f"{name} has {len(others)} readers, as many as it may have",
                    reason="too-many",
                    next=f"willcall archive readers remove {name} CONTACT",
                )
            changed: Archive = row.but(readers=(*others, made))
            tx.archives.put(changed)
            grants.say(tx, owner, changed, library.log_of(tx, changed), now)
            return changed

        row = await self._core.db.transact(work)
        self._changed(name)
        return row

    async def remove(self, owner: Owner, name: str, who: str) -> Archive:
        """Somebody reads no entry that is appended from now on, and is served nothing.

        Raises:
            NoContact: it is no reader.
            Conflict: this epoch had as many keys as it may have.
            Refused: it was restored and did not catch up.
        """
        core, now = self._core, self._core.now()
        key, nonce = core.randomness.bytes(32), core.randomness.bytes(objects.NONCE)

        def work(tx: Tables) -> Archive:
            row = _private(tx, owner, name)
            library.check_signs(row)
            log = library.log_of(tx, row)
            gone = _named(tx, owner, who)
            kept = tuple(each for each in row.readers if each.did != gone)
            if len(kept) == len(row.readers):
                raise NoContact(
                    f"{who[:80]!r} is no reader of {name}",
                    reason="no-reader",
                    next=f"willcall archive readers list {name}",
                )
            changed: Archive = row.but(readers=tuple(_current(tx, owner, each) for each in kept))
            tx.archives.put(changed)
            tx.logs.put(grants.rekeyed(tx, owner, changed, log, key, nonce, now))
            return changed

        row = await self._core.db.transact(work)
        self._changed(name)
        return row


def merged(tx: Tables, owner: Owner, row: Archive, said: objects.Readers) -> tuple[Reader, ...]:
    """The readers that an archive's publisher named, as its row keeps them.

    An own archive that catches up from a mirror learns so whom it gave its keys meanwhile.
    """
    known = {each.did: each for each in row.readers}

    def reader(each: objects.Granted) -> Reader:
        sealing = _sealing(tx, owner, each.to) if not row.urls and each.box is not None else None
        return known.get(each.to) or Reader(did=each.to, sealing=sealing or b"")

    return tuple(reader(each) for each in said.readers if each.to != row.publisher)


def _private(tx: Tables, owner: Owner, name: str) -> Archive:
    row = library.own(tx, owner, name)
    if not row.private:
        raise Usage(
            f"{name} is for everybody: it has no list of readers",
            next="willcall archive create NAME --private",
        )
    return row


def _named(tx: Tables, owner: Owner, who: str) -> Key:
    """Whom a word means: a contact's name, or a key, known or not."""
    text = who.strip()
    if text.startswith("did:"):
        return names.parse_did(text.partition("@")[0])
    return petnames.find(tx, owner.owner, text).did


def _reader(tx: Tables, owner: Owner, who: str, now: Instant, *, mirror: bool) -> Reader:
    did = _named(tx, owner, who)
    if mirror:
        return Reader(did=did, added=now)
    sealing = _sealing(tx, owner, did)
    if sealing is None:
        if tx.peers.get(owner.owner, did) is not None:
            raise NotYet(
                f"the key that mail to {who} is sealed to is not here yet",
                next=f"willcall contact show {who}",
            )
        raise NoContact(
            f"{who[:80]} is no contact: its sealing key is not known here",
            next=f"willcall contact add {who}@HOST:PORT, or --mirror if it is to read nothing",
        )
    return Reader(did=did, sealing=sealing, added=now)


def _current(tx: Tables, owner: Owner, reader: Reader) -> Reader:
    """The reader with the newest sealing key that is known of it."""
    newer = _sealing(tx, owner, reader.did) if reader.sealing else None
    if newer is None:
        return reader
    return Reader(did=reader.did, sealing=newer, added=reader.added)


def _sealing(tx: Tables, owner: Owner, did: Key) -> bytes | None:
    """Somebody's newest sealing key: of an owner of this node, or as a contact's record says."""
    here = tx.owners.get(did)
    if here is not None:
        return keys.sealing_public(here.sealing[0][0])
    peer = tx.peers.get(owner.owner, did)
    if peer is None or peer.record is None:
        return None
    return records.decode(peer.record).claim.sealing
