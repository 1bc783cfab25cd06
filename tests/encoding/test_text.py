"""Text rules: the same on every Python that willcall runs on."""

import sys
import unicodedata
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.encoding import text
from node.errors import Malformed

ASSIGNED_IN_14 = 282_230
"""Code points of Unicode 14 other than Cn and Cs, private use among them."""
ASSIGNED_SHA256 = "c2a7fea189638743140555205786d6f9d631836179521d5515350758763a26a4"
"""Over those code points, three bytes each, in order: written on Python 3.11."""


def is_text(char: str) -> bool:
    # A composed form may not be NFC alone; only the code point is asked for here.
    try:
        text.check(unicodedata.normalize("NFC", char))
    except Malformed:
        return False
    return True


def test_assigned_is_unicode_14_on_any_python() -> None:
    found = [code for code in range(0x110000) if is_text(chr(code))]
    assert len(found) == ASSIGNED_IN_14
    digest = sha256(b"".join(code.to_bytes(3, "big") for code in found)).hexdigest()
    assert digest == ASSIGNED_SHA256


@pytest.mark.skipif(
    unicodedata.unidata_version != "14.0.0",
    reason=f"Python {sys.version_info.major}.{sys.version_info.minor} has another Unicode",
)
def test_table_equals_unicode_14() -> None:
    wrong = [
        code
        for code in range(0x110000)
        if is_text(chr(code)) != (unicodedata.category(chr(code)) not in ("Cn", "Cs"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "good", ["", "a", "grün", "水", "𐅑", "\ue000", "👍🏽", "a\u0301\u0323"[:1]]
)
def test_good_text(good: str) -> None:
    text.check(good)


@pytest.mark.parametrize(
    "bad",
    [
        "u\u0308",  # ü, decomposed
        "a\u0301\u0323",  # marks out of order
        "\u212b",  # ANGSTROM SIGN, a singleton
        "\u0378",  # unassigned
        "\ufffe",  # noncharacter
        "\U0010ffff",
        "\ud800",
        "\U0001fae8",  # SHAKING FACE, Unicode 15.0
        "\U00031350",  # first of CJK extension H, 15.0
    ],
)
def test_bad_text(bad: str) -> None:
    for spelled in (bad, "x" + bad, bad + "x"):
        with pytest.raises(Malformed):
            text.check(spelled)


@given(st.text(max_size=40))
def test_what_passes_is_its_own_nfc(spelled: str) -> None:
    try:
        text.check(spelled)
    except Malformed:
        return
    assert unicodedata.normalize("NFC", spelled) == spelled
    assert spelled.encode().decode() == spelled


@pytest.mark.parametrize("name", ["a", "anna", "jürgen", "水" * 21, "x" * 64, "a.b-c_d", "naïve👍"])
def test_good_names(name: str) -> None:
    text.check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 65,
        "ü" * 33,
        "x" * 100_000,
        "a b",
        " a",
        "a\n",
        "a\0",
        "\x7f",
        "\x85",
        "a@b",
        "a,b",
        "a/b",
        "u\u0308",
        "\ud800",
        *(f"a{chr(code)}b" for code in (0x061C, 0x200E, 0x200F)),
        *(f"a{chr(code)}" for code in range(0x202A, 0x202F)),
        *(f"{chr(code)}a" for code in range(0x2066, 0x206A)),
        *(f"a{chr(code)}b" for code in (0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)),
        *(f"a{chr(code)}b" for code in range(0x2000, 0x200B)),
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(Malformed):
        text.check_name(name)


def test_every_white_space_is_a_blank() -> None:
    for code in range(0x110000):
        if chr(code).isspace():
            with pytest.raises(Malformed):
                text.check_name(f"a{chr(code)}")
