"""A node that starts by itself: real systemd where it may run, and its own words by hand."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli import units
from cli.units import Chosen
from tests.conftest import CHECKOUT
from tests.e2e.conftest import Make
from tests.e2e.homes import PROGRAM, Home, clean_env, until
from tests.e2e.machines import Machine, machine

# --- a user's systemd ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def login() -> Iterator[tuple[Machine, Home]]:
    """A user's machine with a home in the usual place."""
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        folder = Path(path)
        with machine(folder, system=False) as found:
            home = Home(folder, ".local/share/willcall")
            home.before, home.name = found.enter, "anna"
            home.init()
            yield found, home


def usual(home: Home, *words: str) -> list[str]:
    """A command for the usual home, as a person types it."""
    return [*PROGRAM, *words]


def fact(found: Machine, unit: str, name: str) -> str:
    return found.says("systemctl", "--user", "show", unit, "-p", name, "--value").strip()


def test_a_user_s_service(login: tuple[Machine, Home]) -> None:
    found, home = login
    made = json.loads(found.says(*usual(home, "--json", "service", "install")))
    assert made["unit"] == "willcall.service"
    assert made["started"] is made["changed"] is True
    assert [Path(each).name for each in made["files"]] == ["willcall.service"]
    # Type=notify: systemctl came back because the node had said READY.
    assert home.json("whoami")["name"] == "anna"
    assert fact(found, "willcall", "StatusText") == f"serves {home.listen}"
    assert fact(found, "willcall", "UnitFileState") == "enabled"
    first = fact(found, "willcall", "MainPID")
    # Again: nothing changes, nothing restarts.
    assert json.loads(found.says(*usual(home, "--json", "service", "install")))["changed"] is False
    assert fact(found, "willcall", "MainPID") == first
    # A reload is told and survived; a crash is mended.
    found.says("systemctl", "--user", "reload", "willcall")
    assert home.json("status")["uptime"] >= 0
    found.says("kill", "-KILL", first)
    until(lambda: fact(found, "willcall", "MainPID") not in ("0", first), 30)
    until(lambda: fact(found, "willcall", "ActiveState") == "active", 30)
    # Mail goes through under the unit's restrictions.
    message = home.send("anna", b"to myself\n" * 10_000)
    home.settled(message, "confirmed")


def test_another_socket_another_unit(login: tuple[Machine, Home]) -> None:
    """With --socket systemd holds the port: whoever calls during a restart waits."""
    found, home = login
    made = json.loads(found.says(*usual(home, "--json", "service", "install", "--socket")))
    assert [Path(each).name for each in made["files"]] == ["willcall.service", "willcall.socket"]
    assert made["changed"] is True
    assert fact(found, "willcall.socket", "ActiveState") == "active"
    before = fact(found, "willcall", "MainPID")
    found.says("systemctl", "--user", "stop", "willcall.service")
    # Nobody runs; the call itself starts the node, and is answered.
    ask = f"import urllib.request as u; u.urlopen('http://{home.listen}/.well-known/willcall')"
    found.says(sys.executable, "-c", ask)
    assert fact(found, "willcall", "MainPID") not in ("0", before)


def test_what_somebody_changed_stays(login: tuple[Machine, Home]) -> None:
    found, home = login
    unit = Path(home.path.parents[2]) / ".config/systemd/user/willcall.service"
    mine = unit.read_text().replace("RestartSec=5", "RestartSec=50")
    unit.write_text(mine)
    for words in (("install",), ("remove",)):
        done = found.run(*usual(home, "--json", "service", *words))
        assert done.returncode == 73, done
        said = json.loads(done.stderr)
        assert said["error"] == "unit-changed"
        assert "--force" in said["next"]
    assert unit.read_text() == mine
    found.says(*usual(home, "service", "install", "--force"))
    assert units.is_ours(unit.read_text())
    assert unit.with_name("willcall.service.old").read_text() == mine


def test_a_node_that_was_started_by_hand(login: tuple[Machine, Home]) -> None:
    found, home = login
    found.says("systemctl", "--user", "stop", "willcall.socket", "willcall.service")
    home.start()
    done = found.run(*usual(home, "--json", "service", "install"))
    assert done.returncode == 75, done
    hint = json.loads(done.stderr)["next"].removeprefix("stop it: ").removesuffix(", then again")
    assert hint.startswith("kill $(cat")
    found.says("sh", "-c", hint)
    node, home.node = home.node, None
    assert node
    node.communicate(timeout=20)
    assert node.returncode == 0


