"""What a token may do: every call of the table, made with one."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import trio

from node.encoding import cid as cids
from node.encoding import names
from node.localapi.app import LocalApi
from node.localapi.rights import MONITOR, NODE, OWNER, RIGHTS, may
from tests.docs import pages
from tests.fakes.world import Machine, World, until, world
from tests.localapi.client import Answer, bearer, call
from tests.services.test_delivery import key_of

SECURITY = (pages.DOCS / "security.md").read_text(encoding="utf-8")
SECRET = "annas-own-word"
"""Stands in everything that is anna's: no answer to ben's token may hold it."""


async def token_of(api: LocalApi, name: str, device: str = "laptop") -> str:
    made = await call(api, "POST token", name, body={"device": device})
    return str(made.document()["token"])


class House:
    """Anna and ben on one node; carl, a contact of both, on another. Ben has a token.

    Attributes:
        words: every word that names something of anna's.
        secrets: what no answer to ben may hold unasked.
    """

    def __init__(self, w: World, home: Machine, other: Machine) -> None:
        self.world, self.home, self.other = w, home, other
        self.api = LocalApi(home.on)
        self.token = ""
        self.words: list[str] = []
        self.secrets: list[bytes] = []

    async def settle(self) -> None:
        home, other = self.home, self.other
        await home.another("ben")
        for name in ("anna", "ben"):
            await home.join(await other.invite(), owner=name)
            me = home.owner(name).owner
            await until(lambda me=me: (p := other.peer(me)) is not None and p.met)  # type: ignore[misc]
        anna = home.owner("anna").owner
        text = f"Subject: {SECRET}\r\n\r\n{SECRET}".encode()
        sent = await home.send([key_of(other)], text, owner="anna")
        await until(lambda: home.state(sent, key_of(other)) == "confirmed")
        got = await other.send([anna], text)
        await until(lambda: other.state(got, anna) == "confirmed")
        changed = await call(
            self.api, "POST contact", headers={"willcall-owner": "anna"},
            body={"contact": names.did(key_of(other)), "action": "rename", "name": SECRET},
        )  # fmt: skip
        assert changed.status == 200
        self.token = await token_of(self.api, "ben")
        self.words = [
            cids.show(sent), cids.show(got), cids.show(sent)[-8:], "1", SECRET, "anna",
            names.did(anna), f"{names.did(anna)}@{home.origin}",
        ]  # fmt: skip

        shown = (SECRET, names.did(anna), cids.show(sent), cids.show(got))
        self.secrets = [word.encode() for word in shown]

    async def call(self, name: str, *words: str, **more: Any) -> Answer:
        """The call with ben's token."""
        with trio.fail_after(3600):
            return await call(self.api, name, *words, headers=bearer(self.token), **more)

    async def rows(self) -> dict[bytes, bytes]:
        """All that is stored of anna's."""
        await self.home.flushed()
        owner = self.home.owner("anna").owner
        disk = self.home.disk.copy().scan(b"\x00", b"\xff" * 8)
        return {key: value for key, value in disk if bytes(owner) in key + value}


def attempts(word: str) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Ways to name something to a call."""
    body: Mapping[str, Any] = {
        "ref": word, "refs": [word], "to": [word], "contact": word, "action": "show",
        "messages": [word], "name": "x", "link": word, "id": word, "seconds": 0.1,
    }  # fmt: skip
    query = {"to": [word], "before": word, "limit": "5", "wait": "0"}
    return [
        ((word,), {}),
        ((word,), {"body": body}),
        ((), {"body": body}),
        ((), {"query": query, "body": b"x"}),
    ]


def test_every_call_has_its_right() -> None:
    assert set(RIGHTS.values()) == {OWNER, NODE, MONITOR}
    for right in (OWNER, NODE, MONITOR):
        assert not may("GET something-new", right)
        assert not may("POST owners", right)


async def test_every_call_of_the_node_is_in_the_table(autojump_clock: object) -> None:
    async with world() as w:
        api = LocalApi((await w.add("anna")).on)
        assert api.calls == RIGHTS.keys()


def test_the_page_has_the_same_table() -> None:
    told = {row[0].strip("`"): row[1] for row in pages.table(SECURITY, "## What a token may do")}
    assert told == RIGHTS


@pytest.mark.parametrize("name", sorted(RIGHTS))
async def test_every_call_with_a_token(autojump_clock: object, name: str) -> None:
    """A call of the node is refused; one of an owner neither shows nor changes another's."""
    async with world() as w:
        house = House(w, await w.add("anna"), await w.add("carl"))
        await house.settle()
        before = await house.rows()
        for word in house.words:
            for words, more in attempts(word):
                if name in (
                    "POST contacts",
                    "POST allow",
                    "POST send",
                    "POST resolve",
                    "POST mbox",
                ):
                    words, more = _no_mail_to_anna(house, word, words, more)
                answer = await house.call(name, *words, **more)
                assert answer.status != 500, (words, more, answer.body)
                if RIGHTS[name] != OWNER:
                    assert (answer.status, answer.reason()) == (403, "administrator")
                else:
                    assert answer.status not in (401, 403), (words, more, answer.body)
                said = answer.body.replace(word.encode(), b"")
                assert not any(each in said for each in house.secrets), answer.body
        refused = await call(
            house.api, name, headers=bearer(house.token) | {"willcall-owner": "anna"}
        )
        assert (refused.status, refused.reason()) == (403, "other-owner")
        after = await house.rows()
        assert after == before


