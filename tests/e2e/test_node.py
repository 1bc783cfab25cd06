"""`init` and `run`: homes, starts, stops, and what can be wrong with a home."""

import re
import shutil
import signal
import socket
import stat
import tempfile
import time
from pathlib import Path

import pytest

from node import homes
from node.errors import Refused
from tests.e2e.conftest import Make
from tests.e2e.homes import Done, Home, ended, until, willcall


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- init -------------------------------------------------------------------------------


def test_init_says_everything_once(folder: Path) -> None:
    home = Home(folder, "anna")
    made = home.init()
    assert list(made) == [
        "name", "did", "address", "origin", "listen", "home", "recovery_phrase",
    ]  # fmt: skip
    assert made["name"] == "anna"
    assert made["listen"] == made["origin"] == f"127.0.0.1:{home.port}"
    assert made["address"] == f"{made['did']}@{made['origin']}"
    assert made["home"] == str(home.path)
    assert len(made["recovery_phrase"].split()) == 24
    assert mode(home.path) == 0o700
    files = [path for path in home.path.rglob("*") if path.is_file()]
    assert {mode(path) for path in files} == {0o600}, files
    words = made["recovery_phrase"].encode()
    assert not any(words in path.read_bytes() for path in files)


def test_init_in_words(folder: Path) -> None:
    home = Home(folder, "anna")
    said = home.says("init", "--name", "anna", "--listen", f"127.0.0.1:{home.port}")
    assert said.startswith("did:key:z6Mk")
    assert "recovery phrase" in said
    assert len(said.splitlines()[-1].split()) == 6


def test_a_second_init_changes_nothing(make: Make) -> None:
    anna = make("anna")
    before = anna.fingerprint()
    said = anna.refuses(73, "init", "--name", "other")
    assert said["error"] == "exists"
    assert "willcall run" in said["next"]
    anna.start()
    anna.stop()
    assert anna.refuses(73, "init")
    before = anna.fingerprint()
    assert anna.refuses(73, "init")
    assert anna.fingerprint() == before


def test_init_takes_the_next_free_port(folder: Path) -> None:
    with socket.socket() as taken:
        # As servers do: connections of the past don't hold the port.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 4625))
            taken.listen()
        except OSError:
            pass  # somebody else has it: as good
        made = willcall("--json", "--home", str(folder / "a"), "init").document()
        port = int(made["listen"].rpartition(":")[2])
        assert 4625 < port < 4725


def test_homes_beside_each_other_get_different_ports(folder: Path) -> None:
    """Though none of them runs when the next is made."""
    (folder / "no home").mkdir()
    (folder / "no home" / "config.toml").write_bytes(b"\xff nonsense")
    ports = []
    for name in "abc":
        made = willcall("--json", "--home", str(folder / name), "init").document()
        ports.append(int(made["listen"].rpartition(":")[2]))
    assert sorted(set(ports)) == ports


def test_a_home_elsewhere_leaves_the_usual_home_its_port(folder: Path) -> None:
    env = {"HOME": str(folder)}
    usual = willcall("--json", "init", env=env).document()
    (folder / "far").mkdir()
    other = willcall("--json", "--home", str(folder / "far" / "b"), "init", env=env).document()
    assert usual["listen"] != other["listen"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--listen", "nonsense"), 78),
        (("--listen", "127.0.0.1"), 78),
        (("--listen", "127.0.0.1:99999"), 78),
        (("--origin", "no host:1"), 78),
        (("--name", "a/b"), 64),
        (("--name", "x" * 65), 64),
    ],
)
def test_init_refuses_what_can_not_be(folder: Path, words: tuple[str, str], code: int) -> None:
    home = folder / "anna"
    assert willcall("--json", "--home", str(home), "init", *words).failure(code)["detail"]
    assert not home.exists()


def test_a_path_too_long_for_a_socket(folder: Path) -> None:
    home = folder / ("x" * 100)
    for words in (("init",), ("run",)):
        said = willcall("--json", "--home", str(home), *words).failure(78)
        assert "--home" in said["next"]
    assert not home.exists()


# --- run --------------------------------------------------------------------------------


def test_ready_line(make: Make) -> None:
    anna = make("anna")
    line = anna.start()
    did, at = anna.json("whoami")["did"], f"127.0.0.1:{anna.port}"
    assert line == f"ready {did} {at} {at}"
    assert mode(anna.path / "socket") == 0o600
    assert {mode(path) for path in anna.path.rglob("*") if path.is_file()} == {0o600}
    anna.stop()
    assert not (anna.path / "socket").exists()


def test_sigterm_with_idle_connections(make: Make) -> None:
    anna = make("anna")
    anna.start()
    idle = [socket.create_connection(("127.0.0.1", anna.port)) for _ in range(5)]
    half = socket.create_connection(("127.0.0.1", anna.port))
    half.sendall(b"GET /.well-known/willcall HT")
    watching = socket.socket(socket.AF_UNIX)
    watching.connect(str(anna.path / "socket"))
    watching.sendall(b"GET /inbox?watch=1&after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: anna.json("status"))
    began = time.monotonic()
    done = anna.end()
    assert time.monotonic() - began < 10
    assert (done.code, done.out, done.err) == (0, b"", "")
    # Who watches is answered: nothing came.
    answer = watching.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"[]")
    for each in (*idle, half, watching):
        each.close()


def test_ctrl_c(make: Make) -> None:
    anna = make("anna")
    anna.start()
    assert anna.end(signal.SIGINT).code == 0


def test_a_second_run_names_the_first(make: Make) -> None:
    anna = make("anna")
    anna.start()
    said = anna.refuses(75, "run")
    assert said["error"] == "already-running"
    assert str(anna.pid) in said["detail"]
    assert anna.json("whoami")["name"] == "anna"
    anna.stop()


