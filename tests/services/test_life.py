"""The life of a message between whole nodes, in virtual time."""

from tests.fakes.world import until, world


async def test_mail_is_confirmed_by_a_receipt(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = ben.owner().owner
        message = await anna.send([to], b"Subject: hi\r\n\r\nhello\r\n")
        await until(lambda: anna.state(message, to) == "confirmed", 60)
        assert ben.inbox() == [(1, bytes(message), "new")]


async def test_large_mail_arrives_in_parts(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = ben.owner().owner
        message = await anna.send([to], b"x" * 3_000_000)
        await until(lambda: anna.state(message, to) == "confirmed", 60)
        assert ben.inbox() == [(1, bytes(message), "new")]
