"""What the inbound adapters share, under a server that keeps no rules."""

import json

import pytest

from node.asgi import Body, Message, Scope, read_body, respond
from node.errors import Malformed, OverQuota, TooLarge
from node.ports import Response
from node.problems import problem, problem_of
from node.units import ByteCount

LIMIT = ByteCount(10)


def scope(*fields: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "headers": list(fields)}


def length(text: bytes) -> Scope:
    return scope((b"content-length", text))


class Parts:
    """A `receive` that hands out these bodies, then the disconnect."""

    def __init__(self, *parts: bytes, ends: bool = True) -> None:
        self.parts, self.ends = list(parts), ends

    async def __call__(self) -> Message:
        if not self.parts:
            return {"type": "http.disconnect"}
        body = self.parts.pop(0)
        return {
            "type": "http.request",
            "body": body,
            "more_body": bool(self.parts) or not self.ends,
        }


async def test_a_body_comes_whole() -> None:
    assert await read_body(length(b"6"), Parts(b"ab", b"", b"cdef"), LIMIT) == b"abcdef"
    assert await read_body(scope(), Parts(b""), LIMIT) == b""


async def test_a_body_comes_in_parts() -> None:
    body = Body(length(b"3"), Parts(b"ab", b"c"), LIMIT)
    assert [await body.chunk() for _ in range(4)] == [b"ab", b"c", None, None]


async def test_a_body_that_is_declared_too_large_is_not_begun() -> None:
    parts = Parts(b"a" * 11)
    with pytest.raises(TooLarge):
        await read_body(length(b"11"), parts, LIMIT)
    assert parts.parts


@pytest.mark.parametrize("declared", [scope(), length(b"2")])
async def test_a_body_longer_than_declared_is_not_taken(declared: Scope) -> None:
    with pytest.raises(TooLarge):
        await read_body(declared, Parts(b"abc", b"d" * 1000), LIMIT)


async def test_a_body_whose_sender_left_is_no_body() -> None:
    with pytest.raises(Malformed, match="ended early") as caught:
        await read_body(length(b"6"), Parts(b"abc", ends=False), LIMIT)
    assert caught.value.reason == "disconnected"


@pytest.mark.parametrize(
    "text", [b"x", b"-1", b"+1", b"1.0", b" 1", b"1_0", b"9" * 17, "²".encode()]
)
async def test_a_length_is_a_plain_number(text: bytes) -> None:
    with pytest.raises(Malformed):
        await read_body(length(text), Parts(b""), LIMIT)


async def test_two_lengths_are_none() -> None:
    twice = scope((b"content-length", b"1"), (b"content-length", b"1"))
    with pytest.raises(Malformed):
        await read_body(twice, Parts(b"a"), LIMIT)


def test_an_error_becomes_a_problem_document() -> None:
    answer = problem_of(OverQuota("The quota is full.", next="willcall quota"))
    assert (answer.status, answer.content_type) == (507, "application/problem+json")
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Insufficient Storage",
        "status": 507,
        "detail": "The quota is full.",
        "reason": "over-quota",
        "next": "willcall quota",
        "exit": 73,
    }


def test_a_problem_may_have_any_status_and_text() -> None:
    document = json.loads(problem(599, "mañana \ud800", "odd").body)
    assert document["title"] == "Status 599"
    assert document["detail"] == "mañana ?"


async def test_an_answer_keeps_its_own_headers() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    own = (("Content-Length", "7"), ("Content-Type", "text/plain"))
    await respond(send, Response(status=200, headers=own), head=True)
    start, body = sent
    assert [value for key, value in start["headers"] if key == b"content-length"] == [b"7"]
    assert [value for key, value in start["headers"] if key == b"content-type"] == [b"text/plain"]
    assert body["body"] == b""
