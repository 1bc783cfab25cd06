from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Malformed, TooLarge
from node.mail.mbox import join, split
from node.units import Instant

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
        (b"From a\nx\n\n\nFrom b\ny\n\n", [b"x\n\n", b"y\n"]),
        (b"From a\nx\nFrom b\ny\n", [b"x\n", b"y\n"]),
        (b"From a\r\nx\r\n\r\nFrom b\r\n>From c\r\n\r\n", [b"x\r\n", b"From c\r\n"]),
        (
            b"From a\n>From b\n>>From c\n >From d\n>From\n\n",
            [b"From b\n>From c\n >From d\n>From\n"],
        ),
        (b"From a\n\n", [b""]),
        (b"From a\nFrom b\n", [b"", b""]),
        (b"From a", [b""]),
        (b"From a\nx\n\nFrom b", [b"x\n", b""]),
        (b"From a\nx\r\n\n", [b"x\r\n"]),
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


def test_blank_lines_take_no_memory() -> None:
    with pytest.raises(TooLarge):
        list(split([b"\n" * 100] * 100, largest=500))


@given(st.lists(st.lists(st.sampled_from(LINES))), st.integers(1, 40))
def test_round_trip(texts: list[list[bytes]], size: int) -> None:
    messages = [b"".join(line + b"\n" for line in lines) for lines in texts]
    file = b"".join(join((Instant(0), message) for message in messages))
    assert list(split(chunked(file, size))) == messages


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
