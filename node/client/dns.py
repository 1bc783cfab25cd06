"""The DNS, asked through dnspython on trio: addresses of a name, names of an address.

Implements `ports.Resolver`. Every question has one deadline, however many servers and aliases it
takes. What went wrong is part of the answer: a name that does not exist is not a server that does
not answer. dnspython is imported with this module only; it is slow to import.
"""

from collections.abc import Sequence
from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.message
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename

from node.encoding import origin
from node.policy.iprev import Answers

PATIENCE = 5.0
"""Seconds for one question with all its retries: what mail servers grant."""
ADDRESSES = 32
"""Addresses of one name that are kept: who has more has none of them for us."""


class DnsResolver:
    """Implements `ports.Resolver`.

    Args:
        servers: `address:port` of the name servers; none: the system's.
        patience: seconds for one question.
    """

    def __init__(self, servers: Sequence[str] = (), patience: float = PATIENCE) -> None:
        self._dns = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            self._dns.nameservers = [
                dns.nameserver.Do53Nameserver(*origin.split(each)) for each in servers
            ]
        self._dns.timeout, self._dns.lifetime = patience / 2, patience
        self._dns.search, self._dns.ndots = [], 1

    async def addresses(self, host: str) -> Answers:
        """The A and AAAA records of a name; one family's failure counts if the other has none."""
        four = await self._ask(f"{host}.", "A")
        six = await self._ask(f"{host}.", "AAAA")
        found = tuple(dict.fromkeys(_spelled(each) for each in (*four.values, *six.values)))
        if found:
            return Answers(values=found[:ADDRESSES])
        states = {four.state, six.state}
        for state in ("temporary", "broken"):
            if state in states:
                return Answers(state=state)
        return Answers(state="nothing")

    async def names(self, address: str) -> Answers:
        """The PTR records of an address."""
        try:
            asked = dns.reversename.from_address(address)
        except dns.exception.DNSException:
            return Answers(state="broken")
        found = await self._ask(asked.to_text(), "PTR")
        names = sorted(each.rstrip(".").lower() for each in found.values)
        return Answers(values=tuple(names), state=found.state)

    async def _ask(self, name: str, kind: str) -> Answers:
        try:
            answer = await self._dns.resolve(name, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Answers(state="nothing")
        except (dns.resolver.NoNameservers, dns.exception.Timeout):
            return Answers(state="temporary")  # SERVFAIL, refused, lame, silent
        except (dns.exception.DNSException, OSError):
            return Answers(state="broken")
        return Answers(values=tuple(each.to_text() for each in answer))

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a name, for connections (`client.guard.Resolve`).

        Raises:
            OSError: there are none.
        """
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        found = await self.addresses(host)
        if not found.values:
            raise OSError(f"{host}: {found.state}")
        return found.values


def _spelled(address: str) -> str:
    return str(ip_address(address))
