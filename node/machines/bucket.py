"""Token buckets: so many at once, then one every so often; bounded memory.

A bucket is one integer, the moment at which it is full again (the generic cell rate algorithm),
so that a hundred thousand of them cost a few megabytes. Buckets that are full again are
forgotten. While none is, further keys share one bucket: whoever can make many keys must not buy
more by it. Nothing is stored: after a restart all buckets are full.
"""

from collections import OrderedDict

from node.units import Millis

LOOKED = 4
"""Old buckets that are looked at for one that may go: each look makes room for the next."""


class Buckets:
    """A bucket for each key.

    Args:
        burst: tokens of a full bucket.
        every: how long one token takes to come back.
        keys: how many buckets are remembered.
    """

    def __init__(self, burst: int, every: Millis, keys: int) -> None:
        self._burst, self._every, self._keys = burst, every, keys
        self._full_at: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        """Buckets that are remembered."""
        return len(self._full_at)

    def left(self, key: bytes, now: Millis) -> int:
        """Tokens that `key` has.

        Args:
            now: a clock that never steps.
        """
        behind = self._full_at.get(self._shared(key, now), 0) - now
        return self._burst - (-(-behind // self._every) if behind > 0 else 0)

    def take(self, key: bytes, now: Millis, count: int = 1) -> int:
        """Up to `count` tokens of `key`; how many there were."""
        taken = min(count, self.left(key, now))
        if taken > 0:
            place = self._shared(key, now)
            self._full_at[place] = max(self._full_at.get(place, 0), now) + taken * self._every
            self._full_at.move_to_end(place)
        return max(taken, 0)

    def _shared(self, key: bytes, now: Millis) -> bytes:
        """The key itself, or the one that all share for whom there is no room."""
        if key in self._full_at or len(self._full_at) < self._keys:
            return key
        for _ in range(LOOKED):
            old, full_at = next(iter(self._full_at.items()))
            if full_at <= now:
                del self._full_at[old]
                return key
            self._full_at.move_to_end(old)
        return b""
