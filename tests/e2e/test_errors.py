"""Every exit code of the contract, provoked; and every command, called wrongly or without a node.

One row is one provocation. What each must give: its code, nothing on standard output, one line
of JSON (or words and a `next:` line) on standard error. A code without a row fails the last test.
"""

import shlex
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli import helping
from node import errors
from tests.cli.test_helping import EVERY, OPERATORS
from tests.e2e.homes import Done, Home, willcall

Friends = tuple[Home, Home]
UNKNOWN = "bafyreihsshjmo7mb4iasvcz2kn5eie4bp6ddla6uabiob2ncskw2jeoopi"
STRANGER = "did:key:z6MkqecEzDhkveqTkRgAALqjrZDpECqgvxfNQ22xwehXgnTd"

Way = Callable[[Home, Path, str], Done]
"""Provokes an error: a running home with a contact, an empty folder, and `--json` or nothing."""


def told(*words: str, data: bytes = b"") -> Way:
    """A command that is given to a running node."""

    def way(home: Home, folder: Path, form: str) -> Done:
        filled = [word.replace("FOLDER", str(folder)) for word in words]
        return home.run(*filled, *form.split(), data=data)

    return way


def alone(*words: str, data: bytes = b"", config: str | None = None) -> Way:
    """The same in a home of its own, which does not run; with a config.toml, or none."""

    def way(_: Home, folder: Path, form: str) -> Done:
        if config is not None:
            (folder / "config.toml").write_text(config)
        return willcall("--home", str(folder), *words, *form.split(), data=data)

    return way


# --- ways that need preparation -------------------------------------------------------------


def _port_taken(_: Home, folder: Path, form: str) -> Done:
    home = Home(folder, "taken")
    home.init()
    with closing(socket.create_server(("127.0.0.1", home.port))):
        return home.run("run", *form.split())


def _damaged(_: Home, folder: Path, form: str) -> Done:
    home = Home(folder, "damaged")
    home.init()
    (home.path / "db" / "CURRENT").unlink()
    return home.run("run", *form.split())


def _no_folder(home: Home, folder: Path, form: str) -> Done:
    (folder / "file").write_bytes(b"")
    n = _mail(home, b"Content-Disposition: attachment; filename=a\nContent-Type: x/y\n\nx\n")
    return home.run("read", n, "--save", str(folder / "file"), *form.split())


def _mail(home: Home, content: bytes) -> str:
    home.settled(home.send(home.name, content), "confirmed")
    return str(home.json("inbox")[-1]["n"])


def _not_decided(home: Home, folder: Path, form: str) -> Done:
    nobody = f"{STRANGER}@127.0.0.1:1"
    done = home.run("send", "--to", nobody, "-m", "x", "--wait", "0", *form.split())
    return Done(code=done.code, out=b"", err=done.err)  # its document is the contract as well


def _over(home: Home, _: Path, form: str) -> Done:
    message = home.send(home.name, b"Subject: over\n\n")
    home.settled(message, "confirmed")
    return home.run("retract", message, *form.split())


def _quota_full(home: Home, folder: Path, form: str) -> Done:
    name = f"poor{len(home.json('owner', 'list'))}"
    home.json("owner", "add", name, "--quota", "10")
    return home.run("--owner", name, "send", "--to", name, "-m", "x", *form.split())


def _export_exists(home: Home, folder: Path, form: str) -> Done:
    (folder / "there").write_bytes(b"")
    return home.run("export", "--mbox", str(folder / "there"), *form.split())


def _not_text(home: Home, folder: Path, form: str) -> Done:
    (folder / "latin").write_bytes(b"Gr\xfc\xdfe")
    return home.run("send", "--to", "ben", str(folder / "latin"), *form.split())


def _token(home: Home, folder: Path, form: str) -> Done:
    (folder / "config").mkdir()
    env = {"WILLCALL_NODE": f"http://127.0.0.1:{home.local_port}", "WILLCALL_TOKEN": "x" * 30}
    return willcall("inbox", *form.split(), env=env)


