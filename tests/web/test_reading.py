"""Hostile mail in an archive: a page that is slow to make holds nobody else up, and ends."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from node.encoding import cid as cids
from node.ports import File, Request, Response, Shown, Words
from node.services import library
from node.services.publish import Tally
from node.units import Instant
from node.web.opened import Pages
from tests.fakes.ports import InlineThreads
from tests.fakes.world import Machine, world
from tests.services.shelves import letter, published, row_of

SLOW = 4.9
"""Seconds: a message that takes as long as one may."""


class SlowReader:
    """`ports.Reader`: each message takes its time, on a clock that tests turn."""

    async def words(self, content: bytes) -> Words | None:
        await trio.sleep(SLOW)
        return Words(subject="", people="", body="")

    async def page(self, content: bytes) -> Shown | None:
        await trio.sleep(SLOW)
        return Shown(headers={}, text="read", files=[], html=False, marks=[])

    async def html(self, content: bytes) -> str | None:
        await trio.sleep(SLOW)
        return None

    async def file(self, content: bytes, number: int) -> File | None:
        await trio.sleep(SLOW)
        return None

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def slow(machine: Machine, folder: Path) -> AsyncIterator[Pages]:
    """The pages of a node whose mail is all slow."""
    readers = (SlowReader(), SlowReader(), SlowReader())
    async with aclosing(Pages(machine.on.core, folder, InlineThreads(), readers)) as pages:
        yield pages


async def page(pages: Pages, path: str, etag: str = "", accept: str = "") -> Response:
    request = Request(method="GET", path=f"/archives/{path}", if_none_match=etag, accept=accept)
    found = await pages(request, path)
    assert found is not None, path
    return found


def field(answer: Response, name: str) -> str:
    return next(value for key, value in answer.headers if key == name)


def message(machine: Machine, number: int) -> str:
    row = row_of(machine, "cats")
    item = machine.on.core.db.read(lambda tx: library.item_of(tx, row, str(number)))
    return cids.show(item.message)


async def test_a_slow_feed_ends_and_holds_up_nobody(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(60)])
        async with slow(anna, tmp_path) as pages, trio.open_nursery() as nursery:
            took = dict[str, float]()

            async def ask(path: str) -> None:
                began = trio.current_time()
                answer = await page(pages, path)
                assert answer.status == 200
                took[path] = trio.current_time() - began
                if path.startswith("cats/feed"):
                    # All that is in it is named, with text or without.
                    assert answer.body.count(b"<entry>") == 50
                    assert b">read<" in answer.body

            for path in ("cats/feed.atom", "cats/feed/1.atom"):
                nursery.start_soon(ask, path)
            await trio.sleep(0.1)
            nursery.start_soon(ask, f"cats/message/{message(anna, 3)}.html")
        assert took[f"cats/message/{message(anna, 3)}.html"] < SLOW + 0.1
        assert max(took.values()) < 25


async def test_a_feed_that_was_cut_short_is_made_again(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(60)])
        async with slow(anna, tmp_path) as pages:
            cut = await page(pages, "cats/feed/1.atom")
            again = await page(pages, "cats/feed/1.atom", field(cut, "ETag"))
            assert again.status == 304  # it is the same, word for word
            for reader in pages._readers:
                object.__setattr__(reader, "page", _quick)
            whole = await page(pages, "cats/feed/1.atom", field(cut, "ETag"))
            assert (whole.status, whole.body.count(b">quick<")) == (200, 50)


async def _quick(content: bytes) -> Shown | None:
    return Shown(headers={}, text="quick", files=[], html=False, marks=[])


async def test_who_has_it_already_costs_no_work(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(3)])
        async with slow(anna, tmp_path) as pages:
            cid = message(anna, 1)
            for path in (f"message/{cid}.html", f"message/{cid}.eml", f"thread/{cid}.mbox.gz"):
                first = await page(pages, f"cats/{path}")
                began = trio.current_time()
                asked: list[int] = []
                request = Request(
                    method="GET",
                    path=f"/archives/cats/{path}",
                    if_none_match=field(first, "ETag"),
                    reserve=asked.append,
                )
                again = await pages(request, f"cats/{path}")
                assert again is not None
                assert (again.status, asked) == (304, [])
                assert trio.current_time() == began, path


async def test_a_date_that_no_calendar_has(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """Who publishes may say any up to 2^53 - 1."""
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(0)])
        far = anna.on.publisher.sign(anna.owner(), letter(1))
        far = replace(far, date=Instant(2**53 - 1))
        await anna.on.publisher.add(anna.owner(), "cats", [far], Tally())
        anna.on.publisher.serve("cats")
        paths = ("", "9999-12.html", "9999-12.mbox.gz", "feed.atom", "feed.json")
        async with slow(anna, tmp_path) as pages:
            for path in (*paths, f"thread/{message(anna, 1)}.mbox.gz"):
                assert (await page(pages, f"cats/{path}")).status == 200


def catalogues(folder: Path) -> set[str]:
    return {each.name.partition(".")[0] for each in folder.iterdir()}


async def test_the_catalogue_of_an_archive_goes_with_it(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        for name in ("cats", "dogs"):
            await published(anna, name, [letter(n) for n in range(3)])
        async with slow(anna, tmp_path) as pages:
            anna.on.desk.pages = pages
            for name in ("cats", "dogs"):
                await page(pages, f"{name}/")
            files = {name: row_of(anna, name).id.hex() for name in ("cats", "dogs")}
            await anna.on.publisher.drop(anna.owner(), "cats")
            assert catalogues(tmp_path) == {files["dogs"]}
        # And before anybody looked since the node was started.
        anna.on.desk.pages = Pages(anna.on.core, tmp_path, InlineThreads(), ())
        await anna.on.publisher.drop(anna.owner(), "dogs")
        assert catalogues(tmp_path) == set()


async def test_a_browser_is_told_in_its_own_form(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(1)])
        async with slow(anna, tmp_path) as pages:
            for path in ("nothing/", "cats/2001-01.html", "cats/a/b/c"):
                answer = await page(pages, path, accept="text/html,*/*;q=0.8")
                assert answer.status == 404
                assert answer.content_type.startswith("text/html")
                assert b"<h1>" in answer.body
                assert field(answer, "Vary") == "Accept"
