"""What happens to mail between two nodes, whatever ends in the middle."""

import base64
import http.client
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from node.encoding import cid
from tests.e2e.conftest import Make
from tests.e2e.homes import Home, meet, until

Pair = tuple[Home, Home]
Friends = tuple[Home, Home]
UNKNOWN = "bafyreihsshjmo7mb4iasvcz2kn5eie4bp6ddla6uabiob2ncskw2jeoopi"


# --- crashes and absences ---------------------------------------------------------------


def test_mail_survives_a_kill_right_after_send(pair: Pair) -> None:
    anna, ben = pair
    ben.stop()
    letters = [b"Subject: small\n\n", b"Subject: large\n\n" + bytes(3 << 20)]
    for letter in letters:
        message = anna.send("ben", letter)
        anna.kill()
        anna.start()
        assert anna.states(message) == ["stored"]
    ben.start()
    rows = ben.arrived(2)
    assert sorted(ben.raw(row["n"]) for row in rows) == sorted(letters)
    for row in rows:
        anna.settled(row["message"], "confirmed")


@pytest.mark.parametrize("form", [("--json",), ()])
def test_a_kill_while_send_waits_does_not_hide_the_message(
    pair: Pair, form: tuple[str, ...]
) -> None:
    anna, ben = pair
    ben.stop()
    sent = ("send", "--to", "ben", "-m", "x", "--wait", "40")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(anna.run, *form, *sent)
        (row,) = until(lambda: anna.local().get("sent"))
        until(lambda: anna.local().get("message", row["message"])["deliveries"][0]["attempts"])
        anna.kill()
        done = waiting.result()
    assert (done.code, row["message"] in done.out.decode()) == (75, True)
    assert "node ended" in done.err
    anna.start()
    assert anna.states(row["message"]) == ["stored"]


def test_recipient_and_sender_are_killed_in_the_middle(pair: Pair) -> None:
    anna, ben = pair
    letters = [b"Subject: %d\n\n" % n + bytes(n * 300_000) for n in range(12)]
    made = []
    for at, letter in enumerate(letters):
        made.append(anna.send("ben", letter))
        for home in [(), (ben,), (), (anna,), (anna, ben), ()][at % 6]:
            home.kill()
        for home in (anna, ben):
            if home.node is None:
                home.start()
    rows = ben.arrived(12, 60)
    for message in made:
        anna.settled(message, "confirmed")
    assert {ben.raw(row["n"]) for row in rows} == set(letters)
    assert len({row["n"] for row in rows}) == 12


def test_recipient_was_away(pair: Pair) -> None:
    anna, ben = pair
    ben.stop()
    message = anna.send("ben", b"Subject: while you were out\n\n")
    until(lambda: anna.local().get("message", message)["deliveries"][0]["attempts"])
    done = anna.run("--json", "send", "--to", "ben", "-m", "x", "--wait", "1")
    assert done.code == 75
    assert json.loads(done.out)["deliveries"][0]["state"] == "stored"
    assert json.loads(done.err)["error"] == "not-yet"
    ben.start()
    anna.settled(message, "confirmed")
    assert len(ben.arrived(2)) == 2


# --- many at once, and no bounce --------------------------------------------------------


def test_no_bounce_is_ever_made(make: Make) -> None:
    """A hundred deliveries: confirmed, held, refused, retracted, expired; and silence."""
    anna, ben, carol = make("anna"), make("ben"), make("carol")
    ben.configure(capacity={"message": "64KiB"})
    for home in (anna, ben):
        home.start()
    meet(anna, ben)
    did = carol.start().split()[1]
    address = f"{did}@127.0.0.1:{carol.port}"
    local = anna.local()

    def sends(to: str, subject: str, size: int = 0, keep: int = 86_400_000) -> str:
        content = f"Subject: {subject}\n\n".encode() + bytes(size)
        row = local.upload("send", {"to": [to], "keep": keep}, content, len(content))
        return str(row["message"])

    good = [sends("ben", f"good {n}") for n in range(40)]
    refused = [sends("ben", f"too large {n}", 70_000) for n in range(20)]
    held = [sends(address, f"unknown {n}") for n in range(10)]
    for message in good:
        anna.settled(message, "confirmed")
    for message in refused:
        anna.settled(message, "refused")
    assert local.get("message", refused[0])["deliveries"][0]["reason"] == "too-large"
    for message in held:
        anna.settled(message, "held")
    until(lambda: carol.json("held"))  # its node has called anna's, which is stopped below
    ben.stop()
    gone = [sends("ben", f"withdrawn {n}") for n in range(20)]
    for message in gone:
        local.post("retract", message)
    over = [sends("ben", f"expired {n}", keep=1_000) for n in range(20)]
    end = time.time() + 1.1
    anna.stop()
    ben.start()
    until(lambda: time.time() > end)
    anna.start()  # it sweeps what expired
    for message in over:
        anna.settled(message, "expired")
    for message in gone:
        anna.settled(message, "retracted")
    assert "not confirmed" in anna.says("status", over[0])
    assert {row["subject"] for row in ben.arrived(40)} == {f"good {n}" for n in range(40)}
    assert anna.json("inbox") == []
    assert carol.json("inbox") == []
    assert len(anna.json("sent")) == 110
    assert len(carol.json("held")) == 1  # one slot a stranger
    assert ben.json("sent") == carol.json("sent") == []


