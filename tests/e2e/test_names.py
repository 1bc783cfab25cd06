"""`name@domain`, by the real command line: a node that listens where its domain is asked."""

import re
from collections.abc import Iterator

import pytest

from tests.e2e import network
from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until

DOMAIN = {"listen": "127.0.0.1:443", "origin": "localhost:443"}


@pytest.fixture(autouse=True)
def _alone(make: Make) -> Iterator[None]:
    with network.alone():
        yield


@pytest.fixture
def ben(make: Make) -> Home:
    home = make("ben")
    home.start()
    return home


def a_domain(make: Make, name: str, *found: str) -> Home:
    home = make(name)
    home.configure(network=DOMAIN, discovery={"webfinger": list(found)})
    home.start()
    return home


def test_written_to_by_name(make: Make, ben: Home) -> None:
    anna = a_domain(make, "anna", "anna")
    sent = ben.json("send", "--to", "anna@localhost", "-m", "Hello!")
    assert sent["deliveries"][0]["did"] == anna.json("whoami")["did"]
    ben.settled(sent["message"], "held")
    anna.json("allow", ben.json("whoami")["did"])
    ben.settled(sent["message"], "confirmed")
    # From now on the name means that key, whether the domain answers or not.
    anna.stop()
    again = ben.json("send", "--to", "anna@LOCALHOST", "-m", "Still there?")
    assert again["deliveries"][0]["did"] == sent["deliveries"][0]["did"]
    # Removed, though never a contact: the name is looked up anew, and nobody answers.
    ben.json("contact", "remove", "anna@localhost")
    ben.refuses(69, "send", "--to", "anna@localhost", "-m", "Now?")


def test_a_contact_by_name(make: Make, ben: Home) -> None:
    anna = a_domain(make, "anna", "*")
    row = ben.json("contact", "add", "anna@localhost")
    me = anna.json("whoami")
    assert (row["name"], row["did"], row["origin"]) == ("anna", me["did"], "localhost:443")
    assert row["mutual"] is False
    assert ben.json("contact", "show", "anna@localhost")["did"] == me["did"]
    anna.json("allow", ben.json("whoami")["did"])
    until(lambda: ben.json("contact", "show", "anna")["mutual"])
    assert ben.json("contact", "add", "anna@localhost")["mutual"] is True
    assert len(ben.json("contact", "list")) == 1


def test_nobody_by_that_name(make: Make, ben: Home) -> None:
    a_domain(make, "anna", "anna")
    said = ben.refuses(67, "contact", "add", "carla@localhost")
    assert "knows nobody called carla" in said["detail"]
    said = ben.refuses(67, "send", "--to", "carla@localhost", "-m", "x")
    assert "invite link" in said["next"]
    assert "no name at a domain" in ben.refuses(64, "contact", "add", "anna@host")["detail"]
    assert ben.json("sent") == []
    assert ben.json("contact", "list") == []


def test_a_domain_that_does_not_answer(ben: Home) -> None:
    said = ben.refuses(69, "send", "--to", "anna@localhost", "-m", "x")
    assert "localhost:443 takes no connections" in said["detail"]
    assert ben.json("sent") == []


def test_a_changed_key_is_shown_and_has_to_be_confirmed(make: Make, ben: Home) -> None:
    first = a_domain(make, "anna", "anna")
    old = ben.json("contact", "add", "anna@localhost")
    first.stop()
    second = a_domain(make, "anna2", "anna2")
    second.json("owner", "add", "anna")
    second.stop()
    second.configure(discovery={"webfinger": ["*"]})
    second.start()
    said = ben.refuses(77, "contact", "add", "anna@localhost")
    assert said["error"] == "key-changed"
    keys = re.findall("did:key:z6Mk[A-Za-z0-9]+", said["detail"])
    assert keys == [old["did"], second.run("--json", "--owner", "anna", "whoami").document()["did"]]
    assert ben.json("contact", "list") == [old]
    # Mail goes on to the key that was there first; and the way that the error names leads on.
    sent = ben.json("send", "--to", "anna@localhost", "-m", "x")
    assert sent["deliveries"][0]["did"] == keys[0]
    steps = re.findall(r"willcall (contact \w+ \S+?)(?:,|$)", said["next"])
    for step in steps:
        ben.json(*step.split())
    assert [row["did"] for row in ben.json("contact", "list")] == keys[1:]
