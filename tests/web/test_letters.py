"""Mail of a conversation or month in one file."""

import gzip
import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from node.ports import Request
from node.units import Instant
from node.web import letters
from node.web.letters import PIECE, Letters, volumes
from tests.fakes.world import world
from tests.services.shelves import letter, row_of
from tests.web.test_message import got, shown


async def test_others_have_their_turn_while_mail_is_compressed() -> None:
    mail = b"From: a@b\n\n" + random.Random(7).randbytes(16 * PIECE).replace(b"From", b"from")

    async def whole(item: object, most: int) -> bytes:
        return mail

    frame: Any = SimpleNamespace(item=lambda row, name: SimpleNamespace(state="here"))
    reading: Any = SimpleNamespace(whole=whole)
    view: Any = SimpleNamespace(row=SimpleNamespace(name="cats"))
    row: Any = SimpleNamespace(size=len(mail), date=Instant(0), message=b"")
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        packed = await Letters(frame, reading)._packed(view, [row])
        nursery.cancel_scope.cancel()
    assert mail in gzip.decompress(packed)
    assert turns >= 16


@pytest.mark.parametrize(
    ("sizes", "files"),
    [
        ([], [[]]),
        ([1, 2, 3], [[0, 1, 2]]),
        ([6, 4, 1], [[0, 1], [2]]),
        ([6, 6, 6], [[0], [1], [2]]),
        ([6, 11, 4, 10], [[0, 2], [3]]),
        ([11], []),
        ([0], [[0]]),
    ],
)
def test_mail_is_put_into_files(sizes: list[int], files: list[list[int]]) -> None:
    assert volumes(sizes, 10) == files


async def test_mail_of_a_busy_month_comes_in_parts(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "WHOLE", 10_000)
    mail = [letter(n, "x" * 4000) for n in range(5)] + [letter(5, "x" * 20_000)]
    mail += [answer(n, "y" * 4000) for n in range(6, 9)]
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, mail) as pages:
            page = (await got(pages, "2020-01.html")).body.decode()
            links = re.findall('href="(2020-01[0-9.]*[.]mbox[.]gz)"', page)
            assert links == [f"2020-01{n}.mbox.gz" for n in ("", ".2", ".3", ".4")]
            found = [gzip.decompress((await got(pages, link)).body) for link in links]
            assert all(each.count(b"\nSubject: ") <= 2 for each in found)
            whole = b"".join(found)
            assert all(each in whole for each in mail if len(each) < 10_000)
            assert mail[5] not in whole
            assert re.search('over [^<]*: <a href="message/[^"]*">number 5</a>', page)
            request = Request(method="GET", path="/archives/cats/2020-01.5.mbox.gz")
            assert await pages(request, "cats/2020-01.5.mbox.gz") is None
            first = await got(pages, links[0])
            tag = next(value for name, value in first.headers if name == "ETag")
            assert (await got(pages, links[0], tag)).status == 304
            thread = re.findall(
                'href="thread/([^"]*)[.]html"', (await got(pages, "")).body.decode()
            )
            page = (await got(pages, f"thread/{thread[0]}.html")).body.decode()
            links = re.findall('href="([^"]*[.]mbox[.]gz)"', page)
            assert links == [f"{thread[0]}.mbox.gz", f"{thread[0]}.2.mbox.gz"]
            row = row_of(anna, "cats")
            units = [path async for path, _ in pages.units(row) if path.endswith(".mbox.gz")]
            assert sorted(units) == sorted(
                [f"2020-01{n}.mbox.gz" for n in ("", ".2", ".3", ".4")]
                + [f"thread/{each}" for each in links]
            )


def answer(number: int, text: str) -> bytes:
    """An answer to the message of number 4."""
    return letter(number, text).replace(b"\n\n", b"\nIn-Reply-To: <4@example.org>\n\n", 1)
