"""A network of one's own: nothing but loopback, every port free, the same for nobody else.

What runs in it can listen on 443 as a domain does. Needs root, and Linux.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET, sched.h."""
_SET_FLAGS = 0x8914
"""SIOCSIFFLAGS, netdevice(7)."""
_UP = 1


@contextmanager
def alone() -> Iterator[None]:
    """This thread, and the programs it starts, in an empty network; then back."""
    if os.geteuid() != 0:
        pytest.skip("needs root: a network of its own")
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_NEW_NETWORK):
            pytest.skip(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        try:
            _loopback_up()
            yield
        finally:
            assert not libc.setns(home, _NEW_NETWORK), os.strerror(ctypes.get_errno())
    finally:
        os.close(home)


def _loopback_up() -> None:
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
