"""Mailboxes that move: out as mbox and Maildir, in from both; every byte, nothing twice."""

import contextlib
import hashlib
import json
import mailbox
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.mail import mbox
from tests.e2e.conftest import Make
from tests.e2e.homes import Home

Friends = tuple[Home, Home]

LETTERS = {
    "plain": b"Subject: plain\nFrom: Joe <joe@example.org>\n\nHello\n",
    "crlf": b"Subject: crlf\r\n\r\nHello\r\n",
    "quoted": b"Subject: q\n\nFrom here\n>From there\n>>From everywhere\nFromage\n",
    "odd": b"Subject: \xff\0\n\n\r\rx\n",
    "empty": b"",
    "escape": b"From: \x1b[31mRed <r@x>\nSubject: a\x1b]0;x\x07b\n\n\x1b[2J\n",
    "large": b"Subject: large\n\n" + b"From x\n" * 50_000,
    "parts": b"Subject: parts\n\n" + bytes(range(256)) * 10_000 + b"\n",
}


def digests(contents: Any) -> list[str]:
    return sorted(hashlib.sha256(content).hexdigest() for content in contents)


def kept(home: Home, *words: str) -> list[str]:
    """Hashes of all messages of an inbox, or of sent mail."""
    local = home.local(*words)
    return digests(b"".join(local.stream("raw", row["message"])) for row in local.get("inbox"))


@pytest.fixture(scope="module")
def full(friends: Friends) -> Friends:
    """Anna has sent ben all of it."""
    anna, ben = friends
    made = [anna.send("ben", content) for content in LETTERS.values()]
    for message in made:
        anna.settled(message, "confirmed")
    ben.json("read", "1")
    return anna, ben


def in_mbox(path: Path) -> list[bytes]:
    return list(mbox.split([path.read_bytes()]))


def ended(content: bytes) -> bytes:
    """As mboxrd keeps it."""
    return content if content.endswith(b"\n") or not content else content + b"\n"


# --- out --------------------------------------------------------------------------------


def test_a_file_for_all(full: Friends, tmp_path: Path) -> None:
    anna, ben = full
    said = ben.json("export", "--mbox", str(tmp_path / "a.mbox"))
    size = sum(map(len, LETTERS.values()))
    path = str(tmp_path / "a.mbox")
    assert said == {"messages": 8, "known": 0, "absent": 0, "size": size, "path": path}
    assert in_mbox(tmp_path / "a.mbox") == [ended(each) for each in LETTERS.values()]
    assert (tmp_path / "a.mbox").stat().st_mode & 0o777 == 0o600
    anna.says("export", "--mbox", str(tmp_path / "sent.mbox"), "--sent")
    assert in_mbox(tmp_path / "sent.mbox") == in_mbox(tmp_path / "a.mbox")
    assert anna.json("export", "--mbox", str(tmp_path / "none"), "--inbox")["messages"] == 0
    assert (tmp_path / "none").read_bytes() == b""
    piped = ben.run("export", "--mbox", "-")
    assert (piped.code, piped.out) == (0, (tmp_path / "a.mbox").read_bytes())


def test_other_programs_read_it(full: Friends, tmp_path: Path) -> None:
    _, ben = full
    ben.says("export", "--mbox", str(tmp_path / "a.mbox"))
    with contextlib.closing(mailbox.mbox(tmp_path / "a.mbox")) as box:
        assert [message["Subject"] for message in box][:3] == ["plain", "crlf", "q"]


def test_nothing_is_written_over(full: Friends, tmp_path: Path) -> None:
    _, ben = full
    (tmp_path / "a").write_text("mine")
    assert ben.refuses(73, "export", "--mbox", str(tmp_path / "a"))["error"] == "exists"
    assert ben.refuses(73, "export", "--maildir", str(tmp_path / "a"))["error"] == "exists"
    assert ben.refuses(73, "export", "--maildir", str(tmp_path))["error"] == "exists"
    assert ben.refuses(66, "export", "--mbox", str(tmp_path / "no" / "a"))["error"] == "absent"
    assert (tmp_path / "a").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    ben.refuses(64, "export")
    ben.refuses(64, "export", "--mbox", "a", "--maildir", "b")


