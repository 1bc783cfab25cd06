from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail.scan import Scan, scan

NOTHING = Scan(None, None, None, None)
FULL = b"From: Ann <a@b>\nSubject: Hi\nDate: Thu, 01 Jan 1970 00:00:01 +0000\nMessage-ID: <1@x>\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("body", [b"", b"\nSubject: no\n", b"\nx"])
@pytest.mark.parametrize("before", [b"", b"From ann Thu Jan  1\n", b"\xef\xbb\xbf"])
def test_line_ends(end: bytes, body: bytes, before: bytes) -> None:
    content = (before + FULL + body).replace(b"\n", end)
    assert scan(content) == Scan("Hi", 1000, "Ann <a@b>", "<1@x>")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("head", "subject"),
    [
        (b"Subject: a\n b\n\tc\nX: d\n\n", "a b c"),
        (b"SUBJECT:a\n\n", "a"),
        (b"Subject  \t: a\n\n", "a"),
        (b"Subject: first\nSubject: second\n\n", "first"),
        (b"Subject-Not: a\nX: Subject: b\nSubject: c\n\n", "c"),
        (b"Subjective: a\n\n", None),
        (b"Subject", None),
        (b"Subject:", ""),
        (b"Subject: \n\n", ""),
        (b"Subject: cut", "cut"),
        (b"Subject: =?utf-8?B?w6Q=?=\n =?utf-8?Q?=C3=B6?=\n\n", "äö"),
        ("Subject: raw ü\n\n".encode(), "raw ü"),
        (b"Subject: latin \xfc\n\n", "latin ü"),
        (b"Subject: =?utf-8?Q?a=0D=0ABcc:_b?=\n\n", "a  Bcc: b"),
        (b"Subject: \x1b[31mred\x00\n\n", "␛[31mred␀"),
        ("Subject: \u202eolleh\n\n".encode(), "[U+202E]olleh"),
        (b"\nSubject: body\n\n", None),
        (b"no header\n\nSubject: body", None),
        (b"From me", None),
        (b"", None),
    ],
)
def test_subject(head: bytes, subject: str | None) -> None:
    assert scan(head).subject == subject


@pytest.mark.parametrize(
    ("value", "date"),
    [
        (b"Thu, 2 Jan 2020 12:00:29 +0100", 1577962829000),
        (b"2 Jan 2020 12:00:29 +0100 (CET)", 1577962829000),
        (b"Thu, 02 Jan 2020 07:30:29 -0330", 1577962829000),
        (b"Thu,  2 jan 2020 11:00:29 GMT", 1577962829000),
        (b"02 Jan 20 06:00:29 EST", 1577962829000),
        (b"Thu, 2 Jan 2020 11:00:29", 1577962829000),
        (b"Sat, 31 Dec 2016 23:59:60 +0000", 1483228799000),
        (b"Fri, 30 Feb 2020 11:00:29 +0000", None),
        (b"2 Xxx 2020 12:00:29 +0100", None),
        (b"Thu, 22 Aug 0102 12:07:35 +0800", None),
        (b"Fri, 31 Dec 9999 23:59:59 -2359", None),
        (b"1 Jan 1960 00:00:00 +0000", None),
        (b"Thu, 2 Jan 2020 12:00:29 +0100" + b" " * 200, None),
        (b"Whenever", None),
        (b"", None),
        (b"\xff\xff", None),
    ],
)
def test_date(value: bytes, date: int | None) -> None:
    assert scan(b"Date: " + value + b"\n\n").date == date


@pytest.mark.parametrize(
    ("value", "identity"),
    [
        (b"<a@b>", "<a@b>"),
        (b"(c) <a@b> x", "<a@b>"),
        (b"bare", "bare"),
        (b"", None),
        (b"<\x1b>", "<␛>"),
    ],
)
def test_message_id(value: bytes, identity: str | None) -> None:
    assert scan(b"Message-ID: " + value + b"\n\n").message_id == identity


def test_only_the_beginning_is_looked_at() -> None:
    assert scan(b"X: " + b"a" * 65536 + b"\nSubject: late\n\n") == NOTHING
    assert scan(b"To: " + b"a@b,\n " * 9000 + b"\nSubject: late\n\n").subject == "late"


def test_output_is_capped() -> None:
    found = scan(b"Subject: " + b"a" * 9000 + b"\nFrom: " + b"b" * 9000)
    assert len(found.subject or "") == len(found.sender or "") == 998


@pytest.mark.parametrize(
    "piece",
    [b"\0", b"\r", b"\n", b"\r\n", b"\nSubject ", b"Subject:\n ", b"=?a?q?a?= ", b"=?", b"\xff"],
)
def test_linear(piece: bytes) -> None:
    begun = process_time()
    for name in (b"", b"Subject: ", b"Date: ", b"From: ", b"Message-ID: "):
        scan(name + piece * (70_000 // len(piece)))
    assert process_time() - begun < 1


@given(st.binary())
def test_takes_anything(head: bytes) -> None:
    scan(head)


@given(st.sampled_from([b"Date", b"Subject", b"From", b"Message-ID"]), st.binary())
def test_takes_any_value(name: bytes, value: bytes) -> None:
    scan(name + b":" + value)


@given(st.text(alphabet=st.sampled_from("0123456789 :,+-JanThuGMT()")))
def test_takes_almost_dates(value: str) -> None:
    found = scan(b"Date: " + value.encode()).date
    assert found is None or found >= 0
