"""Log lines: one an event, whatever the facts are."""

import errno
import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from node import journal
from node.config import Log
from node.journal import Lines


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.getLogger(journal.FLOODING).filters.clear()
    root.handlers[:] = handlers
    root.setLevel(level)


def line(event: str, /, *, as_json: bool = False, under: bool = False, **facts: object) -> str:
    record = logging.LogRecord("x", logging.INFO, "", 1, event, None, None)
    record.facts = facts
    record.created = 1_700_000_000.5
    return Lines(as_json=as_json, journal=under).format(record)


TIME = "2023-11-14T22:13:20.500Z"


def test_words() -> None:
    assert line("silent", peer="4jwAjVzQ", tries=3, ok=True) == (
        f"{TIME} info silent peer=4jwAjVzQ tries=3 ok=true"
    )


def test_json() -> None:
    made = line("silent", peer="4jwAjVzQ", tries=3, why='a "word" = é', as_json=True)
    assert json.loads(made) == {
        "time": TIME,
        "level": "info",
        "event": "silent",
        "peer": "4jwAjVzQ",
        "tries": 3,
        "why": 'a "word" = é',
    }


def test_for_systemd() -> None:
    assert line("silent", peer="a", under=True) == "<6>silent peer=a"
    made = line("silent", peer="a", under=True, as_json=True)
    assert made[:3] == "<6>"
    assert json.loads(made[3:]) == {"event": "silent", "peer": "a"}


@pytest.mark.parametrize("level", [10, 20, 30, 40, 50])
def test_every_level_has_a_priority(level: int) -> None:
    record = logging.LogRecord("x", level, "", 1, "e", None, None)
    made = Lines(as_json=False, journal=True).format(record)
    assert re.fullmatch(r"<[2-7]>e", made)


@pytest.mark.parametrize(
    "evil", ["a\nb", "a\r<3>b", 'quote"', "a=b c", "", "\x1b[31m", "\u202eabc", "\ud800", "\u2028"]
)
def test_a_fact_never_makes_a_second_line_or_fact(evil: str) -> None:
    for as_json in (False, True):
        made = line("event", why=evil, as_json=as_json)
        assert made.isprintable(), made
        if as_json:
            assert json.loads(made)["why"] == evil
        else:
            assert json.loads(made.partition(" why=")[2]) == evil
    assert line(f"event {evil}").isprintable()


def test_bytes_are_not_printed() -> None:
    for secret in (b"secret", bytearray(b"secret"), memoryview(b"secret")):
        for as_json in (False, True):
            made = line("e", key=secret, as_json=as_json)
            assert "secret" not in made
            assert "(bytes)" in made


def test_what_is_none_is_left_out() -> None:
    assert line("e", next=None) == f"{TIME} info e"


def test_a_trace_is_one_line() -> None:
    out = io.StringIO()
    journal.open_log(Log(), stream=out)
    try:
        raise ZeroDivisionError("of mine")
    except ZeroDivisionError:
        logging.getLogger("node.x").exception("failed", extra={"facts": {"call": "GET /x"}})
    (said,) = out.getvalue().splitlines()
    assert ' error failed call="GET /x" trace="Traceback' in said
    assert r"\nZeroDivisionError: of mine" in said


@pytest.mark.parametrize(
    ("log", "verbose", "expected"),
    [
        (Log(), False, ["w"]),
        (Log(), True, ["n", "w"]),
        (Log(level="info"), False, ["n", "w"]),
        (Log(level="error"), False, []),
        (Log(level="debug"), True, ["d", "n", "w"]),
    ],
)
def test_levels(log: Log, verbose: bool, expected: list[str]) -> None:
    out = io.StringIO()
    journal.open_log(log, verbose=verbose, stream=out)
    logging.getLogger("node.x").debug("d")
    journal.note("n")
    journal.warn("w")
    logging.getLogger("httpx").info("GET https://secret")
    assert [text.split()[2] for text in out.getvalue().splitlines()] == expected


class Exhausted(trio.abc.Listener[trio.abc.Stream]):
    """Fails as a process does that has no descriptors left."""

    def __init__(self) -> None:
        self.tries = 0

    async def accept(self) -> trio.abc.Stream:
        self.tries += 1
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_connections_that_cannot_be_accepted_do_not_fill_the_log(
    autojump_clock: trio.testing.MockClock,
) -> None:
    out, listener = io.StringIO(), Exhausted()
    journal.open_log(Log(), stream=out)
    with trio.move_on_after(10):
        await trio.serve_listeners(trio.aclose_forcefully, [listener])
    assert listener.tries > 50
    (said,) = out.getvalue().splitlines()
    assert "EMFILE" in said
    assert "trace" not in said


def test_what_is_told_seldom_says_how_much_was_left_out() -> None:
    out = io.StringIO()
    journal.open_log(Log(), stream=out)
    logger = logging.getLogger(journal.FLOODING)
    for created in (1_000, 1_001, 1_059, 1_060, 1_130, 40, 41, 100):
        record = logging.LogRecord("x", logging.ERROR, "", 1, "full", None, None)
        record.created = created
        logger.handle(record)
    said = [text.partition(" error ")[2] for text in out.getvalue().splitlines()]
    assert said == ["full", "full left_out=2", "full", "full", "full left_out=1"]


def test_opening_it_again_does_not_say_things_twice() -> None:
    out = io.StringIO()
    for _ in range(3):
        journal.open_log(Log(format="json"), stream=out)
    journal.warn("once")
    assert out.getvalue().count("\n") == 1


def test_the_journal_is_known_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with (tmp_path / "log").open("w+") as file:
        found = os.fstat(file.fileno())
        for name, head in ((f"{found.st_dev}:{found.st_ino}", "<4>w"), ("1:2", "20")):
            monkeypatch.setenv("JOURNAL_STREAM", name)
            journal.open_log(Log(), stream=file)
            journal.warn("w")
            file.seek(0)
            assert file.read().splitlines()[-1].startswith(head)
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    journal.open_log(Log())
    journal.warn("no file")
    assert out.getvalue().count("\n") == 1
