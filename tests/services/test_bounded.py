"""What one contact can make by telling has a bound; who is honest loses nothing by it."""

from collections.abc import Sequence

import pytest
import trio

from node import limits
from node.encoding.cid import Cid
from node.objects.answer import ACCEPTED, Answer
from node.services.mailbox import Mailbox
from node.services.submit import Terms
from tests.fakes.world import Machine, until, world
from tests.services.puppet import Puppet
from tests.services.test_behind import behind
from tests.services.test_delivery import key_of

BUSY = Answer(state="refused", reason="busy")
WAITING = Answer(state="held", reason="waiting")
FEW = 20


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MADE_BY_ONE", FEW, raising=False)


def letters(eve: Puppet, count: int) -> list[Cid]:
    """Kept, and served."""
    return [eve.letter(word=str(n)) for n in range(count)]


async def told(eve: Puppet, to: Machine, messages: Sequence[Cid], **more: int) -> list[Answer]:
    items = [eve.item(to, each, word=str(n), **more) for n, each in enumerate(messages)]
    return await eve.notify(to, *items)


def rows(machine: Machine) -> int:
    """All that is kept of what is not here."""

    def work(tx: object) -> int:
        mails = [row for row in tx.mails.scan() if row.state in ("waiting", "failed")]  # type: ignore[attr-defined]
        rest = (*tx.pickups.scan(), *tx.withdrawn.scan())  # type: ignore[attr-defined]
        return len(mails) + len(rest)

    return machine.on.core.db.read(work)


async def test_what_is_told_and_not_served_has_a_bound(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        messages = letters(eve, 50)
        kept, eve.blocks = eve.blocks, {}
        assert await told(eve, anna, messages) == [ACCEPTED] * FEW + [BUSY] * (50 - FEW)
        assert rows(anna) == FEW
        await w.off(anna)
        await w.back(anna)
        await trio.sleep(60)
        assert await told(eve, anna, messages) == [ACCEPTED] * FEW + [BUSY] * (50 - FEW)
        eve.blocks = kept
        await until(lambda: len(anna.inbox()) == FEW, 86_400)
        again = await told(eve, anna, messages)
        assert [each.state for each in again[:FEW]] == ["receipt"] * FEW
        assert again[FEW:] == [ACCEPTED] * FEW + [BUSY] * (50 - 2 * FEW)


async def test_what_is_told_and_withdrawn_has_a_bound(autojump_clock: object) -> None:
    """Each leaves two rows at most: the retraction, and what the inbox showed."""
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        messages, large = letters(eve, 50), limits.ASK_OVER + 1
        for number, each in enumerate(messages):
            item = eve.item(anna, each, size=large, word=str(number))
            await eve.notify(anna, item)
            await eve.one(anna, "/v1/retractions", eve.retraction(key_of(anna), each))
        assert rows(anna) <= 2 * FEW
        # What its owner has seen makes room, and so does time.
        mailbox = Mailbox(anna.on.core)
        for n, _, state in anna.inbox():
            assert state == "failed"
            await mailbox.delete(anna.owner(), [str(n)])
        await trio.sleep(31 * 86_400)
        assert rows(anna) == 0
        fresh = [eve.letter(word=f"fresh {n}") for n in range(FEW)]
        assert (await told(eve, anna, fresh, size=large)) == [WAITING] * FEW


async def test_it_is_counted_for_each_contact(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve, max_ = await w.add("anna"), Puppet(w, "eve"), Puppet(w, "max", 2)
        second = await anna.another("second")
        for puppet in (eve, max_):
            await puppet.befriend(anna)
        assert (await told(eve, anna, letters(eve, 50)))[-1] == BUSY
        assert await told(max_, anna, letters(max_, 5)) == [ACCEPTED] * 5
        assert anna.on.core.db.read(lambda tx: tx.made(second.owner, eve.key)) == 0


@pytest.mark.parametrize("called", [True, False])
async def test_a_busy_list_loses_nothing_by_it(autojump_clock: object, called: bool) -> None:
    """Not where its contact is called, nor where that one asks."""
    async with world() as w:
        if called:
            ben, anna = await w.add("ben"), await w.add("anna")
            await w.friends(ben, anna)
        else:
            anna, ben = await behind(w)
        to = key_of(anna)
        await w.off(anna)
        texts = [b"%d" % n for n in range(5 * FEW)]
        sent = await ben.on.submission.small(ben.owner(), texts, Terms(to=(to,)))
        await trio.sleep(86_400)
        await w.back(anna)
        await until(lambda: len(anna.inbox()) == 5 * FEW, 2 * 86_400)
        await until(lambda: {ben.state(each, to) for each in sent} == {"confirmed"}, 86_400)


async def test_a_restored_node_counts_what_it_has(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await w.add("anna"), Puppet(w, "eve")
        await eve.befriend(anna)
        messages = letters(eve, 50)
        eve.blocks = {}
        await told(eve, anna, messages[:5])
        await anna.flushed()
        disk, files, memory = anna.disk.copy(), anna.files.copy(), anna.now()
        await told(eve, anna, messages)
        await w.off(anna)
        await anna.restore(disk, files, memory)
        await w.back(anna)
        assert rows(anna) == 5
        await told(eve, anna, messages)
        assert rows(anna) == FEW
