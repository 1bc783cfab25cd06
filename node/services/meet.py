"""How keys meet: invites, introductions, contacts.

An introduction that proves an invite, or comes from somebody the owner knows or wrote to,
makes both sides contacts in one step: the answer is our own introduction. Any other is a
stranger's and waits in the ring. Spec: 08.
"""

from dataclasses import dataclass

from node import limits
from node.crypto import tokens
from node.discovery.webfinger import Handle
from node.encoding import cid, names, origin
from node.errors import Malformed, Unverified, Usage
from node.machines import peer as peers
from node.machines.rows import Errand, Invite, Owner, Peer, Vouch
from node.objects import record
from node.objects.answer import ACCEPTED, HELD, Answer, refused
from node.objects.introduction import INTRODUCTION, Introduction
from node.objects.record import Record
from node.objects.signed import Signed
from node.ports import Tables
from node.services import ledger, owners, petnames, ring, succession
from node.services.core import Core, short
from node.services.gate import Gate, Seen
from node.services.strangers import Strangers, Visit
from node.units import Instant, Key

RECORD = b"record "
"""Where errands with a record lie, among those to one peer."""

# --- invites ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An invite link, taken apart.

    Attributes:
        token: of the invite; None in a plain address.
        handle: the name at a domain that led here, if one did.
    """

    did: Key
    origin: str
    token: bytes | None = None
    handle: Handle | None = None


def make_invite(tx: Tables, owner: Owner, id: bytes, valid: int, now: Instant) -> Invite:
    """A new invite, with its row."""
    row = Invite(owner=owner.owner, id=id, expires=Instant(now + valid))
    tx.invites.put(row)
    return row


def print_link(tx: Tables, invite: Invite, at: str) -> str:
    """The link a person passes on; the token stays behind the `#`."""
    token = tokens.invite(tx.node().invite, invite.owner, invite.id)
    return f"{link_head(invite.owner, at)}#{names.b64(token)}"


def link_head(owner: Key, at: str) -> str:
    """An invite link up to its `#`: the address of the page for the person who was invited."""
    return f"{base(at)}/i/{names.z(owner)}"


def base(at: str) -> str:
    """Scheme and origin: what a URL at this origin begins with."""
    scheme = "http" if origin.is_plain(at) else "https"
    return f"{scheme}://{at}"


def parse_link(text: str) -> Link:
    """An invite link, or an address `did:key:z6Mk…@host:port`.

    Raises:
        Usage: neither; says what is expected.
    """
    bare = text.strip()
    try:
        if bare.startswith("did:key:"):
            did, _, at = bare.partition("@")
            origin.check(at)
            return Link(did=names.parse_did(did), origin=at)
        return _parse_url(bare)
    except (Malformed, ValueError) as error:
        raise Usage(
            "this is neither an invite link nor an address",
            reason="bad-link",
            next="is it copied whole, and in quotes? an invite looks like "
            "https://host:port/i/z6Mk…#…, an address like did:key:z6Mk…@host:port",
        ) from error


def _parse_url(text: str) -> Link:
    scheme, _, rest = text.partition("://")
    place, _, token = rest.partition("#")
    at, _, z = place.partition("/i/")
    if scheme not in ("http", "https") or len(text) > 200:
        raise ValueError("not a link")
    origin.check(at)
    raw = names.unb64(token)
    if len(raw) != 16:
        raise ValueError("not a token")
    return Link(did=names.parse_z(z), origin=at, token=raw)


# --- contacts ---------------------------------------------------------------------------


def add(tx: Tables, owner: Owner, link: Link, name: str | None, now: Instant) -> Peer:
    """A contact by link or address: its row, made or completed; our introduction is owed.

    Raises:
        Usage: it is the owner's own address.
    """
    if link.did == owner.owner:
        raise Usage("this is your own address", next="pass it on to somebody else")
    row = tx.peers.get(owner.owner, link.did) or Peer(owner=owner.owner, did=link.did)
    if row.heir is not None:  # an old address, of somebody whose new key is known
        return succession.following(tx, row)
    if row.met and row.name is not None and not row.blocked:
        return _look_there(tx, row, link, now)
    row = row.but(
        origin=link.origin,
        token=link.token or row.token,
        introduce=True,
        introduce_at=now,
        blocked=False,
        refused=None,
        added=row.added or now,
    )
    row = petnames.give(tx, peers.on_asked(row, owners.forgotten(tx, row.owner), now), name)
    row = peers.on_owed(row, now, now)
    tx.peers.put(row)
    return row


def tell_record(tx: Tables, owner: Owner, now: Instant) -> None:
    """The owner's record has changed: every contact is told."""
    name = cid.of_object(owner.record)
    for row in list(tx.peers.by("named", owner.owner)):
        if not row.blocked and row.heir is None:
            told = Errand(owner=owner.owner, to=row.did, kind="record", message=name, next_at=now)
            tx.errands.put(told)
            tx.peers.put(peers.on_owed(row, now, now))


