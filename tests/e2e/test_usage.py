"""Exit codes, global options, and what is said when a command can't do its work."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Make
from tests.e2e.homes import Home, willcall

Friends = tuple[Home, Home]
UNKNOWN = "bafyreihsshjmo7mb4iasvcz2kn5eie4bp6ddla6uabiob2ncskw2jeoopi"
STRANGER = "did:key:z6MkqecEzDhkveqTkRgAALqjrZDpECqgvxfNQ22xwehXgnTd"


@pytest.mark.parametrize(
    "words",
    [
        ("nosuch",),
        ("contact",),
        ("contact", "add"),
        ("inbox", "--limit", "x"),
        ("inbox", "--limit", "-1"),
        ("inbox", "--nosuch"),
        ("send", "--to", "ben"),
        ("send", "-m", "x"),
        ("send", "--to", ",", "-m", "x"),
        ("send", "--to", "ben", "-m", "x", "--raw", "-"),
        ("send", "--to", "ben", "--raw", "-", "-s", "x"),
        ("send", "--to", "ben", "-m", "x", "--keep", "0d"),
        ("send", "--to", "ben", "-m", "x", "--keep", "forever"),
        ("send", "--to", "ben", "-m", "x", "--keep", "401d"),
        ("invite", "--valid", "7"),
        ("delete",),
        ("read",),
        ("read", "1", "--raw", "--save", "x"),
    ],
)
def test_wrong_usage(friends: Friends, words: tuple[str, ...]) -> None:
    said = friends[0].refuses(64, *words)
    assert said["error"] == "usage"
    assert said["next"]


def test_no_command_shows_the_help() -> None:
    done = willcall()
    assert (done.code, done.out) == (64, b"")
    assert "Usage: willcall" in done.err
    done = willcall("--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(b"Usage: willcall")


def test_bad_input(friends: Friends, tmp_path: Path) -> None:
    anna, ben = friends
    before = anna.json("sent"), anna.json("quota")
    (tmp_path / "latin").write_bytes(b"Gr\xfc\xdfe")
    (tmp_path / "no.mbox").write_bytes(b"Subject: no mbox\n\ntext\n")
    assert anna.refuses(65, "send", "--to", "ben", str(tmp_path / "latin"))["next"]
    assert anna.refuses(65, "send", "--to", "ben", "--mbox", str(tmp_path / "no.mbox"))["next"]
    assert anna.refuses(65, "send", "--to", "ben", "-m", "x", "-s", "two\nlines")
    assert (anna.json("sent"), anna.json("quota")) == before
    assert all(row["subject"] != "no mbox" for row in ben.json("inbox"))


def test_no_such_message_or_file(friends: Friends, tmp_path: Path) -> None:
    anna, _ = friends
    nowhere = str(tmp_path / "nowhere")
    for words in (
        ("read", "99"),
        ("read", UNKNOWN),
        ("read", UNKNOWN[-8:], "--raw"),
        ("fetch", "99"),
        ("delete", "99"),
        ("status", UNKNOWN),
        ("retract", UNKNOWN[-9:]),
        ("sent", "--before", UNKNOWN),
        ("allow", UNKNOWN),
        ("deny", UNKNOWN),
        ("reply", "99", "-m", "x"),
        ("forward", "99", "--to", "ben"),
        ("send", "--to", "ben", nowhere),
        ("send", "--to", "ben", "--raw", nowhere),
        ("send", "--to", "ben", "--raw", str(tmp_path)),
        ("send", "--to", "ben", "--mbox", nowhere),
        ("send", "--to", "ben", "-m", "x", "--attach", nowhere),
    ):
        assert anna.refuses(66, *words)["error"] == "absent", words


def test_no_such_contact_or_owner(friends: Friends) -> None:
    anna, _ = friends
    before = anna.json("sent"), anna.json("quota")
    for words in (
        ("send", "--to", "ben,nobody", "-m", "x"),
        ("send", "--to", "nobody", "--raw", "-"),
        ("send", "--to", STRANGER, "-m", "x"),
        ("send", "--to", "nobody@example.org", "-m", "x"),
        ("contact", "show", "nobody"),
        ("contact", "rename", "nobody", "x"),
        ("contact", "block", "nobody"),
        ("contact", "remove", "nobody"),
        ("allow", STRANGER),
        ("--owner", "nobody", "inbox"),
        ("owner", "token", "nobody"),
    ):
        said = anna.refuses(67, *words)
        assert said["error"] == "no-contact", words
        assert said["next"], words
    assert (anna.json("sent"), anna.json("quota")) == before


def test_retracting_again_says_the_same_and_what_is_confirmed_stays(friends: Friends) -> None:
    anna, _ = friends
    nobody = f"{STRANGER}@127.0.0.1:1"
    message = anna.send(nobody, b"Subject: over\n\n")
    said = anna.json("retract", message)
    assert [row["state"] for row in said["deliveries"]] == ["retracted"]
    assert anna.json("retract", message) == said == anna.json("status", message)
    message = anna.send("ben", b"Subject: over\n\n")
    anna.settled(message, "confirmed")
    assert anna.refuses(77, "retract", message)["error"] == "over"


def test_global_options_before_and_after(friends: Friends) -> None:
    anna, ben = friends
    expected = anna.json("contact", "show", "ben")
    home = str(anna.path)
    for words in (
        ("--home", home, "--json", "contact", "show", "ben"),
        ("contact", "--home", home, "show", "--json", "ben"),
        ("contact", "show", "ben", f"--home={home}", "--json", "--owner", "anna"),
        ("--json", "contact", "show", "ben", "--owner=anna", "--home", home),
    ):
        assert willcall(*words, env={"WILLCALL_HOME": str(ben.path)}).document() == expected


def test_an_option_that_looks_like_a_global_one_is_text(friends: Friends) -> None:
    anna, ben = friends
    done = anna.run("send", "--to", "ben", "-m", "--json", "-s", "--home", "--wait", "10")
    assert done.code == 0
    assert not done.out.startswith(b"{")
    row = ben.json("inbox")[-1]
    assert row["subject"] == "--home"
    assert ben.json("read", str(row["n"]))["text"].strip() == "--json"


def test_which_home_is_meant(make: Make, folder: Path) -> None:
    anna = make("anna")
    xdg = folder / "xdg"
    env = {"XDG_DATA_HOME": str(xdg)}
    made = willcall("init", "--json", "--listen", f"127.0.0.1:{anna.port}", env=env).document()
    assert made["home"] == str(xdg / "willcall")
    env["WILLCALL_HOME"] = str(folder / "other")
    said = willcall("whoami", "--json", env=env).failure(69)
    assert env["WILLCALL_HOME"] in said["detail"]
    assert "willcall init" in said["next"]
    said = willcall("whoami", "--json", "--home", str(anna.path), env=env).failure(69)
    assert str(anna.path) in said["detail"]
    assert said["next"] == f"willcall --home {anna.path} run"


@pytest.mark.parametrize(
    "words",
    [
        ("whoami",),
        ("status",),
        ("inbox",),
        ("inbox", "--watch"),
        ("sent",),
        ("send", "--to", "ben", "-m", "x"),
        ("send", "--to", "ben", "--raw", "-"),
        ("contact", "list"),
        ("owner", "list"),
        ("read", "1"),
    ],
)
def test_without_a_node(folder: Path, words: tuple[str, ...]) -> None:
    done = willcall("--home", str(folder), *words)
    assert (done.code, done.out) == (69, b"")
    assert f"next: willcall --home {folder} init" in done.err
    assert "Traceback" not in done.err
    said = willcall("--json", "--home", str(folder), *words).failure(69)
    assert said["error"] == "not-running"
