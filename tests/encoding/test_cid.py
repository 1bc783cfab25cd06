"""CIDs against multiformats and the published multihash and multibase vectors."""

import contextlib
import csv
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from node.encoding import cid
from node.errors import Malformed, Unverified

EMPTY_RAW = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
EMPTY_MAP = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"


def test_known_names() -> None:
    assert cid.show(cid.of_raw(b"")) == EMPTY_RAW
    assert cid.show(cid.of_object(b"\xa0")) == EMPTY_MAP
    assert cid.parse(EMPTY_RAW) == cid.of_raw(b"")


@given(st.binary(max_size=100))
def test_multiformats_agrees(block: bytes) -> None:
    digest = sha256(block).digest()
    for codec, ours in (("dag-cbor", cid.of_object(block)), ("raw", cid.of_raw(block))):
        theirs = CID("base32", 1, codec, ("sha2-256", digest))
        assert bytes(theirs) == ours
        assert str(theirs) == cid.show(ours)
        assert cid.parse(str(theirs)) == ours
        assert cid.from_bytes(bytes(theirs)) == ours


def test_codecs_and_bytes() -> None:
    of_object, of_raw = cid.of_object(b"x"), cid.of_raw(b"x")
    assert cid.is_object(of_object)
    assert not cid.is_object(of_raw)
    assert cid.is_raw(of_raw)
    assert not cid.is_raw(of_object)
    assert of_object == bytes(of_object)
    assert hash(of_object) == hash(bytes(of_object))
    assert sorted([of_object, of_raw]) == sorted([bytes(of_object), bytes(of_raw)])
    assert not hasattr(of_object, "__dict__")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        cid.of_raw(b"")[:-1],
        cid.of_raw(b"") + b"\0",
        b"\x12\x20" + bytes(32),  # CIDv0
        b"\x01\x70\x12\x20" + bytes(32),  # dag-pb
        b"\x01\x71\x13\x20" + bytes(32),  # sha2-512
        b"\x00" + cid.of_raw(b"")[:-1],
    ],
)
def test_other_forms_are_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        cid.from_bytes(raw)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        EMPTY_RAW.upper(),
        "B" + EMPTY_RAW[1:].upper(),
        "b" + EMPTY_RAW[1:].upper(),
        EMPTY_RAW[:-1],
        EMPTY_RAW + "=",
        EMPTY_RAW[:-1] + "v",  # a spare bit set
        EMPTY_RAW[:-1] + "1",
        EMPTY_RAW[:-1] + "ſ",  # upper() makes it S
        EMPTY_RAW[:-1] + "\ud800",
        "f01551220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "QmQg1v4o9xdT3Q14wh4S7dxZkDjyZ9ssFzFzyep1YrVJBY",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",  # dag-pb
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(Malformed):
        cid.parse(text)


@given(st.text(max_size=70))
def test_any_text_parses_or_is_malformed(text: str) -> None:
    with contextlib.suppress(Malformed):
        assert cid.show(cid.parse(text)) == text


def test_check() -> None:
    cid.check(cid.of_raw(b"abc"), b"abc")
    cid.check(cid.of_object(b"abc"), b"abc")
    with pytest.raises(Unverified) as caught:
        cid.check(cid.of_raw(b"abc"), b"abd")
    assert caught.value.reason == "hash-mismatch"
    with pytest.raises(Malformed):
        cid.check(b"abc", b"abc")


def test_published_multihashes(corpus: Path) -> None:
    """The multihash is a CID without its first two bytes."""
    with (corpus / "vectors/cid/multihash/test_cases.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["algorithm"] == "sha2-256"]
    full = [row for row in rows if row["bits"] == "256"]
    assert full
    for row in full:
        of_raw = cid.of_raw(row["input"].encode())  # the hash is over the hex digits
        assert of_raw[2:].hex() == row["multihash"]
    for row in rows:
        if row["bits"] != "256":  # a truncated hash is another form
            with pytest.raises(Malformed):
                cid.from_bytes(b"\x01\x55" + bytes.fromhex(row["multihash"]))


def test_published_multibase(corpus: Path) -> None:
    """`show` is multibase base32 for any bytes."""
    folder = corpus / "vectors/cid/multibase"
    seen = 0
    for file in ("basic.csv", "leading_zero.csv", "two_leading_zeros.csv"):
        rows = (folder / file).read_text().splitlines()
        text = rows[0].split(", ")[1].strip('"').encode().decode("unicode_escape")
        for row in rows[1:]:
            encoding, printed = row.split(", ")
            if encoding == "base32":
                assert cid.show(text.encode()) == printed.strip('"')
                seen += 1
    assert seen == 3