# --- retraction, and the public port ----------------------------------------------------


def test_a_retracted_message_never_arrives(pair: Pair) -> None:
    anna, ben = pair
    ben.stop()
    message = anna.send("ben", b"Subject: regretted\n\n")
    row = anna.json("retract", message[-8:])
    assert set(row) == {"message", "subject", "size", "created", "keep_until", "deliveries"}
    assert row["deliveries"][0]["state"] == "retracted"
    assert isinstance(row["deliveries"][0]["attempts"], list)
    ben.start()
    anna.settled(anna.send("ben", b"Subject: kept\n\n"), "confirmed")
    assert [row["subject"] for row in ben.json("inbox")] == ["kept"]
    assert get(anna, message)[0] == 410
    assert anna.states(message) == ["retracted"]
    assert anna.json("quota")["used"]["waiting"] == 0


def test_who_may_fetch_a_block(friends: Friends) -> None:
    anna, ben = friends
    ben.stop()
    content = b"Subject: in parts\n\n" + bytes(range(256)) * 10_000
    message = anna.send("ben", content)
    assert get(anna, message)[0] == 404
    assert get(anna, message, "A" * 22)[0] == 404
    assert get(anna, UNKNOWN)[0] == 404
    assert get(anna, "nonsense")[0] in (400, 404)
    ben.start()
    anna.settled(message, "confirmed")
    assert get(anna, message)[0] == 410
    assert get(anna, message, "A" * 22)[0] == 404
    assert get(anna, UNKNOWN)[0] == 404
    _, headers, _ = get(anna, message)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "application/problem+json"


def test_a_ticket_opens_its_block(make: Make) -> None:
    """The recipient's requests go through a relay that looks over its shoulder."""
    from tests.e2e.relay import Relay

    anna, ben = make("anna"), make("ben")
    with Relay(anna.port) as relay:
        anna.configure(network={"origin": f"127.0.0.1:{relay.port}"})
        ben.configure(pickup={"ask_over": "1KiB"})
        for home in (anna, ben):
            home.start()
        meet(anna, ben)
        content = b"Subject: waits\n\n" + bytes(2_000)
        message = anna.send("ben", content)
        anna.settled(message, "held")
        assert ben.arrived(1)[0]["state"] == "waiting"
        relay.open = False  # ben asks, and nothing comes back
        ben.run("--json", "fetch", "1", "--wait", "1")
        asked = re.compile(
            rb"\x50(.{16})\x81\xd8\x2a\x58\x25\0" + re.escape(cid.parse(message)), re.S
        )
        found = until(lambda: asked.search(relay.seen))
        ticket = base64.urlsafe_b64encode(found[1]).rstrip(b"=").decode()
        status, headers, root = get(anna, message, ticket)
        assert status == 200
        assert headers["content-type"] == "application/vnd.ipld.raw"
        assert headers["cache-control"] == "private, no-store"
        assert len(root) > len(content)
        assert content not in root
        assert get(anna, message)[0] == 404
        assert get(anna, message, ticket[:-1] + ("A" if ticket[-1] != "A" else "Q"))[0] == 404
        relay.open = True
        anna.settled(message, "fetched", 5)
        anna.json("retract", message)
        assert get(anna, message, ticket)[0] == 410
        assert get(anna, message)[0] == 410


