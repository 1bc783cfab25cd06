"""Polls that find nothing new, answered by nginx alone and by nginx in front of a node.

nginx is set up as docs/operating-archives.md says, one process of it; wrk asks. Debian: nginx-light
and wrk.
"""

import re
import shutil
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.trial import free_ports
from tests.bench.homes import Home
from tests.e2e import test_archives_cached as cached
from tests.e2e.test_archives import Web

SECONDS = 3
CONNECTIONS = 16
SEARCHED = "/usr/sbin:/usr/bin:/sbin:/bin"
PATH = "/archives/list/checkpoint"


@dataclass
class _Node:
    """A home, as the tests of caches know it."""

    path: Path
    listen: str


def missing() -> str | None:
    """Why it can't be measured here; None: it can."""
    lacking = [name for name in ("nginx", "wrk") if shutil.which(name, path=SEARCHED) is None]
    return f"no {' and no '.join(lacking)}: apt install nginx-light wrk" if lacking else None


def rates(home: Home, port: int, folder: Path) -> tuple[float, float, int]:
    """Answers a second by nginx with a file of its own, and by nginx in front of a node.

    The third: how many requests reached the node meanwhile.
    """
    node: Any = _Node(home.path, f"127.0.0.1:{port}")
    (folder / "front").mkdir()
    with cached.nginx(node, folder / "front", PATH) as listen:
        _, note, _ = _get(listen)
        before = cached.reached(node)
        front = _asked(listen)
        reached = cached.reached(node) - before
    file = folder / "alone" / PATH[1:]
    file.parent.mkdir(parents=True)
    file.write_bytes(note)
    return _alone(folder / "alone"), front, reached


def _alone(folder: Path) -> float:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    server = f"server {{ listen {listen}; root {folder}; }}\n"
    with cached.nginx_of(server, listen, PATH, folder):
        return _asked(listen)


def _get(listen: str) -> tuple[int, bytes, dict[str, str]]:
    with closing(Web(listen)) as web:
        return web.ask(PATH)


def _asked(listen: str) -> float:
    """Polls that find nothing new, a second."""
    tag = _get(listen)[2]["etag"]
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", f"If-None-Match: {tag}",
         f"http://{listen}{PATH}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (rate,) = re.findall(r"Requests/sec: +([0-9.]+)", done.stdout)
    return float(rate)
