"""One call of the local API, and what every handler asks of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import msgspec

from node.asgi import Body, Receive, Scope, read_body
from node.errors import Malformed, Refused
from node.machines.rows import Owner
from node.units import MIB, ByteCount

JSON_LIMIT = ByteCount(1 * MIB)
"""A JSON body: 10,000 recipients fit."""

Answer = Any
Handler = Callable[["Call"], Awaitable[Answer]]


class Call:
    """One request: who asks, what, and with which words.

    Attributes:
        owner: whose mailbox is meant.
        admin: whether it came without a token, over the socket.
        words: what follows the call's name in the path.
    """

    def __init__(
        self, owner: Owner | None, admin: bool, words: list[str], scope: Scope, receive: Receive
    ) -> None:
        self._owner, self.admin, self.words = owner, admin, words
        self._scope, self._receive = scope, receive
        self.query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)

    @property
    def owner(self) -> Owner:
        """The owner; NoContact was raised before where there is none."""
        assert self._owner is not None
        return self._owner

    def one(self, name: str) -> str | None:
        """A query value, or None."""
        values = self.query.get(name)
        return None if values is None else values[-1]

    def number(self, name: str) -> int | None:
        """A query value that is a number from 0.

        Raises:
            Malformed: it is none.
        """
        text = self.one(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Malformed(f"{name} is a number")
        return int(text)

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        data = await read_body(self._scope, self._receive, JSON_LIMIT)
        try:
            return msgspec.json.decode(data or b"{}", type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"the body is no JSON object: {error}") from error

    def stream(self, limit: ByteCount) -> tuple[int, AsyncIterator[bytes]]:
        """The body's declared size, and its pieces."""
        body = Body(self._scope, self._receive, limit)
        return int(body.size), body

    def need_admin(self) -> None:
        """Raises Refused for a token."""
        if not self.admin:
            raise Refused("a token opens its owner's mailbox only", next="use the node's socket")


def optional(body: dict[str, Any], name: str) -> str | None:
    """The text called `name` in a JSON body; None where there is none."""
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def texts(body: dict[str, Any], name: str) -> list[str]:
    """The texts called `name` in a JSON body.

    Raises:
        Malformed: it is no list of texts.
    """
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Malformed(f"{name} is a list of texts")
    return value


def word(call: Call) -> str:
    """The one word after the call's name in the path.

    Raises:
        Malformed: there are more, or none.
    """
    if len(call.words) != 1:
        raise Malformed("this call names one thing in its path")
    return call.words[0]
