"""A node that runs for months: it reloads, and its log tells no secrets."""

import base64
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from node.encoding import names
from node.machines import rows
from node.store import keyspace
from node.store.leveldb import LevelDbKv
from node.store.tables import decode
from tests.conftest import CHECKOUT
from tests.e2e.conftest import Make
from tests.e2e.homes import PROGRAM, Home, clean_env, until

# --- reload -----------------------------------------------------------------------------


def hang_up(home: Home) -> None:
    os.kill(home.pid, signal.SIGHUP)


def takes(home: Home, size: int) -> bool:
    done = home.run("send", "--to", home.name, "--raw", "-", data=bytes(size))
    assert done.code in (0, 65), done
    return done.code == 0


def test_a_reload_changes_what_can_change(make: Make) -> None:
    anna = make("anna")
    anna.start()
    assert takes(anna, 4000)
    anna.configure(
        capacity={"message": "2KiB", "quota": "7MiB"},
        log={"level": "info"},
        network={"origin": "elsewhere.example:443"},
    )
    assert takes(anna, 4000), "a file that nobody reads changes nothing"
    hang_up(anna)
    until(lambda: not takes(anna, 4000))
    assert anna.json("owner", "add", "otto")["quota"] == 7 << 20
    assert anna.json("whoami")["origin"] == f"127.0.0.1:{anna.port}"
    anna.configure(capacity={"message": "8KiB"}, log={"level": "warning"})
    hang_up(anna)
    until(lambda: takes(anna, 4000))
    done = anna.end()
    said = done.err.splitlines()
    assert done.code == 0
    assert "info reloaded" in said[0]
    assert "capacity.message, capacity.quota, log.level" in said[0]
    assert said[1].endswith("warning restart-needed keys=network.origin")
    assert len(said) == 3, "the second reload was asked to be quiet, but for what is still to do"


def test_a_reload_of_nonsense_changes_nothing(make: Make) -> None:
    anna = make("anna")
    anna.configure(capacity={"message": "2KiB"})
    anna.start()
    file = anna.path / "config.toml"
    good = file.read_text()
    for bad in (good + "nonsense\n", '[capacity]\nmessage = "much"\n', "\x00"):
        file.write_text(bad)
        hang_up(anna)
        assert not takes(anna, 4000)
    file.unlink()
    hang_up(anna)
    assert not takes(anna, 4000)
    file.write_text('[capacity]\nmessage = "8KiB"\n')
    hang_up(anna)
    until(lambda: takes(anna, 4000))
    said = anna.end().err.splitlines()
    refused = [line for line in said if " reload-refused " in line]
    assert 1 < len(refused) <= 4, said  # signals that come together are one
    assert "config.toml" in refused[0]
    assert set(said) - set(refused) == {said[-1]}
    assert "network.listen" in said[-1]


def on_a_terminal(home: Home, *before: str) -> tuple[subprocess.Popen[bytes], int]:
    """A node whose controlling terminal is ours, and our end of it."""
    ours, theirs = pty.openpty()
    starter = "import os,sys,fcntl,signal,termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    starter += "signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # tests may run under nohup
    starter += "os.execvp(sys.argv[1], sys.argv[1:])"
    words = [sys.executable, "-c", starter, *before, *PROGRAM, "--home", str(home.path), "run"]
    node = subprocess.Popen(
        words,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
        env=clean_env(),
        start_new_session=True,
    )
    os.close(theirs)
    assert node.stdout is not None
    assert node.stdout.readline().startswith(b"ready ")
    return node, ours


def test_a_terminal_that_is_closed_ends_the_node_in_good_order(make: Make) -> None:
    anna = make("anna")
    node, terminal = on_a_terminal(anna)
    try:
        anna.node = node
        hang_up(anna)
        assert anna.json("whoami")
        os.close(terminal)
        assert node.wait(10) == 0
    finally:
        node.kill()
        node.communicate()
        anna.node = None
    assert not (anna.path / "socket").exists()


