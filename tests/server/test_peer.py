"""The public calls: what is refused before its body is read, and what reaches the node."""

import json
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest
import trio

from node import limits
from node.asgi import Message, Scope, Traffic
from node.encoding import names
from node.errors import Gone
from node.ports import DAG_CBOR, RAW, Request, Response
from node.server.peer import PeerFace
from tests.server.web import Client, dial, running

TICKET = bytes(range(16))
BLOCK = Response(status=200, body=b"a block", content_type=RAW)


@dataclass
class Node:
    """A `PeerApp` that remembers its calls."""

    answered: Response = BLOCK
    calls: list[tuple[Request, str]] = field(default_factory=list)
    raises: Gone | None = None

    async def answer(self, request: Request, source: str) -> Response:
        self.calls.append((request, source))
        if self.raises:
            raise self.raises
        return self.answered


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    body_read: bool = False

    @property
    def reason(self) -> object:
        return json.loads(self.body)["reason"]


async def call(
    node: Node,
    method: str,
    target: str,
    body: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    *,
    length: int | None = None,
    traffic: Traffic | None = None,
    face: PeerFace | None = None,
) -> Answer:
    path, _, query = target.partition("?")
    fields = [("content-length", str(len(body) if length is None else length)), *headers]
    scope: Scope = {
        "type": "http",
        "method": method,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields],
        "client": ("192.0.2.7", 4711),
    }
    answer = Answer()

    async def receive() -> Message:
        answer.body_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            pairs = [(key.decode(), value.decode()) for key, value in message["headers"]]
            answer.headers = dict(pairs)
            assert len(pairs) == len(answer.headers)
        else:
            answer.body += message["body"]

    face = face or PeerFace(node, (ip_network("192.0.2.0/24"),), traffic)
    await face(scope, receive, send)
    return answer


CBOR = (("content-type", DAG_CBOR),)
BODIES = {
    ("POST", "/v1/notifications"): limits.NOTIFICATIONS,
    ("POST", "/v1/receipts"): limits.RECEIPT,
    ("POST", "/v1/retractions"): limits.SMALL,
    ("POST", "/v1/poll"): limits.SMALL,
    ("POST", "/v1/introductions"): limits.INTRODUCTION,
    ("PUT", "/v1/records/z6Mk"): limits.RECORD,
    ("POST", "/v1/blocks"): 16 * 1024,
}


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_bodies_are_bounded_before_they_are_read(method: str, path: str) -> None:
    limit, node = BODIES[(method, path)], Node()
    answer = await call(node, method, path, bytes(limit), CBOR)
    assert answer.status == 200
    assert node.calls[0][0] == Request(method=method, path=path, body=bytes(limit))
    answer = await call(node, method, path, b"", CBOR, length=limit + 1)
    assert (answer.status, answer.reason) == (413, "too-large")
    assert not answer.body_read
    assert len(node.calls) == 1


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "text/plain",
        "application/json",
        "application/cbor",
        f"{DAG_CBOR}; charset=utf-8",
        f"{DAG_CBOR};",
        DAG_CBOR.upper(),
        f"{DAG_CBOR}, {DAG_CBOR}",
    ],
)
async def test_another_content_type_is_not_taken(kind: str | None) -> None:
    node = Node()
    headers = () if kind is None else (("content-type", kind),)
    answer = await call(node, "POST", "/v1/poll", b"x", headers)
    assert (answer.status, answer.reason) == (415, "media-type")
    # Spec 07: no exit code, which is our own command line's.
    assert json.loads(answer.body).keys() == {"type", "title", "status", "detail", "reason"}
    assert not answer.body_read
    assert not node.calls


