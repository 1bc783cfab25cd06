"""Followed archives: what is believed, and what is not."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
import trio

from node.archive import note, place
from node.archive.note import Checkpoint
from node.encoding import cid as cids
from node.errors import (
    Conflict,
    Malformed,
    Refused,
    StoreFailed,
    Unreachable,
    Unverified,
    Usage,
    WillcallError,
)
from node.machines.rows import Archive, Item
from node.objects import archive as abouts
from node.ports import Request, Response
from node.services import library
from node.services.catchup import Polled
from node.services.library import Library
from node.units import Instant
from tests.fakes.world import Machine, until, world
from tests.services.shelves import added, get, letter, log_of, published, row_of, verified

LARGE = b"From: a@example.org\nDate: Thu, 2 Jan 2020 12:00:00 +0000\n\n" + bytes(3 << 20)


def url(machine: Machine, name: str) -> str:
    return f"http://{machine.origin}/archives/{name}/"


async def follow(by: Machine, *urls: str, name: str | None = None) -> Archive:
    return await by.on.follower.follow(by.owner(), list(urls), name)


async def poll(by: Machine, name: str) -> Polled:
    return await by.on.follower.poll(row_of(by, name))


def items(machine: Machine, name: str) -> list[Item]:
    row = row_of(machine, name)
    return machine.on.core.db.read(lambda tx: list(library.items_of(tx, row)))


async def contents(machine: Machine, name: str) -> list[bytes]:
    reading, found = Library(machine.on.core), []
    for item in items(machine, name):
        if item.state == "here":
            found.append(b"".join([piece async for piece in reading.content(item)]))
    return found


async def test_a_follower_has_every_byte(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        sent = [letter(n) for n in range(300)] + [LARGE, b"", b"\0broken"]
        await published(anna, "cats", sent)
        row = await follow(ben, url(anna, "cats"))
        assert (row.name, row.publisher) == ("cats", anna.owner().owner)
        polled = await poll(ben, "cats")
        assert (polled.before, polled.after, polled.verified) == (0, 303, True)
        assert await contents(ben, "cats") == sent
        assert log_of(ben, "cats").note == log_of(anna, "cats").note
        assert await ben.on.follower.verify(row_of(ben, "cats")) == (303, 303, 0)
        # Nothing new: one request. Ten new ones: three.
        assert (await poll(ben, "cats")).requests == 1
        await added(anna, "cats", [letter(n) for n in range(300, 310)])
        polled = await poll(ben, "cats")
        assert (polled.before, polled.after, polled.requests) == (303, 313, 3)
        assert await ben.complaints() == []
        # Following leaves nothing at the operator.
        assert anna.on.core.db.read(lambda tx: list(tx.peers.scan())) == []


async def test_it_goes_on_by_itself_and_politely(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(1)])
        await follow(ben, url(anna, "cats"))
        await until(lambda: len(items(ben, "cats")) == 1 and items(ben, "cats")[0].state == "here")
        w.net.calls.clear()
        await trio.sleep(24 * 3600)
        asked = [path for _, to, path in w.net.calls if to == anna.origin and "archives" in path]
        assert 80 < len(asked) < 120  # every quarter of an hour, one conditional request
        await added(anna, "cats", [letter(2)])
        await until(lambda: len(items(ben, "cats")) == 2)
        await w.off(anna)
        w.net.calls.clear()
        await trio.sleep(7 * 24 * 3600)
        asked = [path for _, to, path in w.net.calls if to == anna.origin and "archives" in path]
        assert 5 < len(asked) < 25  # twice as late each time, then daily
        await w.back(anna)
        await added(anna, "cats", [letter(3)])
        await until(lambda: len(items(ben, "cats")) == 3, seconds=3 * 24 * 3600)


async def test_a_mirror_serves_what_it_verified(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        sent = [letter(n) for n in range(260)] + [LARGE]
        await published(anna, "cats", sent)
        await follow(ben, url(anna, "cats"), name="felines")
        await poll(ben, "felines")
        assert (await get(ben, "/archives/felines/checkpoint")).status == 404
        await ben.on.publisher.publish(ben.owner(), "felines")
        found = await verified(ben, "felines")
        assert list(found.contents.values()) == sent
        # A third follows the mirror alone, then both; it is the same archive.
        await w.off(anna)
        await follow(carl, url(ben, "felines"))
        assert (await poll(carl, "cats")).after == 261
        assert await contents(carl, "cats") == sent
        await w.back(anna)
        again = await follow(carl, url(anna, "cats"), name="cats")
        assert again.urls == (url(ben, "felines"), url(anna, "cats"))
        await added(anna, "cats", [letter(900)])
        await poll(carl, "cats")
        assert (await poll(carl, "cats")).after == 262
        # Removal reaches them all.
        gone = items(anna, "cats")[3].message
        await anna.on.publisher.remove(anna.owner(), "cats", "3", "asked for")
        for who, name in ((ben, "felines"), (carl, "cats")):
            await poll(who, name)
            assert items(who, name)[3].state == "removed"
        assert (await get(ben, f"/ipfs/{cids.show(gone)}")).status == 410
        assert (await verified(ben, "felines")).size == 263


async def test_several_addresses_and_names(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(1)])
        await published(anna, "dogs", [letter(2)])
        key = anna.owner().owner
        dead = "http://127.0.0.200:4625/archives/cats/"
        row = await follow(ben, dead, place.link(url(anna, "cats"), key))
        assert (row.publisher, len(row.urls)) == (key, 2)
        assert (await poll(ben, "cats")).after == 1
        with pytest.raises(Unverified):
            await follow(ben, place.link(url(anna, "dogs"), ben.owner().owner))
        with pytest.raises(Conflict):
            await follow(ben, url(anna, "dogs"), name="cats")
        with pytest.raises(Usage, match="a file beside the archives"):
            await follow(ben, url(anna, "dogs"), name="index.html")
        with pytest.raises(Unreachable):
            await follow(ben, dead, name="x")
        with pytest.raises(Unreachable):
            await follow(ben, url(anna, "mice"))
        with pytest.raises(Malformed):
            await follow(ben, "cats")
        async with ben.on.follower.ended(ben.owner(), "cats") as row:
            await ben.on.publisher.drop(ben.owner(), row.name)
        assert ben.on.core.db.read(lambda tx: list(tx.items.scan())) == []


async def test_addresses_of_two_archives(autojump_clock: trio.testing.MockClock) -> None:
    """Whoever answers must serve one and the same log; silence may come to it later."""
    async with world() as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        for who, name in ((anna, "cats"), (anna, "dogs"), (ben, "cats")):
            await published(who, name, [letter(1)])
        cats, dead = url(anna, "cats"), "http://127.0.0.200:4625/archives/cats/"
        for other in (url(anna, "dogs"), url(ben, "cats")):
            for both in ((cats, other), (other, cats), (dead, cats, other)):
                with pytest.raises(Unverified, match="another archive") as found:
                    await follow(carl, *both)
                assert "willcall archive follow" in (found.value.next or "")
        keys = anna.owner().owner, ben.owner().owner
        with pytest.raises(Unverified):  # two links, and one of them is wrong
            await follow(carl, *(place.link(cats, key) for key in keys))
        await follow(carl, cats, dead)
        for other in (url(anna, "dogs"), url(ben, "cats")):
            with pytest.raises((Conflict, Unverified)):
                await follow(carl, other, name="cats")
        assert row_of(carl, "cats").urls == (cats, dead)
        # The same words, and another key that signs: nobody's mirror.
        log = log_of(anna, "cats")
        about = replace(library.about_of(log), vkey=library.about_of(log_of(ben, "cats")).vkey)
        forged = abouts.sign(about, anna.owner().signing)
        Liar(ben).tell(
            lambda path, a: replace(a, body=forged) if path.endswith("/cats/about") else None
        )
        with pytest.raises(Unverified, match="another archive"):
            await follow(carl, cats, url(ben, "cats"), name="x")
        with pytest.raises(Conflict):
            await follow(carl, url(ben, "cats"))


async def test_killed_in_the_middle(autojump_clock: trio.testing.MockClock) -> None:
    """It goes on where it was: no bundle and no body is fetched twice, but those under way."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        sent = [letter(n) for n in range(3000)]
        await published(anna, "cats", sent)
        await follow(ben, url(anna, "cats"))
        await ben.flushed()
        w.net.calls.clear()
        for life in range(8):
            ben.slow = 0.02
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def crash(scope: trio.CancelScope = scope, life: int = life) -> None:
                        await trio.sleep(0.05 + 0.06 * life)
                        ben.crash()
                        scope.cancel()

                    nursery.start_soon(crash)
                    with suppress(WillcallError):
                        await poll(ben, "cats")
            await w.back(ben)
            assert await ben.complaints() == []
        ben.slow = 0.0
        assert (await poll(ben, "cats")).after == 3000
        assert await contents(ben, "cats") == sent
        assert len(w.net.calls) < 120


