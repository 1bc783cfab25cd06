"""CARv1, written and read."""

import dag_cbor
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multiformats import CID, varint

from node.encoding import car, cbor, cid
from node.errors import Malformed, Unverified, WillcallError

blocks = st.lists(st.binary(max_size=300), min_size=1, max_size=6, unique=True)


def named(contents: list[bytes]) -> list[tuple[bytes, bytes]]:
    return [(cid.of_raw(block), block) for block in contents]


def framed(*parts: bytes) -> bytes:
    return b"".join(varint.encode(len(part)) + part for part in parts)


A, B = named([b"alpha", b"beta"])
HEADER = cbor.encode({"roots": [A[0], B[0]], "version": 1})
GOOD = framed(HEADER, A[0] + A[1], B[0] + B[1])


def test_bytes_by_hand() -> None:
    assert car.write([A, B]) == GOOD
    assert car.read(GOOD) == [A, B]


@given(blocks)
@example([b""])
@example([bytes(5_000)])
def test_both_ways_and_by_the_oracles(contents: list[bytes]) -> None:
    pairs = named(contents)
    data = car.write(pairs)
    assert car.read(data) == pairs
    size, read, rest = varint.decode_raw(data)
    header = dag_cbor.decode(bytes(rest)[:size])
    assert header == {"roots": [CID.decode(name) for name, _ in pairs], "version": 1}
    assert data[read + size :] == framed(*(name + block for name, block in pairs))


@pytest.mark.parametrize("size", [0, 100, 3 << 20])
def test_the_room_that_a_block_takes(size: int) -> None:
    """What `serve` counts is never less than what is sent."""
    pairs = named([bytes([n]) + bytes(size) for n in range(5)])
    counted = car.HEADER + sum(len(b) + car.FRAME + car.ROOT for _, b in pairs)
    assert len(car.write(pairs)) <= counted


def test_objects_too() -> None:
    block = cbor.encode({"kind": "message"})
    pairs = [(cid.of_object(block), block), A]
    assert car.read(car.write(pairs)) == pairs


@pytest.mark.parametrize("pairs", [[], [A, A], [A, (b"x", b"y")]])
def test_what_is_not_written(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Malformed):
        car.write(pairs)


def header(**fields: object) -> bytes:
    return framed(cbor.encode(fields))


BODY = framed(A[0] + A[1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x80",
        b"\xff" * 20,
        GOOD[:-1],
        GOOD + b"\x00",
        GOOD + framed(A[0] + A[1]),
        framed(HEADER),
        framed(HEADER, A[0] + A[1]),
        framed(HEADER, B[0] + B[1], A[0] + A[1]),
        framed(HEADER, A[0] + A[1], A[0] + A[1]),
        framed(HEADER, A[0][:20], B[0] + B[1]),
        framed(HEADER, b"", b""),
        b"\xff\xff\xff\x7f" + HEADER,
        b"\x80\x80\x80\x80\x01",
        bytes([0x80 | len(HEADER) & 0x7F, len(HEADER) >> 7 | 0x80, 0]) + GOOD[2:],  # padded
        header(roots=[], version=1),
        header(roots=[A[0], A[0]], version=1) + BODY + BODY,
        header(roots=[A[0]], version=2) + BODY,
        header(roots=[A[0]], version=True) + BODY,
        header(roots=[bytes(A[0])], version=1) + BODY,
        header(roots=A[0], version=1) + BODY,
        header(roots=[A[0]]) + BODY,
        header(version=1) + BODY,
        header(roots=[A[0]], version=1, more=1) + BODY,
        framed(cbor.encode([A[0]])) + BODY,
        framed(b"\xa2\x67version\x01\x65roots\x81" + cbor.encode(A[0])) + BODY,
    ],
)
def test_not_an_archive(data: bytes) -> None:
    with pytest.raises(Malformed):
        car.read(data)


def test_every_block_is_hashed() -> None:
    with pytest.raises(Unverified) as caught:
        car.read(framed(HEADER, A[0] + A[1], B[0] + b"beto"))
    assert caught.value.reason == "hash-mismatch"


@given(st.binary(max_size=80))
def test_random_bytes(data: bytes) -> None:
    with pytest.raises(WillcallError):
        car.read(data)


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_any_changed_byte_is_noticed(at: int, byte: int) -> None:
    changed = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    if changed != GOOD:
        with pytest.raises((Malformed, Unverified)):
            car.read(changed)
