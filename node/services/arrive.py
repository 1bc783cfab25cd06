"""Rows of the inbox while mail comes in: shown as waiting, failed, or found again."""

import hashlib

from node.machines import inbox, pickup
from node.machines import peer as peers
from node.machines.rows import Draft, Mail, Peer, Pickup, Trash
from node.objects.message import Message
from node.ports import Tables
from node.services import ledger
from node.units import Instant, Key


def mail_of(tx: Tables, owner: Key, message: bytes, sender: Key) -> Mail | None:
    """The owner's row of a message from that sender."""
    return tx.mails.called("message", owner, message, sender)


def show_waiting(tx: Tables, row: Pickup, mail: Mail | None, now: Instant) -> int:
    """Mail that waits at its sender appears in the inbox; its number."""
    if mail is None:
        mail = numbered(tx, row, now)
    tx.mails.put(mail.but(state="waiting", keep_until=row.keep_until))
    return mail.n


def numbered(tx: Tables, row: Pickup, now: Instant) -> Mail:
    """A new inbox row with the next number, not written yet."""
    account = ledger.account(tx, row.owner)
    account = account.but(mails=account.mails + 1, inboxed=account.inboxed + 1)
    tx.accounts.put(account)
    return Mail(
        owner=row.owner,
        n=account.mails,
        message=row.message,
        sender=row.sender,
        size=row.size,
        received=now,
    )


def goes_on(tx: Tables, mail: Mail | None) -> Mail | None:
    """The row of mail that never came and is to come now; None: it gets one when it is here.

    What was deleted is forgotten: it comes under a new number, none is used twice.
    """
    if mail is None or not mail.missed:
        return mail
    tx.mails.delete(mail)
    account = ledger.account(tx, mail.owner)
    tx.accounts.put(account.but(inboxed=account.inboxed - 1))
    return None


def wait(tx: Tables, row: Pickup, now: Instant) -> None:
    """There is no room: the mail waits at its sender, and the inbox shows it."""
    mail = mail_of(tx, row.owner, row.message, row.sender)
    n = show_waiting(tx, row, mail, now)
    tx.pickups.put(pickup.on_full(row.but(n=n)))


def fail(tx: Tables, row: Pickup) -> None:
    """Its sender does not keep it any more; what was shown already becomes failed."""
    tx.pickups.delete(row)
    promised(tx, row, "broken" if row.state == "wanted" else "open")
    mail = mail_of(tx, row.owner, row.message, row.sender)
    if mail is not None and mail.state == "waiting":
        tx.mails.put(mail.but(state="failed", keep_until=None, heard=row.received))


def promised(tx: Tables, row: Pickup, state: str) -> None:
    """A stranger signed until when mail is kept: noted whether it was, for its domain too."""
    known = tx.promises.get(row.owner, row.sender, row.message)
    if known is None or known.state == state:
        return
    tx.promises.put(known.but(state=state))
    place = None if known.domain is None else tx.domains.get(domain_id(known.domain))
    if place is not None and known.state == "open":
        tx.domains.put(place.but(**{state: getattr(place, state) + 1}))


def domain_id(name: str) -> bytes:
    """Under which key a domain is remembered."""
    return hashlib.sha256(name.encode()).digest()


def trash_parts(tx: Tables, root: Message) -> None:
    """Files of a message that will not arrive, unless another row needs them."""
    for part in root.parts:
        known = tx.blocks.get(part.cid)
        if known is None or not known.refs:
            tx.trash.put(Trash(cid=part.cid))


def want(tx: Tables, row: Pickup, now: Instant) -> None:
    """A waiting pickup becomes due."""
    tx.pickups.put(pickup.on_called(row, now))
    peer = tx.peers.get(row.owner, row.sender) or Peer(owner=row.owner, did=row.sender)
    tx.peers.put(peers.on_wanted(peer, now))


def make_room(tx: Tables, owner: Key, now: Instant) -> int:
    """What waited only for room is picked up, as far as there is room now; how many."""
    account = ledger.account(tx, owner)
    room, found = account.limit - inbox.used(account), list[Pickup]()
    for row in tx.pickups.by("full", owner):
        if room < inbox.needed(0) or len(found) == 256:
            break
        if inbox.needed(row.size) <= room:
            room -= inbox.needed(row.size)
            found.append(row)
    for row in found:
        want(tx, row, now)
    return len(found)


def abandon(tx: Tables, draft: Draft) -> None:
    """Forgets a draft that was not finished; its files go to the trash."""
    stored = tx.drafts.get(draft.owner, draft.key)
    for part in stored.parts if stored is not None else ():
        block = tx.blocks.get(part)
        if block is None or not block.refs:
            tx.trash.put(Trash(cid=part))
    tx.drafts.delete(draft)
