"""`key` and `owner rename`: what a person does with keys and names of their own."""

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until

Pair = tuple[Home, Home]


def test_a_new_sealing_key(pair: Pair) -> None:
    anna, ben = pair
    keyed = anna.json("contact", "show", "ben")["keyed"]
    row = ben.json("key", "rotate")
    assert list(row) == [
        "name", "did", "address", "origin", "keys", "dropped", "told", "contacts",
    ]  # fmt: skip
    assert (row["keys"], row["dropped"], row["told"], row["contacts"]) == (2, 0, 1, 1)
    assert row["did"] == ben.json("whoami")["did"]
    assert anna.json("contact", "show", "ben")["keyed"] > keyed
    anna.settled(anna.send("ben", b"Subject: to the new key\n\n"), "confirmed")
    ben.kill()
    waits = anna.send("ben", b"Subject: while you were away\n\n")
    ben.start()
    anna.settled(waits, "confirmed")
    assert "1 of 1 contacts" in ben.says("key", "rotate")
    for _ in range(2):
        row = ben.json("key", "rotate")
    assert (row["keys"], row["dropped"]) == (4, 1)


def test_who_is_away_does_not_hold_it_up(pair: Pair) -> None:
    anna, ben = pair
    anna.stop()
    row = ben.json("key", "rotate")
    assert (row["told"], row["contacts"]) == (0, 1)
    anna.start()
    keyed = until(lambda: ben.local().get("owners"))
    assert keyed
    anna.settled(anna.send("ben", b"Subject: back\n\n"), "confirmed")


def test_another_name(pair: Pair, make: Make) -> None:
    anna, ben = pair
    ben.json("owner", "add", "carl")
    assert ben.json("owner", "rename", "ben", "benjamin")["name"] == "benjamin"
    assert ben.json("whoami")["name"] == "benjamin"
    until(lambda: anna.json("contact", "show", "ben")["says"] == "benjamin")
    assert anna.json("contact", "list")[0]["name"] == "ben"
    assert ben.refuses(73, "owner", "rename", "carl", "benjamin")["error"] == "exists"
    assert ben.refuses(67, "owner", "rename", "nobody", "x")["error"] == "no-contact"
    assert ben.refuses(64, "owner", "rename", "carl", "a b")["detail"]
    dora = make("dora")
    dora.start()
    link = ben.json("invite")["link"]
    assert dora.json("contact", "add", link)["name"] == "benjamin"
