"""What a run is to be, and what it was: the plan, the letters, the events and their story."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from node.encoding import cid as cids
from node.encoding.cid import Cid

HOUR, DAY = 3600.0, 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, how much, how bad: a number is how often something happens in those days."""

    days: float = 30.0
    calm: float = 2.0
    letters: int = 60
    crashes: int = 40
    full: int = 4
    storms: int = 20
    cuts: int = 20
    restores: int = 4
    jumps: int = 3
    thefts: int = 20
    forgeries: int = 20


SHORT = Plan(
    days=10.0,
    letters=40,
    crashes=15,
    full=2,
    storms=8,
    cuts=8,
    restores=4,
    jumps=2,
    thefts=10,
    forgeries=15,
)
"""Ten worse days: what planted faults are looked for in."""


@dataclass(slots=True, kw_only=True)
class Letter:
    """What somebody sent, and what the network still owes them.

    Attributes:
        digest: of its content: what is read must be what was sent.
        sent: when, in virtual seconds.
    """

    author: str
    message: Cid
    to: tuple[str, ...]
    digest: bytes
    keep_until: int
    sent: float
    retracted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        at: days since the run began.
        text: what.
        of: (message, what became of it) for each message it is about; none: it is no message's.
        who: the machines it befell; none: the whole network.
        call: it was one node calling another, and nothing that befell them.
        broke: it broke a promise.
    """

    at: float
    text: str
    of: tuple[tuple[str, str], ...] = ()
    who: tuple[str, ...] = ()
    call: bool = False
    broke: bool = False

    def told(self, only: str | None = None) -> str:
        """One line; of many messages only the one that is meant, and how many there were."""
        meant = [each for each in self.of if only in (None, each[0])]
        rest = len(self.of) - len(meant)
        words = [f"{message} {outcome}".strip() for message, outcome in meant]
        more = [f"{rest} more"] if rest else []
        return f"{_clock(self.at)}  {self.text} {', '.join(words + more)}".rstrip()

    def __str__(self) -> str:
        return self.told()


def _clock(days: float) -> str:
    minutes, seconds = divmod(days % 1 * DAY, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"day {int(days) + 1:2} {hours:02}:{minutes:02}:{seconds:05.2f}"


@dataclass(slots=True, kw_only=True)
class Report:
    """What happened, and which promises were broken (none, if all is well).

    Attributes:
        nodes: how many machines there were.
        days: how long each of them lived.
        letters: what was written, by the message's short name; forgotten: with the disk it was on;
            ends: the state of each of its deliveries in the end.
    """

    seed: int
    nodes: int = 0
    days: float = 0.0
    events: list[Event] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    letters: dict[str, Letter] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    ends: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def trace(self) -> str:
        """A hash over all events."""
        return hashlib.sha256("\n".join(map(str, self.events)).encode()).hexdigest()[:16]

    def count(self, word: str) -> None:
        """One more of `word`."""
        self.counts[word] = self.counts.get(word, 0) + 1

    def story(self, message: str) -> Iterator[str]:
        """The life of one message, with whatever befell those who had to do with it meanwhile."""
        mine = [i for i, event in enumerate(self.events) if message in dict(event.of)]
        letter = self.letters[message]
        people = {letter.author, *letter.to}  # by machine, too: the first owner's name is its own
        for event in self.events[mine[0] : mine[-1] + 1]:
            if message in dict(event.of):
                yield event.told(message)
            elif not event.of and not event.call and people.issuperset(event.who):
                yield event.told()

    def busiest(self) -> str:
        """The message that a promise was broken for, else the one with most to tell."""
        for event in self.events:
            if event.broke and event.of:
                return event.of[0][0]
        calls = Counter(name for event in self.events if event.call for name, _ in event.of)
        kept = [name for name in self.letters if name not in self.forgotten]
        return max(kept, key=lambda name: calls[name])


def short(message: bytes) -> str:
    """How the story calls a message."""
    return cids.show(Cid(message))[-8:]