@pytest.mark.parametrize(
    "path",
    [
        "/v1/blocks/bafy",
        "/v1/owners/z6Mk",
        "/v1/records/z6Mk",
        "/.well-known/willcall",
        "/i/z6Mk",
        "/v1/blocks/a%2fb",
        "/v1/blocks/../owners/x",
        "/v1/blocks/\xff",
    ],
)
async def test_reading_calls_reach_the_node_as_they_were_sent(path: str) -> None:
    for method in ("GET", "HEAD"):
        node = Node()
        answer = await call(node, method, path)
        assert answer.status == 200
        assert node.calls == [(Request(method=method, path=path), "192.0.2.7")]
        assert answer.headers["content-length"] == "7"
        assert answer.headers["content-type"] == RAW
        assert answer.body == (b"a block" if method == "GET" else b"")


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/blocks/",
        "/v1/owners",
        "/v1/poll/",
        "/v2/poll",
        "/V1/poll",
        "//v1/poll",
        "/v1/%70oll",
        "/v1/./poll",
        "/v1/poll?",  # httpx and curl send it so; an empty query is none
        "/v1/poll?x",
        "/v1/blocks/bafy?x=y",
        "/.well-known/willcall?x",
        "/.well-known/other",
        "/i/",
    ],
)
async def test_what_is_not_there(target: str) -> None:
    node = Node()
    answer = await call(node, "POST" if "poll" in target else "GET", target, headers=CBOR)
    expected = 200 if target == "/v1/poll?" else 404
    assert answer.status == expected
    assert len(node.calls) == (expected == 200)


async def test_a_query_reaches_webfinger() -> None:
    node = Node()
    target = "/.well-known/webfinger?resource=acct:a%40b"
    assert (await call(node, "GET", target)).status == 200
    assert node.calls[0][0].path == target


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/poll", "POST"),
        ("POST", "/v1/owners/x", "GET, HEAD"),
        ("DELETE", "/v1/records/x", "GET, HEAD, PUT"),
        ("PUT", "/v1/blocks/x", "GET, HEAD"),
        ("OPTIONS", "/v1/blocks", "POST"),
        ("post", "/v1/poll", "POST"),
    ],
)
async def test_other_methods_are_told_which_there_are(method: str, path: str, allowed: str) -> None:
    node = Node()
    answer = await call(node, method, path, headers=CBOR)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert not node.calls


async def test_a_reading_call_has_no_body() -> None:
    answer = await call(Node(), "GET", "/v1/blocks/x", length=1)
    assert answer.status == 413


WORD = names.b64(TICKET)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], (None, False)),
        ([f"Willcall {WORD}"], (TICKET, False)),
        ([f"willcall {WORD}"], (TICKET, False)),  # schemes know no case (RFC 9110 §11.1)
        ([f"Bearer {WORD}"], (None, True)),
        ([""], (None, True)),
        (["Willcall"], (None, True)),
        ([f"Willcall  {WORD}"], (None, True)),
        ([f"Willcall {WORD}="], (None, True)),
        ([f"Willcall {WORD[:-1]}"], (None, True)),
        ([f"Willcall {WORD[:-1]}x"], (None, True)),  # spare bits
        ([f"Willcall {names.b64(TICKET[:15])}"], (None, True)),
        ([f"Willcall {names.b64(TICKET + TICKET)}"], (None, True)),
        ([f"Willcall {WORD[:-2]}+/"], (None, True)),
        (["Willcall \xff\xff"], (None, True)),
        ([f"Willcall {WORD}", f"Willcall {WORD}"], (None, True)),
    ],
)
async def test_tickets(fields: list[str], expected: tuple[bytes | None, bool]) -> None:
    node = Node()
    headers = tuple(("authorization", value) for value in fields)
    assert (await call(node, "GET", "/v1/blocks/x", headers=headers)).status == 200
    request, _ = node.calls[0]
    assert (request.ticket, request.bad_ticket) == expected


async def test_the_source_is_who_the_proxy_says() -> None:
    node = Node()
    await call(node, "GET", "/v1/blocks/x", headers=(("x-forwarded-for", "198.51.100.1"),))
    assert node.calls[0][1] == "198.51.100.1"


