"""The client of the local API: JSON over the home's Unix socket, with the standard library.

A failed call comes back as the `WillcallError` it was at the node, with its exit code.
"""

import contextlib
import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlencode

from node.errors import NotRunning, Unreachable, WillcallError

CHUNK = 256 * 1024


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connects to the socket in place of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


class Answered(WillcallError):
    """The node answered with an error."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__(
            str(document.get("detail", "the node answered with an error")),
            reason=str(document.get("reason", "error")),
            next=document.get("next"),
        )
        self.exit_code = int(document.get("exit", 70))


class Local:
    """Calls the node of one home.

    Args:
        home: its folder.
        owner: whose mailbox is meant; None: the first owner's.
    """

    def __init__(self, home: Path, owner: str | None) -> None:
        self._home, self._owner = home, owner

    def get(self, *words: str, **query: Any) -> Any:
        """The JSON answer of a GET."""
        return json.loads(self._call("GET", words, query).read())

    def post(self, *words: str, **body: Any) -> Any:
        """The JSON answer of a POST with a JSON body."""
        data = json.dumps({k: v for k, v in body.items() if v is not None}).encode()
        return json.loads(self._call("POST", words, {}, data).read())

    def post_to(self, words: tuple[str, ...], query: dict[str, Any]) -> Any:
        """The JSON answer of a POST with a query and no body."""
        return json.loads(self._call("POST", words, query, b"").read())

    def upload(self, word: str, query: dict[str, Any], data: bytes | IO[bytes], size: int) -> Any:
        """The JSON answer of a POST with a stream of `size` bytes."""
        return json.loads(self._call("POST", (word,), query, data, size).read())

    def stream(self, *words: str) -> Iterator[bytes]:
        """The bytes of an answer, piece by piece."""
        response = self._call("GET", words, {})
        while piece := response.read(CHUNK):
            yield piece

    def _call(
        self,
        method: str,
        words: tuple[str, ...],
        query: dict[str, Any],
        data: bytes | IO[bytes] | None = None,
        size: int | None = None,
    ) -> http.client.HTTPResponse:
        path = "/" + "/".join(quote(word, safe="") for word in words)
        used = {key: value for key, value in query.items() if value is not None}
        headers = {} if self._owner is None else {"Willcall-Owner": quote(self._owner)}
        if size is not None:
            headers["Content-Length"] = str(size)
        target = f"{path}?{urlencode(used, doseq=True)}" if used else path
        response = self._send(method, target, data, headers)
        if response.status >= 400:
            raise Answered(json.loads(response.read()))
        return response

    def _send(
        self, method: str, target: str, data: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        connection = _Connection(self._home / "socket")
        connection.blocksize = CHUNK
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise self._not_running() from error
        except OSError as error:
            raise NotRunning(f"the node's socket can't be opened: {error.strerror}") from error
        # The node may refuse in the middle of the body: its answer says why.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, data, headers)
        try:
            return connection.getresponse()
        except (http.client.HTTPException, OSError) as error:
            raise Unreachable("the node went away", next="willcall status") from error

    def _not_running(self) -> NotRunning:
        home = self._home
        if not (home / "config.toml").is_file():
            return NotRunning(
                f"there is no home in {home}", next="willcall init, then willcall run"
            )
        return NotRunning(f"no node is running for {home}", next="willcall run")


def home_of(given: str | None) -> Path:
    """`--home`, else `WILLCALL_HOME`, else the XDG data folder."""
    chosen = given or os.environ.get("WILLCALL_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("willcall"))
