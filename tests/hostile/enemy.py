"""A contact with right keys and bad intentions, at a real node: no node of its own, only calls."""

import http.client
import time

from node.crypto import tokens
from node.encoding import cid as cids
from node.encoding import names
from node.encoding.cid import Cid
from node.objects import answer, message, notification, record
from node.objects.answer import Answer, PollAnswer, Wanted
from node.objects.introduction import INTRODUCTION, POLL, Introduction, Poll
from node.objects.notification import Notification
from node.objects.record import Endpoint
from node.ports import DAG_CBOR
from node.services import meet
from node.units import DAY, Instant
from tests.factories import person, plain_record, some


def now() -> Instant:
    """The wall clock."""
    return Instant(int(time.time() * 1000))


class Enemy:
    """Knows an invite link; `join` makes it a contact.

    Attributes:
        port: of the node it calls.
        origin: where its record says it lives; nobody has to be there.
    """

    def __init__(self, port: int, origin: str, word: str = "mallory") -> None:
        self.port, self.origin, self.who = port, origin, person(word)
        self._issued = 0

    def call(self, method: str, path: str, body: bytes = b"", ticket: bytes | None = None) -> bytes:
        """The body of the answer, which has to be 200."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            line.request(method, path, body or None, self.fields(ticket))
            told = line.getresponse()
            data = told.read()
        finally:
            line.close()
        assert told.status == 200, (told.status, data)
        return data

    def fields(self, ticket: bytes | None = None) -> dict[str, str]:
        made = {"Content-Type": DAG_CBOR}
        return made if ticket is None else made | {"Authorization": f"Willcall {names.b64(ticket)}"}

    def join(self, link: str) -> Answer:
        """Introduces itself by an invite."""
        found = meet.parse_link(link)
        assert found.token is not None
        self.to, at = found.did, now()
        claim = plain_record(
            self.who,
            nodes=(Endpoint(origin=self.origin),),
            name=self.who.word,
            seq=at,
            issued=at,
            expires=Instant(at + 90 * DAY),
        )
        made = Introduction(
            sender=self.who.key,
            to=self.to,
            record=record.sign(claim, self.who.keys.signing),
            capability=some("capability", 16),
            issued=at,
            invite=found.token[:4],
            proof=tokens.proof(found.token, self.who.key, self.to, at),
        )
        block = INTRODUCTION.sign(made, self.who.keys.signing)
        return answer.decode(self.call("POST", "/v1/introductions", block))

    def poll(self, since: int = 0, lost: tuple[int, int] | None = None) -> list[Notification]:
        """What waits for it."""
        self._issued = max(self._issued + 1, now())
        asked = Poll(
            sender=self.who.key,
            to=self.to,
            since=Instant(since),
            issued=Instant(self._issued),
            lost=None if lost is None else (Instant(lost[0]), Instant(lost[1])),
        )
        data = self.call("POST", "/v1/poll", POLL.sign(asked, self.who.keys.signing))
        told = answer.decode_poll(data)
        assert isinstance(told, PollAnswer), told
        return [notification.decode(raw) for each in told.batches for raw in each.claim.items]

    def parts(self, item: Notification) -> list[Cid]:
        """The parts of a large message."""
        path = f"/v1/blocks/{cids.show(item.message)}"
        root = self.call("GET", path, ticket=item.ticket)
        return [part.cid for part in message.KIND.decode(root).claim.parts]

    def wants(self, item: Notification, cids: list[Cid]) -> bytes:
        """The request for many blocks, as bytes on the wire."""
        body = answer.encode_wanted([Wanted(ticket=item.ticket, cids=tuple(cids))])
        head = f"POST /v1/blocks HTTP/1.1\r\nHost: a\r\nContent-Type: {DAG_CBOR}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
