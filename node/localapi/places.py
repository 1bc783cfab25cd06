"""Domains and networks that an owner blocks, in the form in which they are compared."""

import idna

from node import limits
from node.encoding import address, origin
from node.errors import Usage
from node.policy.proof import Registrable


def word(text: str, registrable: Registrable) -> str:
    """What is compared for what was typed: a registrable domain in A-labels, or a /24 or /48.

    Raises:
        Usage: it is neither, or a network of another size.
    """
    bare = text.strip()
    host, slash, prefix = bare.partition("/")
    if address.parse(host) is not None:
        return _network(host, prefix if slash else None)
    ascii_name = _a_labels(bare.removesuffix("."))
    found = registrable(ascii_name) if origin.is_domain(ascii_name) else None
    if found is None:
        raise Usage(
            f"{text[:80]!r} is no domain anybody registered, and no address",
            next="willcall contact block example.org, or an address for its /24 or /48",
        )
    return found


def _network(host: str, prefix: str | None) -> str:
    """The network that an address counts for; another one would be blocked in part, silently."""
    found = address.network(host)
    if prefix is None or prefix == found.partition("/")[2]:
        return found
    raise Usage(
        "a network that can be blocked is a /24 of IPv4 or a /48 of IPv6",
        next=f"the one of this address, {found}, or each of a larger network's /24 or /48",
    )


def _a_labels(name: str) -> str:
    """A domain as the DNS has it (IDNA2008, typed as UTS 46 allows); "" where there is none."""
    if len(name) > limits.ORIGIN:
        return ""
    try:
        return idna.encode(name, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        return ""
