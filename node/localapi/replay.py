"""Policies tried on what was recorded: nothing changes, and nobody but the DNS is asked.

A line is what `willcall held --json` printed (facts of that day), or what `willcall held --raw` did
(a notification as it came, with its proof, and the address it came from): that one is read,
verified and judged anew, with the DNS as it answers today.
"""

from typing import Any

from node.encoding import address, names
from node.encoding import cid as cids
from node.errors import Malformed, Unverified
from node.machines.rows import Held
from node.policy import decide
from node.policy.facts import Facts
from node.ports import Database
from node.services import views
from node.services.evidence import Evidence
from node.services.strangers import Strangers
from node.units import Instant, Key

UNASKED = "; its reverse DNS was not asked that day: `willcall held --raw` gives what is asked anew"
"""Behind the verdict of a profile that would have asked."""


def recorded(slot: Held) -> dict[str, Any]:
    """A notification as it came, to be tried later; the slot has one."""
    assert slot.message is not None
    assert slot.proof is not None
    return {
        "message": cids.show(slot.message),
        "did": names.did(slot.sender),
        "source": slot.source,
        "received": views.time(slot.received),
        "notification": names.b64(slot.proof),
    }


class Trial:
    """Tries lines. The evidence is of its own: nobody who writes meanwhile has fewer look-ups."""

    def __init__(self, db: Database, who: Strangers, evidence: Evidence) -> None:
        self._db, self._who, self._evidence = db, who, evidence

    async def tried(self, owner: Key, row: Any, now: Instant) -> Any:
        """What each profile makes of one line.

        Raises:
            Malformed: it is no such line.
        """
        if not isinstance(row, dict) or not isinstance(row.get("source", ""), str):
            raise _no_line()
        made: dict[str, Any] = {"did": row.get("did"), "message": row.get("message")}
        if not isinstance(row.get("notification"), str):
            facts = _facts(row)
            return made | _verdicts(facts, now, unasked=facts.iprev is None)
        try:
            block = names.unb64(row["notification"])
            slot = await self._who.again(owner, block, row.get("source", ""), self._evidence)
        except (Malformed, Unverified) as error:
            # As at the door: it never came to a policy.
            refused = {"verdict": decide.REFUSE, "rule": error.reason, "why": error.text}
            return made | dict.fromkeys(decide.PROFILES, refused)
        assert slot.message is not None
        made = {"did": names.did(slot.sender), "message": cids.show(slot.message)}
        return made | _verdicts(self._db.read(lambda tx: self._who.facts(tx, slot)), now)


def _verdicts(facts: Facts, now: Instant, *, unasked: bool = False) -> dict[str, Any]:
    """The verdicts; `unasked`: nobody asked for the reverse DNS that day, so some may be wrong."""
    found = {profile: decide.decide(profile, facts, now) for profile in decide.PROFILES}
    return {
        profile: {
            "verdict": made.verdict,
            "rule": made.rule,
            "why": made.why + (UNASKED if unasked and profile in decide.NEEDS_REVERSE else ""),
        }
        for profile, made in found.items()
    }


def _facts(row: dict[str, Any]) -> Facts:
    told = row.get("facts")
    if not isinstance(told, dict) or not isinstance(told.get("source"), str):
        raise _no_line()
    return Facts(
        source=told["source"],
        network=address.network(told["source"]),
        domain=_text(told.get("domain")),
        proof=told.get("proven") if told.get("proven") in ("address", "reverse") else None,
        iprev=_text(told.get("iprev")),
        reverse=_text(told.get("reverse")),
        reverse_domain=_text(told.get("reverse_domain")),
        registered=_instant(told.get("registered")),
        first_seen=_instant(told.get("first_seen")),
    )


def _no_line() -> Malformed:
    return Malformed("this is no line of what `willcall held --json` or `held --raw` prints")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _instant(text: Any) -> Instant | None:
    return views.instant(text) if isinstance(text, str) else None
