"""The codec against published fixtures, against `dag-cbor`, and against hostile bytes."""

import base64
import json
import unicodedata
from collections import namedtuple
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multiformats import CID

from node import limits
from node.encoding import cbor, cid, text
from node.encoding.cid import Cid
from node.errors import Malformed

LINK = cid.of_object(b"\xa0")
FIXTURES = "vectors/dag-cbor/codec-fixtures/fixtures"


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# --- tables ---------------------------------------------------------------------------

TABLE = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (255, "18ff"),
    (256, "190100"),
    (65_535, "19ffff"),
    (65_536, "1a00010000"),
    (2**32 - 1, "1affffffff"),
    (2**32, "1b0000000100000000"),
    (2**53 - 1, "1b001fffffffffffff"),
    (b"", "40"),
    (b"\x01", "4101"),
    (bytes(24), "5818" + "00" * 24),
    (bytes(256), "590100" + "00" * 256),
    ("", "60"),
    ("a", "6161"),
    ("ü", "62c3bc"),
    ("x" * 256, "790100" + "78" * 256),
    ([], "80"),
    ([1, [2]], "82018102"),
    ({}, "a0"),
    ({"b": 1, "a": 2, "aa": 3}, "a361610261620162616103"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (LINK, "d82a582500" + LINK.hex()),
    (cid.of_raw(b""), "d82a582500" + cid.of_raw(b"").hex()),
    (bytes(LINK), "5824" + LINK.hex()),  # bytes that look like a CID stay bytes
]


@pytest.mark.parametrize(("value", "printed"), TABLE)
def test_both_ways(value: Any, printed: str) -> None:
    data = bytes.fromhex(printed)
    assert cbor.encode(value) == data
    decoded = cbor.decode(data)
    assert decoded == value
    assert type(decoded) is type(value)


class Word(StrEnum):
    YES = "yes"


class Number(IntEnum):
    SEVEN = 7


Pair = namedtuple("Pair", "first second")


def test_subclasses_and_tuples_are_written_as_what_they_are() -> None:
    assert cbor.encode(Word.YES) == cbor.encode("yes")
    assert cbor.encode(Number.SEVEN) == cbor.encode(7)
    assert cbor.encode(Pair(1, 2)) == cbor.encode((1, 2)) == cbor.encode([1, 2])
    assert cbor.encode({Word.YES: 1}) == cbor.encode({"yes": 1})


@pytest.mark.parametrize(
    "value",
    [
        -1,
        2**53,
        10**30,
        1.0,
        float("nan"),
        {1: 2},
        {b"a": 2},
        {None: 1},
        {"a": 1.5},
        {"u\u0308": 1},
        "u\u0308",
        "\ud800",
        object(),
        bytearray(b"a"),
        memoryview(b"a"),
        {1, 2},
        [1, [{"a": -1}]],
        Cid(b"short"),
        Cid(b"\x12\x20" + bytes(32)),
        Cid(b"\x01\x70\x12\x20" + bytes(32)),
        Number(7) - 8,
    ],
)
def test_what_has_no_encoding(value: Any) -> None:
    with pytest.raises(Malformed):
        cbor.encode(value)


def test_encode_is_bounded_in_depth() -> None:
    assert cbor.decode(cbor.encode(nested(64)), levels=64) == nested(64)
    circle: list[Any] = []
    circle.append(circle)
    ring: dict[str, Any] = {}
    ring["a"] = ring
    for value in (nested(65), circle, ring):
        with pytest.raises(Malformed):
            cbor.encode(value)


NOT_CANONICAL = [
    "",
    "0000",  # trailing
    "1817",
    "1900ff",
    "1a0000ffff",
    "1b00000000ffffffff",  # heads that could be shorter
    "18",
    "19ff",
    "1b00",
    "1c",
    "1d",
    "1e",
    "1f",
    "3f",
    "20",
    "3818",
    "3b001fffffffffffff",  # negative
    "1b0020000000000000",
    "1bffffffffffffffff",  # too large
    "5801ff"[:4],
    "41",
    "42ff",
    "581700" + "00" * 22,
    "5f4101ff",
    "5b7fffffffffffffff",
    "5bffffffffffffffff",
    "61",
    "61ff",
    "62c328",
    "63eda080",  # UTF-8 of a surrogate
    "62c080",
    "6375cc88",  # not NFC
    "64f09fab a8".replace(" ", ""),  # assigned in Unicode 15
    "7f6161ff",
    "7bffffffffffffffff",
    "81",
    "8201",
    "9800",
    "9801" + "00",
    "9fff",
    "9f00ff",
    "9bffffffffffffffff",
    "9a7fffffff00",
    "a1",
    "a161",
    "a16161",
    "a1616100" + "00",
    "a10000",
    "a14161" + "00",
    "a2616100616100",  # one twice
    "a2616200616100",  # out of order
    "a262616100616200",  # longer before shorter
    "a1780161" + "00",  # long head of a key
    "bf616100ff",
    "bbffffffffffffffff",
    "a161ff00",
    "a1" + "7817" + "61" * 23 + "00",
    "a1" + "7818" + "61" * 23,
    "a1" + "7818" + "61" * 24,
    "a1" + "7818" + "ff" * 24 + "00",
    "a1" + "7bffffffffffffffff",
    "a1" + "7f" + "6161" + "ff" + "00",
    "c0",
    "c100",
    "d82a",
    "d82a00",
    "d82a5825",
    "d82a582500" + LINK.hex()[:-2],
    "d82a582501" + LINK.hex(),
    "d82a5824" + LINK.hex(),
    "d82a58260000" + LINK.hex(),
    "d82a590025" + "00" + LINK.hex(),
    "d9002a582500" + LINK.hex(),
    "d82b582500" + LINK.hex(),
    "d82a582500" + "01701220" + "00" * 32,
    "d82a582500" + "01711320" + "00" * 32,
    "d82a58230012" + "20" + "00" * 32,
    "d9d9f700",  # self-described
    "e0",
    "f0",
    "f3",
    "f7",
    "f800",
    "f814",
    "f8ff",
    "f97e00",
    "f93c00",
    "fa3f800000",
    "fb3ff0000000000000",
    "fc",
    "ff",
]