async def test_any_write_may_fail(autojump_clock: trio.testing.MockClock) -> None:
    """It is told as what it is; nothing is believed that is not here; the next poll mends it."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        sent = [letter(n) for n in range(600)] + [LARGE]
        await published(anna, "cats", sent)
        failed = 0
        for number in range(1, 40):
            name = f"cats-{number}"
            await follow(ben, url(anna, "cats"), name=name)
            await ben.flushed()
            ben.slow = 0.02
            ben.kv.fail_at(number)
            try:
                polled = await poll(ben, name)
            except StoreFailed:
                failed += 1
            else:
                assert (polled.after, polled.missing) == (601, 0)
            ben.slow = 0.0
            ben.kv.heal()
            await ben.on.follower.again(row_of(ben, name))
            assert (await poll(ben, name)).verified
            assert await contents(ben, name) == sent
            assert await ben.on.follower.verify(row_of(ben, name)) == (601, 601, 0)
            async with ben.on.follower.ended(ben.owner(), name):
                await ben.on.publisher.drop(ben.owner(), name)
        assert failed > 5
        assert await ben.complaints() == []


# --- liars ---------------------------------------------------------------------------------


Lie = Callable[[str, Response], Response | None]


class Liar:
    """What a node answers is changed on its way."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._honest = machine, machine.on.peers.answer
        self.lie: Lie = lambda _path, _answer: None

    def tell(self, lie: Lie) -> None:
        """From now on."""

        async def answer(request: Request, source: str) -> Response:
            honest = await self._honest(replace(request, if_none_match=""), source)
            return lie(request.path, honest) or honest

        object.__setattr__(self._machine.on.peers, "answer", answer)

    def stop(self) -> None:
        object.__setattr__(self._machine.on.peers, "answer", self._honest)


