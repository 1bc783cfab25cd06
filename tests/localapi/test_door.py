"""The local API over TCP: whom the door turns away."""

from collections.abc import AsyncIterator

import pytest
import trio

from node.localapi.app import LocalApi
from node.server.door import FAILURES, NETWORKS, Door, Failures
from tests.fakes.ports import FakeClock, noted
from tests.fakes.world import Machine, world
from tests.localapi.client import Answer, bearer, call
from tests.localapi.test_rights import token_of

HERE = ("127.0.0.1", 40_000)


class Rig:
    """A door in front of one node's API, and a token of its owner."""

    def __init__(self, machine: Machine, names: tuple[str, ...] = ()) -> None:
        self.notes: list[str] = []
        self.door = Door(
            LocalApi(machine.on, trusted=False), names, machine.clock, noted(self.notes)
        )
        self.socket = LocalApi(machine.on)
        self.token = ""

    async def ask(
        self, token: str | None, *, host: str = "127.0.0.1:4626", at: str = "127.0.0.1"
    ) -> Answer:
        headers = {"host": host} | ({} if token is None else bearer(token))
        return await call(self.door, "GET whoami", headers=headers, client=(at, 40_000))


@pytest.fixture
async def rig(autojump_clock: object) -> AsyncIterator[Rig]:
    async with world() as w:
        made = Rig(await w.add("anna"), ("mail.example",))
        made.token = await token_of(made.socket, "anna")
        yield made


async def test_a_token_opens_and_nothing_else_does(rig: Rig) -> None:
    assert (await rig.ask(rig.token)).document()["name"] == "anna"
    for token in (None, "", "x", rig.token[:-1], rig.token + "x"):
        answer = await rig.ask(token)
        assert (answer.status, answer.reason()) == (401, "bad-token")
    named = await call(
        rig.door, "GET owners", headers={"host": "localhost", "willcall-owner": "anna"}, client=HERE
    )
    assert named.status == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:4626", 200),
        ("127.0.0.1:9999", 200),  # a tunnel's other end
        ("127.0.0.1", 200),
        ("localhost:4626", 200),
        ("LOCALHOST", 200),
        ("[::1]:4626", 200),
        ("192.168.1.7:4626", 200),
        ("mail.example:4626", 200),
        ("evil.example:4626", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.1", 403),
        ("localhost.evil.example:4626", 403),
        ("[::1", 400),
        ("[evil]", 400),
        ("127.0.0.1:4626:1", 400),
        ("", 400),
        (":4626", 400),
    ],
)
async def test_host(rig: Rig, host: str, status: int) -> None:
    assert (await rig.ask(rig.token, host=host)).status == status


async def test_wrong_tokens_are_counted_for_their_network(rig: Rig, autojump_clock: object) -> None:
    for _ in range(FAILURES):
        assert (await rig.ask("wrong", at="203.0.113.5")).status == 401
    limited = await rig.ask("wrong", at="203.0.113.77")
    assert (limited.status, limited.reason()) == (429, "rate-limited")
    assert rig.notes == [f"wrong-tokens count={FAILURES} network=203.0.113.0/24"]
    # Who is right is never locked out by who is wrong, not even from the same place.
    assert (await rig.ask(rig.token, at="203.0.113.5")).status == 200
    assert (await rig.ask("wrong", at="198.51.100.5")).status == 401
    await trio.sleep(61)
    assert (await rig.ask("wrong", at="203.0.113.5")).status == 401


async def test_no_answer_invites_a_browser(rig: Rig) -> None:
    for origin in ("http://127.0.0.1:4626", "null", "https://evil.example"):
        headers = {"host": "127.0.0.1:4626", "origin": origin} | bearer(rig.token)
        for name in ("GET inbox", "OPTIONS inbox", "POST send"):
            answer = await call(rig.door, name, headers=headers, client=HERE)
            assert answer.status == 403
            assert not any(key.startswith(b"access-control") for key in answer.headers)


async def test_networks_are_forgotten(autojump_clock: object) -> None:
    failures = Failures(FakeClock())
    for number in range(3 * NETWORKS):
        assert failures.add(f"network {number}") == 1
    assert len(failures._counts) == NETWORKS


@pytest.mark.parametrize(
    "body",
    [b"[" * 500_000, b'{"a":' * 100_000, b'{"name":"\xff"}', b'{"a":"\\ud800"}', b"1e999", b"\0"],
)
async def test_json_that_breaks_its_reader_is_no_bug(autojump_clock: object, body: bytes) -> None:
    async with world() as w:
        api = LocalApi((await w.add("anna")).on)
        answer = await call(api, "POST invite", body=body)
        assert (answer.status, answer.reason()) == (400, "malformed")