def _no_mail_to_anna(
    house: House, word: str, words: tuple[str, ...], more: dict[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Writing to her is anybody's right, and would change what is hers."""
    return ((), {}) if word.startswith("did:") else (words, more)


async def test_the_socket_is_the_administrator_s(autojump_clock: object) -> None:
    async with world() as w:
        machine = await w.add("anna")
        await machine.another("ben")
        api = LocalApi(machine.on)
        assert (await call(api, "GET whoami")).document()["name"] == "anna"
        as_ben = await call(api, "GET whoami", headers={"willcall-owner": "ben"})
        assert as_ben.document()["name"] == "ben"
        assert len((await call(api, "GET owners")).document()) == 2


async def test_tokens_of_devices(autojump_clock: object) -> None:
    async with world() as w:
        machine = await w.add("anna")
        await machine.another("ben")
        api = LocalApi(machine.on)
        made = (await call(api, "POST token", "ben", body={"device": "laptop"})).document()
        assert set(made) == {"owner", "token", "id", "device", "made", "used", "opens"}
        assert len(made["token"]) == len("willcall_") + 43  # 32 random bytes
        second = await token_of(api, "ben", "phone")
        assert second != made["token"]
        listed = (await call(api, "GET tokens", "ben")).document()
        assert [row["device"] for row in listed] == ["laptop", "phone"]
        assert [row["used"] for row in listed] == [None, None]
        assert (await call(api, "GET tokens", "anna")).document() == []
        for token in (made["token"], second):
            assert (await call(api, "GET whoami", headers=bearer(token))).document()[
                "name"
            ] == "ben"
        first = (await call(api, "GET tokens", "ben")).document()[0]
        assert (first["id"], len(first["used"])) == (made["id"], 10)
        await trio.sleep(86_400)
        await call(api, "GET whoami", headers=bearer(made["token"]))
        later = (await call(api, "GET tokens", "ben")).document()
        assert later[0]["used"] > first["used"] == later[1]["used"]
        gone = await call(api, "POST revoke", "ben", body={"id": made["id"]})
        assert gone.document()["device"] == "laptop"
        refused = await call(api, "GET whoami", headers=bearer(made["token"]))
        assert (refused.status, refused.reason()) == (401, "bad-token")
        assert (await call(api, "GET whoami", headers=bearer(second))).status == 200
        again = await call(api, "POST revoke", "ben", body={"id": made["id"]})
        assert (again.status, again.reason()) == (404, "absent")
        other = await call(api, "POST revoke", "anna", body={"id": later[1]["id"]})
        assert other.status == 404


async def test_no_token_is_stored(autojump_clock: object) -> None:
    async with world() as w:
        machine = await w.add("anna")
        api = LocalApi(machine.on)
        token = await token_of(api, "anna")
        await machine.flushed()
        raw = b"".join(k + v for k, v in machine.disk.copy().scan(b"\x00", b"\xff" * 8))
        assert token.encode() not in raw
        assert token.removeprefix("willcall_").encode() not in raw


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer willcall_",
        "Basic {}",
        "{}",
        "Bearer  {}",
        "Bearer {} ",
    ],
)
async def test_what_is_no_token_opens_nothing(autojump_clock: object, shown: str) -> None:
    async with world() as w:
        api = LocalApi((await w.add("anna")).on)
        token = await token_of(api, "anna")
        answer = await call(api, "GET whoami", headers={"authorization": shown.format(token)})
        assert (answer.status, answer.reason()) == (401, "bad-token")
        assert token not in answer.body.decode()


async def test_an_owner_has_so_many_tokens(autojump_clock: object) -> None:
    async with world() as w:
        api = LocalApi((await w.add("anna")).on)
        for _ in range(64):
            await token_of(api, "anna")
        full = await call(api, "POST token", "anna")
        assert (full.status, full.reason()) == (409, "too-many")
        assert "--revoke" in json.loads(full.body)["next"]


async def test_no_web_page_speaks_to_a_node(autojump_clock: object) -> None:
    async with world() as w:
        api = LocalApi((await w.add("anna")).on)
        token = await token_of(api, "anna")
        for name in ("GET inbox", "OPTIONS inbox"):
            answer = await call(
                api, name, headers=bearer(token) | {"origin": "http://127.0.0.1:4626"}
            )
            assert answer.status == 403
            assert not any(key.startswith(b"access-control") for key in answer.headers)
