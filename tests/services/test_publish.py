"""Published archives: what is served is what was added, whatever happens in between."""

import pytest
import trio

from node.archive import note
from node.crypto.note import parse_verifier
from node.encoding import car
from node.encoding import cid as cids
from node.errors import Absent, Conflict, Malformed, NoContact, StoreFailed, Usage
from node.limits import CAR
from node.machines.rows import Item
from node.objects import answer
from node.objects.answer import Wanted
from node.ports import Request
from node.services import library
from node.services.library import Library
from node.services.static import Static
from node.units import ByteCount
from tests.archive import independent
from tests.fakes.world import Machine, world
from tests.services.shelves import added, fetched, get, letter, log_of, published, row_of, verified

LARGE = b"From: a@example.org\nDate: Thu, 2 Jan 2020 12:00:00 +0000\n\n" + bytes(3 << 20)
MIDDLE = b"From: a@example.org\nDate: Thu, 2 Jan 2020 12:00:00 +0000\n\n" + b"m" * 60_000


def items(machine: Machine, name: str) -> list[Item]:
    row = row_of(machine, name)
    return machine.on.core.db.read(lambda tx: list(library.items_of(tx, row)))


BROKEN = [b"", b"\0", b"no header at all\n", b"From: a\n\nno date", b"Date: never\nFrom: a\n\n"]


async def test_what_is_added_is_served(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        contents = [letter(n) for n in range(600)] + [MIDDLE, LARGE, *BROKEN]
        await published(anna, "cats", contents[:3])
        tally = await added(anna, "cats", contents)
        assert (tally.added, tally.known, tally.broken) == (len(contents) - 3, 3, len(BROKEN))
        assert (tally.size, tally.which) == (len(contents), list(range(602, 607)))
        found = await verified(anna, "cats")
        assert list(found.contents.values()) == contents
        assert [entry["date"] > 0 for entry in found.entries] == [True] * 602 + [False] * 3 + [
            False,
            False,
        ]
        again = await added(anna, "cats", contents)
        assert (again.added, again.known, again.broken) == (0, len(contents), len(BROKEN))


async def test_the_same_bytes_are_the_same_message(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(1)])
        await trio.sleep(86_400)
        await published(anna, "dogs", [letter(2), letter(1)])
        names = [[item.message for item in items(anna, name)] for name in ("cats", "dogs")]
        assert names[0] == names[1][1:]
        # One copy; it stays as long as one of them has it.
        await anna.on.publisher.drop(anna.owner(), "cats")
        assert (await verified(anna, "dogs")).size == 2
        await anna.on.publisher.drop(anna.owner(), "dogs")
        assert not anna.on.core.db.read(lambda tx: list(tx.items.scan()))
        assert (await get(anna, f"/ipfs/{cids.show(names[0][0])}")).status == 404


async def test_nothing_is_served_before_it_is_published(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await anna.on.publisher.create(anna.owner(), "cats")
        await added(anna, "cats", [letter(1)])
        row = row_of(anna, "cats")
        item = anna.on.core.db.read(lambda tx: next(library.items_of(tx, row)))
        block = f"/ipfs/{cids.show(item.message)}"
        for path in ("/archives/cats/checkpoint", "/archives/cats/tile/0/000.p/1", block):
            assert (await get(anna, path)).status == 404
        request = Request(
            method="POST",
            path="/v1/blocks",
            body=answer.encode_wanted([Wanted(ticket=None, cids=(item.message,))]),
        )
        assert (await anna.on.peers.answer(request, "127.0.0.9")).status == 404
        await anna.on.publisher.publish(anna.owner(), "cats")
        assert (await get(anna, block)).status == 200
        many = await anna.on.peers.answer(request, "127.0.0.9")
        assert [name for name, _ in car.read(many.body)] == [item.message]


async def test_tags_and_lifetimes(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(300)])
        served = await fetched(anna, "cats", log_of(anna, "cats"))
        assert len(served) == 2 + 2 + 3 + 300
        for path in served:
            first = await get(anna, path)
            headers = dict(first.headers)
            lifetime = headers["Cache-Control"]
            assert lifetime.startswith("public, max-age=")
            assert ("immutable" in lifetime) == ("/tile/" in path)
            assert headers["ETag"].startswith('"')
            for asked in (headers["ETag"], f"W/{headers['ETag']}", f'"x", {headers["ETag"]}', "*"):
                again = await get(anna, path, asked)
                assert (again.status, again.body) == (304, b"")
                assert dict(again.headers)["ETag"] == headers["ETag"]
            assert (await get(anna, path, '"other"')).status == 200
        before = dict((await get(anna, "/archives/cats/checkpoint")).headers)["ETag"]
        await added(anna, "cats", [letter(300)])
        after = await get(anna, "/archives/cats/checkpoint", before)
        assert after.status == 200


