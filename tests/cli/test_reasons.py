"""Words for what does not go through. That each is provoked: `tests/e2e/test_trouble.py`."""

import pytest

from cli import reasons, render

WORDS = reasons.NOT_REACHED | reasons.OTHERS_REACHED | reasons.SAID_NO


@pytest.mark.parametrize("word", WORDS)
def test_each_cause_has_its_own_sentence(word: str) -> None:
    assert reasons.telling(word) == reasons.joining(word) == WORDS[word]
    assert len(WORDS[word]) < 160
    worlds = (reasons.NOT_REACHED, reasons.OTHERS_REACHED, reasons.SAID_NO)
    assert sum(WORDS[word] in world.values() for world in worlds) == 1


def test_an_invite_expires_and_so_does_a_letter() -> None:
    assert reasons.joining("expired") != reasons.telling("expired")


def test_words_nobody_foresaw() -> None:
    assert reasons.telling("status-418") == "their node was reached, and refused it (status-418)"
    assert "can't be reached" in reasons.joining(None)


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("stored", "timeout", True),
        ("notified", "no-connection", True),
        ("refused", "clock", True),
        ("held", "over-quota", True),
        ("held", None, False),
        ("stored", None, False),
        ("confirmed", "before the retraction", False),
        ("retracted", None, False),
    ],
)
def test_deliveries(
    state: str, reason: str | None, said: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    render.one({"to": "ben", "state": state, "reason": reason})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"  ben: {state}")
    assert len(lines) == 1 + said
