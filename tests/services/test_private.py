"""Private archives: who reads, who does not any more, who never did, and who keeps them unread."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio
from nacl.exceptions import CryptoError

from node.archive import entry as entries
from node.archive import place
from node.crypto import keys
from node.crypto import sealed as seals
from node.encoding import cid as cids
from node.encoding import names
from node.errors import (
    Absent,
    Conflict,
    Malformed,
    NoContact,
    Refused,
    Unreachable,
    Unverified,
    Usage,
)
from node.machines.rows import Item
from node.objects import answer
from node.objects import readers as objects
from node.objects.answer import Wanted
from node.ports import Request, Response
from node.services import grants, library
from node.services.publish import Tally
from node.services.readers import Shown
from tests.archive import independent, sealed
from tests.fakes.world import Machine, World, until, world
from tests.services.shelves import letter, log_of, row_of
from tests.services.test_delivery import key_of
from tests.services.test_follow import LARGE, Liar, contents, follow, items, poll, url


class Forger:
    """A node whose answers at some paths are others.

    Attributes:
        answers: by path.
    """

    def __init__(self, machine: Machine) -> None:
        self.answers: dict[str, bytes] = {}
        Liar(machine).tell(self._answer)

    def _answer(self, path: str, honest: Response) -> Response | None:
        found = self.answers.get(path)
        return None if found is None else replace(honest, status=200, body=found)


async def added(machine: Machine, name: str, found: Sequence[bytes]) -> Tally:
    publisher, tally, owner = machine.on.publisher, Tally(), machine.owner()
    under = publisher.under(owner, name)
    await publisher.add(owner, name, [publisher.sign(owner, each, under) for each in found], tally)
    publisher.serve(name)
    return tally


async def published(machine: Machine, found: Sequence[bytes] = (), name: str = "family") -> None:
    await machine.on.publisher.create(machine.owner(), name, private=True)
    if found:
        await added(machine, name, found)
    await machine.on.publisher.publish(machine.owner(), name)


async def couple(w: World, *others: str) -> list[Machine]:
    """Anna, and contacts of hers."""
    made = [await w.add("anna")]
    for name in others:
        made.append(await w.add(name))
        await w.friends(made[0], made[-1])
    return made


def did(machine: Machine) -> str:
    return names.did(machine.owner().owner)


async def invited(anna: Machine, *readers: Machine, mirror: bool = False) -> None:
    for each in readers:
        await anna.on.readers.add(anna.owner(), "family", did(each), mirror=mirror)


async def get(
    machine: Machine, path: str, by: Machine | None = None, etag: str = "", method: str = "GET"
) -> Response:
    """What somebody is answered who says who they are, or does not."""
    shown = b"" if by is None else Shown(by.on.core, by.owner(), machine.origin).block()
    request = Request(method=method, path=path, if_none_match=etag, reading=shown)
    return await machine.on.peers.answer(request, "127.0.0.9")


async def blocks(machine: Machine, names: Sequence[bytes], by: Machine | None) -> Response:
    body = answer.encode_wanted(
        [Wanted(ticket=None, cids=tuple(cids.from_bytes(n) for n in names))]
    )
    shown = b"" if by is None else Shown(by.on.core, by.owner(), machine.origin).block()
    request = Request(method="POST", path="/v1/blocks", body=body, reading=shown)
    return await machine.on.peers.answer(request, "127.0.0.9")


async def everything(machine: Machine, by: Machine | None) -> dict[str, Response]:
    """All that there is of the archive, and blocks by name, as `by` is answered."""
    log, base = log_of(machine, "family"), "/archives/family/"
    paths = [base + each for each in ("checkpoint", "about", "readers")]
    paths += [f"{base}tile/entries/000.p/{log.size}", f"{base}tile/0/000.p/{log.size}"]
    paths += [f"{base}names/000.p/{log.size}", f"{base}1/checkpoint", f"{base}1/about"]
    for item in items(machine, "family"):
        paths += [f"/ipfs/{cids.show(each)}" for each in (item.message, *item.parts)]
    return {path: await get(machine, path, by) for path in paths}


async def test_readers_read_it_with_the_ordinary_follow(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben = await couple(w, "ben")
        sent = [letter(n) for n in range(300)] + [LARGE, b"", b"\0broken"]
        await published(anna, sent)
        await invited(anna, ben)
        row = await follow(ben, url(anna, "family"))
        assert row.private
        polled = await poll(ben, "family")
        assert (polled.after, polled.verified, polled.missing) == (303, True, 0)
        assert await contents(ben, "family") == sent
        assert await contents(anna, "family") == sent
        assert await ben.on.follower.verify(row_of(ben, "family")) == (303, 303, 0)
        assert await anna.on.follower.verify(row_of(anna, "family")) == (303, 303, 0)
        # The same bytes are known again, and nothing new costs one request as ever.
        assert (await added(anna, "family", [*sent, LARGE])).known == 304
        assert (await poll(ben, "family")).requests == 1
        await added(anna, "family", [letter(900)])
        await until(lambda: len(items(ben, "family")) == 304)
        assert await ben.complaints() == await anna.complaints() == []


async def test_what_is_served_is_sealed_and_read_by_the_page_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben, carl = await couple(w, "ben", "carl")
        sent = [letter(n) for n in range(4)] + [LARGE]
        await published(anna, sent[:2])
        await invited(anna, ben, carl)
        await anna.on.readers.remove(anna.owner(), "family", did(carl))
        await added(anna, "family", sent[2:])
        await anna.on.publisher.remove(anna.owner(), "family", "1", "asked for")
        served = {path: each.body for path, each in (await everything(anna, ben)).items()}
        for path, body in served.items():
            assert b"example.org" not in body, path
            assert b"asked for" not in body, path
        secret = ben.owner().sealing[0][0]
        read = sealed.read(lambda path: served[path], "/archives/family/", key_of(ben), secret)
        assert read == [sent[0], *sent[2:]]


async def test_a_message_of_an_older_epoch_is_removed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Entered once more in the new log, and removed: nobody asks for it with the new key."""
    async with world() as w:
        anna, ben, carl = await couple(w, "ben", "carl")
        await published(anna, [letter(0), letter(1)])
        await invited(anna, ben, carl)
        await follow(ben, url(anna, "family"))
        await poll(ben, "family")
        await anna.on.publisher.new_epoch(anna.owner(), "family")
        await added(anna, "family", [letter(2)])
        gone = cids.show(items(anna, "family")[0].message)
        await anna.on.publisher.remove(anna.owner(), "family", gone, "asked for")
        await follow(carl, url(anna, "family"))
        for who, kept in ((ben, [letter(1), letter(2)]), (carl, [letter(2)])):
            assert (await poll(who, "family")).missing == 0
            assert await contents(who, "family") == kept
            await who.on.follower.verify(row_of(who, "family"))
        served = {path: each.body for path, each in (await everything(anna, ben)).items()}
        secret = ben.owner().sealing[0][0]
        read = sealed.read(lambda path: served[path], "/archives/family/", key_of(ben), secret)
        assert read == [letter(2)]


