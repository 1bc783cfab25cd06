"""The client of the local API: JSON over the home's Unix socket.

HTTP/1.1 as far as our own node speaks it, by hand: the standard library's client takes a
third of the time of a whole command to import. A failed call comes back as the
`WillcallError` it was at the node, with its exit code.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from cli import argv
from node.errors import NotRunning, Refused, Unreachable, WillcallError

CHUNK = 256 * 1024
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
"""Bytes that stand for themselves in a target, RFC 3986 §2.3."""

GRACE, STARTING, STEP = 1.5, 10.0, 0.05
"""Seconds: for a `run` that was given just before (Python starts in a third of one), for a node
whose process is there and opens its store; and between two looks."""
SLOWER = 4
"""A `run` may take that many times as long to begin as this command did: the machine is busy."""


class Readable(Protocol):
    """What is sent piece by piece."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, about `size`; none at the end."""
        ...


Progress = Callable[[int], None]
"""Is told how many bytes have left so far."""


class Answered(WillcallError):
    """The node answered with an error."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(
            str(document.get("detail", "the node answered with an error")),
            reason=str(document.get("reason", "error")),
            next=document.get("next"),
        )
        bug = WillcallError.exit_code if self.reason == "bug" else NotRunning.exit_code
        self.exit_code = int(document.get("exit", bug))


class _Answer:
    """One answer: its status, and its body piece by piece."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._file = sock, sock.makefile("rb", CHUNK)
        self.status = int(self._file.readline().split(b" ")[1])
        fields = {}
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        self._length = int(fields.get(b"content-length", b"0"))
        self._chunked = fields.get(b"transfer-encoding") == b"chunked"

    def close(self) -> None:
        """Lets go of the connection."""
        self._file.close()
        self._sock.close()

    def pieces(self) -> Iterator[bytes]:
        """The body; it ends as it should, or with an error."""
        while length := self._next():
            while length:
                piece = self._file.read(min(length, CHUNK))
                if not piece:
                    raise EOFError("the answer was cut off")
                length -= len(piece)
                yield piece
            if self._chunked:
                self._file.readline()

    def _next(self) -> int:
        """Bytes of the next chunk; without chunks, of the body, once."""
        if self._chunked:
            return int(self._file.readline(), 16)
        length, self._length = self._length, 0
        return length


