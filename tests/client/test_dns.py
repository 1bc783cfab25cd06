"""The DNS as it really is: a real server on loopback, and all the ways in which one fails."""

from collections.abc import Iterator

import pytest
import trio

from node.client.dns import DnsResolver
from node.policy import iprev, proof
from node.policy.iprev import Answers, Iprev
from node.ports import Resolver
from tests.client.knot import knot, silent
from tests.fakes.ports import FakeResolver, registrable

ZONES = {
    "example.org": """
node A 127.0.0.7
node AAAA ::1
two A 127.0.0.7
two A 127.0.0.8
alias CNAME alias2
alias2 CNAME node
loop CNAME loop2
loop2 CNAME loop
empty TXT "no address"
far CNAME host.nowhere.example.net.
many A 127.0.1.1
""",
    "0.0.127.in-addr.arpa": """
7 PTR node.example.org.
8 PTR Other.Example.ORG.
8 PTR node.example.org.
9 PTR two.example.org.
10 PTR gone.example.org.
11 PTR alias.example.org.
12 PTR out.example.com.
13 PTR host.nowhere.example.net.
""",
    "example.com": "out A 127.0.0.12\n",
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with knot(ZONES) as at:
        yield at


@pytest.fixture
def real(server: str) -> DnsResolver:
    return DnsResolver([server])


@pytest.fixture
def fake() -> FakeResolver:
    """The same zones as dictionaries: a fake passes the suite of what it stands for."""
    made = FakeResolver()
    node = ("127.0.0.7", "::1")
    made.hosts = {
        "node.example.org": node,
        "alias.example.org": node,
        "two.example.org": ("127.0.0.7", "127.0.0.8"),
        "out.example.com": ("127.0.0.12",),
    }
    made.reverse = {
        "127.0.0.7": ("node.example.org",),
        "127.0.0.8": ("node.example.org", "other.example.org"),
        "127.0.0.9": ("two.example.org",),
        "127.0.0.10": ("gone.example.org",),
        "127.0.0.11": ("alias.example.org",),
        "127.0.0.12": ("out.example.com",),
        "127.0.0.13": ("host.nowhere.example.net",),
    }
    made.broken = {"host.nowhere.example.net": "temporary", "nonsense": "broken"}
    return made


@pytest.fixture(params=["real", "fake"])
def resolver(request: pytest.FixtureRequest) -> Resolver:
    made: Resolver = request.getfixturevalue(request.param)
    return made


# --- one suite for both -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("node.example.org", Answers(values=("127.0.0.7", "::1"))),
        ("alias.example.org", Answers(values=("127.0.0.7", "::1"))),
        ("empty.example.org", Answers(state="nothing")),
        ("gone.example.org", Answers(state="nothing")),
        # Refused: this server does not answer for that zone, and it is the only one.
        ("host.nowhere.example.net", Answers(state="temporary")),
    ],
)
async def test_addresses(resolver: Resolver, host: str, wanted: Answers) -> None:
    assert await resolver.addresses(host) == wanted


async def test_several_addresses(resolver: Resolver) -> None:
    assert set((await resolver.addresses("two.example.org")).values) == {"127.0.0.7", "127.0.0.8"}


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("127.0.0.7", Answers(values=("node.example.org",))),
        ("127.0.0.8", Answers(values=("node.example.org", "other.example.org"))),
        ("127.0.0.99", Answers(state="nothing")),
    ],
)
async def test_names(resolver: Resolver, address: str, wanted: Answers) -> None:
    assert await resolver.names(address) == wanted


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("127.0.0.7", Iprev(state="pass", name="node.example.org")),
        ("127.0.0.8", Iprev(state="fail")),
        ("127.0.0.9", Iprev(state="fail")),
        ("127.0.0.10", Iprev(state="fail")),
        ("127.0.0.11", Iprev(state="fail")),
        ("127.0.0.12", Iprev(state="pass", name="out.example.com")),
        ("127.0.0.13", Iprev(state="temperror")),
        ("127.0.0.99", Iprev(state="permerror")),
    ],
)
async def test_iprev(resolver: Resolver, address: str, wanted: Iprev) -> None:
    assert await iprev.check(address, resolver.names, resolver.addresses) == wanted


# --- what only a real one does ----------------------------------------------------------


async def test_a_loop_of_aliases_ends(real: DnsResolver) -> None:
    with trio.fail_after(20):
        assert not (await real.addresses("loop.example.org")).values


async def test_an_alias_into_nowhere_is_a_failure_for_now(real: DnsResolver) -> None:
    assert (await real.addresses("far.example.org")).values == ()


async def test_a_silent_server_ends_by_its_deadline() -> None:
    with silent() as at, trio.fail_after(20):
        made = DnsResolver([at], patience=0.3)
        assert await made.addresses("node.example.org") == Answers(state="temporary")
        assert await made.names("127.0.0.7") == Answers(state="temporary")
        found = await iprev.check("127.0.0.7", made.names, made.addresses)
        assert found == Iprev(state="temperror")


async def test_a_second_server_answers_for_a_dead_one(server: str) -> None:
    with silent() as at, trio.fail_after(30):
        made = DnsResolver([at, server], patience=8.0)
        assert (await made.names("127.0.0.7")).values == ("node.example.org",)


async def test_what_is_no_name_and_no_address(real: DnsResolver) -> None:
    assert (await real.names("no address")).state == "broken"
    assert (await real.addresses("a" * 70 + ".example.org")).state == "broken"


async def test_connections_ask_the_same_servers(real: DnsResolver) -> None:
    assert set(await real.resolve("node.example.org", 1)) == {"127.0.0.7", "::1"}
    assert await real.resolve("127.0.0.55", 1) == ["127.0.0.55"]
    with pytest.raises(OSError, match="nothing"):
        await real.resolve("gone.example.org", 1)


async def test_proof_of_domain_by_a_real_server(real: DnsResolver) -> None:
    for origin, source, by in (
        ("node.example.org:4625", "127.0.0.7", "address"),
        ("alias.example.org:4625", "127.0.0.7", "address"),
        ("many.example.org:4625", "127.0.0.7", "reverse"),
        ("many.example.org:4625", "127.0.0.12", None),
        ("node.example.org:4625", "127.0.0.99", None),
    ):
        domain = proof.domain_of(origin, registrable)
        forward = await real.addresses(origin.partition(":")[0])
        found = await iprev.check(source, real.names, real.addresses)
        assert proof.judge(domain, source, forward, found, registrable).by == by
