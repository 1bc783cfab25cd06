"""Homes of earlier releases open, read, send and receive for ever.

They are made by `tests/store/fixtures/make_home.py`, each by its own release, and kept.
"""

import hashlib
import json
import socket
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.machines.rows import SCHEMA
from node.store import keyspace
from node.store.leveldb import LevelDbKv
from tests.e2e.conftest import Make
from tests.e2e.homes import Home, ended, meet

FIXTURES = Path(__file__).parent.parent / "store" / "fixtures"
RELEASES = sorted(
    path.name.removeprefix("home-").removesuffix(".tar.xz") for path in FIXTURES.glob("home-*.xz")
)

MAIL = ("n", "message", "from", "subject", "size", "received")
SENT = ("message", "subject", "size", "created", "keep_until")


def unpacked(folder: Path, release: str) -> tuple[Home, dict[str, Any]]:
    """The home of a release at a free port, and what its program said it holds."""
    home = Home(folder, "old")
    with tarfile.open(FIXTURES / f"home-{release}.tar.xz") as archive:
        archive.extractall(home.path, filter="data")
    home.path.chmod(0o700)
    home.configure(network={"listen": f"127.0.0.1:{home.port}"})
    facts: dict[str, Any] = json.loads((FIXTURES / f"home-{release}.json").read_text())
    return home, facts


def keep(rows: list[dict[str, Any]], *names: str) -> list[list[Any]]:
    return [[row[name] for name in names] for row in rows]


def opened_with(home: Home, token: str) -> tuple[int, Any]:
    """What the local API answers to `whoami` with a token."""
    with socket.socket(socket.AF_UNIX) as line, line.makefile("rb") as answer:
        line.connect(str(home.path / "socket"))
        line.sendall(
            f"GET /whoami HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        head, _, body = answer.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_the_first_release_is_among_them() -> None:
    assert "0.1" in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_an_old_home_opens_reads_sends_and_receives(folder: Path, release: str, make: Make) -> None:
    home, facts = unpacked(folder, release)
    carol = make("carol")
    with ended([home]):
        carol.start()
        home.start()
        assert home.json("whoami")["did"] == facts["did"]
        found = home.json("inbox")
        assert keep(found, *MAIL) == keep(facts["inbox"], *MAIL)
        assert [row["state"] for row in found[2:]] == ["waiting", "failed"]
        assert keep(home.json("sent"), *SENT) == keep(facts["sent"], *SENT)
        states = [row["deliveries"][0]["state"] for row in home.json("sent")]
        assert states == ["retracted", "stored", "confirmed", "confirmed"]
        assert keep(home.json("held"), "n", "did", "size") == keep(
            facts["held"], "n", "did", "size"
        )
        assert keep(home.json("contact", "list"), "name", "did") == keep(
            facts["contacts"], "name", "did"
        )
        assert home.json("quota") == facts["quota"]
        assert [row["did"] for row in home.json("owner", "list")] == [facts["did"], facts["bob"]]
        status, who = opened_with(home, facts["token"])
        assert (status, who["did"]) == (200, facts["did"])
        assert opened_with(home, "0" * 64)[0] == 401
        for cid, digest in facts["raw"].items():
            assert hashlib.sha256(home.raw(cid)).hexdigest() == digest
        meet(home, carol)
        for size in (100, 90_000):
            home.settled(home.send("carol", bytes(size)), "confirmed")
            carol.settled(carol.send("anna", bytes(size)), "confirmed")
        assert len(home.json("inbox")) == len(found) + 2
        done = home.end()
        places = list(home.path.glob("db.schema-*"))
        assert done.code == 0
        assert len(done.err.splitlines()) == len(places)
        assert all(str(place) in done.err for place in places)
        home.start()
        assert len(home.json("inbox")) == len(found) + 2
        home.stop()


def test_a_home_of_a_newer_program_is_refused_in_words(make: Make) -> None:
    home = make("anna")
    engine = LevelDbKv.open(home.path / "db")
    row = msgspec.msgpack.decode(engine.get(keyspace.NODE) or b"")
    engine.write({keyspace.NODE: msgspec.msgpack.encode(row | {"schema": SCHEMA + 1})})
    engine.close()
    said = home.refuses(74, "run")
    assert said["error"] == "damaged"
    assert "written by a newer willcall" in said["detail"]
    assert "nothing was changed" in said["detail"]
    assert said["next"] == "install the newer version"
