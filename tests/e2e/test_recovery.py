"""A lost home: 24 words bring its owner back elsewhere, with what contacts still keep."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, ended, meet, until

Change = Callable[[list[str]], list[str]]

WORDS = (
    "void come effort suffer camp survey warrior heavy shoot primary clutch crush "
    "open amazing screen patrol group space point ten exist slush involve unfold"
)
"""Of the published vectors of BIP-39."""


@pytest.fixture
def second(folder: Path) -> Iterator[Home]:
    """Another home, not made yet."""
    home = Home(folder, "second")
    with ended([home]):
        yield home


def numbered(words: str) -> bytes:
    """As a careful person copies them."""
    rows = [f"{n}. {word.upper()}" for n, word in enumerate(words.split(), 1)]
    return "\r\n".join(rows).encode()


def test_the_same_person_from_the_phrase_alone(folder: Path, make: Make, second: Home) -> None:
    anna = make("anna")
    first = Home(folder, "ben")
    with ended([first]):
        made = first.init()
        anna.start()
        first.start()
        meet(anna, first)
        letters = [b"Subject: one\n\n1\n", b"Subject: two\n\n" + b"x" * 1_200_000]
        sent = [anna.send("ben", letter) for letter in letters]
        for message in sent:
            anna.settled(message, "confirmed")
        first.kill()
    waits = anna.send("ben", b"Subject: three\n\n3\n")

    words = numbered(made["recovery_phrase"])
    listen = f"127.0.0.1:{second.port}"
    init = ("init", "--recover", "--name", "ben", "--listen", listen)
    again = second.json(*init, data=words)
    assert list(again) == list(made)
    assert (again["did"], again["recovery_phrase"]) == (made["did"], None)
    assert again["origin"] == listen
    second.start()
    assert second.json("contact", "list") == second.json("inbox") == []
    row = second.json("contact", "add", anna.json("whoami")["address"])
    assert (row["name"], row["mutual"]) == ("anna", True)

    got = {second.raw(each["n"]) for each in second.arrived(3)}
    assert got == {*letters, b"Subject: three\n\n3\n"}
    for message in [*sent, waits]:
        anna.settled(message, "confirmed")
    (row,) = anna.json("contact", "list")
    assert (row["name"], row["did"], row["origin"]) == ("ben", made["did"], listen)
    anna.settled(anna.send("ben", b"Subject: and on\n\n"), "confirmed")
    second.arrived(4)
    second.settled(second.send("anna", b"Subject: back again\n\n"), "confirmed")


def test_in_words(second: Home) -> None:
    listen = f"127.0.0.1:{second.port}"
    said = second.says("init", "--recover", "--listen", listen, data=WORDS.encode())
    assert "same person" in said
    assert WORDS.split(" camp")[0] not in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda words: words[:-1], "has 23"),
        (lambda words: [*words, "zoo"], "has 25"),
        (lambda words: [*words[:6], "quark", *words[7:]], "word 7, 'quark'"),
        (lambda words: [*words[:3], words[4], words[3], *words[5:]], "checksum"),
        (lambda _: [], "has 0"),
        (lambda _: ["x" * 5000], "too long"),
    ],
)
def test_wrong_words_change_nothing(second: Home, change: Change, says: str) -> None:
    data = " ".join(change(WORDS.split())).encode()
    said = second.refuses(65, "init", "--recover", data=data)
    assert says in said["detail"]
    assert not second.path.exists()


def test_bytes_that_are_no_text(second: Home) -> None:
    assert "no text" in second.refuses(65, "init", "--recover", data=b"\xff\xfe\x00")["detail"]


def test_a_home_that_exists_is_left_alone(make: Make) -> None:
    anna = make("anna")
    before = anna.fingerprint()
    assert anna.refuses(73, "init", "--recover", data=WORDS.encode())["error"] == "exists"
    assert anna.fingerprint() == before


def test_the_phrase_is_never_an_argument(second: Home) -> None:
    assert second.refuses(64, "init", "--recover", WORDS)["error"] == "usage"
    assert not second.path.exists()


def test_another_owner_of_a_node_begins_again(make: Make, folder: Path) -> None:
    anna, house = make("anna"), make("house")
    lost = Home(folder, "carl")
    with ended([lost]):
        made = lost.init()
        anna.start()
        lost.start()
        meet(anna, lost)
        sent = anna.send("carl", b"Subject: keep this\n\n")
        anna.settled(sent, "confirmed")
        lost.kill()
    house.start()
    words = made["recovery_phrase"].encode()
    add = ("owner", "add", "carl", "--recover")
    row = house.json(*add, data=words)
    assert (row["did"], row["recovery_phrase"]) == (made["did"], None)
    said = house.refuses(73, "owner", "add", "twice", "--recover", data=words)
    assert "carl" in said["detail"]
    assert house.refuses(65, "owner", "add", "x", "--recover", data=b"no words")["detail"]
    assert [each["name"] for each in house.json("owner", "list")] == ["house", "carl"]
    address = anna.json("whoami")["address"]
    assert house.json("--owner", "carl", "contact", "add", address)["mutual"] is True
    (mail,) = until(lambda: house.json("--owner", "carl", "inbox"))
    assert (mail["from"], mail["subject"]) == ("anna", "keep this")
    assert house.json("inbox") == []
