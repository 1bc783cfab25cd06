"""Who may make which call. A call that is not named here is the administrator's.

Every call acts on one owner's mail and nothing else, or it is the node's. Whoever opens the
home's socket may make them all, as any owner. A token makes the first kind, as its own owner.
The same table is in docs/security.md, and a test makes every call of it with a token.
"""

from typing import Final

OWNER: Final = "owner"
"""One owner's mailbox: the socket for any owner, a token for its own."""
NODE: Final = "node"
"""The node and its owners: the socket only."""
MONITOR: Final = "monitor"
"""Numbers of the whole node: the socket, and tokens that open nothing else."""
FEED: Final = "archive"
"""The pages and feeds of one archive, at an address that holds the token; no call at all."""

RIGHTS: Final[dict[str, str]] = {
    "GET whoami": OWNER,
    "GET status": OWNER,
    "GET quota": OWNER,
    "GET owners": NODE,
    "POST owners": NODE,
    "POST rename": NODE,
    "POST quota": NODE,
    "GET leaving": NODE,
    "POST remove": NODE,
    "POST rotate": NODE,
    "POST replace": NODE,
    "GET tokens": NODE,
    "POST token": NODE,
    "POST revoke": NODE,
    "POST invite": OWNER,
    "GET contacts": OWNER,
    "POST contacts": OWNER,
    "POST contact": OWNER,
    "POST verify": OWNER,
    "GET held": OWNER,
    "POST allow": OWNER,
    "POST deny": OWNER,
    "GET explain": OWNER,
    "POST try": OWNER,
    "GET report": OWNER,
    "GET barred": OWNER,
    "POST bar": OWNER,
    "GET storm": OWNER,
    "POST storm": NODE,
    "GET strangers": NODE,
    "POST resolve": OWNER,
    "POST send": OWNER,
    "POST mbox": OWNER,
    "POST wait": OWNER,
    "GET sent": OWNER,
    "GET message": OWNER,
    "POST retract": OWNER,
    "GET log": OWNER,
    "GET inbox": OWNER,
    "GET mail": OWNER,
    "GET raw": OWNER,
    "GET proof": OWNER,
    "POST read": OWNER,
    "POST fetch": OWNER,
    "POST delete": OWNER,
    "GET health": MONITOR,
    "GET metrics": MONITOR,
    "GET find": OWNER,
    "POST reindex": OWNER,
    "GET checkup": NODE,
    "POST reach": NODE,
    "GET export": OWNER,
    "POST import": OWNER,
    "GET archives": OWNER,
    "GET archive": OWNER,
    "GET archive-entries": OWNER,
    "GET archive-raw": OWNER,
    "GET archive-export": OWNER,
    "POST archive": NODE,
    "POST archive-add": NODE,
    "POST archive-post": NODE,
    "POST archive-publish": NODE,
    "POST archive-feed": NODE,
    "GET archive-readers": OWNER,
    "POST archive-readers": NODE,
    "POST archive-remove": NODE,
    "POST archive-drop": NODE,
    "GET backup": NODE,
    "GET backups": NODE,
    "POST unlock": NODE,
    "POST verified": NODE,
    "POST archive-follow": NODE,
    "POST archive-poll": OWNER,
    "POST archive-verify": OWNER,
    "POST archive-unfollow": NODE,
}


def may(call: str, right: str) -> bool:
    """Whether a token of that right may make the call; none may one that nobody thought about."""
    return right != NODE and RIGHTS.get(call) == right
