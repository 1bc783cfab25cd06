"""Mail of a conversation or month in one file."""

import gzip
import random
from types import SimpleNamespace
from typing import Any

import trio

from node.units import Instant
from node.web.letters import PIECE, Letters


async def test_others_have_their_turn_while_mail_is_compressed() -> None:
    letter = b"From: a@b\n\n" + random.Random(7).randbytes(16 * PIECE).replace(b"From", b"from")

    async def whole(item: object, most: int) -> bytes:
        return letter

    frame: Any = SimpleNamespace(item=lambda row, name: SimpleNamespace(state="here"))
    reading: Any = SimpleNamespace(whole=whole)
    view: Any = SimpleNamespace(row=SimpleNamespace(name="cats"))
    row: Any = SimpleNamespace(size=len(letter), date=Instant(0), message=b"")
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
    assert letter in gzip.decompress(packed)
    assert turns >= 16
