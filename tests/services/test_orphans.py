"""Files without a row: what a crash leaves of large mail is removed, and nothing else."""

from node.encoding import cid as cids
from tests.fakes.world import until, world

DAY = 86_400.0


async def test_files_without_a_row_go_and_the_others_stay(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        to = ben.owner().owner
        message = await anna.send([to], b"x" * 3_000_000)
        await until(lambda: anna.state(message, to) == "confirmed", 60)
        kept = [name for at in range(256) for name in await anna.files.names(at)]
        orphan = b"y" * 100_000
        await anna.files.keep(cids.of_raw(orphan), orphan)

        async def left() -> list[bytes]:
            return [name for at in range(256) for name in await anna.files.names(at)]

        assert len(await left()) == len(kept) + 1
        for _ in range(2 * 256):
            await anna.on.sweeper.once()
        assert sorted(await left()) == sorted(kept)
        assert len(kept) == 3
