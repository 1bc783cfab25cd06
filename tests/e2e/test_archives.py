"""Archives by the command line, over real HTTP, read by a verifier that shares nothing with us."""

import contextlib
import hashlib
import html
import http.client
import json
import mailbox
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.archive import independent
from tests.e2e.conftest import Make
from tests.e2e.homes import Home
from tests.e2e.terminal import Terminal
from tests.services.shelves import letter

SHOWN = {"name", "url", "link", "vkey", "size", "root", "followed", "verified_at"}


class Web:
    """One connection to a node, as any client makes it."""

    def __init__(self, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self._line = http.client.HTTPConnection(host, int(port), timeout=30)
        self.requests = 0

    def close(self) -> None:
        self._line.close()

    def ask(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        self.requests += 1
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        self._line.request("GET", path, headers=fields)
        answer = self._line.getresponse()
        body = answer.read()
        return answer.status, body, {k.lower(): v for k, v in answer.getheaders()}

    def get(self, path: str) -> bytes:
        status, body, _ = self.ask(path)
        assert status == 200, (status, path)
        return body


@pytest.fixture
def visit() -> Iterator[Callable[[Home], Web]]:
    """Connections to nodes, closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda home: stack.enter_context(contextlib.closing(Web(home.listen)))


Visit = Callable[[Home], Web]


def mbox(contents: list[bytes]) -> bytes:
    return b"".join(b"From x Thu Jan  2 12:00:00 2020\n" + each + b"\n" for each in contents)


def publish(home: Home, name: str, contents: list[bytes]) -> Any:
    """An archive in three commands."""
    home.json("archive", "create", name)
    added = home.json("archive", "add", name, "-", data=mbox(contents))
    assert added == {"added": len(contents), "known": 0, "broken": 0, "size": len(contents)}
    return home.json("archive", "publish", name)


@pytest.mark.corpus
def test_a_real_list(make: Make, corpus: Path, visit: Visit) -> None:
    """2,020 messages: published, verified, exported, every byte as in the file."""
    path = corpus / "list-archive" / "linux-watchdog-2020.mbox"
    home = make("anna")
    home.start()
    empty = home.json("archive", "create", "dog")
    assert empty.keys() >= SHOWN
    assert (empty["size"], empty["url"], empty["followed"]) == (0, None, False)
    added = home.json("archive", "add", "dog", str(path))
    assert added == {"added": 2020, "known": 0, "broken": 0, "size": 2020}
    row = home.json("archive", "publish", "dog")
    assert row["url"] == f"http://{home.listen}/archives/dog/"
    again = home.json("archive", "add", "dog", str(path))
    assert again == {"added": 0, "known": 2020, "broken": 0, "size": 2020}
    web = visit(home)
    found = independent.verify(web.get, "/archives/dog/")
    assert found.size == 2020
    wanted = _of_index(path)
    assert [len(each) for each in found.contents.values()] == [size for _, size in wanted]
    hashes = [hashlib.sha256(each).hexdigest() for each in found.contents.values()]
    assert hashes == [digest for digest, _ in wanted]
    row = home.json("archive", "show", "dog")
    assert independent.checkpoint(web.get("/archives/dog/checkpoint"), row["vkey"])[0] == 2020
    # Followed by a second node, in two commands; mirrored by it for a third.
    ben, carl = make("ben"), make("carl")
    ben.start()
    carl.start()
    followed = ben.json("archive", "follow", row["link"])
    assert (followed["followed"], followed["url"]) == (True, row["url"])
    polled = ben.json("archive", "poll", "dog", deadline=120)
    assert polled == {"name": "dog", "before": 0, "after": 2020, "verified": True}
    checked = ben.json("archive", "verify", "dog")
    assert (checked["messages"], checked["missing"], checked["verified"]) == (2020, 0, True)
    for limit in (1, 1000, 1001, 2000, 2020, 3000):  # one answer has a thousand at most
        rows = ben.json("archive", "list", "dog", "--limit", str(limit))
        assert [row["n"] for row in rows] == list(range(max(0, 2020 - limit), 2020))
    rows = ben.json("archive", "list", "dog", "--limit", "1500", "--before", "1600")
    assert [row["n"] for row in rows] == list(range(100, 1600))
    assert ben.refuses(66, "archive", "list", "dog", "--epoch", "7")["next"].endswith("list dog")
    mirror = ben.json("archive", "publish", "dog")["url"]
    home.stop()
    carl.json("archive", "follow", mirror, "--as", "hound")
    assert carl.json("archive", "poll", "hound", deadline=120)["after"] == 2020
    served = carl.json("archive", "publish", "hound")
    assert served["url"] == f"http://{carl.listen}/archives/hound/"
    third = independent.verify(visit(carl).get, "/archives/hound/")
    assert list(third.contents.values()) == list(found.contents.values())
    assert carl.json("archive", "show", "hound")["vkey"] == row["vkey"]


def _of_index(path: Path) -> list[tuple[str, int]]:
    """Hash and size of each message, as whoever made the corpus counted them."""
    lines = path.with_suffix(".index.tsv").read_text().splitlines()[1:]
    return [(line.split("\t")[3], int(line.split("\t")[2])) for line in lines]


def test_three_commands(make: Make, folder: Path, visit: Visit) -> None:
    home = make("anna")
    home.start()
    contents = [letter(n) for n in range(300)]
    row = publish(home, "cats", contents)
    assert home.json("archive", "list") == [row]
    rows = home.json("archive", "list", "cats", "--limit", "2")
    assert [each["n"] for each in rows] == [298, 299]
    assert [each["subject"] for each in rows] == ["number 298", "number 299"]
    before = home.json("archive", "list", "cats", "--limit", "2", "--before", "298")
    assert [each["n"] for each in before] == [296, 297]
    assert home.run("archive", "read", "cats", "7", "--raw").out == letter(7)
    assert (
        home.json("archive", "read", "cats", rows[0]["message"][-8:])["text"].strip() == "text 298"
    )
    web = visit(home)
    _, _, headers = web.ask("/archives/cats/checkpoint")
    status, body, _ = web.ask("/archives/cats/checkpoint", If_None_Match=headers["etag"])
    assert (status, body) == (304, b"")
    gone = home.json("archive", "remove", "cats", "7", "--reason", "asked for")
    assert gone["n"] == 7
    assert home.json("archive", "show", "cats")["size"] == 301
    found = independent.verify(web.get, "/archives/cats/")
    assert (found.size, len(found.contents)) == (301, 299)
    assert home.refuses(66, "archive", "read", "cats", "7")["error"] == "removed"
    site = folder / "www"
    wrote = home.json("archive", "export", "cats", "--static", str(site))
    assert wrote["files"] == wrote["written"]
    again = home.json("archive", "export", "cats", "--static", str(site))
    assert (again["written"], again["removed"]) == (0, 0)
    home.json("archive", "remove", "cats", "8", "--reason", "asked for too")
    third = home.json("archive", "export", "cats", "--static", str(site))
    assert third["removed"] == 3  # the block, the message itself, what its Message-ID led to
    files = independent.verify(lambda path: (site / path[1:]).read_bytes(), "/archives/cats/")
    assert (files.size, len(files.contents)) == (302, 298)
    home.json("archive", "drop", "cats")
    assert home.json("archive", "list") == []
    assert web.ask("/archives/cats/checkpoint")[0] == 404


def test_following(make: Make, folder: Path) -> None:
    anna, ben = make("anna"), make("ben")
    anna.start()
    ben.start()
    row = publish(anna, "cats", [letter(n) for n in range(3)])
    assert ben.json("archive", "follow", row["url"], "--as", "felines")["name"] == "felines"
    assert ben.json("archive", "follow", row["link"], "--as", "felines")["name"] == "felines"
    assert ben.json("archive", "poll", "felines")["after"] == 3
    assert ben.run("archive", "read", "felines", "2", "--raw").out == letter(2)
    anna.json("archive", "add", "cats", "-", data=mbox([letter(4)]))
    polled = {"name": "felines", "before": 3, "after": 4, "verified": True}
    assert ben.json("archive", "poll") == [polled]
    for words in (("add", "-"), ("remove", "0", "--reason", "x"), ("publish", "--new-epoch")):
        said = ben.refuses(77, "archive", words[0], "felines", *words[1:], data=mbox([letter(1)]))
        assert said["error"] == "followed"
    ben.refuses(64, "archive", "drop", "felines")
    anna.refuses(64, "archive", "unfollow", "cats")
    anna.refuses(64, "archive", "poll", "cats")
    ben.refuses(65, "archive", "follow", "http://127.0.0.1:1/nothing/")
    ben.refuses(69, "archive", "follow", row["url"].replace("cats", "mice"))
    anna.stop()
    assert "its node" in ben.refuses(69, "archive", "poll", "felines")["next"]
    assert "its node" in ben.refuses(69, "archive", "follow", row["url"])["next"]
    every = ben.run("--json", "archive", "poll")
    assert (every.code, every.err) == (69, "")
    made = json.loads(every.out)[0]
    assert made.pop("reason") == f"{anna.listen} takes no connections."
    assert made == polled | {"before": 4, "verified": False}
    assert "nothing was" not in ben.says("archive", "show", "felines")
    other = row["url"].replace("127.0.0.1", "localhost")
    anna.start()
    ben.json("archive", "follow", row["url"], other, "--as", "felines")
    assert ben.json("archive", "show", "felines")["addresses"] == [row["url"], other]
    assert f"  asked: {other}" in ben.says("archive", "show", "felines")
    ben.json("archive", "unfollow", "felines")
    assert ben.json("archive", "list") == []
    ben.refuses(67, "archive", "read", "felines", "2")


def test_an_older_log_is_read(make: Make) -> None:
    anna = make("anna")
    anna.start()
    publish(anna, "cats", [letter(1), letter(2)])
    anna.json("archive", "publish", "cats", "--new-epoch")
    anna.json("archive", "add", "cats", "-", data=mbox([letter(3)]))
    assert [row["subject"] for row in anna.json("archive", "list", "cats")] == ["number 3"]
    rows = anna.json("archive", "list", "cats", "--epoch", "1")
    assert [row["subject"] for row in rows] == ["number 1", "number 2"]
    said = anna.says("archive", "list", "cats", "--epoch", "1").splitlines()
    assert said[0].split()[0] == "message"
    name = said[1].split()[0]
    assert rows[0]["message"].endswith(name)
    assert anna.run("archive", "read", "cats", name, "--raw").out == letter(1)
    assert anna.refuses(66, "archive", "list", "cats", "--epoch", "3")["error"] == "no-epoch"


def test_a_rewritten_history(make: Make, visit: Visit, folder: Path) -> None:
    """The operator puts back an old copy of the home by hand, and goes on from there."""
    anna, ben = make("anna"), make("ben")
    anna.start()
    ben.start()
    row = publish(anna, "cats", [letter(n) for n in range(3)])
    anna.stop()
    shutil.copytree(anna.path, folder / "old", ignore=shutil.ignore_patterns("socket"))
    anna.start()
    anna.json("archive", "add", "cats", "-", data=mbox([letter(4)]))
    ben.json("archive", "follow", row["link"])
    assert ben.json("archive", "poll", "cats")["after"] == 4
    ben.json("archive", "publish", "cats")
    assert b"one log" not in visit(ben).get("/archives/cats/")
    status, _, fields = visit(ben).ask("/archives")
    assert (status, fields["location"]) == (301, "/archives/")
    anna.stop()
    shutil.rmtree(anna.path)
    shutil.copytree(folder / "old", anna.path)
    anna.start()
    anna.json("archive", "add", "cats", "-", data=mbox([letter(5), letter(6)]))
    told = ben.run("archive", "poll", "cats")
    assert told.code == 65
    first = told.err.splitlines()[0]
    assert "cats was rewritten" in first
    assert "of 4 and of 5 entries" in first
    shown = ben.json("archive", "show", "cats")
    for proof, size in zip(shown["fork"], (4, 5), strict=True):
        assert independent.checkpoint(proof.encode(), row["vkey"])[0] == size
    assert f"willcall --home {ben.path} archive show cats" in told.err
    said = ben.says("archive", "show", "cats").splitlines()
    for proof in shown["fork"]:
        at = said.index(f"  | {row['vkey'].partition('+')[0]}")
        head = proof.splitlines()
        assert said[at : at + len(head)] == [f"  | {each}" for each in head]
        said = said[at + 1 :]
    for page in ("", "2020-01.html"):  # a mirror says it to browsers, too
        said_there = html.unescape(visit(ben).get(f"/archives/cats/{page}").decode())
        assert f"{first.splitlines()[0].partition(': ')[2]}; " in said_there, page
    assert ben.refuses(65, "archive", "poll", "cats")["error"] == "forked"
    assert ben.run("archive", "poll").code == 65
    every = ben.run("archive", "poll", "--json")
    assert (every.code, every.err) == (65, "")
    assert [made["verified"] for made in json.loads(every.out)] == [False]
    assert "was rewritten" in json.loads(every.out)[0]["reason"]
    checked = ben.run("--json", "archive", "verify", "cats")
    assert (checked.code, json.loads(checked.out)["verified"]) == (65, False)
    assert "was rewritten" in json.loads(checked.out)["reason"]
    found = {each["check"]: each for each in ben.json("doctor")}
    assert "cats: its key signed two histories" in found["archives"]["detail"]
    assert "archive show cats" in found["archives"]["next"]
    assert ben.run("archive", "read", "cats", "3", "--raw").out == letter(4)


def test_all_forms(make: Make, folder: Path) -> None:
    home = make("anna")
    home.start()
    home.json("archive", "create", "cats")

    def add(*words: str, data: bytes = b"") -> Any:
        return home.json("archive", "add", "cats", *words, data=data)

    quoted = b"From: a\nDate: Thu, 2 Jan 2020 12:00:00 +0000\n\nFrom here on\n>From there\n"
    rd = b"From mboxrd@z Thu Jan  2 12:00:29 2020\n" + quoted.replace(
        b"\n>From", b"\n>>From"
    ).replace(b"\n\nFrom", b"\n\n>From")
    assert add("-", data=rd + b"\n")["added"] == 1
    assert home.run("archive", "read", "cats", "0", "--raw").out == quoted
    o = b"From x Thu Jan  2 12:00:29 2020\n" + quoted.replace(b"\n\nFrom", b"\n\n>From") + b"\n"
    assert add("-", "--format", "mboxo", data=o)["added"] == 1
    assert home.run("archive", "read", "cats", "1", "--raw").out == quoted.replace(b"\n>F", b"\nF")
    cl2 = b"From x\nContent-Length: %d\n" % len(quoted.partition(b"\n\n")[2]) + quoted
    assert add("-", data=(cl2 + b"\n") * 2)["added"] == 1
    assert home.run("archive", "read", "cats", "2", "--raw").out == cl2.partition(b"\n")[2]
    box = mailbox.Maildir(folder / "Maildir", create=True)
    for number in range(5):
        box.add(letter(number))
    made = add(str(folder / "Maildir"))
    assert (made["added"], made["size"]) == (5, 8)
    one = folder / "one.eml"
    one.write_bytes(letter(3))
    assert add(str(one))["known"] == 1
    broken = b"\0\x80 no field\r\rat all"
    made = add("-", "--format", "message", data=broken)
    assert (made["added"], made["broken"]) == (1, 1)
    assert home.run("archive", "read", "cats", "8", "--raw").out == broken
    told = home.run("archive", "add", "cats", "-", "--format", "message", data=broken)
    assert "number 8" in told.err
    assert add("-", data=b"")["added"] == 0


def test_an_archive_is_not_dropped_unasked(make: Make) -> None:
    """On a terminal; a script knows what it does, as everywhere else."""
    home = make("anna")
    home.start()
    publish(home, "cats", [letter(1)])
    for answer in ("\n", "n\n", "cats\n"):
        asked = Terminal(home, "archive", "drop", "cats")
        asked.sees("cats has 1 entry, and all of it goes for ever. Type yes to go on: ")
        asked.type(answer)
        seen = asked.end()
        assert seen.code == 65, seen
        assert "cancelled: cats is as it was" in seen.text
    asked = Terminal(home, "archive", "drop", "cats")
    asked.sees("Type yes to go on: ")
    asked.type("yes\n")
    assert "cats is gone" in asked.end().text
    home.json("archive", "create", "dogs")
    assert "dogs is gone" in Terminal(home, "archive", "drop", "dogs", "--yes").end().text
    home.json("archive", "create", "mice")
    assert home.says("archive", "drop", "mice") == "mice is gone\n"
    home.refuses(67, "archive", "drop", "mice")


def test_what_is_refused(make: Make, folder: Path) -> None:
    home = make("anna")
    home.start()
    home.json("archive", "create", "cats")
    before = home.json("archive", "show", "cats")
    assert home.refuses(73, "archive", "create", "cats")["error"] == "exists"
    for name in ("no/such", "index.html"):  # as for contacts and owners
        assert home.refuses(64, "archive", "create", name)["error"] == "usage"
    home.refuses(67, "archive", "add", "dogs", "-", data=mbox([letter(1)]))
    home.refuses(66, "archive", "add", "cats", str(folder / "nothing"))
    home.refuses(65, "archive", "add", "cats", str(folder))
    home.refuses(65, "archive", "add", "cats", "-", data=b"no separator,\nno field\n" * 9)
    no_box = folder / "old.mbox"
    no_box.write_bytes(letter(1) * 3)
    home.refuses(65, "archive", "add", "cats", str(no_box))
    home.refuses(65, "archive", "add", "cats", "-", "--format", "mboxrd", data=letter(1))
    home.refuses(64, "archive", "add", "cats", "-", "--format", "zip", data=b"x")
    home.refuses(64, "archive", "remove", "cats", "1")
    home.refuses(66, "archive", "remove", "cats", "1", "--reason", "never there")
    home.refuses(67, "archive", "show", "dogs")
    assert home.json("archive", "show", "cats") == before
    file = folder / "file"
    file.write_bytes(b"")
    said = home.refuses(74, "archive", "export", "cats", "--static", str(file))
    assert said["next"] == "--static another folder"
    said = home.refuses(64, "archive", "readers", "list", "cats")
    assert said["next"] == "willcall archive create NAME --private"


def test_what_is_left_out_is_named(make: Make, folder: Path) -> None:
    """Too large, a link, not to be read: everything else goes in, and the exit code says it."""
    home = make("anna")
    home.start()
    home.json("archive", "create", "cats")
    box = folder / "Maildir"
    for name in ("cur", "new", ".Archive/cur", ".Archive/new"):
        (box / name).mkdir(parents=True)
    for number, name in enumerate(("cur/3.a:2,S", "new/4.a", "cur/5.a:2,ST", ".Archive/cur/6.a")):
        (box / name).write_bytes(letter(number + 3))
    (folder / "secret").write_bytes(letter(8))
    (box / "cur/8.a").symlink_to(folder / "secret")
    (box / "cur/9.a").mkdir()
    huge = b"Subject: huge\n\n" + bytes(66 << 20)
    (box / "cur/7.a").write_bytes(huge)
    told = home.run("archive", "add", "cats", str(box))
    assert "2 messages added; cats has 2 entries" in told.out.decode()
    assert told.code == 65
    for line in (
        f"(left out: {box}/.Archive; it can be added by itself)",
        f"(left out: {box}/cur/7.a: larger than this node takes)",
        f"(left out: {box}/cur/8.a: a link, and not followed)",
        f"(left out: {box}/cur/9.a: could not be read)",
    ):
        assert line in told.err
    assert "without an author" not in told.err
    made = home.run("--json", "archive", "add", "cats", str(box))
    assert json.loads(made.out) == {"added": 0, "known": 2, "broken": 3, "size": 2}
    told = home.run("archive", "add", "cats", "-", data=mbox([letter(1), huge, letter(2)]))
    assert "2 messages added; cats has 4 entries" in told.out.decode()
    assert "(left out: message 2 of -: larger than this node takes)" in told.err
    assert told.code == 65
    said = home.refuses(65, "archive", "add", "cats", "-", "--format", "message", data=huge)
    assert said["error"] == "too-large"
    subjects = [row["subject"] for row in home.json("archive", "list", "cats")]
    assert subjects == [f"number {number}" for number in (3, 4, 1, 2)]


def test_what_is_gone_says_where_the_rest_is(make: Make) -> None:
    home = make("anna")
    home.start()
    publish(home, "cats", [letter(0), letter(1)])
    words = ("archive", "remove", "cats", "0", "--reason", "asked for")
    home.json(*words)
    for code, call in (
        (73, words),
        (66, ("archive", "read", "cats", "0")),
        (66, ("archive", "read", "cats", "2")),
    ):
        assert home.refuses(code, *call)["next"] == "willcall archive list cats", call


def test_one_is_said_as_one(make: Make, folder: Path, visit: Visit) -> None:
    home = make("anna")
    home.start()
    publish(home, "cats", [letter(0)])
    file = folder / "one.eml"
    file.write_bytes(letter(0))
    assert ", 1 was there already" in home.says("archive", "add", "cats", str(file))
    web = visit(home)
    (month,) = re.findall(rb"[0-9]{4}-[0-9]{2}[.]html", web.get("/archives/cats/"))
    assert b"1 message " in web.get(f"/archives/cats/{month.decode()}")


def test_a_large_mbox_in_constant_memory(make: Make) -> None:
    home = make("anna")
    home.start()
    home.json("archive", "create", "cats")
    body = b"x" * 99 + b"\n"
    contents = [letter(n) + body * 400 for n in range(2400)]
    peak = home.peak()
    made = home.json("archive", "add", "cats", "-", data=mbox(contents), deadline=120)
    assert made["added"] == 2400
    # Of 96 MB: what LevelDB gathers before it writes, and what threads keep for the next time.
    assert home.peak() - peak < 64 << 20
    home.kill()
    home.start()
    assert home.json("archive", "show", "cats")["size"] == 2400
