"""Log lines: one line an event, for people, for programs, or for systemd's journal.

    2026-11-24T17:01:33.123Z info silent peer=4jwAjVzQ reason=refused why="… no connections."
    {"time":"2026-11-24T17:01:33.123Z","level":"info","event":"silent","peer":"4jwAjVzQ",…}
    <6>silent peer=4jwAjVzQ …                       (systemd's journal has clock and level itself)

An event is a word, its facts are named. Whoever logs gives short names (the last characters of
a key or CID), never a body, a subject, a key or a token; bytes are not printed at all.
"""

import json
import logging
import math
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from node.config import Log

LOGGER = "willcall"
NOISY = ("httpx", "httpcore")
"""Libraries that tell every request, with its whole address."""
FLOODING = "trio.serve_listeners"
"""What tells, with a trace, of each connection that could not be accepted."""
SELDOM = 60
"""Seconds between two such lines: enough to be found, too little to fill a disk."""
PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""syslog's, as sd-daemon(3) reads them at the start of a line."""

_log = logging.getLogger(LOGGER)


def note(event: str, /, **facts: object) -> None:
    """Logs what is worth knowing."""
    _log.info(event, extra={"facts": facts})


def warn(event: str, /, **facts: object) -> None:
    """Logs what somebody may have to mend."""
    _log.warning(event, extra={"facts": facts})


def open_log(chosen: Log, *, verbose: bool = False, stream: TextIO | None = None) -> None:
    """Sends everything that is logged to standard error, as `chosen` says; once more: anew.

    Args:
        chosen: format and level.
        verbose: at least `info`, whatever was chosen.
        stream: elsewhere than to standard error.
    """
    level = getattr(logging, chosen.level.upper())
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(Lines(as_json=chosen.format == "json", journal=_is_journal(out)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(min(level, logging.INFO) if verbose else level)
    logging.getLogger(FLOODING).filters[:] = [Seldom()]
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Seldom(logging.Filter):
    """Lets one line a minute through, without its trace, and says how many were left out.

    A node that has no descriptors left fails to accept ten times a second, and a log of that would
    fill the disk while it lasts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last, self._left = -math.inf, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        # A clock that was set back must not silence the log.
        if abs(record.created - self._last) < SELDOM:
            self._left += 1
            return False
        record.exc_info = None
        record.facts = {"left_out": self._left or None}
        self._last, self._left = record.created, 0
        return True


def _is_journal(stream: TextIO) -> bool:
    """Whether what is written there goes to systemd's journal, systemd.exec(5)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # a stream without a file
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class Lines(logging.Formatter):
    """One line a record.

    Args:
        as_json: a JSON object instead of `key=value`.
        journal: for systemd: with a priority before it, without a time.
    """

    def __init__(self, *, as_json: bool, journal: bool) -> None:
        super().__init__()
        self._as_json, self._journal = as_json, journal

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        head = {} if self._journal else {"time": _time(record), "level": record.levelname.lower()}
        facts = head | {"event": record.getMessage()} | _facts(record)
        line = json.dumps(facts) if self._as_json else _words(facts, bare=(*head, "event"))
        return f"<{PRIORITIES.get(record.levelno, 6)}>{line}" if self._journal else line


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def _facts(record: logging.LogRecord) -> dict[str, object]:
    given: Mapping[str, object] = getattr(record, "facts", {})
    made = {key: _plain(value) for key, value in given.items() if value is not None}
    if record.exc_info:
        made["trace"] = logging.Formatter().formatException(record.exc_info)
    return made


def _plain(value: object) -> object:
    """What may be printed. Bytes may not: a key or a body is bytes, and no name is."""
    if isinstance(value, bytes | bytearray | memoryview):
        return "(bytes)"
    return value if isinstance(value, bool | int | float) else str(value)


def _words(facts: Mapping[str, object], bare: tuple[str, ...]) -> str:
    made = []
    for key, value in facts.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if key not in bare and (not text.isprintable() or not text or set(text) & set(' "=')):
            text = json.dumps(text, ensure_ascii=not text.isprintable())
        made.append(text if key in bare else f"{key}={text}")
    # An event is a plain word of ours; a library's may be anything, a line break as well.
    line = " ".join(made)
    return line if line.isprintable() else line.encode("unicode_escape").decode("ascii")