async def test_every_answer_is_kept_out_of_browsers() -> None:
    for target in ("/v1/blocks/x", "/nothing"):
        headers = (await call(Node(), "GET", target)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-disposition"] == "attachment"
        assert headers["content-security-policy"] == "sandbox"


async def test_an_own_page_says_otherwise() -> None:
    own = (("Content-Disposition", "inline"), ("Content-Security-Policy", "default-src 'none'"))
    page = Response(status=200, body=b"<p>", content_type="text/html", headers=own)
    headers = (await call(Node(page), "GET", "/i/z6Mk")).headers
    assert headers["content-disposition"] == "inline"
    assert headers["content-security-policy"] == "default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"


async def test_an_answer_without_content_has_no_length() -> None:
    headers = (await call(Node(Response(status=204)), "PUT", "/v1/records/x", b"x", CBOR)).headers
    assert "content-length" not in headers
    assert "content-type" not in headers


async def test_an_error_is_a_problem_document() -> None:
    answer = await call(Node(raises=Gone("It was picked up.")), "GET", "/v1/blocks/x")
    assert (answer.status, answer.reason) == (410, "gone")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_head_over_the_wire() -> None:
    async with running(PeerFace(Node())) as port, await dial(port) as stream:
        client = Client(stream)
        answer, body = await client.ask("HEAD", "/v1/blocks/x")
        assert (dict(answer.headers)[b"content-length"], body) == (b"7", b"")
        assert (await client.ask("GET", "/v1/blocks/x"))[1] == b"a block"
        assert (await client.ask("HEAD", "/nothing"))[0].status_code == 404


async def test_answers_are_counted_by_names_of_ours_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "node.server.peer")
    traffic, node = Traffic(), Node()
    calls = [
        ("GET", "/v1/blocks/bafy1"),
        ("GET", "/v1/blocks/bafy2"),
        ("HEAD", "/v1/blocks/bafy2"),
        ("BREW", "/v1/blocks/bafy2"),
        ("GET", "/secret1"),
        ("POST", "/secret2"),
        ("GET", "/.well-known/willcall"),
    ]
    for method, path in calls:
        await call(node, method, path, traffic=traffic)
    assert traffic.answers == {
        ("GET", "/v1/blocks/…", 200): 2,
        ("HEAD", "/v1/blocks/…", 200): 1,
        ("other", "/v1/blocks/…", 405): 1,
        ("other", "other", 404): 2,
        ("GET", "/.well-known/willcall", 200): 1,
    }
    facts = [vars(record)["facts"] for record in caplog.records]
    assert facts[0] == {"call": "GET /v1/blocks/…", "status": 200, "source": "192.0.2.7"}
    assert not [line for line in facts if "bafy" in str(line) or "secret" in str(line)]


async def test_a_stranger_s_request_waits_for_calm(autojump_clock: object) -> None:
    """A contact's does not, nor does a page that makes nobody check a signature."""
    calm, friends = trio.Event(), set[str]()
    face = PeerFace(Node(), first=friends.__contains__, calm=calm.wait)
    post, get = ("POST", "/v1/receipts"), ("GET", "/.well-known/willcall")

    async def status(method: str, target: str) -> int:
        with trio.move_on_after(0.2):
            body = b"-" if method == "POST" else b""
            return (await call(Node(), method, target, body, CBOR, face=face)).status
        return 0

    assert [await status(*post), await status(*get)] == [0, 200]
    friends.add("192.0.2.7")
    assert await status(*post) == 200
    friends.clear()
    calm.set()
    assert await status(*post) == 200


BROWSER = (("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),)


@pytest.mark.parametrize("target", ["/", "/nothing", "/?q=1", "/archives/?q=1", "/i/"])
async def test_a_browser_gets_a_page_where_nothing_is(target: str) -> None:
    node = Node()
    answer = await call(node, "GET", target, headers=BROWSER)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert b"There is no page at this address" in answer.body
    assert b'href="/archives/"' in answer.body
    assert answer.headers["vary"] == "Accept"
    assert "script-src" in answer.headers["content-security-policy"]
    assert (await call(node, "GET", target)).reason == "absent"
    posted = await call(node, "POST", target, headers=BROWSER)
    assert posted.headers["content-type"] == "application/problem+json"
    assert node.calls == []
