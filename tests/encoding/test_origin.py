"""The one spelling of an origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.encoding import origin
from node.errors import Malformed

GOOD = [
    ("mail.example.org:4625", "mail.example.org", 4625),
    ("localhost:1", "localhost", 1),
    ("nas:65535", "nas", 65_535),
    ("127.0.0.1:4625", "127.0.0.1", 4625),
    ("0.0.0.0:80", "0.0.0.0", 80),
    ("[::1]:4625", "::1", 4625),
    ("[::]:4625", "::", 4625),
    ("[2001:db8::1]:443", "2001:db8::1", 443),
    ("[2001:db8:0:1:1:1:1:1]:443", "2001:db8:0:1:1:1:1:1", 443),
    ("[2001:db8::1:0:0:1]:443", "2001:db8::1:0:0:1", 443),
    ("xn--mnchen-3ya.example:443", "xn--mnchen-3ya.example", 443),
    ("1.2.3.4.example:443", "1.2.3.4.example", 443),
    ("a-b--c.d:443", "a-b--c.d", 443),
    ("0xg.0xcafe-1:443", "0xg.0xcafe-1", 443),
    ("x" * 63 + "." + "y" * 30 + ":4625", "x" * 63 + "." + "y" * 30, 4625),
]


@pytest.mark.parametrize(("text", "host", "port"), GOOD)
def test_good(text: str, host: str, port: int) -> None:
    origin.check(text)
    assert origin.split(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":4625",
        "example.org",
        "example.org:",
        "example.org:0",
        "example.org:04625",
        "example.org:65536",
        "example.org:99999",
        "example.org:123456",
        "example.org:+1",
        "example.org: 1",
        "example.org:1 ",
        "example.org:1\n",
        "example.org:1_0",
        "example.org:٣",
        "example.org:4625/",
        "http://example.org:80",
        "user@example.org:80",
        "Example.org:80",
        "example.org.:80",
        ".example.org:80",
        "example..org:80",
        "-a.example:80",
        "a-.example:80",
        "a_b.example:80",
        "xn--.example:80",
        "münchen.example:80",
        "exa mple:80",
        "x" * 64 + ".org:80",
        "x.y" * 40 + ":80",
        "127.1:80",
        "127.0.0.01:80",
        "0177.0.0.1:80",
        "0x7f.0.0.1:80",
        "0x7f000001:80",
        "2130706433:80",
        "127.0.0.0x1:80",
        "a.0x:80",
        "1.2.3:80",
        "1.2.3.4.5:80",
        "256.0.0.1:80",
        "1.2.3.4.:80",
        "a.1:80",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "[]:80",
        "[:80",
        "]:80",
        "[::1]]:80",
        "[[::1]]:80",
        "[127.0.0.1]:80",
        "[0:0:0:0:0:0:0:1]:80",
        "[0::1]:80",
        "[2001:DB8::1]:80",
        "[2001:0db8::1]:80",
        "[2001:db8::1:1:1:1:1]:80",  # one group is not shortened
        "[2001:db8:0:0:1::1]:80",  # the first of equal runs is
        "[fe80::1%eth0]:80",
        "[fe80::1%25eth0]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:7f00:1]:80",
        "[::127.0.0.1]:80",
        "[v1.a]:80",
        "\ud800:80",
    ],
)
def test_bad(text: str) -> None:
    for ask in (origin.check, origin.split, origin.is_loopback, origin.is_private):
        with pytest.raises(Malformed):
            ask(text)


LOOPBACK = ["127.0.0.1:1", "127.255.255.254:1", "[::1]:1", "localhost:1"]
PRIVATE = [
    "10.0.0.1:1",
    "172.16.0.1:1",
    "172.31.255.255:1",
    "192.168.1.1:1",
    "100.64.0.1:1",
    "100.127.255.255:1",
    "169.254.169.254:1",
    "[fc00::1]:1",
    "[fd12:3456::1]:1",
    "[fe80::1]:1",
]
PUBLIC = [
    "example.org:1",
    "localhost.example:1",
    "128.0.0.1:1",
    "172.32.0.1:1",
    "100.128.0.1:1",
    "8.8.8.8:1",
    "[2001:4860::1]:1",
    "[fec0::1]:1",
]


@pytest.mark.parametrize("text", LOOPBACK + PRIVATE + PUBLIC)
def test_where_it_is(text: str) -> None:
    assert origin.is_loopback(text) == (text in LOOPBACK)
    assert origin.is_private(text) == (text in PRIVATE)


@given(st.ip_addresses(v=6), st.integers(1, 65_535))
def test_any_ipv6_address(address: object, port: int) -> None:
    text = f"[{address}]:{port}"
    if "::ffff:" in text and "[::ffff:" in text and text.count(":") <= 6:
        return  # IPv4-mapped: in the table above
    assert origin.split(text) == (str(address), port)


@given(st.ip_addresses(v=4), st.integers(1, 65_535))
def test_any_ipv4_address(address: object, port: int) -> None:
    assert origin.split(f"{address}:{port}") == (str(address), port)


@given(st.text(st.sampled_from("[]:.-_x0127af%nxsd\n é"), max_size=24))
def test_any_text_is_an_origin_or_malformed(text: str) -> None:
    try:
        host, port = origin.split(text)
    except Malformed:
        return
    assert text in (f"{host}:{port}", f"[{host}]:{port}")
