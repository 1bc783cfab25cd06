"""The JSON documents of section 10: exact keys, types, order; one on standard output."""

import json
import re
import subprocess
from typing import Any

import pytest

from tests.conftest import CHECKOUT
from tests.e2e.homes import PROGRAM, Home, clean_env, until, willcall

Friends = tuple[Home, Home]

DID = re.compile(r"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}")
CID = re.compile(r"b[a-z2-7]{58}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")

CONTACT = {
    "name", "did", "address", "origin", "lane", "mutual", "blocked", "added", "verified",
}  # fmt: skip
SHOWN = CONTACT | {
    "origins", "says", "heard", "keyed", "issued", "expires", "was", "heir", "followed", "trouble",
}  # fmt: skip
MAIL = {"n", "message", "from", "did", "subject", "date", "received", "size", "state", "keep_until"}
HELD = {"n", "did", "message", "size", "origin", "received", "keep_until", "facts"}
QUOTA = {"owner", "limit", "used", "free"}
SENT = {"message", "subject", "size", "created", "keep_until", "deliveries"}
DELIVERY = {"to", "did", "state", "reason", "delayed", "next_at", "fetched_at", "confirmed_at"}


def is_time(text: Any) -> bool:
    return isinstance(text, str) and TIME.fullmatch(text) is not None


def test_whoami(friends: Friends) -> None:
    anna, _ = friends
    row = anna.json("whoami")
    assert list(row) == ["name", "did", "address", "origin", "addresses", "replaced_by"]
    assert (row["addresses"], row["replaced_by"]) == ([row["address"]], None)
    assert row["name"] == "anna"
    assert DID.fullmatch(row["did"])
    assert row["origin"] == f"127.0.0.1:{anna.port}"
    assert row["address"] == f"{row['did']}@{row['origin']}"
    assert row["address"] in anna.says("whoami")


def test_version() -> None:
    assert set(willcall("version", "--json").document()) == {"version"}
    assert willcall("version").out.startswith(b"willcall ")


def test_status_of_the_node(friends: Friends) -> None:
    anna, _ = friends
    row = anna.json("status")
    assert list(row) == [
        "did", "origin", "uptime", "stored", "waiting", "held", "quota", "returned",
    ]  # fmt: skip
    assert all(type(row[word]) is int for word in ("uptime", "stored", "waiting", "held"))
    assert set(row["quota"]) == QUOTA
    assert "quota" in anna.says("status")


def test_quota(friends: Friends) -> None:
    anna, _ = friends
    row = anna.json("quota")
    assert list(row) == ["owner", "limit", "used", "free"]
    assert list(row["used"]) == ["waiting", "grace", "sent", "inbox"]
    assert row["owner"] == "anna"
    assert row["limit"] == 5 * 2**30
    assert row["free"] == row["limit"] - sum(row["used"].values())
    assert "5.0 GiB" in anna.says("quota")


def test_invite(friends: Friends) -> None:
    anna, _ = friends
    row = anna.json("invite", "--valid", "2d")
    assert list(row) == ["link", "expires", "reach"]
    assert row["reach"] == "this machine"
    assert is_time(row["expires"])
    assert len(row["link"]) <= 200
    assert re.fullmatch(rf"http://127\.0\.0\.1:{anna.port}/i/z6Mk\w+#[\w-]{{22}}", row["link"])
    first, link = anna.says("invite").splitlines()
    assert "this machine" in first
    assert link.startswith("http://")


def test_contacts(friends: Friends) -> None:
    anna, ben = friends
    (row,) = anna.json("contact", "list")
    assert set(row) == CONTACT
    shown = anna.json("contact", "show", "ben")
    assert set(shown) == SHOWN
    assert shown | row == shown == anna.json("contact", "show", row["did"])
    assert (shown["says"], shown["origins"]) == ("ben", [row["origin"]])
    assert all(is_time(shown[word]) for word in ("keyed", "issued", "expires"))
    assert (row["name"], row["lane"]) == ("ben", "contact")
    assert (row["mutual"], row["blocked"]) == (True, False)
    assert row["address"] == ben.json("whoami")["address"]
    assert is_time(row["added"])
    listed = anna.says("contact", "list").splitlines()
    assert listed[0].split() == ["name", "lane", "mutual", "verified", "origin", "did"]
    assert listed[1].split()[:3] == ["ben", "contact", "yes"]
    assert row["did"] in anna.says("contact", "show", "ben")


def test_adding_a_contact_again_gives_the_same_row(friends: Friends) -> None:
    anna, ben = friends
    (row,) = ben.json("contact", "list")
    for link in (anna.json("invite")["link"], anna.json("whoami")["address"]):
        assert ben.json("contact", "add", link) == row
    assert ben.json("contact", "list") == [row]


