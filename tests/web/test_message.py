"""The page of one message: who signed it, what it claims, what of it is not shown."""

import html
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import trio

from node.crypto import keys
from node.encoding import names
from node.mail import original, people, posted
from node.objects import content
from node.ports import Request, Response
from node.units import Instant
from node.web import letters
from node.web.opened import Pages
from tests.fakes.ports import InlineThreads
from tests.fakes.taking_apart import InlineReader
from tests.fakes.world import Machine, world
from tests.services.shelves import letter, log_of, published, row_of

K = bytes(32)
FOL, ANNA = bytes(range(32)), bytes(range(1, 33))
FROM_ANNA = "anna <anna@example.org>"


def did(seed: bytes) -> str:
    return names.did(keys.public(seed))


def signed(sender: str, seed: bytes = FOL, text: str = "words") -> bytes:
    """A letter to a list, as it stands there."""
    written = (
        f"From: {sender}\r\nDate: Thu, 2 Jan 2020 12:00:00 +0000\r\nSubject: said\r\n"
        f"Message-ID: <{len(text)}@x>\r\n\r\n{text}\r\n"
    ).encode()
    root = content.seal_body(K, keys.public(seed), Instant(5), written, seed)
    return posted.wrap(written, original.proof(root, K))


@asynccontextmanager
async def shown(machine: Machine, folder: Path, mail: Sequence[bytes]) -> AsyncIterator[Pages]:
    """The pages of a node with an archive of this mail."""
    await published(machine, "cats", mail)
    async with opened(machine, folder) as pages:
        yield pages


def opened(machine: Machine, folder: Path, feeds: InlineReader | None = None) -> "aclosing[Pages]":
    """The pages of a node."""
    readers = (InlineReader(), feeds or InlineReader(), InlineReader())
    return aclosing(Pages(machine.on.core, folder, InlineThreads(), readers))


async def got(pages: Pages, path: str, etag: str = "") -> Response:
    request = Request(method="GET", path=f"/archives/cats/{path}", if_none_match=etag)
    found = await pages(request, f"cats/{path}".partition("?")[0])
    assert found is not None, path
    return found


async def words(pages: Pages, path: str) -> str:
    """What a person reads of a page, in one line."""
    body = (await got(pages, path)).body.decode()
    body = re.sub("(?s)<style>.*?</style>|</?(?:span|code|b|a)[^>]*>", "", body)
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", body)).split())


async def messages(pages: Pages) -> list[str]:
    """The paths of messages, the newest first."""
    found = json.loads((await got(pages, "feed.json")).body)["items"]
    return ["message/" + str(each["url"]).rpartition("/")[2] for each in found]


async def of(folder: Path, mail: bytes) -> tuple[str, list[str]]:
    """The page of a message alone in its archive, and its author in both feeds."""
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, folder, [mail]) as pages:
            page = await words(pages, (await messages(pages))[0])
            item = json.loads((await got(pages, "feed.json")).body)["items"][0]
            entry = Xml.fromstring((await got(pages, "feed.atom")).body).find("{*}entry")
            assert entry is not None
            return page, [item["authors"][0]["name"], entry.findtext("{*}author/{*}name") or ""]


