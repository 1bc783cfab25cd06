"""Ports for servers that are started a moment later, in another process."""

import secrets
import socket

FIRST, LAST = 10_100, 32_000
"""Below those that the system gives to whoever asks for any: one of them could be given away before
its server starts."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free for TCP and UDP now."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        if _is_free(port, socket.SOCK_STREAM) and _is_free(port, socket.SOCK_DGRAM):
            return port


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as taken:
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