def test_send_and_what_is_said_of_it(friends: Friends) -> None:
    anna, _ = friends
    sent = anna.json("send", "--to", "ben", "-s", "Hällo", "-m", "Grüße", "--keep", "2d")
    assert list(sent) == ["message", "size", "deliveries"]
    assert CID.fullmatch(sent["message"])
    (each,) = sent["deliveries"]
    assert list(each) == ["to", "did", "state"]
    assert each["to"] == "ben"
    anna.settled(sent["message"], "confirmed")

    row = anna.json("status", sent["message"])
    assert list(row) == ["message", "subject", "size", "created", "keep_until", "deliveries"]
    assert (row["message"], row["size"]) == (sent["message"], sent["size"])
    assert row["subject"] == "Hällo"
    assert is_time(row["created"])
    assert is_time(row["keep_until"])
    (each,) = row["deliveries"]
    assert set(each) == DELIVERY | {"attempts"}
    assert (each["to"], each["state"], each["reason"]) == ("ben", "confirmed", None)
    assert each["delayed"] is False
    assert each["next_at"] is None
    assert is_time(each["confirmed_at"])
    assert is_time(each["fetched_at"])
    assert [set(attempt) for attempt in each["attempts"]] == [{"at", "answer"}]
    assert anna.json("status", sent["message"][-8:]) == row
    assert "confirmed" in anna.says("status", sent["message"][-8:])


def test_sent_is_newest_first_and_without_attempts(friends: Friends) -> None:
    anna, _ = friends
    made = [anna.send("ben", b"Subject: %d\n\n" % n) for n in range(3)]
    for message in made:
        anna.settled(message, "confirmed")
    rows = anna.json("sent")
    assert [row["message"] for row in rows[:3]] == made[::-1]
    for row in rows:
        assert set(row) == SENT
        assert all(set(each) == DELIVERY for each in row["deliveries"])
    assert anna.json("sent", "--limit", "1") == rows[:1]
    assert anna.json("sent", "--limit", "1", "--before", made[2]) == rows[1:2]
    assert anna.json("sent", "--before", made[2][-8:]) == rows[1:]
    assert anna.json("sent", "--open") == []
    assert made[2] in anna.says("sent", "--limit", "1")


def test_inbox(friends: Friends) -> None:
    anna, ben = friends
    before = len(ben.json("inbox"))
    subjects = ["one", "two", "three"]
    for subject in subjects:
        anna.settled(anna.send("ben", f"Subject: {subject}\n\n".encode()), "confirmed")
    rows = ben.json("inbox")
    assert [row["n"] for row in rows] == sorted(row["n"] for row in rows)
    assert [row["subject"] for row in rows[before:]] == subjects
    row = rows[-1]
    assert set(row) == MAIL
    assert (row["from"], row["state"], row["date"]) == ("anna", "new", None)
    assert row["did"] == anna.json("whoami")["did"]
    assert row["keep_until"] is None
    assert is_time(row["received"])
    assert ben.json("inbox", "--limit", "2") == rows[-2:]
    assert ben.json("inbox", "--limit", "0") == []
    lines = ben.says("inbox", "--limit", "1").splitlines()
    assert lines[0].split() == ["n", "state", "from", "size", "received", "subject"]
    assert lines[1].split()[0] == str(row["n"])
    assert lines[1].endswith("three")


def test_reading_marks_as_read_and_deleting_frees_the_number_for_ever(friends: Friends) -> None:
    anna, ben = friends
    anna.settled(anna.send("ben", b"Subject: to read\r\n\r\nHello\r\n"), "confirmed")
    row = ben.json("inbox")[-1]
    shown = ben.json("read", str(row["n"]))
    assert set(shown) == {"headers", "text", "attachments", "originals", "marks"}
    assert shown["text"].strip() == "Hello"
    assert ben.json("inbox")[-1] == row | {"state": "read"}
    assert ben.json("delete", str(row["n"])) == {"deleted": [row["n"]], "later": []}
    assert ben.refuses(66, "read", str(row["n"]))["error"] == "absent"
    anna.settled(anna.send("ben", b"Subject: next\n\n"), "confirmed")
    assert ben.json("inbox")[-1]["n"] == row["n"] + 1


