"""Deterministic owners, records, messages and rows that tests share.

Everything follows from a word: the same word gives the same keys, in every test and in the
published vectors. Sealed boxes are made from a given ephemeral secret, so that they are the
same bytes each time; libsodium's own would differ.
"""

from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Any

from nacl import bindings

from node.crypto import keys, tokens
from node.encoding import cid, names
from node.encoding.cid import Cid
from node.machines.rows import Delivery, Mail, Peer, Pickup, Sent
from node.objects import content, notification, record
from node.objects.introduction import INTRODUCTION, POLL, Introduction, Poll
from node.objects.message import Message, Part
from node.objects.notification import Batch, Notification
from node.objects.receipt import RECEIPT, RETRACTION, Receipt, Retraction
from node.objects.record import Endpoint, Record
from node.units import DAY, Instant, Key, Millis

NOW = Instant(1_750_000_000_000)
"""2025-06-15T15:06:40Z."""
KEEP = Millis(30 * DAY)


def pattern(size: int) -> bytes:
    """Bytes by the vectors' rule: byte i is i * 7 mod 251."""
    cycle = bytes(i * 7 % 251 for i in range(251))
    return (cycle * (size // 251 + 1))[:size]


def some(word: str, size: int = 32) -> bytes:
    """`size` bytes that follow from a word."""
    made = b"".join(sha256(f"{word}/{i}".encode()).digest() for i in range(size // 32 + 1))
    return made[:size]


def box(key: bytes, sealing_public: bytes, ephemeral: bytes) -> bytes:
    """libsodium's sealed box, from a given ephemeral secret."""
    public = bindings.crypto_scalarmult_base(ephemeral)
    nonce = blake2b(public + sealing_public, digest_size=24).digest()
    return public + bytes(bindings.crypto_box(key, nonce, sealing_public, ephemeral))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An owner with all secrets, and the secrets of its node."""

    word: str
    seed: bytes
    keys: keys.Keys
    origin: str
    ticket_key: bytes
    capability_key: bytes
    invite_key: bytes
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """The public key that names the owner."""
        return keys.public(self.keys.signing)

    @property
    def sealing(self) -> Key:
        """The X25519 public key."""
        return keys.sealing_public(self.keys.sealing)

    @property
    def recovery(self) -> Key:
        """The Ed25519 public recovery key."""
        return keys.public(self.keys.recovery)

    @property
    def did(self) -> str:
        """The printed key."""
        return names.did(self.key)

    def capability(self, holder: "Person") -> bytes:
        """What this owner gives to `holder`."""
        return tokens.capability(self.capability_key, self.key, holder.key)

    def ticket(self, message: Cid, to: "Person") -> bytes:
        """What opens `message` to `to` at this owner's node."""
        return tokens.ticket(self.ticket_key, message, to.key)


def person(word: str, seed: bytes | None = None, origin: str | None = None) -> Person:
    """The owner called `word`."""
    seed = some(f"seed/{word}") if seed is None else seed
    return Person(
        word=word,
        seed=seed,
        keys=keys.derive(seed),
        origin=origin or f"{word}.example:4625",
        ticket_key=some(f"ticket/{word}"),
        capability_key=some(f"capability/{word}"),
        invite_key=some(f"invite/{word}"),
    )


ALICE = person("alice", bytes(range(32)))
BOB = person("bob", bytes(range(32, 64)), "127.0.0.1:4625")
CAROL = person("carol", bytes(range(64, 96)), "[2001:db8::1]:8443")
MALLORY = person("mallory")


# --- objects --------------------------------------------------------------------------


def plain_record(who: Person, **changes: Any) -> Record:
    """The owner's address record."""
    fields: dict[str, Any] = {
        "id": who.key,
        "sealing": who.sealing,
        "recovery": who.recovery,
        "nodes": (Endpoint(origin=who.origin),),
        "seq": NOW,
        "issued": NOW,
        "expires": Instant(NOW + 90 * DAY),
        "name": who.word,
    }
    return Record(**(fields | changes))


def record_block(who: Person, **changes: Any) -> bytes:
    """The same, signed."""
    return record.sign(plain_record(who, **changes), who.keys.signing)


def successor_block(who: Person, heir: Person, **changes: Any) -> bytes:
    """The record with which `who` hands over to `heir`."""
    made = plain_record(who, **({"name": None, "successor": heir.key} | changes))
    return record.sign_successor(made, who.keys.signing, who.keys.recovery)


def content_key_of(word: str) -> bytes:
    """K of the message called `word`."""
    return some(f"k/{word}")


def letter(
    author: Person, plain: bytes = b"Subject: hi\r\n\r\nhello\r\n", word: str = "1"
) -> bytes:
    """A signed root that carries its body."""
    return content.seal_body(content_key_of(word), author.key, NOW, plain, author.keys.signing)


def parcel(author: Person, plain: bytes, word: str = "1") -> tuple[bytes, list[bytes]]:
    """A signed root and its parts."""
    count = content.part_count(len(plain))
    size = 1 << 20
    parts = [
        content.seal_part(
            content_key_of(word), author.key, i, count, plain[i * size : (i + 1) * size]
        )
        for i in range(count)
    ]
    named = [Part(cid=part.cid, size=len(part.block)) for part in parts]
    key, signing = content_key_of(word), author.keys.signing
    root = content.seal_root(key, author.key, NOW, len(plain), named, signing)
    return root, [part.block for part in parts]


def public_message(author: Person, body: bytes = b"hello\r\n") -> Message:
    """A message of a public archive."""
    return Message(author=author.key, created=Instant(0), size=len(body), cipher="none", body=body)


def named(number: int) -> Cid:
    """A CID that follows from a number."""
    return Cid(cid.OBJECT_PREFIX + sha256(number.to_bytes(8, "big")).digest())


def item(author: Person, to: Person, message: Cid, size: int = 22, **changes: Any) -> Notification:
    """A notification; its box opens to the K of the message called "1"."""
    fields: dict[str, Any] = {
        "sender": author.key,
        "to": to.key,
        "message": message,
        "size": size,
        "key": box(content_key_of("1"), to.sealing, some("ephemeral")),
        "ticket": author.ticket(message, to),
        "capability": to.capability(author),
        "issued": NOW,
        "keep_until": Instant(NOW + KEEP),
        "origin": author.origin,
    }
    return Notification(**(fields | changes))


def batch(author: Person, to: Person, count: int = 1) -> Batch:
    """A signed batch of `count` items that differ in `message` alone: `named(0)`, `named(1)` …"""
    ticket = author.ticket(named(0), to)
    items = [notification.encode(item(author, to, named(i), ticket=ticket)) for i in range(count)]
    return notification.sign_batch(author.key, items, author.keys.signing)


def receipt(who: Person, to: Person, messages: list[Cid], at: Instant = NOW) -> bytes:
    """A signed receipt; the messages are sorted here."""
    made = Receipt(sender=who.key, to=to.key, messages=tuple(sorted(messages)), at=at)
    return RECEIPT.sign(made, who.keys.signing)


def retraction(who: Person, to: Person, message: Cid, at: Instant = NOW) -> bytes:
    """A signed retraction."""
    made = Retraction(sender=who.key, to=to.key, message=message, at=at)
    return RETRACTION.sign(made, who.keys.signing)


def introduction(who: Person, to: Person, **changes: Any) -> Introduction:
    """`who` introduces itself to `to`."""
    fields: dict[str, Any] = {
        "sender": who.key,
        "to": to.key,
        "record": record_block(who),
        "capability": who.capability(to),
        "issued": NOW,
    }
    return Introduction(**(fields | changes))


def introduction_block(who: Person, to: Person, **changes: Any) -> bytes:
    """The same, signed."""
    return INTRODUCTION.sign(introduction(who, to, **changes), who.keys.signing)


def invited(who: Person, by: Person, invite: bytes = b"\0\0\0\1") -> dict[str, bytes]:
    """`invite` and `proof` of an introduction of `who` that was invited by `by`."""
    token = tokens.invite(by.invite_key, by.key, invite)
    return {"invite": invite, "proof": tokens.proof(token, who.key, by.key, NOW)}


def poll_block(who: Person, to: Person, **changes: Any) -> bytes:
    """A signed poll."""
    fields: dict[str, Any] = {"sender": who.key, "to": to.key, "since": 0, "issued": NOW}
    return POLL.sign(Poll(**(fields | changes)), who.keys.signing)


# --- rows -----------------------------------------------------------------------------


def delivery(author: Person = ALICE, to: Person = BOB, **changes: Any) -> Delivery:
    """A delivery that was stored just now."""
    message = named(0)
    fields: dict[str, Any] = {
        "owner": author.key,
        "message": message,
        "to": to.key,
        "ticket": author.ticket(message, to),
        "stamp": NOW,
        "keep_until": Instant(NOW + KEEP),
        "next_at": NOW,
    }
    return Delivery(**(fields | changes))


def sent_row(author: Person = ALICE, **changes: Any) -> Sent:
    """A message at its author, with one open addressee."""
    fields: dict[str, Any] = {
        "owner": author.key,
        "message": named(0),
        "order": 1,
        "key": content_key_of("1"),
        "size": 22,
        "stored": 300,
        "created": NOW,
        "keep_until": Instant(NOW + KEEP),
        "open": 1,
    }
    return Sent(**(fields | changes))


def mail_row(owner: Person = BOB, sender: Person = ALICE, **changes: Any) -> Mail:
    """A message in an inbox."""
    fields: dict[str, Any] = {
        "owner": owner.key,
        "n": 1,
        "message": named(0),
        "sender": sender.key,
        "size": 22,
        "received": NOW,
    }
    return Mail(**(fields | changes))


def pickup_row(owner: Person = BOB, sender: Person = ALICE, **changes: Any) -> Pickup:
    """Accepted mail that is not here yet."""
    told = item(sender, owner, named(0))
    fields: dict[str, Any] = {
        "owner": owner.key,
        "sender": sender.key,
        "message": told.message,
        "size": told.size,
        "boxed": told.key,
        "ticket": told.ticket,
        "issued": told.issued,
        "keep_until": told.keep_until,
        "origin": told.origin,
        "received": NOW,
        "next_at": NOW,
    }
    return Pickup(**(fields | changes))


def peer_row(owner: Person = ALICE, did: Person = BOB, **changes: Any) -> Peer:
    """A contact."""
    fields: dict[str, Any] = {"owner": owner.key, "did": did.key, "name": did.word, "met": True}
    return Peer(**(fields | changes))
