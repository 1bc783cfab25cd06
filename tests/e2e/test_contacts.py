"""`contact` by hand: six words, names, blocking and its end, removal, and what each says."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.homes import Home, ended, meet, until

Friends = tuple[Home, Home]


@pytest.fixture
def friends() -> Iterator[Friends]:
    with TemporaryDirectory(prefix="wc-") as path:
        anna, ben = Home(Path(path), "anna"), Home(Path(path), "ben")
        with ended([anna, ben]):
            for home in (anna, ben):
                home.init()
                home.start()
            meet(anna, ben)
            yield anna, ben


def test_six_words_and_what_they_mark(friends: Friends) -> None:
    anna, ben = friends
    here, there = anna.json("contact", "verify", "ben"), ben.json("contact", "verify", "anna")
    assert list(here) == ["name", "did", "words", "verified"]
    assert here["words"] == there["words"]
    assert len(here["words"].split()) == 6
    assert here["verified"] is None
    said = anna.says("contact", "verify", "ben").splitlines()
    assert said[0] == here["words"]
    assert "ben" in said[1]
    assert anna.json("contact", "list")[0]["verified"] is None

    assert anna.json("contact", "verify", "ben", "--yes")["verified"] is not None
    (row,) = anna.json("contact", "list")
    assert row["verified"] is not None
    assert ben.json("contact", "list")[0]["verified"] is None  # each for himself
    assert "verified" in anna.says("contact", "show", "ben")
    assert anna.refuses(67, "contact", "verify", "carl")["next"] == "willcall contact list"


def test_each_word_about_a_contact(friends: Friends) -> None:
    anna, ben = friends
    did = ben.json("whoami")["did"]
    assert "benjamin" in anna.says("contact", "rename", "ben", "benjamin")
    assert anna.refuses(67, "contact", "show", "ben")
    for bad in ("did:key:x", ""):
        assert "be a name" in anna.refuses(64, "contact", "rename", "benjamin", bad)["detail"]
    assert anna.json("contact", "show", "benjamin")["says"] == "ben"

    assert "blocked" in anna.says("contact", "block", "benjamin")
    message = ben.send("anna", b"Subject: are you there\n\n")
    ben.settled(message, "held")
    assert anna.json("inbox") == anna.json("held") == []
    assert "not blocked" in anna.says("contact", "unblock", "benjamin")
    (mail,) = anna.arrived(1)
    assert (mail["from"], mail["message"]) == ("benjamin", message)
    ben.settled(message, "confirmed")
    assert anna.json("contact", "unblock", "benjamin")["blocked"] is False  # again: the same

    assert "no contact any more" in anna.says("contact", "remove", "benjamin")
    assert anna.json("contact", "list") == []
    for word in ("show", "verify", "remove", "block", "unblock"):
        assert anna.refuses(67, "contact", word, "benjamin")["error"] == "no-contact"
    for word in ("show", "verify", "remove"):
        assert anna.refuses(67, "contact", word, did)["error"] == "no-contact"
    assert anna.refuses(67, "contact", "rename", did, "ben")["error"] == "no-contact"
    assert anna.json("inbox")[0]["from"] == did  # mail stays, under the key alone
    message = ben.send("anna", b"Subject: hello?\n\n")
    ben.settled(message, "held")
    until(lambda: anna.local().get("held"))
    assert anna.json("allow", did)["name"] == "ben"
    ben.settled(message, "confirmed")


def test_who_was_removed_comes_back_by_a_new_invite(friends: Friends) -> None:
    anna, ben = friends
    anna.json("contact", "remove", "ben")
    link = anna.json("invite")["link"]
    before = ben.json("contact", "list")
    assert ben.json("contact", "add", link) == before[0]
    assert [row["mutual"] for row in anna.json("contact", "list")] == [True]
    ben.settled(ben.send("anna", b"Subject: again\n\n"), "confirmed")
    assert ben.json("contact", "add", link) == before[0]  # again: the same
    anna.stop()
    assert ben.json("contact", "add", link) == before[0] | {"mutual": True}


def test_a_stranger_who_becomes_a_contact_is_held_no_longer(friends: Friends) -> None:
    anna, ben = friends
    ben.json("contact", "remove", "anna")
    anna.json("contact", "remove", "ben")
    message = ben.send(anna.json("whoami")["address"], b"Subject: may I\n\n")
    assert [row["message"] for row in until(lambda: anna.local().get("held"))] == [message]
    meet(anna, ben)
    ben.settled(message, "confirmed")
    assert [row["message"] for row in anna.arrived(1)] == [message]
    assert anna.json("held") == []


def test_strangers_of_another_loopback_address_are_shown(folder: Path) -> None:
    """All loopback addresses are one machine, whichever of them a connection comes from."""
    anna, eve = Home(folder, "anna"), Home(folder, "eve")
    with ended([anna, eve]):
        for place, home in enumerate((anna, eve), start=61):
            home.listen = f"127.0.0.{place}:{home.port}"
            home.init()
            home.start()
        message = eve.send(anna.json("whoami")["address"], b"Subject: here\n\n")
        assert [row["message"] for row in until(lambda: anna.local().get("held"))] == [message]
        did = eve.json("whoami")["did"]
        assert anna.json("allow", did)["mutual"] is True  # eve wrote, so she knows anna
        eve.settled(message, "confirmed")
