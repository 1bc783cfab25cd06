"""Private archives by the command line, over real HTTP."""

import http.client
import json
import urllib.parse
from typing import Any

import feedparser

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, meet, until
from tests.e2e.test_archives import mbox
from tests.ports import free_port
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


def fetched(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """As a feed reader asks: the address and nothing else."""
    parts = urllib.parse.urlsplit(url)
    line = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
    try:
        line.request(
            "GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers
        )
        answer = line.getresponse()
        return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        line.close()


def test_a_reader_s_own_feed(make: Make) -> None:
    anna, ben = family(make, "ben")
    anna.json("archive", "readers", "add", "family", "ben")
    ben.json("archive", "follow", anna.json("archive", "show", "family")["link"])
    ben.json("archive", "poll", "family")
    failed = ben.refuses(78, "archive", "feed", "family")
    assert "local.listen" in failed["next"]
    ben.stop()
    port = free_port()
    ben.configure(local={"listen": f"127.0.0.1:{port}"})
    ben.start()
    made = ben.json("archive", "feed", "family", "--device", "reader")
    assert made["atom"].startswith(f"http://127.0.0.1:{port}/reading/willcall_")
    status, body, fields = fetched(made["atom"])
    assert status == 200
    read = feedparser.parse(body)
    assert not read.bozo
    assert [each.title for each in read.entries] == ["number 2", "number 1", "number 0"]
    assert "text 2" in read.entries[0].content[0].value
    assert read.entries[0].link.startswith(made["url"])
    assert read.feed.link == made["url"]
    # No cache keeps it, and no other site learns the address; what is new costs an answer.
    assert fields["cache-control"] == "private, no-store"
    assert fields["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in fields
    assert fetched(made["atom"], **{"If-None-Match": fields["etag"]})[0] == 304
    items = json.loads(fetched(made["json"])[1])["items"]
    assert [each["title"] for each in items] == ["number 2", "number 1", "number 0"]
    # Pages, the message behind an entry, its bytes, the search.
    assert b"number 1" in fetched(made["url"])[1]
    page = read.entries[2].link
    assert b"text 0" in fetched(page)[1]
    assert fetched(page.replace(".html", ".eml"))[1] == letter(0)
    assert b"number 1" in fetched(f"{made['url']}search?q=number")[1]
    anna.json("archive", "add", "family", "-", data=letter(9))
    ben.json("archive", "poll", "family")
    assert b"number 9" in fetched(made["atom"])[1]
    # The token opens that, and nothing else; nothing opens it but the token.
    token = made["url"].split("/")[4]
    for path in ("inbox", "archives", "archive/family", "health"):
        url = f"http://127.0.0.1:{port}/{path}"
        assert fetched(url, Authorization=f"Bearer {token}")[0] == 403
    assert fetched(made["url"].replace("family", "other"))[0] == 404
    assert fetched(f"{made['url']}no-such.html")[0] == 404
    device = ben.json("owner", "token", "ben")["token"]
    for wrong in (device, token[:-1], "", "x"):
        assert fetched(made["url"].replace(token, wrong))[0] == 401
    assert fetched(made["atom"], Origin="http://evil.example")[0] == 403
    assert fetched(made["atom"], Host="evil.example")[0] == 403
    # Listed like any other, and void once it is revoked.
    rows = ben.json("owner", "tokens", "ben")
    assert [(row["device"], row["opens"]) for row in rows] == [
        ("reader", "archive"), (None, "owner"),
    ]  # fmt: skip
    assert "one archive's feed" in ben.says("owner", "tokens", "ben")
    ben.json("owner", "token", "ben", "--revoke", made["id"])
    assert fetched(made["atom"])[0] == 401
    # It goes with the archive.
    ben.json("archive", "feed", "family")
    ben.json("archive", "unfollow", "family")
    assert [row["opens"] for row in ben.json("owner", "tokens", "ben")] == ["owner"]
