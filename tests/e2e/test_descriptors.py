"""A node that may open few files: strangers can't take them all, and its owner's programs can't
break it. What can't be done is said in words, and goes on by itself afterwards."""

import os
import socket
import time
from pathlib import Path

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until

FEW = 128


def few(make: Make) -> Home:
    anna = make("anna")
    anna.before = ("prlimit", f"--nofile={FEW}:{FEW}")
    anna.start(60)
    anna.before = ()
    return anna


def opened(home: Home) -> int:
    return len(os.listdir(f"/proc/{home.pid}/fd"))


def greedy(home: Home, count: int) -> list[socket.socket]:
    """So many connections to the public port that say nothing."""
    return [socket.create_connection(("127.0.0.1", home.port)) for _ in range(count)]


def test_silent_connections_leave_the_owner_enough(make: Make) -> None:
    anna = few(make)
    idle = greedy(anna, FEW)
    until(lambda: opened(anna) > FEW // 4)
    for size in (10, 200_000, 3 << 20):
        anna.settled(anna.send("anna", bytes(size)), "confirmed", 60)
    assert len(anna.json("inbox")) == 3
    assert opened(anna) < FEW * 3 // 4
    for each in idle:
        each.close()
    anna.stop()


def test_an_owners_greedy_programs_are_told_and_waited_out(make: Make) -> None:
    anna = few(make)
    before = anna.send("anna", b"before")
    anna.settled(before, "confirmed", 60)
    ready = connected(anna)
    held: list[socket.socket] = []
    while opened(anna) < FEW:
        held.append(connected(anna))
        time.sleep(0.01)
    said = asked(ready, "POST /send?to=anna", bytes(200_000))
    assert b" 500 " in said.partition(b"\r\n")[0], said[:300]
    assert b"Too many open files" in said
    for each in held:
        each.close()
    until(lambda: opened(anna) < FEW // 2)
    anna.settled(anna.send("anna", bytes(200_000)), "confirmed", 60)
    assert len(anna.json("inbox")) == len(anna.json("sent")) == 2
    assert anna.end().code == 0


def connected(home: Home) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    made.connect(os.fspath(Path(home.path) / "socket"))
    return made


def asked(sock: socket.socket, call: str, body: bytes) -> bytes:
    """The answer to a call on a connection that is there already."""
    head = f"{call} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    sock.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
    made = b""
    while piece := sock.recv(65_536):
        made += piece
    sock.close()
    return made
