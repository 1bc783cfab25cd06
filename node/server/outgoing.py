"""Large answers under way: what lies in memory until its asker has taken it, and how much that is.

A request of 1 KiB may be answered with 16 MiB of blocks. Whoever asks on many connections and takes
nothing would fill the memory, so a further answer is as large as what is left: for its network, and
for all. Who has nothing under way is never left without one block, whatever others do.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from node import limits
from node.encoding import address
from node.errors import RateLimited
from node.units import MIB, ByteCount

TOTAL = ByteCount(96 * MIB)
"""Of all networks together: six full answers, and a part of a small machine's memory."""
PER_NETWORK = ByteCount(32 * MIB)
"""Of one network: our client picks up twice at once from one peer."""
ONE = ByteCount(limits.BLOCK + limits.PART_FRAME)
"""Room for one block, whatever its frame."""


class Outgoing:
    """Counts bytes of large answers under way, by network and in all.

    Args:
        total: of all networks; per_network: of one.
    """

    def __init__(self, total: int = TOTAL, per_network: int = PER_NETWORK) -> None:
        self._total, self._per_network = total, per_network
        self._by_network: Counter[str] = Counter()
        self.bytes = 0

    @contextmanager
    def share(self, source: str, most: ByteCount) -> Iterator["Share"]:
        """Room for one answer to `source`, until it is sent.

        Raises:
            RateLimited: there is not even room for one block.
        """
        made = Share(self, address.network(source), most)
        try:
            yield made
        finally:
            made.shrink(0)

    def room(self, network: str) -> int:
        """What a further answer to a network may have.

        Raises:
            RateLimited: as `share`.
        """
        mine = self._by_network[network]
        left = min(self._per_network - mine, self._total - self.bytes)
        if left < ONE and mine:
            raise RateLimited("your network takes its answers too slowly: try again later")
        return max(left, ONE)

    def grow(self, network: str, held: int, size: int) -> None:
        """Notes that an answer for which `held` bytes are set aside needs `size`.

        Raises:
            RateLimited: as `Share.grow`.
        """
        mine = self._by_network[network]
        left = min(self._per_network - mine, self._total - self.bytes)
        if size - held > left and (mine > held or size > ONE):
            raise RateLimited("too many large answers are under way: try again later")
        self.move(network, size - held)

    def move(self, network: str, count: int) -> None:
        """Notes more or fewer bytes under way to a network."""
        self.bytes += count
        self._by_network[network] += count
        if not self._by_network[network]:
            del self._by_network[network]


class Share:
    """The bytes set aside for one answer.

    Attributes:
        room: how large it may be.
    """

    def __init__(self, outgoing: Outgoing, network: str, most: ByteCount) -> None:
        self._outgoing, self._network = outgoing, network
        # Whoever needs nothing yet, and perhaps never does, is not turned away for others' answers.
        self.room = ByteCount(min(most, outgoing.room(network)) if most else 0)
        outgoing.move(network, self.room)

    def grow(self, size: int) -> None:
        """Sets aside what an answer of `size` bytes needs, whole.

        Raises:
            RateLimited: there is not as much; less than the whole is of no use to anybody.
        """
        if size > self.room:
            self._outgoing.grow(self._network, self.room, size)
            self.room = ByteCount(size)

    def shrink(self, size: int) -> None:
        """Gives back what is not needed: the answer has `size` bytes."""
        self._outgoing.move(self._network, size - self.room)
        self.room = ByteCount(size)