def test_a_message_that_waits(friends: Friends) -> None:
    anna, ben = friends
    ben.stop()
    message = anna.send("ben", b"Subject: later\n\n")
    until(lambda: anna.local().get("message", message)["deliveries"][0]["attempts"])
    (row,) = anna.json("sent", "--open")
    assert row["message"] == message
    (each,) = anna.json("status", message)["deliveries"]
    assert each["state"] == "stored"
    assert each["fetched_at"] is each["confirmed_at"] is None
    assert is_time(each["next_at"])
    assert "ben: stored" in anna.says("sent", "--open")
    ben.start()
    anna.settled(message, "confirmed")


def test_watching_the_inbox(friends: Friends) -> None:
    anna, ben = friends
    words = [*PROGRAM, "--home", str(ben.path), "--json", "inbox", "--watch"]
    watching = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=CHECKOUT, env=clean_env())
    try:
        assert watching.stdout is not None
        seen: list[dict[str, Any]] = []
        subjects: list[str] = []
        while len(seen) < 3:
            subjects.append(f"watched {len(subjects)}")
            message = anna.send("ben", f"Subject: {subjects[-1]}\n\n".encode())
            anna.settled(message, "confirmed")
            if len(subjects) > 2:  # by now it has certainly begun
                seen.append(json.loads(watching.stdout.readline()))
        assert all(set(row) == MAIL for row in seen)
        at = subjects.index(seen[0]["subject"])
        assert [row["subject"] for row in seen] == subjects[at : at + 3]
    finally:
        watching.kill()
        watching.communicate(timeout=10)


def watching(home: Home, *more: str) -> "subprocess.Popen[bytes]":
    words = [*PROGRAM, "--home", str(home.path), "--json", "inbox", "--watch", *more]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=CHECKOUT, env=clean_env()
    )


def test_a_watch_misses_nothing_and_outlives_a_restart(friends: Friends) -> None:
    anna, ben = friends
    last = max([row["n"] for row in ben.json("inbox")], default=0)
    anna.settled(anna.send("ben", b"Subject: before\n\n"), "confirmed")
    assert [row["subject"] for row in ben.json("inbox", "--after", str(last))] == ["before"]
    watch = watching(ben, "--after", str(last))
    try:
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["subject"] == "before"
        ben.stop()  # in good order and in time, though somebody watches
        message = anna.send("ben", b"Subject: meanwhile\n\n")
        ben.start()
        anna.settled(message, "confirmed")
        row = json.loads(watch.stdout.readline())
        assert (row["subject"], row["n"]) == ("meanwhile", last + 2)
    finally:
        watch.kill()
        watch.communicate(timeout=10)


def test_mail_that_waits_is_told_at_once(friends: Friends) -> None:
    anna, ben = friends
    last = max([row["n"] for row in ben.json("inbox")], default=0)
    watch = watching(ben, "--after", str(last))
    try:
        assert watch.stdout is not None
        message = anna.send("ben", b"Subject: large\n\n" + bytes(11 << 20))
        assert json.loads(watch.stdout.readline())["state"] == "waiting"
        anna.json("retract", message)
    finally:
        watch.kill()
        watch.communicate(timeout=10)


def test_several_addressees_and_oneself(friends: Friends) -> None:
    anna, ben = friends
    sent = anna.json("send", "--to", "ben, anna", "--to", "ben", "-m", "both", "--wait", "10")
    assert [each["to"] for each in sent["deliveries"]] == ["ben", "anna"]
    assert {each["state"] for each in sent["deliveries"]} == {"confirmed"}
    assert anna.json("inbox")[-1]["message"] == sent["message"]
    assert anna.json("inbox")[-1]["from"] == "anna"
    assert ben.json("inbox")[-1]["message"] == sent["message"]
    assert [row["name"] for row in anna.json("contact", "list")] == ["ben"]


def test_an_attachment_alone(friends: Friends, tmp_path: Any) -> None:
    anna, ben = friends
    (tmp_path / "map.bin").write_bytes(b"\0\xff")
    made = anna.json("send", "--to", "ben", "--attach", str(tmp_path / "map.bin"), "--wait", "10")
    shown = ben.json("read", made["message"])
    assert shown["text"].strip() == ""
    assert [(row["name"], row["size"]) for row in shown["attachments"]] == [("map.bin", 2)]


@pytest.mark.parametrize(
    ("name", "shown"), [("a\udcfc.txt", "a_.txt"), ("a\nb\x7f.txt", "a_b_.txt")]
)
def test_an_attachment_whose_name_is_no_text(
    friends: Friends, tmp_path: Any, name: str, shown: str
) -> None:
    anna, ben = friends
    (tmp_path / name).write_bytes(b"\0\xff")
    done = anna.run("send", "--to", "ben", "--attach", str(tmp_path / name), "--wait", "10")
    assert (done.code, done.err) == (
        0,
        f"(a name that not everybody can read: it goes as {shown})\n",
    )
    assert anna.refuses(66, "send", "--to", "ben", "--attach", str(tmp_path / f"no{name}"))
    made = ben.json("read", done.out.split()[0].decode())
    assert [(row["name"], row["size"]) for row in made["attachments"]] == [(shown, 2)]