def knowing(tx: Tables, owner: Key) -> tuple[int, int]:
    """How many contacts know the owner's record, and how many there are (blocked ones aside)."""
    named = (row for row in tx.peers.by("named", owner) if row.heir is None)
    rows = [row for row in named if not row.blocked and row.met]
    untold = sum(1 for row in rows if any(True for _ in tx.errands.scan(owner, row.did, RECORD)))
    return len(rows) - untold, len(rows)


def _look_there(tx: Tables, row: Peer, link: Link, now: Instant) -> Peer:
    """A contact that may have moved: the place is greeted, and believed if it knows the key.

    One that invites again may have removed us: nobody told us, so the invite is used.
    """
    moved = row.record is not None and not record.decode(row.record).claim.lists(link.origin)
    if moved:
        row = row.but(origin=link.origin)
    if link.token is not None:
        row = row.but(token=link.token, introduce=True, introduce_at=now, refused=None)
    if moved or row.introduce:
        row = peers.on_owed(row, now, now)
        tx.peers.put(row)
    return row


def written_to(tx: Tables, owner: Owner, link: Link, now: Instant) -> Peer:
    """The row of somebody who is written to by address without being a contact."""
    row = tx.peers.get(owner.owner, link.did)
    if row is None:
        row = Peer(owner=owner.owner, did=link.did)
    if row.record is None:
        row = row.but(origin=link.origin)
    if row.heir is not None:
        return succession.following(tx, row)
    made: Peer = row.but(written=True)
    tx.peers.put(made)
    return made


def block(tx: Tables, row: Peer, now: Instant) -> Peer:
    """From now on a stranger in every respect, and to the sender no different from one."""
    row = row if row.blocked else row.but(blocked=True, blocked_at=now)
    made: Peer = row.but(introduce=False, token=None, poll_at=None, provisional=False)
    tx.peers.put(made)
    ring.drop(tx, row.owner, row.did)
    return made


def unblock(tx: Tables, row: Peer, now: Instant) -> Peer:
    """Heard again, and asked at once what waited meanwhile."""
    if not row.blocked:
        return row
    known = row.name is not None
    made: Peer = row.but(blocked=False, introduce=known and not row.met)
    made = peers.on_owed(made.but(poll_at=now), now, now) if known else made
    tx.peers.put(made)
    return made


def remove(tx: Tables, row: Peer) -> None:
    """Not a contact any more; what is under way to it or from it keeps its row."""
    owed = any(True for _ in tx.deliveries.by("open", row.owner, row.did))
    owed = owed or any(True for _ in tx.errands.by("due", row.owner, row.did))
    owed = owed or any(True for _ in tx.pickups.scan(row.owner, row.did))
    if not owed and row.heir is None:  # else the old key could come as a stranger
        tx.peers.delete(row)
        return
    tx.peers.put(
        row.but(
            name=None,
            written=False,
            provisional=False,
            met=False,
            capability=None,
            introduce=False,
            token=None,
            poll_at=None,
            blocked=False,
            verified=None,
        )
    )


# --- introductions ----------------------------------------------------------------------


