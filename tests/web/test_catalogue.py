"""The catalogue of an archive: conversations in any order, removals, months, damage."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.encoding import cid
from node.encoding.cid import Cid
from node.errors import Damaged
from node.ports import Words
from node.units import Instant
from node.web.catalogue import Catalogue, Gone, New, Seen, words_of
from tests.fakes.ports import InlineThreads


def name(number: int) -> Cid:
    return cid.of_object(b"%d" % number)


def new(number: int, *above: int, identity: bool = True, here: bool = True) -> New:
    return New(
        message=name(number),
        date=Instant(1_000 * number),
        month="2020-01" if number < 5 else "2020-02",
        size=number,
        subject=f"subject {number}" if here else "",
        sender=f"Sender{number} <s{number}@example.org>" if here else "",
        identity=f"{number}@x" if identity and here else None,
        above=[f"{each}@x" for each in above] if here else [],
        here=here,
    )


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Catalogue]:
    catalogue = Catalogue(tmp_path / "pages" / "a.sqlite", b"a", InlineThreads())
    yield catalogue
    await catalogue.close()


async def worded(catalogue: Catalogue) -> None:
    rows = await catalogue.wordless(99)
    await catalogue.enter_words([(r.id, Words(r.subject, r.sender, "body")) for r in rows])


async def parents(catalogue: Catalogue, count: int) -> dict[int, int | None]:
    rows = {row.id: row for row in await catalogue.span(1, 99)}
    numbers = {bytes(name(n)): n for n in range(count)}
    return {
        numbers[bytes(row.message)]: None
        if row.parent is None
        else numbers[bytes(rows[row.parent].message)]
        for row in rows.values()
    }


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_a_conversation_is_the_same_in_any_order(
    made: Catalogue, order: tuple[int, ...]
) -> None:
    """0 ← 1 ← 2 ← 3; each names all that is above it, as mail programs do."""
    chain = [new(0), new(1, 0), new(2, 1, 0), new(3, 2, 1, 0)]
    for index in order:
        await made.add([chain[index]], Seen(1, 1))
    thread = await made.thread(name(2), 99)
    assert [row.message for row in thread] == [name(n) for n in range(4)]
    assert len({row.root for row in thread}) == 1
    found = await parents(made, 4)
    assert found[0] is None
    # Who came before its nearest parent stays below the next one that was there.
    assert all(found[n] is not None and found[n] < n for n in (1, 2, 3))  # type: ignore[operator]


async def test_two_that_answer_each_other(made: Catalogue) -> None:
    await made.add([new(0, 1), new(1, 0), new(2, 2)], Seen(1, 3))
    found = await parents(made, 3)
    assert found == {0: None, 1: 0, 2: None} or found == {0: 1, 1: None, 2: None}
    assert len(await made.thread(name(0), 99)) == 2


async def test_a_ring_of_three(made: Catalogue) -> None:
    await made.add([new(0, 2), new(1, 0), new(2, 1)], Seen(1, 3))
    assert len(await made.thread(name(0), 99)) == 3
    assert list((await parents(made, 3)).values()).count(None) == 1


async def test_a_late_parent_brings_whole_conversations_together(made: Catalogue) -> None:
    await made.add([new(1, 0), new(2, 1), new(3, 0), new(4, 3)], Seen(1, 4))
    assert len(await made.thread(name(1), 99)) == 2
    await made.add([new(0)], Seen(1, 5))
    assert len(await made.thread(name(4), 99)) == 5


async def test_what_was_removed_keeps_its_place_and_says_nothing(made: Catalogue) -> None:
    await made.add([new(0), new(1, 0)], Seen(1, 2))
    await worded(made)
    await made.add([Gone(name(0), "asked for")], Seen(1, 3))
    row = await made.message(name(0))
    assert row is not None
    assert (row.subject, row.sender, row.removed) == ("", "", "asked for")
    assert len(await made.thread(name(1), 99)) == 2
    assert await made.called("0@x", 9) == []
    assert await made.find(["subject", "0"], 9) == []
    assert await made.find([], 9) == []
    assert [row.message for row in await made.find(["SUBJECT"], 9)] == [name(1)]


async def test_bytes_that_come_later(made: Catalogue) -> None:
    await made.add([new(0, here=False), new(1, 0)], Seen(1, 2))
    assert await made.pending(9) == [name(0)]
    await made.add([new(0)], Seen(1, 2))
    assert await made.pending(9) == []
    assert len(await made.thread(name(0), 99)) == 2
    await worded(made)
    assert len(await made.find(["subject"], 9)) == 2
    await made.add([new(0)], Seen(1, 2))
    await worded(made)
    assert len(await made.find(["subject"], 9)) == 2


async def test_months_and_pages(made: Catalogue) -> None:
    await made.add([new(n) for n in range(7)], Seen(2, 3))
    assert [each[:2] for each in await made.months()] == [("2020-02", 2), ("2020-01", 5)]
    assert [row.message for row in await made.month("2020-01", 1, 2)] == [name(1), name(2)]
    assert [row.message for row in await made.newest(2)] == [name(6), name(5)]
    assert await made.seen() == Seen(2, 3)


async def test_what_is_damaged_or_another_archive_s_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.sqlite"
    first = Catalogue(file, b"a", InlineThreads())
    await first.add([new(0)], Seen(1, 1))
    await first.close()
    other = Catalogue(file, b"b", InlineThreads())
    assert await other.seen() == Seen(1, 0)
    await other.add([new(1)], Seen(1, 1))
    await other.close()
    file.write_bytes(b"no database" * 1000)
    third = Catalogue(file, b"b", InlineThreads())
    with pytest.raises(Damaged):
        await third.seen()
    assert await third.seen() == Seen(1, 0)
    await third.close()


def test_words() -> None:
    assert words_of('a "quoted* -word (near) ü') == ["a", "quoted", "word", "near", "ü"]
    assert len(words_of("w " * 100)) == 8
