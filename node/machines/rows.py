"""What is stored, as values: the row *is* the state.

Rows are frozen msgspec structs: typed, compact, and an old row reads with a new field's
default. Rows name no keys of the store: which bytes they lie under is `store.keyspace`'s.
Every row that belongs to somebody begins with its owner.
"""

from typing import Any

import msgspec

from node import limits
from node.encoding.cid import Cid
from node.units import Instant, Key


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stored value; `but` gives a changed copy."""

    def but(self, **changes: Any) -> Any:
        """The same row with `changes`."""
        return msgspec.structs.replace(self, **changes)


class Node(Row, frozen=True, kw_only=True, omit_defaults=True):
    """The node's own secrets (32 random bytes each) and what it must not forget.

    Attributes:
        schema: the version of the rows in this store.
        last_clock: a recent wall clock that was believed, to notice that it stepped while the
            node was down; seen_clock: the same, believed or not: rows may be due as late as that.
        owners: how many owners there ever were (order of `owner list`).
        dead: bytes of small blocks deleted since the store was last compacted, about.
        backed_up: the moment that the newest backup holds; verified: the same of the newest one
            that was restored for trial and compared. 0: there is none.
        backup: the newest one's name, and the key that opens it.
        lost: (memory, start) of the last restore: what happened between is not remembered.
        rival: when a contact last showed a record of ours that we did not make.
        listed: how many records are kept for others.
        removed: owners who went, until a start finds nothing more of them.
        storm: since when nothing is taken from strangers; 0: they are heard.
        domains: how many proven domains are remembered.
    """

    schema: int
    ticket: bytes
    capability: bytes
    invite: bytes
    last_clock: Instant = Instant(0)
    seen_clock: Instant = Instant(0)
    owners: int = 0
    dead: int = 0
    backed_up: Instant = Instant(0)
    verified: Instant = Instant(0)
    backup: tuple[bytes, bytes] | None = None
    lost: tuple[Instant, Instant] | None = None
    rival: Instant = Instant(0)
    listed: int = 0
    removed: tuple[bytes, ...] = ()
    storm: Instant = Instant(0)
    domains: int = 0


class Owner(Row, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody whose mail this node keeps.

    Attributes:
        order: 0 for the first, who is meant when no owner is named.
        signing: the Ed25519 seed; sealing: (X25519 secret, made at), newest first.
        record: the current address record, a block; one with a successor is the last.
        recovered: when it began again from the phrase alone, remembering nothing before.
        heir: the key that took over, as the record says; nothing is sent with this one any more.
        before: the last records of the keys that came before, oldest first: whoever knows only
            one of those is told.
    """

    owner: Key
    order: int
    name: str
    signing: bytes
    sealing: tuple[tuple[bytes, int], ...]
    recovery: Key
    record: bytes
    created: Instant
    recovered: Instant | None = None
    heir: Key | None = None
    before: tuple[bytes, ...] = ()


class Token(Row, frozen=True, kw_only=True, omit_defaults=True):
    """What opens the local API as one owner, from one device; the token itself is not kept.

    Attributes:
        id: 4 bytes, by which it is named and revoked.
        digest: SHA-256 of the token.
        device: the administrator's word for where it is.
        used: the day it was last used (its midnight, UTC); 0: never.
        monitor: it opens what a monitor asks for, and no mailbox.
        archive: the id of the one archive that it shows, and nothing else; none: as said above.
    """

    owner: Key
    id: bytes
    digest: bytes
    made: Instant
    device: str = ""
    used: Instant = Instant(0)
    monitor: bool = False
    archive: bytes = b""


class Account(Row, frozen=True, kw_only=True, omit_defaults=True):
    """What an owner uses, and the counters that make loss noticed. Sizes in bytes.

    Attributes:
        limit: the quota.
        waiting, grace, sent, inbox: what is used, by state.
        stamp: the last instant given to a delivery; they are distinct and increasing.
        mails: the last number given in the inbox; sents, inboxed: rows there are.
        held: the last number given to something held; ring: slots in use.
        deleted: how many messages were deleted by their owner.
    """

    owner: Key
    limit: int
    waiting: int = 0
    grace: int = 0
    sent: int = 0
    inbox: int = 0
    stamp: Instant = Instant(0)
    mails: int = 0
    sents: int = 0
    inboxed: int = 0
    held: int = 0
    ring: int = 0
    deleted: int = 0