def introduction(owner: Owner, row: Peer, secret: bytes, now: Instant) -> bytes:
    """Our introduction to a peer: our record, and the capability that lets it in.

    Args:
        owner: who introduces itself.
        row: to whom; its invite token, if it has one, is proved and never shown.
        secret: the node's capability key.
        now: the clock.
    """
    invite = proof = None
    if row.token is not None:
        invite = row.token[:4]
        proof = tokens.proof(row.token, owner.owner, row.did, now)
    made = Introduction(
        sender=owner.owner,
        to=row.did,
        record=owner.record,
        capability=tokens.capability(secret, owner.owner, row.did),
        issued=now,
        invite=invite,
        proof=proof,
    )
    return INTRODUCTION.sign(made, owner.signing)


def with_record(row: Peer, block: bytes, now: Instant) -> Peer:
    """The row with a verified record, if that beats the one it has.

    Whether the peer is where a new record says is asked afresh.
    """
    new = record.decode(block).claim
    old = None if row.record is None else record.decode(row.record).claim
    if old is not None and not new.beats(old):
        return row
    same = old is not None and old.sealing == new.sealing
    made: Peer = row.but(record=block, greeted=(), keyed=row.keyed if same else now)
    return made


def learn(
    tx: Tables, owner: Key, did: Key, block: bytes, now: Instant, *, greeted: str | None = None
) -> Peer | None:
    """A verified record of a peer: kept when it beats the one we have. None: no such peer.

    One with a successor is followed: the contact is moved to the new key.
    """
    row = tx.peers.get(owner, did)
    if row is None:
        return None
    row = with_record(row, block, now)
    if greeted is not None and greeted not in row.greeted:
        row = row.but(greeted=(*row.greeted, greeted)[-limits.ORIGINS :])
    if row.provisional:
        row = petnames.give(tx, row, None)
    tx.peers.put(row)
    return succession.follow(tx, row, now)


def on_answer(
    tx: Tables, owner: Key, did: Key, answer: Answer, now: Instant, jitter: float
) -> None:
    """The other node answered our introduction."""
    row = tx.peers.get(owner, did)
    if row is None:
        return
    if answer.record is not None and _replaces(answer.record, row):
        row = learn(tx, owner, did, answer.record.block, now) or row
        if row.heir is None:  # it names itself, or us: nobody took over, and it is asked again
            tx.peers.put(peers.on_not_introduced(row, "nonsense", now, jitter))
        return
    if answer.state == "accepted" and answer.introduction is not None:
        if not _complete(tx, row, answer.introduction, now):
            tx.peers.put(peers.on_not_introduced(row, "nonsense", now, jitter))
    elif answer.reason == "clock":
        tx.peers.put(peers.on_not_introduced(row, "clock", now, jitter))
    else:
        word = answer.reason or ("held" if answer.state == "held" else None)
        tx.peers.put(row.but(introduce=False, token=None, refused=word))


def _complete(tx: Tables, row: Peer, signed: Signed[Introduction], now: Instant) -> bool:
    """Whether the answer is the peer's own introduction: then both are contacts."""
    try:
        theirs = signed.verify()
        known = _own_record(theirs)
    except (Malformed, Unverified):
        return False
    if theirs.sender != row.did or theirs.to != row.owner or known is None:
        return False
    if known.successor is not None:
        return False
    tx.peers.put(_befriend(tx, row, theirs, now))
    _heard(tx, row, now)
    return True


def _own_record(theirs: Introduction) -> Record | None:
    """The verified record inside, if it is the introducer's own."""
    record.decode(theirs.record).verify()
    return _own(theirs)


def _own(theirs: Introduction) -> Record | None:
    """The same of an introduction whose record was verified before."""
    inside = record.decode(theirs.record).claim
    return inside if inside.id == theirs.sender else None


def _replaces(signed: Signed[Record], row: Peer) -> bool:
    """Whether an answer's record says that the peer's key was replaced; and is true."""
    if signed.claim.id != row.did or signed.claim.successor is None:
        return False
    try:
        signed.verify()
    except Unverified:
        return False
    return True


