"""Machines run by a real systemd: namespaces, with nothing in them but it and what it starts.

A user's systemd, or one that runs the whole machine. Folders it reads units from are empty ones
of its own; nothing outside is touched. Needs root, cgroup v2 and Debian's systemd.
"""

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = "/usr/lib/systemd/system"
KEPT = "basic sockets multi-user network-online network shutdown"
APART = ("-m", "-C", "-p", "-n", "-i")
"""Mounts, control groups, processes, network, IPC."""

_COMMON = """set -e
ip link set lo up
mount -t tmpfs none /run
mkdir -p /run/systemd/system /run/lock /run/kept /run/python
mount -t tmpfs none /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
"""
_USER = (
    _COMMON
    + """mkdir -m 700 "$XDG_RUNTIME_DIR"
{systemd} --user --unit=basic.target &
exec sleep infinity
"""
)
# The interpreter may lie in a folder that only root may enter, and the node is not root.
_SYSTEM = (
    _COMMON
    + """cd {units}
for each in {kept}; do cp $each.target /run/kept/; done
for each in sysinit quiet; do
    printf '[Unit]\\nDefaultDependencies=no\\n' > /run/kept/$each.target
done
for each in /etc/systemd/system {units} /usr/lib/systemd/system-generators /etc/init.d; do
    [ -d $each ] && mount -t tmpfs none $each
done
cp /run/kept/* {units}/
case {python} in /root/*)
    mount --bind {python} /run/python
    mount -t tmpfs -o mode=755 none /root
    mkdir -p {python}
    mount --bind /run/python {python};;
esac
cd /
exec env container=test {systemd} --system --unit=quiet.target --log-target=null
"""
)


class Machine:
    """One machine.

    Attributes:
        enter: the words before a command that is to run on it.
    """

    def __init__(self, first: int, env: dict[str, str]) -> None:
        self.env = env
        self.enter: Sequence[str] = (
            *("nsenter", "-t", str(first), *APART, f"--wd={CHECKOUT}", "--"),
            *("env", *(f"{key}={value}" for key, value in env.items())),
        )

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command on it."""
        return subprocess.run(
            [*self.enter, *words], capture_output=True, text=True, timeout=30, check=False
        )

    def says(self, *words: str) -> str:
        """What a command prints that has to work."""
        done = self.run(*words)
        assert done.returncode == 0, done
        return done.stdout


@contextmanager
def machine(folder: Path, *, system: bool) -> Iterator[Machine]:
    """A machine with systemd in charge; skips where that is not allowed."""
    if not SYSTEMD.exists():
        pytest.skip("needs Debian's systemd")
    env = {} if system else {"HOME": str(folder), "XDG_RUNTIME_DIR": "/run/user"}
    script = (_SYSTEM if system else _USER).format(
        systemd=SYSTEMD, units=UNITS, kept=KEPT, python=shlex.quote(sys.base_prefix)
    )
    said = [f"{key}={value}" for key, value in env.items()]
    outer = subprocess.Popen(
        ["unshare", *APART, "-f", "--mount-proc", "env", *said, "bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield _up(outer, env, user=not system)
    finally:
        for pid in _children(outer.pid):
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
        outer.kill()
        outer.communicate(timeout=15)


def _up(outer: "subprocess.Popen[str]", env: dict[str, str], *, user: bool) -> Machine:
    """The machine, once its systemd answers."""
    whose = ["--user"] if user else []
    until = time.monotonic() + 15
    while time.monotonic() < until and outer.poll() is None:
        for first in _children(outer.pid):
            found = Machine(first, env)
            state = found.run("systemctl", *whose, "is-system-running").stdout.strip()
            if state in ("running", "degraded"):
                return found
        time.sleep(0.05)
    outer.kill()
    why = outer.communicate(timeout=15)[1].strip()
    pytest.skip(f"no systemd of our own here: {why or 'it does not come up'}")


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