class Peer(Row, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody an owner writes to or hears from; a *contact* when it has a name.

    One row is also the clock of all that is owed to that peer: a peer that is down costs
    one attempt, however much waits for it.

    Attributes:
        name: the owner's own word for the peer; None: not a contact.
        record: its newest verified record, a block; None: not known yet.
        origin: where it was said to be, until its node, or a record, has said so.
        capability: what it gave us to show; theirs to us is computed, never stored.
        written: the owner wrote to it by address: its introduction is as good as invited.
        met: it has answered our introduction, or introduced itself: both have the row.
        token: the 16 bytes of the invite we came by, until it is answered.
        introduce: our introduction is owed; introduce_at: not before; introduce_step: place in
            the retry schedule.
        wake_at: when something goes out to it next; silent: attempts unanswered in a row, since
            silent_since; silent_why: the word of the last one.
        pickup_at, pickup_silent: the same for pickups from it.
        nudged_at: when held and refused rows were last tried because it was heard from;
            woken_at: when it was itself, being silent.
        since: the `now` of its last poll answer; poll_at: when to ask next; poll_step: refusals
            of our poll in a row.
        asked: the `issued` of its last poll to us.
        lost: (memory, start), to be said in polls until answered.
        refused: why its node last refused our introduction.
        greeted: origins whose node itself said that the peer is there.
        blocked_at: since when it is blocked; None: not, or since before that was noted.
        provisional: the name is a stand-in until a record says what the peer is called.
        verified: when the owner compared the six words with them.
        keyed: when its present sealing key was first seen here.
        heir: the key that took over: this row is kept to refuse the old one.
        before: the key whose contact it took over, with its name, at `followed`.
    """

    owner: Key
    did: Key
    name: str | None = None
    added: Instant = Instant(0)
    blocked: bool = False
    record: bytes | None = None
    origin: str | None = None
    capability: bytes | None = None
    written: bool = False
    met: bool = False
    token: bytes | None = None
    introduce: bool = False
    introduce_at: Instant = Instant(0)
    introduce_step: int = 0
    wake_at: Instant | None = None
    silent: int = 0
    silent_since: Instant | None = None
    silent_why: str | None = None
    pickup_at: Instant | None = None
    pickup_silent: int = 0
    nudged_at: Instant = Instant(0)
    woken_at: Instant = Instant(0)
    since: Instant = Instant(0)
    poll_at: Instant | None = None
    poll_step: int = 0
    asked: Instant = Instant(0)
    lost: tuple[Instant, Instant] | None = None
    refused: str | None = None
    greeted: tuple[str, ...] = ()
    provisional: bool = False
    verified: Instant | None = None
    keyed: Instant = Instant(0)
    heir: Key | None = None
    before: Key | None = None
    followed: Instant = Instant(0)
    blocked_at: Instant | None = None


class Sent(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A message at its author: the archive that is also the queue.

    Attributes:
        order: place in the owner's sent mail.
        key: K, which opens it.
        size: plaintext bytes; stored: bytes of all its blocks, charged to the quota.
        parts: CIDs of the blocks beside the root.
        charge: the column of the account it is charged to.
        open: addressees that neither confirmed, retracted nor expired.
        grace_until: blocks stay at least so long.
        keep_sent: overrides the configuration; None: as configured.
        scanned, subject: what the scan found, once somebody looked.
        imported: it was sent elsewhere: there is no delivery of it.
    """

    owner: Key
    message: Cid
    order: int
    key: bytes
    size: int
    stored: int
    created: Instant
    keep_until: Instant
    parts: tuple[Cid, ...] = ()
    charge: str = "waiting"
    open: int = 0
    grace_until: Instant | None = None
    keep_sent: bool | None = None
    scanned: bool = False
    subject: str | None = None
    recipients: int = 0
    imported: bool = False


class Attempt(Row, frozen=True, kw_only=True, omit_defaults=True):
    """One notification of one delivery, and what came of it (None: not known yet)."""

    at: Instant
    answer: str | None = None


class Delivery(Row, frozen=True, kw_only=True, omit_defaults=True):
    """One message for one addressee, at its author.

    Attributes:
        state: stored, notified, held, refused, fetched, confirmed, retracted, expired.
        reason: a word, with held and refused.
        stamp: when it was stored or re-opened; distinct and increasing for one owner.
        announced: a notification may have left; only then a receipt counts.
        step: place in the retry schedule.
        next_at: when it is due; None when over.
        got: one bit for each part the addressee's ticket was used for, the root last.
        receipted: the `at` of the receipt, 0 where it can't be right; first_receipt: our clock
            at the first one.
        void_before: receipts dated before are void (a restored recipient).
        ended_as: `retracted` or `expired`, when a receipt came all the same.
    """

    owner: Key
    message: Cid
    to: Key
    ticket: bytes
    stamp: Instant
    keep_until: Instant
    state: str = "stored"
    reason: str | None = None
    announced: bool = False
    step: int = 0
    attempts: tuple[Attempt, ...] = ()
    next_at: Instant | None = None
    got: bytes = b""
    fetched_at: Instant | None = None
    confirmed_at: Instant | None = None
    receipted: Instant | None = None
    first_receipt: Instant | None = None
    void_before: Instant = Instant(0)
    ended_as: str | None = None


class Errand(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A receipt, retraction or changed record that `owner` still has to tell `to`.

    Attributes:
        kind: `receipt`, `retraction` or `record`.
        message: which; for a record, its own name.
        block: the signed retraction; a receipt is signed anew for what is owed together.
    """

    owner: Key
    to: Key
    kind: str
    message: Cid
    step: int = 0
    next_at: Instant = Instant(0)
    block: bytes | None = None


class Mail(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A message in an owner's inbox.

    Attributes:
        n: the number people use; given at arrival, never reused.
        state: new, read, waiting, failed, or deleted (kept so that it is shown once).
        key: K, which opens it; stored: bytes charged; parts: blocks beside the root.
        keep_until: until when it waits at its sender (waiting, and deleted while it waited).
        missed: it was deleted and had never been here: no receipt will say that it was.
        scanned, subject, date: what the scan found, once somebody looked.
        heard: when its notification came.
        imported: it came from a file; its owner sealed it, and nobody's key vouches for it.
        claimed: its From field, of an imported one.
    """

    owner: Key
    n: int
    message: Cid
    sender: Key
    size: int
    received: Instant
    state: str = "new"
    key: bytes = b""
    stored: int = 0
    parts: tuple[Cid, ...] = ()
    keep_until: Instant | None = None
    missed: bool = False
    scanned: bool = False
    subject: str | None = None
    date: Instant | None = None
    heard: Instant = Instant(0)
    imported: bool = False
    claimed: str | None = None


class Pickup(Row, frozen=True, kw_only=True, omit_defaults=True):
    """Accepted mail that is not here yet.

    Attributes:
        boxed: the sealed box as it came; key: what it held, once it was opened.
        state: wanted (to be fetched), waiting (its owner will call for it).
        reason: why it waits: `waiting` (large) or `over-quota`.
        n: its number in the inbox, when it is shown there already.
        failures: pickups whose bytes never verified.
    """

    owner: Key
    sender: Key
    message: Cid
    size: int
    boxed: bytes
    key: bytes | None = None
    ticket: bytes
    issued: Instant
    keep_until: Instant
    origin: str
    received: Instant
    state: str = "wanted"
    reason: str | None = None
    n: int | None = None
    step: int = 0
    next_at: Instant | None = None
    failures: int = 0


class Withdrawn(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A retraction kept against late duplicates, until the notification would have expired."""

    owner: Key
    sender: Key
    message: Cid
    block: bytes
    until: Instant


class Held(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A stranger's slot in the ring: one pending thing for each key.

    Attributes:
        proof: the evidence of a notification; introduction: the block of one.
        issued, introduced: what these say themselves; the newest counts.
        source: the address it came from, and came: when; network: what that counts for.
        known: its capability verified though the contact is missing: a contact before.
        domain: the registrable domain of the origin; by: how that was proven (`address`,
            `reverse`); None: it was not.
        iprev, reverse, reverse_domain: what reverse DNS says of the source.
        named: whether the domain names this key itself.
        call_at: when its origin is called back next; calls: how often it did not answer.
        answered: when its origin answered first; shown: and again later. 0: it did not yet.
        looked: what can be found out about it was.
        home: the first origin of the introduction's record.
    """

    owner: Key
    sender: Key
    n: int
    received: Instant
    source: str
    proof: bytes | None = None
    introduction: bytes | None = None
    introduced: Instant = Instant(0)
    issued: Instant = Instant(0)
    message: Cid | None = None
    size: int | None = None
    origin: str | None = None
    keep_until: Instant | None = None
    known: bool = False
    network: str = ""
    domain: str | None = None
    by: str | None = None
    iprev: str | None = None
    reverse: str | None = None
    reverse_domain: str | None = None
    named: bool | None = None
    call_at: Instant | None = None
    calls: int = 0
    answered: Instant = Instant(0)
    shown: Instant = Instant(0)
    looked: bool = False
    home: str | None = None
    came: Instant = Instant(0)


class Standing(Row, frozen=True, kw_only=True, omit_defaults=True):
    """That the node at an origin answered for a key when it was called back.

    Attributes:
        id: SHA-256 of key and origin.
        answered: when it did first; shown: and again later. 0: it did not yet.
        until: kept so long.
    """

    id: bytes
    answered: Instant
    until: Instant
    shown: Instant = Instant(0)


class Domain(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A registrable domain that was proven once.

    Attributes:
        id: SHA-256 of its name.
        seen: when that was first.
        registered: when it was registered, as its registry says; None: it does not say.
        asked: when the registry was asked last; 0: never.
        kept, broken: announced mail of strangers there that was picked up, or was gone.
    """

    id: bytes
    name: str
    seen: Instant
    registered: Instant | None = None
    asked: Instant = Instant(0)
    kept: int = 0
    broken: int = 0


class Promise(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A stranger's notification that was allowed: what was signed, and whether it was kept.

    Attributes:
        proof: the evidence as it came; record: the author's record at that time, if known.
        source, domain: where it came from, and the domain that was proven for it; came: when.
        state: open, kept (the mail was there), broken (it was gone before `keep_until`).
        at: when that was decided; until: kept so long.
    """

    owner: Key
    sender: Key
    message: Cid
    proof: bytes
    source: str
    keep_until: Instant
    until: Instant
    record: bytes | None = None
    domain: str | None = None
    by: str | None = None
    state: str = "open"
    at: Instant = Instant(0)
    came: Instant = Instant(0)


class Barred(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A domain or network from which an owner takes nothing of strangers.

    Attributes:
        id: SHA-256 of the word; word: the registrable domain, or the network.
    """

    owner: Key
    id: bytes
    word: str
    at: Instant


class Vouch(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A contact (`by`) introduced `did`, whom the owner does not know."""

    owner: Key
    did: Key
    by: Key
    at: Instant


class Invite(Row, frozen=True, kw_only=True, omit_defaults=True):
    """An invite: 4-byte id, until when, and the key that came by it."""

    owner: Key
    id: bytes
    expires: Instant
    spent: Key | None = None
    tried: int = 0


class Pin(Row, frozen=True, kw_only=True, omit_defaults=True):
    """Whose key a name at a domain was when it was first looked up.

    Attributes:
        digest: SHA-256 of the handle; handle: `name@domain`.
        did: the key that stays until the owner removes it.
    """

    owner: Key
    digest: bytes
    handle: str
    did: Key
    at: Instant


class Listed(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A record that this node keeps for somebody else, as a directory.

    Attributes:
        network: 16 bytes for the network that offered it.
        checked: when the node at one of its origins told the same; until: kept so long.
    """

    did: Key
    block: bytes
    network: bytes
    checked: Instant
    until: Instant


class Block(Row, frozen=True, kw_only=True, omit_defaults=True):
    """One stored block.

    Attributes:
        refs: how many rows need it; at 0 the bytes go and the name stays while known.
        seq: where its bytes lie in the store; None: in a file, or gone.
        file: whether its bytes are a file.
        author, message: the mail it belongs to, if it was submitted here.
    """

    cid: Cid
    size: int
    refs: int = 0
    seq: int | None = None
    file: bool = False
    author: Key | None = None
    message: Cid | None = None


class Draft(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A large message that is being sealed: its key and the parts that were written.

    What a crash leaves of it is removed when the node starts.
    """

    owner: Key
    key: bytes
    parts: tuple[Cid, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Something that happened to a message.

    Attributes:
        message: the last 8 bytes of its name; none: to all mail between the owner and `who` then.
        word: what; detail: more, for a person.
    """

    at: Instant
    message: bytes
    word: str
    who: Key | None = None
    detail: str | None = None


class Chapter(Row, frozen=True, kw_only=True, omit_defaults=True):
    """Steps of an owner's messages, in the order in which they were noted."""

    owner: Key
    number: int
    steps: tuple[Step, ...] = ()


class Trash(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A file that is to be removed."""

    cid: Cid


class Reader(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Somebody who may read a private archive of an owner.

    Attributes:
        sealing: the key that the archive's is boxed to; none: a mirror, which opens nothing.
    """

    did: Key
    sealing: bytes = b""
    added: Instant = Instant(0)


class Archive(Row, frozen=True, kw_only=True, omit_defaults=True):
    """An archive as one owner has it: published here, or followed.

    Attributes:
        id: 16 random bytes; its logs, tiles and items lie under them.
        name: what it is called here; unique for the owner.
        publisher: who signs `about`: the owner itself, or whom it follows.
        epoch: the newest.
        public: whether it is served here; for a followed one: as a mirror.
        posting: what becomes of mail to its owner: `off`, `hold` or `append`.
        posted: up to which number the inbox was looked through for that.
        urls: where it is followed; none: it is the owner's own.
        pins: of the certificates met there, by origin.
        etags: of the last checkpoint, by address.
        turn: which address is asked next: all of them are, one after the other, so that a
            history that is told differently elsewhere is noticed.
        poll_at: when it is asked again; failures: how often in a row it failed.
        polled, verified: when that went through; reason: why it did not, in one line.
        fork: two checkpoints that can't both be of one log. Nothing is believed any more.
        behind: restored from a backup: nothing is signed until it caught up.
        backed: entries of its newest log in that backup: who shows no more of them proves nothing.
        private: its entries are sealed, and it is served to its readers alone.
        readers: who may fetch it beside its publisher, as the publisher last said.
    """

    owner: Key
    id: bytes
    name: str
    publisher: Key
    created: Instant
    epoch: int = 1
    public: bool = False
    posting: str = "off"
    posted: int = 0
    urls: tuple[str, ...] = ()
    pins: dict[str, bytes] = {}
    etags: dict[str, str] = {}
    turn: int = 0
    poll_at: Instant | None = None
    failures: int = 0
    polled: Instant = Instant(0)
    verified: Instant = Instant(0)
    reason: str | None = None
    fork: tuple[bytes, ...] = ()
    behind: bool = False
    backed: int = 0
    private: bool = False
    readers: tuple[Reader, ...] = ()


class Log(Row, frozen=True, kw_only=True, omit_defaults=True):
    """One epoch of an archive.

    Attributes:
        origin: the log's name, its first line; key: who signs its checkpoints.
        signing: the seed of that key; none where it is followed.
        about: the signed `archive` object.
        size, peaks: its right edge, as the checkpoint `note` says it.
        ahead, edge: the same of entries that are stored and not yet under a checkpoint.
        applied: of how many entries the messages are noted, or erased (a follower's).
        keys: of a private archive, as far as they are known here; each with the entry it begins at.
    """

    archive: bytes
    epoch: int
    origin: str
    key: Key
    signing: bytes = b""
    about: bytes = b""
    size: int = 0
    peaks: tuple[bytes, ...] = ()
    note: bytes = b""
    ahead: int = 0
    edge: tuple[bytes, ...] = ()
    applied: int = 0
    keys: tuple[tuple[int, bytes], ...] = ()


class Tile(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A file of a log: row 0 holds entry bundles, row L + 1 the hashes of level L.

    The last of a row grows; served is as much of it as was asked for. Of a private archive row 100
    holds what its sealed entries name, row 101 the `readers` object.
    """

    archive: bytes
    epoch: int
    row: int
    index: int
    data: bytes


class Item(Row, frozen=True, kw_only=True, omit_defaults=True):
    """A message of an archive.

    Attributes:
        index: its first place in the log of `epoch`; size: bytes of its content; date: when it says
            it was written.
        state: `here`, `wanted` (to be fetched), `missing` (nobody serves it), `large` (it
            waits until it is asked for) or `removed`.
        parts: blocks beside the root.
        key: opens it, in a private archive.
        digest: SHA-256 of its content, in a private archive of our own: there the same bytes have
            another name each time.
    """

    archive: bytes
    message: Cid
    epoch: int
    index: int
    size: int
    date: Instant
    state: str = "here"
    parts: tuple[Cid, ...] = ()
    key: bytes = b""
    digest: bytes = b""


SCHEMA = 3
"""The version of all rows above; a store with a higher one is refused."""


def fresh_account(owner: Key, limit: int = limits.QUOTA_DEFAULT) -> Account:
    """An owner's account before anything is in it."""
    return Account(owner=owner, limit=limit)