@pytest.mark.parametrize("printed", NOT_CANONICAL)
def test_not_canonical(printed: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(printed))


@pytest.mark.parametrize(
    "head", [b"\x81", b"\xa1\x61a", b"\x82\x00", b"\x9f", b"\xd8\x2a", b"\xc1"]
)
@pytest.mark.parametrize("levels", [limits.LEVELS, 10**9])
@pytest.mark.parametrize("deep", [900, 200_000])
def test_deep_nesting_is_malformed(head: bytes, levels: int, deep: int) -> None:
    for tail in (b"", b"\x00", b"\x80"):
        with pytest.raises(Malformed):
            cbor.decode(head * deep + tail, levels=levels)


def test_levels_are_maps_and_arrays() -> None:
    assert limits.LEVELS == 6
    assert cbor.decode(b"\x81" * 5 + b"\x80") == nested(6)
    assert cbor.decode(b"\xa1\x61a" * 6 + b"\x00")
    for too_deep in (b"\x81" * 6 + b"\x80", b"\xa1\x61a" * 6 + b"\xa0", b"\x81" * 7 + b"\x00"):
        with pytest.raises(Malformed):
            cbor.decode(too_deep)
    assert cbor.decode(b"\x00", levels=0) == 0
    with pytest.raises(Malformed):
        cbor.decode(b"\x80", levels=0)
    with pytest.raises(Malformed):
        cbor.decode(b"\x80", levels=-1)


# --- published fixtures ---------------------------------------------------------------


def is_ours(value: Any) -> bool:
    """Whether a value, as the oracle decodes it, is within the narrowings."""
    if value is None or isinstance(value, bool | bytes):
        return True
    if isinstance(value, str):
        return unicodedata.is_normalized("NFC", value)
    if isinstance(value, int):
        return 0 <= value <= limits.INTEGER
    if isinstance(value, CID):
        return len(bytes(value)) == 36 and bytes(value)[:4] in (
            b"\x01\x71\x12\x20",
            b"\x01\x55\x12\x20",
        )
    if isinstance(value, dict):
        return all(map(is_ours, value)) and all(map(is_ours, value.values()))
    return isinstance(value, list) and all(map(is_ours, value))


def ours(value: Any) -> Any:
    """The oracle's value with our links."""
    if isinstance(value, CID):
        return cid.from_bytes(bytes(value))
    if isinstance(value, dict):
        return {key: ours(item) for key, item in value.items()}
    return [ours(item) for item in value] if isinstance(value, list) else value


def theirs(value: Any) -> Any:
    """Our value with the oracle's links."""
    if isinstance(value, Cid):
        return CID.decode(bytes(value))
    if isinstance(value, dict):
        return {key: theirs(item) for key, item in value.items()}
    return [theirs(item) for item in value] if isinstance(value, list | tuple) else value


def test_codec_fixtures(corpus: Path) -> None:
    files = sorted((corpus / FIXTURES).glob("*/*.dag-cbor"))
    accepted = 0
    for file in files:
        data = file.read_bytes()
        assert cid.show(cid.of_object(data)) == file.stem
        expected = dag_cbor.decode(data)
        if not is_ours(expected):
            with pytest.raises(Malformed):
                cbor.decode(data, levels=64)
            continue
        accepted += 1
        value = cbor.decode(data, levels=64)
        assert value == ours(expected)
        assert cbor.encode(value) == data
    assert (len(files), accepted) == (128, 53)


def test_fixtures_refused_by_name(corpus: Path) -> None:
    refused = (
        "float-",
        "int--",
        "int-9223",
        "int-11959",
        "int-18446",
        "cid-Qm",
        "cid-bag",
        "cid-bah",
    )
    for file in sorted((corpus / FIXTURES).glob("*/*.dag-cbor")):
        if file.parent.name.startswith(refused):
            with pytest.raises(Malformed):
                cbor.decode(file.read_bytes(), levels=64)


