"""A stolen laptop: the key is replaced elsewhere by the 24 words, while a thief goes on with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, ended, meet, until


class Stolen:
    """Anna and ben were contacts; a thief runs anna's home, and she has a new machine."""

    def __init__(self, folder: Path, ben: Home) -> None:
        self.ben, self.thief, self.anna = ben, Home(folder, "anna"), Home(folder, "anna2")
        made = self.thief.init()
        self.old, self.words = made["did"], made["recovery_phrase"].encode()
        for home in (ben, self.thief):
            home.start()
        meet(ben, self.thief)
        self.address = ben.json("whoami")["address"]


@pytest.fixture
def stolen(make: Make, folder: Path) -> Iterator[Stolen]:
    made = Stolen(folder, make("ben"))
    with ended([made.thief, made.anna]):
        yield made


def test_a_stolen_laptop(stolen: Stolen) -> None:
    ben, thief, anna = stolen.ben, stolen.thief, stolen.anna
    ben.json("contact", "rename", "anna", "annie")
    ben.json("contact", "verify", "annie", "--yes")
    kept = ben.send("annie", b"Subject: you have this\r\n\r\n1\r\n")
    ben.settled(kept, "confirmed")
    thief.stop()
    waits = ben.send("annie", b"Subject: this waited\r\n\r\n2\r\n")
    listen = f"127.0.0.1:{anna.port}"
    recover = ("init", "--recover", "--name", "anna", "--listen", listen)
    assert anna.json(*recover, data=stolen.words)["did"] == stolen.old
    anna.start()
    row = anna.json("key", "replace", data=stolen.words)
    assert row["old"] == {"name": "anna-old", "did": stolen.old}
    assert row["did"] == anna.json("whoami")["did"] != stolen.old
    assert len(row["recovery_phrase"].split()) == 24
    assert row["recovery_phrase"].encode() != stolen.words
    assert (row["told"], row["contacts"], row["open"]) == (0, 0, 0)
    owners = [(each["name"], each["did"]) for each in anna.json("owner", "list")]
    assert owners == [("anna", row["did"]), ("anna-old", stolen.old)]
    assert anna.json("contact", "add", stolen.address, "--as", "ben")["mutual"] is True
    # ben's contact moved, and he is told
    (contact,) = ben.json("contact", "list")
    assert (contact["name"], contact["did"], contact["verified"]) == ("annie", row["did"], None)
    assert contact["mutual"] is True
    for words in (("contact", "list"), ("inbox",)):
        said = ben.run(*words).err
        assert "annie has a new key since" in said
        assert "willcall contact verify annie" in said
    shown = ben.json("contact", "show", "annie")
    assert (shown["was"], shown["heir"], bool(shown["followed"])) == (stolen.old, None, True)
    assert ben.json("contact", "show", stolen.old)["did"] == row["did"]
    # what she had comes again, and both write to each other
    ben.settled(waits, "confirmed")
    assert "readdressed" in [step["step"] for step in ben.json("log", waits)]
    mails = {(mail["from"], mail["subject"]) for mail in anna.arrived(2)}
    assert mails == {("ben", "you have this"), ("ben", "this waited")}
    until(lambda: ben.json("status", kept)["deliveries"][0]["did"] == row["did"])
    assert ben.json("status", kept)["deliveries"][0]["to"] == "annie"
    ben.settled(ben.send("annie", b"Subject: to the new one\r\n\r\n"), "confirmed")
    anna.settled(anna.send("ben", b"Subject: from the new one\r\n\r\n"), "confirmed")
    assert [each["from"] for each in ben.arrived(1)] == ["annie"]
    # the thief is refused, with words, and its own program learns why
    thief.start()
    letter = thief.send("ben", b"Subject: send money\r\n\r\n")
    until(lambda: thief.states(letter) == ["refused"])
    assert thief.json("status", letter)["deliveries"][0]["reason"] == "replaced"
    assert "your key was replaced" in thief.says("status", letter)
    thief.json("key", "rotate")
    said = until(lambda: thief.says("whoami") if "replaced" in thief.says("whoami") else "")
    assert row["did"] in said
    assert thief.refuses(77, "send", "--to", "ben", "-m", "more")["error"] == "replaced"
    assert thief.refuses(77, "invite")["next"]
    assert len(ben.json("inbox")) == 1
    assert ben.json("held") == []
    # said until the words were compared
    words = ben.json("contact", "verify", "annie", "--yes")["words"]
    assert anna.json("contact", "verify", "ben")["words"] == words
    assert "new key" not in ben.run("inbox").err


def test_a_restored_home_takes_its_contacts_along(stolen: Stolen, folder: Path) -> None:
    """Everybody follows by itself; mail of before stays with the old key."""
    ben, thief, anna = stolen.ben, stolen.thief, stolen.anna
    ben.settled(ben.send("anna", b"Subject: in the backup\r\n\r\n"), "confirmed")
    thief.json("owner", "token", "anna", "--device", "laptop")
    thief.json("backup", str(folder / "b"))
    thief.stop()
    later = ben.send("anna", b"Subject: after it\r\n\r\n")
    anna.json("restore", str(folder / "b"), data=stolen.words)
    anna.start()
    ben.settled(later, "confirmed")
    assert anna.refuses(65, "key", "replace", data=b"no words")["next"] is not None
    done = anna.run("key", "replace", data=stolen.words)
    assert done.code == 0, done
    said = done.out.decode() + done.err
    assert "goes on with a new key" in said
    assert "willcall --owner anna-old inbox" in said
    assert "Tokens and open invites of the old key are void" in said
    until(lambda: ben.json("contact", "list")[0]["did"] == anna.json("whoami")["did"])
    ben.settled(ben.send("anna", b"Subject: to the new one\r\n\r\n"), "confirmed")
    assert [row["subject"] for row in anna.arrived(1)] == ["to the new one"]
    kept = anna.json("--owner", "anna-old", "inbox")
    assert [row["subject"] for row in kept] == ["in the backup", "after it"]
    assert anna.json("owner", "tokens", "anna-old") == []
    assert anna.refuses(77, "--owner", "anna-old", "send", "--to", "ben", "-m", "x")["next"]
    assert anna.refuses(77, "--owner", "anna-old", "key", "replace", data=stolen.words)["next"]
    (row,) = anna.json("contact", "list")
    assert (row["name"], row["mutual"]) == ("ben", True)
    # backups open with the new words from now on
    assert anna.json("backup", str(folder / "c"))["did"] == anna.json("whoami")["did"]