async def test_for_all_others_it_is_not_here(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben, eve = await couple(w, "ben", "eve")
        await published(anna, [letter(1), LARGE, letter(2)])
        await anna.on.publisher.remove(anna.owner(), "family", "2", "asked for")
        await invited(anna, ben)
        for path, found in (await everything(anna, eve)).items():
            # To the byte what is said of something that never was.
            other = path.replace("family", "familx")
            other = other.replace("/ipfs/", "/ipfs/x") if other == path else other
            never = await get(anna, other, eve)
            assert (found.status, found.headers) == (404, never.headers), path
            assert found.body.replace(b"family", b"familx") == never.body, path
            nobody = await get(anna, path)
            assert (nobody.status, nobody.body) == (404, found.body), path
        known = [item.message for item in items(anna, "family")]
        absent = await blocks(anna, [cids.of_object(b"never")], eve)
        for by in (None, eve):
            answered = await blocks(anna, known, by)
            assert (answered.status, answered.body) == (404, absent.body)
        assert (await blocks(anna, known, ben)).status == 200
        for path in ("/archives/family", "/archives/family/", "/archives/family/feed.atom"):
            assert (
                await get(anna, path, ben)
            ).status == 404  # pages are its readers' nodes' to make
        with pytest.raises(Unreachable, match="as asked for"):
            await follow(eve, url(anna, "family"))


async def test_no_cache_keeps_it(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await couple(w, "ben")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        for path, found in (await everything(anna, ben)).items():
            fields = dict(found.headers)
            assert found.status == 200, path
            assert fields["Cache-Control"] == "private, no-store", path
            assert "Access-Control-Allow-Origin" not in fields, path
            again = await get(anna, path, ben, etag=fields["ETag"])
            assert again.status == 304, path
            assert (await get(anna, path, etag=fields["ETag"])).status == 404, path


async def test_a_removed_reader_reads_nothing_new(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben, carl = await couple(w, "ben", "carl")
        await published(anna, [letter(1)])
        await invited(anna, ben, carl)
        for each in (ben, carl):
            await follow(each, url(anna, "family"))
            await poll(each, "family")
        old = log_of(ben, "family")
        row = await anna.on.readers.remove(anna.owner(), "family", did(ben))
        assert [each.did for each in row.readers] == [key_of(carl)]
        await added(anna, "family", [letter(2)])
        with pytest.raises(Unreachable):
            await poll(ben, "family")
        assert await contents(ben, "family") == [letter(1)]  # what it has it keeps
        await poll(carl, "family")
        assert await contents(carl, "family") == [letter(1), letter(2)]
        # A thief who gets the sealed bytes elsewhere, with ben's old keys and his sealing key.
        raw = entries.unbundle(
            (await get(anna, "/archives/family/tile/entries/000.p/2", carl)).body, 2
        )
        assert isinstance(grants.opened(old, 0, raw[0]), entries.Entry)
        assert isinstance(grants.opened(old, 1, raw[1]), entries.Sealed)
        said = objects.decode((await get(anna, "/archives/family/readers", carl)).body).verify()
        assert objects.opened(said, key_of(ben), [ben.owner().sealing[0][0]]) == ()
        found = sealed.signed((await get(anna, "/archives/family/readers", carl)).body, "owner")
        with pytest.raises(CryptoError):
            sealed.entry(dict(_map(raw[1])), said.log, 1, [(0, old.keys[-1][1])])
        # Back again, he catches up.
        await invited(anna, ben)
        await poll(ben, "family")
        assert await contents(ben, "family") == [letter(1), letter(2)]
        assert len(found["keys"]) == 2


def _map(raw: bytes) -> dict[str, bytes]:
    value = entries.decode(raw)
    assert isinstance(value, entries.Sealed)
    return {"nonce": value.nonce, "data": value.data}


async def test_a_new_reader_is_seen_without_a_new_entry(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A mirror that polls learns of new readers from the tag of the head alone."""
    async with world() as w:
        anna, ben, mia = await couple(w, "ben", "mia")
        await published(anna, [letter(1)])
        await invited(anna, mia, mirror=True)
        await follow(mia, url(anna, "family"))
        await poll(mia, "family")
        await mia.on.publisher.publish(mia.owner(), "family")
        assert (await get(mia, "/archives/family/checkpoint", ben)).status == 404
        await invited(anna, ben)
        await poll(mia, "family")
        assert (await get(mia, "/archives/family/checkpoint", ben)).status == 200


async def test_a_mirror_keeps_it_unread(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben, mia, eve = await couple(w, "ben", "mia", "eve")
        sent = [letter(n) for n in range(270)] + [LARGE]
        await published(anna, sent)
        await invited(anna, mia, mirror=True)
        await invited(anna, ben)
        await follow(mia, url(anna, "family"))
        assert (await poll(mia, "family")).missing == 0
        await mia.on.publisher.publish(mia.owner(), "family")
        # It holds all bytes and none of the keys.
        assert log_of(mia, "family").keys == ()
        assert [item.key for item in items(mia, "family")] == [b""] * 271
        with pytest.raises(Absent, match="not to you"):
            await contents(mia, "family")
        assert await mia.on.follower.verify(row_of(mia, "family")) == (271, 271, 0)
        # Its readers read there while the publisher is away; others see nothing.
        await w.off(anna)
        with pytest.raises(Unreachable):
            await follow(eve, url(mia, "family"))
        await follow(ben, url(mia, "family"))
        assert (await poll(ben, "family")).missing == 0
        assert await contents(ben, "family") == sent
        # A removal goes round, though the mirror can't read that it is one.
        await w.back(anna)
        gone = items(anna, "family")[5].message
        await anna.on.publisher.remove(anna.owner(), "family", "5", "asked for")
        await poll(mia, "family")
        assert items(mia, "family")[5].state == "removed"
        assert (await get(mia, f"/ipfs/{cids.show(gone)}", ben)).status == 410
        await poll(ben, "family")
        assert items(ben, "family")[5].state == "removed"
        assert await mia.complaints() == []
        # Given a key at last, it reads what it kept.
        await invited(anna, mia)
        await poll(mia, "family")
        assert await contents(mia, "family") == [*sent[:5], *sent[6:]]


async def test_epochs_go_on_for_the_readers_of_then(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben, carl = await couple(w, "ben", "carl")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        await follow(ben, url(anna, "family"))
        await poll(ben, "family")
        await anna.on.publisher.new_epoch(anna.owner(), "family")
        await added(anna, "family", [letter(2)])
        await invited(anna, carl)
        await poll(ben, "family")
        assert await contents(ben, "family") == [letter(1), letter(2)]
        # Who came with the new epoch has no key of the one before.
        await follow(carl, url(anna, "family"))
        await poll(carl, "family")
        assert await contents(carl, "family") == [letter(2)]
        said = objects.decode((await get(anna, "/archives/family/1/readers", carl)).body).verify()
        assert said.of(key_of(carl)) is None
        await anna.on.publisher.drop(anna.owner(), "family")
        assert not anna.on.core.db.read(lambda tx: [*tx.items.scan(), *tx.tiles.scan()])
        assert await anna.complaints() == []


async def test_keys_of_a_log_that_nothing_lies_under_are_replaced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, *others = await couple(w, "ben", "carl", "dora")
        await published(anna, [letter(1)])
        await invited(anna, *others)
        for each in others:
            await anna.on.readers.remove(anna.owner(), "family", did(each))
        log = log_of(anna, "family")
        assert [start for start, _ in log.keys] == [0, 1]
        block = anna.on.core.db.read(lambda tx: grants.object_of(tx, log))
        said = objects.decode(block).verify()
        secret = anna.owner().sealing[0][0]
        assert objects.opened(said, key_of(anna), [secret]) == log.keys
        assert [each.to for each in said.readers] == [key_of(anna)]


async def test_who_may_be_a_reader(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await couple(w, "ben")
        stranger = names.did(keys.public(b"s" * 32))
        await published(anna)
        readers, owner = anna.on.readers, anna.owner()
        with pytest.raises(NoContact, match="no contact"):
            await readers.add(owner, "family", stranger)
        await readers.add(owner, "family", stranger, mirror=True)
        with pytest.raises(Usage, match="anyway"):
            await readers.add(owner, "family", did(anna))
        with pytest.raises(NoContact, match="no reader"):
            await readers.remove(owner, "family", did(ben))
        await anna.on.publisher.create(owner, "cats")
        with pytest.raises(Usage, match="everybody"):
            await readers.add(owner, "cats", did(ben))
        # Again is the same, with the newest key of ben's.
        await invited(anna, ben)
        row = await readers.add(owner, "family", did(ben))
        assert sorted(each.did for each in row.readers) == sorted(
            [key_of(ben), keys.public(b"s" * 32)]
        )


@pytest.mark.parametrize("what", ["add", "remove"])
async def test_a_restored_archive_changes_its_readers_once_it_has_caught_up(
    autojump_clock: trio.testing.MockClock, what: str
) -> None:
    """Keys were made since the backup, perhaps: older words would undo what was said of them."""
    async with world() as w:
        anna, ben, cleo = await couple(w, "ben", "cleo")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        row = row_of(anna, "family")
        await anna.on.core.db.transact(lambda tx: tx.archives.put(row.but(behind=True, backed=1)))
        before = log_of(anna, "family"), row_of(anna, "family")
        readers, who = anna.on.readers, did(cleo if what == "add" else ben)
        change = readers.add if what == "add" else readers.remove
        with pytest.raises(Refused) as refused:
            await change(anna.owner(), "family", who)
        assert refused.value.reason == "behind"
        assert (log_of(anna, "family"), row_of(anna, "family")) == before


async def test_a_removal_of_a_reader_never_meets_an_import_half_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What was sealed for a reader who is gone meanwhile is not appended: sealed anew it is."""
    async with world() as w:
        anna, ben = await couple(w, "ben")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        publisher, owner = anna.on.publisher, anna.owner()
        made = publisher.sign(owner, letter(2), publisher.under(owner, "family"))
        await anna.on.readers.remove(owner, "family", did(ben))
        with pytest.raises(Conflict, match="changed meanwhile"):
            await publisher.add(owner, "family", [made], Tally())
        assert log_of(anna, "family").size == 1
        assert (await added(anna, "family", [letter(2)])).added == 1


async def test_letters_are_posted_sealed(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await couple(w, "ben")
        await anna.on.publisher.create(anna.owner(), "family", posting="append", private=True)
        await anna.on.publisher.publish(anna.owner(), "family")
        await invited(anna, ben)
        await follow(ben, url(anna, "family"))
        await ben.send([key_of(anna)], letter(7))
        await until(lambda: log_of(anna, "family").size == 1)
        await until(lambda: [item.state for item in items(ben, "family")] == ["here"])
        (found,) = await contents(ben, "family")
        assert letter(7) in found


# --- hostile ------------------------------------------------------------------------------


async def test_a_reading_is_for_one_origin_and_some_minutes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben, mallory = await couple(w, "ben", "mallory")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        path = "/archives/family/checkpoint"

        async def asked(shown: bytes, at: str = path) -> tuple[int, bytes]:
            request = Request(method="GET", path=at, reading=shown)
            found = await anna.on.peers.answer(request, "127.0.0.9")
            return found.status, found.body

        right = Shown(ben.on.core, ben.owner(), anna.origin).block()
        assert (await asked(right))[0] == 200
        # What ben showed to mallory opens nothing at anna's.
        elsewhere = Shown(ben.on.core, ben.owner(), mallory.origin).block()
        # In ben's name, by mallory's key; and a bit of a right one changed.
        made = objects.Reading(by=key_of(ben), at=anna.origin, issued=ben.now())
        forged = objects.READING.sign(made, mallory.owner().signing)
        changed = right[:-1] + bytes((right[-1] ^ 1,))
        for shown in (elsewhere, forged, changed, b"\xa0" * 40):
            status, body = await asked(shown)
            assert status in (400, 422)
            # What is wrong is told whether there is such an archive or not.
            assert (status, body) == await asked(shown, "/archives/never/checkpoint")
            assert (status, body) == await asked(shown, f"/ipfs/{cids.show(cids.of_raw(b'x'))}")
        await trio.sleep(9 * 60)
        assert (await asked(right))[0] == 200
        await trio.sleep(2 * 60)
        assert (await asked(right))[0] == 403
        assert await asked(right, "/archives/never/checkpoint") == await asked(right)


async def test_grants_that_are_not_believed(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben, carl = await couple(w, "ben", "carl")
        await published(anna, [letter(1)])
        await invited(anna, ben, carl)
        old = (await get(anna, "/archives/family/readers", ben)).body
        await anna.on.readers.remove(anna.owner(), "family", did(carl))
        await added(anna, "family", [letter(2)])
        said = objects.decode((await get(anna, "/archives/family/readers", ben)).body).verify()
        await published(anna, [letter(9)], name="other")
        await anna.on.readers.add(anna.owner(), "other", did(ben))
        other = (await get(anna, "/archives/other/readers", ben)).body
        seed = carl.owner().signing
        by_carl = objects.Readers(
            owner=key_of(carl), log=said.log, issued=said.issued, keys=said.keys,
            readers=said.readers,
        )  # fmt: skip
        await follow(ben, url(anna, "family"))
        forger = Forger(anna)
        good = (await get(anna, "/archives/family/readers", ben)).body
        for bad in (
            good[:-1] + bytes((good[-1] ^ 1,)),
            objects.sign(said, seed),  # in anna's name, by carl's key
            objects.sign(by_carl, seed),
            other,
            b"",
            b"\xa0",
        ):
            forger.answers["/archives/family/readers"] = bad
            with pytest.raises((Unverified, Malformed)):
                await poll(ben, "family")
            assert items(ben, "family") == []
        # An older one is no lie, only late: what it opens is read.
        forger.answers["/archives/family/readers"] = old
        await poll(ben, "family")
        assert await contents(ben, "family") == [letter(1)]
        forger.answers.clear()
        await anna.on.readers.add(anna.owner(), "family", did(carl), mirror=True)
        await poll(ben, "family")
        assert await contents(ben, "family") == [letter(1), letter(2)]
        # A replay changes nothing any more.
        newest = log_of(ben, "family")
        forger.answers["/archives/family/readers"] = old
        await added(anna, "family", [letter(3)])
        await poll(ben, "family")
        assert log_of(ben, "family").keys == newest.keys
        assert await contents(ben, "family") == [letter(1), letter(2), letter(3)]


async def test_a_box_that_opens_to_another_key(autojump_clock: trio.testing.MockClock) -> None:
    """An owner who hands out wrong keys: nothing opens, and nothing is shown."""
    async with world() as w:
        anna, ben = await couple(w, "ben")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        log = log_of(anna, "family")
        block = anna.on.core.db.read(lambda tx: grants.object_of(tx, log))
        said = objects.decode(block).verify()
        wrong = tuple(
            objects.Granted(to=each.to, box=seals.box(b"w" * 32, keys.sealing_public(
                ben.owner().sealing[0][0]))) if each.to == key_of(ben) else each
            for each in said.readers
        )  # fmt: skip
        made = objects.Readers(
            owner=said.owner, log=said.log, issued=said.issued, keys=said.keys, readers=wrong
        )
        await follow(ben, url(anna, "family"))
        Forger(anna).answers["/archives/family/readers"] = objects.sign(made, anna.owner().signing)
        await poll(ben, "family")
        assert items(ben, "family") == []
        found = library.Library(ben.on.core).entries(row_of(ben, "family"), 0, 10)
        assert [isinstance(each.entry, entries.Sealed) for each in found] == [True]


async def test_names_and_bodies_that_are_not_believed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben, mia = await couple(w, "ben", "mia")
        await published(anna, [letter(1), letter(2)])
        await invited(anna, mia, mirror=True)
        await invited(anna, ben)
        await follow(mia, url(anna, "family"))
        forger = Forger(anna)
        path = "/archives/family/names/000.p/2"
        good = (await get(anna, path, mia)).body
        for bad in (good[:-1], b"\x07" + good[1:], good[:1] + bytes(36) + good[37:]):
            forger.answers[path] = bad
            with pytest.raises(Malformed):
                await poll(mia, "family")
        # A public message in the place of a sealed one is not kept.
        plain: list[Item] = []
        await anna.on.publisher.create(anna.owner(), "cats")
        tally = Tally()
        made = anna.on.publisher.sign(anna.owner(), letter(8))
        await anna.on.publisher.add(anna.owner(), "cats", [made], tally)
        await anna.on.publisher.publish(anna.owner(), "cats")
        plain += items(anna, "cats")
        forger.answers[path] = good[:37] + b"\0" + plain[0].message
        assert (await poll(mia, "family")).missing == 1
        assert [item.state for item in items(mia, "family")] == ["here", "missing"]


async def test_an_operator_with_an_old_backup_gets_its_keys_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, ben, carl = await couple(w, "ben", "carl")
        await published(anna, [letter(1)])
        await invited(anna, ben, carl)
        await anna.flushed()
        disk, files = anna.disk.copy(), anna.files.copy()
        memory = anna.now()
        await follow(ben, url(anna, "family"))
        await anna.on.readers.remove(anna.owner(), "family", did(carl))
        await added(anna, "family", [letter(2)])
        await poll(ben, "family")
        await ben.on.publisher.publish(ben.owner(), "family")
        await w.off(anna)
        await anna.restore(disk, files, memory)
        await w.back(anna)
        with pytest.raises(Refused, match="restored"):
            await added(anna, "family", [letter(3)])
        await anna.on.follower.poll(row_of(anna, "family"), place.parse(url(ben, "family")))
        assert await contents(anna, "family") == [letter(1), letter(2)]
        assert [each.did for each in row_of(anna, "family").readers] == [key_of(ben)]
        await added(anna, "family", [letter(3)])
        await poll(ben, "family")
        assert await contents(ben, "family") == [letter(1), letter(2), letter(3)]


async def test_a_restored_operator_catches_up_with_a_newer_epoch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Its readers and keys come along, and the next log is theirs as well."""
    async with world() as w:
        anna, ben = await couple(w, "ben")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        await anna.flushed()
        disk, files, memory = anna.disk.copy(), anna.files.copy(), anna.now()
        await anna.on.publisher.new_epoch(anna.owner(), "family")
        await added(anna, "family", [letter(2)])
        await follow(ben, url(anna, "family"))
        await poll(ben, "family")
        await ben.on.publisher.publish(ben.owner(), "family")
        await w.off(anna)
        await anna.restore(disk, files, memory)
        await w.back(anna)
        with pytest.raises(Refused, match="began after the backup"):
            await anna.on.follower.poll(row_of(anna, "family"), place.parse(url(ben, "family")))
        assert await contents(anna, "family") == [letter(1), letter(2)]
        await anna.on.publisher.new_epoch(anna.owner(), "family")
        await added(anna, "family", [letter(3)])
        await poll(ben, "family")
        assert (row_of(ben, "family").epoch, row_of(ben, "family").fork) == (3, ())
        assert await contents(ben, "family") == [letter(2), letter(3)]


async def test_the_log_is_verified_by_who_reads_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as w:
        anna, mia = await couple(w, "mia")
        await published(anna, [letter(n) for n in range(20)])
        await invited(anna, mia, mirror=True)
        served = {path: each.body for path, each in (await everything(anna, mia)).items()}
        found = independent.verify(lambda path: served[path], "/archives/family/", bodies=False)
        assert (found.size, {each["kind"] for each in found.entries}) == (20, {"sealed"})


async def test_what_was_private_stays_private(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        anna, ben = await couple(w, "ben")
        await published(anna, [letter(1)])
        await invited(anna, ben)
        await follow(ben, url(anna, "family"))
        await poll(ben, "family")
        row = row_of(anna, "family")
        await anna.on.core.db.transact(lambda tx: tx.archives.put(row.but(private=False)))
        await anna.on.publisher.new_epoch(anna.owner(), "family")
        with pytest.raises(Unverified, match="was private"):
            await poll(ben, "family")
        assert await contents(ben, "family") == [letter(1)]
