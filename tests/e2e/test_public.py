"""Nodes in public: own certificates with pins, given ones, moves, and everybody who is not them.

In network namespaces of their own, with addresses as on the internet: the guard lets a node call
no others.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import reasons
from tests.e2e.homes import Home, ended, meet, until
from tests.e2e.nets import Net, net
from tests.e2e.test_node import mode
from tests.e2e.test_trouble import noted, shifted
from tests.server.certificates import DAY, Authority

ANNA, BEN, ELSEWHERE, CARL = (f"11.22.33.{number}" for number in (1, 2, 3, 4))
LARGE = bytes(range(256)) * 12_000


@dataclass
class Town:
    """Two machines and a cable; homes for each."""

    folder: Path
    here: Net
    there: Net

    def home(self, where: Net, name: str, at: str, *words: str) -> Home:
        """A home whose node listens at that address."""
        home = Home(self.folder, name)
        home.before, home.listen = where.enter, f"{at}:4625"
        home.init(*words)
        return home


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    with tempfile.TemporaryDirectory(prefix="wc-") as path, net() as here, net(here) as there:
        here.beside(there)
        here.address(f"{ANNA}/24", f"{CARL}/24", on="wire")
        there.address(f"{BEN}/24", f"{ELSEWHERE}/24", on="wire")
        names = {"carl_example": CARL, "other_example": CARL}
        here.hosts(Path(path), **names)
        there.hosts(Path(path), **names)
        yield Town(Path(path), here, there)


@pytest.fixture(scope="module")
def pair(town: Town) -> Iterator[tuple[Home, Home]]:
    """Anna and ben on two machines, with certificates of their own; contacts."""
    anna, ben = town.home(town.here, "anna", ANNA), town.home(town.there, "ben", BEN)
    with ended([anna, ben]):
        for home in (anna, ben):
            home.start()
        meet(anna, ben)
        yield anna, ben


def exchanged(one: Home, other: Home) -> None:
    """Mail goes both ways."""
    for sender, to in ((one, other), (other, one)):
        message = sender.send(to.name, b"hello\n")
        sender.settled(message, "confirmed", 40)


def pin(home: Home) -> bytes:
    return (home.path / "tls-key.pem").read_bytes()


def test_mail_between_two_machines(pair: tuple[Home, Home]) -> None:
    anna, ben = pair
    made = anna.json("invite")
    assert made["link"].startswith(f"https://{ANNA}:4625/i/z6Mk")
    assert made["reach"] == "anywhere"
    for file in ("tls-key.pem", "tls-certificate.pem"):
        assert mode(anna.path / file) == 0o600
    exchanged(anna, ben)
    message = ben.send("anna", LARGE)
    ben.settled(message, "confirmed", 40)
    assert anna.raw(anna.local().get("inbox")[-1]["n"]) == LARGE


def test_a_contact_proves_that_mail_can_be_picked_up(pair: tuple[Home, Home]) -> None:
    anna, ben = pair
    (row,) = anna.json("doctor", "reach", "ben")
    assert row["state"] == "ok"
    assert f"came to {ANNA}:4625 from {BEN}" in row["detail"]
    found = {each["check"]: each for each in anna.json("doctor")}
    assert found["tls"]["state"] == "ok"
    assert "own certificate" in found["tls"]["detail"]
    assert found["reverse dns"]["state"] == "warn"
    assert ben.json("held") == []


def test_a_node_that_moves_is_followed(pair: tuple[Home, Home]) -> None:
    anna, ben = pair
    before = pin(ben)
    ben.stop()
    on_its_way = anna.send("ben", b"it waits\n")
    ben.configure(network={"listen": f"{ELSEWHERE}:4625"})
    assert ben.start().endswith(f"{ELSEWHERE}:4625 {ELSEWHERE}:4625")
    anna.settled(on_its_way, "confirmed", 40)
    exchanged(anna, ben)
    assert anna.json("contact", "show", "ben")["origins"] == [f"{ELSEWHERE}:4625"]
    assert pin(ben) == before


def test_a_replaced_key_is_found_out(pair: tuple[Home, Home]) -> None:
    """Both lose their keys at once: neither can be told by the other."""
    before = [pin(home) for home in pair]
    for home in pair:
        home.stop()
        for file in ("tls-key.pem", "tls-certificate.pem"):
            (home.path / file).unlink()
    for home in pair:
        home.start()
    assert [pin(home) for home in pair] != before
    exchanged(*pair)


def test_whoever_takes_the_place_gets_nothing(town: Town, pair: tuple[Home, Home]) -> None:
    anna, ben = pair
    at = anna.json("contact", "show", "ben")["origin"]
    ben.stop()
    eve = town.home(town.there, "eve", at.partition(":")[0])
    with ended([eve]):
        eve.start()
        message = anna.send("ben", b"not for eve\n")
        until(lambda: _reason(anna, message) == "tls-pin", 40)
        said = anna.says("status", message)
        assert "stored (tls-pin)" in said
        assert reasons.OTHERS_REACHED["tls-pin"] in said
        # Greeted again, she says the truth: ben does not live there.
        until(lambda: _reason(anna, message) == "not-here", 60)
        assert reasons.SAID_NO["not-here"] in anna.says("status", message)
        assert eve.json("inbox") == eve.json("held") == []
    ben.start()
    anna.settled(message, "confirmed", 90)


def _reason(home: Home, message: str) -> str | None:
    reason: str | None = home.local().get("message", message)["deliveries"][0]["reason"]
    return reason


# --- nobody can call it -------------------------------------------------------------------


def test_a_node_that_only_calls_others(town: Town, pair: tuple[Home, Home]) -> None:
    """Dora has an address of her machine's own: mail to her comes by asking, hers stays."""
    ben = pair[1]
    dora = town.home(town.here, "dora", "127.0.0.1")
    with ended([dora]):
        dora.start()
        assert dora.json("invite")["reach"] == "this machine"
        assert dora.json("contact", "add", ben.json("invite")["link"])["mutual"] is True
        message = ben.send("dora", LARGE)
        until(lambda: _reason(ben, message) == "not-callable", 40)
        assert reasons.NOT_REACHED["not-callable"] in ben.says("status", message)
        dora.stop()
        dora.start()  # asks at once; else within five minutes
        ben.settled(message, "confirmed", 40)
        assert dora.raw(1) == LARGE
        told = dora.send("ben", b"come and get it\n")
        until(lambda: _reason(dora, told) == "not-called", 40)
        assert reasons.NOT_REACHED["not-called"] in dora.says("status", told)
        assert "nobody elsewhere can call this node" in dora.says("status")
        made = {row["check"]: row for row in dora.json("doctor")}
        assert "can't be picked up" in made["origin"]["detail"]
    ben.json("contact", "remove", "dora")


