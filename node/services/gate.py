"""The gate in front of all signature checks that strangers can cause.

What was checked before is not checked again, by exact bytes; whoever had its share is not
checked at all. Nothing here is stored: after a restart everybody has a full share once more.
Spec: 06 §strangers.
"""

import hashlib
import zlib
from collections import OrderedDict

from node import limits
from node.encoding import address
from node.machines.bucket import Buckets
from node.services.core import Core
from node.services.evidence import digest
from node.units import Key


class Seen:
    """Digests of exact bytes whose signature was checked, and how that ended; bounded.

    Where all of it was strangers', the answer that was given is kept and given again; a
    contact's is looked up anew, and so is one that stays large when it is compressed. Filled only
    after the check: what nobody signed must not keep out what somebody will. Each call has its
    own: what is a batch is no introduction.
    """

    def __init__(self, size: int = limits.SEEN) -> None:
        self._seen: OrderedDict[bytes, bool | bytes] = OrderedDict()
        self._size = size

    def known(self, block: bytes) -> bool | bytes | None:
        """Whether these bytes verified; an answer, where that is final; None: never checked."""
        found = self._seen.get(hashlib.sha256(block).digest())
        return zlib.decompress(found) if isinstance(found, bytes) else found

    def note(self, block: bytes, *, good: bool, answer: bytes | None = None) -> None:
        """The signature was checked; and perhaps the answer will not change."""
        self._seen[hashlib.sha256(block).digest()] = (answer and _small(answer)) or good
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)


def _small(answer: bytes) -> bytes | None:
    """The answer compressed: it is of very few words, of which a flood chooses the order."""
    made = zlib.compress(answer, 1)
    return made if len(made) <= limits.SEEN_ANSWER else None


class Friends:
    """Addresses from which contacts showed their capability lately; bounded.

    It decides in which order requests begin, and nothing else: who shares an address with a
    contact gains a place in a queue.
    """

    def __init__(self, size: int = limits.FRIENDS) -> None:
        self._size = size
        self._seen: OrderedDict[str, None] = OrderedDict()

    def note(self, source: str) -> None:
        """A contact wrote from there, signed."""
        self._seen[source] = None
        self._seen.move_to_end(source)
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)

    def knows(self, source: str) -> bool:
        """Whether one did."""
        return source in self._seen


class Gate:
    """What strangers may have checked: buckets for networks, and for each key and owner.

    Attributes:
        checked: signatures of whoever showed no capability that were checked, since the start.
        friends: where contacts write from.
    """

    def __init__(self, core: Core) -> None:
        self._core, self.friends = core, Friends()
        self._networks = Buckets(limits.NETWORK_BURST, limits.NETWORK_EVERY, limits.SOURCES)
        self.checked = 0
        self._pairs = Buckets(limits.PAIR_BURST, limits.PAIR_EVERY, limits.SOURCES)

    def admits(self, source: str, sender: Key, to: Key) -> bool:
        """Whether one more item is looked at; takes from the network's bucket."""
        if self._pairs.left(digest(sender, to), self._core.clock.steady()) <= 0:
            return False
        return self.hears(source)

    def hears(self, source: str) -> bool:
        """Whether one signature more of a network is checked; takes from its bucket."""
        return self._networks.take(address.network(source).encode(), self._core.clock.steady()) > 0

    def passed(self, sender: Key, to: Key) -> None:
        """It was signed by that key; before, anybody could use up somebody else's share."""
        self._pairs.take(digest(sender, to), self._core.clock.steady())
