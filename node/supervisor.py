"""What systemd is told, and what it hands over: sd_notify(3), sd_listen_fds(3), in a few lines.

    LISTEN_PID LISTEN_FDS       sockets that are open already, from descriptor 3 on
    NOTIFY_SOCKET               where to say READY, RELOADING, STOPPING
    WATCHDOG_USEC WATCHDOG_PID  how often to say that all is well

Any supervisor that speaks the same words does. Without these variables all of this does nothing.
What the variables said is forgotten once read: no program started from here believes it is meant.
"""

import os
import socket
from collections.abc import Mapping, MutableMapping

import trio

from node import journal
from node.errors import ConfigBroken

FIRST = 3
"""The first descriptor that is handed over (SD_LISTEN_FDS_START)."""
MOST = 16
"""Sockets that are looked at: a port in two families, and then some."""
_LISTEN = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_TOLD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


# --- sockets ----------------------------------------------------------------------------


def handed(environ: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """The listening TCP sockets that were handed over to this process; it owns them.

    Raises:
        ConfigBroken: one of them is no listening TCP socket.
    """
    said = {name: environ.pop(name, "") for name in _LISTEN}
    if said["LISTEN_PID"] != str(pid):  # meant for another one: a program between passed it on
        return []
    count = _number(said["LISTEN_FDS"]) or 0
    if count > MOST:
        raise ConfigBroken(f"systemd hands over {count} sockets; at most {MOST} are taken")
    return [_taken(number) for number in range(FIRST, FIRST + count)]


def _taken(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        found = socket.socket(fileno=number)
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise _not_ours(number, str(error)) from error
    internet = found.family in (socket.AF_INET, socket.AF_INET6)
    if not (internet and found.type == socket.SOCK_STREAM and listens):
        raise _not_ours(number, f"{found.family.name}, {found.type.name}")
    return found


def _not_ours(number: int, why: str) -> ConfigBroken:
    return ConfigBroken(
        f"descriptor {number}, handed over by systemd, is no listening TCP socket: {why}",
        next="in the .socket unit: ListenStream=HOST:PORT, and nothing else that listens",
    )


def address(sock: socket.socket) -> str:
    """Where it listens, as `host:port`."""
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# --- words ------------------------------------------------------------------------------


class Supervisor:
    """Whoever started the node and asked to hear how it is; nobody, where none of it was said.

    Args:
        to: the address of its datagram socket; None: nobody asked.
        pause: seconds between two signs of life; None: none are asked for.
    """

    def __init__(self, to: str | None = None, pause: float | None = None) -> None:
        self._to, self._pause = to, pause

    def tell(self, *facts: str) -> None:
        """Says facts such as `READY=1`. A supervisor that does not hear is no reason to end."""
        if self._to is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
            try:
                out.sendto("\n".join(facts).encode(), self._to)
            except OSError as error:
                journal.warn("supervisor-silent", told=facts[0], why=str(error))

    def ready(self, status: str) -> None:
        """It serves."""
        self.tell("READY=1", f"STATUS={status}")

    def reloading(self, monotonic: int) -> None:
        """It reads its settings; `ready` follows.

        Args:
            monotonic: microseconds of CLOCK_MONOTONIC, by which systemd tells two reloads apart.
        """
        self.tell("RELOADING=1", f"MONOTONIC_USEC={monotonic}")

    def stopping(self) -> None:
        """It ends."""
        self.tell("STOPPING=1", "STATUS=finishing what was begun")

    async def keep_telling(self) -> None:
        """Signs of life, for as long as tasks get their turn; returns when none are asked for."""
        while self._to is not None and self._pause is not None:
            self.tell("WATCHDOG=1")
            await trio.sleep(self._pause)


def supervisor(environ: MutableMapping[str, str], pid: int) -> Supervisor:
    """The one that the environment names."""
    said = {name: environ.pop(name, "") for name in _TOLD}
    to = said["NOTIFY_SOCKET"]
    if to.startswith("@"):  # a name without a file
        to = "\0" + to[1:]
    elif not to.startswith("/"):  # none, or of a machine outside (vsock), which is not spoken
        return Supervisor()
    return Supervisor(to, _pause(said, pid))


def _pause(said: Mapping[str, str], pid: int) -> float | None:
    """Half the time after which it would be missed, as sd_watchdog_enabled(3) advises."""
    usec = _number(said["WATCHDOG_USEC"])
    meant = said["WATCHDOG_PID"] in ("", str(pid))
    return usec / 2_000_000 if usec and meant else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None
