from collections.abc import Sequence
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from node import limits
from node.errors import Malformed
from node.mail.compose import Attachment, Mailbox, compose, readable
from node.mail.display import display, files
from node.mail.scan import scan
from node.units import Instant

DID = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
ANN = Mailbox(name="Ann", address=f"{DID}@127.0.0.1:4625")
PARTS: dict[str, Any] = {
    "sender": ANN,
    "to": [ANN],
    "subject": "Hi",
    "text": "Hello\n",
    "date": Instant(1577962829000),
    "message_id": "<1@x>",
}


def made(**changed: Any) -> bytes:
    return compose(**(PARTS | changed))


def read(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def check_form(content: bytes) -> None:
    """RFC 5322: CRLF only, no line over 998, nothing but ASCII."""
    assert content.isascii()
    assert content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_the_whole_of_a_small_one() -> None:
    assert made() == (
        b"From: Ann <z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH@[127.0.0.1]>\r\n"
        b"To: Ann <z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH@[127.0.0.1]>\r\n"
        b"Subject: Hi\r\n"
        b"Date: Thu, 02 Jan 2020 11:00:29 +0000\r\n"
        b"Message-ID: <1@x>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hello\r\n"
    )


@pytest.mark.parametrize(
    ("address", "spec"),
    [
        ("did:key:z6Mk@127.0.0.1:4625", "z6Mk@[127.0.0.1]"),
        ("did:key:z6Mk@[2001:db8::1]:4625", "z6Mk@[IPv6:2001:db8::1]"),
        ("did:key:z6Mk@node.example:4625", "z6Mk@node.example"),
        ("did:key:z6Mk@node.example:443", "z6Mk@[willcall:node.example:443]"),
        ("did:key:z6Mk@[2001:db8::1]:443", "z6Mk@[willcall:2001:db8::1:443]"),
        ("ann@example.org", "ann@example.org"),
        ("a.b+c@xn--bcher-kva.example", "a.b+c@xn--bcher-kva.example"),
    ],
)
def test_addresses(address: str, spec: str) -> None:
    message = read(made(sender=Mailbox(name="", address=address)))
    assert message["From"] == spec


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@x",
        "a@",
        "a b@x",
        "did:web:x@y:1",
        "a@b c",
        "a@b>",
        "a@x\r\nBcc: b",
        "ä@x",
        "a@ü",
    ],
)
def test_no_addresses(address: str) -> None:
    with pytest.raises(Malformed):
        made(to=[Mailbox(name="x", address=address)])


NAMES = [
    "Ann",
    "Ann B.",
    'a "b" \\c',
    "Zoë",
    "a, b; c",
    "=?utf-8?Q?x?=",
    "名" * 21,
    "x" * 300,
    "a:b",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_come_back(name: str) -> None:
    content = made(to=[Mailbox(name=name, address="a@b"), ANN])
    check_form(content)
    first, second = read(content)["To"].addresses
    # The standard library keeps the blank between encoded words of a name, against RFC 2047.
    joined = name if len(name) > 20 else first.display_name
    assert first.display_name.replace(" ", "") == joined.replace(" ", "")
    assert (joined, second.display_name) == (name, "Ann")
    if not name.isascii():
        sent = made(sender=Mailbox(name=name, address="a@b"))
        assert scan(sent).sender == f"{name} <a@b>"
    assert first.addr_spec == "a@b"


def test_many_recipients_are_folded() -> None:
    content = made(to=[ANN] * 300)
    check_form(content)
    assert max(map(len, content.split(b"\r\n"))) <= 80
    assert len(read(content)["To"].addresses) == 300


def test_no_recipients() -> None:
    assert read(made(to=[]))["To"] == "undisclosed-recipients:;"


PLACES = ["sender name", "sender address", "to", "subject", "message_id", "in_reply_to"]
PLACES += ["references", "file name", "file type"]
INJECTIONS = [
    "a\r\nBcc: b",
    "a\nBcc: b",
    "a\rBcc: b",
    "\r\n",
    "a\x00",
    "a\x0bb",
    "a\x0cb",
    "a\x1cb",
]
INJECTIONS += ["a\x1b[2J", "a\x7f", "half \ud800"]


@pytest.mark.parametrize("value", INJECTIONS)
@pytest.mark.parametrize(
    "place",
    PLACES,
)
def test_nothing_can_be_injected(place: str, value: str) -> None:
    places: dict[str, dict[str, Any]] = {
        "sender name": {"sender": Mailbox(name=value, address="a@b")},
        "sender address": {"sender": Mailbox(name="a", address=value)},
        "to": {"to": [ANN, Mailbox(name=value, address="a@b")]},
        "references": {"references": ["<a@b>", value]},
        "file name": {"attachments": [Attachment(name=value, type="a/b", data=b"")]},
        "file type": {"attachments": [Attachment(name="a", type=value, data=b"")]},
    }
    with pytest.raises(Malformed):
        made(**places.get(place, {place: value}))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"subject": "a\nb"}, "the subject"),
        ({"to": [Mailbox(name="a\nb", address="a@b")]}, "the name"),
        ({"attachments": [Attachment(name="a\nb", type="a/b", data=b"")]}, "the file name"),
    ],
)
def test_what_holds_a_line_end_is_named(changed: dict[str, Any], what: str) -> None:
    with pytest.raises(Malformed, match=f"^{what} 'a\\\\nb' holds a line end"):
        made(**changed)


