"""A peer moved by hand: it holds real keys and says what a test wants, true or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

from node.crypto import keys, sealed, tokens
from node.encoding import car, cbor, names
from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.objects import answer as answers
from node.objects import content, notification, record
from node.objects.answer import Answer, PollAnswer
from node.objects.introduction import INTRODUCTION, POLL, Introduction, Poll
from node.objects.message import Part
from node.objects.notification import Batch, Notification
from node.objects.receipt import RECEIPT, RETRACTION, Receipt, Retraction
from node.objects.record import Endpoint, Record
from node.ports import CARV1, Request, Response
from node.services import meet, owners
from node.units import DAY, Instant, Key
from tests.fakes.world import Machine, World


def some(word: str, size: int = 32) -> bytes:
    return (sha256(word.encode()).digest() * (size // 32 + 1))[:size]


@dataclass
class Puppet:
    """Its node answers calls with its record, its `blocks`, or what `says` holds for a path.

    `pin` is that of the certificate it shows, whatever its record says.
    """

    world: World
    word: str
    number: int = 1
    blocks: dict[bytes, bytes] = field(default_factory=dict)
    says: dict[str, Response] = field(default_factory=dict)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    capabilities: dict[Key, bytes] = field(default_factory=dict)
    life: int = 0
    pin: bytes | None = None

    def __post_init__(self) -> None:
        self.keys = keys.derive(some(f"seed/{self.word}"))
        self.key = keys.public(self.keys.signing)
        self.origin = f"127.0.1.{self.number}:4625"
        self.node = SimpleNamespace(peers=self)
        self.world.net.machines[self.origin] = self  # type: ignore[assignment]

    async def complaints(self, *, resting: bool = True) -> list[str]:
        """A puppet is never audited."""
        return []

    def now(self) -> Instant:
        for machine in self.world.net.machines.values():
            if isinstance(machine, Machine):
                return machine.now()
        raise AssertionError("no clock in this world")

    # --- what it is -----------------------------------------------------------------------

    def record(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "id": self.key,
            "sealing": keys.sealing_public(self.keys.sealing),
            "recovery": keys.public(self.keys.recovery),
            "nodes": (Endpoint(origin=self.origin),),
            "seq": 1,
            "issued": self.now(),
            "expires": Instant(self.now() + 90 * DAY),
            "name": self.word,
        }
        return record.sign(Record(**(fields | changes)), self.keys.signing)

    async def answer(self, request: Request, source: str) -> Response:
        """As a node would, but believing everything."""
        self.heard.append((request.path, request.body))
        if request.path in self.says:
            return self.says[request.path]
        if request.path.startswith("/v1/owners/"):
            return Response(status=200, body=self.record())
        if request.path == "/v1/blocks":
            return self._car(answers.decode_wanted(request.body))
        if request.path.startswith("/v1/blocks/"):
            block = self.blocks.get(cids.parse(request.path.rpartition("/")[2]))
            return Response(status=404 if block is None else 200, body=block or b"")
        if request.path == "/v1/poll":
            return Response(status=200, body=answers.encode_poll(Instant(0), False, []))
        if request.path == "/v1/notifications":
            items = notification.decode_batch(request.body).claim.items
            return Response(status=200, body=answers.encode_all([answers.ACCEPTED] * len(items)))
        return Response(status=200, body=answers.encode(answers.ACCEPTED))

    def _car(self, wanted: Sequence[answers.Wanted]) -> Response:
        found = [(c, self.blocks[c]) for each in wanted for c in each.cids if c in self.blocks]
        if not found:
            return Response(status=404)
        return Response(status=200, body=car.write(found), content_type=CARV1)

    def told(self, path: str) -> int:
        """How often it was called at `path`."""
        return sum(1 for each, _ in self.heard if each == path)

    # --- what it says ---------------------------------------------------------------------

    async def post(self, to: Machine, path: str, body: bytes, method: str = "POST") -> Response:
        request = Request(method=method, path=path, body=body)
        answer = await self.world.net.deliver(self.origin, to.origin, request)
        await to.settled()
        return answer

    async def one(self, to: Machine, path: str, body: bytes) -> Answer:
        response = await self.post(to, path, body)
        assert response.status == 200, response.body
        return answers.decode(response.body)

    async def introduce(self, to: Machine, link: str | None = None, **changes: Any) -> Response:
        """Our introduction, by an invite link if there is one."""
        now = self.now()
        token = None if link is None else meet.parse_link(link).token
        fields: dict[str, Any] = {
            "sender": self.key,
            "to": to.owner().owner,
            "record": self.record(),
            "capability": some(f"capability/{self.word}", 16),
            "issued": now,
        }
        if token is not None:
            proof = tokens.proof(token, self.key, fields["to"], now)
            fields |= {"invite": token[:4], "proof": proof}
        block = INTRODUCTION.sign(Introduction(**(fields | changes)), self.keys.signing)
        return await self.post(to, "/v1/introductions", block)

    async def befriend(self, to: Machine) -> None:
        """Both are contacts, by an invite."""
        response = await self.introduce(to, await to.invite())
        told = answers.decode(response.body)
        assert told.introduction is not None, told
        self.capabilities[to.owner().owner] = told.introduction.claim.capability

    def letter(self, plain: bytes = b"Subject: hi\r\n\r\nhello\r\n", word: str = "1") -> Cid:
        """A small message, kept here."""
        root = content.seal_body(some(f"k/{word}"), self.key, self.now(), plain, self.keys.signing)
        return self.keep(root)

    def parcel(self, plain: bytes, word: str = "1") -> Cid:
        """A large message, kept here."""
        key, count = some(f"k/{word}"), content.part_count(len(plain))
        parts = []
        for i in range(count):
            piece = plain[i << 20 : (i + 1) << 20]
            part = content.seal_part(key, self.key, i, count, piece)
            self.blocks[part.cid] = part.block
            parts.append(Part(cid=part.cid, size=len(part.block)))
        return self.keep(
            content.seal_root(key, self.key, self.now(), len(plain), parts, self.keys.signing)
        )

    def keep(self, root: bytes) -> Cid:
        name = cids.of_object(root)
        self.blocks[name] = root
        return name

    def item(self, at: Machine, message: Cid, size: int = 22, **changes: Any) -> Notification:
        """A notification of a message, boxed to the machine's first owner."""
        owner = at.owner()
        word = changes.pop("word", "1")
        fields: dict[str, Any] = {
            "sender": self.key,
            "to": owner.owner,
            "message": message,
            "size": size,
            "key": sealed.box(some(f"k/{word}"), owners.record_of(owner).claim.sealing),
            "ticket": some("ticket", 16),
            "capability": self.capabilities.get(owner.owner),
            "issued": self.now(),
            "keep_until": Instant(self.now() + 30 * DAY),
            "origin": self.origin,
        }
        return Notification(**(fields | changes))

    def batch(self, *items: Notification | bytes) -> Batch:
        raw = [i if isinstance(i, bytes) else notification.encode(i) for i in items]
        return notification.sign_batch(self.key, raw, self.keys.signing)

    async def notify(self, to: Machine, *items: Notification | bytes) -> list[Answer]:
        block = notification.encode_batch(self.batch(*items))
        response = await self.post(to, "/v1/notifications", block)
        assert response.status == 200, response.body
        return answers.decode_all(response.body, len(items))

    def receipt(self, to: Key, messages: Sequence[Cid], at: int | None = None) -> bytes:
        made = Receipt(
            sender=self.key,
            to=to,
            messages=tuple(sorted(messages)),
            at=Instant(self.now() if at is None else at),
        )
        return RECEIPT.sign(made, self.keys.signing)

    def retraction(self, to: Key, message: Cid) -> bytes:
        made = Retraction(sender=self.key, to=to, message=message, at=self.now())
        return RETRACTION.sign(made, self.keys.signing)

    async def poll(
        self,
        to: Machine,
        since: int = 0,
        issued: int | None = None,
        lost: tuple[int, int] | None = None,
    ) -> PollAnswer | Answer:
        made = Poll(
            sender=self.key,
            to=to.owner().owner,
            since=Instant(since),
            issued=Instant(self.now() if issued is None else issued),
            lost=None if lost is None else (Instant(lost[0]), Instant(lost[1])),
        )
        response = await self.post(to, "/v1/poll", POLL.sign(made, self.keys.signing))
        assert response.status == 200, response.body
        return answers.decode_poll(response.body)

    async def get(
        self, to: Machine, name: Cid, ticket: bytes | None, method: str = "GET"
    ) -> Response:
        request = Request(method=method, path=f"/v1/blocks/{cids.show(name)}", ticket=ticket)
        return await self.world.net.deliver(self.origin, to.origin, request)

    async def car(self, to: Machine, name: Cid, ticket: bytes | None) -> Response:
        body = answers.encode_wanted([answers.Wanted(ticket=ticket, cids=(name,))])
        return await self.post(to, "/v1/blocks", body)

    def items_heard(self) -> list[Notification]:
        """All notifications it was told, decoded."""
        batches = [
            notification.decode_batch(body).verify()
            for path, body in self.heard
            if path == "/v1/notifications"
        ]
        return [notification.decode(raw) for each in batches for raw in each.items]


def reason(response: Response) -> str:
    """The stable word of a problem document."""
    import json

    return str(json.loads(response.body)["reason"])


def did_path(key: Key) -> str:
    return f"/v1/records/{names.z(key)}"


__all__ = ["Puppet", "cbor", "did_path", "reason", "some"]
