"""What git takes for the same archive over HTTP, as archives are published with it today.

Smart is what hosts of archives run (`git http-backend`, here under a plain CGI); dumb are plain
files of one pack: the server only sends it. public-inbox (Debian: public-inbox), where it is here,
is what lists are published with. The clone checks every object's hash, and no signature: there is
none.
"""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from cli.trial import free_ports
from tests.bench.homes import connected, timed


def packed(folder: Path, found: Iterator[bytes]) -> Path:
    """A repository of one commit a message, packed; the folder it lies in is to be served."""
    site = folder / "site"
    fill(site / "list.git", found)
    return site


def fill(repo: Path, found: Iterator[bytes]) -> None:
    """One commit a message, packed."""
    if not repo.exists():
        subprocess.run(["git", "init", "-q", "--bare", "-b", "master", str(repo)], check=True)
    feed = subprocess.Popen(
        ["git", "-C", str(repo), "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE
    )
    assert feed.stdin is not None
    for number, each in enumerate(found):
        at = 1_700_000_000 + number * 60
        feed.stdin.write(
            b"commit refs/heads/master\ncommitter L <l@l.test> %d +0000\ndata 4\nmsg\n"
            b"M 100644 inline m\ndata %d\n" % (at, len(each)) + each + b"\n"
        )
    feed.stdin.write(b"done\n")
    feed.stdin.close()
    assert feed.wait() == 0
    subprocess.run(["git", "-C", str(repo), "repack", "-adq"], check=True)
    subprocess.run(["git", "-C", str(repo), "update-server-info"], check=True)


@contextlib.contextmanager
def public_inbox(folder: Path, found: Iterator[bytes]) -> Iterator[str]:
    """What publishes lists with git today, with one; the address of its repository."""
    (port,) = free_ports(1)
    inbox, url = folder / "inbox", f"http://127.0.0.1:{port}/list"
    names = {"HOME": str(folder), "PI_CONFIG": str(folder / "public-inbox.config")}

    def run(*words: str) -> None:
        subprocess.run(words, env=os.environ | names, check=True, capture_output=True)

    run("public-inbox-init", "-V2", "-L", "basic", "list", str(inbox), url, "list@b.test")
    fill(inbox / "git/0.git", found)
    run("public-inbox-index", "-L", "basic", str(inbox))
    server = subprocess.Popen(
        ["public-inbox-httpd", "-W0", "-l", url.removesuffix("/list")],
        env=os.environ | names, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        connected(port).close()
        yield f"{url}/0"
    finally:
        server.terminate()
        server.wait()


def clone(url: str, folder: Path) -> float:
    """Seconds of a clone."""
    shutil.rmtree(folder / "clone", ignore_errors=True)
    words = ["git", "clone", "-q", "--bare", url, str(folder / "clone")]
    return timed(lambda: subprocess.run(words, check=True))


def cloned(site: Path, folder: Path, *, smart: bool) -> tuple[float, float]:
    """Seconds of a clone, and of processor time of all who took part."""
    handler = functools.partial(_Smart if smart else _Dumb, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/list.git"
    try:
        before = _spent()
        return clone(url, folder), _spent() - before
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _spent() -> float:
    """Processor time of this process (it is the server) and of its ended children."""
    return sum(os.times()[:4])


class _Dumb(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class _Smart(_Dumb):
    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length", 0))
        environment = os.environ | {
            "GIT_PROJECT_ROOT": self.directory,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        command = ("git", "http-backend")
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as backend:
            assert backend.stdin is not None
            assert backend.stdout is not None
            with contextlib.closing(backend.stdin):
                backend.stdin.write(self.rfile.read(length))
            self.send_response(200)
            while line := backend.stdout.readline().strip():
                name, _, value = line.decode().partition(": ")
                self.send_header(name, value)
            self.end_headers()
            shutil.copyfileobj(backend.stdout, self.wfile, 1 << 16)

    do_POST = do_GET