def head(machine: Machine, size: int, root: bytes, *, seed: bytes | None = None) -> bytes:
    log = log_of(machine, "cats")
    said = Checkpoint(origin=log.origin, size=size, root=root)
    return note.sign(said, log.signing if seed is None else seed)


async def refused(w: Machine, kind: type[WillcallError] = WillcallError) -> str:
    with pytest.raises(kind) as found:
        await poll(w, "cats")
    return found.value.reason


async def test_heads_that_are_not_believed(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(n) for n in range(3)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        before, liar = log_of(ben, "cats"), Liar(anna)
        older = before.note
        await added(anna, "cats", [letter(n) for n in range(3, 300)])

        def heads(data: bytes) -> Lie:
            return lambda path, a: replace(a, body=data) if path.endswith("checkpoint") else None

        good = log_of(anna, "cats").note
        for data, reason in (
            (head(anna, 300, b"r" * 32, seed=b"s" * 32), "forged"),
            (good.replace(b"\n300\n", b"\n301\n"), "forged"),
            (good.replace(b"/cats/1\n", b"/dogs/1\n", 1), "another-log"),
            (good[:-9], "malformed"),
            (b"", "malformed"),
            (b"x" * 20_000, "too-large-answer"),
            (good.replace(b"\n300\n", b"\n" + b"9" * 30 + b"\n"), "malformed"),
            (head(anna, 2**47, b"r" * 32), "not-here"),
        ):  # fmt: skip
            liar.tell(heads(data))
            assert await refused(ben) == reason, data[:80]
            assert log_of(ben, "cats").size == 3
        liar.stop()
        assert (await poll(ben, "cats")).after == 300
        # Rolled back: the older head is no proof of anything; the newer one stays.
        liar.tell(heads(older))
        with pytest.raises(Unverified, match="of size 3, after one of 300") as found:
            await poll(ben, "cats")
        assert found.value.reason == "rolled-back"
        assert "willcall archive follow URL" in (found.value.next or "")
        assert row_of(ben, "cats").reason
        liar.stop()
        assert (await poll(ben, "cats")).after == 300
        assert row_of(ben, "cats").reason is None


async def test_tiles_and_bundles_that_are_not_believed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(n) for n in range(3)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await added(anna, "cats", [letter(n) for n in range(3, 600)])
        liar = Liar(anna)

        def bundles(change: Callable[[bytes], bytes]) -> Lie:
            return lambda path, a: (
                replace(a, body=change(a.body)) if "/entries/001" in path else None
            )

        for change in (
            lambda data: data[:-1],
            lambda data: data[: len(data) // 2],
            lambda data: b"",
            lambda data: data + b"\0\0",
            lambda data: data + data,
            lambda data: bytes(20 << 20),
            lambda data: data[:40] + b"\0" + data[41:],
            lambda data: b"\0\x01\xa0" * 256,
        ):
            liar.tell(bundles(change))
            await refused(ben)
            assert (log_of(ben, "cats").size, row_of(ben, "cats").fork) == (3, ())
        # Another entry in its place, well formed: its root is another one, and the tiles are
        # honest, so it is no fork.
        other = log_of(anna, "cats")
        third = anna.on.core.db.read(lambda tx: library.tiles_of(tx, other)(None, 2))
        liar.tell(bundles(lambda data: (third + third + third + third)[: len(data)]))
        await refused(ben)
        assert row_of(ben, "cats").fork == ()
        assert "rewritten" not in (row_of(ben, "cats").reason or "")
        # And who withholds the tiles as well is named: nobody can tell then whether it forked.
        liar.tell(
            lambda path, a: (
                Response(status=404)
                if "/tile/0/" in path
                else replace(a, body=(third * 4)[: len(a.body)])
                if "/entries/001" in path
                else None
            )
        )
        await refused(ben)
        assert "tiles that tell whether it was rewritten" in (row_of(ben, "cats").reason or "")
        assert row_of(ben, "cats").fork == ()
        liar.stop()
        assert (await poll(ben, "cats")).after == 600
        assert await ben.complaints() == []


async def test_bodies_that_are_not_believed(autojump_clock: trio.testing.MockClock) -> None:
    """Missing, wrong, or a gigabyte: the log is believed, the body is not, and that is said."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", message="1MiB")
        await published(anna, "cats", [letter(1), letter(2), LARGE, letter(3)])
        await follow(ben, url(anna, "cats"))
        liar, first = Liar(anna), items(anna, "cats")[0].message
        name = cids.show(first)

        def lie(path: str, answer: Response) -> Response | None:
            if path == "/v1/blocks":
                return replace(answer, status=200, body=answer.body[:-7] + b"garbage")
            if path.endswith(name):
                return replace(answer, body=bytes(1 << 21))
            return None

        def other(answer: Response) -> Lie:
            return lambda path, a: answer if path.endswith(name) else lie(path, a)

        flood: Lie = lambda path, a: (  # noqa: E731  # one line among others
            replace(a, body=bytes(17 << 20)) if path == "/v1/blocks" else lie(path, a)
        )
        wrong, denied = Response(status=200, body=b"wrong"), Response(status=403)
        for each in (lie, flood, other(wrong), other(denied), other(Response(status=500))):
            liar.tell(each)
            await ben.on.follower.again(row_of(ben, "cats"))
            polled = await poll(ben, "cats")
            assert (polled.after, polled.verified, polled.missing) == (4, False, 1)
            states = [item.state for item in items(ben, "cats")]
            assert states == ["missing", "here", "large", "here"]
        # A place that has too much to do says nothing of a message.
        for status in (429, 503):
            liar.tell(other(Response(status=status)))
            await ben.on.follower.again(row_of(ben, "cats"))
            with pytest.raises(Unreachable):
                await poll(ben, "cats")
            assert items(ben, "cats")[0].state == "wanted"
        liar.stop()
        await ben.on.follower.again(row_of(ben, "cats"))
        assert (await poll(ben, "cats")).verified
        assert items(ben, "cats")[0].state == "here"


async def test_what_is_said_of_it_is_asked_for_daily(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(1)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await ben.on.publisher.publish(ben.owner(), "cats")
        first = (await get(ben, "/archives/cats/about")).body

        def says(origins: tuple[str, ...], seed: bytes, issued: int) -> bytes:
            log = log_of(anna, "cats")
            said = replace(library.about_of(log), origins=origins, issued=Instant(issued))
            block = abouts.sign(said, seed)
            core = anna.on.core
            core.db.apply(lambda tx: tx.logs.put(log.but(about=block)))
            anna.on.desk.changed("cats")
            return block

        async def a_day_later() -> bytes:
            await trio.sleep(25 * 3600)
            await poll(ben, "cats")
            return (await get(ben, "/archives/cats/about")).body

        signing, now = anna.owner().signing, anna.on.core.now()
        moved = says(("127.0.0.1:4999",), signing, now + 1)
        assert (await poll(ben, "cats")).requests <= 3
        assert (await get(ben, "/archives/cats/about")).body == first
        assert await a_day_later() == moved
        # Not by another, and not what was said before.
        says(("127.0.0.1:1",), ben.owner().signing, now + 2)
        assert await a_day_later() == moved
        says(("127.0.0.1:2",), signing, now)
        assert await a_day_later() == moved


async def test_what_nobody_served_is_asked_for_daily(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """By itself, and not with each poll: its place may have been short of it for an hour."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(1), letter(2)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await added(anna, "cats", [letter(3)])
        name = cids.show(items(anna, "cats")[2].message)
        liar, asked = Liar(anna), 0

        def lie(path: str, answer: Response) -> Response | None:
            nonlocal asked
            asked += path.endswith(name)
            gone = path == "/v1/blocks" or path.endswith(name)
            return Response(status=404) if gone else None

        liar.tell(lie)
        assert (await poll(ben, "cats")).missing == 1
        asked = 0
        await trio.sleep(6 * 3600)
        assert asked == 0
        await trio.sleep(48 * 3600)
        assert 1 <= asked <= 3
        liar.stop()
        await trio.sleep(26 * 3600)
        assert [item.state for item in items(ben, "cats")] == ["here"] * 3


async def test_a_rewritten_history_is_caught(autojump_clock: trio.testing.MockClock) -> None:
    """The operator signs another past: both heads are kept, said in one line, trust stops."""
    for size in (2, 3, 400):
        async with world() as w:
            anna, ben = await w.add("anna"), await w.add("ben")
            await published(anna, "cats", [letter(n) for n in range(3)])
            await follow(ben, url(anna, "cats"))
            await poll(ben, "cats")
            ours = log_of(ben, "cats").note
            await _rewrite(anna, [letter(n + 7) for n in range(size)])
            theirs = log_of(anna, "cats").note
            assert await refused(ben, Unverified) == "forked"
            row = row_of(ben, "cats")
            assert row.fork == (ours, theirs)
            assert row.reason is not None
            assert "\n" not in row.reason
            assert (log_of(ben, "cats").note, row.poll_at) == (ours, None)
            assert await refused(ben, Unverified) == "forked"
            assert await contents(ben, "cats") == [letter(n) for n in range(3)]
            assert any("archive-forked" in line for line in ben.notes)


async def _rewrite(machine: Machine, sent: list[bytes]) -> None:
    """The same log, with another past: as if the operator had a second store."""
    log, row = log_of(machine, "cats"), row_of(machine, "cats")

    def work(tx: object) -> None:
        for item in list(library.items_of(tx, row)):  # type: ignore[arg-type]
            for name in (*item.parts, item.message):
                tx.blocks.drop(name)  # type: ignore[attr-defined]
            tx.items.delete(item)  # type: ignore[attr-defined]
        for tile in list(tx.tiles.scan(row.id)):  # type: ignore[attr-defined]
            tx.tiles.delete(tile)  # type: ignore[attr-defined]
        tx.logs.put(log.but(size=0, peaks=()))  # type: ignore[attr-defined]

    await machine.on.core.db.transact(work)
    await added(machine, "cats", sent)


async def test_a_new_epoch_is_followed(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(n) for n in range(3)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        # More came before the new log began: that is fetched as well.
        await added(anna, "cats", [letter(3)])
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        await added(anna, "cats", [letter(4)])
        polled = await poll(ben, "cats")
        assert (polled.before, polled.after, polled.epoch) == (0, 1, 2)
        assert row_of(ben, "cats").epoch == 2
        assert (await poll(ben, "cats")).epoch is None
        assert await contents(ben, "cats") == [letter(n) for n in range(5)]
        assert await ben.on.follower.verify(row_of(ben, "cats")) == (5, 5, 0)
        await ben.on.publisher.publish(ben.owner(), "cats")
        assert (await get(ben, "/archives/cats/1/checkpoint")).status == 200


async def test_a_new_epoch_after_entries_that_are_none(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What can't be read of the old log is passed over, or its operator could never go on."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(0)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await added(anna, "cats", [letter(1)])
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        await added(anna, "cats", [letter(2)])
        Liar(anna).tell(
            lambda path, a: (
                replace(a, body=b"\0\x01\xa0" * 2) if "/cats/1/tile/entries/" in path else None
            )
        )
        assert (await poll(ben, "cats")).after == 1
        assert row_of(ben, "cats").epoch == 2
        assert await contents(ben, "cats") == [letter(0), letter(2)]


async def test_a_message_of_an_older_epoch_is_removed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The new log enters it once more, so that what is removed stands in the same log."""
    async with world() as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        await published(anna, "cats", [letter(0), letter(1)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        await added(anna, "cats", [letter(2)])
        gone = items(anna, "cats")[0].message
        said = await anna.on.publisher.remove(anna.owner(), "cats", cids.show(gone), "asked for")
        assert (said.index, said.message) == (1, gone)
        with pytest.raises(Conflict):
            await anna.on.publisher.remove(anna.owner(), "cats", "1", "asked for")
        await follow(carl, url(anna, "cats"))
        await poll(ben, "cats")
        await poll(carl, "cats")
        assert [item.state for item in items(anna, "cats")] == ["removed", "here", "here"]
        assert [item.state for item in items(ben, "cats")] == ["removed", "here", "here"]
        assert await contents(ben, "cats") == [letter(1), letter(2)]
        assert await contents(carl, "cats") == [letter(2)]
        found = await verified(anna, "cats")  # a strict reader of the new log alone
        kinds = [each["kind"] for each in found.entries]
        assert kinds == ["entry", "entry", "removal"]
        assert list(found.contents.values()) == [letter(2)]
        assert (await get(anna, f"/ipfs/{cids.show(gone)}")).status == 410
        for who in (anna, ben, carl):
            await who.on.follower.verify(row_of(who, "cats"))


async def test_a_new_epoch_can_t_drop_the_past(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(n) for n in range(3)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await _rewrite(anna, [letter(n + 7) for n in range(2)])
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        assert await refused(ben, Unverified) == "forked"


async def test_an_operator_with_an_old_backup(autojump_clock: trio.testing.MockClock) -> None:
    """It signs nothing until it caught up from a mirror."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(n) for n in range(3)])
        await anna.flushed()
        disk, files, then = anna.disk.copy(), anna.files, anna.now()
        await added(anna, "cats", [letter(3), letter(4)])
        await anna.on.publisher.remove(anna.owner(), "cats", "0", "asked for")
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await ben.on.publisher.publish(ben.owner(), "cats")
        await w.off(anna)
        await anna.restore(disk, files.copy(), then)
        await w.back(anna)
        with pytest.raises(Refused) as found:
            await added(anna, "cats", [letter(9)])
        assert found.value.reason == "behind"
        assert "--new-epoch" in (found.value.next or "")
        from node.localapi.archives import document

        def said() -> str | None:
            shown = document(row_of(anna, "cats"), log_of(anna, "cats"), anna.origin)
            return shown["reason"]  # type: ignore[no-any-return]

        assert "signs nothing" in (said() or "")

        mirror = place.parse(url(ben, "cats"))
        polled = await anna.on.follower.poll(row_of(anna, "cats"), mirror)
        assert (polled.before, polled.after, said()) == (3, 6, None)
        await added(anna, "cats", [letter(9)])
        assert (await poll(ben, "cats")).after == 7
        assert [item.state for item in items(anna, "cats")] == ["removed"] + ["here"] * 5
        assert (await verified(anna, "cats")).size == 7


async def test_a_mirror_with_nothing_newer_frees_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What it lacks others may have seen: signing on would be a second history."""
    async with world() as w:
        anna, ben, carl = await w.add("anna"), await w.add("ben"), await w.add("carl")
        await published(anna, "cats", [letter(0)])
        await follow(carl, url(anna, "cats"))
        await poll(carl, "cats")
        await carl.on.publisher.publish(carl.owner(), "cats")
        await added(anna, "cats", [letter(1)])
        await anna.flushed()
        disk, files, then = anna.disk.copy(), anna.files, anna.now()
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await ben.on.publisher.publish(ben.owner(), "cats")
        await added(anna, "cats", [letter(2)])
        seen = await get(anna, "/archives/cats/checkpoint")
        await w.off(anna)
        await anna.restore(disk, files.copy(), then)
        await w.back(anna)
        for mirror in (carl, ben, ben):  # an older head, and the backup's own, twice
            by = place.parse(url(mirror, "cats"))
            with pytest.raises(Refused, match="nothing newer there") as found:
                await anna.on.follower.poll(row_of(anna, "cats"), by)
            assert found.value.reason == "behind"
            assert "--new-epoch" in (found.value.next or "")
            with pytest.raises(Refused):
                await added(anna, "cats", [letter(9)])
        assert seen.body != (await get(anna, "/archives/cats/checkpoint")).body


async def test_a_restored_operator_that_caught_up_in_two_steps(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The head came, and then the mirror fell silent: the next poll counts from the backup."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(0)])
        await anna.flushed()
        disk, files, then = anna.disk.copy(), anna.files, anna.now()
        await added(anna, "cats", [letter(1)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await ben.on.publisher.publish(ben.owner(), "cats")
        await w.off(anna)
        await anna.restore(disk, files.copy(), then)
        await w.back(anna)
        by, liar = place.parse(url(ben, "cats")), Liar(ben)
        liar.tell(
            lambda path, a: replace(a, status=503) if "/ipfs/" in path or "/v1/" in path else None
        )
        with pytest.raises(Unreachable):
            await anna.on.follower.poll(row_of(anna, "cats"), by)
        assert row_of(anna, "cats").behind
        liar.tell(lambda path, a: None)
        await anna.on.follower.poll(row_of(anna, "cats"), by)
        await added(anna, "cats", [letter(9)])
        assert (await verified(anna, "cats")).size == 3


async def test_an_operator_with_a_backup_from_before_a_new_epoch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The key of that log is in no backup: it is caught up with, named, and another one begun."""
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(0)])
        await anna.flushed()
        disk, files, then = anna.disk.copy(), anna.files, anna.now()
        await added(anna, "cats", [letter(1)])
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        await added(anna, "cats", [letter(2), letter(3)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await ben.on.publisher.publish(ben.owner(), "cats")
        await w.off(anna)
        await anna.restore(disk, files.copy(), then)
        await w.back(anna)
        by = place.parse(url(ben, "cats"))
        for _ in range(2):
            with pytest.raises(Refused, match="began after the backup") as found:
                await anna.on.follower.poll(row_of(anna, "cats"), by)
            assert "--new-epoch" in (found.value.next or "")
            with pytest.raises(Refused):
                await added(anna, "cats", [letter(9)])
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        assert row_of(anna, "cats").epoch == 3
        await added(anna, "cats", [letter(9)])
        assert (await poll(ben, "cats")).epoch == 3
        assert row_of(ben, "cats").fork == ()
        assert await contents(ben, "cats") == [letter(n) for n in (2, 3, 9)]


async def test_or_with_a_new_epoch(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await published(anna, "cats", [letter(n) for n in range(3)])
        await anna.flushed()
        disk, files, then = anna.disk.copy(), anna.files, anna.now()
        await added(anna, "cats", [letter(3), letter(4)])
        await follow(ben, url(anna, "cats"))
        await poll(ben, "cats")
        await w.off(anna)
        await anna.restore(disk, files.copy(), then)
        await w.back(anna)
        await anna.on.publisher.new_epoch(anna.owner(), "cats")
        await added(anna, "cats", [letter(9)])
        assert (await poll(ben, "cats")).after == 1
        assert await contents(ben, "cats") == [letter(n) for n in (0, 1, 2, 3, 4, 9)]