# --- given certificates -------------------------------------------------------------------


def test_a_given_certificate(town: Town, pair: tuple[Home, Home]) -> None:
    """By the roots: right, and then everything that can be wrong with it."""
    ben = pair[1]
    authority = Authority(town.folder / "authority")
    files = authority.issue("carl.example")
    carl = town.home(town.here, "carl", CARL, "--origin", "carl.example:4625")
    carl.configure(
        tls={"by": "files", "certificate": str(files.certificate), "key": str(files.key)}
    )
    roots = {"SSL_CERT_FILE": str(authority.file)}
    with ended([carl]):
        carl.env = roots
        carl.start()
        did = f"{carl.json('whoami')['did']}@carl.example:4625"
        assert noted(ben, did) == reasons.OTHERS_REACHED["tls-untrusted"]
        restart(ben, roots)
        assert noted(ben, did.replace("carl.", "other.")) == reasons.OTHERS_REACHED["wrong-record"]
        meet(carl, ben)
        exchanged(carl, ben)
        ben.json("contact", "remove", "carl")
        carl.json("contact", "remove", "ben")
        restart(ben, roots | shifted("+60d"))
        assert noted(ben, did) == reasons.OTHERS_REACHED["tls-expired"]
        restart(ben, roots | shifted("-60d"))
        assert noted(ben, did) == reasons.OTHERS_REACHED["tls-early"]
        # And one that has really expired, at a node whose clock stands still.
        carl.stop()
        authority.issue("carl.example", begins=-60 * DAY, ends=-DAY)
        restart(ben, roots)
        carl.env = roots | shifted("-30d")
        carl.start()
        assert noted(ben, did) == reasons.OTHERS_REACHED["tls-expired"]
    restart(ben, {})


def restart(home: Home, env: dict[str, str]) -> None:
    home.end()
    home.env = env
    home.start()
