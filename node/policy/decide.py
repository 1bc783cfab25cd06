"""Policy: facts → accept, hold, refuse, and by which rule.

A profile is a list of rules; the first that applies decides, and later ones may still add a mark.
What a stranger's node is told is always the same `held`: to refuse means that nothing is kept.
Two profiles are shipped. `personal`: strangers wait until their owner allows them. `strict`: the
rules of the original proposal, reverse DNS and domain age. Contacts are not judged here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from node.policy import facts as f
from node.policy.facts import Facts
from node.units import DAY, Instant

ACCEPT, HOLD, REFUSE = "accept", "hold", "refuse"
VERDICTS = (ACCEPT, HOLD, REFUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        name: a stable word.
        verdict: what follows; None: it only marks.
        mark: a word that is shown beside the item.
        applies: whether it does; unknown facts make no rule apply.
        why: the sentence for a person.
    """

    name: str
    verdict: str | None
    applies: Callable[[Facts, Instant], bool]
    why: Callable[[Facts, Instant], str]
    mark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided, by which rule, and why."""

    verdict: str
    rule: str
    why: str
    marks: tuple[str, ...] = ()


def _unconfirmed(facts: Facts, _now: Instant) -> bool:
    # A time-out is not the sender's word: RFC 8601 §2.7.3 tells it from a failure.
    if facts.iprev in ("fail", "permerror"):
        return True
    return facts.iprev == "pass" and facts.reverse_domain is None


def _why_unconfirmed(facts: Facts, _now: Instant) -> str:
    if facts.iprev == "pass":
        return f"the reverse DNS of {facts.source}, {facts.reverse}, is under no public suffix"
    return f"{facts.source} has no confirmed reverse DNS (iprev: {facts.iprev})"


def _young(facts: Facts, now: Instant) -> bool:
    return f.young(facts, now) is True


def _why_young(facts: Facts, now: Instant) -> str:
    assert facts.registered is not None
    days = (now - facts.registered) // DAY
    return f"{facts.domain} was registered {days} days ago, as its registry says"


def _why_wait(facts: Facts, _now: Instant) -> str:
    if facts.proof == "address":
        return f"a stranger; {facts.domain} is proven: it came from an address of its origin"
    if facts.proof == "reverse":
        return f"a stranger; {facts.domain} is proven: the source's reverse DNS lies under it"
    return "a stranger; no domain answers for it"


YOUNG = Rule(name="young-domain", verdict=None, mark="young", applies=_young, why=_why_young)
SUSPICIOUS = Rule(
    name="young-domain", verdict=HOLD, mark="suspicious", applies=_young, why=_why_young
)
REVERSE = Rule(name="no-reverse-dns", verdict=REFUSE, applies=_unconfirmed, why=_why_unconfirmed)
WAIT = Rule(name="strangers-wait", verdict=HOLD, applies=lambda facts, now: True, why=_why_wait)

PROFILES: dict[str, tuple[Rule, ...]] = {
    "personal": (YOUNG, WAIT),
    "strict": (REVERSE, SUSPICIOUS, WAIT),
}
NEEDS_REVERSE = frozenset({"strict"})
"""Profiles that ask for the reverse DNS of every stranger, before it takes a slot."""


def decide(profile: str, facts: Facts, now: Instant) -> Decision:
    """The verdict of a profile on a stranger's item."""
    marks: list[str] = []
    for rule in PROFILES[profile]:
        if not rule.applies(facts, now):
            continue
        if rule.mark is not None:
            marks.append(rule.mark)
        if rule.verdict is not None:
            return Decision(
                verdict=rule.verdict, rule=rule.name, why=rule.why(facts, now), marks=tuple(marks)
            )
    raise AssertionError("the last rule of a profile applies to everybody")
