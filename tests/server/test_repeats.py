"""Requests that came before: told again without being parsed, and only while the answer holds."""

import logging
import random
from collections import Counter
from contextlib import suppress

import pytest
import trio

from node.asgi import Receive, Scope, Send, Traffic, read_body, respond
from node.ports import Request, Response
from node.server.peer import PeerFace
from node.server.repeats import LONGEST, MOST, Repeats, Told
from node.units import KIB, ByteCount
from tests.server.web import GET, QUICK, Client, dial, rest, running

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
TAGGED = b'GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: "1"\r\n\r\n'


class Shelf:
    """An application without anything new; it counts what reaches it.

    Args:
        tells: whether it says that its answers hold.
    """

    def __init__(self, *, tells: bool = True) -> None:
        self.tells, self.held = tells, True
        self.reached: Counter[str] = Counter()
        self.again = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached[f"{scope['method']} {scope['path']}"] += 1
        body = await read_body(scope, receive, ByteCount(64 * KIB))
        body = body or b"whole" * (scope["path"] == "/whole")
        tag = (("ETag", scope["path"]),)
        answer = Response(status=200 if body else 304, body=body, headers=tag)
        await respond(send, answer, again=self._again if self.tells and not body else None)

    def _again(self) -> bool:
        self.again += self.held
        return self.held


def told(name: bytes, again: bool = True) -> Told:
    return Told(name + b"<", b">", lambda: again)


def test_heads_are_known_byte_for_byte() -> None:
    repeats = Repeats()
    other = GET.replace(b"Host: a", b"Host: b")
    repeats.note(GET, told(b"one"))
    repeats.note(other, told(b"two"))
    assert repeats.answers(GET, b"now") == (b"one<now>", b"")
    assert repeats.answers(GET + other + GET[:9], b"") == (b"one<>two<>", GET[:9])
    for unknown in (GET.lower(), b"\r\n" + GET, GET[:-2], GET[:-1], b"", b"\r\n\r\n", GET + b"x"):
        given = b"one<>" if unknown == GET + b"x" else b""
        assert repeats.answers(unknown, b"")[0] == given
    assert repeats.answers(TAGGED + GET, b"") == (
        b"",
        TAGGED + GET,
    )  # in order: not the second only


def test_what_holds_no_more_is_not_told() -> None:
    repeats = Repeats()
    repeats.note(GET, told(b"one", again=False))
    assert repeats.answers(GET, b"") == (b"", GET)
    repeats.note(GET, told(b"two"))
    assert repeats.answers(GET, b"")[0] == b"two<>"


def test_it_is_bounded() -> None:
    repeats = Repeats()
    long = GET.replace(b"Host: a", b"Host: " + b"a" * LONGEST)
    repeats.note(long, told(b"long"))
    assert repeats.answers(long, b"")[0] == b""
    heads = [GET.replace(b"/ ", b"/%d " % number) for number in range(MOST + 10)]
    for head in heads:
        repeats.note(head, told(b"x"))
    known = [bool(repeats.answers(head, b"")[0]) for head in heads]
    assert known == [False] * 10 + [True] * MOST


async def test_the_application_is_asked_once_while_it_holds() -> None:
    shelf = Shelf()
    async with running(shelf) as port, await dial(port) as stream, await dial(port) as other:
        client = Client(stream)
        for _ in range(5):
            answer, body = await client.ask("GET", "/a")
            assert (answer.status_code, body) == (304, b"")
            assert dict(answer.headers)[b"date"] == DATE
        assert (await Client(other).ask("GET", "/a"))[0].status_code == 304
        assert (shelf.reached["GET /a"], shelf.again) == (1, 5)
        shelf.held = False
        await client.ask("GET", "/a")
        assert shelf.reached["GET /a"] == 2


REQUESTS = (
    GET,
    TAGGED,
    TAGGED.replace(b"GET", b"HEAD"),
    TAGGED.replace(b"/a", b"/whole"),
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n" + GET + b"x" * (40 - len(GET)),
    b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET",
    b"GET /a HTTP/1.1\r\nHost: a\r\nX: " + b"y" * LONGEST + b"\r\n\r\n",
)
LAST = (
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    b"GET / HTTP/1.0\r\n\r\n",
    b"nonsense\r\n\r\n",
)