def test_a_maildir(full: Friends, tmp_path: Path) -> None:
    anna, ben = full
    folder = tmp_path / "mail"
    assert ben.json("export", "--maildir", str(folder))["messages"] == 8
    files = [*(folder / "new").iterdir(), *(folder / "cur").iterdir()]
    assert digests(path.read_bytes() for path in files) == digests(LETTERS.values())
    (read,) = (folder / "cur").iterdir()
    assert read.name.endswith(":2,S")
    assert read.read_bytes() == LETTERS["plain"]
    # Again: only what is new comes, and what a mail program did stays.
    read.rename(read.with_name(read.name + "T"))
    again = ben.json("export", "--maildir", str(folder))
    assert (again["messages"], again["known"]) == (0, 8)
    assert anna.json("export", "--maildir", str(folder))["messages"] == 8
    sent = folder / ".Sent" / "cur"
    assert digests(path.read_bytes() for path in sent.iterdir()) == digests(LETTERS.values())
    box = mailbox.Maildir(folder, create=False)
    assert len(box) == 8
    assert box.list_folders() == ["Sent"]


def test_what_waits_is_left_out(friends: Friends, tmp_path: Path) -> None:
    anna, ben = friends
    message = anna.send("ben", b"Subject: big\n\n" + bytes(11 << 20))
    row = ben.json("inbox")[-1]
    while row["message"] != message:
        row = ben.json("inbox")[-1]
    said = ben.json("export", "--mbox", str(tmp_path / "a"))
    assert said["absent"] == 1
    assert len(in_mbox(tmp_path / "a")) == said["messages"]
    assert ben.json("export", "--maildir", str(tmp_path / "b"))["absent"] == 1
    ben.json("delete", str(row["n"]))


# --- in ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: Any) -> Iterator[Home]:
    """Carl, who knows nobody."""
    import tempfile

    from tests.e2e.homes import ended as bounded

    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        carl = Home(Path(path), "carl")
        with bounded([carl]):
            carl.init()
            carl.start()
            yield carl


def test_import_is_export_backwards(full: Friends, alone: Home, tmp_path: Path) -> None:
    _, ben = full
    ben.says("export", "--mbox", str(tmp_path / "a"))
    used = alone.json("quota")["used"]["inbox"]
    said = alone.json("import", str(tmp_path / "a"))
    assert said["added"] == 8
    assert (said["known"], said["broken"]) == (0, 0)
    assert kept(alone) == digests(ended(each) for each in LETTERS.values())
    after = alone.json("quota")["used"]["inbox"]
    assert after - used >= said["size"]
    # Once more, also in other dress: nothing new.
    again = alone.json("import", str(tmp_path / "a"))
    assert (again["added"], again["known"], again["size"]) == (0, 8, 0)
    alone.says("export", "--maildir", str(tmp_path / "b"))
    assert alone.json("import", str(tmp_path / "b"))["known"] == 8
    assert alone.json("quota")["used"]["inbox"] == after
    # What came is what came: when, and read.
    theirs = {row["size"]: row for row in ben.json("inbox")}
    for row in alone.json("inbox"):
        assert row["state"] == "read"
        if row["size"] in theirs:
            assert row["received"][:19] == theirs[row["size"]]["received"][:19]


def test_one_s_own_export_brings_nothing(full: Friends, tmp_path: Path) -> None:
    anna, _ = full
    for home in full:
        home.says("export", "--maildir", str(tmp_path / home.name))
        said = home.json("import", str(tmp_path / home.name))
        assert (said["added"], said["known"]) == (0, len(home.json("inbox") + home.json("sent")))
    anna.says("export", "--mbox", str(tmp_path / "m"), "--sent")
    # One has no line end at its end, which an mbox can't keep: that is another message.
    assert anna.json("import", str(tmp_path / "m"))["added"] == 1


