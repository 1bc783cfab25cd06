"""The sockets a server listens on, and what to say when the system refuses one."""

import errno
import os
import socket
import stat
from collections.abc import Container
from pathlib import Path

import trio

from node.encoding import origin
from node.errors import ConfigBroken, PortInUse, Refused, WillcallError

PORT, PORTS = 4625, 100
"""The usual port, and how many from it on are looked at for a free one."""
HOST = "127.0.0.1"
BACKLOG = 1024
"""Connections the kernel holds for us: a burst of that many is no error."""


async def open_tcp(host: str, port: int) -> list[trio.SocketListener]:
    """Listens on a TCP address; port 0 takes any free one.

    Raises:
        PortInUse: somebody listens there.
        Refused: the system does not let us.
        ConfigBroken: this machine has no such address.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        raise _listen_error(f"{host}:{port}", error) from error


async def check_free(at: str) -> None:
    """Listens on `host:port` for a moment.

    Raises:
        PortInUse, Refused, ConfigBroken: as `open_tcp`.
    """
    for each in await open_tcp(*origin.split(at)):
        await each.aclose()


async def free_port(spoken_for: Container[str] = ()) -> str:
    """The usual `host:port`, or the next of a hundred ports that is free.

    Args:
        spoken_for: each `host:port` that is nobody's now and somebody's later.

    Raises:
        PortInUse: all are taken; Refused, ConfigBroken: as `open_tcp`.
    """
    for port in range(PORT, PORT + PORTS):
        at = f"{HOST}:{port}"
        try:
            await check_free(at)
        except PortInUse:
            continue
        if at not in spoken_for:
            return at
    text = f"the ports {PORT} to {PORT + PORTS - 1} of {HOST} are all taken"
    raise PortInUse(text, next="choose another with --listen HOST:PORT")


def open_unix(path: Path) -> trio.SocketListener:
    """Listens on a Unix socket of mode 0600, in place of a stale one.

    The caller holds the home's lock (so no living node owns the old socket) and keeps the
    folder at 0700 (so nobody connects before the mode is set).

    Raises:
        ConfigBroken: the path is too long for a socket, or its folder is missing.
        Refused: the system does not let us.
    """
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            path.unlink()
        _bind_unix(sock, path)
    except OSError as error:
        sock.close()
        raise _listen_error(str(path), error) from error
    return trio.SocketListener(sock)


def _bind_unix(sock: trio.socket.SocketType, path: Path) -> None:
    # The system call itself: trio's `bind` is async only because it may look up a name.
    raw = socket.socket(fileno=os.dup(sock.fileno()))
    with raw:
        raw.bind(str(path))
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
        raw.listen(BACKLOG)


def _listen_error(where: str, error: OSError) -> WillcallError:
    if error.errno == errno.EADDRINUSE:
        return PortInUse(
            f"{where} is taken by another program.",
            next="choose another port, or end that program (ss -ltnp names it)",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        text = f"The system does not let this user listen on {where}."
        return Refused(text, reason="not-permitted", next="choose a port above 1023")
    return ConfigBroken(
        f"Can't listen on {where}: {error.strerror or error}.",
        next="choose an address of this machine, such as 127.0.0.1:4625",
    )
