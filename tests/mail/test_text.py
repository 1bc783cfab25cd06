import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail import text

BAD = [*range(0x00, 0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)]
BIDI = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain\nlines\n", "plain\nlines\n"),
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("\x1b[2J\x1b]0;owned\x07", "␛[2J␛]0;owned␇"),
        ("\x9b31m", "\ufffd31m"),
        ("\x7f\x00", "␡␀"),
        ("file\u202efdp.exe", "file[U+202E]fdp.exe"),
        ("half \ud83d", "half \ufffd"),
        ("tag \U000e0041", "tag [U+E0041]"),
        ("Привет 你好 👩\u200d🚀", "Привет 你好 👩\u200d🚀"),
    ],
)
def test_safe_text(given: str, shown: str) -> None:
    assert text.safe_text(given) == shown


@given(st.text(st.characters()))
def test_nothing_bad_remains(foreign: str) -> None:
    for shown in (text.safe_text(foreign), text.safe_line(foreign)):
        assert not {chr(code) for code in (*BAD, *BIDI)} & set(shown)
        shown.encode()
    assert not set("\n\t\u2028\u2029") & set(text.safe_line(foreign))


def test_safe_line_is_one_short_line() -> None:
    assert text.safe_line(" a\r\n\tb\u2028c ") == "a   b c"
    assert len(text.safe_line("x" * 5000)) == text.LINE
    assert text.safe_line("x" * 5000).endswith("…")
    # A control character may grow into eight; the cap holds all the same.
    assert len(text.safe_line("\u202e" * 5000)) == text.LINE


@pytest.mark.parametrize(
    ("data", "charset", "said", "odd"),
    [
        (b"abc", "", "abc", ""),
        ("ä".encode(), "us-ascii", "ä", ""),
        (b"\x93hi\x94", "ISO-8859-1", "“hi”", ""),
        (b"\x93hi\x94", "", "“hi”", ""),
        (b"\xa4", "iso-8859-15", "€", ""),
        (b"\xc4\xe3", "GB2312", "你", ""),
        (b"\x82\xa0", "Shift_JIS", "あ", ""),
        (b'\x1b$B$"\x1b(B', "iso-2022-jp", "あ", ""),
        (b"\xcf", "KOI8-R", "о", ""),
        (b"+AOQ-", "utf-7", "ä", ""),
        (b"a\xff", "utf-8", "a\ufffd", "not all of it is utf-8"),
        (b"abc", "punycode", "abc", "unknown charset 'punycode'"),
        (b"abc", "zlib", "abc", "unknown charset 'zlib'"),
        (b"abc", "x\x1b[31m", "abc", "unknown charset 'x␛[31m'"),
    ],
)
def test_decode(data: bytes, charset: str, said: str, odd: str) -> None:
    assert text.decode(data, charset) == (said, odd)


def test_every_listed_charset_exists() -> None:
    for name in text._CHARSETS:
        assert isinstance(text.decode(b"abc", name)[0], str)
        assert text.codec(name.upper()) is not None


@given(st.binary(), st.sampled_from(sorted(text._CHARSETS)) | st.text(max_size=20))
def test_decode_takes_anything(data: bytes, charset: str) -> None:
    text.decode(data, charset)
