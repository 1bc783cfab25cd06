"""Nodes behind a proxy: the snippets of docs/operations.md in real nginx and Caddy.

Two machines with addresses as on the internet. Anna's node speaks plain HTTP behind the proxy,
ben's has a certificate of its own.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli import reasons
from tests.docs import pages
from tests.e2e.homes import Home, ended, meet, until
from tests.e2e.nets import Net, net
from tests.server.certificates import Authority

PAGE = (pages.DOCS / "operations.md").read_text(encoding="utf-8")
NAME, IN_PAGE = "anna.example", "mail.example.org"
ANNA, BEN, SPOOFED = "11.22.33.1", "11.22.33.2", "44.55.66.77"


def snippet(kind: str) -> str:
    """The block of the page's section, as it stands there."""
    section = PAGE.split("\n## Behind a proxy\n")[1].split("\n## ")[0]
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert kind == "toml" or IN_PAGE in found
    return str(found).replace(IN_PAGE, NAME)


@dataclass(frozen=True)
class Proxy:
    """A proxy's program; `file` turns the page's snippet into what it reads."""

    program: str
    kind: str
    words: tuple[str, ...]
    file: Callable[[str, Path, Path, Path], str]
    says: str = "X-Forwarded-For"


def _nginx(text: str, folder: Path, certificate: Path, key: Path) -> str:
    """The page's server, with our files, inside the least that nginx wants around it."""
    text = text.replace(f"/etc/ssl/private/{NAME}.pem", str(certificate))
    text = text.replace(f"/etc/ssl/private/{NAME}.key", str(key))
    paths = "".join(
        f"{word}_temp_path {folder}/{word};\n"
        for word in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off;\nuser root;\npid {folder}/pid;\nerror_log {folder}/errors;\nevents {{}}\n"
    return f"{head}http {{\naccess_log off;\n{paths}{text}}}\n"


def _standard(text: str, folder: Path, certificate: Path, key: Path) -> str:
    """The same server, naming who calls in RFC 7239's field instead."""
    ours, other = "X-Forwarded-For $remote_addr;", 'Forwarded "";'
    assert ours in text
    assert other in text
    text = text.replace(ours, 'X-Forwarded-For "";').replace(other, "Forwarded for=$remote_addr;")
    return _nginx(text, folder, certificate, key)


def _caddy(text: str, folder: Path, certificate: Path, key: Path) -> str:
    """The page's site, with our certificate instead of one from the outside."""
    head = f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system {folder}\n}}\n"
    return head + text.replace(f"{NAME} {{\n", f"{NAME} {{\n\ttls {certificate} {key}\n", 1)


PROXIES = (
    Proxy("nginx", "nginx", ("-e", "/dev/stderr", "-c"), _nginx),
    Proxy("nginx", "nginx", ("-e", "/dev/stderr", "-c"), _standard, says="Forwarded"),
    Proxy("caddy", "caddy", ("run", "--adapter", "caddyfile", "--config"), _caddy),
)


