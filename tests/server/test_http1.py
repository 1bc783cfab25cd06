"""What an honest client meets."""

import json

import h11
import pytest
import trio

from node.asgi import ClientGone, Receive, Scope, Send
from node.errors import Absent, RateLimited
from node.server.heads import Head, Heads
from node.units import KIB, MIB, ByteCount, Millis
from tests.server.web import GET, PATIENT, QUICK, Client, Echo, dial, rest, running, say, talk


def names(answer: h11.Response) -> dict[bytes, bytes]:
    return dict(answer.headers)


async def test_one_connection_serves_many_requests() -> None:
    echo = Echo()
    async with running(echo) as port, await dial(port) as stream:
        client = Client(stream)
        for number in range(50):
            answer, body = await client.ask("POST", "/x", b"%d" % number)
            assert (answer.status_code, body) == (200, b"%d" % number)
    assert len({scope["client"] for scope in echo.scopes}) == 1


async def test_the_scope_is_asgi_3() -> None:
    echo = Echo()
    async with running(echo) as port, await dial(port) as stream:
        await Client(stream).ask("GET", "/a%20b/%2e?q=%41")
    scope = echo.scopes[0]
    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "GET", "http")
    assert (scope["path"], scope["raw_path"]) == ("/a b/.", b"/a%20b/%2e")
    assert scope["query_string"] == b"q=%41"
    assert scope["client"][0] == "127.0.0.1"
    assert (b"host", b"a") in scope["headers"]


async def test_answers_carry_length_and_date() -> None:
    async with running(Echo()) as port, await dial(port) as stream:
        answer, _ = await Client(stream).ask()
    assert names(answer)[b"content-length"] == b"5"
    assert names(answer)[b"date"] == b"Sun, 06 Nov 1994 08:49:37 GMT"


async def test_head_has_the_length_and_no_body() -> None:
    async with running(Echo()) as port, await dial(port) as stream:
        await stream.send_all(GET.replace(b"GET", b"HEAD") + GET.replace(b"a\r", b"b\r"))
        await stream.send_eof()
        found = await rest(stream)
    first, _, second = found.partition(b"\r\n\r\n")
    assert b"content-length: 5" in first.lower()
    assert second.startswith(b"HTTP/1.1 200")


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    ahead = b"".join(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % number
        for number in range(20)
    )
    async with running(Echo()) as port, await dial(port) as stream:
        await stream.send_all(ahead)
        await stream.send_eof()
        answers = (await rest(stream)).split(b"HTTP/1.1 200")[1:]
    assert [answer[-2:] for answer in answers] == [b"%02d" % number for number in range(20)]


async def test_a_client_that_closed_its_half_gets_its_answer() -> None:
    async with running(Echo()) as port, await dial(port) as stream:
        await stream.send_all(GET)
        await stream.send_eof()
        assert (await rest(stream)).endswith(b"hello")


async def test_connection_close_is_honoured() -> None:
    async with running(Echo()) as port:
        answer = await talk(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"hello")


async def test_an_upgrade_is_not_taken_up() -> None:
    async with running(Echo()) as port:
        answer = await talk(
            port,
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
        )
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_large_body_arrives_in_chunks_and_with_backpressure() -> None:
    sizes: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            sizes.append(len(message["body"]))
            more = message["more_body"]
        await say(send, str(sum(sizes)).encode())

    async with running(app) as port, await dial(port) as stream:
        _, body = await Client(stream).ask("POST", "/", bytes(3 * MIB))
    assert body == b"3145728"
    assert max(sizes) <= 64 * KIB


async def test_a_large_answer_arrives_whole() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, bytes(5 * MIB + 3))

    async with running(app) as port, await dial(port) as stream:
        client = Client(stream)
        for _ in range(2):
            _, body = await client.ask()
            assert len(body) == 5 * MIB + 3


async def test_an_answer_without_a_length_is_streamed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body"})

    async with running(app) as port, await dial(port) as stream:
        client = Client(stream)
        answer, body = await client.ask()
        assert names(answer)[b"transfer-encoding"] == b"chunked"
        assert body == b"abc" * 3
        assert (await client.ask())[1] == b"abc" * 3


async def test_expect_100_is_told_to_go_on_only_when_the_body_is_wanted() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with running(Echo()) as port, await dial(port) as stream:
        await stream.send_all(head)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 100")
        await stream.send_all(b"abc")
        await stream.send_eof()
        assert (await rest(stream)).endswith(b"abc")
    async with running(Echo(limit=ByteCount(2))) as port:
        assert (await talk(port, head)).startswith(b"HTTP/1.1 413")


async def test_a_small_unread_body_does_not_cost_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await say(send, b"no need")

    async with running(app) as port, await dial(port) as stream:
        client = Client(stream)
        for _ in range(3):
            assert (await client.ask("POST", "/", bytes(30_000)))[1] == b"no need"


# --- applications that fail ---------------------------------------------------------------


async def test_an_error_raised_on_purpose_is_a_problem_document() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise (Absent if scope["path"] == "/" else RateLimited)("Nothing here.", next="look")

    async with running(app) as port, await dial(port) as stream:
        client = Client(stream)
        answer, body = await client.ask()
        document = json.loads(body)
        assert answer.status_code == document["status"] == 404
        assert (document["reason"], document["detail"]) == ("absent", "Nothing here.")
        assert names(answer)[b"content-type"] == b"application/problem+json"
        assert names(answer)[b"x-content-type-options"] == b"nosniff"
        assert (await client.ask("GET", "/2"))[0].status_code == 429


