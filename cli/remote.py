"""A node on another machine: the same calls by TCP, as the owner whom a token names.

    http://127.0.0.1:4626       this machine, or the near end of a tunnel
    https://host:4626#PIN       TLS; the pin is the node's own key, as `willcall owner token` says

The token comes from `WILLCALL_TOKEN`, or from the file that `willcall login` wrote (mode 0600):
never from the command line, where other users of the machine can read it.
"""

import json
import os
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from cli.local import Local
from node.errors import Absent, NotRunning, Refused, StoreFailed, Usage, WillcallError

SECONDS = 10.0
"""A connection that takes longer is none."""
SILENT = 60
"""After so many seconds without a word the system asks whether the other side is there."""

_ADDRESS = re.compile(
    r"(https?)://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})/?(?:#([A-Za-z0-9_-]{43}))?"
)
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|\[::1\]|localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a node is: taken apart from what a person wrote."""

    text: str
    host: str
    port: int
    pin: str | None
    tls: bool


def parse(text: str) -> Address:
    """The address in `text`.

    Raises:
        Usage: it is none, or would send a token in the clear.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= 65_535:
        raise Usage(
            f"this is no address of a node: {text[:80]!r}",
            next="write http://127.0.0.1:4626 or https://host:4626#PIN",
        )
    if found[1] == "http" and not _LOOPBACK.fullmatch(found[2]):
        raise Usage("a token and mail would be readable on the way", next="write https:// instead")
    bare = text.partition("#")[0].rstrip("/")
    return Address(
        text=bare if found[4] is None else f"{bare}#{found[4]}",
        host=found[2].strip("[]"),
        port=int(found[3]),
        pin=found[4],
        tls=found[1] == "https",
    )


class Remote(Local):
    """Calls a node by its address.

    Args:
        address: where it is.
        token: what opens it.
        owner: whom the token has to belong to; None: whoever it is.
    """

    def __init__(self, address: Address, token: str, owner: str | None) -> None:
        super().__init__(Path(), owner)
        self._address, self._token = address, token

    def _fields(self) -> str:
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        named = f"Host: {host}:{self._address.port}\r\n"
        return f"{named}Authorization: Bearer {self._token}\r\n"

    def _connected(self) -> socket.socket:
        at = self._address
        try:
            sock = socket.create_connection((at.host, at.port), self.hurry or SECONDS)
            made = _secured(sock, at) if at.tls else sock
        except OSError as error:
            raise NotRunning(
                f"no node answers at {at.text.partition('#')[0]}: {error.strerror or error}",
                next="is its willcall run up, and local.listen set?",
            ) from error
        made.settimeout(None)
        _keep_alive(made)
        return made


def _keep_alive(sock: socket.socket) -> None:
    """A machine that vanished is noticed after two minutes, however long an answer may take."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENT // 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _secured(sock: socket.socket, at: Address) -> socket.socket:
    raise Usage("https comes with the node's TLS", reason="not-yet-built")


# --- login ------------------------------------------------------------------------------


def login_file() -> Path:
    """Where `willcall login` keeps an address and its token."""
    import platformdirs

    return Path(platformdirs.user_config_dir("willcall")) / "login.json"


def saved() -> dict[str, str] | None:
    """What `willcall login` wrote; None: nobody is logged in.

    Raises:
        Refused: others can read the file.
        Absent: it is not what was written.
    """
    file = login_file()
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            found = json.load(stream)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Absent(f"{file} can't be read: {error}", next="willcall login URL") from error
    if mode & 0o077:
        raise Refused(f"others can read the token in {file}", next=f"chmod 600 {file}")
    if not isinstance(found, dict) or not {"node", "token"} <= found.keys():
        raise Absent(f"{file} holds no login", next="willcall login URL")
    return {"node": str(found["node"]), "token": str(found["token"])}


def save(address: Address, token: str) -> Path:
    """Writes the login, in one step and for the user's eyes only."""
    file = login_file()
    text = json.dumps({"node": address.text, "token": token}) + "\n"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = file.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text)
        temporary.rename(file)
    except OSError as error:
        raise StoreFailed(f"{file} can't be written: {error.strerror}") from error
    return file


def forget() -> bool:
    """Removes the login; whether there was one."""
    try:
        login_file().unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreFailed(f"{login_file()} can't be removed: {error.strerror}") from error
    return True


def at(text: str, owner: str | None) -> Remote:
    """The node at an address that was named, with the token that belongs to it.

    Raises:
        Usage: the address is none, or there is no token for it.
    """
    address = parse(text)
    token = os.environ.get("WILLCALL_TOKEN")
    if not token:
        known = saved()
        token = known["token"] if known is not None and known["node"] == address.text else None
    if not token:
        raise no_token(address)
    return Remote(address, checked_token(token), owner)


def no_token(address: Address) -> WillcallError:
    """There is nothing to open that node with."""
    return Usage(
        f"there is no token for {address.text}",
        next=f"willcall login {address.text}, or set WILLCALL_TOKEN",
    )


def checked_token(text: str) -> str:
    """A token as it was typed or pasted.

    Raises:
        Usage: it can't be one.
    """
    token = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{20,100}", token):
        raise Usage("this is no token", next="ask whoever runs the node: willcall owner token NAME")
    return token
