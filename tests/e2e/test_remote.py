"""Owners who are not at the machine: the same commands by TCP, opened by a token."""

import contextlib
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.e2e.homes import Done, Home, until, willcall
from tests.ports import free_port


class Far:
    """Ben, who has an address and a token, and no home."""

    def __init__(self, home: Home, folder: Path) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{home.local_port}"
        self.token = str(home.json("owner", "token", "ben", "--device", "laptop")["token"])
        self.config = folder / "config"
        self.env = {"WILLCALL_NODE": self.url, "WILLCALL_TOKEN": self.token}

    def run(self, *words: str, data: bytes | None = None, **env: str) -> Done:
        known = self.env | {"XDG_CONFIG_HOME": str(self.config)} | env
        return willcall("--json", *words, data=data, env=known)

    def bare(self, *words: str, data: bytes | None = None) -> Done:
        """Without a word in the environment."""
        return self.run(*words, data=data, WILLCALL_NODE="", WILLCALL_TOKEN="")


@pytest.fixture
def far(make: Make, folder: Path) -> Far:
    home = make("anna")
    home.local_port = free_port()
    home.configure(local={"listen": f"127.0.0.1:{home.local_port}"})
    home.start()
    home.json("owner", "add", "ben")
    return Far(home, folder)


def test_the_same_commands(far: Far) -> None:
    assert far.run("whoami").document()["name"] == "ben"
    text = b"Subject: from afar\r\n\r\n" + bytes(3 << 20)
    sent = far.run("send", "--to", "ben", "--raw", "-", "--wait", "20", data=text).document()
    assert [row["state"] for row in sent["deliveries"]] == ["confirmed"]
    assert [row["subject"] for row in far.run("inbox").document()] == ["from afar"]
    assert far.run("read", "1", "--raw").out == text
    assert far.home.json("--owner", "ben", "inbox")[0]["message"] == sent["message"]
    assert far.home.json("inbox") == []
    assert far.run("quota").document()["owner"] == "ben"


def test_a_token_is_its_owner_s_alone(far: Far) -> None:
    for words in (("owner", "list"), ("owner", "add", "eve"), ("owner", "token", "ben")):
        assert far.run(*words).failure(77)["error"] == "administrator"
    assert far.run("--owner", "anna", "inbox").failure(77)["error"] == "other-owner"
    assert far.run("--owner", "ben", "inbox").document() == []
    assert far.run("inbox", WILLCALL_TOKEN="willcall_" + "x" * 43).failure(77)
    row = far.home.json("owner", "tokens", "ben")[0]
    assert row["used"] is not None
    far.home.json("owner", "token", "ben", "--revoke", row["id"])
    assert far.run("inbox").failure(77)["error"] == "bad-token"


def test_login(far: Far) -> None:
    said = far.bare("--node", far.url, "inbox").failure(64)
    assert "willcall login" in said["next"]
    done = far.bare("login", far.url, "--token", "-", data=far.token.encode() + b"\n")
    assert done.document()["name"] == "ben"
    assert far.token not in done.out.decode() + done.err
    file = far.config / "willcall" / "login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert far.bare("whoami").document()["name"] == "ben"
    assert far.bare("--node", far.url, "whoami").document()["name"] == "ben"
    # A home that is named is meant.
    assert far.bare("--home", str(far.home.path), "whoami").document()["name"] == "anna"
    assert far.bare("--home", str(far.home.path), "--node", far.url, "whoami").failure(64)
    file.chmod(0o640)
    assert "chmod 600" in far.bare("whoami").failure(77)["next"]
    file.chmod(0o600)
    assert far.bare("logout").document() == {"forgotten": True}
    assert not file.exists()
    assert far.bare("logout").document() == {"forgotten": False}
    assert far.bare("whoami").failure(69)


def test_login_that_fails_writes_nothing(far: Far) -> None:
    assert far.bare("login", far.url, data=b"willcall_" + b"x" * 43).failure(77)
    assert far.bare("login", far.url, data=b"").failure(64)
    assert far.bare("login", far.url, "--token", far.token).failure(64)
    assert far.bare("login", "http://example.org:4626", data=far.token.encode()).failure(64)
    assert far.bare("login", "nonsense", data=far.token.encode()).failure(64)
    closed = f"http://127.0.0.1:{free_port()}"
    assert far.bare("login", closed, data=far.token.encode()).failure(69)
    assert not (far.config / "willcall" / "login.json").exists()


def ask(far: Far, *lines: str) -> tuple[int, bytes]:
    """The status and the whole answer to a request as it stands here."""
    port = far.home.local_port
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall("".join(f"{line}\r\n" for line in (*lines, "Connection: close", "")).encode())
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    return int(answer.split(b" ", 2)[1]), answer


def test_what_a_browser_could_send(far: Far) -> None:
    token = f"Authorization: Bearer {far.token}"
    assert ask(far, "GET /whoami HTTP/1.1", "Host: localhost", token)[0] == 200
    refused: tuple[tuple[str, ...], ...] = (
        ("GET /whoami HTTP/1.1", "Host: evil.example", token),
        ("GET /whoami HTTP/1.1", "Host: localhost", token, "Origin: http://localhost"),
        ("OPTIONS /whoami HTTP/1.1", "Host: localhost", "Origin: https://evil.example"),
    )
    for lines in refused:
        status, answer = ask(far, *lines)
        assert status == 403, answer
        assert b"access-control" not in answer.lower()
    closed: tuple[tuple[str, ...], ...] = (
        ("GET /whoami HTTP/1.1", "Host: localhost"),
        ("GET /whoami HTTP/1.1", "Host: localhost", "Willcall-Owner: anna"),
        ("GET /whoami?token=" + far.token + " HTTP/1.1", "Host: localhost"),
        ("GET /whoami HTTP/1.1", "Host: localhost", f"Cookie: token={far.token}"),
    )
    for lines in closed:
        assert ask(far, *lines)[0] == 401


def test_who_only_connects_keeps_nobody_out(far: Far) -> None:
    port = far.home.local_port
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            sock.sendall(b"GET /whoami HT")
        for _ in range(20):
            assert ask(far, "GET /whoami HTTP/1.1", "Host: localhost", "Authorization: x")[0] in (
                401, 429,
            )  # fmt: skip
        assert far.run("whoami").document()["name"] == "ben"


def test_the_token_is_said_nowhere(far: Far) -> None:
    far.run("whoami").document()
    far.run("inbox", WILLCALL_TOKEN=far.token + "x")
    home = far.home
    done = home.end()
    assert far.token not in done.out.decode() + done.err
    assert not any(far.token.encode() in each.read_bytes() for each in files(home.path))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("listen", "said"),
    [("0.0.0.0:4626", "TLS"), ("192.168.1.7:4626", "TLS"), ("x", "local.listen")],
)
def test_listening_beyond_the_machine_needs_tls(make: Make, listen: str, said: str) -> None:
    anna = make("anna")
    anna.configure(local={"listen": listen})
    assert said in anna.refuses(78, "run")["detail"]


def test_the_port_of_the_local_api_in_use(make: Make) -> None:
    anna = make("anna")
    anna.configure(local={"listen": f"127.0.0.1:{anna.port}"})
    refused = anna.refuses(69, "run")
    assert "local.listen = " in refused["next"]
    key, _, value = refused["next"].partition("local.listen = ")[2].partition(" in ")
    del value
    anna.configure(local={"listen": json.loads(key)})
    anna.start()
    until(lambda: anna.json("whoami"))
    anna.stop()
    assert not os.path.exists(anna.path / "socket")
