"""Mail found by its words, whatever happened to the index, the mail, or the node."""

import shutil
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until

Pair = tuple[Home, Home]


def found(home: Home, *words: str) -> list[Any]:
    return [row["subject"] for row in home.json("find", *words)]


def letters(to: Home, sender: Home, *subjects: str) -> None:
    for subject in subjects:
        content = f"Subject: {subject}\nFrom: x\n\nThe words of {subject}, grüße\n".encode()
        sender.settled(sender.send(to.name, content), "confirmed")


def test_received_and_sent_by_its_owner(pair: Pair) -> None:
    anna, ben = pair
    letters(ben, anna, "one", "two")
    (row, older) = ben.json("find", "WORDS", "gruße")
    assert older["subject"] == "one"
    listed = ben.json("inbox")[-1]
    assert row == listed | {"snippet": "The words of two, grüße"}
    assert list(row) == [*listed, "snippet"]
    (sent,) = anna.json("find", "two")
    assert sent["n"] is None
    assert (sent["state"], sent["from"], sent["to"]) == ("sent", "anna", ["ben"])
    assert sent["message"] == row["message"]
    assert set(sent) == {*row, "to"}
    assert found(ben, "from:x", "subject:tw*") == ["two"]
    assert found(ben, "words of one") == ["one"]
    assert ben.json("find", "words", "--limit", "1") == [row]
    assert ben.json("find", "nosuchword") == []
    says = ben.says("find", "words", "one")
    assert says.splitlines()[1].strip() == "The words of one, grüße"
    assert ben.refuses(64, "find")["next"]
    assert ben.refuses(64, "find", "%")["next"]
    assert ben.refuses(64, "find", "x", "--rebuild")["next"]

    # Owners find their own mail only.
    ben.json("owner", "add", "otto")
    assert ben.json("--owner", "otto", "find", "words") == []
    files = [path.name for path in (ben.path / "search").iterdir()]
    dids = [row["did"].removeprefix("did:key:") for row in ben.json("owner", "list")]
    assert sorted(files) == sorted(f"{did}.sqlite" for did in dids)


def test_it_keeps_up_with_what_happens(pair: Pair, tmp_path: Path) -> None:
    anna, ben = pair
    letters(ben, anna, "one", "two")
    assert found(ben, "words") == ["two", "one"]
    ben.json("delete", "1")
    assert found(ben, "words") == ["two"]
    ben.kill()
    ben.start()
    letters(ben, anna, "three")
    (tmp_path / "old.mbox").write_bytes(b"From x\nSubject: old\n\nwords from elsewhere\n")
    ben.json("import", str(tmp_path / "old.mbox"))
    assert sorted(found(ben, "words")) == ["old", "three", "two"]
    index = next((ben.path / "search").iterdir())
    index.write_bytes(b"garbage" * 1000)
    done = ben.run("find", "words", "--json")
    assert (done.code, len(done.document())) == (0, 3)
    assert "damaged" in done.err
    assert found(ben, "three") == ["three"]
    shutil.rmtree(ben.path / "search")
    assert found(ben, "three") == ["three"]
    assert ben.json("find", "--rebuild") == {"messages": 3}


def test_mail_that_waits_is_found_once_it_is_here(make: Make) -> None:
    anna = make("anna")
    anna.configure(pickup={"ask_over": "1000"})
    anna.start()
    content = b"Subject: large\n\nneedle\n" + b"x" * 5000
    message = anna.send("anna", content)
    anna.settled(message, "held")
    letters(anna, anna, "small")
    assert [row["state"] for row in anna.json("find", "needle")] == ["sent"]
    n = next(row["n"] for row in anna.json("inbox") if row["state"] == "waiting")
    anna.json("fetch", str(n))
    rows = until(lambda: rows if len(rows := anna.json("find", "needle")) == 2 else None)
    assert {row["n"] for row in rows} == {n, None}


def test_an_older_store_under_a_newer_index(make: Make, folder: Path) -> None:
    anna = make("anna")
    anna.start()
    letters(anna, anna, "first")
    anna.stop()
    shutil.copytree(anna.path, folder / "old")
    anna.start()
    letters(anna, anna, "lost", "lost too")
    assert "lost" in found(anna, "words")
    anna.stop()
    shutil.rmtree(anna.path / "db")
    shutil.copytree(folder / "old" / "db", anna.path / "db")
    anna.start()
    letters(anna, anna, "second", "third", "fourth")
    done = anna.run("find", "words", "--json")
    subjects = {row["subject"] for row in done.document()}
    assert subjects == {"first", "second", "third", "fourth"}
    assert "another time" in done.err


def test_deleted_mail_leaves_the_index(make: Make) -> None:
    anna = make("anna")
    anna.start()
    mbox = b"".join(b"From x\nSubject: s%d\n\nsecretword%d\n" % (n, n) for n in range(100))
    anna.json("import", "-", data=mbox)
    index = anna.path / "search"
    assert len(anna.json("find", "secretword*", "--limit", "200")) == 100
    anna.json("delete", *map(str, range(1, 90)))
    done = anna.run("find", "secretword*", "--json")
    assert len(done.document()) == 11
    assert "deleted" in done.err
    data = b"".join(path.read_bytes() for path in index.iterdir())
    assert b"secretword1" not in data
