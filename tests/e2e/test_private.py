"""Private archives by the command line, over real HTTP."""

import http.client
from typing import Any

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, meet, until
from tests.e2e.test_archives import mbox
from tests.services.shelves import letter

SECRET = b"number"


def family(make: Make, *others: str) -> list[Home]:
    """Anna with a private archive of three messages; her contacts."""
    homes = [make(name) for name in ("anna", *others)]
    for home in homes:
        home.start()
    for home in homes[1:]:
        meet(homes[0], home)
    anna = homes[0]
    made = anna.json("archive", "create", "family", "--private")
    assert (made["access"], made["served"]) == ("private", False)
    added = anna.json("archive", "add", "family", "-", data=mbox([letter(n) for n in range(3)]))
    assert (added["added"], added["size"]) == (3, 3)
    anna.json("archive", "publish", "family")
    return homes


def asked(home: Home, path: str) -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", home.port, timeout=30)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def subjects(home: Home, name: str = "family") -> list[Any]:
    return [row.get("subject") for row in home.json("archive", "list", name)]


def test_a_private_archive_from_the_first_command_to_the_last(make: Make) -> None:
    anna, ben, carl, eve = family(make, "ben", "carl", "eve")
    link = anna.json("archive", "show", "family")["link"]
    # Nobody is a reader yet: it is not there, in so many words.
    failed = ben.refuses(69, "archive", "follow", link)
    assert "adds you as a reader" in failed["next"]
    rows = anna.json("archive", "readers", "add", "family", "ben")
    assert [(row["name"], row["mirror"]) for row in rows] == [("ben", False)]
    anna.json("archive", "readers", "add", "family", "carl", "--mirror")
    # The ordinary two commands.
    ben.json("archive", "follow", link)
    polled = ben.json("archive", "poll", "family")
    assert polled == {"name": "family", "before": 0, "after": 3, "verified": True}
    assert subjects(ben) == ["number 0", "number 1", "number 2"]
    assert ben.run("archive", "read", "family", "1", "--raw").out == letter(1)
    assert ben.json("archive", "verify", "family")["messages"] == 3
    assert ben.json("archive", "show", "family")["access"] == "private"
    assert "private" in ben.says("archive", "show", "family")
    # Eve and the world.
    eve.refuses(69, "archive", "follow", link)
    for path in ("", "checkpoint", "about", "readers", "tile/entries/000.p/3", "feed.atom"):
        status, body = asked(anna, f"/archives/family/{path}")
        never = asked(anna, f"/archives/nevers/{path}")
        assert (status, body.replace(b"family", b"nevers")) == never
        assert status == 404
    message = anna.json("archive", "list", "family")[0]["message"]
    assert asked(anna, f"/ipfs/{message}")[0] == 404
    assert b"family/" not in asked(anna, "/archives/")[1]
    anna.refuses(77, "archive", "export", "family", "--static", "/nowhere")
    # Carl keeps it unread, and serves it to ben when anna is gone.
    carl.json("archive", "follow", link)
    assert carl.json("archive", "poll", "family")["after"] == 3
    assert {row["state"] for row in carl.json("archive", "list", "family")} == {"sealed"}
    assert carl.refuses(66, "archive", "read", "family", "1")["error"] == "sealed"
    mirror = carl.json("archive", "publish", "family")["url"]
    anna.stop()
    ben.json("archive", "follow", mirror, "--as", "copy")
    assert ben.json("archive", "poll", "copy")["after"] == 3
    assert subjects(ben, "copy") == ["number 0", "number 1", "number 2"]
    eve.refuses(69, "archive", "follow", mirror)
    # What lies at the mirror's is sealed.
    for file in carl.path.rglob("*.log"):
        assert SECRET not in file.read_bytes(), file


def test_a_reader_is_removed_and_comes_back(make: Make) -> None:
    anna, ben = family(make, "ben")
    anna.json("archive", "readers", "add", "family", "ben")
    link = anna.json("archive", "show", "family")["link"]
    ben.json("archive", "follow", link)
    ben.json("archive", "poll", "family")
    assert "reads nothing that is added" in anna.says(
        "archive", "readers", "remove", "family", "ben"
    )
    assert anna.json("archive", "readers", "list", "family") == []
    anna.json("archive", "add", "family", "-", data=letter(7))
    failed = ben.refuses(69, "archive", "poll", "family")
    assert failed["error"] == "not-here"
    assert len(subjects(ben)) == 3
    anna.refuses(67, "archive", "readers", "remove", "family", "ben")
    anna.json("archive", "readers", "add", "family", "ben")
    until(lambda: ben.json("archive", "poll", "family")["after"] == 4 or None)
    assert subjects(ben)[-1] == "number 7"
    # A restart forgets nothing, and the removal of a message arrives.
    anna.stop()
    anna.start()
    anna.json("archive", "remove", "family", "0", "--reason", "asked for")
    assert ben.json("archive", "poll", "family")["after"] == 5
    assert ben.refuses(66, "archive", "read", "family", "0")["error"] == "removed"
    assert "asked for" in ben.says("archive", "list", "family")
    # Public archives have no readers.
    anna.json("archive", "create", "cats")
    anna.refuses(64, "archive", "readers", "list", "cats")
