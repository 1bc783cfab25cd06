"""Tokens: what only this node can make and check, without keeping a row for each.

Each is the beginning of an HMAC-SHA-256 under a node secret of 32 random bytes (one secret for
each kind). Compare them with `equal`, never with `==`: time must not tell how much was right.

Spec: design §3 Tokens, §8.
"""

import hmac

TOKEN = 16
"""Bytes of a token: 128 bits can't be guessed over a network."""
INVITE_ID = 4
"""Bytes of an invite's id: it finds the row, and is no secret."""


def ticket(secret: bytes, message: bytes, to: bytes) -> bytes:
    """Who may fetch a message: 16 bytes.

    Args:
        secret: the node's ticket key.
        message: the message's CID, 36 bytes.
        to: the addressee's public key, 32 bytes.
    """
    return hmac.digest(secret, b"willcall/v1/ticket\0" + message + to, "sha256")[:TOKEN]


def capability(secret: bytes, issuer: bytes, holder: bytes) -> bytes:
    """What lets a contact's notifications take the contacts' lane: 16 bytes.

    Args:
        secret: the issuer's node's capability key.
        issuer: public key of the owner who gives it (an introduction's `from`).
        holder: public key of the contact who shows it.
    """
    return hmac.digest(secret, b"willcall/v1/capability\0" + issuer + holder, "sha256")[:TOKEN]


def rank(secret: bytes, owner: bytes, group: str, week: int) -> bytes:
    """Where a group of strangers stands in an owner's ring this week: nobody can choose it.

    Args:
        secret: the node's capability key.
        owner: whose ring.
        group: a domain or a network.
        week: its number.
    """
    said = b"willcall/v1/rank\0" + owner + week.to_bytes(8, "big") + group.encode()
    return hmac.digest(secret, said, "sha256")[:TOKEN]


def invite(secret: bytes, owner: bytes, id: bytes) -> bytes:
    """The token of an invite link, 16 bytes: the id, then 12 bytes of HMAC.

    Args:
        secret: the node's invite key.
        owner: the inviting owner's public key.
        id: 4 bytes, the invite's row.
    """
    return (
        id + hmac.digest(secret, b"willcall/v1/invite\0" + owner + id, "sha256")[: TOKEN - len(id)]
    )


def proof(token: bytes, sender: bytes, to: bytes, issued: int) -> bytes:
    """What shows that the sender of an introduction holds an invite: 32 bytes.

    Args:
        token: the invite's 16 bytes.
        sender: public key of the one who introduces itself (`from`).
        to: public key of the one who invited.
        issued: the introduction's `issued`, milliseconds UTC.
    """
    message = b"willcall/v1/introduction\0" + sender + to + issued.to_bytes(8, "big")
    return hmac.digest(token, message, "sha256")


def import_key(secret: bytes, owner: bytes, digest: bytes) -> bytes:
    """K of mail that was imported, 32 bytes: the same content gives the same message.

    One K never seals two contents, and without the secret nobody can tell from a message's
    name which content it has.

    Args:
        secret: the node's ticket key.
        owner: public key of the owner who imports it.
        digest: SHA-256 of the content, 32 bytes.
    """
    return hmac.digest(secret, b"willcall/v1/import\0" + owner + digest, "sha256")


def equal(a: bytes, b: bytes) -> bool:
    """Whether two secrets are the same, in a time that does not depend on where they differ."""
    return hmac.compare_digest(a, b)
