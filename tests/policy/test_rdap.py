"""RDAP: IANA's list as it is shipped, and what counts in a registry's answer."""

import json
from importlib import resources
from typing import Any

import pytest

from node.errors import Malformed
from node.policy import rdap
from node.units import Instant
from tests.factories import NOW

LIST = (resources.files("node.client") / "rdap-dns.json").read_bytes()


def test_the_shipped_list() -> None:
    found = rdap.parse_list(LIST)
    assert len(found) > 1_000
    com = rdap.find(found, "example.com")
    assert com is not None
    assert (com.at, com.path("example.com")) == (
        "rdap.verisign.com:443",
        "/com/v1/domain/example.com",
    )
    assert rdap.find(found, "example.nosuchsuffix") is None
    assert rdap.find(found, "com") is None
    # Registries that speak no TLS are not asked: anybody in between could answer.
    plain = b'{"services":[[["kg"],["http://rdap.example/"]],[["org"],["https://r.example/x"]]]}'
    assert rdap.parse_list(plain) == {"org": rdap.Registry(at="r.example:443", base="/x/")}


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"services":[1]}', b'{"services":[[1,2]]}'])
def test_no_list(data: bytes) -> None:
    with pytest.raises(Malformed):
        rdap.parse_list(data)


def domain(**changes: Any) -> bytes:
    events = [
        {"eventAction": "last changed", "eventDate": "2020-01-01T00:00:00Z"},
        {"eventAction": "registration", "eventDate": "1995-08-14T04:00:00Z"},
    ]
    return json.dumps(
        {"objectClassName": "domain", "ldhName": "EXAMPLE.COM", "events": events} | changes
    ).encode()


def event(date: Any, action: str = "registration") -> dict[str, Any]:
    return {"events": [{"eventAction": action, "eventDate": date}]}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (domain(), 808_372_800_000),
        (domain(ldhName="example.com."), 808_372_800_000),
        (domain(**event("1995-08-14T06:00:00+02:00")), 808_372_800_000),
        (domain(**event("1995-08-14T04:00:00.000Z")), 808_372_800_000),
        (domain(**event("1995-08-14")), 808_358_400_000),
        (domain(ldhName="example.net"), None),
        (domain(ldhName=None), None),
        (domain(objectClassName="entity"), None),
        (domain(events=None), None),
        (domain(events=[1, None, []]), None),
        (domain(**event("yesterday")), None),
        (domain(**event("2999-01-01T00:00:00Z")), None),  # a registry's mistake says nothing
        (domain(**event("2025-06-15T16:00:00Z")), NOW),  # its clock is ahead of ours
        (domain(**event(None)), None),
        (domain(**event("1995-08-14T04:00:00Z", "expiration")), None),
        (b"", None),
        (b"[]", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_registered(body: bytes, wanted: int | None) -> None:
    got = rdap.registered(body, "example.com", NOW)
    assert got == (None if wanted is None else Instant(wanted))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1:8080", "/domain/a.org")),
        ("https://rdap.example/v1", ("rdap.example:443", "/v1/domain/a.org")),
        ("ftp://rdap.example/", None),
        ("https://", None),
        ("https://RDAP.example:8443/", ("rdap.example:8443", "/domain/a.org")),
    ],
)
def test_base(url: str, wanted: tuple[str, str] | None) -> None:
    made = rdap.parse_base(url)
    assert (None if made is None else (made.at, made.path("a.org"))) == wanted
