"""iprev: whether the reverse DNS of an address is confirmed by the forward one.

    address ──PTR──▶ names ──A/AAAA──▶ addresses: is the address among them?

`pass`: one of the names leads back. `fail`: names, and none does. `permerror`: there is no name,
or what there is can't be read. `temperror`: somebody did not answer, and might have confirmed.
Source: RFC 8601 §2.7.3 and §3, with its limit on names.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

PASS, FAIL, TEMPERROR, PERMERROR = "pass", "fail", "temperror", "permerror"
STATES = (PASS, FAIL, TEMPERROR, PERMERROR)

NAMES = 4
"""Names of one address that are looked at (RFC 8601 §3 asks for a limit; RFC 7208 §4.6.4 has ten):
an honest host has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the DNS said.

    Attributes:
        values: addresses or names, in a fixed order.
        state: `ok`; `nothing` (there is none: no such name, or no such record); `temporary` (no
            answer, or a server's failure); `broken` (an answer that is none).
    """

    values: tuple[str, ...] = ()
    state: str = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Iprev:
    """The result, and the name that was confirmed."""

    state: str
    name: str | None = None


Ask = Callable[[str], Coroutine[Any, Any, Answers]]


async def check(address: str, names: Ask, addresses: Ask) -> Iprev:
    """Asks for the names of `address`, then for the addresses of each.

    Args:
        address: in its usual spelling.
        names: PTR of an address; addresses: A and AAAA of a name, spelled the same way.
    """
    reverse = await names(address)
    if reverse.state == "temporary":
        return Iprev(state=TEMPERROR)
    if reverse.state != "ok":
        return Iprev(state=PERMERROR)
    unsure = False
    for name in reverse.values[:NAMES]:
        forward = await addresses(name)
        if address in forward.values:
            return Iprev(state=PASS, name=name)
        unsure = unsure or forward.state == "temporary"
    return Iprev(state=TEMPERROR if unsure else FAIL)
