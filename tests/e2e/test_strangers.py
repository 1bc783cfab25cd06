"""Contacts and strangers between three homes: held, allow, deny, block, names."""

import pytest

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, meet, until

HELD = ["n", "did", "message", "size", "origin", "received", "keep_until", "facts"]


@pytest.fixture
def trio(make: Make) -> tuple[Home, Home, Home]:
    """Anna and ben know each other; nobody knows carol."""
    anna, ben, carol = make("anna"), make("ben"), make("carol")
    for home in (anna, ben, carol):
        home.start()
    meet(anna, ben)
    return anna, ben, carol


def address(home: Home) -> str:
    return str(home.json("whoami")["address"])


def did(home: Home) -> str:
    return str(home.json("whoami")["did"])


def test_a_stranger_waits_until_allowed(trio: tuple[Home, Home, Home]) -> None:
    anna, ben, carol = trio
    letter = b"Subject: you don't know me\n\n"
    message = carol.send(address(anna), letter)
    carol.settled(message, "held")
    (each,) = carol.json("status", message)["deliveries"]
    assert (each["to"], each["state"], each["reason"]) == (did(anna), "held", None)
    assert carol.json("contact", "list") == []
    (row,) = anna.json("held")
    assert list(row) == HELD
    assert (row["did"], row["message"], row["size"]) == (did(carol), message, len(letter))
    assert row["origin"] == f"127.0.0.1:{carol.port}"
    assert row["keep_until"] == carol.json("status", message)["keep_until"]
    assert isinstance(row["facts"], dict)
    assert anna.json("status")["held"] == 1
    assert message[-8:] in anna.says("held")
    assert "know me" not in anna.says("held")
    assert anna.json("inbox") == ben.json("held") == []

    assert anna.json("allow", message) == {"message": message, "did": did(carol)}
    (mail,) = anna.arrived(1)
    assert (mail["from"], mail["did"]) == (did(carol), did(carol))
    assert anna.raw(1) == letter
    carol.settled(message, "confirmed")
    assert anna.json("held") == []
    assert [row["name"] for row in anna.json("contact", "list")] == ["ben"]
    # Only that one: the next is held again, and the ring keeps one of each key.
    more = [carol.send(address(anna), b"Subject: %d\n\n" % n) for n in range(2)]
    for each in more:
        carol.settled(each, "held")
    assert len(anna.json("held")) == 1

    row = anna.json("allow", did(carol), "--as", "carol")
    assert (row["name"], row["did"]) == ("carol", did(carol))
    assert row["lane"] in ("contact", "stranger")
    anna.settled(anna.send("carol", b"Subject: hello then\n\n"), "confirmed")
    anna.json("reply", "1", "-m", "now you do")
    until(lambda: len(carol.local().get("inbox")) == 2)
    shown = carol.json("inbox")
    assert {row["subject"] for row in shown} == {"hello then", "Re: you don't know me"}


def test_an_introduction_is_held_and_allowed(trio: tuple[Home, Home, Home]) -> None:
    anna, _, carol = trio
    row = carol.json("contact", "add", address(anna), "--as", "anna")
    assert (row["name"], row["mutual"], row["lane"]) == ("anna", False, "stranger")
    (held,) = until(lambda: anna.local().get("held"))
    assert (held["did"], held["message"], held["size"]) == (did(carol), None, None)
    for word in ("allow", "deny"):
        said = anna.refuses(64, word, "abc")  # as everywhere else: it names no message at all
        assert "willcall held" in said["next"]
        assert anna.refuses(66, word, "nonsense")  # it could be the end of a CID
        assert anna.refuses(66, word, "9")
    row = anna.json("allow", did(carol))
    assert (row["name"], row["mutual"]) == ("carol", True)
    until(lambda: carol.local().get("contacts")[0]["mutual"])
    carol.settled(carol.send("anna", b"Subject: at last\n\n"), "confirmed")
    anna.settled(anna.send("carol", b"Subject: indeed\n\n"), "confirmed")