def test_a_stale_socket_is_replaced(make: Make) -> None:
    anna = make("anna")
    anna.start()
    anna.kill()
    assert (anna.path / "socket").exists()
    assert anna.refuses(69, "whoami")["next"] == "willcall run"
    anna.start()
    assert anna.json("whoami")["name"] == "anna"
    anna.stop()


def test_a_port_in_use(make: Make) -> None:
    anna = make("anna")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", anna.port))
        taken.listen()
        said = anna.refuses(69, "run")
    assert said["error"] == "port-in-use"
    assert str(anna.port) in said["detail"]
    # What it says to do helps.
    assert str(anna.path / "config.toml") in said["next"]
    anna.configure(network={"listen": said["next"].split('"')[1]})
    anna.start()
    anna.stop()


def test_two_homes_made_before_either_runs(folder: Path) -> None:
    ports = set()
    for name in ("anna", "ben", "cleo"):
        made = willcall("--json", "--home", str(folder / name), "init").document()
        ports.add(made["listen"])
        again = willcall("--json", "--home", str(folder / name), "init").failure(73)
        assert again["error"] == "exists"
    assert len(ports) == 3


def test_init_on_an_address_nobody_can_have(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for listen, code in (
            (f"127.0.0.1:{taken.getsockname()[1]}", 69),
            ("192.0.2.1:4625", 78),
        ):
            home = folder / "anna"
            words = ("--json", "--home", str(home), "init", "--listen", listen)
            said = willcall(*words).failure(code)
            assert listen in said["detail"]
            assert said["next"]
            assert not home.exists()


def test_no_home(folder: Path) -> None:
    said = willcall("--json", "--home", str(folder / "none"), "run").failure(78)
    assert said["next"] == f"willcall --home {folder / 'none'} init"
    assert not (folder / "none").exists()


def test_a_home_without_its_configuration(make: Make) -> None:
    """`run` says so, and does not send its owner to `init`, which refuses."""
    anna = make("anna")
    (anna.path / "config.toml").unlink()
    said = anna.refuses(78, "run")
    assert str(anna.path / "config.toml") in said["detail"]
    assert "backup" in said["next"]
    anna.refuses(73, "init")
    (anna.path / "config.toml").touch()
    assert anna.json("config", "check")


def test_a_home_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", forbidden)
    with pytest.raises(Refused, match="may not be read"):
        homes.Home(folder / "anna").check()


DIARY = ("lock", "LOG", "LOG.old")

# --- broken homes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was used and stopped: to be copied and broken."""
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        anna = Home(Path(path), "anna")
        with ended([anna]):
            anna.init()
            anna.start()
            anna.json("send", "--to", "anna", "-m", "to myself", "--wait", "10")
            anna.stop()
        kept = tmp_path_factory.mktemp("model") / "anna"
        shutil.copytree(anna.path, kept)
        return kept


def broken(model: Path, folder: Path) -> Home:
    home = Home(folder, "anna")
    shutil.copytree(model, home.path)
    return home


def refuses_to_run(home: Home, code: int) -> Done:
    """Nothing changes but who tried last (`lock`) and the engine's own diary."""
    before = home.fingerprint(but=DIARY)
    done = home.run("run")
    assert (done.code, done.out) == (code, b"")
    assert "Traceback" not in done.err, done.err
    assert home.fingerprint(but=DIARY) == before
    return done


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("this is not TOML", "config.toml"),
        ("[network]\nlisten = 5\n", "listen"),
        ('[network]\nlisten = "nonsense"\n', "listen"),
        ('[network]\nlistn = "127.0.0.1:1"\n', "listn"),
        ("[nosuch]\n", "nosuch"),
        ('[pickup]\nask_over = "much"\n', "much"),
        ('[retention]\nsent = "never"\n', "retention.sent"),
        ('[capacity]\nmessage = "2GiB"\n', "capacity.message"),
        ("\x00", "config.toml"),
    ],
)
def test_a_config_that_can_not_be_used(model: Path, folder: Path, text: str, says: str) -> None:
    home = broken(model, folder)
    (home.path / "config.toml").write_text(text)
    assert says in refuses_to_run(home, 78).err


def test_a_config_that_is_not_text(model: Path, folder: Path) -> None:
    home = broken(model, folder)
    (home.path / "config.toml").write_bytes(b"\xff\xfe")
    assert "config.toml" in refuses_to_run(home, 78).err


def test_no_store(model: Path, folder: Path) -> None:
    home = broken(model, folder)
    shutil.rmtree(home.path / "db")
    said = refuses_to_run(home, 74)
    assert "db" in said.err
    assert not (home.path / "db").exists()


def test_an_empty_store(model: Path, folder: Path) -> None:
    home = broken(model, folder)
    shutil.rmtree(home.path / "db")
    (home.path / "db").mkdir()
    refuses_to_run(home, 74)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST"])
def test_garbage_in_the_store(model: Path, folder: Path, name: str) -> None:
    home = broken(model, folder)
    for path in (home.path / "db").glob(f"{name}*"):
        path.write_bytes(b"garbage" * 100)
    refuses_to_run(home, 74)


def test_the_store_is_a_file(model: Path, folder: Path) -> None:
    home = broken(model, folder)
    shutil.rmtree(home.path / "db")
    (home.path / "db").write_bytes(b"no folder")
    refuses_to_run(home, 74)


def test_the_model_itself_runs(model: Path, folder: Path) -> None:
    home = broken(model, folder)
    home.port = int(re.findall(r':(\d+)"', (home.path / "config.toml").read_text())[0])
    with ended([home]):
        home.start()
        assert len(home.json("inbox")) == 1
        home.stop()
