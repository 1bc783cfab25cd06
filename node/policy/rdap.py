"""RDAP: when a domain was registered, as its registry says.

Which registry answers for which suffix is IANA's list (RFC 9224), shipped with this release. One
question, `domain/NAME` (RFC 9082 §3.1.3); of the answer (RFC 9083 §5.3) only the event
`registration` counts. No registry, no such event, nonsense: unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from node.encoding import origin
from node.errors import Malformed
from node.units import DAY, ByteCount, Instant

ANSWER = ByteCount(256 * 1024)
"""Bytes of an answer: registries with many contacts and notices stay below 100 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Where to ask: an origin, and the path in front of `domain/`."""

    at: str
    base: str

    def path(self, domain: str) -> str:
        """The path of the question about a domain."""
        return f"{self.base}domain/{domain}"


def parse_list(data: bytes) -> dict[str, Registry]:
    """Suffix → registry, from IANA's file; only what is asked by TLS.

    Raises:
        Malformed: it is no such file.
    """
    try:
        services = msgspec.json.decode(data)["services"]
        return {
            suffix.lower(): found
            for suffixes, urls in services
            for found in _first(urls)
            for suffix in suffixes
        }
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Malformed("this is not IANA's list of RDAP servers") from error


def _first(urls: list[str]) -> list[Registry]:
    """The first address that can be asked, if there is one."""
    for url in urls:
        found = parse_base(url, plain=False)
        if found is not None:
            return [found]
    return []


def parse_base(url: str, *, plain: bool = True) -> Registry | None:
    """A registry by its base URL; None where it can't be asked.

    Args:
        plain: whether http will do (a loopback address, in tests).
    """
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    if scheme != "https" and not (plain and scheme == "http"):
        return None
    at = place.lower() if ":" in place else f"{place.lower()}:443"
    try:
        origin.check(at)
    except Malformed:
        return None
    base = f"/{path}" if slash else "/"
    return Registry(at=at, base=base if base.endswith("/") else f"{base}/")


def find(registries: Mapping[str, Registry], domain: str) -> Registry | None:
    """The registry of the longest suffix of `domain` (RFC 9224 §4)."""
    rest = domain
    while rest:
        _, _, rest = rest.partition(".")
        if rest in registries:
            return registries[rest]
    return None


def registered(body: bytes, domain: str, now: Instant) -> Instant | None:
    """When `domain` was registered, by the registry's answer; None: it does not say.

    A date ahead says nothing; by less than a day it is a clock's, and now.
    """
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if answer.get("objectClassName") != "domain" or not _is_about(answer, domain):
        return None
    events = answer.get("events")
    found = [_instant(each) for each in events] if isinstance(events, list) else []
    times = [each for each in found if each is not None and each <= now + DAY]
    return min(*times, now) if times else None


def _is_about(answer: dict[str, Any], domain: str) -> bool:
    name = answer.get("ldhName")
    return isinstance(name, str) and name.rstrip(".").lower() == domain


def _instant(event: Any) -> Instant | None:
    if not isinstance(event, dict) or event.get("eventAction") != "registration":
        return None
    try:
        at = datetime.fromisoformat(str(event.get("eventDate")))
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    millis = int(at.timestamp() * 1000)
    return Instant(millis) if millis > 0 else None
