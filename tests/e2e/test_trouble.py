"""What does not go through, each provoked, and the words that keep the causes apart.

Certificates are in `test_public.py`; a full disk in `test_node.py`, a full quota in
`test_large.py`. Here: bad, spent and old links, nobody there, somebody else there, clocks.
"""

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli import reasons
from tests.e2e.conftest import Make
from tests.e2e.homes import Home, ended, meet, until
from tests.ports import free_port

NOBODY = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Home, Home]]:
    """Anna and ben, who don't know each other, for all tests: what was in vain is removed again."""
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        homes = [Home(Path(path), name) for name in ("anna", "ben")]
        with ended(homes):
            for home in homes:
                home.init()
                home.start()
            yield homes[0], homes[1]


@pytest.fixture
def anna(both: tuple[Home, Home]) -> Home:
    return both[0]


@pytest.fixture
def ben(both: tuple[Home, Home]) -> Home:
    return both[1]


def noted(home: Home, link: str) -> str:
    """What `contact add` says of somebody who is no contact yet; they are forgotten again."""
    said = home.says("contact", "add", link)
    name, noted, words = said.partition(" is noted; ")
    assert noted, said
    home.json("contact", "remove", name)
    return words.rstrip("\n")


def trouble(home: Home, did: str) -> Any:
    return home.json("contact", "show", did)["trouble"]


# --- links --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "hello",
        "http://127.0.0.1:4625/i/z6Mk#short",
        "https://example.org/",
        f"{NOBODY}@",
        f"{NOBODY}@127.0.0.1",
        f"http://127.0.0.1:4625/i/{NOBODY.removeprefix('did:key:')}#AAAA",
    ],
)
def test_a_bad_link(ben: Home, link: str) -> None:
    said = ben.refuses(64, "contact", "add", link)
    assert said["error"] == "bad-link"
    assert "invite" in said["next"]


def test_links_that_are_spent_old_or_damaged(make: Make, anna: Home, ben: Home) -> None:
    carl = make("carl")
    carl.start()
    spent = anna.json("invite")["link"]
    assert carl.json("contact", "add", spent)["mutual"]
    assert noted(ben, spent) == reasons.SAID_NO["spent"]
    old = anna.json("invite", "--valid", "1s")["link"]
    time.sleep(1.1)  # the time that passes is what is tested
    assert noted(ben, old) == reasons.joining("expired")
    assert "has expired" in reasons.joining("expired")
    damaged = anna.json("invite")["link"]
    damaged = damaged[:-2] + ("A" if damaged[-2] != "A" else "B") + damaged[-1]
    assert noted(ben, damaged) == reasons.SAID_NO["forged"]
    assert (
        len({reasons.SAID_NO["spent"], reasons.joining("expired"), reasons.SAID_NO["forged"]}) == 3
    )
    fresh = anna.json("invite")["link"]
    assert ben.json("contact", "add", fresh)["mutual"]
    assert trouble(ben, "anna") is None
    for home, other in ((anna, "ben"), (ben, "anna")):
        home.json("contact", "remove", other)


# --- nobody, or somebody else -------------------------------------------------------------


def test_nothing_listens(ben: Home) -> None:
    at = f"127.0.0.1:{free_port()}"
    assert noted(ben, f"{NOBODY}@{at}") == reasons.NOT_REACHED["no-connection"]
    ben.json("contact", "add", f"{NOBODY}@{at}")
    assert trouble(ben, NOBODY) == "no-connection"
    message = ben.send("contact-1", b"hello\n")
    until(lambda: ben.local().get("message", message)["deliveries"][0]["reason"])
    (each,) = ben.json("status", message)["deliveries"]
    assert (each["state"], each["reason"]) == ("stored", "no-connection")
    said = ben.says("status", message)
    assert "stored (no-connection)" in said
    assert reasons.NOT_REACHED["no-connection"] in said
    ben.json("retract", message)
    ben.json("contact", "remove", NOBODY)