async def test_an_answer_says_how_long_it_holds(autojump_clock: trio.testing.MockClock) -> None:
    """A server may repeat it without asking until there is another head."""
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(1)])
        answer = await get(anna, "/archives/cats/checkpoint")
        assert answer.holds is not None
        assert answer.holds()
        await added(anna, "cats", [letter(2)])
        assert not answer.holds()
        later = await get(anna, "/archives/cats/1/checkpoint")
        assert later.holds is not None
        assert later.holds()
        await anna.on.publisher.drop(anna.owner(), "cats")
        assert not later.holds()
        assert not answer.holds()


@pytest.mark.parametrize(
    "path",
    [
        "/archives/", "/archives/cats/checkpoint/", "/archives/cats/tile/0/001",
        "/archives/cats/tile/0/000.p/4", "/archives/cats/tile/1/000.p/1", "/archives/cats/tile/",
        "/archives/cats/tile/0/000.p/0", "/archives/cats/tile/0/0", "/archives/cats/2/checkpoint",
        "/archives/cats/0/checkpoint", "/archives/cats/01/checkpoint", "/archives/cats/-1/about",
        "/archives/cats/tile/entries/x999/x999/x999/999", "/archives/cats/../cats/checkpoint",
        "/archives/cats/99999999999999999999/about", "/archives//checkpoint",
        "/archives/cats/tile/entries/000.p/" + "9" * 4000, "/archives/%63ats/about",
        "/archives/cats/tile/64/000", "/archives/cats/checkpoint%00", "/ipfs/", "/ipfs/x",
        "/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "/ipfs/" + "b" + "a" * 58,
        "/archives/" + "a" * 5000 + "/checkpoint",
    ],
)  # fmt: skip
async def test_absurd_paths(autojump_clock: trio.testing.MockClock, path: str) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(3)])
        assert (await get(anna, path)).status == 404


async def test_a_block_as_a_car(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [LARGE])
        row = row_of(anna, "cats")
        item = anna.on.core.db.read(lambda tx: next(library.items_of(tx, row)))
        path = f"/ipfs/{cids.show(item.message)}"
        raw = await get(anna, path)
        assert raw.content_type == "application/vnd.ipld.raw"
        whole = await get(anna, path + "?format=car")
        for same in (
            await get(anna, path + "?format=car&dag-scope=all"),
            await get(anna, path, accept="application/vnd.ipld.car; version=1"),
        ):
            assert same == whole
        one = await get(anna, path + "?format=car&dag-scope=block")
        assert car.read(one.body) == [(item.message, raw.body)]
        assert len(whole.body) > 3 << 20
        assert await get(anna, path + "?format=raw", accept="application/vnd.ipld.car") == raw
        for answer in (raw, whole, one):
            tag = dict(answer.headers)["ETag"]
            asked = path if answer is raw else path + "?format=car"
            again = await get(anna, asked, etag=tag)
            assert again.status == 304
            assert ("Vary", "Accept") in answer.headers
            assert ("Vary", "Accept") in again.headers


