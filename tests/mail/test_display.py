from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail.display import Listed, display, file_name, files

MIXED = b"Content-Type: multipart/mixed; boundary=x\n\n"


def part(kind: str, body: bytes, *fields: str) -> bytes:
    head = "\n".join([f"Content-Type: {kind}", *fields])
    return b"--x\n" + head.encode() + b"\n\n" + body + b"\n"


def alternative(*parts: bytes) -> bytes:
    return MIXED.replace(b"mixed", b"alternative") + b"".join(parts) + b"--x--\n"


def test_headers_in_the_usual_order() -> None:
    shown = display(b"Subject: =?utf-8?Q?=C3=A4?=\nX: y\nTo: b\nFROM: a\nTo: c\n\nx")
    assert shown.headers == [("From", "a"), ("To", "b"), ("Subject", "ä")]
    assert (shown.text, shown.attachments, shown.marks) == ("x", [], [])


def test_several_authors_are_marked() -> None:
    shown = display(b"From: a\nFrom: b\n\n")
    assert shown.headers == [("From", "a")]
    assert shown.marks == ["it has several From fields; the first is shown"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_line_ends(end: bytes) -> None:
    content = MIXED + part("text/plain", b"one\ntwo") + part("a/b", b"three") + b"--x--\n"
    shown = display((b"Subject: s\n" + content).replace(b"\n", end))
    assert shown.headers == [("Subject", "s")]
    assert shown.text == "one\ntwo"
    assert shown.attachments == [Listed("part-3", "a/b", 5)]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", ""),
        (b"no header at all", "no header at all"),
        (b"\nbody", "body"),
        (b"From me Thu\nA: b\n\nbody", "body"),
        (b"A: b\n\n\x1b]0;title\x07 \xe2\x80\xae x", "␛]0;title␇ [U+202E] x"),
        (b"Content-Transfer-Encoding: base64\n\naGk=", "hi"),
        (b"Content-Transfer-Encoding: quoted-printable\n\na=\nb=3D", "ab="),
        (b"Content-Transfer-Encoding: nonsense\n\na", "a"),
        (b"Content-Type: text/plain; charset=koi8-r\n\n\xcf", "о"),
        (b"Content-Type: text/x-unknown\n\na", "a"),
        (b"Content-Type: nonsense\n\na", "a"),
        (b"A: b\n\n\xef\xbb\xbfbom", "bom"),
    ],
)
def test_text(content: bytes, text: str) -> None:
    assert display(content).text == text


def test_odd_charsets_are_marked() -> None:
    assert display(b"Content-Type: text/plain; charset=x-new\n\n\xfc").marks == [
        "unknown charset 'x-new'"
    ]
    assert display(b"Content-Type: text/plain; charset=utf-8\n\n\xfc").marks == [
        "not all of it is utf-8"
    ]


def test_plain_text_before_html() -> None:
    plain, html = part("text/plain", b"plain"), part("text/html", b"<b>html</b>")
    for content in (alternative(plain, html), alternative(html, plain)):
        assert display(content).text == "plain"
        assert not display(content).attachments
        assert not display(content).marks


def test_html_when_there_is_nothing_else() -> None:
    shown = display(alternative(part("text/plain", b" "), part("text/html", b"<b>html</b>")))
    assert (shown.text, shown.marks) == ("html", ["made from HTML"])
    assert display(alternative(part("text/x", b"x"), part("a/b", b""))).text == "x"


def test_much_html_is_cut() -> None:
    html = b"Content-Type: text/html\n\n" + b"<b>xxxx</b>" * 60_000
    assert display(html).marks == ["made from HTML, and cut"]