def test_denied_and_blocked(trio: tuple[Home, Home, Home]) -> None:
    anna, ben, carol = trio
    first = carol.send(address(anna), b"Subject: one\n\n")
    carol.settled(first, "held")
    assert anna.json("deny", first) == {"message": first, "did": did(carol)}
    assert anna.json("held") == []
    second = carol.send(address(anna), b"Subject: two\n\n")
    carol.settled(second, "held")
    until(lambda: anna.local().get("held"))
    anna.json("deny", did(carol))
    third = carol.send(address(anna), b"Subject: three\n\n")
    carol.settled(third, "held")
    assert anna.json("held") == anna.json("inbox") == []

    (blocked,) = anna.json("contact", "list", "--blocked")
    assert (blocked["word"], blocked["name"]) == (did(carol), None)
    assert blocked["at"] is not None
    anna.json("contact", "block", "example.org")
    assert [row["word"] for row in anna.json("contact", "list", "--blocked")][1:] == ["example.org"]
    said = anna.says("contact", "list", "--blocked")
    assert did(carol) in said
    assert "example.org" in said
    anna.json("contact", "unblock", "example.org")
    assert len(anna.json("contact", "list", "--blocked")) == 1

    assert anna.json("contact", "block", "www.B\u00fccher.com")["word"] == "xn--bcher-kva.com"
    assert anna.json("contact", "unblock", "b\u00fccher.com")["word"] == "xn--bcher-kva.com"
    assert len(anna.json("contact", "list", "--blocked")) == 1
    for word in ("block", "unblock"):
        assert "/24" in anna.refuses(64, "contact", word, "10.0.0.0/8")["next"]
        assert anna.refuses(64, "contact", word, "a b.com")

    row = anna.json("contact", "block", "ben")
    assert (row["blocked"], row["mutual"], row["lane"]) == (True, False, "closed")
    blocked = ben.send("anna", b"Subject: can you hear me\n\n")
    ben.settled(blocked, "held")
    (each,) = ben.json("status", blocked)["deliveries"]
    assert each["reason"] is None  # as a stranger's: ben can't tell
    assert anna.json("held") == anna.json("inbox") == []
    assert anna.json("contact", "list")[0]["blocked"] is True
    link = ben.json("invite")["link"]
    assert anna.json("contact", "add", link)["blocked"] is False
    ben.settled(ben.send("anna", b"Subject: again\n\n"), "confirmed")


def test_a_key_is_blocked_whether_it_waits_or_not(trio: tuple[Home, Home, Home]) -> None:
    anna, ben, carol = trio
    first = carol.send(address(anna), b"Subject: one\n\n")
    carol.settled(first, "held")
    until(lambda: anna.local().get("held"))
    row = anna.json("contact", "block", did(carol))
    assert (row["did"], row["name"], row["blocked"]) == (did(carol), None, True)
    assert anna.json("held") == anna.json("held", "--raw") == []
    assert [row["word"] for row in anna.json("contact", "list", "--blocked")] == [did(carol)]
    assert anna.json("contact", "block", did(carol))["blocked"] is True
    carol.settled(carol.send(address(anna), b"Subject: two\n\n"), "held")
    assert anna.json("held", "--raw") == []

    assert anna.json("contact", "unblock", did(carol))["blocked"] is False
    assert anna.json("contact", "list", "--blocked") == []
    assert anna.refuses(67, "contact", "unblock", did(carol))
    third = carol.send(address(anna), b"Subject: three\n\n")
    carol.settled(third, "held")
    until(lambda: anna.local().get("held"))
    # Nothing of this one waits there.
    assert ben.json("contact", "block", did(carol))["blocked"] is True
    assert [row["word"] for row in ben.json("contact", "list", "--blocked")] == [did(carol)]
    assert ben.refuses(64, "contact", "block", did(ben))
    assert ben.refuses(67, "contact", "block", "did:key:z6Mknonsense")
    assert ben.refuses(67, "contact", "block", "nobody")


