"""What is known of a stranger when its owner, or a rule, decides: facts, not text.

Every fact says how it was found; what could not be found out is *unknown*, and unknown is never a
failure: a registry that is down makes nobody young, and a name server that is slow makes nobody
a liar. Pure values: looking things up is the services'.
"""

from dataclasses import dataclass

from node import limits
from node.units import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that counts about one item of a stranger.

    Attributes:
        source: the address it came from; network: what that counts for.
        origin: where it says it can be reached; domain: the registrable domain of that.
        proof: how the domain was proven: `address` (it came from an address that the origin
            resolves to), `reverse` (forward-confirmed reverse DNS of the source lies under the
            domain); None: not proven.
        iprev: pass, fail, temperror, permerror (RFC 8601 §2.7.3); None: not asked.
        reverse: the confirmed name of the source.
        reverse_domain: the registrable domain of that name; None: it is under no public suffix.
        registered: when the domain was registered, as its registry says by RDAP.
        first_seen: when this node first heard from the proven domain.
        named: whether the domain itself names this key (WebFinger); None: not asked, unknown.
        introducers: contacts that vouch for the key.
        kept, broken: promises of the domain: announced mail that was there, or was not.
        answered: when its origin answered our call first; shown: and again later.
        size: bytes of the message; None: an introduction.
        before: it shows that it was a contact before.
    """

    source: str
    network: str = ""
    origin: str | None = None
    domain: str | None = None
    proof: str | None = None
    iprev: str | None = None
    reverse: str | None = None
    reverse_domain: str | None = None
    registered: Instant | None = None
    first_seen: Instant | None = None
    named: bool | None = None
    introducers: tuple[str, ...] = ()
    kept: int = 0
    broken: int = 0
    answered: Instant | None = None
    shown: Instant | None = None
    size: int | None = None
    before: bool = False

    @property
    def proven(self) -> bool:
        """Whether somebody answers for the domain."""
        return self.proof is not None

    @property
    def group(self) -> str:
        """Whom the ring is fair to: the proven domain, else the network."""
        return self.domain if self.proof is not None and self.domain else self.network


def since(facts: Facts) -> Instant | None:
    """Since when the domain is there, as far as is known: the earlier of both sources."""
    known = [each for each in (facts.registered, facts.first_seen) if each]
    return min(known) if known else None


def young(facts: Facts, now: Instant) -> bool | None:
    """Whether the domain is younger than 90 days; None: that is not known, or said of the future.

    A domain that was first seen yesterday may be old: only its registry, or we ourselves over
    90 days, can tell that it is.
    """
    limit = now - limits.YOUNG
    if facts.first_seen and facts.first_seen <= limit:
        return False
    if facts.registered is None or facts.registered > now:
        return None
    return facts.registered > limit