async def test_a_bug_is_logged_answered_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError("a secret")

    async with running(app) as port, await dial(port) as stream:
        client = Client(stream)
        for _ in range(2):
            answer, body = await client.ask("GET", "/path?token=hidden")
            assert answer.status_code == 500
            assert b"secret" not in body
    assert "a secret" in caplog.text
    assert "hidden" not in caplog.text


async def test_a_bug_in_the_middle_of_an_answer_cuts_it_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begin", "more_body": True})
        raise ZeroDivisionError

    async with running(app) as port:
        answer = await talk(port, GET)
    assert b"begin" in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("said", ["nothing", "body first", "head only", "bad header"])
async def test_an_app_that_breaks_the_rules_is_a_500(said: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if said == "body first":
            await send({"type": "http.response.body", "body": b"x"})
        if said == "head only":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if said == "bad header":
            headers = [(b"x", b"a\r\nb: c")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"x"})

    async with running(app) as port, await dial(port) as stream:
        answer, _ = await Client(stream).ask()
    assert answer.status_code == 500


# --- leaving ------------------------------------------------------------------------------


async def test_the_app_hears_that_its_client_left(caplog: pytest.LogCaptureFixture) -> None:
    heard = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        assert (await receive())["type"] == "http.disconnect"
        with pytest.raises(ClientGone):
            await say(send, b"too late")
        heard.set()
        raise ValueError("how an app may react")

    async with running(app) as port:
        async with await dial(port) as stream:
            await stream.send_all(GET)
        await heard.wait()
    assert not caplog.records


async def test_leaving_in_the_middle_of_a_body_is_a_disconnect() -> None:
    heard = trio.Event()
    echo = Echo()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await echo(scope, receive, send)
        finally:
            heard.set()

    async with running(app) as port:
        async with await dial(port) as stream:
            await stream.send_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        await heard.wait()
    assert echo.bodies == []


async def test_what_was_sent_ahead_survives_the_watch_for_a_disconnect() -> None:
    ahead = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"] == "/1":
            with trio.move_on_after(0.05):
                ahead.set()
                await receive()
        await say(send, scope["raw_path"])

    async with running(app) as port, await dial(port) as stream:
        await stream.send_all(GET.replace(b"/ ", b"/1 "))
        await ahead.wait()
        last = b"/2 HTTP/1.1\r\nConnection: close"
        await stream.send_all(GET.replace(b"/ HTTP/1.1", last))
        answers = await rest(stream)
    assert (answers.count(b"HTTP/1.1 200"), answers[-2:]) == (2, b"/2")


# --- stopping -----------------------------------------------------------------------------


async def test_a_stop_lets_running_requests_finish_and_closes_idle_ones() -> None:
    begun, stop, idle_closed = trio.Event(), trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/long":
            begun.set()
            await idle_closed.wait()
        await say(send, b"done")

    async with running(app, stop=stop) as port, await dial(port) as idle, await dial(port) as new:
        await Client(idle).ask()
        async with await dial(port) as busy, trio.open_nursery() as nursery:

            async def long() -> None:
                answer, body = await Client(busy).ask("GET", "/long")
                assert body == b"done"
                assert names(answer)[b"connection"] == b"close"

            nursery.start_soon(long)
            await begun.wait()
            stop.set()
            assert await rest(idle) == b""
            assert await rest(new) == b""
            idle_closed.set()
        with pytest.raises(OSError, match=r"refused|reset"):
            await dial(port)


async def test_a_stop_does_not_wait_for_ever() -> None:
    begun, stop = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.set()
        await trio.sleep_forever()

    async with running(app, QUICK, stop) as port, await dial(port) as stream:
        await stream.send_all(GET)
        await begun.wait()
        stop.set()
        assert await rest(stream) == b""


async def test_requests_get_no_more_time_than_a_whole_request_has() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await trio.sleep_forever()

    async with running(app, QUICK) as port:
        answer = await talk(port, GET)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b'"timeout"' in answer


async def test_a_stream_may_pause_where_the_limits_say_so() -> None:
    limits = type(PATIENT)(request=Millis(2**53), slack=Millis(100))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            # The pause is what is tested: longer than the slack for moving bytes.
            await trio.sleep(0.15)
            await send({"type": "http.response.body", "body": b"line\n", "more_body": True})
        await send({"type": "http.response.body"})

    async with running(app, limits) as port, await dial(port) as stream:
        assert (await Client(stream).ask())[1] == b"line\n" * 3


async def test_a_bug_of_the_server_costs_one_connection(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever meets it must not end the node with it; its owner can see it."""

    def fails(self: Heads, raw: bytes) -> Head:
        raise ZeroDivisionError("a bug")

    async with running(Echo()) as port:
        with monkeypatch.context() as broken:
            broken.setattr(Heads, "read", fails)
            assert await talk(port, GET) == b""
        async with await dial(port) as stream:
            assert (await Client(stream).ask())[1] == b"hello"
    assert "a bug" in caplog.text