def test_what_can_not_be_read_is_named(alone: Home, tmp_path: Path) -> None:
    """The rest comes in, and the exit code says that it is not all."""
    box = tmp_path / "Maildir" / "cur"
    box.mkdir(parents=True)
    (box / "1.a").write_bytes(b"From: joe@example.org\nSubject: the rest\n\nHello\n")
    (box / "2.a").symlink_to(tmp_path / "nosuch")
    (box / "3.a").mkdir()
    os.mkfifo(box / "4.a")
    told = alone.run("import", str(tmp_path / "Maildir"))
    assert told.out.decode().startswith("1 message imported")
    for name in ("2.a", "3.a", "4.a"):
        assert f"({box}/{name} could not be read)" in told.err
    assert told.code == 65
    told = alone.run("--json", "import", str(tmp_path / "Maildir"))
    row = json.loads(told.out)
    assert (row["added"], row["known"], row["broken"], told.code) == (0, 1, 3, 65)


def test_imported_mail_is_shown_as_that(alone: Home, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(
        b"From joe@example.org Thu Jan  2 12:00:29 2020\n"
        b"From: \x1b[31mben <ben@example.org>\nSubject: old times\nDate: 1 Jan 2020 10:00 +0000\n"
        b"Message-ID: <old@x>\n\nHello\n\n"
    )
    assert alone.json("import", str(tmp_path / "m"))["added"] == 1
    row = alone.json("inbox")[-1]
    assert row["imported"] is True
    assert row["did"] is None
    assert row["from"] == "␛[31mben <ben@example.org>"
    assert (row["subject"], row["received"]) == ("old times", "2020-01-02T12:00:29.000Z")
    line = alone.says("inbox", "--limit", "1").splitlines()[1]
    assert "ben <ben@example.org> (imported)" in line
    said = alone.says("read", str(row["n"]))
    assert said.startswith("Imported: nobody's key vouches")
    assert "\x1b" not in line + said
    assert "did:key" not in said
    assert alone.refuses(64, "reply", str(row["n"]), "-m", "x")["next"] == "--to NAME"
    sent = alone.json("reply", str(row["n"]), "--to", "carl", "-m", "x", "--wait", "10")
    assert b"In-Reply-To: <old@x>\r\n" in alone.raw(sent["message"])
    # Nobody but its owner has signed it here: that accuses nobody.
    for words in (("report",), ("policy", "explain")):
        assert alone.refuses(66, *words, str(row["n"]))["error"] == "no-proof"
    # Deleted and imported again, it is back under a new number.
    alone.json("delete", str(row["n"]))
    assert alone.json("import", str(tmp_path / "m"))["added"] == 1
    assert alone.json("inbox")[-1]["n"] > row["n"]
    assert alone.json("inbox")[-1]["message"] == row["message"]


def test_sent_mail_from_elsewhere(alone: Home, tmp_path: Path) -> None:
    mail = tmp_path / "mail"
    for sub in ("cur", "new", "tmp", ".Sent/cur", ".Other/cur"):
        (mail / sub).mkdir(parents=True)
    (mail / "cur" / "1577966429.a:2,S").write_bytes(b"Subject: seen\n\n1")
    (mail / "cur" / "1577966430.b:2,").write_bytes(b"Subject: not seen\n\n2")
    (mail / "cur" / "1577966431.c:2,ST").write_bytes(b"Subject: to be deleted\n\n3")
    (mail / "new" / "1577966432.d").write_bytes(b"Subject: new\n\n4")
    (mail / "tmp" / "1577966433.e").write_bytes(b"Subject: half\n\n5")
    (mail / ".Sent/cur" / "1577966434.f:2,S").write_bytes(b"Subject: sent\n\n6")
    (mail / "cur" / "folder").mkdir()
    os.symlink("nowhere", mail / "cur" / "lost")
    done = alone.run("--json", "import", str(mail))
    assert done.code == 65
    assert ".Other" in done.err
    said = json.loads(done.out)
    assert (said["added"], said["broken"]) == (4, 2)
    rows = {row["subject"]: row["state"] for row in alone.json("inbox")[-3:]}
    assert rows == {"seen": "read", "not seen": "new", "new": "new"}
    (row, *_) = alone.json("sent")
    assert (row["subject"], row["deliveries"], row["imported"]) == ("sent", [], True)
    assert row["created"] == "2020-01-02T12:00:34.000Z"
    assert alone.raw(row["message"]) == b"Subject: sent\n\n6"
    assert "(imported)" in alone.says("status", row["message"])
    assert alone.refuses(77, "retract", row["message"])["error"] == "over"
    before = alone.json("quota")["used"]["sent"]
    assert alone.json("delete", row["message"]) == {"deleted": [row["message"]], "later": []}
    assert alone.json("quota")["used"]["sent"] < before
    assert row["message"] not in [each["message"] for each in alone.json("sent")]
    assert json.loads(alone.run("--json", "import", str(mail)).out)["added"] == 1
    assert alone.json("sent")[0]["message"] == row["message"]


def test_what_is_no_mail_changes_nothing(alone: Home, tmp_path: Path) -> None:
    before = alone.json("quota"), alone.json("inbox")
    (tmp_path / "letter.eml").write_bytes(b"Subject: x\n\nFrom\n")
    (tmp_path / "folder").mkdir()
    for words, code in (
        (("letter.eml",), 65),
        (("folder",), 65),
        (("nowhere",), 66),
        (("letter.eml", "--format", "mbx"), 64),
    ):
        said = alone.refuses(code, "import", str(tmp_path / words[0]), *words[1:])
        assert said["next"], words
    large = b"From a\n\n1\n\nFrom b\n\n" + bytes(65 << 20)
    (tmp_path / "large").write_bytes(large)
    said = alone.refuses(65, "import", str(tmp_path / "large"))
    assert "message" in said["detail"]
    assert (alone.json("quota"), alone.json("inbox")) == before


def test_what_does_not_fit_is_refused_before_its_first_message(make: Make, tmp_path: Path) -> None:
    home = make("dora")
    home.configure(capacity={"quota": "1MiB"})
    home.start()
    home.json("owner", "add", "emil", "--quota", "1MiB")
    letters = [(0, b"Subject: %d\n\n" % n + bytes(100_000) + b"\n") for n in range(12)]
    (tmp_path / "all").write_bytes(b"".join(mbox.join(letters)))  # type: ignore[arg-type]
    (tmp_path / "some").write_bytes(b"".join(mbox.join(letters[:9])))  # type: ignore[arg-type]
    emil = ("--owner", "emil")
    said = home.refuses(73, *emil, "import", str(tmp_path / "all"))
    assert said["error"] == "over-quota"
    assert home.json(*emil, "inbox") == []
    assert sum(home.json(*emil, "quota")["used"].values()) == 0
    assert home.json(*emil, "import", str(tmp_path / "some"))["added"] == 9
    # What is here takes no room: the same file again is no problem in a full mailbox.
    assert home.json(*emil, "import", str(tmp_path / "some"))["known"] == 9
    assert home.refuses(73, *emil, "import", str(tmp_path / "all"))["error"] == "over-quota"
    assert len(home.json(*emil, "inbox")) == 9
    # And it survives a restart, encrypted as everything else.
    home.stop()
    stored = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    assert b"Subject: 3" not in stored
    home.start()
    assert len(home.json(*emil, "inbox")) == 9


@pytest.mark.corpus
@pytest.mark.slow
def test_the_corpus_in_and_out(make: Make, corpus: Path, tmp_path: Path) -> None:
    home = make("carl")
    home.start()
    archive = corpus / "list-archive" / "linux-watchdog-2020.mbox"
    said = home.json("import", str(archive))
    (tmp_path / "new").mkdir()
    singles = [*(corpus / "real-mail").rglob("*"), *(corpus / "parser-torture").rglob("*")]
    expected = {hashlib.sha256(each).hexdigest() for each in mbox.split([archive.read_bytes()])}
    assert said["added"] == len(expected)
    for number, path in enumerate(filter(Path.is_file, singles)):
        (tmp_path / "new" / f"{1_000_000_000 + number}.x").write_bytes(path.read_bytes())
        expected.add(hashlib.sha256(path.read_bytes()).hexdigest())
    home.json("import", str(tmp_path))
    assert set(kept(home)) == expected
    assert home.json("import", str(tmp_path))["added"] == 0
    home.json("export", "--maildir", str(tmp_path / "out"))
    files = [path for sub in ("new", "cur") for path in (tmp_path / "out" / sub).iterdir()]
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in files} == expected
    assert len(files) == len(expected)
    assert home.peak() < 200 << 20