@pytest.mark.parametrize("limit", [0, 4_096, 10_000, 100_000, 1 << 20])
def test_files_that_are_said_to_fit_do(limit: int) -> None:
    size = limits.files_in(limit)
    content = made(attachments=[Attachment(name="a", type="a/b", data=bytes(size))])
    assert len(content) <= max(limit, 4_096)
    assert len(content) > limit - 5_000


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a b.txt", "a b.txt"), ("a\r\nb", "a__b"), ("\udcfc.txt", "_.txt"), ("Grüße", "Grüße")],
)
def test_a_file_name_that_everybody_can_read(name: str, shown: str) -> None:
    assert readable(name) == shown


@pytest.mark.parametrize("value", ["a", "<a", "<>", "<a b>", "<a><b>", "<ä@x>", f"<{'a' * 901}>"])
def test_message_ids(value: str) -> None:
    with pytest.raises(Malformed):
        made(message_id=value)


def test_dates_end_with_the_calendar() -> None:
    with pytest.raises(Malformed):
        made(date=Instant(2**53 - 1))


@pytest.mark.parametrize("separator", ["\x85", "\u2028", "\u2029"])
def test_odd_line_ends_are_encoded(separator: str) -> None:
    content = made(subject=f"a{separator}Bcc: b")
    check_form(content)
    assert read(content)["Bcc"] is None


@pytest.mark.parametrize(
    "subject",
    ["x", "Grüße", "a  b", " a", "a ", "=?utf-8?Q?x?=", "a\tb", "w " * 200 + "w", "x" * 900, "a:b"],
)
def test_subjects_come_back(subject: str) -> None:
    content = made(subject=subject)
    check_form(content)
    assert read(content)["Subject"] == subject
    assert scan(content).subject == subject.strip().replace("\t", " ")


def test_no_subject() -> None:
    assert read(made(subject=""))["Subject"] is None


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_every_subject_comes_back(subject: str) -> None:
    content = made(subject=subject)
    check_form(content)
    assert (message_from_bytes(content, policy=default)["Subject"] or "") == subject


def test_references() -> None:
    references = [f"<{number}@example.org>" for number in range(50)]
    message = read(made(in_reply_to=references[-1], references=references))
    assert message["In-Reply-To"] == references[-1]
    assert message["References"].split() == references


