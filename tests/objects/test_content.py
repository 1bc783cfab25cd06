"""Sealing into roots and parts, and opening again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.encoding import cid
from node.errors import Malformed, Unverified
from node.objects import content, message
from tests import factories as make
from tests import strategies as some
from tests.factories import ALICE, NOW

K = make.content_key_of("1")
MIB = limits.PART


@given(some.letters(), some.blob(32))
def test_bodies(letter: tuple[bytes, bytes, bytes], other: bytes) -> None:
    key, plain, root = letter
    found = message.KIND.decode(root).verify()
    content.check_key(found, key)
    assert content.open_body(found, key) == plain
    assert list(content.open_all(found, key, [])) == [plain]
    if other != key:
        with pytest.raises(Unverified) as caught:
            content.check_key(found, other)
        assert caught.value.reason == "commitment"
        with pytest.raises(Unverified):
            content.open_body(found, other)


@pytest.mark.parametrize(
    ("size", "parts"),
    [
        (0, 1),
        (1, 1),
        (MIB - 1, 1),
        (MIB, 1),
        (MIB + 1, 2),
        (2 * MIB, 2),
        (limits.MESSAGE_LARGEST, 1024),
    ],
)
def test_part_sizes(size: int, parts: int) -> None:
    assert content.part_count(size) == parts
    for cipher in (message.SEALED, message.PLAIN):
        sizes = message.part_sizes(size, cipher)
        extra = message.overhead(cipher)
        assert len(sizes) == parts
        assert sum(sizes) == size + parts * extra
        assert set(sizes[:-1]) <= {MIB + extra}
        assert extra <= sizes[-1] <= MIB + extra


def test_what_fits_a_body() -> None:
    assert message.fits_body(48 * 1024 - 16)
    assert not message.fits_body(48 * 1024 - 15)
    assert message.fits_body(48 * 1024, message.PLAIN)
    assert not message.fits_body(48 * 1024 + 1, message.PLAIN)


def test_the_largest_root_is_a_small_block() -> None:
    named = tuple(
        message.Part(cid=cid.of_raw(i.to_bytes(2, "big")), size=MIB + 16) for i in range(1024)
    )
    root = content.seal_root(K, ALICE.key, NOW, limits.MESSAGE_LARGEST, named, ALICE.keys.signing)
    assert len(root) <= limits.ROOT
    assert message.KIND.decode(root).verify().parts == named


def test_parts_and_bodies_are_not_confused() -> None:
    body = message.KIND.decode(make.letter(ALICE)).verify()
    root, blocks = make.parcel(ALICE, make.pattern(MIB + 5))
    parts = message.KIND.decode(root).verify()
    assert b"".join(content.open_all(parts, K, blocks)) == make.pattern(MIB + 5)
    with pytest.raises(Unverified):
        content.open_body(parts, K)
    assert body.body is not None
    with pytest.raises(Unverified):
        content.open_part(parts, K, 1, blocks[0])
    with pytest.raises(Unverified):
        content.open_part(parts, K, 1, blocks[1][:-1])
    with pytest.raises(Unverified):
        content.open_part(parts, make.content_key_of("2"), 1, blocks[1])


def test_public_roots_are_never_mail() -> None:
    with pytest.raises(Unverified, match="never picked up"):
        content.check_key(make.public_message(ALICE), K)


@given(st.integers(0, 4 * MIB))
def test_a_body_iff_the_ciphertext_is_small(size: int) -> None:
    assert message.fits_body(size) == (size + 16 <= 48 * 1024)


def test_a_part_has_the_size_that_its_root_says() -> None:
    """A quota is charged by what the root says, before there is a part."""
    plain = make.pattern(MIB + 5)
    first = content.seal_part(K, ALICE.key, 0, 2, plain[:MIB])
    short = content.seal_part(K, ALICE.key, 1, 2, plain[MIB:-1])
    parts = [
        message.Part(cid=first.cid, size=len(first.block)),
        message.Part(cid=short.cid, size=len(short.block) + 1),
    ]
    block = content.seal_root(K, ALICE.key, NOW, len(plain), parts, ALICE.keys.signing)
    root = message.KIND.decode(block).verify()
    assert content.open_part(root, K, 0, first.block) == plain[:MIB]
    with pytest.raises(Unverified, match="another size"):
        content.open_part(root, K, 1, short.block)


def test_a_body_has_no_parts_beside_it() -> None:
    """Nobody would look at their sizes."""
    letter = message.KIND.decode(make.letter(ALICE)).verify()
    both = replace(letter, parts=(message.Part(cid=cid.of_raw(b"x"), size=17),))
    with pytest.raises(Malformed, match="not both"):
        message.KIND.decode(message.KIND.sign(both, ALICE.keys.signing))