def test_text_that_is_not_utf_8(friends: Friends, tmp_path: Any) -> None:
    (tmp_path / "latin").write_bytes(b"Gr\xfc\xdfe")
    for word, called in (
        ("-", "standard input"),
        (str(tmp_path / "latin"), str(tmp_path / "latin")),
    ):
        said = friends[0].refuses(65, "send", "--to", "ben", word, data=b"Gr\xfc\xdfe")
        assert said["detail"] == f"{called} is not text in UTF-8"
        assert said["next"] == "iconv -f latin1 -t utf-8 makes it that; --attach takes any bytes"


def test_attachments(friends: Friends, tmp_path: Any) -> None:
    anna, ben = friends
    data = bytes(range(256)) * 300
    (tmp_path / "été.bin").write_bytes(data)
    (tmp_path / "text.txt").write_text("body from a file\n")
    sent = anna.json(
        "send", "--to", "ben", "-s", "files", str(tmp_path / "text.txt"),
        "--attach", str(tmp_path / "été.bin"), "--attach", str(tmp_path / "text.txt"),
        "--wait", "10",
    )  # fmt: skip
    assert sent["deliveries"][0]["state"] == "confirmed"
    shown = ben.json("read", sent["message"])
    assert [each["name"] for each in shown["attachments"]] == ["été.bin", "text.txt"]
    assert shown["text"].strip() == "body from a file"
    assert "été.bin" in ben.says("read", sent["message"][-8:])
    saved = tmp_path / "saved"
    assert "été.bin" in ben.says("read", sent["message"], "--save", str(saved))
    assert (saved / "été.bin").read_bytes() == data


def test_owners(friends: Friends) -> None:
    anna, _ = friends
    made = anna.json("owner", "add", "otto", "--quota", "2GiB")
    assert len(made["recovery_phrase"].split()) == 24
    assert made["quota"] == 2 * 2**30
    rows = anna.json("owner", "list")
    assert [row["name"] for row in rows] == ["anna", "otto"]
    assert rows[1]["did"] == made["did"]
    assert anna.json("--owner", "otto", "whoami")["did"] == made["did"]
    assert anna.json("quota", "--owner", "otto")["limit"] == 2 * 2**30
    assert anna.json("inbox", "--owner=otto") == []
    token = anna.json("owner", "token", "otto", "--device", "phone")
    assert list(token) == ["owner", "token", "id", "device", "made", "used", "opens"]
    assert token["token"].startswith("willcall_")
    listed = anna.json("owner", "tokens", "otto")
    assert listed == [{key: token[key] for key in ("id", "device", "made", "used", "opens")}]
    assert "phone" in anna.says("owner", "tokens", "otto")
    assert anna.refuses(64, "owner", "token", "otto", "--device", "a b")
    assert anna.json("owner", "token", "otto", "--revoke", token["id"])["id"] == token["id"]
    assert anna.refuses(66, "owner", "token", "otto", "--revoke", token["id"])
    assert anna.json("owner", "tokens", "otto") == []
    assert anna.refuses(73, "owner", "add", "otto")["error"] == "exists"
    assert anna.refuses(67, "owner", "token", "nobody")["error"] == "no-contact"
    assert "otto" in anna.says("owner", "list")


@pytest.mark.parametrize("words", [("inbox",), ("sent",), ("held",), ("contact", "list")])
def test_an_empty_list_is_a_document_too(friends: Friends, words: tuple[str, ...]) -> None:
    anna, _ = friends
    if "otto" not in [row["name"] for row in anna.json("owner", "list")]:
        anna.json("owner", "add", "otto")
    assert anna.json("--owner", "otto", *words) == []


def test_log(friends: Friends) -> None:
    anna, ben = friends
    message = anna.send("ben", b"Subject: logged\n\n")
    anna.settled(message, "confirmed")
    rows = anna.json("log", message)
    assert [row["step"] for row in rows] == ["stored", "told", "fetched", "confirmed"]
    assert all(list(row) == ["at", "step", "who", "detail"] for row in rows)
    assert all(is_time(row["at"]) for row in rows)
    assert "confirmed" in anna.says("log", message[-8:])
    until(lambda: "receipt-told" in ben.says("log", message))
    assert anna.refuses(66, "log", "a" * 8)["error"] == "absent"
    assert anna.refuses(64, "log", "nonsense!")["next"]