def _heard(tx: Tables, row: Peer, now: Instant) -> None:
    """A new contact: what it told as a stranger is over, for its node tells it again at once."""
    ledger.heard(tx, row.owner, row.did, now)
    ring.drop(tx, row.owner, row.did)


def taken(row: Peer, signed: Signed[Introduction], now: Instant) -> Peer:
    """The row with what a held introduction says, now that its owner allows the key."""
    theirs = signed.verify()
    if _own_record(theirs) is None:
        return row
    row = with_record(row, theirs.record, now)
    made: Peer = row.but(capability=theirs.capability, met=True, added=now)
    return made


def _befriend(tx: Tables, row: Peer, theirs: Introduction, now: Instant) -> Peer:
    row = with_record(row, theirs.record, now)
    row = row.but(
        capability=theirs.capability,
        met=True,
        introduce=False,
        introduce_step=0,
        token=None,
        refused=None,
        added=row.added or now,
    )
    row = petnames.give(tx, peers.on_asked(row, owners.forgotten(tx, row.owner), now), None)
    return peers.on_caused(row, now)


class Introductions:
    """Answers introductions that come in."""

    def __init__(self, core: Core, strangers: Strangers, gate: Gate, seen: Seen) -> None:
        self._core, self._strangers, self._gate, self._seen = core, strangers, gate, seen

    async def receive(self, block: bytes, source: str) -> Answer:
        """One introduction.

        Raises:
            Malformed: not of its form.
            Unverified: an unknown or wrong proof, or a signature that does not hold.
        """
        known = self._seen.known(block)
        if isinstance(known, bytes):
            return HELD if known == b"held" else refused(known.decode())
        if known is False:
            raise Unverified("a signature of this introduction does not hold")
        signed, now = INTRODUCTION.decode(block), self._core.now()
        if signed.claim.invite is not None:
            return await self._core.db.transact(lambda tx: self._invited(tx, signed, now))
        if known is None and not self._admits(signed.claim, source):
            return HELD
        theirs = self._verified(signed)
        if theirs.issued > now + limits.CLOCK_SKEW:
            self._seen.note(block, good=True, answer=b"clock")
            return refused("clock")
        over = self._core.db.read(lambda tx: _replaced(tx, theirs))
        if over is not None:
            return over
        answer = self._core.db.apply(lambda tx: self._answer(tx, theirs, block, source, now))
        if answer is HELD:
            self._seen.note(block, good=True, answer=b"held")
        else:  # what we answer to a contact leaves when it is durable
            await self._core.db.transact(lambda tx: None)
        return answer

    def _admits(self, claim: Introduction, source: str) -> bool:
        """Whether the signature is checked; who is known here must not matter yet."""
        storm = self._core.db.read(lambda tx: tx.node()).storm
        return not storm and self._gate.admits(source, claim.sender, claim.to)

    def _verified(self, signed: Signed[Introduction]) -> Introduction:
        """Its signature holds, and that of the record inside; each is checked once."""
        if self._seen.known(signed.block):
            return signed.claim
        try:
            self._gate.checked += 1
            theirs = signed.verify()
            self._gate.passed(theirs.sender, theirs.to)
            self._gate.checked += 1
            record.decode(theirs.record).verify()
        except Unverified:
            self._seen.note(signed.block, good=False)
            raise
        self._seen.note(signed.block, good=True)
        return theirs

    def _answer(
        self, tx: Tables, theirs: Introduction, block: bytes, source: str, now: Instant
    ) -> Answer:
        owner = tx.owners.get(theirs.to)
        row = None if owner is None else tx.peers.get(theirs.to, theirs.sender)
        if owner is not None and row is not None and not row.blocked:
            if row.name is not None or row.written:
                return self._accept(tx, owner, row, theirs, now)
            ledger.heard(tx, theirs.to, theirs.sender, now)
        visit = Visit(
            owner=theirs.to,
            sender=theirs.sender,
            source=source,
            at=record.decode(theirs.record).claim.nodes[0].origin,
            introduction=block,
            issued=theirs.issued,
        )
        self._strangers.come(tx, visit)
        return HELD

    def _invited(self, tx: Tables, signed: Signed[Introduction], now: Instant) -> Answer:
        claim = signed.claim
        owner = tx.owners.get(claim.to)
        assert claim.invite is not None
        assert claim.proof is not None
        invite = None if owner is None else tx.invites.get(claim.to, claim.invite)
        token = tokens.invite(tx.node().invite, claim.to, claim.invite)
        expected = tokens.proof(token, claim.sender, claim.to, claim.issued)
        if not tokens.equal(expected, claim.proof) or invite is None or owner is None:
            raise Unverified("this proves no invite of ours", reason="forged")
        theirs = self._verified(signed)
        if _own(theirs) is None:
            raise Unverified("an invite is for the key that introduces itself", reason="forged")
        over = _replaced(tx, theirs)
        if over is not None:
            return over
        row = tx.peers.get(claim.to, claim.sender)
        word = _against(invite, row, theirs, now)
        if word == "spent":
            tried = invite.tried + 1
            tx.invites.put(invite.but(tried=tried))
            if tried.bit_count() == 1:  # the 1st, 2nd, 4th … time: a link can be used endlessly
                self._core.note("invite-again", invite=invite.id.hex(), peer=short(claim.sender))
        if word is not None:
            return refused(word)
        answer = self._accept(tx, owner, row or Peer(owner=claim.to, did=claim.sender), theirs, now)
        tx.invites.put(invite.but(spent=claim.sender))
        return answer

    def _accept(
        self, tx: Tables, owner: Owner, row: Peer, theirs: Introduction, now: Instant
    ) -> Answer:
        if _own(theirs) is None:
            _vouch(tx, row, theirs, now)
            return ACCEPTED
        befriended = _befriend(tx, row, theirs, now)
        self._core.followed(row, befriended)
        tx.peers.put(befriended)
        _heard(tx, row, now)
        ours = introduction(owner, befriended, tx.node().capability, now)
        self._core.outgoing.ring()
        return Answer(state="accepted", introduction=INTRODUCTION.decode(ours))


