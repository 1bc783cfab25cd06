"""What a reader takes to pull the same archive over NNTP, from INN (Debian: inn2), as root only.

It asks for many articles ahead and throws them away: nothing is checked, nothing is kept.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.trial import free_ports
from tests.bench.homes import connected, timed

PROGRAMS = "/usr/lib/news/bin"
GROUP = b"test.archive"
AHEAD = 50
"""Articles that are asked for ahead."""
FOLDERS = ("etc", "db", "spool/articles", "spool/overview", "spool/incoming", "spool/archive",
           "spool/outgoing", "spool/innfeed", "log", "run", "tmp")  # fmt: skip
FILES = {
    "incoming.conf": 'streaming: true\npeer ME {\n hostname: "127.0.0.1, localhost"\n}\n',
    "newsfeeds": "ME:*::\nnowhere:!*:Tf:\n",
    "storage.conf": "method tradspool {\n newsgroups: *\n class: 0\n}\n",
    "readers.conf": 'auth "l" {\n hosts: "127.0.0.1, localhost"\n default: "u"\n}\n'
    'access "l" {\n users: "u"\n newsgroups: "*"\n}\n',
    "expire.ctl": "/remember/:0\n*:A:1:never:never\n",
    "control.ctl": "all:*:*:drop\n",
}
EMPTY = ("cycbuff.conf", "innfeed.conf", "passwd.nntp", "moderators", "localgroups", "nntpsend.ctl",
         "distributions", "subscriptions", "motd.innd", "distrib.pats")  # fmt: skip
NUMBERS = "0000000000 0000000001"


def missing() -> str | None:
    """Why it can't be measured here; None: it can."""
    if not Path(PROGRAMS, "innd").exists():
        return "no INN: apt install inn2"
    return None if os.geteuid() == 0 else "INN is started by root"


def pulled(found: Iterator[bytes]) -> tuple[int, float]:
    """How many articles a reader got, and in how many seconds."""
    with contextlib.ExitStack() as stack:
        # Its own: INN's user must get in.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="willcall-news-")))
        feeding, reading = free_ports(2)
        _start(folder, feeding, reading, stack)
        count = _fed(feeding, found)
        got: list[int] = []
        seconds = timed(lambda: got.append(_pull(reading, count)))
        assert got == [count]
        return count, seconds


def _start(folder: Path, feeding: int, reading: int, stack: contextlib.ExitStack) -> None:
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    (folder / "etc/inn.conf").write_text(_config(folder, feeding))
    for name, text in (*FILES.items(), *((name, "") for name in EMPTY)):
        (folder / "etc" / name).write_text(text)
    groups = {"control": "n", "control.cancel": "n", "junk": "n", GROUP.decode(): "y"}
    active = "".join(f"{name} {NUMBERS} {flag}\n" for name, flag in groups.items())
    for name, text in (
        ("active", active),
        ("active.times", ""),
        ("newsgroups", ""),
        ("history", ""),
    ):
        (folder / "db" / name).write_text(text)
    news = pwd.getpwnam("news")
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, news.pw_uid, news.pw_gid)
    _run(folder, stack, "makedbz", "-i", "-o").wait()
    for end in ("dir", "hash", "index"):
        if (fresh := folder / f"db/history.n.{end}").exists():
            fresh.rename(folder / f"db/history.{end}")
    _run(folder, stack, "innd", "-f", "-N", "-P", str(feeding))
    _run(folder, stack, "nnrpd", "-D", "-f", "-p", str(reading), "-b", "127.0.0.1")


def _config(folder: Path, port: int) -> str:
    etc, spool = folder / "etc", folder / "spool"
    values = {
        "mta": '"/bin/true %s"', "organization": "bench", "ovmethod": "tradindexed",
        "hismethod": "hisv6", "pathhost": "news.test", "domain": "test", "fromhost": "test",
        "pathnews": "/usr/lib/news", "pathbin": PROGRAMS, "pathetc": etc, "pathdb": folder / "db",
        "pathspool": spool, "patharticles": spool / "articles", "pathoverview": spool / "overview",
        "pathincoming": spool / "incoming", "patharchive": spool / "archive",
        "pathoutgoing": spool / "outgoing", "pathlog": folder / "log", "pathrun": folder / "run",
        "pathtmp": folder / "tmp", "pathfilter": etc, "pathcontrol": f"{PROGRAMS}/control",
        "port": port, "bindaddress": "127.0.0.1", "maxartsize": 10_000_000, "artcutoff": 0,
        "wanttrash": "false", "docancels": "none",
    }  # fmt: skip
    return "".join(f"{name}: {value}\n" for name, value in values.items())


def _run(folder: Path, stack: contextlib.ExitStack, *words: str) -> "subprocess.Popen[bytes]":
    log = stack.enter_context((folder / "log.out").open("ab"))
    made = subprocess.Popen(
        [f"{PROGRAMS}/{words[0]}", *words[1:]],
        env=os.environ | {"INNCONF": f"{folder}/etc/inn.conf"},
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        user="news", group="news", extra_groups=[],
    )  # fmt: skip
    stack.callback(made.wait)
    stack.callback(made.kill)  # INN takes its time to end; what it holds is thrown away
    return made


class _Line:
    """A connection to a news server."""

    def __init__(self, port: int) -> None:
        self.sock = connected(port)
        self.sock.settimeout(30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb", 1 << 18)
        self.file.readline()

    def ask(self, command: bytes) -> bytes:
        self.sock.sendall(command + b"\r\n")
        return self.file.readline()


def _fed(port: int, found: Iterator[bytes]) -> int:
    """Offers messages as articles; how many were taken."""
    line, count, group = _Line(port), 0, list[bytes]()
    assert line.ask(b"MODE STREAM").startswith(b"203")
    for number, each in enumerate(found):
        head, _, body = each.replace(b"\n", b"\r\n").partition(b"\r\n\r\n")
        name = b"<%d@bench.test>" % number
        kept = [one for one in head.split(b"\r\n") if not one.lower().startswith(b"message-id")]
        made = [b"Path: bench!x", b"Newsgroups: " + GROUP, b"Message-ID: " + name, *kept]
        stuffed = body.replace(b"\r\n.", b"\r\n..")
        group.append(
            b"TAKETHIS "
            + name
            + b"\r\n"
            + b"\r\n".join(made)
            + b"\r\n\r\n"
            + stuffed
            + b"\r\n.\r\n"
        )
        if len(group) == AHEAD:
            count += _offered(line, group)
            group = []
    return count + _offered(line, group)


def _offered(line: _Line, group: Sequence[bytes]) -> int:
    sender = threading.Thread(target=line.sock.sendall, args=(b"".join(group),))
    sender.start()
    taken = sum(line.file.readline().startswith(b"239") for _ in group)
    sender.join()
    return taken


def _pull(port: int, count: int) -> int:
    """Reads the whole group, as peers are asked for articles: many ahead."""
    line, got = _Line(port), 0
    assert line.ask(b"GROUP " + GROUP).startswith(b"211")
    for start in range(1, count + 1, AHEAD):
        wanted = range(start, min(count + 1, start + AHEAD))
        line.sock.sendall(b"".join(b"ARTICLE %d\r\n" % number for number in wanted))
        for _ in wanted:
            if line.file.readline().startswith(b"220"):
                got += 1
                while (each := line.file.readline()) != b".\r\n":
                    assert each, "the news server hung up"
    return got
