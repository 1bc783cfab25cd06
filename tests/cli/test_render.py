"""What people see: aligned, safe, in units."""

import pytest

from cli import render


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s"), (3_600, "1 h"),
        (3_660, "1 h 1 min"), (86_399, "23 h 59 min"), (86_400, "1 d"), (100_000, "1 d 3 h"),
    ],
)  # fmt: skip
def test_spans(seconds: int, text: str) -> None:
    assert render.span(seconds) == text


@pytest.mark.parametrize(
    ("text", "columns"),
    [("abc", 3), ("日本", 4), ("e\u0301", 1), ("é", 1), ("a\u200db", 2), ("", 0), ("😀", 2)],
)
def test_columns(text: str, columns: int) -> None:
    assert render.width(text) == columns


def test_attempts_stand_below_whom_they_were_for(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"state": "notified", "attempts": [{"at": "2026-11-24T00:12:00Z", "answer": "accepted"}]}
    rows = [{"to": "ben", **told}, {"to": "carol", "state": "stored", "attempts": []}]
    row = {"message": "bafy", "size": 1, "deliveries": rows}
    render.message(row, attempts=True)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines == ["  ben: notified", "    2026-11-24 00:12  accepted", "  carol: stored"]
    render.message(row)
    assert "accepted" not in capsys.readouterr().out


def test_columns_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(("from", "subject"), [("日本", "one"), ("e\u0301va", "two"), ("anna", "three")])
    lines = capsys.readouterr().out.splitlines()
    at = [render.width(line[: line.rindex(" ") + 1]) for line in lines]
    assert at == [6, 6, 6, 6]


def test_a_terminal_s_line_is_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("1", "x" * 200), ("2", "日" * 100)]
    render.table(("n", "subject"), rows, cut=True)
    assert "x" * 200 in capsys.readouterr().out  # in a pipe all of it
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    render.table(("n", "subject"), rows, cut=True)
    lines = capsys.readouterr().out.splitlines()
    assert all(render.width(line) <= 60 for line in lines)
    assert all(line.endswith("…") for line in lines[1:])
