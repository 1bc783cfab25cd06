"""Requests that came before, byte for byte, and whose answer still holds: told again as it was.

Most of what an archive is asked is whether anything is new, in the same words each time. Such a
head was parsed and found right once; the application says how long its answer holds. So neither is
done again. What is not known here goes the usual way.
"""

from collections.abc import Callable
from dataclasses import dataclass

MOST = 1_024
"""Heads that are remembered: with their answers, a megabyte or two. Who fills them up on purpose
takes nothing from others but this shortcut."""
LONGEST = 1_024
"""Bytes of a head that is remembered: a poll has a hundred, a browser's request seldom more."""
END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer around its date, and whether it still holds (if so, it is counted as given)."""

    before: bytes
    after: bytes
    again: Callable[[], bool]


class Repeats:
    """Heads of requests without a body, and their answers; the oldest goes first."""

    def __init__(self) -> None:
        self._known: dict[bytes, Told] = {}

    def note(self, head: bytes, told: Told) -> None:
        """This head got this answer, on a connection that stays open."""
        if len(head) <= LONGEST and head.find(END) == len(head) - len(END):
            self._known.pop(head, None)
            if len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[head] = told

    def answers(self, data: bytes, date: bytes) -> tuple[bytes, bytes]:
        """The answers to the heads that `data` begins with, as far as they are known; the rest.

        Args:
            data: what a client sent, from the beginning of a head on.
            date: what stands in the field Date now.
        """
        found, at = list[bytes](), 0
        while (end := data.find(END, at, at + LONGEST) + len(END)) >= len(END):
            told = self._known.get(data[at:end])
            if told is None or not told.again():
                break
            found += (told.before, date, told.after)
            at = end
        return b"".join(found), data[at:]
