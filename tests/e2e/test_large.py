"""Large mail, many addressees, full quotas: what is stored where, and what is refused."""

import hashlib
import os
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from node.encoding import names
from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until

MIB = 1 << 20


def test_the_largest_message_in_little_memory(pair: tuple[Home, Home], folder: Path) -> None:
    anna, ben = pair
    content = b"Subject: large\r\n\r\n" + os.urandom(64 * MIB - 18)
    (folder / "letter").write_bytes(content)
    sent = anna.json("send", "--to", "ben", "--raw", str(folder / "letter"))
    assert sent["size"] == 64 * MIB
    anna.settled(sent["message"], "held")
    assert ben.json("fetch", "1", "--wait", "60")["state"] == "new"
    anna.settled(sent["message"], "confirmed", 60)
    assert hashlib.sha256(ben.raw(1)).digest() == hashlib.sha256(content).digest()
    assert anna.peak() < 250 * MIB
    assert ben.peak() < 250 * MIB

    before = anna.json("sent"), anna.json("quota")
    with open(folder / "letter", "ab") as file:
        file.write(b"x")
    said = anna.refuses(65, "send", "--to", "ben", "--raw", str(folder / "letter"))
    assert said["error"] == "too-large"
    assert "an attached file grows by 37 %" in said["next"]
    assert f"{64 * MIB:,}" in said["detail"]
    assert f"{64 * MIB + 1:,}" in said["detail"]
    assert "capacity.message" in said["next"]
    assert (anna.json("sent"), anna.json("quota")) == before


def test_one_message_for_twenty(make: Make) -> None:
    anna, node = make("anna"), make("node")
    for home in (anna, node):
        home.start()
    readers = ["node", *(f"reader-{n}" for n in range(19))]
    for name in readers:
        if name != "node":
            node.json("owner", "add", name)
        link = node.json("--owner", name, "invite")["link"]
        assert anna.json("contact", "add", link)["name"] == name
    content = os.urandom(10 * MIB - 1000)
    before = anna.stored()
    sent = anna.json("send", "--to", ",".join(readers), "--raw", "-", data=content)
    assert [each["to"] for each in sent["deliveries"]] == readers
    anna.settled(sent["message"], "confirmed", 60)
    assert anna.stored() - before < 10.8 * MIB
    for name in (readers[0], readers[-1]):
        done = node.run("--owner", name, "read", "1", "--raw")
        assert done.out == content
        assert node.json("--owner", name, "quota")["used"]["inbox"] > 10 * MIB - 1000
    assert node.stored() < 14 * MIB  # one copy for all


def test_a_full_quota(make: Make) -> None:
    anna = make("anna")
    anna.start()
    anna.json("owner", "add", "poor", "--quota", "1MiB")
    meet_inside(anna, "poor")
    poor = ("--owner", "poor")
    used = anna.json(*poor, "quota")
    assert (used["limit"], used["free"]) == (MIB, MIB)
    for size in (40_000, 2 * MIB):
        first = anna.run("--json", *poor, "send", "--to", "anna", "--raw", "-", data=bytes(size))
        if size < MIB:
            first.document()
            continue
        said = first.failure(73)
        assert said["error"] == "over-quota"
        assert f"{MIB:,}" in said["detail"]
        assert "nothing was stored" in said["detail"]
        assert said["next"]
    until(lambda: not anna.local("poor").get("sent", open=1))
    now = anna.json(*poor, "quota")
    assert now["used"]["grace"] > 40_000
    done = anna.run("--json", *poor, "send", "--to", "anna", "--raw", "-", data=bytes(MIB - 1000))
    detail = done.failure(73)["detail"]
    assert f"grace {now['used']['grace']:,}" in detail
    assert len(anna.json(*poor, "sent")) == 1
    assert anna.json(*poor, "quota") == now
    assert not list((anna.path / "blocks").rglob("*.new"))


def test_an_mbox_over_the_quota_is_refused_before_anything(make: Make) -> None:
    anna = make("anna")
    anna.start()
    anna.json("owner", "add", "poor", "--quota", "5MiB")
    one = b"From x Thu Jan  2 12:00:29 2020\nSubject: x\n\n" + b"y" * 20_000 + b"\n\n"
    meet_inside(anna, "poor")
    done = anna.run(
        "--json", "--owner", "poor", "send", "--to", "anna", "--mbox", "-", data=one * 300
    )
    assert done.failure(73)["error"] == "over-quota"
    assert anna.json("--owner", "poor", "sent") == []


def test_mail_waits_for_room(make: Make) -> None:
    anna, ben = make("anna"), make("ben")
    ben.configure(capacity={"quota": "1MiB"})
    for home in (anna, ben):
        home.start()
    ben.json("owner", "add", "small", "--quota", "1MiB")
    link = ben.json("--owner", "small", "invite")["link"]
    anna.json("contact", "add", link)
    first, second = (anna.send("small", bytes(600_000)) for _ in range(2))
    inbox = ben.local("small")
    until(lambda: sorted(r["state"] for r in inbox.get("inbox")) == ["new", "waiting"])
    until(lambda: {anna.states(m)[0] for m in (first, second)} == {"confirmed", "held"})
    waiting = next(row for row in inbox.get("inbox") if row["state"] == "waiting")
    there = next(row for row in inbox.get("inbox") if row["state"] == "new")
    said = ben.run("--json", "--owner", "small", "fetch", str(waiting["n"])).failure(73)
    assert said["error"] == "over-quota"
    assert "delete" in said["next"]
    ben.json("--owner", "small", "delete", str(there["n"]))
    anna.settled(waiting["message"], "confirmed")
    assert [row["state"] for row in inbox.get("inbox")] == ["new"]


def meet_inside(home: Home, owner: str) -> None:
    link = home.json("invite")["link"]
    assert home.json("--owner", owner, "contact", "add", link)["mutual"] is True


@pytest.mark.slow
def test_many_addressees_fit_a_command(make: Make) -> None:
    """Three hundred addresses of strangers: more than a request line usually takes."""
    anna = make("anna")
    anna.start()
    did = anna.json("whoami")["did"]
    keys = [bytes(SigningKey(bytes([n % 256, n // 256]) * 16).verify_key) for n in range(300)]
    to = ",".join(f"{names.did(key)}@127.0.0.1:9" for key in keys)
    sent = anna.json("send", "--to", to, "-m", "to all of you")
    assert len(sent["deliveries"]) == 300
    assert did not in [each["did"] for each in sent["deliveries"]]
    anna.json("retract", sent["message"])
    assert set(anna.states(sent["message"])) == {"retracted"}
    anna.stop()