async def test_a_car_is_no_larger_than_an_answer_may_be(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [LARGE, LARGE + bytes(CAR - len(LARGE))])
        middle, huge = items(anna, "cats")
        path = f"/ipfs/{cids.show(middle.message)}"
        car_ = Request(method="GET", path=f"{path}?format=car", room=ByteCount(2 << 20))
        later = await anna.on.peers.answer(car_, "127.0.0.9")
        assert later.status == 429
        path = f"/ipfs/{cids.show(huge.message)}"
        never = await get(anna, f"{path}?format=car")
        assert never.status == 404
        assert b"one by one" in never.body
        assert (await get(anna, f"{path}?format=car&dag-scope=block")).status == 200
        part = huge.parts[-1]
        assert (await get(anna, f"/ipfs/{cids.show(part)}?format=car")).status == 200


async def test_removal(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(1), LARGE, letter(3)])
        row = row_of(anna, "cats")
        gone = anna.on.core.db.read(lambda tx: library.item_of(tx, row, "1"))
        for reason in ("", "a\u202eb", "a\nb", "a" * 201):  # what followers refuse
            with pytest.raises(Malformed, match="on one line, and no control"):
                await anna.on.publisher.remove(anna.owner(), "cats", "1", reason)
        assert log_of(anna, "cats").size == 3
        await anna.on.publisher.remove(anna.owner(), "cats", "1", "asked for")
        item = anna.on.core.db.read(lambda tx: library.item_of(tx, row, "1"))
        assert item.state == "removed"
        found = await verified(anna, "cats")
        assert (found.size, len(found.contents)) == (4, 2)
        said = found.entries[3]
        assert (said["kind"], said["index"], said["reason"]) == ("removal", 1, "asked for")
        for name in (gone.message, *gone.parts):
            assert (await get(anna, f"/ipfs/{cids.show(name)}")).status in (404, 410)
        assert (await get(anna, f"/ipfs/{cids.show(gone.message)}")).status == 410
        with pytest.raises(Conflict):
            await anna.on.publisher.remove(anna.owner(), "cats", cids.show(gone.message), "again")
        with pytest.raises(Absent):
            await anna.on.publisher.remove(anna.owner(), "cats", "17", "never there")
        with pytest.raises(Absent):
            async for _ in Library(anna.on.core).content(item):
                pass
        # What was removed does not come back by being imported again.
        assert (await added(anna, "cats", [LARGE])).known == 1
        await trio.sleep(24 * 3600)
        assert anna.files._blocks == {}


async def test_a_new_epoch(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(1), letter(2)])
        old = await verified(anna, "cats")
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        await anna.on.publisher.publish(anna.owner(), "cats")
        await added(anna, "cats", [letter(2), letter(3)])
        new = await verified(anna, "cats")
        assert (new.size, list(new.contents.values())) == (1, [letter(3)])
        about = independent.about((await get(anna, "/archives/cats/about")).body)
        assert about["epoch"] == 2
        assert about["previous"] == {"epoch": 1, "size": 2, "root": old.root}
        first = independent.about((await get(anna, "/archives/cats/1/about")).body)
        note_of_old = (await get(anna, "/archives/cats/1/checkpoint")).body
        assert independent.checkpoint(note_of_old, first["vkey"]) == (2, old.root)
        assert first["vkey"] != about["vkey"]
        assert (await get(anna, "/archives/cats/2/checkpoint")).body == (
            await get(anna, "/archives/cats/checkpoint")
        ).body


async def test_names(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        ben = await anna.another("ben")
        publisher = anna.on.publisher
        await published(anna, "cats")
        with pytest.raises(Conflict):
            await publisher.create(anna.owner(), "cats")
        with pytest.raises(Usage):
            await publisher.create(anna.owner(), "no/such")
        for beside in ("index.html", "archives.opml"):
            with pytest.raises(Usage, match="a file beside the archives"):
                await publisher.create(anna.owner(), beside)
        with pytest.raises(NoContact):
            await publisher.publish(anna.owner(), "dogs")
        # Another owner has its own names, but there is one address.
        await publisher.create(ben, "cats")
        with pytest.raises(Conflict):
            await publisher.publish(ben, "cats")
        await publisher.drop(anna.owner(), "cats")
        await publisher.publish(ben, "cats")


async def test_a_node_that_moved_says_so(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(1)])
        before = independent.about((await get(anna, "/archives/cats/about")).body)
        await w.off(anna)
        w.move(anna, "127.0.0.77:4625")
        await w.back(anna)
        about = independent.about((await get(anna, "/archives/cats/about")).body)
        assert about["origins"] == ["127.0.0.77:4625"]
        assert about["vkey"] == before["vkey"]
        assert (await verified(anna, "cats")).size == 1