def test_names_collide(trio: tuple[Home, Home, Home]) -> None:
    anna, ben, carol = trio
    before = anna.json("contact", "list")
    link = carol.json("invite")["link"]
    said = anna.refuses(73, "contact", "add", link, "--as", "ben")
    assert said["error"] == "exists"
    assert "ben-2" in said["next"]
    assert anna.json("contact", "list") == before
    assert anna.refuses(64, "contact", "add", link, "--as", "a@b")
    assert anna.refuses(64, "contact", "add", "nonsense")
    assert anna.refuses(64, "contact", "add", address(anna))
    assert anna.json("contact", "add", link, "--as", "ben-2")["mutual"] is True
    assert anna.refuses(73, "contact", "rename", "ben-2", "ben")["error"] == "exists"
    assert anna.json("contact", "rename", "ben-2", "carol")["name"] == "carol"
    assert anna.json("contact", "rename", "carol", "carol")["name"] == "carol"
    assert [row["name"] for row in anna.json("contact", "list")] == ["ben", "carol"]
    # Whom others call themselves gets a number where the name is taken.
    meet(carol, ben)
    carol.json("contact", "rename", "ben", "dave")
    link = ben.json("invite")["link"]
    assert carol.json("contact", "add", link)["name"] == "dave"


def test_whoever_is_called_as_somebody_else(make: Make) -> None:
    anna, first = make("anna"), make("ben")
    second = Home(first.path.parent / "other", "ben")
    second.path.parent.mkdir()
    second.init()
    try:
        for home in (anna, first, second):
            home.start()
        for home in (first, second):
            assert home.json("contact", "add", anna.json("invite")["link"])["mutual"]
        assert [row["name"] for row in anna.json("contact", "list")] == ["ben", "ben-2"]
        sent = anna.json("send", "--to", "ben-2", "-m", "you", "--wait", "10")
        assert sent["deliveries"][0]["did"] == did(second)
        assert len(second.json("inbox")) == 1
        assert first.json("inbox") == []
    finally:
        second.kill()


def test_an_invite_is_for_one(trio: tuple[Home, Home, Home]) -> None:
    anna, ben, carol = trio
    link = anna.json("invite")["link"]
    assert carol.json("contact", "add", link)["mutual"] is True
    ben.json("contact", "remove", "anna")
    row = ben.json("contact", "add", link)
    assert row["mutual"] is False
    assert "ask them for a new invite" in ben.says("contact", "add", link)
    forged = link[:-1] + ("A" if link[-1] != "A" else "Q")
    assert ben.json("contact", "add", forged)["mutual"] is False
    fresh = anna.json("invite")["link"]
    assert ben.json("contact", "add", fresh)["mutual"] is True


def test_an_unreachable_contact_is_noted(make: Make) -> None:
    anna, ben = make("anna"), make("ben")
    anna.start()
    link = anna.json("invite")["link"]
    anna.stop()
    ben.start()
    row = ben.json("contact", "add", link, "--as", "anna")
    assert (row["name"], row["mutual"]) == ("anna", False)
    message = ben.send("anna", b"Subject: as soon as you are there\n\n")
    assert ben.states(message) == ["stored"]
    anna.start()
    ben.settled(message, "confirmed", 60)
    assert ben.json("contact", "list")[0]["mutual"] is True


def test_a_removed_contact(trio: tuple[Home, Home, Home]) -> None:
    anna, ben, _ = trio
    assert anna.json("contact", "remove", "ben")["did"] == did(ben)
    assert anna.json("contact", "list") == []
    assert anna.refuses(67, "send", "--to", "ben", "-m", "x")
    message = ben.send("anna", b"Subject: still?\n\n")
    ben.settled(message, "held")
    (row,) = anna.json("held")
    assert row["facts"]["contact_before"] is True
    assert "held" in anna.says("status")
