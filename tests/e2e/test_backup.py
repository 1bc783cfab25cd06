"""Real nodes: a backup while mail goes on, the disk gone, restored, and nothing lost."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CHECKOUT
from tests.e2e.conftest import Make
from tests.e2e.homes import PROGRAM, Home, clean_env, ended, until
from tests.e2e.test_archives import mbox, publish
from tests.services.shelves import letter

LARGE = os.urandom(1_300_000)


@pytest.fixture
def scratch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where trials are made; empty before and after."""
    place = folder / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


class Pair:
    """Anna, whose words are known, and ben."""

    def __init__(self, folder: Path, make: Make) -> None:
        self.anna, self.ben = make("anna"), make("ben")
        shutil.rmtree(self.anna.path)
        self.words = self.anna.init()["recovery_phrase"].encode()
        self.file = folder / "anna.backup"
        for home in (self.anna, self.ben):
            home.start()
        link = self.anna.json("invite")["link"]
        assert self.ben.json("contact", "add", link)["mutual"] is True
        until(lambda: all(row["mutual"] for row in self.anna.local().get("contacts")))

    def backup(self) -> Any:
        return self.anna.json("backup", str(self.file))


@pytest.fixture
def pair(folder: Path, make: Make) -> Pair:
    return Pair(folder, make)


def confirmed_at(home: Home, message: str) -> str:
    return str(home.local().get("message", message)["deliveries"][0]["confirmed_at"])


def gone(home: Home) -> None:
    """The disk is gone, and the node with it."""
    home.kill()
    shutil.rmtree(home.path)


def test_backup_disk_gone_restore_nothing_lost(pair: Pair) -> None:
    anna, ben = pair.anna, pair.ben
    before = [ben.send("anna", b"one"), ben.send("anna", LARGE)]
    anna.arrived(2)
    sent = anna.send("ben", b"from anna, before")
    anna.settled(sent, "confirmed")
    ben.stop()
    open_ = anna.send("ben", b"still on its way at the backup")
    made = pair.backup()
    assert (made["missing"], made["path"]) == (0, str(pair.file))
    assert pair.file.stat().st_size == made["size"]
    assert pair.file.stat().st_mode & 0o777 == 0o600
    ben.start()
    # After the backup: both ways.
    anna.settled(open_, "confirmed")
    later = [ben.send("anna", b"two"), ben.send("anna", LARGE[::-1])]
    for message in (*before, *later):
        ben.settled(message, "confirmed")
    first = [confirmed_at(ben, message) for message in later]
    gone(anna)
    waiting = ben.send("anna", b"while she was gone")
    done = anna.json("restore", str(pair.file), data=pair.words)
    assert set(done) == {
        "home", "did", "made", "owners", "contacts", "received", "sent", "rows", "blocks", "size",
        "missing", "tokens", "complaints",
    }  # fmt: skip
    assert (done["owners"], done["contacts"], done["received"], done["sent"]) == (
        ["anna"], 1, 2, 2,
    )  # fmt: skip
    assert done["complaints"] == []
    assert done["rows"] == made["rows"]
    anna.start()
    # What was confirmed by receipts of the life before is open again, and comes.
    rows = anna.arrived(5, 30)
    assert sorted(row["message"] for row in rows) == sorted([*before, *later, waiting])
    assert {row["state"] for row in rows[2:]} == {"new"}
    assert all(row["n"] > 1_000 for row in rows[2:])
    assert anna.raw(later[1]) == LARGE[::-1]
    for message in (*before, *later, waiting):
        ben.settled(message, "confirmed", 30)
    # By new receipts: those of the life before are void.
    assert all(confirmed_at(ben, m) > at for m, at in zip(later, first, strict=True))
    # The sender is restored too: it tells what was open, and learns that it was confirmed.
    anna.settled(open_, "confirmed", 30)
    assert len(ben.json("inbox")) == 2
    both = anna.send("ben", b"life goes on"), ben.send("anna", b"both ways")
    anna.settled(both[0], "confirmed")
    ben.settled(both[1], "confirmed")
    assert len(anna.json("inbox")) == 6
    assert len(ben.json("inbox")) == 3


def test_an_archive_signs_on_where_its_followers_are(pair: Pair, make: Make) -> None:
    """A mirror with nothing newer proves nothing; one with more, or a new epoch, frees it."""
    anna, ben, carl = pair.anna, pair.ben, make("carl")
    carl.start()
    row = publish(anna, "cats", [letter(1)])
    for home in (ben, carl):
        home.json("archive", "follow", row["link"])
        home.json("archive", "poll", "cats")
    urls = [home.json("archive", "publish", "cats")["url"] for home in (ben, carl)]
    pair.backup()
    anna.json("archive", "add", "cats", "-", data=mbox([letter(2)]))
    assert ben.json("archive", "poll", "cats")["after"] == 2
    gone(anna)
    anna.json("restore", str(pair.file), data=pair.words)
    anna.start()
    said = anna.refuses(77, "archive", "poll", "cats", "--from", urls[1])
    assert said["detail"].startswith("nothing newer there than the backup had")
    assert "--new-epoch" in said["next"]
    assert "signs nothing" in anna.says("archive", "list")
    assert anna.refuses(77, "archive", "add", "cats", "-", data=mbox([letter(3)]))["error"] == (
        "behind"
    )
    assert "signs nothing" in anna.says("doctor")
    assert anna.json("archive", "poll", "cats", "--from", urls[0])["after"] == 2
    anna.json("archive", "add", "cats", "-", data=mbox([letter(3)]))
    for home in (ben, carl):
        assert home.json("archive", "poll", "cats")["after"] == 3


