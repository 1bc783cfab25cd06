"""Tokens: what opens the local API as one owner, from one device, without the socket.

A token is 32 random bytes; only its SHA-256 is stored. It is shown once, named by a short id,
and void from the moment it is revoked.
"""

import hashlib

from node import limits
from node.crypto import tokens
from node.encoding import names
from node.errors import Absent, Conflict
from node.machines.rows import Owner, Token
from node.ports import Tables
from node.units import DAY, Instant, Key

PREFIX = "willcall_"
"""What every token begins with, so that a program that looks for leaked secrets finds it."""


def issue(
    tx: Tables,
    owner: Owner,
    secret: bytes,
    device: str,
    now: Instant,
    *,
    monitor: bool = False,
    archive: bytes = b"",
) -> tuple[Token, str]:
    """A new token for a device: its row, and the text that is shown once.

    Args:
        tx: the transaction.
        owner: whom it opens the mailbox of.
        secret: 36 random bytes: its id and itself.
        device: the administrator's word for where it will be; may be empty.
        now: the clock.
        monitor: it is to open what a monitor asks for, and no mailbox.
        archive: the id of the one archive that it is to show, and no mailbox.

    Raises:
        Conflict: the owner has as many as it may have.
    """
    if sum(1 for _ in tx.tokens.scan(owner.owner)) >= limits.TOKENS:
        raise Conflict(
            f"{owner.name} has {limits.TOKENS} tokens already; nothing was changed",
            reason="too-many",
            next=f"willcall owner token {owner.name} --revoke ID",
        )
    text = PREFIX + names.b64(secret[4:])
    row = Token(
        owner=owner.owner,
        id=secret[:4],
        digest=_digest(text),
        made=now,
        device=device,
        monitor=monitor,
        archive=archive,
    )
    if tx.tokens.get(row.owner, row.id) is not None:
        raise Conflict("the new token's id is taken by chance; try again", reason="try-again")
    tx.tokens.put(row)
    return row, text


def opened_by(tx: Tables, text: str) -> tuple[Owner, Token] | None:
    """Whom a token opens the mailbox of; None: it opens nothing.

    It is looked up by its hash: how long that takes tells nothing of the token, and a stored
    hash that was guessed would still not be one.
    """
    digest = _digest(text)
    row = tx.tokens.called("digest", digest)
    if row is None or not tokens.equal(row.digest, digest):
        return None
    owner = tx.owners.get(row.owner)
    return None if owner is None else (owner, row)


def day(now: Instant) -> Instant:
    """The midnight before: no more than the day of a use is noted."""
    return Instant(now - now % DAY)


def on_used(tx: Tables, row: Token, now: Instant) -> None:
    """Notes the day of a use; the token may have been revoked meanwhile."""
    stored = tx.tokens.get(row.owner, row.id)
    if stored is not None:
        tx.tokens.put(stored.but(used=day(now)))


def all_of(tx: Tables, owner: Key) -> list[Token]:
    """The tokens of an owner, oldest first."""
    return sorted(tx.tokens.scan(owner), key=lambda row: row.made)


def revoke(tx: Tables, owner: Owner, id: str) -> Token:
    """The token with that id opens nothing any more.

    Raises:
        Absent: there is none.
    """
    row = next((row for row in tx.tokens.scan(owner.owner) if row.id.hex() == id), None)
    if row is None:
        raise Absent(
            f"{owner.name} has no token {id[:16]!r}", next=f"willcall owner tokens {owner.name}"
        )
    tx.tokens.delete(row)
    return row


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
