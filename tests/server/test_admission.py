"""Networks, caps, and whose word on an address counts."""

from ipaddress import ip_network
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.asgi import Scope
from node.encoding.address import network
from node.server.admission import KNOWN, ConnectionCaps, Proxies, source

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::1"),
        ("::ffff:127.0.0.2", "127.0.0.2"),
        ("", ""),
        ("what", "what"),
    ],
)
def test_what_an_address_counts_for(address: str, expected: str) -> None:
    assert network(address) == expected


def test_a_network_has_its_cap_and_all_have_one() -> None:
    caps = ConnectionCaps(3, 2)
    assert caps.enter("192.0.2.1")
    assert caps.enter("192.0.2.200")
    assert caps.crowded("192.0.2.3")
    assert not caps.enter("192.0.2.3")
    assert caps.enter("192.0.3.1")
    assert caps.full()
    assert not caps.enter("192.0.4.1")
    caps.leave("192.0.2.1")
    assert caps.enter("192.0.2.9")


def test_only_the_whole_cap_holds_for_proxies_and_local_programs() -> None:
    caps = ConnectionCaps(4, 1, PROXIES)
    assert all(caps.enter(each) for each in ("10.0.0.1", "10.0.0.1", "", ""))
    assert not caps.enter("10.0.0.1")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3))))
def test_nothing_is_kept_of_who_left(steps: list[tuple[bool, int]]) -> None:
    caps = ConnectionCaps(6, 3)
    inside: list[str] = []
    for enters, number in steps:
        address = f"192.0.{number}.1"
        if enters and caps.enter(address):
            inside.append(address)
        elif not enters and address in inside:
            inside.remove(address)
            caps.leave(address)
        assert caps.open == len(inside) <= 6
        assert max(map(inside.count, inside), default=0) <= 3
    for address in inside:
        caps.leave(address)
    assert caps.open == len(caps._counts) == 0


def scope(client: str | None, *headers: tuple[bytes, bytes]) -> Scope:
    return {"client": (client, 1) if client is not None else None, "headers": list(headers)}


X = b"x-forwarded-for"
F = b"forwarded"


@pytest.mark.parametrize(
    ("client", "headers", "expected"),
    [
        (None, [], ""),
        (None, [(X, b"192.0.2.1")], ""),
        ("192.0.2.1", [], "192.0.2.1"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [(X, b"192.0.2.2")], "192.0.2.1"),  # no proxy of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [(X, b"192.0.2.2")], "192.0.2.2"),
        ("::ffff:10.0.0.1", [(X, b"192.0.2.2")], "192.0.2.2"),
        ("10.0.0.1", [(X, b"8.8.8.8, 192.0.2.2")], "192.0.2.2"),  # the left one is a claim
        ("10.0.0.1", [(X, b"8.8.8.8"), (X, b"192.0.2.2")], "192.0.2.2"),
        ("10.0.0.1", [(X, b"192.0.2.2, 10.9.9.9")], "192.0.2.2"),
        ("10.0.0.1", [(X, b"10.8.8.8, 10.9.9.9")], "10.8.8.8"),
        ("10.0.0.1", [(X, b"192.0.2.2, unknown")], "10.0.0.1"),
        ("10.0.0.1", [(X, b"192.0.2.2, ")], "10.0.0.1"),
        ("10.0.0.1", [(X, b"192.0.2.2:4711")], "192.0.2.2"),
        ("10.0.0.1", [(X, b"[2001:db8::1]:4711")], "2001:db8::1"),
        ("10.0.0.1", [(X, b"2001:db8::1")], "2001:db8::1"),
        ("10.0.0.1", [(X, b"192.0.2.2," * 100 + b"\xff")], "10.0.0.1"),
        ("10.0.0.1", [(F, b"for=192.0.2.2;proto=https")], "192.0.2.2"),
        ("10.0.0.1", [(F, b'for=8.8.8.8, proto=http;For="[2001:db8::1]:80"')], "2001:db8::1"),
        ("10.0.0.1", [(F, b"for=192.0.2.2, for=_hidden")], "10.0.0.1"),
        ("10.0.0.1", [(F, b"by=192.0.2.2")], "10.0.0.1"),
        ("10.0.0.1", [(X, b"192.0.2.2"), (F, b"for=8.8.8.8")], "10.0.0.1"),  # which is its own?
    ],
)
def test_where_a_request_comes_from(
    client: str | None, headers: list[tuple[bytes, bytes]], expected: str
) -> None:
    assert source(scope(client, *headers), PROXIES) == expected


@pytest.mark.parametrize(("own", "other"), [(X, F), (F, X)])
def test_a_forged_field_beside_the_proxy_s_own_counts_for_nothing(own: bytes, other: bytes) -> None:
    """A proxy writes one of the two in every request: it is known once it came alone."""
    held = Proxies(PROXIES)
    wrote = {X: b"192.0.2.7", F: b"for=192.0.2.7"}[own]
    forged = {X: b"8.8.8.8", F: b"for=8.8.8.8"}[other]
    both = scope("10.0.0.1", (own, wrote), (other, forged))
    assert source(both, held) == "10.0.0.1"  # which is its own?
    assert source(scope("10.0.0.1", (own, wrote)), held) == "192.0.2.7"
    assert source(both, held) == "192.0.2.7"
    # Another proxy may write the other one.
    assert source(scope("10.0.0.2", (own, b"8.8.8.8"), (other, forged)), held) == "10.0.0.2"
    # Who is no proxy teaches nothing.
    assert source(scope("192.0.2.9", (other, forged)), held) == "192.0.2.9"
    assert source(both, held) == "192.0.2.7"


def test_only_so_many_proxies_are_known() -> None:
    held = Proxies(PROXIES)
    for number in range(KNOWN + 1):
        source(scope(f"10.0.1.{number}", (X, b"192.0.2.7")), held)
    both = ((X, b"192.0.2.7"), (F, b"for=8.8.8.8"))
    assert source(scope("10.0.1.0", *both), held) == "192.0.2.7"
    assert source(scope(f"10.0.1.{KNOWN}", *both), held) == f"10.0.1.{KNOWN}"


def test_trust_changes_for_those_who_hold_it() -> None:
    held = Proxies()
    caps = ConnectionCaps(9, 1, held)
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"192.0.2.7")]}
    assert source(scope, held) == "10.0.0.1"
    assert [caps.enter("10.0.0.1") for _ in range(2)] == [True, False]
    held.networks = PROXIES
    assert source(scope, held) == "192.0.2.7"
    assert caps.enter("10.0.0.1")
    held.networks = ()
    assert source(scope, held) == "10.0.0.1"
    assert not caps.enter("10.0.0.1")
    caps.leave("10.0.0.1")
    caps.leave("10.0.0.1")
    assert caps.open == 0


def test_what_a_proxy_passes_on_costs_no_time() -> None:
    """Blanks between a value and a quote were tried in all ways: five seconds for 16 KB."""
    for start, end in ((b"for=", b'"'), (b"for=x", b"y"), (b"for=", b"x"), (b";", b"x")):
        began = process_time()
        assert source(scope("10.0.0.1", (F, start + b" " * 16_000 + end)), PROXIES) == "10.0.0.1"
        assert process_time() - began < 0.5
