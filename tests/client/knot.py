"""An authoritative DNS server on loopback: Debian's knot, started by the tests that need it.

It serves zones written here by hand, and, on other ports, the ways in which a server can fail
that no honest one offers: silence, SERVFAIL, answers for somebody else's zone.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import free_port

CONF = """
server:
    rundir: "{home}"
    listen: 127.0.0.1@{port}
    identity: ""
    version: ""
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: "{home}/log"
    any: warning
database:
    storage: "{home}"
template:
  - id: default
    storage: "{home}"
    zonefile-sync: -1
    journal-content: none
zone:
{zones}
"""
HEAD = (
    "$ORIGIN {zone}.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
)
PATIENCE = 30.0
"""Seconds until it serves; a busy machine takes its time."""


@contextmanager
def knot(zones: Mapping[str, str]) -> Iterator[str]:
    """A server for these zones (name → records below it, as in a zone file); `address:port`."""
    program = shutil.which("knotd") or "/usr/sbin/knotd"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="knot-") as folder:
        home = Path(folder)
        for zone, records in zones.items():
            (home / f"{zone}.zone").write_text(HEAD.format(zone=zone) + records)
        listed = "".join(f"  - domain: {zone}\n    file: {zone}.zone\n" for zone in zones)
        (home / "knot.conf").write_text(CONF.format(home=home, port=port, zones=listed))
        process = subprocess.Popen(
            [program, "-c", str(home / "knot.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(process, port, home)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait(process: subprocess.Popen[bytes], port: int, home: Path) -> None:
    """Until it answers over TCP."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, (home / "log").read_text() if (home / "log").exists() else ""
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError("knot does not serve")


@contextmanager
def silent() -> Iterator[str]:
    """A port where nobody answers: what is sent there is taken, and that is all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{deaf.getsockname()[1]}"
