"""What an owner does with the mailbox: read, call for, delete, allow, deny, retract.

Messages are named by number, by CID, or by the last characters of a CID (eight or more).
"""

from collections.abc import AsyncGenerator

from node import limits
from node.encoding import cid as cids
from node.encoding import names
from node.encoding.cid import Cid
from node.errors import Absent, Malformed, NoContact, Refused, Usage
from node.machines import inbox, outbox
from node.machines import peer as peers
from node.machines.rows import Delivery, Held, Mail, Owner, Peer, Promise, Sent
from node.mail import original
from node.mail.scan import Scan, scan
from node.objects import content, message, notification
from node.objects.introduction import INTRODUCTION
from node.ports import Tables
from node.services import arrive, hear, ledger, meet, owners, petnames, ring, strangers
from node.services.core import Core
from node.units import Instant, Key

TAIL = 8
"""Characters of a CID that name a message: 38 bits, more than any mailbox confuses."""

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


# --- naming -----------------------------------------------------------------------------


def tail_of(text: str) -> bytes:
    """The last 4 bytes of the CID whose print ends with `text`.

    Raises:
        Usage: too short, or not base32.
    """
    if not _is_tail(text):
        if text.isascii() and text.isdigit():
            raise Usage(
                f"{text[:80]} is a number of the inbox; this takes a CID",
                next="give its last 8 characters, as `willcall sent` shows them",
            )
        raise Usage(
            f"{text[:80]!r} names no message",
            next="give a number from `willcall inbox`, or a CID, whole or its last 8 characters",
        )
    bits = 0
    for char in text[-TAIL:]:
        bits = bits << 5 | _ALPHABET.index(char)
    # 36 bytes are 58 characters: the last one carries 3 bits and 2 of padding.
    return (bits >> 2 & 0xFFFFFFFF).to_bytes(4, "big")


def _is_tail(text: str) -> bool:
    return len(text) >= TAIL and all(char in _ALPHABET for char in text)


def find_mail(tx: Tables, owner: Key, ref: str) -> Mail:
    """A message in the inbox, by number or CID.

    Raises:
        Absent: there is none.
    """
    if ref.isascii() and ref.isdigit() and len(ref) < 16:
        row = tx.mails.get(owner, int(ref))
        if row is None or row.state == "deleted":
            raise Absent(f"there is no message {ref} in the inbox", next="willcall inbox")
        return row
    found = [
        row
        for row in tx.mails.by("tail", owner, tail_of(ref))
        if row.state != "deleted" and cids.show(row.message).endswith(ref)
    ]
    if not found:
        raise Absent(f"there is no message {ref[:80]} in the inbox", next="willcall inbox")
    return found[0]


def find_sent(tx: Tables, owner: Key, ref: str) -> Sent:
    """A message that was sent, by CID.

    Raises:
        Absent: there is none.
    """
    for row in tx.sent.by("tail", owner, tail_of(ref)):
        if cids.show(row.message).endswith(ref):
            return row
    raise Absent(f"there is no sent message {ref[:80]}", next="willcall sent")


def find_any(tx: Tables, owner: Key, ref: str) -> Mail | Sent:
    """A message of the inbox, else one that was sent; the inbox's error where it is neither."""
    try:
        return find_mail(tx, owner, ref)
    except Absent:
        if ref.isdigit():
            raise
        try:
            return find_sent(tx, owner, ref)
        except Absent:
            pass
        raise


def find_held(tx: Tables, owner: Key, ref: str) -> Held:
    """Something held, by CID of its message or by did.

    Raises:
        Absent: there is none.
        Usage: it can be neither.
    """
    for row in tx.held.by("n", owner):
        did = names.did(row.sender)
        tail = "" if row.message is None else cids.show(row.message)
        if did == ref or (len(ref) >= TAIL and tail.endswith(ref)):
            return row
    if not (ref.startswith("did:") or ref.isdecimal() or _is_tail(ref)):
        raise Usage(
            f"{ref[:80]!r} names nothing that can be held",
            next="give a message or a did of `willcall held`",
        )
    raise Absent(f"nothing is held under {ref[:80]!r}", next="willcall held")


