"""`willcall log`: every step of a message, at its sender and at its recipient; bounded."""

import pytest
import trio

from node.encoding import cid as cids
from node.errors import Absent, Usage
from node.machines.rows import Chapter
from node.services import steps
from node.services.history import CHAPTERS, STEPS, History
from node.services.mailbox import Mailbox
from node.units import Instant, Key
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.test_delivery import key_of


def log(machine: Machine, message: bytes | str, owner: str | None = None) -> list[dict[str, str]]:
    ref = message if isinstance(message, str) else cids.show(message)
    return steps.log(machine.on.core, machine.owner(owner).owner, ref)


def words(machine: Machine, message: bytes | str, owner: str | None = None) -> list[str]:
    return [row["step"] for row in log(machine, message, owner)]


async def test_a_letter_that_arrives(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed")
        rows = log(anna, message)
        assert [row["step"] for row in rows] == ["stored", "told", "fetched", "confirmed"]
        assert [row["who"] for row in rows] == [None, "ben", "ben", "ben"]
        assert rows[1]["detail"] == "accepted"
        assert "a receipt dated 20" in rows[3]["detail"]
        assert all(list(row) == ["at", "step", "who", "detail"] for row in rows)
        assert [row["at"] for row in rows] == sorted(row["at"] for row in rows)
        assert words(ben, message) == ["heard", "arrived", "receipt-told"]
        assert {row["who"] for row in log(ben, message)} == {"anna"}
        assert words(ben, cids.show(message)[-8:]) == words(ben, "1") == words(ben, message)


async def test_what_the_owner_does_with_it(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1KiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 5_000)
        await until(lambda: [state for _, _, state in ben.inbox()] == ["waiting"])
        (heard,) = log(ben, message)
        assert heard["step"] == "heard"
        assert "waits there (waiting)" in heard["detail"]
        mailbox = Mailbox(ben.on.core)
        row = ben.on.core.db.read(lambda tx: next(tx.mails.scan()))
        await mailbox.call(ben.owner(), row)
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed")
        for _ in range(2):
            await mailbox.mark_read(ben.on.core.db.read(lambda tx: next(tx.mails.scan())))
        await mailbox.delete(ben.owner(), ["1"])
        assert words(ben, "1") == [
            "heard", "called-for", "arrived", "receipt-told", "read", "deleted",
        ]  # fmt: skip
        assert words(anna, message) == ["stored", "told", "fetched", "confirmed"]
        assert log(anna, message)[1]["detail"] == "held waiting"


async def test_silence_is_shown_for_mail_that_waited_for_it(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        before = await anna.send([key_of(ben)], b"before")
        await until(lambda: anna.state(before, key_of(ben)) == "confirmed")
        await trio.sleep(60)
        w.net.weather.cut.add((anna.origin, ben.origin))
        message = await anna.send([key_of(ben)], b"hello")
        await trio.sleep(120)
        w.net.weather.cut.clear()
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed", 7200)
        after = await anna.send([key_of(ben)], b"after")
        await until(lambda: anna.state(after, key_of(ben)) == "confirmed")
        found = words(anna, message)
        assert found.count("silent") >= 2
        assert found[0] == "stored"
        assert found[-1] == "confirmed"
        assert "silent" not in words(anna, before) + words(anna, after)
        (why, *_) = [row["detail"] for row in log(anna, message) if row["step"] == "silent"]
        assert why


async def test_a_retraction_on_both_sides(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1KiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 5_000)
        await until(lambda: ben.inbox() != [])
        await Mailbox(anna.on.core).retract(anna.owner(), cids.show(message))
        await until(lambda: [state for _, _, state in ben.inbox()] == ["failed"])
        assert words(anna, message) == ["stored", "told", "retracted", "retraction-told"]
        assert words(ben, message) == ["heard", "retraction-heard", "failed"]


async def test_a_retraction_names_each_once(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1KiB")
        carol = await w.add("carol", ask_over="1KiB")
        await w.friends(anna, ben)
        await w.friends(anna, carol)
        message = await anna.send([key_of(ben), key_of(carol)], b"x" * 5_000)
        for _ in range(2):
            await Mailbox(anna.on.core).retract(anna.owner(), cids.show(message))
        told = [row["who"] for row in log(anna, message) if row["step"] == "retracted"]
        assert sorted(told) == ["ben", "carol"]


async def test_a_retraction_that_history_has_forgotten(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben", ask_over="1KiB")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"x" * 5_000)
        await Mailbox(anna.on.core).retract(anna.owner(), cids.show(message))
        anna.on.core.history = History()
        last = log(anna, message)[-1]
        assert last == {"at": None, "step": "retracted", "who": "ben", "detail": None}


async def test_bytes_that_do_not_verify(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        message = eve.letter()
        told = eve.item(anna, message)
        eve.blocks[message] = b"something else"
        await eve.notify(anna, told)
        await trio.sleep(3600)
        rows = log(anna, message)
        assert rows[0]["step"] == "heard"
        assert [row["step"] for row in rows].count("pickup-failed") >= 3
        assert {row["who"] for row in rows} == {"eve"}


async def test_a_stranger_s(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        message = eve.letter()
        await eve.notify(anna, eve.item(anna, message))
        assert words(anna, message) == ["held"]
        await Mailbox(anna.on.core).allow_message(anna.owner(), cids.show(message))
        await until(lambda: anna.inbox() != [])
        assert set(words(anna, message)) == {"allowed", "heard", "arrived", "receipt-told"}


async def test_nobody_sees_another_owner_s(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await ben.another("otto")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed")
        for ref in (cids.show(message), cids.show(message)[-8:], "1"):
            with pytest.raises(Absent):
                log(ben, ref, "otto")
        with pytest.raises(Usage):
            log(ben, "short")


async def test_it_survives_a_crash_but_for_the_last_minute(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        message = await anna.send([key_of(ben)], b"hello")
        await until(lambda: anna.state(message, key_of(ben)) == "confirmed")
        await trio.sleep(120)
        await ben.flushed()
        await w.off(ben)
        await w.back(ben)
        assert words(ben, message) == ["heard", "arrived", "receipt-told"]


async def test_it_is_bounded(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        core, me = anna.on.core, anna.owner().owner
        history = History()

        def kept() -> list[Chapter]:
            return core.db.read(lambda tx: list(tx.chapters.scan()))

        def add(count: int, start: int) -> None:
            for n in range(start, start + count):
                history.add(me, "step", Instant(n), message=bytes(36))

        add(10, 0)
        history.flush(core.db)
        history.flush(core.db)
        add(STEPS, 10)
        history.flush(core.db)
        assert [len(each.steps) for each in kept()] == [STEPS, 10]
        total = STEPS * CHAPTERS
        add(3 * total, 0)  # more than can be kept, in one minute
        history.flush(core.db)
        add(100, 3 * total)
        history.flush(core.db)
        assert len(kept()) == CHAPTERS
        found = core.db.read(lambda tx: [s.at for s in history.of(tx, me, bytes(36))])
        assert found == list(range(found[0], 3 * total + 100))
        assert total - STEPS < len(found) <= total
        history.add(Key(bytes(32)), "nobody", Instant(0))
        history.flush(core.db)
        assert len(kept()) == CHAPTERS