def test_nohup_outlives_its_terminal(make: Make) -> None:
    anna = make("anna")
    node, terminal = on_a_terminal(anna, "nohup")
    try:
        os.close(terminal)
        time.sleep(0.5)  # nothing to wait for: what must not happen is its end
        assert node.poll() is None
        assert anna.json("whoami")
        node.terminate()
        assert node.wait(10) == 0
    finally:
        node.kill()
        node.communicate()


# --- log --------------------------------------------------------------------------------


def spoken(value: bytes) -> Iterator[str]:
    """How a secret could stand in a line."""
    yield value.hex()
    yield names.b64(value)
    yield base64.b64encode(value).decode().rstrip("=")
    yield base64.b32encode(value).decode().rstrip("=").lower()
    yield repr(value)[2:-1]


def secrets_of(home: Home) -> set[bytes]:
    """Every secret in the store of a home that does not run."""
    engine = LevelDbKv.open(home.path / "db")
    try:
        found: set[bytes] = set()

        def all_of(layout: keyspace.Layout[rows.Row]) -> Iterator[rows.Row]:
            start = layout.primary(b"")
            for _, data in engine.scan(start, keyspace.stop_of(start)):
                yield decode(layout.row, data)

        for sent in all_of(keyspace.SENT):  # type: ignore[arg-type]
            found.add(sent.key)  # type: ignore[attr-defined]
        for row in all_of(keyspace.DELIVERIES):  # type: ignore[arg-type]
            found.add(row.ticket)  # type: ignore[attr-defined]
        for owner in all_of(keyspace.OWNERS):  # type: ignore[arg-type]
            found.add(owner.signing)  # type: ignore[attr-defined]
            found.update(secret for secret, _ in owner.sealing)  # type: ignore[attr-defined]
        for peer in all_of(keyspace.PEERS):  # type: ignore[arg-type]
            found.add(peer.capability)  # type: ignore[attr-defined]
        node = decode(rows.Node, engine.get(b"!node") or b"")
        found.update((node.ticket, node.capability, node.invite))
        return {each for each in found if each}
    finally:
        engine.close()


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_gets_into_the_log(make: Make, form: str) -> None:
    anna, ben = make("anna"), make("ben")
    for home in (anna, ben):
        home.configure(log={"level": "debug", "format": form})
        home.start()
    token = anna.json("owner", "token", "anna")["token"]
    link = anna.json("invite")["link"]
    assert ben.json("contact", "add", link)["mutual"]
    made = [
        anna.send("ben", b"Subject: a Subject of mine\n\nBody-Number-1"),
        anna.send("ben", b"Subject: a Subject of mine\n\nBody-Number-2" + bytes(3 << 20)),
        ben.send("anna", b"Subject: a Subject of mine\n\nBody-Number-3"),
    ]
    for message in made[:2]:
        anna.settled(message, "confirmed")
    ben.settled(made[2], "confirmed")
    ben.json("read", "1")
    held = anna.send("ben", b"Subject: a Subject of mine\n\nBody-Number-4" + bytes(11 << 20))
    anna.settled(held, "held")
    anna.json("retract", held)
    anna.refuses(66, "status", "aaaaaaaa")
    log = ben.end().err
    last = anna.json("send", "--to", "ben", "-s", "a Subject of mine", "-m", "Body-Number-5")
    until(lambda: any(each["answer"] for each in attempts(anna, last["message"])))
    log += anna.end().err
    assert "silent" in log
    ben.start()
    log += ben.end().err
    assert log.count("\n") > 20
    for line in log.splitlines():
        if form == "json":
            assert {"time", "level", "event"} <= set(json.loads(line)), line
        else:
            assert re.match(r"\d{4}-\S+Z (debug|info|warning) [a-z-]+( \w+=|$)", line), line
    hidden = {text for home in (anna, ben) for each in secrets_of(home) for text in spoken(each)}
    assert len(hidden) > 50
    hidden |= {token, link.partition("#")[2], "Body-Number", "a Subject", "Subject"}
    for text in hidden:
        assert text not in log, text


def attempts(home: Home, message: str) -> list[dict[str, str]]:
    (row,) = home.local().get("message", message)["deliveries"]
    found: list[dict[str, str]] = row["attempts"]
    return found
