"""Why something did not go through, in words: what happened, and what to do about it.

The node keeps a stable word (`docs/operations.md`); here is the sentence for a person. Three
worlds are kept apart: nobody was reached, somebody else was reached, their node said no.
"""

from typing import Any

AGAIN = "it goes on by itself"
ASK = "ask them for a new invite"

NOT_REACHED = {
    "dns": "their node's name is not known to the network: is the address right?",
    "no-connection": f"nothing listens at their address: their node does not run; {AGAIN}",
    "timeout": f"no answer in time: their machine is off, or a firewall is between; {AGAIN}",
    "gone-away": f"the connection broke off; {AGAIN}",
    "guarded": "their address is one this node does not call: see network.private and "
    "network.ports in `willcall config show`",
    "not-callable": "their node can't be called from here, it calls others: what waits for it goes "
    "when it asks. To meet, give them an invite of yours",
    "not-called": "their node knows of it and can't come for it: nobody there can call this node "
    "(willcall doctor)",
    "no-origin": "nobody has told where to reach them: " + ASK,
}
OTHERS_REACHED = {
    "tls": "somebody answers at their address, and not in TLS: is it that of their node?",
    "tls-pin": "somebody else answers at their address, or their key was replaced; nothing was "
    "sent: ask them",
    "tls-expired": "their certificate has expired, or your clock is ahead: tell them",
    "tls-early": "their certificate is not valid yet, or your clock is behind: tell them",
    "tls-name": "the certificate at their address is for another name; nothing was sent: ask them",
    "tls-untrusted": "the certificate at their address is trusted by nobody here; nothing was "
    "sent: ask them",
    "wrong-record": "another node answers at their address: is the address old?",
    **dict.fromkeys(
        ("redirected", "compressed", "too-large-answer", "nonsense"),
        "something answers at their address, and it is no willcall node: is the address right?",
    ),
}
SAID_NO = {
    "spent": "the invite was used by another key already, so they don't have you as a contact: "
    f"{ASK}, and add that",
    "forged": f"the link proves nothing over there: was it copied whole? Else {ASK}",
    "not-here": "their node answers, but does not know them: is the address old?",
    "held": "they have to allow you first; it goes on by itself once they do",
    "clock": "their clock and yours differ by more than ten minutes: see what `date -u` says",
    "disk-full": f"their node has no room on its disk; {AGAIN}",
    "over-quota": f"their mailbox is full; {AGAIN} when there is room",
    "waiting": "it is large: it waits here until they call for it",
    "too-large": "it is larger than their node takes: retract it, and send less",
    "unreadable": "their node has fetched it three times and could not verify it: retract it",
    "stale-record": f"their key was replaced meanwhile; {AGAIN}",
    "replaced": "your key was replaced, and they know it: go on with the new one (willcall whoami)",
    "busy": f"their node has too much to do now; {AGAIN}",
    "rate-limited": f"too much came from your network in a short time; {AGAIN}",
    **dict.fromkeys(
        ("status-502", "status-503", "status-504"),
        f"a proxy answers at their address, the node behind it does not; {AGAIN}",
    ),
}
_WORDS = NOT_REACHED | OTHERS_REACHED | SAID_NO


def joining(word: str | None) -> str:
    """Why somebody is not a contact yet."""
    if word == "expired":
        return f"the invite has expired: {ASK}"
    return f"they can't be reached now; {AGAIN}" if word is None else telling(word)


def telling(word: str) -> str:
    """Why a message is not with its addressee yet."""
    if word == "expired":
        return "their clock says that it has expired: see what `date -u` says"
    return _WORDS.get(word, f"their node was reached, and refused it ({word})")


def delivery(row: dict[str, Any]) -> str | None:
    """The same for a row of `status`; None where there is nothing to explain."""
    word = row.get("reason")
    open_ = row["state"] in ("stored", "notified", "held", "refused", "fetched")
    return telling(word) if word and open_ else None