def test_somewhere_else(pair: Pair, folder: Path) -> None:
    """Settings, certificate and letters begun come along; the place can be another."""
    anna, ben = pair.anna, pair.ben
    (anna.path / "drafts").mkdir(mode=0o700)
    (anna.path / "drafts" / "3").write_text("To: ben\n\nhalf a letter")
    pem = (anna.path / "tls-key.pem").read_bytes()
    pair.backup()
    gone(anna)
    new = Home(folder, "new")
    new.json("restore", str(pair.file), "--listen", new.listen, data=pair.words)
    assert (new.path / "tls-key.pem").read_bytes() == pem
    assert (new.path / "drafts" / "3").read_text().endswith("half a letter")
    assert new.path.stat().st_mode & 0o777 == 0o700
    assert all(p.stat().st_mode & 0o077 == 0 for p in new.path.rglob("*"))
    with ended([new]):
        assert new.start().split()[2] == new.listen
        message = ben.send("anna", b"you moved")
        ben.settled(message, "confirmed", 30)
        new.stop()


def test_verify(pair: Pair, scratch: Path) -> None:
    anna = pair.anna
    pair.ben.send("anna", LARGE)
    anna.arrived(1)
    assert anna.json("status")["returned"] is not None
    known = anna.local().get("status")["backup"]
    assert known == {"made": None, "verified": None, "overdue": False}
    made = pair.backup()
    for data, by in ((None, "node"), (pair.words, "words")):
        row = anna.json("backup", "verify", str(pair.file), data=data)
        assert (row["opened_by"], row["noted"], row["received"], row["blocks"]) == (by, True, 1, 2)
        assert row["complaints"] == []
    known = anna.local().get("status")["backup"]
    assert known["verified"] == known["made"] == made["made"]
    assert list(scratch.iterdir()) == []
    said = anna.says("backup", "verify", str(pair.file), data=pair.words)
    assert "this backup is good" in said
    assert "Your words were not tried" not in said
    # Without a node: the words are needed, and are enough.
    anna.stop()
    row = anna.json("backup", "verify", str(pair.file), data=pair.words)
    assert (row["opened_by"], row["noted"]) == ("words", False)
    assert anna.refuses(65, "backup", "verify", str(pair.file))["error"] == "malformed"
    assert list(scratch.iterdir()) == []


def test_each_refusal_has_its_code(pair: Pair, folder: Path) -> None:
    """What is refused, and that nothing changes, is `tests/test_rescue.py`."""
    anna, new = pair.anna, Home(folder, "new")
    pair.backup()
    assert "exists" in anna.refuses(73, "backup", str(pair.file))["detail"]
    assert new.refuses(65, "restore", str(pair.file), data=b"zoo " * 24)["error"] == "malformed"
    assert new.refuses(66, "restore", str(folder / "nothing"), data=pair.words)["next"]
    for words in (("restore", str(folder)), ("backup", "verify", str(folder))):
        assert new.refuses(66, *words, data=pair.words)["next"] == "is the name right?"
    assert pair.ben.refuses(73, "restore", str(pair.file), data=pair.words)["error"] == "exists"
    assert new.refuses(69, "backup", str(folder / "x.backup"))["next"]
    for bad in (("backup", "verify"), ("backup", "a", "b")):
        assert new.refuses(64, *bad)["next"]
    assert sorted(p.name for p in folder.iterdir()) == ["anna", "anna.backup", "ben"]


def test_a_backup_while_mail_goes_on_is_of_one_moment(pair: Pair, scratch: Path) -> None:
    """Read slowly through a pipe, in the middle of traffic: what came later is not in it."""
    anna, ben = pair.anna, pair.ben
    for _ in range(4):
        ben.send("anna", LARGE)
    anna.arrived(4)
    maker = subprocess.Popen(
        [*PROGRAM, "--home", str(anna.path), "backup", "-"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=CHECKOUT, env=clean_env(),
    )  # fmt: skip
    assert maker.stdout is not None
    with maker.stdout:
        data = maker.stdout.read(4096)  # the node has begun: the moment is chosen
        for _ in range(3):
            ben.settled(ben.send("anna", b"meanwhile"), "confirmed")
        anna.json("delete", "1", "2")
        data += maker.stdout.read()
    assert maker.wait(15) == 0
    pair.file.write_bytes(data)
    row = anna.json("backup", "verify", str(pair.file))
    assert (row["received"], row["missing"], row["complaints"]) == (4, 0, [])
    assert row["blocks"] == 8
    assert len(anna.json("inbox")) == 5


def test_a_group_s_backup_opens_with_the_first_owner_s_words(pair: Pair, folder: Path) -> None:
    anna = pair.anna
    carl = anna.json("owner", "add", "carl")
    token = anna.json("owner", "token", "carl")
    message = pair.ben.send("anna", b"hello")
    pair.ben.settled(message, "confirmed")
    pair.backup()
    new = Home(folder, "new")
    said = new.refuses(65, "restore", str(pair.file), data=carl["recovery_phrase"].encode())
    assert (said["error"], anna.json("whoami")["did"] in said["detail"]) == ("other-words", True)
    done = new.run("restore", str(pair.file), data=pair.words)
    assert done.code == 0
    assert "owners:   anna, carl" in done.out.decode()
    assert "1 tokens open mailboxes again" in done.err
    assert token["token"] not in done.out.decode() + done.err