def test_remove_takes_away_what_install_made(login: tuple[Machine, Home]) -> None:
    found, home = login
    folder = home.path.parents[2] / ".config/systemd/user"
    found.says(*usual(home, "service", "install", "--socket"))
    kept = {path.name for path in folder.iterdir()} - {"willcall.service", "willcall.socket"}
    made = json.loads(found.says(*usual(home, "--json", "service", "remove")))
    assert len(made["removed"]) == 2
    assert fact(found, "willcall", "LoadState") == "not-found"
    left = {path.name for path in folder.iterdir() if not path.is_dir() or any(path.iterdir())}
    assert left <= kept
    assert not list(folder.rglob("willcall.socket"))
    assert (home.path / "config.toml").exists()
    again = json.loads(found.says(*usual(home, "--json", "service", "remove")))
    assert again["removed"] == []


# --- the machine's ------------------------------------------------------------------------


def test_a_hardened_service_on_a_port_of_root_s() -> None:
    """A node that is not root, and has no right that root has, at port 443."""
    path = Path(tempfile.mkdtemp(prefix="wc-", dir="/srv" if Path("/srv").is_dir() else "/var"))
    try:
        with machine(path, system=True) as found:
            home = Home(path, "mail")
            home.before, home.listen, home.name = found.enter, "127.0.0.1:443", "anna"
            home.init()
            said = home.run("--json", "service", "install", "--system")
            assert said.code == 77, said
            assert "chown" in json.loads(said.err)["next"]
            shutil.chown(path, "nobody", "nogroup")
            for each in (home.path, *home.path.rglob("*")):
                shutil.chown(each, "nobody", "nogroup")
            made = home.json("service", "install", "--system")
            names = [Path(each).name for each in made["files"]]
            assert names == [made["unit"], made["unit"].replace(".service", ".socket")]
            message = home.send("anna", b"to myself\n" * 10_000)
            home.settled(message, "confirmed")
            pid = found.says("systemctl", "show", made["unit"], "-p", "MainPID", "--value").strip()
            status = found.says("cat", f"/proc/{pid}/status")
            facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            assert facts["Uid"].split()[0] != "0"
            assert {facts[name].strip() for name in ("CapEff", "CapBnd", "CapPrm")} == {"0" * 16}
            assert facts["NoNewPrivs"] == "1"
            assert facts["Seccomp"] == "2"
            found.says("systemctl", "reload", made["unit"])
            home.json("service", "remove", "--system")
            assert not found.run("systemctl", "cat", made["unit"]).stdout
    finally:
        shutil.rmtree(path)


# --- texts --------------------------------------------------------------------------------


def chosen(**other: object) -> Chosen:
    words = {"name": "willcall", "program": ("/bin/sh",), "home": Path("/srv/an $odd %home")}
    return Chosen(**(words | other))  # type: ignore[arg-type]


@pytest.mark.parametrize("run_as", [None, ("www-data", "www-data")])
@pytest.mark.parametrize("listen", [None, "127.0.0.1:443", "[::1]:4625"])
def test_units_verify(tmp_path: Path, run_as: tuple[str, str] | None, listen: str | None) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs Debian's systemd")
    for name, text in units.files(chosen(run_as=run_as, listen=listen)).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:/usr/lib/systemd/system"},
    )
    said = [line for line in done.stderr.splitlines() if "willcall" in line]
    assert (done.returncode, said) == (0, []), done


