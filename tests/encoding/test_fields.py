"""Schemas: every check, every refusal, with the field's name in the text."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.encoding import cbor, cid, fields
from node.encoding.fields import Shape
from node.errors import Malformed, TooLarge

OBJECT, RAW = cid.of_object(b"x"), cid.of_raw(b"x")

SHAPE = Shape(
    "thing",
    {"from": fields.key, "at": fields.instant},
    {"links": fields.array(fields.link, 1, 2), "ext": fields.ext},
)
GOOD: dict[str, Any] = {"kind": "thing", "v": 1, "from": bytes(32), "at": 7}


def test_parse_gives_the_declared_fields() -> None:
    assert SHAPE.kind == "thing"
    assert SHAPE.parse(GOOD) == {"from": bytes(32), "at": 7}
    more = {**GOOD, "links": [OBJECT, RAW], "ext": {"a": 1}}
    assert SHAPE.parse(more) == {
        "from": bytes(32),
        "at": 7,
        "links": (OBJECT, RAW),
        "ext": {"a": 1},
    }


def test_parse_leaves_the_value_alone() -> None:
    value = dict(GOOD)
    SHAPE.parse(value)
    assert value == GOOD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "other"}, "kind"),
        ({"kind": None}, "kind"),
        ({"v": 2}, "v"),
        ({"v": True}, "v"),
        ({"v": "1"}, "v"),
        ({"from": bytes(31)}, "from"),
        ({"from": None}, "from"),
        ({"at": True}, "at"),
        ({"at": None}, "at"),
        ({"links": []}, "links"),
        ({"links": [OBJECT] * 3}, "links"),
        ({"links": [b"x"]}, "links"),
        ({"links": None}, "links"),
        ({"other": 1}, "other"),
        ({"": 1}, "unknown"),
        ({"x" * 1_000: 1}, "unknown"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Malformed) as caught:
        SHAPE.parse({**GOOD, **change})
    assert "thing" in caught.value.text
    assert words in caught.value.text
    assert len(caught.value.text) < 120


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(Malformed, match=f"{missing} is missing"):
        SHAPE.parse({name: item for name, item in GOOD.items() if name != missing})


@pytest.mark.parametrize("value", [None, 1, b"", "", [], [GOOD], {}])
def test_not_a_map_or_empty(value: Any) -> None:
    with pytest.raises(Malformed):
        SHAPE.parse(value)


def test_the_error_keeps_its_class_and_reason() -> None:
    def picky(value: Any) -> None:
        raise TooLarge("over", reason="huge")

    with pytest.raises(TooLarge) as caught:
        Shape("thing", {"a": picky}).parse({"kind": "thing", "v": 1, "a": 1})
    assert caught.value.reason == "huge"


def test_group_has_neither_kind_nor_version() -> None:
    part = fields.group("part", {"cid": fields.raw_link, "size": fields.uint})
    assert part({"cid": RAW, "size": 17}) == {"cid": RAW, "size": 17}
    wrong: list[Any] = [
        {"cid": RAW},
        {"cid": RAW, "size": 1, "v": 1},
        [],
        None,
        {"cid": OBJECT, "size": 1},
    ]
    for bad in wrong:
        with pytest.raises(Malformed, match="part"):
            part(bad)


INTEGERS = [0, 1, limits.INTEGER]

CHECKS: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("uint", fields.uint, INTEGERS, [-1, 2**53, True, None, 1.0, "1", b"1", [], {}, RAW]),
    ("instant", fields.instant, INTEGERS, [-1, 2**53, True, None, 1.0, "1"]),
    ("flag", fields.flag, [True, False], [0, 1, None, "true"]),
    ("blob", fields.blob, [b"", b"a", bytes(99)], [None, "a", RAW, 1, []]),
    ("exactly", fields.exactly(3), [b"abc"], [b"ab", b"abcd", "abc", None, [1, 2, 3]]),
    ("exactly 36", fields.exactly(36), [bytes(36), bytes(RAW)], [RAW]),
    ("at_most", fields.at_most(3), [b"", b"abc"], [b"abcd", "a", None, RAW]),
    ("key", fields.key, [bytes(32)], [bytes(31), bytes(33), "x" * 32, None]),
    ("link", fields.link, [RAW, OBJECT], [bytes(RAW), None, "b", 1]),
    ("object_link", fields.object_link, [OBJECT], [RAW, bytes(OBJECT), None]),
    ("raw_link", fields.raw_link, [RAW], [OBJECT, bytes(RAW), None]),
    ("text", fields.text, ["", "a", "ü"], [b"a", None, 1, []]),
    ("name", fields.name, ["anna", "x" * 64], ["", "a b", "a@b", "x" * 65, b"anna", None]),
    ("origin", fields.origin_text, ["a.example:1"], ["a.example", b"a.example:1", None, ""]),
    ("one_of", fields.one_of("a", "b"), ["a", "b"], ["c", "", b"a", None, ["a"], {}]),
    (
        "array",
        fields.array(fields.uint, 0, 2),
        [[], [1, 2]],
        [[1, 2, 3], ["a"], None, {}, b"", (1,)],
    ),
    (
        "ext",
        fields.ext,
        [{"a": 1}, {"a": {"b": ["c", b"d", RAW]}}, {"a": {}}, {"a": b"x" * 59}],
        [
            {},
            None,
            [],
            1,
            {"a": b"x" * 60},
            {"a": None},
            {"a": True},
            {"a": []},
            {"a": [None]},
            {"a": {"b": False}},
            {"a": {"b": [[]]}},
            {"a": 1.5},
        ],
    ),
]


@pytest.mark.parametrize(("check", "good"), [(c, g) for _, c, goods, _ in CHECKS for g in goods])
def test_check_gives_the_value_back(check: Any, good: Any) -> None:
    given_back = check(good)
    assert given_back == (tuple(good) if isinstance(good, list) else good)


@pytest.mark.parametrize(("check", "bad"), [(c, b) for _, c, _, bads in CHECKS for b in bads])
def test_check_refuses(check: Any, bad: Any) -> None:
    with pytest.raises(Malformed):
        check(bad)


@pytest.mark.parametrize("check", [c for _, c, _, _ in CHECKS])
def test_null_is_never_a_field(check: Any) -> None:
    with pytest.raises(Malformed):
        check(None)


def test_ext_has_64_bytes_with_its_head() -> None:
    largest = {"a": b"x" * 59}
    assert len(cbor.encode(largest)) == limits.EXT == 64
    assert fields.ext(largest) == largest  # type: ignore[arg-type]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=40) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(CHECKS), junk)
def test_any_value_passes_or_is_malformed(row: Any, value: Any) -> None:
    with contextlib.suppress(Malformed):
        row[1](value)


@given(st.dictionaries(st.sampled_from([*GOOD, "links", "ext", "x"]), junk))
def test_any_map_parses_or_is_malformed(changes: dict[str, Any]) -> None:
    with contextlib.suppress(Malformed):
        SHAPE.parse({**GOOD, **changes})