async def test_a_forged_author_is_a_claim(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    page, authors = await of(tmp_path, signed(FROM_ANNA))
    assert f"Signed by {did(FOL)}" in page
    assert "From anna <anna@…> (as it claims)" in page
    assert authors == [f"anna (claimed), signed by …{did(FOL)[-8:]}"] * 2


async def test_an_author_who_signed(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    page, authors = await of(
        tmp_path, signed(f"fol <{people.spell(f'{did(FOL)}@127.0.0.1:4628')}>")
    )
    assert f"Signed by {did(FOL)}" in page
    assert "as it claims" not in page
    assert authors == [f"fol, signed by …{did(FOL)[-8:]}"] * 2


@pytest.mark.parametrize(
    "sender",
    [
        f"anna <{people.spell(f'{did(ANNA)}@127.0.0.1:4628')}>",
        f"anna@example.org <{people.spell(f'{did(FOL)}@127.0.0.1:4628')}>",
    ],
)
async def test_another_one_beside_the_signer(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, sender: str
) -> None:
    page, _ = await of(tmp_path, signed(sender))
    assert f"Signed by {did(FOL)}" in page
    assert "(as it claims)" in page


@pytest.mark.parametrize(
    "changed",
    [
        (b"\r\nwords\r\n", b"\r\nsword\r\n"),
        (b"From: anna", b"From: ben!"),
        (b"Subject: said\r\n", b"Subject: said\r\nX: y\r\n"),
        (b"MIME-Version", b"X: y\r\nMIME-Version"),
    ],
)
async def test_a_letter_that_was_changed_is_signed_by_nobody(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, changed: tuple[bytes, bytes]
) -> None:
    raw = signed(FROM_ANNA).replace(*changed, 1)
    assert raw != signed(FROM_ANNA)
    page, authors = await of(tmp_path, raw)
    assert "Signed by" not in page
    assert "(as it claims)" in page
    assert all(each.endswith("(claimed)") for each in authors)


async def test_a_proof_of_something_else(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    proof = posted.unwrap(signed(FROM_ANNA, text="other words"))
    letter = posted.unwrap(signed(FROM_ANNA))
    assert letter is not None
    assert proof is not None
    page, authors = await of(tmp_path, posted.wrap(letter[0], proof[1]))
    assert "the author's signature does not hold" in page
    assert "Signed by" not in page
    assert authors == ["anna (claimed)"] * 2


async def test_a_letter_that_is_too_large_to_be_checked(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "WHOLE", 100)
    page, _ = await of(tmp_path, signed(FROM_ANNA))
    assert "signature is not checked here: it is too large" in page
    assert "Signed by" not in page


async def test_imported_mail_is_signed_by_nobody(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    page, authors = await of(tmp_path, letter(1))
    assert "Signed by" not in page
    assert "From a@… (as it claims)" in page
    assert authors == ["a@… (claimed)"] * 2


async def test_lists_say_once_that_names_are_claims(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, [letter(1), letter(2)]) as pages:
            for path in ("", "2020-01.html", "search?q=number"):
                assert (await words(pages, path)).count("what messages say of themselves") == 1


async def test_the_letter_says_its_header_fields_once(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    page, _ = await of(tmp_path, signed(FROM_ANNA))
    assert page.count("Thu, 2 Jan 2020") == 1


async def test_a_text_that_is_cut_says_so(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    page, _ = await of(tmp_path, letter(1, "word " * 400_000))
    assert "only the first 1024 KiB are shown; the message itself has all of it" in page


@pytest.mark.parametrize(("size", "cut"), [(1000, False), (600_000, True), (2_000_000, True)])
async def test_html_that_is_cut_says_so(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, size: int, cut: bool
) -> None:
    head = letter(1).partition(b"\n\n")[0] + b"\nContent-Type: text/html\n\n"
    async with world() as w:
        anna = await w.add("anna")
        mail = head + b"<p>word</p>" * (size // 11)
        async with shown(anna, tmp_path, [mail]) as pages:
            (path,) = await messages(pages)
            page = await words(pages, path.replace(".html", ".body.html"))
            assert ("Only its beginning is shown; the message itself has all of it." in page) == cut


async def test_addresses_in_names_of_files(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    head = letter(1).partition(b"\n\n")[0]
    kind = b"\nContent-Type: x/ben@private.example; charset=x\nContent-Disposition: attachment;"
    mail = head + kind + b' filename="sara.hidden@private.example.txt"\n\nx\n'
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, [mail]) as pages:
            (path,) = await messages(pages)
            page = (await got(pages, path)).body.decode()
            assert 'download="sara.hidden@….txt"' in page
            assert "private" not in page
            file = await got(pages, path.replace(".html", "/1.bin"))
            assert "private" not in str(file.headers)


async def test_a_reader_of_this_node_is_led_nowhere_else(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, [letter(1)]) as pages:
            here, url = (
                (row_of(anna, "cats"), log_of(anna, "cats")),
                "http://localhost/reading/t/cats/",
            )
            request = Request(method="GET", path="/reading/t/cats/")
            page = await pages.to_reader(request, here, url, "")
            assert page is not None
            assert b"all archives" not in page.body
            assert b"all archives" in (await got(pages, "")).body


async def test_a_conversation_that_is_cut_says_so(
    autojump_clock: trio.testing.MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "THREAD", 2)
    answers = [letter(0), *(_answer(number) for number in (1, 2))]
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path, answers) as pages:
            page = await words(pages, (await messages(pages))[0])
            assert "The conversation, the first 2 of more" in page
            assert "number 1" in page
    async with world() as w:
        anna = await w.add("anna")
        async with shown(anna, tmp_path / "again", answers[:2]) as pages:
            assert "of more" not in await words(pages, (await messages(pages))[0])


def _answer(number: int) -> bytes:
    return b"In-Reply-To: <0@example.org>\n" + letter(number)
