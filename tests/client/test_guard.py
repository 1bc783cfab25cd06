"""Where the node connects to, and where no name can lead it."""

import socket
from collections.abc import Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.client.guard import ANSWERS, PORTS, Allowed, GuardedBackend, Kind, judge, kind, resolve
from node.errors import Unreachable

NOWHERE = Allowed()
LOCAL = Allowed(loopback=True)
INNER = Allowed(private=True)

SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.0.170",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "198.18.0.1",
    "198.19.255.255",
    "192.88.99.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "::127.0.0.1",
    "::8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2001:2::1",
    "2001:10::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    "fec0::1",
    "fe80::1",
    "fe80::1%1",
    "fe80::1%eth0",
    "::1%1",
    "ff02::1",
    "ff0e::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "4000::1",
    "127.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.01",
    "1.2.3",
    "1.2.3.4.5",
    "localhost",
    "",
    " 127.0.0.1",
    "127.0.0.1\n",
    "\u0661\u0662\u0667.0.0.1",
    "8.8.8.8:80",
    "[::1]",
]
PRIVATE = [
    "10.0.0.1",
    "10.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "192.168.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "fc00::1",
    "fd12:3456::1",
]
LOOPBACK = ["127.0.0.1", "127.0.0.2", "127.255.255.255", "::1"]
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "126.255.255.255",
    "128.0.0.0",
    "2a00:1450:4001::1",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "3ffe::1",
]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *((each, Kind.SPECIAL) for each in SPECIAL),
        *((each, Kind.PRIVATE) for each in PRIVATE),
        *((each, Kind.LOOPBACK) for each in LOOPBACK),
        *((each, Kind.PUBLIC) for each in PUBLIC),
    ],
)
def test_what_an_address_is_good_for(address: str, expected: Kind) -> None:
    assert kind(address) is expected


def refusal(port: int, answers: Sequence[str], allowed: Allowed) -> str | None:
    try:
        judge("host", port, answers, allowed)
    except Unreachable as error:
        return error.reason
    return None


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_never_called(address: str) -> None:
    everything = Allowed(loopback=True, private=True, ports=frozenset(range(65536)))
    assert refusal(443, [address], everything) == "guarded"


@pytest.mark.parametrize(
    ("answers", "port", "allowed", "expected"),
    [
        (["8.8.8.8"], 443, NOWHERE, None),
        (["8.8.8.8", "2606:4700::1111"], 4625, NOWHERE, None),
        (["8.8.8.8"], 8443, NOWHERE, None),
        (["8.8.8.8"], 80, NOWHERE, "guarded"),
        (["8.8.8.8"], 25, LOCAL, "guarded"),
        (["8.8.8.8"], 22, INNER, "guarded"),
        (["8.8.8.8"], 25, Allowed(ports=PORTS | {25}), None),
        (["127.0.0.1"], 443, NOWHERE, "guarded"),
        (["127.0.0.1"], 443, INNER, "guarded"),
        (["127.0.0.1"], 22, LOCAL, None),
        (["127.0.0.1", "::1"], 22, LOCAL, None),
        (["10.0.0.1"], 443, NOWHERE, "guarded"),
        (["10.0.0.1"], 443, LOCAL, "guarded"),
        (["10.0.0.1"], 443, INNER, None),
        (["10.0.0.1"], 22, INNER, "guarded"),
        (["8.8.8.8", "127.0.0.1"], 443, LOCAL, "guarded"),  # rebinding in one answer
        (["10.0.0.1", "8.8.8.8"], 443, INNER, "guarded"),
        (["10.0.0.1", "127.0.0.1"], 443, Allowed(loopback=True, private=True), "guarded"),
        (["8.8.8.8"] * 3 + ["169.254.169.254"], 443, INNER, "guarded"),
        ([], 443, LOCAL, "dns"),
        ([f"8.8.{number}.8" for number in range(ANSWERS + 1)], 443, NOWHERE, "guarded"),
    ],
)
def test_all_answers_count(
    answers: list[str], port: int, allowed: Allowed, expected: str | None
) -> None:
    assert refusal(port, answers, allowed) == expected


@given(
    st.lists(st.ip_addresses().map(str), min_size=1, max_size=4),
    st.integers(0, 65535),
    st.booleans(),
    st.booleans(),
)
def test_what_passes_is_allowed_in_whole(
    answers: list[str], port: int, loopback: bool, private: bool
) -> None:
    allowed = Allowed(loopback=loopback, private=private)
    if refusal(port, answers, allowed) is None:
        kinds = {kind(each) for each in answers}
        assert len(kinds) == 1
        assert kinds != {Kind.SPECIAL}
        assert loopback or kinds != {Kind.LOOPBACK}
        assert private or kinds != {Kind.PRIVATE}
        assert port in PORTS or kinds == {Kind.LOOPBACK}


@pytest.mark.parametrize(
    "spelling", ["127.1", "0177.0.0.1", "0x7f.1", "0x7f000001", "2130706433", "localhost"]
)
async def test_other_spellings_resolve_to_what_they_mean(spelling: str) -> None:
    answers = await resolve(spelling, 443)
    assert refusal(443, answers, NOWHERE) == "guarded"
    assert {kind(each) for each in answers} == {Kind.LOOPBACK}


class Fickle:
    """A resolver that first says something harmless, then the truth (DNS rebinding)."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


async def listening() -> tuple[trio.SocketListener, int]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    return listener, int(listener.socket.getsockname()[1])


async def test_a_name_is_resolved_once_and_what_was_judged_is_connected() -> None:
    listener, port = await listening()
    async with listener:
        resolver = Fickle(["127.0.0.1"], ["169.254.169.254"])
        backend = GuardedBackend(LOCAL, resolver)
        stream = await backend.connect_tcp("rebinding.invalid", port)
        assert stream.get_extra_info("server_addr") == ("127.0.0.1", port)
        await stream.aclose()
        assert resolver.asked == ["rebinding.invalid"]
        with pytest.raises(Unreachable, match="no mail node"):
            await backend.connect_tcp("rebinding.invalid", port)


async def test_the_next_address_is_tried_when_one_is_dead() -> None:
    listener, port = await listening()
    async with listener:
        backend = GuardedBackend(LOCAL, Fickle(["127.0.0.9", "::1", "127.0.0.1"]))
        stream = await backend.connect_tcp("two.invalid", port)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        await stream.aclose()


async def no_such(host: str, port: int) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_failures_have_their_own_words() -> None:
    listener, port = await listening()
    await listener.aclose()
    with pytest.raises(Unreachable) as caught:
        await GuardedBackend(LOCAL, Fickle(["127.0.0.1"])).connect_tcp("gone.invalid", port)
    assert caught.value.reason == "no-connection"
    with pytest.raises(Unreachable) as caught:
        await GuardedBackend(LOCAL, no_such).connect_tcp("gone.invalid", port)
    assert caught.value.reason == "dns"
    with pytest.raises(Unreachable) as caught:
        await GuardedBackend(LOCAL).connect_tcp("a" * 64 + ".invalid", port)
    assert caught.value.reason == "dns"
    with pytest.raises(Unreachable) as caught:
        await GuardedBackend(LOCAL).connect_unix_socket("socket")
    assert caught.value.reason == "guarded"