def test_files_on_the_form_not_shown_are_listed() -> None:
    inner = (
        b"--x\nContent-Type: multipart/mixed; boundary=y\n\n"
        b"--y\nContent-Type: text/html\n\nhtml\n"
        b"--y\nContent-Type: application/pdf; name=a.pdf\n\npdf\n--y--\n"
    )
    shown = display(alternative(part("text/plain", b"plain"), inner))
    assert shown.text == "plain"
    assert shown.attachments == [Listed("a.pdf", "application/pdf", 3)]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("attachment; filename=a.txt", "a.txt"),
        ('attachment; filename="=?utf-8?Q?=C3=A4?=.txt"', "ä.txt"),
        ("attachment; filename*=utf-8''%C3%A4.txt", "ä.txt"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\a.txt"', "a.txt"),
        ("attachment; filename=\x1b[2J", "␛[2J"),
        ("attachment; filename*=idna''xn--%ff", "unreadable name"),
        ("attachment", "part-2"),
        ("inline; filename=a.txt", "a.txt"),
    ],
)
def test_file_names(field: str, name: str) -> None:
    content = MIXED + part("text/plain", b"abc", f"Content-Disposition: {field}")
    assert display(content).attachments == [Listed(name, "text/plain", 3)]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("", "x"),
        ("/", "x"),
        ("..", "x"),
        (".ssh", "ssh"),
        ("a<b>:c?.txt", "a_b__c_.txt"),
        ("n" * 300 + ".tar", "n" * 96 + ".tar"),
        ("n" * 300, "n" * 100),
        ("n" * 300 + "." + "e" * 50, "n" * 100),
        ("\u202egpj.exe", "[U+202E]gpj.exe"),
        ("a\x1b[2J\nb", "a␛[2J b"),
        ("C:\\Windows\\evil.dll", "evil.dll"),
        ("a/../../b", "b"),
        ("-rf", "_rf"),
        ("...-rf", "_rf"),
        ("CON", "CON_"),
        ("nul.txt", "nul_.txt"),
        ("com1.tar.gz", "com1_.tar.gz"),
        ("console", "console"),
        ("😀" * 100, "😀" * 50),
        ("é" * 100 + ".pdf", "é" * 96 + ".pdf"),
        ("漢" * 80 + ".pdf", "漢" * 65 + ".pdf"),
        ("a. ." + "b" * 120, "a. ." + "b" * 96),
    ],
)
def test_safe_file_names(given: str, name: str) -> None:
    assert file_name(given, "x") == name


def test_files_have_different_names() -> None:
    fields = [f"Content-Disposition: attachment; filename={name}" for name in ("a.b", "A.B", "a.b")]
    fields += ["Content-Disposition: attachment; filename=c"] * 2
    content = MIXED + b"".join(part("text/plain", b"abc", field) for field in fields)
    found = files(content)
    assert [file.name for file in found.files] == ["a.b", "A-2.B", "a-3.b", "c", "c-2"]
    assert {file.data for file in found.files} == {b"abc"}


def test_a_message_inside() -> None:
    inner = b"From: a\nSubject: =?utf-8?Q?=C3=A4?=\nX: y\n\ninner text"
    shown = display(MIXED + part("text/plain", b"outer") + part("message/rfc822", inner))
    assert shown.text == "outer\n\nFrom: a\nSubject: ä\n\ninner text"


def test_a_delivery_report() -> None:
    report = b"Reporting-MTA: dns; x\n\nAction: failed\nStatus: 5.0.0\n"
    shown = display(MIXED + part("message/delivery-status", report))
    assert shown.text == "Reporting-MTA: dns; x\n\nAction: failed\nStatus: 5.0.0"


@pytest.mark.parametrize(
    ("outer", "text"),
    [
        (b"Subject: s\nFrom: a\n", "words"),
        (b"From:  a\nSubject: s\n", "words"),
        (b"From: b\nSubject: s\n", "Subject: s\nFrom: a\n\nwords"),
    ],
)
def test_a_letter_inside_says_only_what_stands_not_above(outer: bytes, text: str) -> None:
    inner = b"Content-Type: message/rfc822\n\nSubject: s\nFrom: a\n\nwords"
    assert display(outer + inner).text == text


def test_more_than_is_shown_is_cut() -> None:
    content = MIXED + part("text/plain", b"text") + part("a/b", b"x" * 3000)
    shown = display(content, most=2048)
    assert shown.text == "text"
    assert shown.attachments == [Listed("part-3", "a/b", None)]
    assert shown.marks == ["only the first 2 KiB are shown; --raw gives all of it"]
    assert len(files(content).files[0].data) == 3000
    shown = display(MIXED + part("a/b", b"x") + part("text/plain", b"y" * 3000), most=2048)
    assert shown.attachments == [Listed("part-2", "a/b", 1)]


def test_no_boundary() -> None:
    shown = display(b"Content-Type: multipart/mixed\n\nwords")
    assert (shown.text, shown.marks) == ("words", ["its parts can't be told apart"])


def test_what_the_parser_can_not_read_is_shown_as_it_is() -> None:
    content = b"Subject: s\nContent-Type: multipart/mixed; boundary*=idna''%ff\n\nwords"
    shown = display(content)
    assert (shown.headers, shown.text) == ([("Subject", "s")], "words")
    assert shown.marks == ["it can't be taken apart: shown as it is"]