def test_an_address_that_is_not_called(ben: Home) -> None:
    for at in ("10.0.0.1:4625", "8.8.8.8:25", "169.254.169.254:443", "192.0.2.1:443"):
        assert noted(ben, f"{NOBODY}@{at}") == reasons.NOT_REACHED["guarded"]


def test_a_name_nobody_has(ben: Home) -> None:
    ben.run("contact", "add", f"{NOBODY}@nowhere.invalid:443")
    until(lambda: trouble(ben, NOBODY) == "dns", 45)  # a resolver may take its time
    assert ben.run("contact", "show", NOBODY).err.strip() == reasons.NOT_REACHED["dns"]


@contextmanager
def deaf() -> Iterator[int]:
    """A port that takes no connection and refuses none: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in waiting:
                each.close()


def test_no_answer_in_time(ben: Home) -> None:
    with deaf() as port:
        assert noted(ben, f"{NOBODY}@127.0.0.1:{port}") == reasons.NOT_REACHED["timeout"]


@contextmanager
def saying(answer: bytes) -> Iterator[int]:
    """A port where something answers the same to everything."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", reasons.OTHERS_REACHED["nonsense"]),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            reasons.OTHERS_REACHED["redirected"],
        ),
        (b"SSH-2.0-OpenSSH\r\n", reasons.NOT_REACHED["gone-away"]),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", reasons.SAID_NO["status-502"]),
        (b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", reasons.SAID_NO["status-503"]),
        (b"HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n", reasons.SAID_NO["status-504"]),
        (
            b"HTTP/1.1 418 I\r\nContent-Length: 0\r\n\r\n",
            "their node was reached, and refused it (status-418)",
        ),
        (
            b'HTTP/1.1 507 Full\r\nContent-Length: 22\r\n\r\n{"reason":"disk-full"}',
            reasons.SAID_NO["disk-full"],
        ),
        (
            b'HTTP/1.1 429 Slow\r\nContent-Length: 25\r\n\r\n{"reason":"rate-limited"}',
            reasons.SAID_NO["rate-limited"],
        ),
    ],
)
def test_what_is_no_node_or_says_no(ben: Home, answer: bytes, words: str) -> None:
    with saying(answer) as port:
        assert noted(ben, f"{NOBODY}@127.0.0.1:{port}") == words


def test_a_node_that_does_not_know_them(anna: Home, ben: Home) -> None:
    assert noted(ben, f"{NOBODY}@127.0.0.1:{anna.port}") == reasons.SAID_NO["not-here"]


def test_a_stranger_has_to_be_allowed(anna: Home, ben: Home) -> None:
    assert noted(ben, anna.json("whoami")["address"]) == reasons.SAID_NO["held"]


# --- clocks -------------------------------------------------------------------------------


def shifted(by: str) -> dict[str, str]:
    """The environment in which a program's clock is wrong."""
    if shutil.which("faketime") is None:
        pytest.skip("needs Debian's faketime")
    forget_the_dead()
    listing = subprocess.run(
        ["dpkg", "-L", "libfaketime"], capture_output=True, check=True, text=True
    )
    library = next(
        line for line in listing.stdout.splitlines() if line.endswith("/libfaketime.so.1")
    )
    return {"LD_PRELOAD": library, "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def forget_the_dead() -> None:
    """libfaketime names its memory by the process and ends where the name is taken: what a
    killed node left would end a later one with its number."""
    for left in Path("/dev/shm").glob("*faketime_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)


def test_clocks_that_differ(make: Make) -> None:
    anna, ben = make("anna"), make("ben")
    anna.start()
    ben.start()
    meet(anna, ben)
    ben.stop()
    ben.env = shifted("+20m")
    ben.start()
    message = ben.send("anna", b"from the future\n")
    until(lambda: ben.states(message) == ["refused"])
    (each,) = ben.json("status", message)["deliveries"]
    assert each["reason"] == "clock"
    assert reasons.SAID_NO["clock"] in ben.says("status", message)
    ben.json("contact", "remove", "anna")
    assert noted(ben, anna.json("invite")["link"]) == reasons.SAID_NO["clock"]
