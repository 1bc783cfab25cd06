"""Entries and bundles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.archive import entry
from node.archive.entry import Entry, Removal, Sealed
from node.encoding import cbor, cid
from node.errors import Malformed, TooLarge, Unverified
from node.units import Instant

NAME = cid.of_object(b"\xa0")
KEY, NONCE = b"k" * 32, b"n" * 24
ONE = Entry(message=NAME, size=388, date=Instant(1_600_000_000_000))
GONE = Removal(index=7, message=NAME, reason="asked by its author", at=Instant(5))
SHUT = Sealed(nonce=NONCE, data=b"data")


@pytest.mark.parametrize("made", [ONE, GONE, SHUT])
def test_what_was_written_is_read(made: entry.AnyEntry) -> None:
    block = entry.encode(made)
    assert entry.decode(block) == made
    assert cbor.encode(cbor.decode(block)) == block


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "message"},
        {"kind": 1},
        {"v": 2},
        {"size": -1},
        {"size": "1"},
        {"message": cid.of_raw(b"x")},
        {"message": b"x" * 36},
        {"more": 1},
        {"date": None},
    ],
)
def test_no_entry(change: dict[str, object]) -> None:
    value = {"kind": "entry", "v": 1, "message": NAME, "size": 1, "date": 0} | change
    with pytest.raises(Malformed):
        entry.decode(cbor.encode(value))


@pytest.mark.parametrize("reason", ["", "x" * 201, "two\nlines", "\u202ereversed"])
def test_no_reason(reason: str) -> None:
    made = Removal(index=7, message=NAME, reason=reason, at=Instant(5))
    with pytest.raises(Malformed):
        entry.decode(entry.encode(made))


@pytest.mark.parametrize("bad", [b"", b"\x80", b"\xa0", b"\xf6", b"x" * 70_000])
def test_no_entry_at_all(bad: bytes) -> None:
    with pytest.raises(Malformed):
        entry.decode(bad)


def test_a_long_one_is_not_made() -> None:
    with pytest.raises(TooLarge):
        entry.encode(Sealed(nonce=NONCE, data=b"x" * 65_535))


@pytest.mark.parametrize("made", [ONE, GONE])
def test_a_sealed_entry_opens_at_its_place(made: Entry | Removal) -> None:
    shut = entry.seal(made, KEY, NONCE, "o:1/archives/a/1", 5)
    assert entry.unseal(shut, KEY, "o:1/archives/a/1", 5) == made
    for key, origin, index in (
        (b"x" * 32, "o:1/archives/a/1", 5),
        (KEY, "o:1/archives/a/2", 5),
        (KEY, "o:1/archives/a/1", 6),
    ):
        with pytest.raises(Unverified):
            entry.unseal(shut, key, origin, index)


def test_a_sealed_one_inside_is_refused() -> None:
    from nacl import bindings

    place = b"willcall/v1/sealed-entry\0" + b"o" + (0).to_bytes(8, "big")
    data = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        entry.encode(SHUT), place, NONCE, KEY
    )
    with pytest.raises(Malformed):
        entry.unseal(Sealed(nonce=NONCE, data=data), KEY, "o", 0)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles(entries: list[bytes]) -> None:
    data = entry.bundle(entries)
    assert entry.unbundle(data, len(entries)) == entries
    with pytest.raises(Malformed):
        entry.unbundle(data, len(entries) + 1)
    with pytest.raises(Malformed):
        entry.unbundle(data, len(entries) - 1)
    with pytest.raises(Malformed):
        entry.unbundle(data + b"\0", len(entries))
    with pytest.raises(Malformed):
        entry.unbundle(data + b"\0\x02x", len(entries) + 1)
