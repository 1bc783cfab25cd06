"""Mail to the owner of an archive becomes part of it, and stays its author's."""

import pytest
import trio

from node.encoding import names
from node.errors import Absent, Conflict
from node.mail import original, posted
from node.mail.display import files
from node.services import library
from node.services.library import Library
from tests.fakes.world import Machine, until, world
from tests.services.shelves import letter, row_of, verified

LETTERS = [
    letter(1),
    b"Subject: crlf\r\nFrom: b@example.org\r\nDate: Thu, 2 Jan 2020 12:00:00 +0000\r\n\r\nhi",
    b"",
    b"\0\xff no header\r\rbare",
    letter(2) + b"x" * 60_000,
]


async def contents(machine: Machine, name: str) -> list[bytes]:
    row, reading = row_of(machine, name), Library(machine.on.core)
    items = machine.on.core.db.read(lambda tx: list(library.items_of(tx, row)))
    return [b"".join([piece async for piece in reading.content(item)]) for item in items]


async def test_letters_are_appended_as_they_arrive(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await ben.send([anna.owner().owner], letter(0))
        await until(lambda: len(anna.inbox()) == 1)
        await anna.on.publisher.create(anna.owner(), "cats", posting="append")
        await anna.on.publisher.publish(anna.owner(), "cats")
        for each in LETTERS:
            await ben.send([anna.owner().owner], each)
        await until(lambda: len(anna.inbox()) == 6 and row_of(anna, "cats").posted == 6)
        found = await contents(anna, "cats")
        assert len(found) == len(LETTERS)
        for raw in found:
            proven, marks = original.proven(raw, list(files(raw).files))
            assert marks == []
            assert [each.did for each in proven] == [names.did(ben.owner().owner)]
        inside = [b"\r\n\r\n" + each + b"\r\n--=_" for each in LETTERS]
        assert all(sum(each in raw for raw in found) == 1 for each in inside)
        assert b"Subject: number 1\r\n" in b"".join(found)
        assert (await verified(anna, "cats")).size == len(LETTERS)
        # Again, by hand: it is there.
        tally = await anna.on.poster.by_hand(anna.owner(), "cats", ["2"])
        assert (tally.added, tally.known) == (0, 1)
        tally = await anna.on.poster.by_hand(anna.owner(), "cats", ["1"])
        assert (tally.added, tally.size) == (1, 6)


async def test_held_letters_wait(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await anna.on.publisher.create(anna.owner(), "cats", posting="hold")
        with pytest.raises(Conflict):
            await anna.on.publisher.create(anna.owner(), "dogs", posting="append")
        await ben.send([anna.owner().owner], letter(1))
        await until(lambda: len(anna.inbox()) == 1)
        await trio.sleep(3600)
        assert await contents(anna, "cats") == []
        with pytest.raises(Absent):
            await anna.on.poster.by_hand(anna.owner(), "cats", ["7"])
        await anna.on.poster.by_hand(anna.owner(), "cats", ["1"])
        (raw,) = await contents(anna, "cats")
        assert letter(1) in raw


def test_the_same_letter_is_the_same_message() -> None:
    assert posted.wrap(b"x", b"p") == posted.wrap(b"x", b"p")
    long = b"References: " + b"<a@b> " * 1000 + b"\n\ntext"
    head = posted.wrap(long, b"p").partition(b"\r\n\r\n")[0]
    assert max(map(len, head.split(b"\r\n"))) <= 998
