"""Proof of domain: whether the domain of an origin answers for what came from an address.

Proven by `address`: the item came from an address that its origin resolves to. Proven by
`reverse`: the forward-confirmed reverse DNS of the source lies under the origin's registrable
domain (a node that sends from another address than it listens on). An origin that is an address
names no domain, so there is nothing to prove; it can still be called back if it is the source.
"""

from collections.abc import Callable
from dataclasses import dataclass

from node.encoding import address, origin
from node.policy.iprev import PASS, Answers, Iprev

Registrable = Callable[[str], str | None]
"""The registrable domain of a name by the public suffix list; None: under no public suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What the DNS says about an item's source and origin.

    Attributes:
        domain: the registrable domain of the origin; None: it has none.
        by: `address`, `reverse`; None: not proven.
        iprev: of the source; None: not asked.
        reverse_domain: the registrable domain of the confirmed name.
        unsure: a look-up failed for now: it may be proven later.
    """

    domain: str | None = None
    by: str | None = None
    iprev: Iprev | None = None
    reverse_domain: str | None = None
    unsure: bool = False


def domain_of(at: str, registrable: Registrable) -> str | None:
    """The registrable domain of an origin; None: an address, or a name nobody answers for."""
    host, _ = origin.split(at)
    return None if address.parse(host) is not None else registrable(host)


def is_source(at: str, source: str) -> bool:
    """Whether the origin is the very address that something came from."""
    host, _ = origin.split(at)
    found = address.parse(host)
    return found is not None and found == address.parse(source)


def judge(
    domain: str | None,
    source: str,
    forward: Answers | None,
    iprev: Iprev | None,
    registrable: Registrable,
) -> Proof:
    """What follows from the answers; what was not asked is None."""
    confirmed = iprev.name if iprev is not None and iprev.state == PASS else None
    reverse = None if confirmed is None else registrable(confirmed)
    by = None
    if domain is not None and forward is not None and source in forward.values:
        by = "address"
    elif domain is not None and reverse == domain:
        by = "reverse"
    unsure = by is None and (
        (forward is not None and forward.state == "temporary")
        or (iprev is not None and iprev.state == "temperror")
    )
    return Proof(domain=domain, by=by, iprev=iprev, reverse_domain=reverse, unsure=unsure)
