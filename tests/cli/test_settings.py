"""`config show | check`, on homes without a node."""

from pathlib import Path

import pytest

from node import config
from tests.e2e.homes import willcall


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text('[network]\n\nlisten = "127.0.0.1:7"\nports = [80, 81]\n')
    return tmp_path


def test_show_says_where_each_value_came_from(home: Path) -> None:
    rows = willcall("--home", str(home), "config", "show", "--json").document()
    assert [row["key"] for row in rows] == ["home", *(key.path for key in config.settings())]
    assert all(
        list(row) == ["key", "value", "default", "meaning", "source", "restart"] for row in rows
    )
    by = {row["key"]: row for row in rows}
    assert by["home"]["value"] == str(home)
    assert by["home"]["source"] == "option --home"
    assert by["network.listen"]["value"] == "127.0.0.1:7"
    assert by["network.listen"]["source"] == "config.toml line 3"
    assert by["network.listen"]["restart"] is True
    assert by["network.ports"]["value"] == [80, 81]
    assert by["network.ports"]["source"] == "config.toml line 4"
    assert by["network.origin"]["value"] is None
    assert by["pickup.ask_over"] == {
        "key": "pickup.ask_over",
        "value": "10MiB",
        "default": "10MiB",
        "meaning": next(key.meaning for key in config.settings() if key.path == "pickup.ask_over"),
        "source": "default",
        "restart": False,
    }


def test_show_in_words(home: Path) -> None:
    done = willcall("config", "show", env={"WILLCALL_HOME": str(home)})
    assert (done.code, done.err) == (0, "")
    lines = done.out.decode().splitlines()
    assert "WILLCALL_HOME" in lines[1]
    for key in config.settings():
        (line,) = [line for line in lines if line.startswith(f"{key.path} ")]
        assert line.endswith(key.meaning)
        assert config.show(key.default) in line


def test_check_of_a_good_file(home: Path) -> None:
    done = willcall("--home", str(home), "config", "check")
    assert (done.code, done.err) == (0, "")
    assert "network.listen, network.origin" in done.out.decode()
    made = willcall("--home", str(home), "--json", "config", "check").document()
    assert made["file"] == str(home / "config.toml")
    assert made["restart"][:2] == ["network.listen", "network.origin"]


def test_check_tells_all_errors(home: Path) -> None:
    (home / "config.toml").write_text('[network]\nlisten = 5\n[pickup]\nask_over = "much"\n')
    done = willcall("--home", str(home), "config", "check")
    assert (done.code, done.out) == (78, b"")
    assert "2 problems" in done.err
    assert "\n  line 2: network.listen" in done.err
    assert "\n  line 4: pickup.ask_over" in done.err
    said = willcall("--home", str(home), "--json", "config", "check").failure(78)
    assert said["error"] == "config"
    assert "line 4" in said["detail"]
    assert (
        "line 2" in willcall("--home", str(home), "--json", "config", "show").failure(78)["detail"]
    )


@pytest.mark.parametrize("word", ["show", "check"])
def test_no_home_and_no_text(tmp_path: Path, word: str) -> None:
    said = willcall("--home", str(tmp_path / "none"), "--json", "config", word).failure(78)
    assert said["next"] == f"willcall --home {tmp_path / 'none'} init"
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    said = willcall("--home", str(tmp_path), "--json", "config", word).failure(78)
    assert "config.toml" in said["detail"]


@pytest.mark.parametrize("words", ["config show", "config check", "run"])
def test_a_file_that_cannot_be_read(home: Path, words: str) -> None:
    file = home / "config.toml"
    file.write_bytes(b"# gut\n# Gr\xfc\xdfe\n")
    said = willcall("--home", str(home), "--json", *words.split()).failure(78)
    assert said["detail"] == f"{file}: line 2 is not text in UTF-8"
    assert said["next"] == "save the file as UTF-8"


@pytest.mark.parametrize("words", ["config show", "config check"])
def test_a_file_that_is_none(home: Path, words: str) -> None:
    file = home / "config.toml"
    file.unlink()
    file.mkdir()
    said = willcall("--home", str(home), "--json", *words.split()).failure(78)
    assert said["detail"] == f"{file} can't be read: Is a directory"
    assert said["next"] == f"ls -ld {file}"