@contextmanager
def running(proxy: Proxy, where: Net, folder: Path, authority: Authority) -> Iterator[None]:
    """The proxy in that network, with a certificate for anna's name."""
    program = shutil.which(proxy.program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if program is None:
        pytest.skip(f"needs Debian's {proxy.program}")
    issued = authority.issue(NAME)
    file = folder / f"{proxy.program}.conf"
    text = proxy.file(snippet(proxy.kind), folder, issued.certificate, issued.key)
    file.write_text(text)
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [*where.enter, program, *proxy.words, str(file)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            env=home | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        try:
            until(lambda: _listens(where) or _ended(process, folder / "said"))
            yield
        finally:
            process.terminate()
            process.wait(15)


def _ended(process: "subprocess.Popen[bytes]", said: Path) -> bool:
    assert process.poll() is None, said.read_text()
    return False


def _listens(where: Net) -> bool:
    ask = "import socket; socket.create_connection(('127.0.0.1', 443), 5)"
    words = [*where.enter, sys.executable, "-c", ask]
    return subprocess.run(words, capture_output=True, check=False, timeout=20).returncode == 0


ASK = """import sys, urllib.request as u
fields = {"X-Forwarded-For": sys.argv[2], "Forwarded": "for=" + sys.argv[2]}
fields = {name: fields[name] for name in sys.argv[3:]}
asked = u.Request(sys.argv[1] + "/.well-known/willcall", headers=fields)
print(u.urlopen(asked, timeout=20).status)
"""


def asks(where: Net, url: str, env: dict[str, str], *fields: str) -> None:
    """Somebody there who says to speak for another address."""
    words = ["env", *(f"{k}={v}" for k, v in env.items()), sys.executable, "-c", ASK]
    done = subprocess.run(
        [*where.enter, *words, url, SPOOFED, *fields],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == "200\n", done


@pytest.mark.parametrize("proxy", PROXIES, ids=lambda proxy: f"{proxy.program}, {proxy.says}")
def test_mail_through_a_proxy(proxy: Proxy) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="wc-") as path,
        net() as here,
        net(here) as there,
    ):
        folder = Path(path)
        here.beside(there)
        here.address(f"{ANNA}/24", on="wire")
        there.address(f"{BEN}/24", on="wire")
        for each in (here, there):
            each.hosts(folder, anna_example=ANNA)
        authority = Authority(folder / "authority")
        anna, ben = Home(folder, "anna"), Home(folder, "ben")
        for home, where, at in ((anna, here, "0.0.0.0"), (ben, there, BEN)):
            home.before, home.listen = where.enter, f"{at}:4625"
            home.env = {"SSL_CERT_FILE": str(authority.file)}
        anna.init("--origin", f"{NAME}:443")
        ben.init()
        (anna.path / "config.toml").write_text(snippet("toml"))
        # As on the page, but open to all: what others claim must not be believed there either.
        anna.configure(network={"listen": "0.0.0.0:4625"}, log={"level": "debug"})
        with ended([anna, ben]), running(proxy, here, folder, authority):
            anna.start()
            ben.start()
            meet(anna, ben)
            large = bytes(range(256)) * 12_000
            for sender, to, content in ((anna, "ben", b"x\n"), (ben, "anna", b"y\n")):
                sender.settled(sender.send(to, content), "confirmed", 40)
            anna.settled(anna.send("ben", large), "confirmed", 60)
            ben.settled(ben.send("anna", large), "confirmed", 60)
            assert anna.raw(anna.local().get("inbox")[-1]["n"]) == large
            one, other = "X-Forwarded-For", "Forwarded"
            for fields in ((), (one,), (other,), (one, other)):
                asks(there, f"https://{NAME}", ben.env, *fields)
                asks(there, f"http://{ANNA}:4625", {}, *fields)
            lines = anna.end().err.splitlines()
            # The proxy goes on, and says so itself.
            message = ben.send("anna", b"is anybody in?\n")
            until(lambda: _reason(ben, message) == "status-502", 40)
            assert reasons.SAID_NO["status-502"] in ben.says("status", message)
        sources = [re.search(r" source=(\S+)", line) for line in lines if " request " in line]
        assert len(sources) > 16
        assert {found[1] for found in sources if found} == {BEN}


def _reason(home: Home, message: str) -> str | None:
    reason: str | None = home.local().get("message", message)["deliveries"][0]["reason"]
    return reason


def test_the_page_s_settings_are_settings() -> None:
    from node import config as configs

    made = configs.parse(snippet("toml"))
    assert made.tls.by == "proxy"
    assert [str(each) for each in made.proxies] == ["127.0.0.1/32"]


def test_nobody_listens_there_yet() -> None:
    """What the tests wait for can be false."""
    with net() as alone:
        assert not _listens(alone)