def _editor(home: Home, folder: Path, form: str) -> Done:
    drafts = home.path / "drafts"
    drafts.mkdir(exist_ok=True)
    (drafts / "7").write_text("To: ben\n\nwords\n")
    home.env = {"EDITOR": "false"}
    try:
        return home.run("drafts", "edit", "7", *form.split())
    finally:
        home.env = {}
        (drafts / "7").unlink()


def _bug(_: Home, folder: Path, form: str) -> Done:
    (folder / "sitecustomize.py").write_text(
        "import platformdirs\nplatformdirs.user_data_dir = lambda name: 1 / 0\n"
    )
    return willcall("whoami", *form.split(), env={"PYTHONPATH": str(folder)})


WORDS = " ".join(["zoo"] * 24).encode()
BROKEN = '[network]\nlisten = "127.0.0.1:1"\nnosuch = 1\n'

ROWS: list[tuple[int, str, Way]] = [
    (64, "usage", told("nosuch")),
    (64, "usage", told("contact")),
    (64, "usage", told("inbox", "--limit", "-1")),
    (64, "usage", told("send", "--to", "ben")),
    (64, "usage", told("send", "--to", "ben", "-m", "x", "--keep", "401d")),
    (64, "usage", told("read", "1", "--raw", "--save", "x")),
    (64, "usage", told("read", "nonsense!")),
    (64, "usage", told("invite", "--valid", "7")),
    (64, "usage", told("export")),
    (64, "usage", told("--node", "http://127.0.0.1:1", "inbox")),
    (64, "bad-link", told("contact", "add", "nonsense")),
    (64, "usage", told("help", "nosuch")),
    (65, "malformed", told("send", "--to", "ben", "-m", "x", "-s", "two\nlines")),
    (65, "malformed", _not_text),
    (65, "malformed", told("send", "--to", "ben", "--mbox", "-", data=b"no mbox\n")),
    (65, "malformed", told("import", "-", data=b"no mbox\n")),
    (64, "usage", told("owner", "add", "x", "--quota", "lots")),
    (65, "malformed", told("owner", "add", "x", "--recover", data=WORDS)),
    (65, "malformed", alone("init", "--recover", data=WORDS)),
    (66, "absent", told("read", "9999")),
    (66, "absent", told("read", UNKNOWN)),
    (66, "absent", told("status", UNKNOWN)),
    (66, "absent", told("retract", UNKNOWN)),
    (66, "absent", told("log", UNKNOWN)),
    (66, "absent", told("fetch", "9999")),
    (66, "absent", told("delete", "9999")),
    (66, "absent", told("reply", "9999", "-m", "x")),
    (66, "absent", told("forward", "9999", "--to", "ben", "-m", "x")),
    (66, "absent", told("sent", "--before", UNKNOWN)),
    (66, "absent", told("send", "--to", "ben", "FOLDER/nosuch")),
    (66, "absent", told("send", "--to", "ben", "-m", "x", "--attach", "FOLDER/nosuch")),
    (66, "absent", told("import", "FOLDER/nosuch")),
    (66, "absent", told("export", "--mbox", "FOLDER/nosuch/mbox")),
    (66, "absent", told("allow", UNKNOWN)),
    (66, "absent", told("deny", UNKNOWN)),
    (66, "absent", told("drafts", "edit", "99")),
    (66, "absent", told("owner", "token", "anna", "--revoke", "00000000")),
    (67, "no-contact", told("send", "--to", "nobody", "-m", "x")),
    (67, "no-contact", told("contact", "show", "nobody")),
    (67, "no-contact", told("contact", "verify", "nobody")),
    (67, "no-contact", told("contact", "rename", "nobody", "x")),
    (67, "no-contact", told("contact", "block", "nobody")),
    (67, "no-contact", told("contact", "unblock", "nobody")),
    (67, "no-contact", told("contact", "remove", "nobody")),
    (67, "no-contact", told("allow", STRANGER)),
    (67, "no-contact", told("--owner", "nobody", "inbox")),
    (67, "no-contact", told("owner", "token", "nobody")),
    (67, "no-contact", told("owner", "tokens", "nobody")),
    (67, "no-contact", told("owner", "rename", "nobody", "x")),
    (69, "not-running", alone("inbox")),
    (69, "not-running", alone("inbox", config='[network]\nlisten = "127.0.0.1:1"\n')),
    (69, "port-in-use", _port_taken),
    (70, "bug", _bug),
    (73, "exists", lambda home, _, form: home.run("init", *form.split())),
    (73, "exists", told("owner", "add", "anna")),
    (73, "exists", _export_exists),
    (73, "over-quota", _quota_full),
    (74, "damaged", _damaged),
    (74, "store", _no_folder),
    (75, "already-running", told("run")),
    (75, "not-yet", _not_decided),
    (75, "not-yet", _editor),
    (77, "over", _over),
    (77, "bad-token", _token),
    (78, "config", alone("run")),
    (78, "config", alone("config", "show")),
    (78, "config", alone("config", "check", config=BROKEN)),
    (78, "config", alone("run", config=BROKEN)),
]