def find_allowed(tx: Tables, owner: Key, ref: str) -> Promise | None:
    """A stranger's message that was allowed, here or not, by CID or the end of one."""
    if not _is_tail(ref):
        return None
    found = (row for row in tx.promises.scan(owner) if cids.show(row.message).endswith(ref))
    return next(found, None)


# --- content ----------------------------------------------------------------------------


class Contents:
    """The plaintext of mail, sent or received, piece by piece."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def read(self, row: Sent | Mail) -> AsyncGenerator[bytes, None]:
        """The message exactly as it was submitted.

        Raises:
            Absent: its bytes are not here (waiting, failed, freed).
            Damaged: they are not what they are named.
        """
        root = self._core.db.read(lambda tx: self._root(tx, row))
        if root.body is not None:
            yield content.open_body(root, row.key)
            return
        for index, part in enumerate(root.parts):
            block = await self._core.files.read(part.cid)
            yield content.open_part(root, row.key, index, block)

    def proof(self, row: Sent | Mail) -> bytes:
        """What shows a third person that its author wrote this message.

        Raises:
            Absent: it was imported, or its root is not here.
        """
        if row.imported:
            raise Absent("it was imported: nobody's key vouches for it", reason="no-proof")
        return original.proof(self._core.db.read(lambda tx: self._block(tx, row)), row.key)

    def _root(self, tx: Tables, row: Sent | Mail) -> message.Message:
        return message.KIND.decode(self._block(tx, row)).claim

    def _block(self, tx: Tables, row: Sent | Mail) -> bytes:
        if isinstance(row, Mail) and row.state in ("waiting", "failed"):
            raise Absent(
                f"message {row.n} is still at its sender"
                if row.state == "waiting"
                else f"message {row.n} is no longer kept by its sender",
                reason=row.state,
                next=f"willcall fetch {row.n}" if row.state == "waiting" else "ask the sender",
            )
        block = tx.blocks.get(row.message)
        data = None if block is None or not block.refs else tx.blocks.data(block)
        if data is None:
            raise Absent("the bytes of this message were freed; only its row is kept")
        return data

    async def scanned(self, row: Sent | Mail) -> Scan:
        """Subject and date: from the row, or from the first bytes, which are then noted."""
        if row.scanned:
            date, sender = (row.date, row.claimed) if isinstance(row, Mail) else (None, None)
            return Scan(subject=row.subject, date=date, sender=sender, message_id=None)
        try:
            stream = self.read(row)
            found = scan(await anext(stream))
            await stream.aclose()
        except (Absent, StopAsyncIteration):
            return Scan(subject=None, date=None, sender=None, message_id=None)
        self._core.db.apply(lambda tx: _note_scan(tx, row, found))
        return found


def _note_scan(tx: Tables, row: Sent | Mail, found: Scan) -> None:
    if isinstance(row, Sent):
        sent = tx.sent.get(row.owner, row.message)
        if sent is not None:
            tx.sent.put(sent.but(scanned=True, subject=found.subject))
        return
    mail = tx.mails.get(row.owner, row.n)
    if mail is not None and mail.stored:
        claimed = found.sender if mail.imported else None
        tx.mails.put(
            mail.but(scanned=True, subject=found.subject, date=found.date, claimed=claimed)
        )


# --- actions ----------------------------------------------------------------------------


class Mailbox:
    """What one owner does; every action is durable when it returns."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def mark_read(self, row: Mail) -> None:
        """The owner has looked at it; nobody else learns of it."""

        def work(tx: Tables) -> None:
            stored = tx.mails.get(row.owner, row.n)
            if stored is not None and stored.state == "new":
                tx.mails.put(stored.but(state="read"))
                self._note("read", row)

        await self._core.db.transact(work)

    def _note(self, word: str, row: Mail | Held) -> None:
        self._core.history.add(
            row.owner, word, self._core.now(), message=row.message or b"", who=row.sender
        )

    async def call(self, owner: Owner, row: Mail) -> None:
        """Calls for mail that waits at its sender.

        Raises:
            OverQuota: there is no room for it yet.
            Absent: its sender does not keep it any more.
        """
        now = self._core.now()

        def work(tx: Tables) -> None:
            wanted = tx.pickups.get(owner.owner, row.sender, row.message)
            if row.state in ("new", "read"):
                return
            if wanted is None:
                raise Absent(
                    f"message {row.n} is no longer kept by its sender",
                    reason="failed",
                    next="ask the sender to send it again",
                )
            ledger.check_room(ledger.account(tx, owner.owner), inbox.needed(wanted.size))
            arrive.want(tx, wanted, now)
            self._note("called-for", row)

        await self._core.db.transact(work)
        self._core.incoming.ring()

    async def delete(self, owner: Owner, refs: list[str]) -> tuple[list[int | str], list[Sent]]:
        """Deletes messages from the inbox, and the bytes of sent ones.

        Gives their numbers, or CIDs; and those whose bytes go later, when their grace is over.
        All, or none where one is absent.

        Raises:
            Refused: it was sent, and somebody may still fetch it.
        """
        now = self._core.now()

        def work(tx: Tables) -> tuple[list[int | str], list[Sent]]:
            found = [find_any(tx, owner.owner, ref) for ref in refs]
            mails = {row.n: row for row in found if isinstance(row, Mail)}
            sents = {cids.show(row.message): row for row in found if isinstance(row, Sent)}
            for mail in mails.values():
                _delete(tx, mail)
                self._note("deleted", mail)
            for sent in sents.values():
                if sent.open:
                    raise Refused(
                        "somebody may still fetch it", reason="open", next="willcall retract CID"
                    )
                ledger.settle(tx, sent.but(keep_sent=False), now, keep_sent=False)
            account = ledger.account(tx, owner.owner)
            tx.accounts.put(account.but(deleted=account.deleted + len(found)))
            arrive.make_room(tx, owner.owner, now)
            left = [tx.sent.get(owner.owner, sent.message) or sent for sent in sents.values()]
            return [*sorted(mails), *sents], [sent for sent in left if sent.charge == "grace"]

        made = await self._core.db.transact(work)
        self._core.incoming.ring()
        return made

    async def retract(self, owner: Owner, ref: str) -> Sent:
        """Withdraws a message from everyone who has not confirmed it. Again: the same.

        Raises:
            Refused: every delivery ended by itself, and none is withdrawn.
        """
        now, keep_sent = self._core.now(), self._core.config.keep_sent

        def work(tx: Tables) -> tuple[Sent, list[Delivery]]:
            row = find_sent(tx, owner.owner, ref)
            rows = list(tx.deliveries.scan(owner.owner, row.message))
            withdrawn = any(each.state == "retracted" for each in rows)
            if not hear.retract(tx, owner, rows, now, keep_sent) and not withdrawn:
                raise Refused(
                    "nothing is left to retract: every delivery of this message is over",
                    reason="over",
                    next=f"willcall status {ref}",
                )
            open_ = [each for each in rows if outbox.is_open(each)]
            return tx.sent.get(owner.owner, row.message) or row, open_

        row, withdrawn = await self._core.db.transact(work)
        for each in withdrawn:
            self._core.history.add(owner.owner, "retracted", now, message=row.message, who=each.to)
        self._core.outgoing.ring()
        return row

    # --- strangers ---------------------------------------------------------------------

    async def allow_message(self, owner: Owner, ref: str) -> Held:
        """This one message is picked up; its sender stays a stranger."""
        now = self._core.now()

        def work(tx: Tables) -> Held:
            slot = find_held(tx, owner.owner, ref)
            if slot.message is None:
                raise Usage(
                    "this is an introduction, not a message",
                    next=f"willcall allow {names.did(slot.sender)}",
                )
            self._check_proof(slot)
            _take(tx, slot, now)
            ring.drop(tx, owner.owner, slot.sender)
            return slot

        slot = await self._core.db.transact(work)
        self._note("allowed", slot)
        self._core.incoming.ring()
        return slot

    async def allow_key(self, owner: Owner, did: Key, name: str | None) -> Peer:
        """The key becomes a contact: what it has pending is taken, and we introduce ourselves.

        Raises:
            NoContact: nothing is known of that key.
        """
        now = self._core.now()

        def work(tx: Tables) -> Peer:
            slot = tx.held.get(owner.owner, did)
            row = tx.peers.get(owner.owner, did)
            if slot is None and row is None:
                raise NoContact(
                    f"nothing is known of {names.did(did)}", next="willcall contact add ADDRESS"
                )
            row = row or Peer(owner=owner.owner, did=did)
            if row.heir is not None:
                raise Refused(
                    f"{names.did(did)} was replaced; its owner goes on with {names.did(row.heir)}",
                    reason="replaced",
                    next="willcall contact list",
                )
            row = _befriended(tx, row, slot, name, now)
            if slot is not None:
                self._check_proof(slot)
            if slot is not None and slot.message is not None:
                _take(tx, slot, now)
            ring.drop(tx, owner.owner, did)
            return tx.peers.get(owner.owner, did) or row

        row = await self._core.db.transact(work)
        self._core.outgoing.ring()
        self._core.incoming.ring()
        return row

    def _check_proof(self, slot: Held) -> None:
        """`allow` bypasses the wait, not the proof: this node is aimed at nobody's place."""
        if not strangers.may_call(slot, self._core.config.origin):
            raise Refused(
                f"it came from {slot.source}, and nothing proves that {ring.place(slot)} has to "
                "do with that; nothing was changed",
                reason="not-proven",
                next="ask them for an invite link, or: willcall contact add "
                f"{names.did(slot.sender)}@{ring.place(slot)}",
            )

    async def deny(self, owner: Owner, ref: str) -> Held:
        """Empties the slot; by did, the key is blocked as well."""

        def work(tx: Tables) -> Held:
            slot = find_held(tx, owner.owner, ref)
            ring.drop(tx, owner.owner, slot.sender)
            if ref.startswith("did:"):
                row = tx.peers.get(owner.owner, slot.sender)
                row = row or Peer(owner=owner.owner, did=slot.sender)
                meet.block(tx, row, self._core.now())
            return slot

        return await self._core.db.transact(work)