def nested(levels: int) -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n" % (level, level)
        for level in range(levels)
    )


SIZE = 2**20
HTML = b"Content-Type: text/html\n\n"
SOURCE = {
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\nx",
    "folded encoded words": b"From: " + b"=?utf-8?q?a?=\n " * 20_000 + b"\n\nx",
    "a 210 KB field": b"To: " + b"a@b.example, " * 16_000 + b"\nSubject: late\n\nx",
    "nested 3000": nested(3000),
    "nested 100": nested(100) + b"\n" * 25_000,
    "nested 20": nested(20) + b"\n" * 120_000,
    "nested 3": nested(3) + b"\n" * 800_000,
    "nested messages": b"Content-Type: message/rfc822\n\n" * 3_000,
    "3043 parts": MIXED + b"--x\n\nwords\n" * 3_043,
    "200,000 parts": MIXED + b"--x\n\n" * 200_000,
    "digest": MIXED.replace(b"mixed", b"digest") + b"--x\n\nA: b\n\n" * 9_000,
    "report": b"Content-Type: message/delivery-status\n\n" + b"A: b\n\n" * 170_000,
    "report fields": b"Content-Type: message/delivery-status\n\n" + b"A: b\n" * 200_000,
    "NUL": b"\0" * SIZE,
    "CR": b"\r" * SIZE,
    "LF": b"\n" * SIZE,
    "CRLF": b"\r\n" * (SIZE // 2),
    "8-bit": b"\xff" * SIZE,
    "fields": b"A:b\n" * (SIZE // 4),
    "inner fields": MIXED + b"--x\n" + b"A:b\n" * (SIZE // 4),
    "folds": b"Subject:" + b"\n " * (SIZE // 2),
    "parameters": b"Content-Type: " + b";" * SIZE + b"\n\nx",
    "parameters of parts": MIXED + (b"--x\nContent-Type: a/b" + b';a="' * 40 + b"\n\n") * 5_000,
    "punycode": MIXED + (b"--x\nContent-Type: a/b; name*=punycode''" + b"a" * 1900 + b"\n\n") * 500,
    "boundary": b'Content-Type: multipart/mixed; boundary="' + b"(" * SIZE + b'"\n\n--x\n',
    "uuencode": b"Content-Transfer-Encoding: x-uue\n\nbegin 644 x\n" + b"!\n" * (SIZE // 2),
    "base64": b"Content-Transfer-Encoding: base64\n\n" + b"a\n" * (SIZE // 2),
    "quoted": b"Content-Transfer-Encoding: quoted-printable\n\n" + b" \n" * (SIZE // 2),
    "charset": b"Content-Type: text/plain; charset=tis-620\n\n" + b"\xff" * SIZE,
    "comments": HTML + b"<!--" * (SIZE // 4),
    "tags": HTML + b"<a>" * (SIZE // 3),
    "two of HTML": MIXED + part("text/html", b"<li>" * 120_000) * 2,
}


@pytest.mark.parametrize("name", SOURCE)
def test_hostile_mail_is_shown_quickly(name: str) -> None:
    begun = process_time()
    display(SOURCE[name])
    # Below one second on an idle machine; the rest is for a busy one.
    assert process_time() - begun < 3


@given(st.binary())
def test_takes_anything(content: bytes) -> None:
    display(content)
    files(content)


ALMOST = [
    b"\n",
    b"\r\n",
    b"\r",
    b"--x",
    b"--x--",
    b"--y",
    b"--",
    b": ",
    b"\0",
    b"\xff",
    b" ",
    b"=?",
]
ALMOST += [b"Content-Type: ", b"multipart/mixed; boundary=x", b"multipart/alternative; boundary=y"]
ALMOST += [b"text/html", b"text/plain; charset=", b"message/rfc822", b"message/delivery-status"]
ALMOST += [b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"x-uuencode", b"utf-16"]
ALMOST += [b"Content-Disposition: ", b"attachment; filename", b"*0*=", b"*=", b"=", b"utf-8''%41"]
ALMOST += [b"From ", b"Subject: a", b"begin 644 x", b"<b>", b"=?utf-8?q?", b"?=", b";", b'"', b"'"]


@given(st.lists(st.sampled_from(ALMOST), max_size=60))
def test_takes_almost_mail(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    shown = display(content)
    assert "\x1b" not in shown.text
    files(content)
