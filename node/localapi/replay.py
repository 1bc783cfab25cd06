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
from node.services.strangers import Strangers
from node.units import Instant, Key


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


async def tried(db: Database, who: Strangers, owner: Key, row: Any, now: Instant) -> Any:
    """What each profile makes of one line.

    Raises:
        Malformed: it is no such line.
    """
    if not isinstance(row, dict) or not isinstance(row.get("source", ""), str):
        raise _no_line()
    made: dict[str, Any] = {"did": row.get("did"), "message": row.get("message")}
    if not isinstance(row.get("notification"), str):
        return made | _verdicts(_facts(row), now)
    try:
        block = names.unb64(row["notification"])
        slot = await who.again(owner, block, row.get("source", ""))
    except (Malformed, Unverified) as error:
        # As at the door: it never came to a policy.
        refused = {"verdict": decide.REFUSE, "rule": error.reason, "why": error.text}
        return made | dict.fromkeys(decide.PROFILES, refused)
    assert slot.message is not None
    made = {"did": names.did(slot.sender), "message": cids.show(slot.message)}
    return made | _verdicts(db.read(lambda tx: who.facts(tx, slot)), now)


def _verdicts(facts: Facts, now: Instant) -> dict[str, Any]:
    found = {profile: decide.decide(profile, facts, now) for profile in decide.PROFILES}
    return {
        profile: {"verdict": made.verdict, "rule": made.rule, "why": made.why}
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