def _replaced(tx: Tables, theirs: Introduction) -> Answer | None:
    """The answer where either key was replaced; None: neither was.

    Whoever introduces itself hears what it may know already; of ours, what /v1/owners tells.
    """
    owner, row = tx.owners.get(theirs.to), tx.peers.get(theirs.to, theirs.sender)
    if owner is not None and owner.heir is not None:
        return refused("stale-record", record=owners.record_of(owner))
    own = _own(theirs)
    if row is not None and row.heir is not None and not row.blocked and own is not None:
        return refused("replaced")
    return refused("replaced") if own is not None and own.successor is not None else None


def _vouch(tx: Tables, row: Peer, theirs: Introduction, now: Instant) -> None:
    """A contact introduces a third key: that is shown beside what it sends, and no more."""
    if row.name is None:
        return
    did = record.decode(theirs.record).claim.id
    said = sum(1 for _ in tx.vouches.by("by", row.owner, row.did))
    if said < limits.VOUCHES:
        tx.vouches.put(Vouch(owner=row.owner, did=did, by=row.did, at=now))


def _against(invite: Invite, row: Peer | None, theirs: Introduction, now: Instant) -> str | None:
    """Why a proved invite is refused; None: it is not."""
    if theirs.issued > now + limits.CLOCK_SKEW:
        return "clock"
    if now >= invite.expires:
        return "expired"
    if invite.spent is not None and invite.spent != theirs.sender:
        return "spent"
    gone = row is None or row.name is None or row.blocked
    if invite.spent is not None and gone:
        return "spent"
    return "spent" if row is not None and row.blocked else None


def lane_word(row: Peer) -> str:
    """`contact`, `stranger` (not met yet), `closed` (blocked) or `replaced` (by another key)."""
    if row.blocked:
        return "closed"
    if row.heir is not None:
        return "replaced"
    return "contact" if row.met else "stranger"