async def spoken(stream: trio.SocketStream, sent: bytes, cuts: list[int]) -> bytes:
    """What is answered to bytes that come in pieces."""
    async with trio.open_nursery() as nursery:

        async def speak() -> None:
            for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
                await stream.send_all(sent[start:end])
                await trio.testing.wait_all_tasks_blocked(0.001)

        nursery.start_soon(speak)
        heard = await rest(stream)
        nursery.cancel_scope.cancel()
    return heard


@pytest.mark.parametrize("seed", range(12))
async def test_nobody_can_tell(seed: int) -> None:
    """Whatever is sent in whatever pieces: the very answers of a server that parses it all."""
    chance = random.Random(seed)
    sent = b"".join(chance.choices(REQUESTS, k=40)) + chance.choice(LAST) + GET
    cuts = sorted(chance.sample(range(len(sent)), 60))
    heard, reached = [], []
    for tells in (True, False):
        shelf = Shelf(tells=tells)
        async with running(shelf) as port, await dial(port) as stream:
            heard.append(await spoken(stream, sent, cuts))
        reached.append(shelf.reached.total() + shelf.again)
    assert heard[0] == heard[1]
    assert reached[0] == reached[1]


async def test_who_only_repeats_is_closed_like_all_when_it_is_idle_or_stops() -> None:
    stop = trio.Event()
    async with running(Shelf(), QUICK) as port, await dial(port) as stream:
        await stream.send_all(GET * 20)
        assert (await rest(stream)).count(b"HTTP/1.1 304") == 20  # and then its idle time is over
    async with running(Shelf(), stop=stop) as port, await dial(port) as stream:
        for _ in range(3):
            await Client(stream).ask("GET", "/a")
        stop.set()
        assert await rest(stream) == b""


async def test_who_takes_no_answers_is_closed() -> None:
    async with running(Shelf(), QUICK) as port, await dial(port) as stream:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(GET * 1000)


async def test_what_is_repeated_is_counted() -> None:
    class Archive:
        holds = True

        async def answer(self, request: Request, source: str) -> Response:
            body = b"" if request.if_none_match else b"whole"
            return Response(status=304 if not body else 200, body=body, holds=lambda: self.holds)

    archive, traffic = Archive(), Traffic()
    face = PeerFace(archive, traffic=traffic)
    line = TAGGED.replace(b"/a", b"/archives/a/checkpoint")
    async with running(face) as port, await dial(port) as stream:
        await stream.send_all((line + line.replace(b'"1"', b"")) * 4)
        archive.holds = True
        await stream.send_eof()
        answers = await rest(stream)
    assert (answers.count(b" 304 "), answers.count(b"whole")) == (4, 4)
    assert traffic.answers["GET", "/archives/…", 304] == 4


async def test_a_log_of_requests_names_who_asked(caplog: pytest.LogCaptureFixture) -> None:
    class Archive:
        async def answer(self, request: Request, source: str) -> Response:
            return Response(status=304, body=b"", holds=lambda: True)

    line = TAGGED.replace(b"/a", b"/archives/a/checkpoint")
    async with running(PeerFace(Archive())) as port:
        for level, address in ((logging.INFO, 1), (logging.DEBUG, 2), (logging.DEBUG, 3)):
            caplog.set_level(level)
            sock = trio.socket.socket()
            await sock.bind((f"127.0.0.{address}", 0))
            await sock.connect(("127.0.0.1", port))
            async with trio.SocketStream(sock) as stream:
                await stream.send_all(line)
                await stream.send_eof()
                assert b" 304 " in await rest(stream)
    told = [each.__dict__["facts"]["source"] for each in caplog.records if each.msg == "request"]
    assert told == ["127.0.0.2", "127.0.0.3"]


async def test_a_head_with_a_body_is_not_told_again_even_when_the_app_ignores_it() -> None:
    reached = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope["path"])
        await respond(send, Response(status=304, body=b""), again=lambda: True)

    hidden = GET.replace(b"/ ", b"/hidden ", 1)
    around = b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(hidden)
    async with running(app) as port, await dial(port) as stream:
        for _ in range(3):
            await stream.send_all(around + hidden)
            await stream.receive_some()
    assert reached == ["/a"] * 3
