"""All of the corpus through what reads mail."""

from statistics import median
from time import perf_counter

import pytest

from node.mail.display import display, files
from node.mail.scan import scan
from node.mail.text import LINE, safe_line, safe_text

pytestmark = pytest.mark.corpus


def test_scan(mail: dict[str, bytes]) -> None:
    times = []
    found = 0
    for content in mail.values():
        begun = perf_counter()
        row = scan(content[:65536])
        times.append(perf_counter() - begun)
        for value in (row.subject, row.sender, row.message_id):
            assert value is None or (value == safe_line(value) and len(value) <= LINE)
        found += row.date is not None and row.subject is not None
    print(f"scan: median {median(times) * 1e6:.0f} µs, slowest {max(times) * 1e6:.0f} µs")
    assert found > 0.9 * len(mail)
    assert median(times) < 1e-3


def test_display(mail: dict[str, bytes]) -> None:
    times = {}
    for name, content in mail.items():
        begun = perf_counter()
        shown = display(content)
        times[name] = perf_counter() - begun
        assert shown.text == safe_text(shown.text)
        assert all(safe_line(value) == value for _, value in shown.headers)
    slowest = max(times, key=lambda name: times[name])
    print(f"display: all {sum(times.values()):.1f} s, slowest {times[slowest]:.3f} s, {slowest}")
    assert times[slowest] < 3


def test_files(mail: dict[str, bytes]) -> None:
    total = 0
    for content in mail.values():
        found = files(content).files
        total += len(found)
        assert len({file.name.lower() for file in found}) == len(found)
        assert not any("/" in file.name or file.name.startswith(".") for file in found)
    assert total > 200