def _delete(tx: Tables, row: Mail) -> None:
    if row.stored:
        for name in (*row.parts, row.message):
            tx.blocks.drop(name)
        account = ledger.account(tx, row.owner)
        tx.accounts.put(account.but(inbox=account.inbox - row.stored))
    wanted = tx.pickups.get(row.owner, row.sender, row.message)
    if wanted is not None:
        tx.pickups.delete(wanted)
    missed = not inbox.was_here(row)
    forgotten = {"key": b"", "subject": None, "claimed": None}
    tx.mails.put(row.but(state="deleted", stored=0, parts=(), missed=missed, **forgotten))


def _take(tx: Tables, slot: Held, now: Instant) -> None:
    """A held notification becomes a pickup."""
    assert slot.proof is not None
    item = notification.decode(notification.decode_evidence(slot.proof).verify().item)
    known = tx.pickups.get(item.to, item.sender, item.message)
    peer = tx.peers.get(item.to, item.sender)
    if peer is None:
        peer = Peer(owner=item.to, did=item.sender, origin=item.origin)
    mail = arrive.mail_of(tx, item.to, item.message, item.sender)
    if mail is None or not inbox.was_here(mail):
        mail = arrive.goes_on(tx, mail)
        row = inbox.pickup_of(item, known, inbox.Accept(), now)
        tx.pickups.put(row if mail is None else row.but(n=mail.n))
    tx.promises.put(
        Promise(
            owner=slot.owner,
            sender=slot.sender,
            message=item.message,
            proof=slot.proof,
            source=slot.source,
            came=slot.came or slot.received,
            keep_until=item.keep_until,
            until=Instant(now + limits.KEEP_LONGEST),
            domain=slot.domain,
            by=slot.by,
        )
    )
    tx.peers.put(peers.on_wanted(peer, now))


def _befriended(tx: Tables, row: Peer, slot: Held | None, name: str | None, now: Instant) -> Peer:
    if slot is not None and slot.introduction is not None:
        row = meet.taken(row, INTRODUCTION.decode(slot.introduction), now)
    if row.record is None and row.origin is None and slot is not None:
        row = row.but(origin=slot.origin)
    row = row.but(blocked=False, introduce=True, introduce_at=now, added=row.added or now)
    row = peers.on_asked(row, owners.forgotten(tx, row.owner), now)
    row = petnames.give(tx, row, name)
    row = peers.on_owed(row, now, now)
    tx.peers.put(row)
    return row


def message_of(text: str) -> Cid | None:
    """A whole CID as it was typed; None: something else."""
    try:
        return cids.parse(text)
    except Malformed:
        return None
