"""Who gets a slot of the strangers' ring: 200 for each owner, one pending thing for each key.

A slot belongs to a *group*: the proven registrable domain of its origin or, where nothing is
proven, the network it came from. Rules, in this order:

1. While there is room, whoever comes gets a slot.
2. Proven domains come before everything unproven, which is one class: a claimed domain costs
   nothing, so it buys nothing and harms nobody.
3. Within a class, whoever has less gets more: the largest group gives its newest slot to a
   smaller one, but never so that it would be the other way round then.
4. Where all groups have one slot and there are more groups than slots, those of the lowest
   *rank* have them. A rank is a keyed hash of owner, group and week: nobody can choose it, it
   does not depend on who came first, how often or how fast, and with next week's announcement
   (`held` is told again weekly) everybody draws again. So one of K + 10 proven domains has a
   slot with probability min(1, 200 / (K + 10)), whatever the K others do.
5. Else the older one keeps it.

Spec: 06 §strangers; decision 0014.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from node import limits
from node.units import Instant, Key

Rank = Callable[[str], bytes]
"""The rank of a group: the lowest win."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What counts of a slot here: whose, of which group, since when."""

    key: Key
    group: str
    proven: bool
    since: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Enter:
    """It gets a slot; `instead` of somebody, where the ring was full."""

    instead: Key | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """There is none for it."""


class Ring:
    """The slots of one owner, as far as they decide who comes in next.

    Args:
        size: how many there are.
    """

    def __init__(self, size: int = limits.RING) -> None:
        self._size = size
        self.slots: dict[Key, Slot] = {}
        self._groups: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._ranks: dict[str, bytes] = {}
        self._week = -1
        self._worst: dict[bool, str] = {}

    def enter(self, slot: Slot) -> None:
        """Takes a slot (again, if the key has one)."""
        self.leave(slot.key)
        self.slots[slot.key] = slot
        self._groups[slot.proven][slot.group] += 1
        self._worst.clear()

    def leave(self, key: Key) -> None:
        """Empties the slot of a key, if it has one."""
        old = self.slots.pop(key, None)
        if old is not None:
            self._worst.clear()
            groups = self._groups[old.proven]
            groups[old.group] -= 1
            if not groups[old.group]:
                del groups[old.group]

    def judge(self, new: Slot, rank: Rank, week: int) -> Enter | Full:
        """Whether `new`, whose key has no slot, gets one.

        Args:
            rank: of a group, in this week.
            week: its number; ranks are remembered until it ends.
        """
        if len(self.slots) < self._size:
            return Enter()
        if week != self._week:
            self._week, self._ranks, self._worst = week, {}, {}
        if new.proven and self._groups[False]:
            return Enter(instead=self._newest(False, self._largest(False, rank)))
        groups = self._groups[new.proven]
        if not groups:
            return Full()
        largest, mine = self._largest(new.proven, rank), groups[new.group]
        if groups[largest] > mine + 1:
            return Enter(instead=self._newest(new.proven, largest))
        if (
            not mine
            and groups[largest] == 1
            and self._rank(new.group, rank) < self._rank(largest, rank)
        ):
            return Enter(instead=self._newest(new.proven, largest))
        return Full()

    def _largest(self, proven: bool, rank: Rank) -> str:
        """The group with most slots; of several the one that ranks last."""
        found = self._worst.get(proven)
        if found is None:
            groups = self._groups[proven]
            most = max(groups.values())
            last = (each for each, count in groups.items() if count == most)
            found = max(last, key=lambda each: self._rank(each, rank))
            self._worst[proven] = found
        return found

    def _newest(self, proven: bool, group: str) -> Key:
        mine = (s for s in self.slots.values() if s.group == group and s.proven is proven)
        return max(mine, key=lambda slot: (slot.since, slot.key)).key

    def _rank(self, group: str, rank: Rank) -> bytes:
        found = self._ranks.get(group)
        if found is None:
            if len(self._ranks) >= 4 * self._size:
                self._ranks.clear()
            found = self._ranks[group] = rank(group)
        return found
