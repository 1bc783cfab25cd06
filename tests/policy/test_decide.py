"""The shipped profiles: which rule decides about which facts, and what is unknown never does."""

import pytest

from node.policy import decide
from node.policy import facts as f
from node.policy.facts import Facts
from node.units import DAY, Instant

NOW = Instant(1_790_000_000_000)
OLD, NEW = Instant(NOW - 400 * DAY), Instant(NOW - 3 * DAY)
LATER = Instant(NOW + 1)


def facts(**changes: object) -> Facts:
    known = {
        "source": "192.0.2.7",
        "network": "192.0.2.0/24",
        "domain": "example.org",
        "iprev": "pass",
        "reverse": "mx.example.org",
        "reverse_domain": "example.org",
        "proof": "reverse",
        "registered": OLD,
    }
    return Facts(**(known | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "personal", "strict"),
    [
        ({}, ("hold", "strangers-wait", ()), ("hold", "strangers-wait", ())),
        (
            {"registered": NEW},
            ("hold", "strangers-wait", ("young",)),
            ("hold", "young-domain", ("suspicious",)),
        ),
        # Unknown is unknown: a registry that says nothing makes nobody young.
        ({"registered": None}, ("hold", "strangers-wait", ()), ("hold", "strangers-wait", ())),
        ({"registered": LATER}, ("hold", "strangers-wait", ()), ("hold", "strangers-wait", ())),
        (
            {"registered": None, "first_seen": NEW},
            ("hold", "strangers-wait", ()),
            ("hold", "strangers-wait", ()),
        ),
        (
            {"iprev": "fail", "reverse": None, "reverse_domain": None},
            ("hold", "strangers-wait", ()),
            ("refuse", "no-reverse-dns", ()),
        ),
        (
            {"iprev": "permerror", "reverse": None, "reverse_domain": None},
            ("hold", "strangers-wait", ()),
            ("refuse", "no-reverse-dns", ()),
        ),
        # A server that does not answer is not the sender's failure.
        (
            {"iprev": "temperror", "reverse": None, "reverse_domain": None},
            ("hold", "strangers-wait", ()),
            ("hold", "strangers-wait", ()),
        ),
        (
            {"iprev": None, "reverse": None, "reverse_domain": None},
            ("hold", "strangers-wait", ()),
            ("hold", "strangers-wait", ()),
        ),
        # Confirmed, and under no public suffix: nobody answers for `host.lan`.
        (
            {"reverse": "host.lan", "reverse_domain": None},
            ("hold", "strangers-wait", ()),
            ("refuse", "no-reverse-dns", ()),
        ),
    ],
)
def test_profiles(changes: dict[str, object], personal: object, strict: object) -> None:
    for profile, wanted in (("personal", personal), ("strict", strict)):
        got = decide.decide(profile, facts(**changes), NOW)
        assert (got.verdict, got.rule, got.marks) == wanted
        assert got.why


def test_age_by_first_sight() -> None:
    assert f.young(facts(registered=None, first_seen=OLD), NOW) is False
    assert f.young(facts(registered=NEW, first_seen=OLD), NOW) is False
    assert f.young(facts(registered=OLD, first_seen=NEW), NOW) is False
    assert f.young(facts(registered=None, first_seen=NEW), NOW) is None
    assert f.since(facts(registered=NEW, first_seen=OLD)) == OLD
    assert f.since(facts(registered=None)) is None


def test_whom_the_ring_is_fair_to() -> None:
    assert facts().group == "example.org"
    assert facts(proof=None).group == "192.0.2.0/24"
