"""iprev by RFC 8601 §2.7.3, and what it proves of a domain."""

import pytest

from node.policy import iprev, proof
from node.policy.iprev import Answers, Iprev
from tests.fakes.ports import registrable

HOST = "192.0.2.7"


def told(*values: str, state: str = "ok") -> Answers:
    return Answers(values=values, state=state if not values else "ok")


@pytest.mark.parametrize(
    ("reverse", "forward", "wanted"),
    [
        (("mx.a.org",), {"mx.a.org": told(HOST)}, Iprev(state="pass", name="mx.a.org")),
        (("mx.a.org",), {"mx.a.org": told("192.0.2.8")}, Iprev(state="fail")),
        (("mx.a.org",), {"mx.a.org": told(state="nothing")}, Iprev(state="fail")),
        (("mx.a.org",), {"mx.a.org": told(state="temporary")}, Iprev(state="temperror")),
        (
            ("x.a.org", "mx.a.org"),
            {"x.a.org": told(state="temporary"), "mx.a.org": told(HOST)},
            Iprev(state="pass", name="mx.a.org"),
        ),
        (told(state="nothing"), {}, Iprev(state="permerror")),
        (told(state="broken"), {}, Iprev(state="permerror")),
        (told(state="temporary"), {}, Iprev(state="temperror")),
        # The fifth name of an address is not looked at.
        (("a.org",) * 4 + ("mx.a.org",), {"mx.a.org": told(HOST)}, Iprev(state="fail")),
    ],
)
async def test_states(
    reverse: tuple[str, ...] | Answers, forward: dict[str, Answers], wanted: Iprev
) -> None:
    async def names(address: str) -> Answers:
        assert address == HOST
        return reverse if isinstance(reverse, Answers) else told(*reverse)

    async def addresses(name: str) -> Answers:
        return forward.get(name, told(state="nothing"))

    assert await iprev.check(HOST, names, addresses) == wanted


PASS = Iprev(state="pass", name="out.a.org")


@pytest.mark.parametrize(
    ("domain", "forward", "found", "by", "unsure"),
    [
        ("a.org", told(HOST, "192.0.2.9"), None, "address", False),
        ("a.org", told("192.0.2.9"), PASS, "reverse", False),
        ("b.org", told("192.0.2.9"), PASS, None, False),
        ("a.org", told("192.0.2.9"), Iprev(state="fail"), None, False),
        ("a.org", told(state="temporary"), Iprev(state="fail"), None, True),
        ("a.org", told(state="nothing"), Iprev(state="temperror"), None, True),
        ("a.org", told(state="temporary"), PASS, "reverse", False),
        (None, None, PASS, None, False),
        (None, told(HOST), None, None, False),
    ],
)
def test_proof(
    domain: str | None, forward: Answers | None, found: Iprev | None, by: str | None, unsure: bool
) -> None:
    made = proof.judge(domain, HOST, forward, found, registrable)
    assert (made.by, made.unsure) == (by, unsure)
    assert made.reverse_domain == ("a.org" if found == PASS else None)


@pytest.mark.parametrize(
    ("origin", "domain", "source"),
    [
        ("node.a.org:4625", "a.org", False),
        ("192.0.2.7:4625", None, True),
        ("192.0.2.8:4625", None, False),
        ("[2001:db8::7]:4625", None, False),
        ("host.lan:4625", None, False),
    ],
)
def test_what_an_origin_names(origin: str, domain: str | None, source: bool) -> None:
    assert proof.domain_of(origin, registrable) == domain
    assert proof.is_source(origin, HOST) is source
    assert proof.is_source(origin, "::ffff:192.0.2.7") is source
