"""Bodies and answers: nothing of one is taken for a part of another, however the bytes come."""

from contextlib import suppress

import h11
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.asgi import Message, Receive, Scope, Send, read_body
from node.server.admission import ServerLimits
from node.server.cycle import CHUNK
from node.units import MIB, ByteCount
from tests.server.web import GET, asked, dial, rest, running, status, talk

SIZES = st.sampled_from([0, 1, 17, CHUNK - 1, CHUNK, CHUNK + 1])
ASKED = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.sampled_from(["length", "chunks", "bare", "204", "304", "unread"]),
    SIZES,
    SIZES,
)


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """`/how/size`: an answer of so many bytes, after the body, whose size is told in a field."""
    _, how, size = scope["path"].split("/")
    data = b"%d" % (int(size) % 10) * int(size)
    body = b"" if how == "unread" else await read_body(scope, receive, ByteCount(MIB))
    fields = [(b"heard", b"%d" % len(body))]
    if how in ("length", "unread"):
        fields.append((b"content-length", b"%d" % len(data)))
    code = int(how) if how.isdigit() else 200
    start: Message = {"type": "http.response.start", "status": code, "headers": fields}
    await send(start)
    if how == "chunks":
        for at in range(0, len(data), 30_000):
            piece = data[at : at + 30_000]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        data = b""
    await send({"type": "http.response.body", "body": b"" if how.isdigit() else data})


def printed(asked: tuple[str, str, int, int]) -> bytes:
    method, how, size, sent = asked
    body = b"b" * sent if method == "POST" else b""
    head = f"{method} /{how}/{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def read(data: bytes, method: str) -> tuple[h11.Response, bytes, bytes]:
    """The first answer, its body, and what follows, as h11 reads them."""
    wire = h11.Connection(h11.CLIENT)
    wire.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    wire.send(h11.EndOfMessage())
    wire.receive_data(data)
    answer, body = wire.next_event(), b""
    assert isinstance(answer, h11.Response)
    while isinstance(event := wire.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    return answer, body, wire.trailing_data[0]


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(requests=st.lists(ASKED, min_size=1, max_size=6), cuts=st.lists(st.integers(1, 70_000)))
def test_requests_sent_ahead_are_answered_each(
    requests: list[tuple[str, str, int, int]], cuts: list[int]
) -> None:
    trio.run(_ahead, requests, cuts)


async def _ahead(requests: list[tuple[str, str, int, int]], cuts: list[int]) -> None:
    data, said = b"".join(map(printed, requests)), b""
    # Larger bodies that nobody reads end the connection.
    limits = ServerLimits(unread=ByteCount(MIB))
    async with (
        running(answering, limits) as port,
        await dial(port) as stream,
        trio.open_nursery() as both,
    ):

        async def write() -> None:
            at = 0
            for cut in cuts:
                await stream.send_all(data[at : at + cut])
                at += cut
            await stream.send_all(data[at:])
            await stream.send_eof()

        both.start_soon(write)
        said = await rest(stream)
    for method, how, size, sent in requests:
        answer, body, said = read(said, method)
        heard = sent if method == "POST" and how != "unread" else 0
        assert dict(answer.headers.raw_items())[b"heard"] == b"%d" % heard
        empty = method == "HEAD" or how.isdigit()
        assert body == (b"" if empty else b"%d" % (size % 10) * size)
    assert said == b""


@pytest.mark.parametrize("body", [b"abc", b"abcdef", b""])
async def test_an_answer_of_another_length_than_declared_ends_the_connection(body: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async with running(app) as port:
        said = await talk(port, GET + GET)
    # What is wrong is never sent: not even as an answer that is too short.
    assert body not in said if body else status(said) != 200
    assert said.count(b"HTTP/1.1") <= 1


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb: c", b"a\rb: c"])
async def test_a_field_is_one_field(value: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", value)]})
        await send({"type": "http.response.body", "body": b"abc"})

    async with running(app) as port:
        said = await asked(port, GET)
    assert status(said) == 500
    assert b"b: c" not in said


async def test_http_1_0_gets_an_answer_without_chunks_that_ends_with_the_connection() -> None:
    async with running(answering) as port:
        said = await talk(port, b"GET /chunks/40000 HTTP/1.0\r\n\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"connection: close" in head
    assert body == b"0" * 40_000


@pytest.mark.parametrize("said", [b"one", b"on"])
async def test_a_request_has_one_answer_however_often_the_app_begins(said: bytes) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"content-length", b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": said, "more_body": said == b"on"})
        with suppress(RuntimeError):
            await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"two"})

    async with running(app) as port:
        heard = await asked(port, GET)
    assert heard.count(b"HTTP/1.1") == 1
    assert heard.endswith(b"\r\n\r\n" + said)


async def test_an_answer_of_another_length_cannot_be_mended_without_its_head() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for part in (b"abc", b"de"):
            with suppress(RuntimeError):
                await send({"type": "http.response.body", "body": part})

    async with running(app) as port:
        assert await talk(port, GET) == b""


async def test_an_app_may_close_but_how_its_answer_is_sent_is_ours_to_say() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"Connection", b"x, Close"), (b"Transfer-Encoding", b"chunked")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"abc"})

    async with running(app) as port:
        said = (await talk(port, GET + GET)).lower()
    assert said.endswith(b"\r\n\r\nabc")
    assert b"transfer-encoding" not in said
    assert said.count(b"connection: close\r\n") == said.count(b"connection") == 1


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (100, []),
        (101, []),
        (1000, []),
        (200, [(b"a", b"b\0c")]),
        (200, [(b"a b", b"c")]),
        (200, [(b"", b"c")]),
        (200, [(b"content-length", b"3"), (b"Content-Length", b"4")]),
        (200, [(b"content-length", b"+3")]),
        (200, [(b"content-length", b"1_0")]),
    ],
)
async def test_what_no_client_reads_alike_is_not_said(
    code: int, fields: list[tuple[bytes, bytes]]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": code, "headers": fields})
        await send({"type": "http.response.body", "body": b"abc"})

    async with running(app) as port:
        said = await asked(port, GET)
    assert status(said) == 500
    assert b"abc" not in said


@pytest.mark.parametrize("body", [b"Content-Length: 0\r\n", b""])
async def test_who_waits_to_send_no_body_keeps_the_connection(body: bytes) -> None:
    waiting = b"POST /length/1 HTTP/1.1\r\nHost: a\r\n%bExpect: 100-continue\r\n\r\n" % body
    async with running(answering) as port:
        said = await asked(port, waiting * 2)
    assert said.count(b"HTTP/1.1 200") == said.count(b"HTTP/1.1") == 2
    assert b"close" not in said


@pytest.mark.parametrize("again", [True, False])
async def test_a_client_is_told_once_to_go_on_also_by_an_app_that_stops_waiting(
    again: bool,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with trio.move_on_after(0.02):
            await receive()
        body = (await receive())["body"] if again else b""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    async with running(app) as port, await dial(port) as stream:
        for _ in range(2):
            await stream.send_all(head)
            said = bytes(await stream.receive_some())
            await trio.sleep(0.05)
            await stream.send_all(b"abc")
            while not said.endswith(b"abc" if again else b"\r\n\r\n") or b" 200 " not in said:
                said += bytes(await stream.receive_some())
            assert said.count(b"HTTP/1.1 100") == 1
            assert b"close" not in said
