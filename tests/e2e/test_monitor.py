"""A node that is watched: by the socket, by TCP with a token, and never from outside."""

import socket
import urllib.error
import urllib.request
from typing import Any

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until
from tests.localapi.test_monitor import read
from tests.ports import free_port


def over_socket(home: Home, path: str) -> tuple[int, str]:
    """What `curl --unix-socket HOME/socket http://localhost/…` shows."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(home.path / "socket"))
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        data = b""
        while piece := sock.recv(65_536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def over_tcp(at: str, path: str, token: str | None = None) -> tuple[int, str]:
    fields = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{at}{path}", headers=fields), timeout=20
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_node_is_watched(make: Make, folder: Any) -> None:
    anna = make("anna")
    at = f"127.0.0.1:{free_port()}"
    anna.configure(local={"listen": at})
    anna.start()
    token = anna.json("owner", "token", "anna", "--device", "prometheus", "--monitor")["token"]
    mailbox = anna.json("owner", "token", "anna")["token"]
    assert "the node's numbers" in anna.says("owner", "tokens", "anna")
    message = anna.send("anna", b"Subject: x\n\nto myself")
    anna.settled(message, "confirmed")
    status, text = over_socket(anna, "/metrics")
    assert status == 200
    found = read(text)
    assert found["willcall_received_messages_total"] == 1
    assert found['willcall_connections{listener="socket"}'] == 1
    assert found["process_open_fds"] > 5
    assert found["process_resident_memory_bytes"] > 10 << 20
    assert found["willcall_disk_free_bytes"] > 0
    assert read(over_tcp(at, "/metrics", token)[1])['willcall_connections{listener="remote"}'] == 1
    assert over_tcp(at, "/health", token)[0] == 200
    assert over_tcp(at, "/inbox", token)[0] == 403
    assert over_tcp(at, "/metrics", mailbox)[0] == 403
    assert over_tcp(at, "/metrics")[0] == 401
    # Never on the public port, not even with a token.
    for path in ("/metrics", "/health"):
        for shown in (None, token):
            assert over_tcp(anna.listen, path, shown)[0] == 404
    # Who calls that port is counted, however it calls.
    over_tcp(anna.listen, "/.well-known/willcall")
    until(lambda: _asked(anna) == {"other": 4, "/.well-known/willcall": 1})


def _asked(home: Home) -> dict[str, float]:
    found = read(over_socket(home, "/metrics")[1])
    return {
        key.partition('call="')[2].partition('"')[0]: value
        for key, value in found.items()
        if key.startswith("willcall_requests_total")
    }
