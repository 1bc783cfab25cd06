from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Malformed, TooLarge
from node.mail.mbox import DIALECTS, Message, Splitter, join, moment, sniff, split, write
from node.units import LAST, Instant

DATE = b"Thu Jan  2 12:00:29 2020"

LINES = [
    b"From me",
    b">From me",
    b">>From me",
    b"From",
    b"",
    b">",
    b"text",
    b"\r",
    b"a\0b",
    b" From ",
]


def chunked(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    ("file", "messages"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"From a\nx\n\n", [b"x\n"]),
        (b"From a\nx\n", [b"x\n"]),
        (b"From a\nx", [b"x"]),
        (b"\n\nFrom a\nx\n\n", [b"x\n"]),
        (b"From a\nx\n\n\nFrom b " + DATE + b"\ny\n\n", [b"x\n\n", b"y\n"]),
        (b"From a\nx\nFrom b " + DATE + b"\ny\n", [b"x\n", b"y\n"]),
        (b"From a\r\nx\r\n\r\nFrom b " + DATE + b"\r\n>From c\r\n\r\n", [b"x\r\n", b"From c\r\n"]),
        (
            b"From a\n>From b\n>>From c\n >From d\n>From\n\n",
            [b"From b\n>From c\n >From d\n>From\n"],
        ),
        (b"From a\n\n", [b""]),
        (b"From a\nFrom b " + DATE + b"\n", [b"", b""]),
        (b"From a", [b""]),
        (b"From a\nx\n\nFrom b " + DATE, [b"x\n", b""]),
        (b"From a\nx\r\n\n", [b"x\r\n"]),
        (b"\xef\xbb\xbfFrom a\nx\n", [b"x\n"]),
        (b"\xef\xbb\xbf\r\nFrom a\n\xef\xbb\xbfx\n", [b"\xef\xbb\xbfx\n"]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_split(file: bytes, messages: list[bytes], size: int) -> None:
    assert list(split(chunked(file, size))) == messages


@pytest.mark.parametrize(
    "file",
    [b"Subject: x\n\nFrom here\n", b"x", b"Fro", b"\nFro", b"from a\n", b"From\n", b"\0" * 100],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_no_mbox(file: bytes, size: int) -> None:
    with pytest.raises(Malformed):
        list(split(chunked(file, size)))


def test_another_format_ends_early() -> None:
    def endless() -> object:
        yield b"Subject: x\n"
        raise AssertionError("more was asked for than is needed to tell")

    with pytest.raises(Malformed):
        list(split(endless()))  # type: ignore[arg-type]


def test_too_large() -> None:
    with pytest.raises(TooLarge):
        list(split([b"From a\n", b"x" * 50, b"x" * 50], largest=90))


@given(st.lists(st.sampled_from([0, 3, 40, 200, 900, 5000])), st.integers(1, 400))
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_too_large_is_passed_over(dialect: str, sizes: list[int], piece: int) -> None:
    """What comes before it and behind it is as if it were not there, and its place is known."""
    contents = [b"Subject: %d\n\n" % size + b"x\n" * size for size in sizes]
    file = b"".join(join((Instant(0), content) for content in contents))
    splitter = Splitter(largest=2000, dialect=dialect, passing=True)
    found = list[Message]()
    for chunk in chunked(file, piece):
        found += splitter.feed(chunk)
        assert len(splitter._buffer) <= 2000 + 1080 + piece
    found += splitter.end()
    assert len(found) == len(sizes)
    for message, content in zip(found, contents, strict=True):
        assert message.separator == b"From mboxrd@z Thu Jan  1 00:00:00 1970"
        assert message.content == (content if message.whole else b"")
        assert message.whole or len(content) > 2000
        assert not message.whole or len(content) < 5000


def test_what_is_no_mbox_is_not_passed_over() -> None:
    splitter = Splitter(largest=500, passing=True)
    with pytest.raises(TooLarge):
        list(splitter.feed(b"\n" * 10_000))


def test_a_length_inside_of_what_is_passed_over_leads_nowhere() -> None:
    splitter = Splitter(largest=2000, dialect="mboxcl2", passing=True)
    inner = b"Content-Length: 400\n\n" * 400
    file = b"From a %s\nA: b\n\n" % DATE + inner + b"\nFrom b %s\nA: b\n\ntext\n" % DATE
    found = [m for chunk in chunked(file, 50) for m in splitter.feed(chunk)]
    found += splitter.end()
    assert [(m.whole, m.content) for m in found] == [(False, b""), (True, b"A: b\n\ntext\n")]


def test_blank_lines_take_no_memory() -> None:
    with pytest.raises(TooLarge):
        list(split([b"\n" * 100] * 100, largest=500))


@given(st.lists(st.lists(st.sampled_from(LINES))), st.integers(1, 40))
def test_round_trip(texts: list[list[bytes]], size: int) -> None:
    messages = [b"".join(line + b"\n" for line in lines) for lines in texts]
    file = b"".join(join((Instant(0), message) for message in messages))
    assert list(split(chunked(file, size))) == messages


def test_a_moment_that_no_calendar_has() -> None:
    """What others publish says any up to 2^53 - 1: a separator has four digits for the year."""
    (line, *_) = write(Instant(2**53 - 1), [b""])
    assert line == b"From mboxrd@z Fri Dec 31 23:59:59 9999\n"
    assert next(write(LAST, [b""])) == line


def test_join() -> None:
    file = b"".join(join([(Instant(1577966429999), b"From x\ny"), (Instant(0), b"")]))
    assert file == (
        b"From mboxrd@z Thu Jan  2 12:00:29 2020\n>From x\ny\n\n"
        b"From mboxrd@z Thu Jan  1 00:00:00 1970\n\n"
    )


@given(st.binary(), st.integers(1, 20))
def test_takes_anything(data: bytes, size: int) -> None:
    for file in (data, b"From a\n" + data):
        try:
            list(split(chunked(file, size)))
        except Malformed:
            assert not file.startswith(b"From ")


@pytest.mark.corpus
@pytest.mark.parametrize("size", [997, 65536])
def test_archive_splits_as_its_index_says(corpus: Path, size: int) -> None:
    for index in (corpus / "list-archive").glob("*.index.tsv"):
        rows = [line.split("\t") for line in index.read_text().splitlines()[1:]]
        file = index.with_name(index.name.replace(".index.tsv", ".mbox")).read_bytes()
        messages = list(split(chunked(file, size)))
        assert [len(message) for message in messages] == [int(row[2]) for row in rows]
        assert [sha256(message).hexdigest() for message in messages] == [row[3] for row in rows]
        times = [Instant(int(row[4]) * 1000) for row in rows]
        assert b"".join(join(zip(times, messages, strict=True))) == file


@given(st.lists(st.sampled_from([*LINES, b"Fro", b"m x"])), st.integers(1, 12), st.booleans())
def test_writing_in_pieces_is_writing_at_once(lines: list[bytes], size: int, ended: bool) -> None:
    content = b"\n".join(lines) + b"\n" * ended
    pieces = b"".join(write(Instant(0), chunked(content, size)))
    assert pieces == b"".join(join([(Instant(0), content)]))
    assert list(split([pieces])) == [
        content if content.endswith(b"\n") or not content else content + b"\n"
    ]


def test_a_line_of_quotes_takes_no_memory() -> None:
    longest = max(len(piece) for piece in write(Instant(0), [b">" * 1000] * 1000))
    assert longest <= 1001


# --- dialects ---------------------------------------------------------------------------

ODD = b"From a\nSubject: x\n\n>From b\n>>From c\n\n"


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("mboxrd", b"From b\n>From c\n"),
        ("mboxo", b"From b\n>>From c\n"),
        ("mboxcl2", b">From b\n>>From c\n"),
    ],
)
def test_what_a_mark_means(dialect: str, body: bytes) -> None:
    assert list(split([ODD], dialect=dialect)) == [b"Subject: x\n\n" + body]


def counted(body: bytes, length: int | None = None, line: bytes = b"\n") -> bytes:
    length = len(body) if length is None else length
    head = b"From a@b Thu Jan  2 12:00:29 2020\nSubject: x\nContent-Length: %d\n" % length
    return (head + b"\n").replace(b"\n", line) + body


BODIES = [b"", b"x\n", b"a\nFrom b\nc\n", b"no end", b"\n\nFrom x y\n\n", b"From \n"]


@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
@pytest.mark.parametrize("after", [b"\n", b"", b"\n\n"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_lengths_are_believed_where_they_lead_to_a_separator(
    line: bytes, after: bytes, size: int
) -> None:
    bodies = [body for body in BODIES if after or body.endswith(b"\n")]
    file = b"".join(counted(body, line=line) + (after or b"") for body in bodies)
    got = list(split(chunked(file, size), dialect="mboxcl2"))
    assert [content.partition(line * 2)[2] for content in got] == bodies
    assert sniff(file) == "mboxcl2"


@pytest.mark.parametrize("length", [0, 2, 1_000, 10**11])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_wrong_length_is_not(length: int, size: int) -> None:
    file = counted(b"a\nb\n", length) + b"\n" + counted(b"c\n") + b"\n"
    got = list(split(chunked(file, size), dialect="mboxcl2"))
    assert [content.partition(b"\n\n")[2] for content in got] == [b"a\nb\n", b"c\n"]
    assert sniff(file) == "mboxrd"


@pytest.mark.parametrize(
    "file",
    [b"", b"\n", b"no mbox", ODD, b"From mboxrd@z x\nContent-Length: 2\n\nx\n\nFrom a\n"],
)
def test_nothing_is_guessed(file: bytes) -> None:
    assert sniff(file) == "mboxrd"


@given(
    st.lists(st.sampled_from([b"From a\n", b"\n", b"Content-Length: 3\n", b"x\n"])),
    st.integers(1, 9),
)
def test_dialects_take_anything(lines: list[bytes], size: int) -> None:
    file = b"".join(lines)
    for dialect in DIALECTS:
        try:
            got = list(split(chunked(file, size), dialect=dialect))
            assert got == list(split([file], dialect=dialect))
        except Malformed:
            assert not file.startswith(b"From ")
    sniff(file)


@pytest.mark.parametrize(
    ("separator", "millis"),
    [
        (b"From mboxrd@z Thu Jan  2 12:00:29 2020", 1577966429000),
        (b"From a b Thu Jan  2 12:00 2020", 1577966400000),
        (b"From a Thu Jan 02 12:00:29 +0100 2020 remote from x", 1577966429000),
        (b"From a Thu Jan  2 12:00:60 UTC 2020", 1577966459000),
        (b"From a Fri Jan  1 00:00:00 1960", 0),
        (b"From a", None),
        (b"From a Thu Foo  2 12:00:29 2020", None),
        (b"From a Thu Feb 31 12:00:29 2020", None),
    ],
)
def test_when_it_came(separator: bytes, millis: int | None) -> None:
    assert moment(separator) == millis


def test_separators_come_along() -> None:
    splitter = Splitter()
    got = [*splitter.feed(b"From a b\r\nx\r\n\r\nFrom c " + DATE), *splitter.end()]
    assert got == [Message(b"From a b", b"x\r\n"), Message(b"From c " + DATE, b"")]


@pytest.mark.parametrize(
    "line",
    [
        b"From now on it is Thursday",
        b"From here to there:",
        b"From 12:30 on, 2020 people came",
        b"From " + b"x" * 2000 + b" " + DATE,
        b"From a Thu Jan  2 of 2020",
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_line_of_a_body_divides_nothing(line: bytes, end: bytes, size: int) -> None:
    body = end.join([b"Subject: s", b"", b"Hello.", b"", line, b"we go.", line, b"", line, b""])
    file = b"From a " + DATE + end + body + end + b"From b " + DATE + end + b"B: c" + end
    assert list(split(chunked(file, size))) == [body, b"B: c" + end]
    assert list(split(chunked(file[: file.index(b"From b")], size))) == [body]


@pytest.mark.parametrize(
    "separator",
    [
        b"From - Thu Jan 02 12:00:29 2020",
        b"From a at b.test  Thu Jan  2 12:00:29 2020",
        b"From a@b.test Thu Jan  2 12:00 2020",
        b"From a@b.test Thu Jan  2 12:00:29 EST 2020",
        b"From a@b.test Thu Jan  2 12:00:29 +0100 2020",
        b"From a@b.test Thu Jan  2 12:00:29 2020 remote from c",
        b"From 123@xxx Thu Jan 02 12:00:29 +0000 2020",
        b"From ",
        b"From ???@??? ",
        b"From nobody",
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_separators_that_programs_write(separator: bytes, end: bytes, size: int) -> None:
    letters = [end.join([b"Subject: %d" % n, b"", b"text", b""]) for n in range(3)]
    file = b"".join(separator + end + each + end for each in letters)
    assert list(split(chunked(file, size))) == letters


@pytest.mark.corpus
def test_an_mbox_with_lengths(corpus: Path) -> None:
    found = 0
    for path in (corpus / "parser-torture" / "mimekit").rglob("*"):
        if (
            path.is_file()
            and b"\nContent-Length:" in (data := path.read_bytes())
            and data[:5] == b"From "
        ):
            messages = list(split([data], dialect=sniff(data[: 1 << 20])))
            found += len(messages)
            if sniff(data[: 1 << 20]) == "mboxcl2":
                for message in messages:
                    stated = [
                        w
                        for w in message.partition(b"\n\n")[0].split(b"\n")
                        if b"Content-Length" in w
                    ]
                    assert int(stated[0].split(b":")[1]) == len(message.partition(b"\n\n")[2])
    assert found
