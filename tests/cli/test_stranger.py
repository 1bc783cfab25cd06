"""`willcall held` as a table, and what stands for unknown facts."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli import contact, stranger
from cli.state import STATE
from tests.objects.test_report import made


def facts(**changes: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "proven": None, "domain": None, "registered": None, "first_seen": None, "marks": [],
        "contact_before": False, "introducers": [], "named": None, "kept": 0, "broken": 0,
    }  # fmt: skip
    return known | changes


@pytest.mark.parametrize(
    ("changes", "domain", "since", "remarks"),
    [
        ({}, "none", "unknown", "-"),
        ({"domain": "a.org"}, "a.org (claimed)", "unknown", "-"),
        (
            {"domain": "a.org", "proven": "address", "first_seen": "2026-01-02T03:04:05.000Z"},
            "a.org (proven)",
            "seen 2026-01-02",
            "-",
        ),
        (
            {"registered": "1999-01-02T00:00:00.000Z", "marks": ["young"], "kept": 2, "broken": 1},
            "none",
            "registered 1999-01-02",
            "young, kept 2, broke 1",
        ),
        (
            {"introducers": ["ben", "cleo"], "named": False, "contact_before": True},
            "none",
            "unknown",
            "was a contact, introduced by ben, cleo, not named by its domain",
        ),
    ],
)
def test_facts(changes: dict[str, Any], domain: str, since: str, remarks: str) -> None:
    known = facts(**changes)
    assert stranger._domain(known) == domain
    assert stranger._since(known) == since
    assert stranger._remarks(known) == remarks


class Contacts:
    def get(self, word: str) -> list[dict[str, str]]:
        assert word == "contacts"
        return [{"name": "dr.no"}]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("example.org", True),
        ("192.0.2.7", True),
        ("2001:db8::1", True),
        ("dr.no", False),
        ("ben", False),
        ("did:key:z6Mk", False),
        ("anna@example.org", False),
    ],
)
def test_whether_a_place_is_meant(monkeypatch: pytest.MonkeyPatch, text: str, wanted: bool) -> None:
    monkeypatch.setattr(type(STATE), "local", lambda self: Contacts())
    assert contact.is_place(text) is wanted


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "spam.json"
    path.write_bytes(made())
    return path


def test_a_report_for_programs(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STATE, "json", True)
    stranger._checked(report)
    proved = json.loads(capsys.readouterr().out)
    assert all(proved[word].endswith("Z") for word in ("issued", "keep_until", "created"))


def test_a_report_for_people(
    report: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(STATE, "json", False)
    stranger._checked(report)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Every signature in it holds. Its author signed:"
    said = {line[:16].strip(): line[16:] for line in lines[1:]}
    assert said["issued:"].endswith("Z")
    assert said["size:"].endswith(" B")
    assert lines[lines.index("  text:") + 1 :][:3] == ["  | Subject: buy", "  | ", "  | buy"]
    assert lines[-2:] == ["Only the reporter says so:", "  source:       192.0.2.7"]


def test_facts_for_people() -> None:
    assert [stranger._fact(each) for each in (None, True, False, [], ["a", "b"], 3)] == [
        "unknown", "yes", "no", "none", "a, b", "3",
    ]  # fmt: skip
