"""Calls to peers: one typed function for each call of the protocol.

They carry objects over `ports.Exchange`, whatever that is (HTTP, the same process, a
simulated network), and believe nothing: what comes back is decoded here and verified by
whoever asked. Spec: 07.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from node import limits
from node.discovery import webfinger
from node.discovery.webfinger import Handle, Place
from node.encoding import car, cid, names
from node.encoding.cid import Cid
from node.errors import Absent, Gone, Malformed, NoContact, Unreachable, Unverified, WillcallError
from node.objects import answer, record
from node.objects.answer import Answer, PollAnswer, Wanted
from node.objects.record import Endpoint, Record
from node.objects.signed import Signed
from node.ports import Exchange, Request, Response
from node.units import SECOND, ByteCount, Instant, Key, Millis

T = TypeVar("T")

QUICK = Millis(20 * SECOND)
"""For a call with a small answer: a far and busy node, twice."""
PROBLEM_SIZE = 4096
"""Bytes of a problem document that are looked at: a sentence and a word."""
DOCUMENT = 16 * 1024
"""Bytes of a node document: a dozen numbers and a name."""
SLOW = Millis(120 * SECOND)
"""For blocks: 16 MiB at about 1 Mbit/s."""


class Calls:
    """The protocol's calls, as a client."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    async def notifications(self, at: Endpoint, batch: bytes, count: int) -> list[Answer]:
        """Tells a batch; the answers in item order.

        Raises:
            Unreachable: no usable answer.
        """
        body = await self._post(at, "/v1/notifications", batch, count * limits.ANSWER)
        return _read(at, lambda: answer.decode_all(body, count))

    async def one(self, at: Endpoint, path: str, block: bytes) -> Answer:
        """Posts one object (a receipt, retraction or introduction)."""
        body = await self._post(at, path, block, limits.ANSWER)
        return _read(at, lambda: answer.decode(body))

    async def poll(self, at: Endpoint, block: bytes) -> PollAnswer | Answer:
        """Asks whether something waits."""
        body = await self._post(at, "/v1/poll", block, limits.POLL_ANSWER)
        return _read(at, lambda: answer.decode_poll(body))

    async def owner(self, at: Endpoint, did: Key, *, only: str | None = None) -> Signed[Record]:
        """The record of `did` as its node gives it: signed by that key, listing that origin.

        `only`: the one address that may be connected to.

        A greeting, so anybody may answer; what counts is that the record's pin for that origin
        is the pin of this very connection. A record without pin is asked for again, by the
        roots.

        Raises:
            Unreachable: no answer, or an answer of somebody else.
        """
        met, signed = await self._greet(at, did, only)
        pin = signed.claim.endpoint(at.origin).pin
        if met == pin:  # both None: neither speaks TLS
            return signed
        if pin is not None:
            raise Unreachable(
                f"{at.origin} shows another key than the record there says: somebody stands in "
                "between, or that node is not set up well; nothing was sent",
                reason="tls-pin",
            )
        body = _body(
            at,
            await self._get(Endpoint(origin=at.origin), _owner_path(did), limits.RECORD, only=only),
        )
        if body != signed.block:
            raise Unreachable(f"{at.origin} changed its record just now", reason="wrong-record")
        return signed

    async def _greet(
        self, at: Endpoint, did: Key, only: str | None
    ) -> tuple[bytes | None, Signed[Record]]:
        """Who answered, and the record that was given."""
        response = await self._get(at, _owner_path(did), limits.RECORD, greeting=True, only=only)
        if response.status == 404:
            raise Answered(f"{at.origin} answers, but knows no {names.did(did)}", reason="not-here")
        body = _body(at, response)
        signed = _read(at, lambda: record.decode(body))
        _read(at, signed.verify)
        if signed.claim.id != did or not signed.claim.lists(at.origin):
            raise Answered(
                f"the record at {at.origin} is somebody else's, or names another place",
                reason="wrong-record",
            )
        return response.pin, signed

    async def clock(self, at: Endpoint) -> Instant:
        """What a node's clock says, by the document that it shows to all.

        Raises:
            Unreachable: no usable answer.
        """
        body = _body(at, await self._get(at, "/.well-known/willcall", DOCUMENT))
        try:
            return Instant(msgspec.json.decode(body, type=_Document).now)
        except msgspec.DecodeError as error:
            raise Answered(f"{at.origin} shows no node document", reason="nonsense") from error

    async def webfinger(self, handle: Handle, *, only: str | None = None) -> Place:
        """Whose key a name at a domain is, as the domain says over TLS.

        `only`: the one address that may be connected to.

        Raises:
            NoContact: it knows nobody of that name, or nothing of willcall.
            Unreachable: no usable answer.
        """
        at = Endpoint(origin=handle.origin)
        response = await self._get(at, webfinger.question(handle), webfinger.ANSWER, only=only)
        if response.status == 404:
            raise NoContact(f"{handle.domain} knows nobody called {handle.name}", next=_ASK)
        body = _body(at, response)
        place = _read(at, lambda: webfinger.read(body, handle))
        if place is None:
            raise NoContact(f"{handle.domain} knows no willcall address of {handle}", next=_ASK)
        return place

    async def record(self, at: Endpoint, did: Key, block: bytes) -> Signed[Record] | None:
        """Tells a contact the newest record of `did`; gives what it knows if that is newer.

        Raises:
            Unreachable: no usable answer; what it gives is verified, and about `did`.
        """
        request = Request(method="PUT", path=f"/v1/records/{names.z(did)}", body=block)
        response = await self.exchange.exchange(at, request, limit=limits.RECORD, deadline=QUICK)
        if response.status == 204 or (response.status == 409 and not response.body):
            return None
        if response.status != 409:
            _body(at, response)
            raise Answered(f"{at.origin} answered {response.status} to a record")
        signed = _read(at, lambda: record.decode(response.body))
        if _read(at, signed.verify).id != did:
            raise Unreachable(f"{at.origin} answered with a record of somebody else")
        return signed

    async def listed(self, at: Endpoint, did: Key) -> Signed[Record] | None:
        """The record of `did` as a directory keeps it: signed by that key. None: it keeps none.

        Raises:
            Unreachable: no answer, or somebody else's record.
        """
        response = await self._get(at, f"/v1/records/{names.z(did)}", limits.RECORD)
        if response.status == 404:
            return None
        body = _body(at, response)
        signed = _read(at, lambda: record.decode(body))
        _read(at, signed.verify)
        if signed.claim.id != did:
            raise Unreachable(f"{at.origin} tells somebody else's record", reason="wrong-record")
        return signed

    async def block(self, at: Endpoint, name: Cid, ticket: bytes | None) -> bytes:
        """One block, whose hash was checked.

        Raises:
            Gone: its delivery is over.
            Absent: there is no such block for this ticket.
            Unverified: the bytes are not what they are named.
            Unreachable: no usable answer.
        """
        request = Request(method="GET", path=f"/v1/blocks/{cid.show(name)}", ticket=ticket)
        response = await self.exchange.exchange(at, request, limit=limits.BLOCK, deadline=SLOW)
        if response.status == 410:
            raise Gone("its sender does not keep it any more")
        if response.status == 404:
            raise Absent("its sender has no such block for us")
        body = _body(at, response)
        cid.check(name, body)
        return body

    async def blocks(self, at: Endpoint, wanted: Sequence[Wanted]) -> dict[Cid, bytes]:
        """Many blocks in one answer; what is missing was not served or did not fit.

        Raises:
            Unverified: a block is not what it is named.
            Unreachable: no usable answer.
        """
        body = answer.encode_wanted(wanted)
        request = Request(method="POST", path="/v1/blocks", body=body)
        response = await self.exchange.exchange(at, request, limit=limits.CAR_ANSWER, deadline=SLOW)
        if response.status == 404:
            return {}
        whole = _body(at, response)
        asked = {name for each in wanted for name in each.cids}
        try:
            got = dict(car.read(whole))
        except Malformed as error:
            raise _nonsense(at, error) from error
        return {name: block for name, block in got.items() if name in asked}

    async def _post(self, at: Endpoint, path: str, body: bytes, limit: int) -> bytes:
        request = Request(method="POST", path=path, body=body)
        response = await self.exchange.exchange(at, request, limit=ByteCount(limit), deadline=QUICK)
        return _body(at, response)

    async def _get(
        self,
        at: Endpoint,
        path: str,
        limit: int,
        *,
        greeting: bool = False,
        only: str | None = None,
    ) -> Response:
        request = Request(method="GET", path=path, greeting=greeting, only=only)
        return await self.exchange.exchange(at, request, limit=ByteCount(limit), deadline=QUICK)


class _Document(msgspec.Struct, frozen=True):
    """Of a node's document, what is read here."""

    now: int


_ASK = "ask them for an invite link"


class Answered(Unreachable):
    """The node answered, but with a problem, or with nonsense: reached, and no better for it."""

    reason = "answered-problem"


def _owner_path(did: Key) -> str:
    return f"/v1/owners/{names.z(did)}"


def _body(at: Endpoint, response: Response) -> bytes:
    if response.status == 200:
        return response.body
    word = _problem_word(response)
    raise Answered(
        f"{at.origin} answered {response.status}{f' ({word})' if word else ''}",
        reason=word or f"status-{response.status}",
    )


def _problem_word(response: Response) -> str | None:
    if len(response.body) > PROBLEM_SIZE:
        return None
    try:
        problem = msgspec.json.decode(response.body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    word = problem.get("reason")
    return word if isinstance(word, str) and answer.WORD.fullmatch(word) else None


def _read(at: Endpoint, work: Callable[[], T]) -> T:
    try:
        return work()
    except (Malformed, Unverified) as error:
        raise _nonsense(at, error) from error


def _nonsense(at: Endpoint, error: WillcallError) -> Answered:
    return Answered(f"{at.origin} answered nonsense: {error.text}", reason="nonsense")