def test_the_system_unit_is_little_exposed(tmp_path: Path) -> None:
    """By systemd's own count of what a service could still do: 0 is nothing, 10 all."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs Debian's systemd")
    file = tmp_path / "willcall.service"
    file.write_text(units.files(chosen(run_as=("nobody", "nogroup")))["willcall.service"])
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    level = re.search(r"exposure level for willcall\.service: ([\d.]+)", done.stdout)
    assert level, done
    assert float(level[1]) < 2.0, done.stdout


def test_a_changed_file_is_noticed() -> None:
    text = units.files(chosen())["willcall.service"]
    assert units.is_ours(text)
    assert '"/srv/an $$odd %%home"' in text
    for other in (text + "\n", text[:-1], text.replace("=5", "=6"), "", "[Unit]\n"):
        assert not units.is_ours(other)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (("/srv/m", "/usr/bin/willcall"), "yes"),
        (("/home/a/m", "/usr/bin/willcall"), "read-only"),
        (("/srv/m", "/root/.venv/bin/willcall"), "read-only"),
    ],
)
def test_a_home_is_hidden_where_nothing_of_ours_is_in_it(paths: tuple[str, str], said: str) -> None:
    made = chosen(home=Path(paths[0]), program=(paths[1],), run_as=("a", "b"))
    assert f"ProtectHome={said}\n" in units.files(made)["willcall.service"]


def test_without_systemd(make: Make) -> None:
    anna = make("anna")
    if Path("/run/systemd/system").is_dir():
        pytest.skip("systemd runs this machine")
    said = anna.run("--json", "service", "install").failure(69)
    assert said["error"] == "no-systemd"
    assert f"--home {anna.path} run" in said["next"]
    assert anna.json("service", "remove")["removed"] == []


def test_without_a_home(folder: Path) -> None:
    assert Home(folder, "none").refuses(78, "service", "install")["next"] == "willcall init"


# --- what systemd says and hears, without it ----------------------------------------------

HAND_OVER = """import os, sys
for place, number in enumerate(map(int, sys.argv[1].split(",")), 3):
    os.dup2(number, place)
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[2]))
os.environ["LISTEN_FDS"] = str(len(sys.argv[1].split(",")))
os.execv(sys.argv[3], sys.argv[3:])
"""


@contextmanager
def handed(
    home: Home, sockets: Sequence[socket.socket], env: dict[str, str] | None = None, *, off: int = 0
) -> "Iterator[subprocess.Popen[str]]":
    """A node with these sockets as descriptors 3, 4, …, for process number own + `off`."""
    # Above all places they are copied to, or one would be written over before its turn.
    high = [os.dup2(each.fileno(), 40 + at) for at, each in enumerate(sockets)]
    words = [sys.executable, "-c", HAND_OVER, ",".join(map(str, high)), str(off)]
    node = subprocess.Popen(
        [*words, *PROGRAM, "--home", str(home.path), "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        cwd=CHECKOUT,
        env=clean_env() | (env or {}),
        pass_fds=high,
        text=True,
    )
    for each in high:
        os.close(each)
    try:
        yield node
    finally:
        node.kill()
        node.communicate()


def asked(at: socket.socket) -> bytes:
    with socket.create_connection(at.getsockname(), timeout=20) as client:
        client.sendall(
            b"GET /.well-known/willcall HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        return client.recv(13)


def test_sockets_are_taken_up(make: Make) -> None:
    """Who called before the node was there is answered; the socket outlives the node."""
    anna = make("anna")
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        for _ in range(2):
            early = socket.create_connection(one.getsockname())
            early.sendall(b"GET /.well-known/willcall HTTP/1.1\r\nHost: x\r\n\r\n")
            with early, handed(anna, [one, two]) as node:
                assert node.stdout
                line = node.stdout.readline()
                where = f"127.0.0.1:{one.getsockname()[1]}"
                assert line.startswith("ready ")
                assert line.split()[2] == where
                early.settimeout(20)
                assert early.recv(13) == b"HTTP/1.1 200 "
                assert asked(two) == b"HTTP/1.1 200 "
                node.send_signal(signal.SIGTERM)
                assert node.wait(15) == 0
                assert node.stderr
                assert "listens-elsewhere" in node.stderr.read()
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_sockets_for_another_process_are_not(make: Make) -> None:
    anna = make("anna")
    with socket.create_server(("127.0.0.1", 0)) as other, handed(anna, [other], off=1) as node:
        assert node.stdout
        assert node.stdout.readline().split()[2] == anna.listen


def test_what_is_no_listening_tcp_socket_is_refused(make: Make) -> None:
    anna = make("anna")
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket() as idle,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
    ):
        for each in (unix, idle, datagrams):
            with handed(anna, [each]) as node:
                _, said = node.communicate(timeout=20)
                assert node.returncode == 78
                assert "ListenStream" in said


def test_what_systemd_is_told(make: Make, folder: Path) -> None:
    anna = make("anna")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(folder / "notify"))
        told.settimeout(20)

        def hear(word: str) -> list[str]:
            """The next message that is not a sign of life; it begins with the word."""
            while (lines := told.recv(4096).decode().split("\n")) == ["WATCHDOG=1"]:
                pass
            assert lines[0] == word, lines
            return lines

        anna.env = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "100000"}
        anna.start()
        assert hear("READY=1")[1] == f"STATUS=serves {anna.listen}"
        while told.recv(4096) != b"WATCHDOG=1":
            pass
        os.kill(anna.pid, signal.SIGHUP)
        name, _, moment = hear("RELOADING=1")[1].partition("=")
        assert name == "MONOTONIC_USEC"
        assert int(moment) > 0
        hear("READY=1")
        (anna.path / "config.toml").write_text("nonsense")
        os.kill(anna.pid, signal.SIGHUP)
        hear("RELOADING=1")
        hear("READY=1")  # it serves, whatever the file says
        assert anna.end().code == 0
        hear("STOPPING=1")


def test_a_supervisor_that_is_gone_ends_nothing(make: Make, folder: Path) -> None:
    anna = make("anna")
    anna.env = {"NOTIFY_SOCKET": str(folder / "nobody")}
    anna.start()
    assert anna.json("whoami")
    done = anna.end()
    assert done.code == 0
    assert "supervisor-silent" in done.err
