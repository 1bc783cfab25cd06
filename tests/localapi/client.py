"""The local API called as it is: ASGI, without a server in between."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from node.asgi import App, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes
    headers: dict[bytes, bytes]

    def document(self) -> Any:
        assert self.status == 200, (self.status, self.body)
        return json.loads(self.body)

    def reason(self) -> str:
        assert self.status >= 400, (self.status, self.body)
        return str(json.loads(self.body)["reason"])


async def call(
    api: App,
    name: str,
    *words: str,
    query: Mapping[str, Any] | None = None,
    body: bytes | Mapping[str, Any] = b"",
    headers: Mapping[str, str] | None = None,
    client: tuple[str, int] | None = None,
) -> Answer:
    """Makes the call `GET inbox`; `client` is None over the socket."""
    method, _, path = name.partition(" ")
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"content-length": str(len(data)), **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "raw_path": "/".join(["", path, *(quote(word, safe="") for word in words)]).encode(),
        "query_string": urlencode(query or {}, doseq=True).encode(),
        "headers": [(key.lower().encode(), value.encode()) for key, value in fields.items()],
        "client": client,
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await api(scope, receive, send)
    return Answer(
        status=sent[0]["status"],
        headers=dict(sent[0]["headers"]),
        body=b"".join(message.get("body", b"") for message in sent[1:]),
    )


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
