"""Retention that people can see: what is kept, for whom, until when; and how it goes."""

from typing import Any

from tests.e2e.homes import Home

Pair = tuple[Home, Home]
ITEM = ["n", "message", "subject", "for", "state", "bytes", "until", "then"]


def by(home: Home, what: str) -> dict[str, Any]:
    document = home.json("quota", "--by", what)
    assert list(document) == ["owner", "limit", "used", "free", "by"]
    rows: list[dict[str, Any]] = document["by"]
    word = "state" if what == "state" else "contact"
    for row in rows:
        assert all(list(each) == ITEM for each in row["largest"])
    return {row[word]: row for row in rows}


def test_what_is_kept_for_whom_and_how_long(pair: Pair) -> None:
    anna, ben = pair
    kept = anna.send("ben", b"Subject: kept\n\n" + b"x" * 900, "--keep-sent")
    dropped = anna.send("ben,anna", b"Subject: dropped\n\n" + b"y" * 2000, "--drop-sent")
    for message in (kept, dropped):
        anna.settled(message, "confirmed")
    ben.stop()
    waits = anna.send("ben", b"Subject: waits\n\n", "--keep", "2d")
    states = by(anna, "state")
    used = anna.json("quota")["used"]
    assert {state: row["bytes"] for state, row in states.items()} == used
    assert list(states) == ["waiting", "grace", "sent", "inbox"]
    assert [states[word]["messages"] for word in states] == [1, 2, 0, 1]
    (item,) = states["waiting"]["largest"]
    status = anna.json("status", waits)
    assert (item["message"], item["for"], item["then"]) == (waits, ["ben"], "expires")
    assert item["until"] == status["keep_until"] == states["waiting"]["until"]
    first, second = states["grace"]["largest"]
    assert (first["message"], first["then"]) == (dropped, "freed")
    assert sorted(first["for"]) == ["anna", "ben"]  # in the order of their keys
    assert (second["message"], second["subject"], second["then"]) == (kept, "kept", "kept")
    assert states["grace"]["freed"] == first["bytes"]

    people = by(anna, "contact")
    assert set(people) == {"ben", "anna"}
    assert people["ben"]["messages"] == 3
    assert people["ben"]["used"]["waiting"] == used["waiting"]
    assert people["anna"]["used"] == {
        "waiting": 0, "grace": first["bytes"], "sent": 0, "inbox": used["inbox"],
    }  # fmt: skip
    assert "dropped" in anna.says("quota", "--by", "state")
    assert "ben" in anna.says("quota", "--by", "contact")
    assert anna.refuses(64, "quota", "--by", "nonsense")["next"]

    # What somebody may still fetch is not deleted; what is over goes at once.
    assert anna.refuses(77, "delete", waits)["error"] == "open"
    anna.json("retract", waits)
    before = anna.json("quota")["used"]
    assert before["sent"] > 0
    assert anna.json("delete", waits) == {"deleted": [waits], "later": []}
    assert anna.json("quota")["used"] == before | {"sent": 0}
    assert anna.refuses(66, "read", waits, "--raw")["next"]
    assert anna.json("status", waits)["deliveries"][0]["state"] == "retracted"
    # Within its grace it stays, and goes when that is over.
    (later,) = anna.json("delete", kept)["later"]
    (held,) = [row for row in by(anna, "state")["grace"]["largest"] if row["message"] == kept]
    assert later == {"message": kept, "bytes": held["bytes"], "until": held["until"]}
    assert f"free again {held['until'][:10]}" in anna.says("delete", kept)
    assert anna.json("quota")["used"]["grace"] == used["grace"]
    assert {each["then"] for each in by(anna, "state")["grace"]["largest"]} == {"freed"}
    assert anna.json("send", "--to", "anna", "-m", "x", "--wait", "10")


def test_imported_mail_is_nobody_s(pair: Pair) -> None:
    anna, _ = pair
    anna.json("import", "-", data=b"From x\nSubject: old\n\nx\n")
    (row,) = by(anna, "contact").values()
    assert (row["contact"], row["did"], row["messages"]) == (None, None, 1)
    assert row["largest"][0]["for"] == []
    assert "(imported)" in anna.says("quota", "--by", "contact")
