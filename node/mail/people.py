"""Addresses as they stand in header fields, both ways.

RFC 5322 has no place for the colons of `did:key:z6Mk…@host:port`, so the key alone stands
before the `@`. Behind it: the host where the port is the usual one, an address host as a
domain literal; else the whole origin, as the literal `[willcall:host:port]`. Mail programs
can show both and group by them; willcall reads the full address back, so that an answer to
all reaches people who are no contacts.
"""

import re
from itertools import islice

from node.errors import Malformed

_PORT = "4625"
"""The usual port, which is left out."""
_MOST = 1_000
"""Addresses that are read from one field: more than anybody writes to by hand."""
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]"
_LOCAL = re.compile(r"(?!\.)(?!.*\.\.)(?!.*\.$)" + _ATEXT + "+")
_HOST = re.compile(
    r"\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9]+(?:\.[0-9]+){3})|(?P<name>[\w.-]+)", re.A
)
_KEY = re.compile("z6Mk[1-9A-HJ-NP-Za-km-z]{44}")
# What is no address though it may look like one: quoted names, comments. Bounded, or a row of
# quotes that are never closed would take quadratic time.
_ASIDE = re.compile(r'"(?:[^"\\]|\\.){0,300}+"|\([^()]*\)')
_SPEC = re.compile(
    rf"(?<!{_ATEXT})({_ATEXT}{{1,64}})@(\[[!-Z^-~]{{1,120}}\]|[A-Za-z0-9.-]{{1,253}})"
)


def spell(address: str) -> str:
    """`did:key:z6Mk…@host:port` or `name@domain` as an addr-spec.

    Raises:
        Malformed: it is neither.
    """
    local, _, origin = address.rpartition("@")
    bare, (at, port) = local.removeprefix("did:key:"), _split(origin)
    host = _HOST.fullmatch(at)
    if not host or not _LOCAL.fullmatch(bare) or len(address) > 320:
        raise Malformed("an address is did:key:z6Mk…@host:port or name@domain")
    if bare != local and port not in ("", _PORT):
        return f"{bare}@[willcall:{host['v6'] or at}:{port}]"
    if host["v6"]:
        return f"{bare}@[IPv6:{host['v6']}]"
    return f"{bare}@[{at}]" if host["v4"] else f"{bare}@{at}"


def _split(origin: str) -> tuple[str, str]:
    """Host and port; "" where no port stands."""
    found = re.fullmatch("(.*):([0-9]{1,5})", origin, re.A)
    return (found[1], found[2]) if found else (origin, "")


def read(value: str) -> list[str]:
    """The addresses in a field's value, as `spell` takes them, each once, in their order.

    Everything around them is skipped: names, comments, groups, what is not of the form.
    """
    found = islice(_SPEC.finditer(_ASIDE.sub(" ", value)), _MOST)
    return list(dict.fromkeys(_full(each[1], each[2]) for each in found))


def _full(local: str, domain: str) -> str:
    """One address; only a key has an origin."""
    if not _KEY.fullmatch(local):
        return f"{local}@{domain}"
    literal = domain[1:-1] if domain.startswith("[") else ""
    if literal.lower().startswith("willcall:"):
        host, port = _split(literal[len("willcall:") :])
    else:
        host, port = re.sub("^ipv6:", "", literal, flags=re.I) or domain.lower(), _PORT
    return f"did:key:{local}@{f'[{host}]' if ':' in host else host}:{port or _PORT}"