async def test_a_crash_at_any_write_leaves_a_valid_log(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And no checkpoint that was served is ever taken back or changed (I15)."""
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(250)])
        served: dict[int, bytes] = {}

        async def look() -> None:
            body = (await get(anna, "/archives/cats/checkpoint")).body
            vkey = parse_verifier(
                independent.about((await get(anna, "/archives/cats/about")).body)["vkey"]
            )
            said = note.verify(body, vkey)
            assert served.setdefault(said.size, said.root) == said.root

        count = 250
        for life in range(12):
            anna.slow = 0.5
            await look()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def crash(scope: trio.CancelScope = scope, life: int = life) -> None:
                        await trio.sleep(0.1 + life * 0.17)
                        anna.crash()
                        scope.cancel()

                    async def work(count: int = count) -> None:
                        for step in (1, 5, 1):
                            fresh = [letter(n) for n in range(count, count + step)]
                            try:
                                await added(anna, "cats", fresh)
                            except (StoreFailed, AssertionError):
                                return
                            await look()

                    nursery.start_soon(crash)
                    nursery.start_soon(work)
            await w.back(anna)
            anna.slow = 0.0
            await look()
            assert await anna.complaints() == []
            size = (await verified(anna, "cats")).size
            assert size >= max(served)
            count = size
        assert count > 250


async def test_a_disk_that_fails(autojump_clock: trio.testing.MockClock) -> None:
    """Nothing of it is served, nobody is told that it was added, and it can be added again."""
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(3)])
        head = (await get(anna, "/archives/cats/checkpoint")).body
        anna.kv.fail_next()
        with pytest.raises(StoreFailed):
            await added(anna, "cats", [letter(9)])
        assert (await get(anna, "/archives/cats/checkpoint")).body == head
        assert (await added(anna, "cats", [letter(9)])).added == 1
        assert (await verified(anna, "cats")).size == 4


async def test_files_are_what_is_served(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(260)] + [LARGE])
        await anna.on.publisher.remove(anna.owner(), "cats", "7", "asked for")
        static, files = Static(anna.on.core, anna.on.desk), dict[str, bytes]()
        async for unit in static.units(row_of(anna, "cats")):
            if unit.data is not None:
                files[unit.name] = unit.data
            async for file in static.files(row_of(anna, "cats"), [unit.name]):
                files[file.path] = file.data
        for path, data in files.items():
            assert (await get(anna, f"/{path}")).body == data, path
        assert list(files)[-1] == "archives/cats/checkpoint"
        found = independent.verify(lambda path: files[path[1:]], "/archives/cats/")
        assert (found.size, len(found.contents)) == (262, 260)


async def test_a_read_of_entries(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna = await w.add("anna")
        await published(anna, "cats", [letter(n) for n in range(600)])
        reading, row = Library(anna.on.core), row_of(anna, "cats")
        assert [e.index for e in reading.entries(row, 250, 10)] == list(range(250, 260))
        assert [e.index for e in reading.entries(row, 598, 10)] == [598, 599]
        assert reading.entries(row, 600, 10) == []
        item = reading.item(row, "300")
        assert reading.item(row, cids.show(item.message)) == item
        assert reading.item(row, cids.show(item.message)[-10:]) == item
        content = b"".join([piece async for piece in reading.content(item)])
        assert content == letter(300)
        for ref in ("600", "x", "", "a" * 59, "1" * 20):
            with pytest.raises(Absent):
                reading.item(row, ref)