def get(home: Home, name: str, ticket: str | None = None) -> tuple[int, dict[str, str], bytes]:
    """A block from the public port, as anybody would ask for it."""
    connection = http.client.HTTPConnection("127.0.0.1", home.port, timeout=10)
    try:
        headers = {} if ticket is None else {"Authorization": f"Willcall {ticket}"}
        connection.request("GET", f"/v1/blocks/{name}", headers=headers)
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, fields, answer.read()
    finally:
        connection.close()


# --- waiting mail -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def choosy() -> Any:
    """Ben takes nothing over 1 KiB unasked."""
    import tempfile
    from pathlib import Path

    from tests.e2e.homes import ended

    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        anna, ben = Home(Path(path), "anna"), Home(Path(path), "ben")
        with ended([anna, ben]):
            for home in (anna, ben):
                home.init()
            ben.configure(pickup={"ask_over": "1KiB"})
            for home in (anna, ben):
                home.start()
            meet(anna, ben)
            yield anna, ben


def waits(choosy: Pair, subject: str) -> tuple[str, int, bytes]:
    anna, ben = choosy
    content = f"Subject: {subject}\n\n".encode() + b"x" * 3_000
    message = anna.send("ben", content)
    anna.settled(message, "held")
    row = until(lambda: [r for r in ben.local().get("inbox") if r["message"] == message])[0]
    return message, row["n"], content


def test_large_mail_visibly_waits(choosy: Pair) -> None:
    anna, ben = choosy
    message, n, content = waits(choosy, "big")
    row = ben.json("inbox")[-1]
    assert (row["n"], row["state"], row["size"]) == (n, "waiting", len(content))
    assert (row["from"], row["subject"], row["date"]) == ("anna", None, None)
    assert row["keep_until"] == anna.json("status", message)["keep_until"]
    assert "waits at its sender until" in ben.says("inbox")
    assert ben.json("quota")["used"]["inbox"] == 0
    (each,) = anna.json("status", message)["deliveries"]
    assert (each["state"], each["reason"]) == ("held", "waiting")
    assert ben.json("status")["waiting"] == 1
    fetched = ben.json("fetch", str(n))
    assert (fetched["n"], fetched["state"], fetched["subject"]) == (n, "new", "big")
    assert fetched["keep_until"] is None
    anna.settled(message, "confirmed")
    assert ben.raw(n) == content
    assert ben.json("fetch", message)["n"] == n  # again: the same row


def test_reading_calls_for_it(choosy: Pair) -> None:
    anna, ben = choosy
    message, _, content = waits(choosy, "read me")
    assert ben.raw(message[-8:]) == content
    anna.settled(message, "confirmed")
    assert ben.json("inbox")[-1]["state"] == "read"


def test_what_waits_can_be_retracted(choosy: Pair) -> None:
    anna, ben = choosy
    message, n, _ = waits(choosy, "withdrawn")
    anna.json("retract", message)
    until(lambda: ben.local().get("inbox")[-1]["state"] == "failed")
    assert ben.refuses(66, "read", str(n))["next"]
    assert ben.refuses(66, "fetch", str(n))["error"] == "failed"
    ben.json("delete", str(n))


def test_calling_for_mail_of_a_sender_who_is_away(choosy: Pair) -> None:
    anna, ben = choosy
    message, n, content = waits(choosy, "from afar")
    anna.stop()
    said = ben.refuses(75, "fetch", str(n), "--wait", "1")
    assert said["next"] == "willcall inbox"
    anna.start()
    anna.settled(message, "confirmed", 30)
    assert ben.raw(n) == content


# --- owners of one node -----------------------------------------------------------------


def test_two_owners_of_one_node(make: Make) -> None:
    anna = make("anna")
    anna.start()
    anna.json("owner", "add", "otto")
    link = anna.json("invite")["link"]
    assert anna.json("--owner", "otto", "contact", "add", link)["mutual"] is True
    assert [row["name"] for row in anna.json("contact", "list")] == ["otto"]
    before = anna.stored()
    content = b"Subject: upstairs\n\n" + b"x" * (5 << 20)
    message = anna.send("otto", content, "--wait", "10")
    assert anna.states(message) == ["confirmed"]
    back = anna.json("--owner", "otto", "send", "--to", "anna", "-m", "down", "--wait", "10")
    assert back["deliveries"][0]["state"] == "confirmed"
    done = anna.run("--owner", "otto", "read", "1", "--raw")
    assert done.out == content
    assert anna.json("inbox")[0]["from"] == "otto"
    assert anna.stored() - before < 5.5 * (1 << 20)  # stored once
    assert anna.json("--owner", "otto", "quota")["used"]["inbox"] > 5 << 20