class Local:
    """Calls the node of one home.

    Args:
        home: its folder.
        owner: whose mailbox is meant; None: the first owner's.
        began_in: seconds that this program took to begin.

    Attributes:
        hurry: seconds after which a silent node is none; None: it is waited for.
    """

    def __init__(self, home: Path, owner: str | None, began_in: float = 0.0) -> None:
        self._home, self._owner, self._began_in = home, owner, began_in
        self.hurry: float | None = None

    def get(self, *words: str, **query: Any) -> Any:
        """The JSON answer of a GET."""
        return self._json("GET", words, query)

    def post(self, *words: str, **body: Any) -> Any:
        """The JSON answer of a POST with a JSON body."""
        data = json.dumps({k: v for k, v in body.items() if v is not None}).encode()
        return self._json("POST", words, {}, data)

    def post_to(self, words: tuple[str, ...], query: dict[str, Any]) -> Any:
        """The JSON answer of a POST with a query and no body."""
        return self._json("POST", words, query, b"")

    def upload(
        self,
        word: str,
        query: dict[str, Any],
        data: "bytes | Readable",
        size: int,
        progress: Progress | None = None,
    ) -> Any:
        """The JSON answer of a POST with a stream of `size` bytes."""
        return self.upload_to((word,), query, data, size, progress)

    def upload_to(
        self,
        words: tuple[str, ...],
        query: dict[str, Any],
        data: "bytes | Readable",
        size: int,
        progress: Progress | None = None,
    ) -> Any:
        """The same for a call with more words in its path."""
        return self._json("POST", words, query, data, size, progress)

    def _json(self, *call: Any) -> Any:
        body = b"".join(self._call(*call))
        try:
            return json.loads(body)
        except ValueError as error:
            raise Unreachable(
                "the node's answer makes no sense", next="willcall version"
            ) from error

    def stream(self, *words: str, **query: Any) -> Iterator[bytes]:
        """The bytes of an answer, piece by piece; an error before the first of them."""
        return self._call("GET", words, query)

    def _call(
        self,
        method: str,
        words: tuple[str, ...],
        query: dict[str, Any],
        data: "bytes | Readable" = b"",
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[bytes]:
        size = len(data) if isinstance(data, bytes) else size
        head = f"{method} {_target(words, query)} HTTP/1.1\r\n{self._fields()}"
        if self._owner is not None:
            head += f"Willcall-Owner: {_quoted(self._owner)}\r\n"
        if method == "POST":
            head += f"Content-Length: {size}\r\n"
        sock = self._connected()
        sock.settimeout(self.hurry)
        try:
            _sent(sock, f"{head}Connection: close\r\n\r\n".encode(), data, progress)
            answer = _Answer(sock)
            try:
                if answer.status >= 400:
                    raise Answered(json.loads(b"".join(answer.pieces())))
                yield from answer.pieces()
            finally:
                answer.close()
        except (OSError, EOFError, IndexError, ValueError) as error:
            raise Unreachable("the node went away", next="willcall status") from error
        finally:
            sock.close()

    def _fields(self) -> str:
        """Header fields that say who calls whom."""
        return "Host: localhost\r\n"

    def _connected(self) -> socket.socket:
        """A connection to the node; one that is just starting is waited for."""
        waited = 0.0
        while True:
            try:
                return _connected(self._home / "socket")
            except OSError as error:
                starting = isinstance(error, FileNotFoundError | ConnectionRefusedError)
                if not starting or waited >= self._patience():
                    raise self._no_node(error) from error
            time.sleep(STEP)
            waited += STEP

    def _patience(self) -> float:
        """Seconds to wait for the socket: long for who holds the lock, short for who may yet."""
        if self.hurry is not None or not (self._home / "config.toml").is_file():
            return 0.0
        try:
            os.kill(int((self._home / "lock").read_text()), 0)
        except (OSError, ValueError):
            return min(max(GRACE, SLOWER * self._began_in), STARTING)
        return STARTING

    def _no_node(self, error: OSError) -> WillcallError:
        home = self._home
        if isinstance(error, PermissionError):
            return Refused(f"the node in {home} is another user's", next="choose a --home")
        if not (home / "config.toml").is_file():
            return NotRunning(
                f"there is no home in {home}", next="willcall init, then willcall run"
            )
        return NotRunning(f"no node is running for {home}", next="willcall run")


def _connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(str(path))
    except OSError:
        sock.close()
        raise
    return sock


def _sent(
    sock: socket.socket, head: bytes, data: "bytes | Readable", progress: Progress | None
) -> None:
    """Sends a request; the node may refuse in the middle of the body, and its answer says why."""
    try:
        if isinstance(data, bytes):
            sock.sendall(head + data)
            return
        sock.sendall(head)
        done = 0
        while piece := data.read(CHUNK):
            sock.sendall(piece)
            done += len(piece)
            if progress is not None:
                progress(done)
    except (BrokenPipeError, ConnectionResetError):
        pass


def _target(words: tuple[str, ...], query: dict[str, Any]) -> str:
    pairs = []
    for key, value in query.items():
        many = value if isinstance(value, list | tuple) else [value]
        pairs += [f"{key}={_quoted(str(each))}" for each in many if each is not None]
    path = "/" + "/".join(map(_quoted, words))
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def _quoted(text: str) -> str:
    return "".join(chr(b) if b in PLAIN else f"%{b:02X}" for b in os.fsencode(text))


def home_of(given: str | None) -> Path:
    """`--home`, else `WILLCALL_HOME`, else the XDG data folder.

    Raises:
        Usage: its name is not text.
    """
    chosen = given or os.environ.get("WILLCALL_HOME")
    home = Path(chosen).expanduser().absolute() if chosen else default_home()
    if not argv.is_text(str(home)):
        raise argv.no_text(str(home), "choose a --home whose name is")
    return home


def default_home() -> Path:
    """Where a home is when nobody says otherwise."""
    import platformdirs

    return Path(platformdirs.user_data_dir("willcall"))
