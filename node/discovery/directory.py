"""Directories: who is asked about whom, which record counts, and how much is too much.

A directory keeps records for others. It can withhold one, not forge one, so several are asked and
the newest valid record wins. All rules are here; asking, calling back and storing are services'.
Spec: 08 §8.7.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from node.objects.record import Endpoint, Record
from node.units import Instant, Key, Millis


def chosen(seeds: Sequence[Endpoint], did: Key, count: int) -> tuple[Endpoint, ...]:
    """The seeds that keep a key's record: those nearest to it by hash.

    Who tells and who looks come to the same few without having spoken, though neither's list is
    quite the other's (rendezvous hashing).
    """

    def near(seed: Endpoint) -> bytes:
        return hashlib.sha256(did + seed.origin.encode()).digest()

    return tuple(sorted(seeds, key=near)[:count])


def newest(found: Iterable[Record], known: Record | None) -> Record | None:
    """The record that beats what is known and all others; None: none does."""
    best = known
    for each in found:
        if best is None or each.beats(best):
            best = each
    return None if best is known else best


class Allowance:
    """So many a window of time for each key; bounded memory.

    While `keys` are remembered, further ones get nothing until the window ends: whoever can make
    many keys must not buy more by it.

    Args:
        most: how many for one key.
        per: the window.
        keys: how many keys are remembered.
    """

    def __init__(self, most: int, per: Millis, keys: int) -> None:
        self._most, self._per, self._keys = most, per, keys
        self._window = 0
        self._taken: Counter[Hashable] = Counter()

    def take(self, key: Hashable, now: Instant) -> bool:
        """One for `key`; False: it had all it may have."""
        window = now // self._per
        if window != self._window:
            self._window = window
            self._taken.clear()
        full = len(self._taken) >= self._keys and key not in self._taken
        if full or self._taken[key] >= self._most:
            return False
        self._taken[key] += 1
        return True
