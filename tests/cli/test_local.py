"""The client of the local API against a node that answers as it likes."""

import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.local import GRACE, SLOWER, STARTING, Answered, Local
from node.errors import NotRunning, Unreachable

Answer = Callable[[bytes], Local]


class Node:
    """One answer to one request."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "socket"))
        self._listener.listen()
        self._thread: threading.Thread | None = None

    def answers(self, *pieces: bytes, reads: int = 1) -> Local:
        self._thread = threading.Thread(target=self._serve, args=(pieces, reads))
        self._thread.start()
        return Local(self.folder, "änna")

    def _serve(self, pieces: tuple[bytes, ...], reads: int) -> None:
        with self._listener.accept()[0] as client:
            for _ in range(reads):
                self.asked += client.recv(1 << 20)
            for piece in pieces:
                client.sendall(piece)

    def close(self) -> None:
        if self._thread is not None:
            self._thread.join(10)
        self._listener.close()


@pytest.fixture
def node() -> Iterator[Node]:
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        made = Node(Path(path))
        yield made
        made.close()


def test_a_request_and_its_answer(node: Node) -> None:
    local = node.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n", b'{"a": ', b"1}")
    assert local.get("mail", "a/b c", to=["x", "ü&"], none=None, limit=0) == {"a": 1}
    head = node.asked.split(b"\r\n")
    assert head[0] == b"GET /mail/a%2Fb%20c?to=x&to=%C3%BC%26&limit=0 HTTP/1.1"
    assert b"Willcall-Owner: %C3%A4nna" in head


def test_chunks(node: Node) -> None:
    local = node.answers(
        b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"A\r\n0123456789\r\n0\r\n\r\n",
    )
    assert b"".join(local.stream("raw", "1")) == b"abc0123456789"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{",
    ],
)
def test_an_answer_that_is_cut_off_is_never_taken_for_whole(node: Node, answer: bytes) -> None:
    local = node.answers(answer)
    with pytest.raises(Unreachable):
        local.get("status")


def test_errors_come_back_as_they_were(node: Node) -> None:
    body = b'{"detail": "no", "reason": "over-quota", "exit": 73, "next": "do"}'
    local = node.answers(b"HTTP/1.1 507 x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    with pytest.raises(Answered) as error:
        local.post("send")
    assert (error.value.reason, error.value.exit_code, error.value.next) == ("over-quota", 73, "do")


def test_a_node_that_refuses_in_the_middle_is_still_heard(node: Node) -> None:
    body = b'{"detail": "too large", "reason": "too-large", "exit": 65}'
    local = node.answers(b"HTTP/1.1 413 x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    content = bytes(8 << 20)
    told: list[int] = []
    with pytest.raises(Answered) as error:
        local.upload("send", {"to": ["ben"]}, io.BytesIO(content), len(content), told.append)
    assert error.value.exit_code == 65
    assert b"Content-Length: 8388608\r\n" in node.asked


def test_no_node(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as error:
        Local(tmp_path, None).get("status")
    assert error.value.next == "willcall init, then willcall run"
    (tmp_path / "config.toml").touch()
    with pytest.raises(NotRunning) as error:
        Local(tmp_path, None).get("status")
    assert error.value.next == "willcall run"


def test_a_node_that_is_starting_is_waited_for() -> None:
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        folder = Path(path)
        (folder / "config.toml").touch()
        nodes: list[Node] = []

        def start() -> None:
            time.sleep(0.4)
            nodes.append(Node(folder))
            nodes[0].answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        late = threading.Thread(target=start)
        late.start()
        assert Local(folder, None).get("status") == {}
        late.join()
        nodes[0].close()


def test_how_long_a_node_is_waited_for(tmp_path: Path) -> None:
    local = Local(tmp_path, None)
    assert local._patience() == 0
    (tmp_path / "config.toml").touch()
    assert local._patience() == GRACE
    for text, seconds in (
        ("", GRACE),
        ("x", GRACE),
        ("999999999", GRACE),
        (f"{os.getpid()}", STARTING),
    ):
        (tmp_path / "lock").write_text(text + "\n")
        assert local._patience() == seconds


def test_a_busy_machine_is_given_longer(tmp_path: Path) -> None:
    (tmp_path / "config.toml").touch()
    waits = [Local(tmp_path, None, began_in)._patience() for began_in in (0.1, 1, 60)]
    assert waits == [GRACE, SLOWER, STARTING]


def test_how_long_a_program_took_to_begin() -> None:
    code = "from cli import state; print(state._age())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert 0 < float(done.stdout) < 60
