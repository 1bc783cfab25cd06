"""What people see: short lines, plain tables, hints on a terminal."""

import contextlib
import itertools
import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cli import reasons, streams
from cli.state import STATE

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
LARGE = 8 * 1024 * 1024
"""Bytes from which an upload may take long enough to be watched."""


def document(value: Any) -> None:
    """Exactly one JSON document on standard output."""
    plain = streams.plain(sys.stdout)
    sys.stdout.write(json.dumps(value, ensure_ascii=plain, indent=None) + "\n")


def line(text: str = "") -> None:
    """One line on standard output."""
    sys.stdout.write(safe(text) + "\n")


def hint(text: str) -> None:
    """What to do next: on standard error, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"  next: {STATE.pasted(text)}\n")


def note(text: str) -> None:
    """A remark on standard error."""
    sys.stderr.write(text + "\n")


@contextlib.contextmanager
def patience(text: str) -> Iterator[None]:
    """Says what is waited for, once a second has passed: on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    import threading

    timer = threading.Timer(1.0, note, (f"  {text} …",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def counting(text: Callable[[], str]) -> Iterator[None]:
    """Says every second how far it is, on one line: on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    import threading

    over, told = threading.Event(), threading.Event()

    def tell() -> None:
        while not over.wait(1.0):
            told.set()
            sys.stderr.write(f"\r  {text()}")
            sys.stderr.flush()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        if told.is_set():
            sys.stderr.write("\n")


def progress(total: int) -> Callable[[int], None] | None:
    """Counts a large upload on one line of standard error, on a terminal only."""
    if total < LARGE or not sys.stderr.isatty():
        return None
    shown = -1

    def told(done: int) -> None:
        nonlocal shown
        percent = done * 100 // total
        if percent != shown:
            shown = percent
            end = "\n" if done >= total else ""
            sys.stderr.write(f"\r  {size(done)} of {size(total)}, {percent} %{end}")
            sys.stderr.flush()

    return told


def safe(text: str) -> str:
    """Text that can't drive a terminal, whatever a peer put into a name or subject."""
    return "".join(char if char.isprintable() or char == "\t" else "�" for char in text)


def size(count: int) -> str:
    """`4.0 KiB`."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def many(count: int, one: str, more: str = "") -> str:
    """`1 message`, `2 messages`; `more` where an s does not make it."""
    return f"{count} {one if count == 1 else more or one + 's'}"


def when(text: str | None) -> str:
    """`2026-11-23 10:02`, from RFC 3339."""
    return "" if text is None else text[:16].replace("T", " ")


def tail(cid: str | None) -> str:
    """The last characters of a CID, which name it."""
    return "" if cid is None else cid[-8:]


def span(seconds: int) -> str:
    """`3 d 4 h`, `2 h 5 min`, `12 s`."""
    parts = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    for (size, unit), (less, lower) in itertools.pairwise(parts):
        if seconds >= size:
            rest = seconds % size // less
            return f"{seconds // size} {unit}" + (f" {rest} {lower}" if rest else "")
    return f"{seconds} s"


def width(text: str) -> int:
    """Columns that a text takes on a terminal: wide characters two, marks and joiners none."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, cut: bool = False) -> None:
    """Columns as wide as their longest cell; the last one is never padded.

    Args:
        head: their titles.
        rows: their cells.
        cut: on a terminal the last column ends where the line does.
    """
    cells = [list(head), *([safe(str(cell)) for cell in row] for row in rows)]
    widths = [max(width(row[at]) for row in cells) for at in range(len(head))]
    room = _room(widths[:-1]) if cut else None
    for row in cells:
        made = [cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True)]
        line("  ".join([*made[:-1], _cut(row[-1], room)]).rstrip())


def _room(before: Sequence[int]) -> int | None:
    """Columns that a terminal has for the last cell; None where none are counted."""
    if not sys.stdout.isatty():
        return None
    return max(20, shutil.get_terminal_size().columns - sum(before) - 2 * len(before))


def _cut(text: str, room: int | None) -> str:
    if room is None or width(text) <= room:
        return text
    made = ""
    for char in text:
        if width(made + char) >= room:
            break
        made += char
    return made + "…"


def delivery(row: dict[str, Any], keep_until: str | None = None) -> str:
    """One delivery in words: never more than is known."""
    state, who = row["state"], row["to"]
    if state == "expired":
        return f"{who}: expired, not confirmed by {when(keep_until)}"
    reason = f" ({row['reason']})" if row.get("reason") else ""
    delayed = ", delayed" if row.get("delayed") else ""
    at = row.get("confirmed_at") or row.get("fetched_at")
    moment = f" {when(at)}" if at else ""
    later = row.get("next_at")
    again = f", told again {when(later)}" if later and state not in ("confirmed",) else ""
    return f"{who}: {state}{reason}{moment}{delayed}{again}"


def message(row: dict[str, Any], *, attempts: bool = False) -> None:
    """A sent message with its deliveries; below each of them its attempts, if they are wanted."""
    subject = row.get("subject") or "(no subject)"
    line(f"{row['message']}")
    imported = "  (imported)" if row.get("imported") else ""
    line(f"  {subject}  {size(row['size'])}  {when(row.get('created'))}{imported}")
    for each in row["deliveries"]:
        one(each, row.get("keep_until"))
        for attempt in each["attempts"] if attempts else ():
            line(f"    {when(attempt['at'])}  {attempt['answer'] or 'no answer yet'}")


def one(row: dict[str, Any], keep_until: str | None = None) -> None:
    """One delivery on a line, and a second one that says why, where it is not through."""
    line("  " + delivery(row, keep_until))
    why = reasons.delivery(row)
    if why:
        line("    " + why)