TEXTS = [
    "",
    "a",
    "a\r\nb\rc\n",
    "ä\n",
    "名前" * 500,
    "x" * 2000,
    "a \n.\nFrom b\n--\n",
    "\0\x1b[2J",
]
TEXTS += ["a\n\n\n", "\n", "=", "ä" + "=" * 300, "tab\t\n"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back(text: str) -> None:
    content = made(text=text)
    check_form(content)
    said = read(content).get_payload(decode=True)
    assert isinstance(said, bytes)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n") + "\n"
    assert said.decode().replace("\r\n", "\n") == lines


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back(text: str) -> None:
    test_texts_come_back(text)


def test_the_encoding_fits() -> None:
    assert b"7bit" in made(text="a" * 998)
    assert b"quoted-printable" in made(text="a" * 999)
    assert b"quoted-printable" in made(text="Grüße aus Köln")
    assert b"base64" in made(text="名前" * 50)


def test_half_a_character() -> None:
    with pytest.raises(Malformed):
        made(text="\ud800")


FILES = [
    Attachment(name="a.txt", type="text/plain", data=b"a\n\xff\r"),
    Attachment(name="größe.bin", type="application/octet-stream", data=bytes(range(256)) * 9),
    Attachment(name="long" * 60 + ".txt", type="text/plain", data=b""),
    Attachment(name='qu"ote\\.x', type="image/png", data=b"x"),
]


def test_attachments_come_back() -> None:
    content = made(attachments=FILES)
    check_form(content)
    found = list(read(content).iter_attachments())
    assert [part.get_filename() for part in found] == [file.name for file in FILES]
    assert [part.get_content_type() for part in found] == [file.type for file in FILES]
    assert [part.get_payload(decode=True) for part in found] == [file.data for file in FILES]
    assert [file.data for file in files(content).files] == [file.data for file in FILES]
    assert display(content).text == "Hello"


@given(st.lists(st.binary(), max_size=4), st.text(max_size=30))
def test_every_attachment_comes_back(data: list[bytes], name: str) -> None:
    attachments = [Attachment(name=name, type="x/y", data=item) for item in data]
    try:
        content = made(attachments=attachments)
    except Malformed:
        assume(False)
    check_form(content)
    assert [file.data for file in files(content).files] == data


def test_the_same_words_give_the_same_bytes() -> None:
    assert made(attachments=FILES) == made(attachments=FILES)


def test_a_clean_message_goes_along_as_a_message() -> None:
    inner = made(subject="inner", attachments=FILES)
    content = made(attachments=[Attachment(name="m.eml", type="message/rfc822", data=inner)])
    check_form(content)
    assert inner in content
    (part,) = read(content).iter_attachments()
    message = part.get_content()
    assert message["Subject"] == "inner"
    assert message.as_bytes(policy=SMTP)


@pytest.mark.parametrize(
    "data", [b"a\nb", b"\xff\r\n", b"a\rb\r\n", b"x" * 999 + b"\r\n", b"\0\r\n"]
)
@pytest.mark.parametrize("kind", ["message/rfc822", "multipart/mixed", "message/partial"])
def test_another_message_goes_along_as_a_file(data: bytes, kind: str) -> None:
    content = made(attachments=[Attachment(name="m.eml", type=kind, data=data)])
    check_form(content)
    (file,) = files(content).files
    assert (file.name, file.type, file.data) == ("m.eml", "application/octet-stream", data)


@pytest.mark.parametrize("kind", ["", "text", "text/", "/x", "a/b; c=d", "a b/c", "ä/b"])
def test_no_media_types(kind: str) -> None:
    with pytest.raises(Malformed):
        made(attachments=[Attachment(name="a", type=kind, data=b"")])


@given(st.lists(st.text(max_size=5), max_size=3), st.text(max_size=40))
def test_only_malformed(names: Sequence[str], subject: str) -> None:
    with suppress(Malformed):
        check_form(made(to=[Mailbox(name=name, address="a@b") for name in names], subject=subject))


def test_copies_are_seen_and_hidden_ones_nowhere() -> None:
    ben, eve = Mailbox(name="Ben", address="b@x"), Mailbox(name="Eve", address="e@x")
    message = read(made(cc=[ben, eve]))
    assert message["Cc"] == "Ben <b@x>, Eve <e@x>"
    assert read(made())["Cc"] is None
    only = read(made(to=[], cc=[ben]))
    assert (only["To"], only["Cc"]) == (None, "Ben <b@x>")
