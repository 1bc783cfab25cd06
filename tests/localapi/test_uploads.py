"""Uploads for archives: what is too large is left out, wherever the pieces are cut."""

from collections.abc import AsyncIterator

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Malformed, Usage
from node.localapi import uploads
from node.localapi.uploads import Left

MOST = 20


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await trio.lowlevel.checkpoint()
        yield data[start : start + size]


def taken(form: str, data: bytes, size: int = 7) -> tuple[list[bytes], Left]:
    left = Left()

    async def take() -> list[bytes]:
        chunks = pieces(data, size)
        found = (
            uploads.framed(chunks, MOST, left)
            if form == "frames"
            else uploads.split(chunks, MOST, form, left)
        )
        return [message async for message in found]

    return trio.run(take), left


@given(st.lists(st.integers(0, 60)), st.integers(1, 200))
def test_frames(sizes: list[int], size: int) -> None:
    contents = [b"x" * each for each in sizes]
    found, left = taken("frames", b"".join(b"%d\n%s" % (len(c), c) for c in contents), size)
    assert found == [each for each in contents if len(each) <= MOST]
    assert left.places == [n for n, each in enumerate(sizes, 1) if each > MOST]
    assert left.count == len(left.places)


@pytest.mark.parametrize("data", [b"x\n", b"-1\n", b"1" * 16, b"5\nab", b"50\nab", b"3"])
def test_no_frames(data: bytes) -> None:
    with pytest.raises(Malformed):
        taken("frames", data)


def test_an_mbox() -> None:
    data = b"From a\nSubject: %d\n\n"
    found, left = taken("mboxrd", (data + b"x\n") % 1 + b"\n" + (data + b"x" * 9) % 2)
    assert (found, left.places) == ([b"Subject: 1\n\nx\n"], [2])
    with pytest.raises(Usage):
        taken("zip", b"")


def test_no_more_are_told_than_are_read() -> None:
    _, left = taken("frames", b"21\n%s" % (b"x" * 21) * 300, 999)
    assert (left.count, left.places) == (300, list(range(1, uploads.TOLD + 1)))
