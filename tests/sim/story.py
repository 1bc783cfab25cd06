"""Puts what the network carries into words: who said what to whom, about which messages."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

from node.encoding import cid as cids
from node.encoding.cid import Cid
from node.errors import Unreachable
from node.objects import answer as answers
from node.objects import notification
from node.objects.answer import Answer, PollAnswer
from node.objects.introduction import POLL
from node.objects.receipt import RECEIPT, RETRACTION
from node.ports import Request, Response
from tests.sim.report import short

if TYPE_CHECKING:
    from tests.sim.simulate import Run

Of = tuple[tuple[str, str], ...]


class Story:
    """Tells a run what its network did.

    Args:
        run: who is told.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parts: dict[bytes, tuple[str, str]] = {}
        """For each block of a letter: its message, and which block it is."""

    def learn(self, message: Cid, parts: tuple[Cid, ...]) -> None:
        """A letter was sent: how its blocks are called from now on."""
        self.parts[bytes(message)] = (short(message), "root")
        for number, part in enumerate(parts, 1):
            self.parts[bytes(part)] = (short(message), f"part {number}/{len(parts)}")

    def watch(self, source: str, to: str, request: Request, response: Response) -> None:
        """An answer leaves."""
        told = None if response.status == 200 else str(response.status)
        self._say(source, to, request, told, self._of(request, response, told))

    def lost(self, source: str, to: str, request: Request, error: Unreachable) -> None:
        """No answer came: the call or its answer was lost, or nobody was there."""
        self._say(source, to, request, f"no answer, {error.reason}", self._of(request, None, ""))

    def _say(self, source: str, to: str, request: Request, told: str | None, of: Of) -> None:
        a, b = self.run.name(source), self.run.name(to)
        after = "" if told is None else f" ({told})"
        text = f"{a} → {b} {_verb(request)}{after}{':' if of else ''}"
        self.run.say(text, of=of, who=(a, b), call=True)

    def _of(self, request: Request, response: Response | None, told: str | None) -> Of:
        """The messages a call is about, and what was answered for each."""
        body = response.body if response is not None and told is None else None
        match request.path.split("/")[2]:
            case "notifications":
                return tuple(_notified(request.body, body))
            case "receipts":
                return tuple((short(m), "") for m in RECEIPT.decode(request.body).claim.messages)
            case "retractions":
                gone = RETRACTION.decode(request.body).claim.message
                return ((short(gone), "" if body is None else _word(answers.decode(body))),)
            case "poll":
                return () if body is None else tuple(_offered(answers.decode_poll(body)))
            case "blocks" if request.method == "POST":
                wanted = answers.decode_wanted(request.body)
                return tuple(self._called(c) for each in wanted for c in each.cids)
            case "blocks":
                return (self._called(cids.parse(request.path.rpartition("/")[2])),)
            case _:
                return ()

    def _called(self, cid: bytes) -> tuple[str, str]:
        return self.parts.get(bytes(cid), (short(cid), "block"))


def _verb(request: Request) -> str:
    match request.path.split("/")[2]:
        case "notifications":
            return "notifies"
        case "receipts":
            return "confirms"
        case "retractions":
            return "withdraws"
        case "poll":
            lost = POLL.decode(request.body).claim.lost
            return "asks what waits" if lost is None else "asks what waits, and what it lost"
        case "blocks":
            return "fetches"
        case "introductions":
            return "introduces itself"
        case "owners":
            return "asks who is there"
        case "records":
            return "tells its record"
        case _:
            return f"{request.method} {request.path[:24]}"


def _notified(block: bytes, answered: bytes | None) -> Iterator[tuple[str, str]]:
    items = [notification.decode(raw) for raw in notification.decode_batch(block).claim.items]
    told = [] if answered is None else answers.decode_all(answered, len(items))
    for item, answer in zip_longest(items, told):
        assert item is not None
        yield short(item.message), "" if answer is None else _word(answer)


def _word(answer: Answer) -> str:
    return answer.state if answer.reason is None else f"{answer.state} {answer.reason}"


def _offered(told: PollAnswer | Answer) -> Iterator[tuple[str, str]]:
    if isinstance(told, PollAnswer):
        for batch in told.batches:
            for raw in batch.claim.items:
                yield short(notification.decode(raw).message), "waits"
