"""Names at domains over the real client: TLS by the roots, no redirects, bounded answers.

The question goes to port 443, where a test must not listen: the one thing that is bent is the
port, on the way to the client.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from node.asgi import Receive, Scope, Send, respond
from node.client.http import HttpExchange
from node.discovery import webfinger
from node.discovery.webfinger import Handle
from node.errors import NoContact, Unreachable
from node.objects.record import Endpoint
from node.ports import Request, Response
from node.services.calls import Calls
from node.units import ByteCount, Key, Millis
from tests.client.test_tls import HOST, Shown, client, listening
from tests.server.certificates import Authority

ANNA = Handle(name="anna", domain=HOST)
KEY = Key(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
GOOD = webfinger.document(ANNA, KEY, f"https://{HOST}:4625", [])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@dataclass
class Domain:
    """An application that answers everything with one thing."""

    answer: Response

    def __post_init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append((scope["path"], scope["query_string"].decode()))
        await respond(send, self.answer)


@dataclass
class Elsewhere:
    """The client, with another port in place of 443."""

    inner: HttpExchange
    port: int

    async def exchange(
        self, endpoint: Endpoint, request: Request, *, limit: ByteCount, deadline: Millis
    ) -> Response:
        host, _, port = endpoint.origin.rpartition(":")
        assert port == "443"
        there = Endpoint(origin=f"{host}:{self.port}")
        return await self.inner.exchange(there, request, limit=limit, deadline=deadline)


@asynccontextmanager
async def asking(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, answer: Response
) -> AsyncIterator[tuple[Calls, Domain]]:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    domain = Domain(answer)
    tls = Shown(authority.issue(HOST))
    async with listening(tls, domain) as port, client() as exchange:
        yield Calls(Elsewhere(exchange, port)), domain


def jrd(body: bytes, status: int = 200, **headers: str) -> Response:
    return Response(
        status=status, body=body, content_type=webfinger.TYPE, headers=tuple(headers.items())
    )


async def test_a_domain_is_asked_once(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(authority, monkeypatch, jrd(GOOD)) as (calls, domain):
        place = await calls.webfinger(ANNA)
    assert (place.did, place.origin) == (KEY, f"{HOST}:4625")
    assert [path for path, _ in domain.asked] == ["/.well-known/webfinger"]
    assert webfinger.asked(domain.asked[0][1]) == (ANNA, ["self"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (jrd(b"", 301, location=f"https://{HOST}/elsewhere"), "redirected"),
        (jrd(b"", 307, location="https://other.example/.well-known/webfinger"), "redirected"),
        (jrd(b" " * 16_385), "too-large-answer"),
        (jrd(b"<html>"), "nonsense"),
        (jrd(GOOD.replace(b"anna", b"ben")), "nonsense"),
        (jrd(GOOD, 500), "status-500"),
    ],
)
async def test_what_is_not_believed(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, answer: Response, reason: str
) -> None:
    async with asking(authority, monkeypatch, answer) as (calls, domain):
        with pytest.raises(Unreachable) as caught:
            await calls.webfinger(ANNA)
    assert caught.value.reason == reason
    assert len(domain.asked) == 1


async def test_a_certificate_of_another_name_is_no_domain(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Handle(name="anna", domain="other.example")
    async with asking(authority, monkeypatch, jrd(GOOD)) as (calls, domain):
        with pytest.raises(Unreachable) as caught:
            await calls.webfinger(other)
    assert caught.value.reason == "tls-name"
    assert domain.asked == []


@pytest.mark.parametrize(
    ("answer", "says"),
    [(jrd(b"", 404), "nobody called anna"), (jrd(GOOD.replace(b'"self"', b'"me"')), "no willcall")],
)
async def test_nobody(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, answer: Response, says: str
) -> None:
    async with asking(authority, monkeypatch, answer) as (calls, _):
        with pytest.raises(NoContact, match=says):
            await calls.webfinger(ANNA)