@pytest.fixture(scope="module")
def anna(friends: Friends) -> Home:
    """A running home whose local API also listens to tokens."""
    home = friends[0]
    home.stop()
    home.local_port = _free(home)
    home.configure(local={"listen": f"127.0.0.1:{home.local_port}"})
    home.start(60.0)
    return home


def _free(home: Home) -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize(("code", "error", "way"), ROWS)
def test_an_error_says_what_to_do(
    anna: Home, folder: Path, code: int, error: str, way: Way
) -> None:
    said = way(anna, folder, "--json").failure(code)
    assert said["error"] == error
    assert said["next"]


@pytest.mark.parametrize(("code", "error", "way"), {row[:2]: row for row in ROWS}.values())
def test_a_person_is_told_as_well(
    anna: Home, folder: Path, code: int, error: str, way: Way
) -> None:
    done = way(anna, folder, "")
    assert (done.code, done.out) == (code, b""), done
    assert "\n  next: " in done.err
    assert done.err.rstrip().splitlines()[-1].startswith("  next: ")
    assert error == "bug" or "Traceback" not in done.err


def test_help_that_is_pointed_to_is_the_command_s_own(anna: Home) -> None:
    done = anna.run("--json", "allow", "did:key:zzz")
    assert "`willcall allow --help`" in done.failure(65)["next"]


def test_every_code_is_provoked() -> None:
    kinds: list[type[errors.WillcallError]] = [errors.WillcallError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    own = {kind.exit_code for kind in kinds if kind.__module__ == "node.errors"}
    assert own == {code for code, _, _ in ROWS} == {64, 65, 66, 67, 69, 70, 73, 74, 75, 77, 78}


def test_ended_from_outside(anna: Home) -> None:
    assert anna.end(signal.SIGTERM).code == 0
    anna.start()


# --- every command --------------------------------------------------------------------------

LEAVES = [" ".join(path) for command, path in EVERY if path and not helping.subcommands(command)]
WITHOUT = {
    "init", "run", "try", "restore", "version", "help", "man", "completion", "logout", "login",
    "config show", "config check", "drafts edit", "drafts send", "drafts delete", "archive add",
    "policy try", "service install", "service remove",
}  # fmt: skip
"""Commands that need no running node, or look at something else first: a draft, a file, a login."""


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_refuses_an_unknown_option(path: str) -> None:
    said = willcall(*path.split(), "--nosuch", "--json").failure(64)
    assert said["next"] == f"willcall {path} --help"


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in WITHOUT])
def test_every_command_says_how_to_start_a_node(folder: Path, path: str) -> None:
    command = next(command for command, words in EVERY if " ".join(words) == path)
    said: list[dict[str, Any]] = []
    for example in helping.parted(command.help)[1]:
        words = shlex.split(OPERATORS.sub("", example))[1:]
        done = willcall("--home", str(folder), *words, "--json")
        if done.code == 69:
            said.append(done.failure(69))
    assert said, "none of its examples came as far as the node"
    assert said[0]["error"] == "not-running"
    assert said[0]["next"].startswith(f"willcall --home {folder} init")
