"""What `willcall archive` says of what it was answered."""

import json
from typing import Any

import pytest

from cli import archive
from cli.state import STATE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "cats: 2 new, 5 entries"),
        ({"after": 3}, "cats: nothing new, 3 entries"),
        ({"before": 0, "after": 1, "epoch": 2}, "cats: a new log, epoch 2; 1 new, 1 entry"),
        ({"before": 0, "after": 0, "epoch": 2}, "cats: a new log, epoch 2; nothing new, 0 entries"),
    ],
)
def test_polls(
    changes: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(STATE, "json", False)
    row = {"name": "cats", "before": 3, "after": 5, "verified": True, "missing": 0, "epoch": None}
    archive._polled([row | changes], one=True)
    assert capsys.readouterr().out == said + "\n"


def test_a_poll_that_is_not_verified_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STATE, "json", True)
    row = {"name": "cats", "before": 3, "after": 5, "verified": False, "missing": 1, "epoch": None}
    archive._polled([row], one=True)
    made = json.loads(capsys.readouterr().out)
    assert made["reason"] == "1 message is served by nobody, or not as it should be"
