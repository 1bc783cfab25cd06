"""Archives behind real nginx and Varnish, set up as docs/operating-archives.md says.

What reaches the node is counted.
"""

import http.server
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.archive import independent
from tests.docs import pages
from tests.e2e.conftest import Make
from tests.e2e.homes import Home, until
from tests.e2e.test_archives import Web, mbox, publish
from tests.e2e.test_monitor import over_socket
from tests.ports import free_port
from tests.services.shelves import letter

PAGE = (pages.DOCS / "operating-archives.md").read_text(encoding="utf-8")
POLLS = 3_000
Front = Callable[[Home, Path], AbstractContextManager[str]]


def snippet(section: str, kind: str, *changes: tuple[str, str]) -> str:
    """The configuration in a section of the page, with what has to be another here."""
    part = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    (text,) = re.findall(rf"^```{kind}\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    for there, here in changes:
        assert there in text, there
        text = text.replace(there, here)
    return str(text)


def program(name: str, package: str) -> str:
    """Where a server's program is."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"no {name}: apt install {package}")
    return found


@contextmanager
def nginx(home: Home, folder: Path, path: str = "/archives/cats/about") -> Iterator[str]:
    """nginx in front of a node, on loopback and without TLS; where it listens."""
    listen = f"127.0.0.1:{free_port()}"
    text = snippet(
        "nginx in front",
        "nginx",
        ("/var/cache/nginx/willcall", str(folder / "cache")),
        ("listen 443 ssl;", f"listen {listen};"),
        ("http://127.0.0.1:4625", f"http://{home.listen}"),
    )
    with nginx_of(text, listen, path, folder):
        yield listen


@contextmanager
def nginx_of(text: str, listen: str, path: str, folder: Path) -> Iterator[None]:
    """nginx with that server in it; it answers at `path`."""
    nginx = program("nginx", "nginx-light")
    words = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{word}_temp_path {folder}/{word};\n" for word in words)
    (folder / "conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/errors;\n"
        f"events {{}}\nhttp {{\naccess_log off;\nkeepalive_requests 100000;\n{paths}"
        f"include /etc/nginx/mime.types;\n{text}}}\n"
    )
    command = (nginx, "-c", str(folder / "conf"), "-e", str(folder / "errors"))
    with _running(listen, path, *command):
        yield


@contextmanager
def varnish(home: Home, folder: Path) -> Iterator[str]:
    """Varnish in front of a node; where it listens."""
    varnishd = program("varnishd", "varnish")
    port = home.listen.rpartition(":")[2]
    (folder / "vcl").write_text(snippet("Varnish in front", "vcl", ('"4625"', f'"{port}"')))
    listen = f"127.0.0.1:{free_port()}"
    words = ("-F", "-n", str(folder / "varnish"), "-f", str(folder / "vcl"), "-a", listen)
    # Without its jail it runs as any user, and its files lie where ours do.
    command = (varnishd, *words, "-j", "none", "-s", "malloc,64m")
    with _running(listen, "/archives/cats/about", *command):
        yield listen


@contextmanager
def _running(listen: str, path: str, *command: str) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as running:
        try:
            until(lambda: _answers(listen, path, running))
            yield
        finally:
            running.terminate()
            running.wait(timeout=15)


def _answers(listen: str, path: str, running: "subprocess.Popen[bytes]") -> bool:
    assert running.poll() is None, "it does not start"
    try:
        with closing(Web(listen)) as web:
            return web.ask(path)[0] == 200
    except OSError:
        return False


def reached(home: Home) -> int:
    """How many requests for archives the node has answered."""
    _, text = over_socket(home, "/metrics")
    lines = re.findall(r"^willcall_requests_total\{(.*)\} ([0-9.e+]+)$", text, re.MULTILINE)
    assert lines, text
    return sum(int(float(n)) for labels, n in lines if "/archives/" in labels or "/ipfs/" in labels)


@pytest.mark.parametrize("front", [nginx, varnish])
def test_a_cache_answers_for_the_node(front: Front, make: Make, folder: Path) -> None:
    home = make("anna")
    home.start()
    publish(home, "cats", [letter(n) for n in range(120)])
    with front(home, folder) as listen:
        _absent(home, listen)
        _polls(home, listen)
        _readers(home, listen)
        _forms(home, listen)
        _follower(home, make("ben"), listen)


def _absent(home: Home, listen: str) -> None:
    """What is not here yet is not remembered as absent."""
    with closing(Web(listen)) as web:
        assert web.ask("/archives/dogs/checkpoint")[0] == 404
        publish(home, "dogs", [letter(1)])
        assert web.ask("/archives/dogs/checkpoint")[0] == 200


def _polls(home: Home, listen: str) -> None:
    """Thousands of polls are one request each ten seconds, and get the tag of the node."""
    with closing(Web(listen)) as web:
        _, note, headers = web.ask("/archives/cats/checkpoint")
        before, began = reached(home), time.monotonic()
        for _ in range(POLLS):
            status, body, _ = web.ask("/archives/cats/checkpoint", If_None_Match=headers["etag"])
            assert (status, body) == (304, b"")
        seconds = time.monotonic() - began
    through = reached(home) - before
    print(f"{POLLS} polls in {seconds:.1f} s: {through} reached the node")
    assert through <= 2 + seconds / 10
    with closing(Web(home.listen)) as direct:
        assert direct.get("/archives/cats/checkpoint") == note


def _readers(home: Home, listen: str) -> None:
    """Five who read everything cost what one costs."""
    with closing(Web(listen)) as web:
        first = independent.verify(web.get, "/archives/cats/")
        before = reached(home)
        for _ in range(4):
            again = independent.verify(web.get, "/archives/cats/")
            assert again.contents == first.contents
        assert reached(home) - before <= 4  # heads


def _forms(home: Home, listen: str) -> None:
    """A block is kept in each of its forms, and who asks in other words gets the one of them."""
    name = home.json("archive", "list", "cats", "--limit", "1")[0]["message"]
    kinds = ("application/vnd.ipld.car", "application/vnd.ipld.raw", "*/*", "text/html,*/*")
    with closing(Web(listen)) as web, closing(Web(home.listen)) as direct:
        for path in (f"/ipfs/{name}", f"/ipfs/{name}?format=raw", f"/ipfs/{name}?format=car"):
            for kind in (*kinds, *kinds[:2], "application/vnd.ipld.car; version=1; order=dfs"):
                _, body, headers = direct.ask(path, Accept=kind)
                through = web.ask(path, Accept=kind)
                assert through[1] == body, (path, kind)
                assert through[2]["content-type"] == headers["content-type"]
                again = web.ask(path, Accept=kind, If_None_Match=headers["etag"])
                assert again[0] == 304, (path, kind)
            assert web.get(path) == direct.get(path)


def _follower(home: Home, ben: Home, listen: str) -> None:
    """A node follows through it, and gets what is new in ten seconds."""
    ben.start()
    ben.json("archive", "follow", f"http://{listen}/archives/cats/")
    assert ben.json("archive", "poll", "cats")["verified"] is True
    home.json("archive", "add", "cats", "-", data=mbox([letter(500)]))
    until(lambda: ben.json("archive", "poll", "cats")["after"] == 121, 30)
    assert ben.run("archive", "read", "cats", "120", "--raw").out == letter(500)


def test_plain_files_are_followed(make: Make, folder: Path) -> None:
    """What `export --static` wrote, behind a web server that knows nothing of us."""
    anna, ben = make("anna"), make("ben")
    anna.start()
    ben.start()
    publish(anna, "cats", [letter(n) for n in range(30)])
    site = folder / "www" / "lists"
    anna.json("archive", "export", "cats", "--static", str(site))
    with served(folder / "www") as listen:
        url = f"http://{listen}/lists/archives/cats/"
        ben.json("archive", "follow", url)
        polled = {"name": "cats", "before": 0, "after": 30, "verified": True}
        assert ben.json("archive", "poll", "cats") == polled
        anna.json("archive", "add", "cats", "-", data=mbox([letter(30)]))
        anna.json("archive", "remove", "cats", "3", "--reason", "asked for")
        anna.json("archive", "export", "cats", "--static", str(site))
        assert ben.json("archive", "poll", "cats")["after"] == 32
        assert ben.run("archive", "read", "cats", "30", "--raw").out == letter(30)
        assert ben.refuses(66, "archive", "read", "cats", "3")["error"] == "removed"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A plain web server over a folder; where it listens."""
    handler = partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass
