"""Large answers: a network has its share, and nobody is left without one block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.errors import RateLimited
from node.ports import Request, Response
from node.server.outgoing import ONE, PER_NETWORK, TOTAL, Outgoing
from node.server.peer import PeerFace
from node.units import MIB, ByteCount
from tests.server.web import dial, running

CAR = ByteCount(limits.CAR)


def test_a_network_has_its_share_and_then_waits() -> None:
    outgoing = Outgoing()
    with outgoing.share("192.0.2.1", CAR) as one, outgoing.share("192.0.2.2", CAR) as two:
        assert one.room == two.room == CAR
        assert outgoing.bytes == PER_NETWORK
        with pytest.raises(RateLimited):
            outgoing.room("192.0.2.0/24")
        one.shrink(1)
        with outgoing.share("192.0.2.3", CAR) as three:
            assert three.room == CAR - 1
        with outgoing.share("198.51.100.1", CAR) as other:
            assert other.room == CAR
    assert outgoing.bytes == 0


def test_who_has_nothing_under_way_gets_one_block() -> None:
    outgoing = Outgoing(total=2 * MIB)
    with outgoing.share("192.0.2.1", CAR) as one, outgoing.share("198.51.100.1", CAR) as two:
        assert one.room == 2 * MIB
        assert two.room == ONE
        assert outgoing.room("203.0.113.0/24") == ONE
        with pytest.raises(RateLimited):
            outgoing.room("198.51.100.0/24")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20 * MIB)), max_size=40))
def test_nothing_is_kept_of_what_was_sent(asked: list[tuple[int, int]]) -> None:
    outgoing, open = Outgoing(), []
    for network, size in asked:
        try:
            share = outgoing.share(f"192.0.{network}.1", ByteCount(size))
            share.__enter__().shrink(size // 2)
            open.append(share)
        except RateLimited:
            open.pop(0).__exit__(None, None, None)
        assert outgoing.bytes <= TOTAL + 4 * ONE
    for share in open:
        share.__exit__(None, None, None)
    assert outgoing.bytes == 0
    assert not outgoing._by_network


class Store:
    """Answers with as many bytes as it is given room for."""

    def __init__(self) -> None:
        self.rooms: list[int] = []

    async def answer(self, request: Request, source: str) -> Response:
        self.rooms.append(request.room)
        return Response(status=200, body=bytes(request.room))


async def test_answers_that_nobody_takes_make_further_ones_small() -> None:
    request = (
        b"POST /v1/blocks HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
        b"Content-Type: application/vnd.ipld.dag-cbor\r\n\r\n"
    )
    store = Store()
    async with running(PeerFace(store)) as port:
        lines = [await dial(port) for _ in range(3)]
        for number, line in enumerate(lines[:2]):
            await line.send_all(request)
            assert await line.receive_some(12) == b"HTTP/1.1 200"
            assert len(store.rooms) == number + 1
        await lines[2].send_all(request)
        assert await lines[2].receive_some(12) == b"HTTP/1.1 429"
        async with await dial(port, "127.0.0.2") as other:
            await other.send_all(request)
            assert await other.receive_some(12) == b"HTTP/1.1 200"
        for line in lines:
            await line.aclose()
    assert store.rooms == [CAR, CAR, CAR]


async def test_what_anybody_may_read_is_counted_as_well() -> None:
    """A bundle of an archive's entries may have 16 MiB, and needs no ticket."""

    class Library:
        async def answer(self, request: Request, source: str) -> Response:
            return Response(status=200, body=bytes(CAR))

    request = b"GET /archives/cats/tile/entries/000 HTTP/1.1\r\nHost: a\r\n\r\n"
    async with running(PeerFace(Library())) as port:
        lines = [await dial(port) for _ in range(3)]
        for line, status in zip(lines, (b"200", b"200", b"429"), strict=True):
            await line.send_all(request)
            assert await line.receive_some(12) == b"HTTP/1.1 " + status
        for line in lines:
            await line.aclose()


async def test_a_car_of_a_message_is_given_room_before_it_is_read() -> None:
    store = Store()
    async with running(PeerFace(store)) as port:
        for query in (b"", b"?format=raw", b"?format=car"):
            line = await dial(port)
            await line.send_all(b"GET /ipfs/x" + query + b" HTTP/1.1\r\nHost: a\r\n\r\n")
            assert await line.receive_some(12) == b"HTTP/1.1 200"
            await line.aclose()
        held = [await dial(port) for _ in range(3)]
        for line, status in zip(held, (b"200", b"200", b"429"), strict=True):
            await line.send_all(
                b"GET /ipfs/x HTTP/1.1\r\nHost: a\r\nAccept: application/vnd.ipld.car\r\n\r\n"
            )
            assert await line.receive_some(12) == b"HTTP/1.1 " + status
        for line in held:
            await line.aclose()


def test_what_is_set_aside_for_a_file_is_what_it_needs() -> None:
    outgoing = Outgoing(total=4 * MIB, per_network=3 * MIB)
    with outgoing.share("192.0.2.1", ByteCount(0)) as one:
        assert outgoing.bytes == 0
        one.grow(2 * MIB)
        one.grow(1 * MIB)  # less than it has: nothing to do
        assert outgoing.bytes == 2 * MIB
        with outgoing.share("192.0.2.2", ByteCount(0)) as two, pytest.raises(RateLimited):
            two.grow(2 * MIB)
        with outgoing.share("198.51.100.1", ByteCount(0)) as other:
            other.grow(2 * MIB)
            with outgoing.share("203.0.113.1", ByteCount(0)) as last:
                last.grow(ONE)  # whoever has nothing under way gets one block's worth
                with pytest.raises(RateLimited):
                    last.grow(2 * MIB)
    assert outgoing.bytes == 0
