"""An owner of a group's node is removed, with the command that people use."""

import contextlib
import mailbox
from pathlib import Path

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until


def test_owner_remove(make: Make, folder: Path) -> None:
    anna, carl = make("anna"), make("carl")
    anna.start()
    carl.start()
    anna.json("owner", "add", "ben")
    link = anna.json("--owner", "ben", "invite")["link"]
    assert carl.json("contact", "add", link)["mutual"] is True
    for n in range(2):
        carl.settled(carl.send("ben", b"Subject: to ben %d\r\n\r\nFrom here\r\n" % n), "confirmed")
    carl.stop()
    anna.json("--owner", "ben", "send", "--to", "carl", "-m", "not yet picked up")
    last = carl.refuses(69, "owner", "remove", "carl", "--without-export")
    assert last["next"]
    said = anna.refuses(77, "owner", "remove", "ben")
    assert said["error"] == "not-exported"
    assert "2 received and 1 sent (1 not confirmed yet" in said["detail"]
    assert "--mbox" in said["next"]
    file = folder / "ben.mbox"
    assert anna.refuses(64, "owner", "remove", "ben", "--mbox", "x", "--without-export")["next"]
    assert anna.refuses(67, "owner", "remove", "dora", "--mbox", str(file))["next"]
    assert not file.exists()
    row = anna.json("owner", "remove", "ben", "--mbox", str(file))
    assert (row["name"], row["withdrawn"], row["untold"]) == ("ben", 1, 1)
    assert row["freed"] > 0
    with contextlib.closing(mailbox.mbox(file)) as box:
        subjects = {str(each["subject"]) for each in box}
    assert subjects == {"to ben 0", "to ben 1", "None"}
    assert [each["name"] for each in anna.json("owner", "list")] == ["anna"]
    assert anna.refuses(67, "--owner", "ben", "inbox")["next"]
    assert anna.refuses(77, "owner", "remove", "anna", "--without-export")["error"] == "last-owner"
    assert anna.refuses(77, "owner", "remove", "anna", "--mbox", str(folder / "a"))["next"]
    assert not (folder / "a").exists()
    carl.start()
    message = carl.send("ben", b"are you there?")
    until(lambda: carl.states(message) == ["refused"])
    assert carl.json("status", message)["deliveries"][0]["reason"] == "not-here"
    assert len(carl.json("inbox")) == 0


def test_the_first_owner_goes_and_backups_open_with_the_next_one_s_words(
    make: Make, folder: Path
) -> None:
    anna = make("anna")
    anna.start()
    ben = anna.json("owner", "add", "ben")
    done = anna.run("owner", "remove", "anna", "--without-export")
    assert done.code == 0
    assert "words of the next owner from now on: " + ben["did"] in done.err
    made = anna.json("backup", str(folder / "b.backup"))
    assert made["did"] == ben["did"]
    row = anna.json(
        "backup", "verify", str(folder / "b.backup"), data=ben["recovery_phrase"].encode()
    )
    assert (row["opened_by"], row["owners"]) == ("words", ["ben"])


def test_another_quota(pair: tuple[Home, Home]) -> None:
    """Less than is used deletes nothing; with more, what waited only for room comes at once."""
    anna, ben = pair
    row = ben.json("owner", "quota", "ben", "10KiB")
    assert (row["name"], row["quota"]["limit"]) == ("ben", 10 << 10)
    sent = anna.send("ben", b"Subject: large\r\n\r\n" + b"x" * 20_000)
    until(lambda: anna.json("status", sent)["deliveries"][0]["reason"] == "over-quota")
    assert "ben has 1.0 MiB now" in ben.says("owner", "quota", "ben", "1MiB")
    anna.settled(sent, "confirmed")
    assert ben.json("owner", "list")[0]["quota"]["limit"] == 1 << 20
    ben.json("owner", "quota", "ben", "1KiB")
    assert len(ben.json("inbox")) == 1
    assert ben.refuses(73, "send", "--to", "anna", "-m", "no room")["error"] == "over-quota"
    assert ben.refuses(64, "owner", "quota", "ben", "lots")["next"]
    assert ben.refuses(67, "owner", "quota", "dora", "1GiB")["next"]
