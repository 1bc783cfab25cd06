"""`config.toml`: every key described, every error told with its line, what a reload may change."""

import re

import msgspec
import pytest

from node import config
from node.config import Config, Network
from node.errors import ConfigBroken
from node.units import MIB


def said(text: str) -> list[str]:
    return [str(each) for each in config.problems(text)]


def test_every_key_says_what_it_means() -> None:
    keys = config.settings()
    assert len({key.path for key in keys}) == len(keys) >= 9
    for key in keys:
        assert 10 < len(key.meaning) < 100, key.path
        assert "\n" not in key.meaning
        assert key.value(Config()) == key.default


def test_what_init_writes_is_the_same_again() -> None:
    made = Config(network=Network(listen="127.0.0.1:9", ports=(80, 81)))
    text = config.print_toml(made)
    assert config.parse(text) == made
    assert config.lines(text)["network.listen"] < config.lines(text)["network.ports"]
    assert "network.origin" not in config.lines(text)


def test_defaults_follow_the_program_and_not_the_file() -> None:
    """What init did not choose is a comment: a later version may choose better."""
    lines = config.print_toml(Config()).splitlines()
    assert [line for line in lines if line and line[0] not in "#["] == ['listen = "127.0.0.1:4625"']
    for key in config.settings():
        assert f"# {key.meaning}" in lines


def test_every_comment_can_be_made_a_setting() -> None:
    text = config.print_toml(Config())
    text = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert config.parse(text) == Config()


def test_all_errors_at_once_with_their_lines() -> None:
    text = (
        "[network]\n"
        'listn = "127.0.0.1:1"\n'
        "listen = 5\n"
        "  ports = [0]\n"
        'trusted_proxies = ["10.0.0.1/8"]\n'
        "\n"
        "[pickup]\n"
        'ask_over = "much" # really\n'
        "[nosuch]\n"
        "[retention]\n"
        'sent = "never"\n'
        "[capacity]\n"
        'message = "2GiB"\n'
        'quota = "1GiB"\n'
    )
    found = said(text)
    assert [int(line.split()[1].rstrip(":")) for line in found] == [2, 3, 4, 5, 8, 9, 11, 13]
    words = ("'listen'", "`int`", "65535", "host bits", "much", "nosuch", "never", "1GiB")
    for line, word in zip(found, words, strict=True):
        assert word in line


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("x", "Expected"),
        ("a = 1\nb = \n", "line 2: "),
        ("network = 5\n", "line 1: network is a section"),
        ('network.listen = "nonsense"\n', "line 1: network.listen: "),
        ('network = { listen = "nonsense" }\n', "network.listen: "),
        ("[network]\nlisten = 'a:1'\n[network]\n", "line 3: "),
        ('[pickup]\nask_over = "10 MB"\n', "line 2: pickup.ask_over: "),
        ('[capacity]\nmessage = "0"\n', "line 2: capacity.message: "),
    ],
)
def test_one_error(text: str, start: str) -> None:
    (found,) = said(text)
    assert found.startswith(start)


def test_the_first_error_names_how_many_more() -> None:
    with pytest.raises(ConfigBroken, match=r"line 2: .*\(and 1 more\)") as caught:
        config.parse("[network]\nlisten = 5\nports = 5\n")
    assert caught.value.next == "willcall config check"


def test_a_reload_keeps_what_needs_a_restart() -> None:
    old = config.parse('[network]\nlisten = "127.0.0.1:1"\n')
    new = config.parse(
        '[network]\nlisten = "127.0.0.1:2"\norigin = "a.example:443"\nports = [99]\n'
        '[pickup]\nask_over = "1MiB"\n'
    )
    made = config.reloaded(old, new)
    assert made.changed == ("network.ports", "pickup.ask_over")
    assert made.waiting == ("network.listen", "network.origin")
    assert made.config.network.listen == made.config.origin == "127.0.0.1:1"
    assert made.config.network.ports == (99,)
    assert made.config.ask_over == MIB
    assert config.reloaded(new, new).config == new
    assert not config.reloaded(new, new).changed


def test_a_section_without_meanings_can_not_be_added() -> None:
    for section in msgspec.structs.fields(Config):
        assert section.type.__doc__, section.name
        for field in msgspec.structs.fields(section.type):
            assert isinstance(field.type.__metadata__[0], msgspec.Meta), field.name