def test_negative_fixtures(corpus: Path) -> None:
    folder = corpus / "vectors/dag-cbor/codec-fixtures/negative-fixtures/dag-cbor/decode"
    cases = [
        case for file in sorted(folder.glob("*.json")) for case in json.loads(file.read_text())
    ]
    assert cases
    for case in cases:
        with pytest.raises(Malformed):
            cbor.decode(bytes.fromhex(case["hex"]))


def appendix_value(case: dict[str, Any]) -> tuple[bool, Any]:
    """Whether a case of RFC 8949 appendix A is within the narrowings, and its value."""
    if "decoded" in case:
        return case["roundtrip"] and is_ours(case["decoded"]), case["decoded"]
    diagnostic = case["diagnostic"]
    if diagnostic.startswith("h'"):
        return True, bytes.fromhex(diagnostic[2:-1])
    return False, None


def test_appendix_a(corpus: Path) -> None:
    cases = json.loads((corpus / "vectors/dag-cbor/cbor-appendix-a/appendix_a.json").read_text())
    accepted = 0
    for case in cases:
        data = base64.b64decode(case["cbor"])
        good, value = appendix_value(case)
        if good:
            accepted += 1
            assert cbor.decode(data) == value
            assert cbor.encode(value) == data
        else:
            with pytest.raises(Malformed):
                cbor.decode(data)
    assert (len(cases), accepted) == (82, 30)


# --- properties -----------------------------------------------------------------------


def is_text(spelled: str) -> bool:
    try:
        text.check(spelled)
    except Malformed:
        return False
    return True


texts = st.one_of(
    st.text(st.characters(codec="ascii"), max_size=30),
    st.text(max_size=8).map(lambda spelled: unicodedata.normalize("NFC", spelled)).filter(is_text),
)
links = st.builds(
    lambda digest, prefix: Cid(prefix + digest),
    st.binary(min_size=32, max_size=32),
    st.sampled_from([cid.OBJECT_PREFIX, cid.RAW_PREFIX]),
)
leaves = st.one_of(
    st.integers(0, limits.INTEGER),
    st.integers(0, 300),
    st.binary(max_size=40),
    texts,
    links,
    st.booleans(),
    st.none(),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


def same_types(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return all(same_types(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return all(map(same_types, one, other))
    return type(one) is type(other)


@given(values)
def test_values_survive_and_the_oracle_agrees(value: Any) -> None:
    data = cbor.encode(value)
    assert data == dag_cbor.encode(theirs(value))
    decoded = cbor.decode(data, levels=64)
    assert decoded == value
    assert same_types(decoded, value)
    assert cbor.encode(decoded) == data


@given(st.dictionaries(texts, st.integers(0, 9), min_size=2, max_size=6), st.randoms())
def test_order_of_keys_does_not_matter(value: dict[str, int], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert cbor.encode({key: value[key] for key in keys}) == cbor.encode(value)


def check_any_bytes(data: bytes) -> None:
    """What is accepted prints back, and the oracle gives the same value."""
    try:
        value = cbor.decode(data)
    except Malformed:
        return
    assert cbor.encode(value) == data
    assert ours(dag_cbor.decode(data)) == value


@given(st.binary(max_size=60))
@example(b"\xd8\x2a\x58\x25\x00" + LINK)
def test_random_bytes(data: bytes) -> None:
    check_any_bytes(data)


@given(values, st.data())
def test_changed_encodings(value: Any, data: st.DataObject) -> None:
    printed = bytearray(cbor.encode(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(printed) - 1))
        change = data.draw(st.sampled_from(["set", "cut", "insert"]))
        byte = data.draw(st.integers(0, 255))
        if change == "set":
            printed[at] = byte
        elif change == "insert":
            printed.insert(at, byte)
        elif len(printed) > 1:
            del printed[at]
    check_any_bytes(bytes(printed))


@given(values)
def test_every_cut_is_malformed(value: Any) -> None:
    data = cbor.encode(value)
    for end in range(len(data)):
        with pytest.raises(Malformed):
            cbor.decode(data[:end], levels=64)


def test_values_are_counted_before_they_are_read() -> None:
    """Eight million items of a byte each would be half a gigabyte."""
    most = cbor.encode([0] * limits.VALUES)
    assert cbor.decode(most) == [0] * limits.VALUES
    for data in (
        cbor.encode([0] * (limits.VALUES + 1)),
        cbor.encode([[0] * 2048, [0] * 2048]),
        cbor.encode([{str(n): 0 for n in range(64)}] * 64),
        b"\x9a\x00\x80\x00\x00" + bytes(8 << 20),
    ):
        with pytest.raises(Malformed):
            cbor.decode(data)
    assert cbor.decode(most, values=limits.ANSWER_VALUES)
