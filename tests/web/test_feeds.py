"""Feeds: how large they become, how one goes on, and what they are called."""

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import trio

from node.encoding import names
from node.ports import Request, Shown
from node.web.feeds import ENTRY, FEED, TEXTS
from tests.fakes.taking_apart import InlineReader
from tests.fakes.world import Machine, world
from tests.services.shelves import letter, published, row_of
from tests.web.test_message import got, opened, shown

LONG = "ä word " * 20_000


async def test_the_text_of_an_entry_is_bounded(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, [letter(1), letter(2, LONG)]) as pages:
            new, old = json.loads((await got(pages, "feed.json")).body)["items"]
            text, _, more = new["content_text"].rpartition("\n\n")
            assert ENTRY - 8 < len(text.encode()) <= ENTRY
            assert more == f"… cut; whole: {new['url']}"
            assert old["content_text"].endswith("text 1")


async def test_a_text_without_words(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    async with world() as w:
        anna = await w.add("anna")
        mail = [letter(1, " " * 100_000 + "."), letter(2, "中" * 100_000)]
        async with shown(anna, tmp_path, mail) as pages:
            long, blank = json.loads((await got(pages, "feed.json")).body)["items"]
            assert blank["content_text"].strip().startswith("… cut; whole: ")
            assert long["content_text"].startswith("中" * 5000)


async def test_both_forms_of_a_document_are_made_of_one_look_at_its_mail(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        reader = Counting()
        await published(anna, "cats", [letter(n) for n in range(FEED)])
        async with opened(anna, tmp_path, reader) as pages:
            for path in ("feed/1.atom", "feed/1.json", "feed.json", "feed.atom"):
                assert (await got(pages, path)).body.count(b"text 7") == 1
            assert reader.pages == FEED
            await anna.on.publisher.remove(anna.owner(), "cats", "7", "asked for")
            assert b"text 7" not in (await got(pages, "feed.json")).body


class Counting(InlineReader):
    """Counts what it is asked."""

    pages = 0

    async def page(self, content: bytes) -> Shown | None:
        self.pages += 1
        return await super().page(content)


async def test_a_feed_as_a_whole_is_bounded(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, [letter(n, LONG) for n in range(FEED)]) as pages:
            for path in ("feed.json", "feed.atom", "feed/1.atom"):
                body = (await got(pages, path)).body
                assert body.count(b"cut; whole: ") == FEED
                assert len(body) < 1.5 * TEXTS
                assert body.count(b"word") > FEED * 20


async def test_all_mail_is_in_the_documents_of_the_json_feed(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, [letter(n) for n in range(2 * FEED + 5)]) as pages:
            seen, url = set[str](), "feed.json"
            while url:
                answer = await got(pages, url)
                assert answer.content_type.startswith("application/feed+json")
                document = json.loads(answer.body)
                assert document["feed_url"].endswith(url)
                seen |= {each["title"] for each in document["items"]}
                url = document.get("next_url", "").partition("/cats/")[2]
            assert len(seen) == 2 * FEED + 5


async def test_a_mirror_serves_the_same_feed(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(1)])
        url = f"http://{anna.origin}/archives/cats/"
        await ben.on.follower.follow(ben.owner(), [url], "dogs")
        await ben.on.follower.poll(row_of(ben, "dogs"))
        await ben.on.publisher.publish(ben.owner(), "dogs")
        found = [
            await feed_id(anna, tmp_path, "cats"),
            await feed_id(ben, tmp_path, "dogs"),
        ]
        assert found == [f"{names.did(anna.owner().owner)}#cats"] * 2


async def feed_id(machine: Machine, folder: Path, name: str) -> str:
    async with opened(machine, folder) as pages:
        request = Request(method="GET", path=f"/archives/{name}/feed.atom")
        found = await pages(request, f"{name}/feed.atom")
        assert found is not None
        return Xml.fromstring(found.body).findtext("{*}id") or ""
