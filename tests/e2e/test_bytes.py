"""Whatever was sent is what is read, byte for byte."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.homes import Home, until

Friends = tuple[Home, Home]

ODD = {
    "empty": b"",
    "no header": b"just a line",
    "only line ends": b"\r\n\r\n\r\n",
    "one NUL": b"\0",
    "NULs": b"Subject: a\0b\r\n\r\nx\0\0y",
    "bare CR": b"Subject: mac\rFrom: x\r\rbody\r",
    "mixed line ends": b"Subject: x\r\nTo: y\n\rbody\n\r\n",
    "8-bit header": b"Subject: Gr\xfc\xdfe\r\nFrom: \xff\xfe\r\n\r\n\x80\x81",
    "header field of 210 KB": b"X-Long: " + b"y" * 210_000 + b"\r\nSubject: long\r\n\r\nbody",
    "no final newline": b"Subject: end\r\n\r\nno newline",
    "From line": b"From somebody\nSubject: x\n\n>From here\nFrom there\n",
    "3,043 parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\nContent-Type: text/plain\r\n\r\npart\r\n" * 3_043
    + b"--b--\r\n",
    "all bytes": bytes(range(256)) * 4,
    "just a body": bytes(48 * 1024 - 16),
    "just parts": bytes(48 * 1024 - 15),
    "one part": bytes(1 << 20),
    "a part and a byte": bytes((1 << 20) + 1),
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_odd_messages(friends: Friends) -> None:
    anna, ben = friends
    made = {name: anna.send("ben", content) for name, content in ODD.items()}
    for name, message in made.items():
        anna.settled(message, "confirmed")
        assert ben.raw(message) == ODD[name], name
        row = ben.local().get("mail", message)
        assert row["size"] == len(ODD[name])
    # One's own, as it was sent; and for people none of them is too much.
    assert anna.raw(made["NULs"]) == ODD["NULs"]
    for name, message in made.items():
        done = ben.run("read", message[-10:])
        assert done.code == 0, (name, done)
        assert "Traceback" not in done.err
        assert b"\0" not in done.out


def test_the_same_bytes_twice_are_two_messages(friends: Friends) -> None:
    anna, ben = friends
    before = len(ben.json("inbox"))
    first, second = (anna.send("ben", b"Subject: twice\n\n") for _ in range(2))
    assert first != second
    for message in (first, second):
        anna.settled(message, "confirmed")
    assert len(ben.json("inbox")) == before + 2


def test_raw_from_a_file_a_pipe_and_an_input(friends: Friends, tmp_path: Path) -> None:
    anna, ben = friends
    content = b"Subject: file\r\n\r\n" + bytes(range(256)) * 50_000
    (tmp_path / "letter.eml").write_bytes(content)
    for words in (("--raw", str(tmp_path / "letter.eml")), ("--raw", "-")):
        row = anna.json("send", "--to", "ben", *words, "--wait", "20", data=content)
        assert row["size"] == len(content)
        assert digest(ben.raw(row["message"])) == digest(content)
    row = anna.json("send", "--to", "ben", "-s", "typed", "-", "--wait", "10", data=b"a line\n")
    assert ben.json("read", row["message"])["text"].strip() == "a line"


def test_an_mbox_in_file_order(friends: Friends, tmp_path: Path) -> None:
    anna, ben = friends
    large = b"Subject: 1\n\n" + b"z" * 60_000 + b"\n"
    messages = [b"Subject: 0\n\n>From x\nFrom y\n", large, b"Subject: 2\n\nlast\n"]
    quoted = messages[0].replace(b">From", b">>From").replace(b"\nFrom", b"\n>From")
    box = b"".join(
        b"From mboxrd@z Thu Jan  2 12:00:29 2020\n" + each + b"\n"
        for each in (quoted, *messages[1:])
    )
    (tmp_path / "list.mbox").write_bytes(box)
    rows = anna.json("send", "--to", "ben", "--mbox", str(tmp_path / "list.mbox"), "--wait", "20")
    assert [row["size"] for row in rows] == [len(each) for each in messages]
    assert all(set(row) == {"message", "size", "deliveries"} for row in rows)
    assert [ben.raw(row["message"]) for row in rows] == messages
    assert [row["message"] for row in anna.json("sent", "--limit", "3")] == [
        row["message"] for row in rows[::-1]
    ]
    assert anna.json("send", "--to", "ben", "--mbox", "-") == []
    said = anna.says("send", "--to", "ben", "--mbox", str(tmp_path / "list.mbox"), "--wait", "20")
    assert said == "3 messages: 3 confirmed\n"


def test_reply_and_forward(friends: Friends) -> None:
    anna, ben = friends
    letter = (
        b"From: anna\r\nSubject: =?utf-8?q?Fr=C3=BChst=C3=BCck?=\r\nMessage-ID: <2@x>\r\n"
        b"References: <0@x>\r\n <1@x>\r\n\r\nWhen?\r\n"
    )
    anna.settled(anna.send("ben", letter), "confirmed")
    row = ben.json("inbox")[-1]
    answer = ben.json("reply", str(row["n"]), "-m", "At nine.", "--wait", "10")
    assert answer["deliveries"][0]["to"] == "anna"
    raw = anna.raw(answer["message"]).decode()
    assert "In-Reply-To: <2@x>\r\n" in raw
    assert "References: <0@x> <1@x> <2@x>\r\n" in raw
    assert anna.json("inbox")[-1]["subject"] == "Re: Frühstück"
    passed = anna.json("forward", answer["message"], "--to", "ben", "--wait", "10")
    assert ben.json("inbox")[-1]["subject"] == "Fwd: Re: Frühstück"
    assert anna.raw(answer["message"]) in ben.raw(passed["message"])
    assert "At nine." in ben.json("read", passed["message"])["text"]


# --- the corpus -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh() -> Iterator[Friends]:
    """Two nodes with empty mailboxes."""
    from tests.e2e.homes import ended, meet

    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        anna, ben = Home(Path(path), "anna"), Home(Path(path), "ben")
        with ended([anna, ben]):
            for home in (anna, ben):
                home.init()
                home.start()
            meet(anna, ben)
            yield anna, ben


@pytest.mark.corpus
@pytest.mark.slow
def test_the_whole_corpus(fresh: Friends, corpus: Path) -> None:
    anna, ben = fresh
    expected = {}
    index = corpus / "list-archive" / "linux-watchdog-2020.index.tsv"
    hashes = [line.split("\t") for line in index.read_text().splitlines()]
    hashes = [row for row in hashes if not row[0].startswith("#")]
    box = str(index.with_name("linux-watchdog-2020.mbox"))
    rows = anna.json("send", "--to", "ben", "--mbox", box)
    assert len(rows) == len(hashes)
    for row, known in zip(rows, hashes, strict=True):
        assert str(row["size"]) in known
        expected[row["message"]] = next(word for word in known if len(word) == 64)
    local = anna.local()
    singles = [*(corpus / "real-mail").rglob("*"), *(corpus / "parser-torture").rglob("*")]
    for path in filter(Path.is_file, [*singles, *index.parent.glob("*.txt")]):
        content = path.read_bytes()
        row = local.upload("send", {"to": ["ben"]}, content, len(content))
        expected[row["message"]] = digest(content)
    theirs = ben.local()
    until(lambda: not local.get("sent", open=1, limit=1), 60)
    got = {
        row["message"]: digest(b"".join(theirs.stream("raw", row["message"])))
        for row in theirs.get("inbox")
    }
    assert got == expected
    assert len(expected) > 3_500
    states = {each["state"] for row in local.get("sent") for each in row["deliveries"]}
    assert states == {"confirmed"}
    assert local.get("quota")["used"]["waiting"] == 0
    assert anna.json("inbox") == []
