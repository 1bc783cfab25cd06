"""A small flood, real in every part: the goals that no busy machine excuses."""

import pytest

from tests.flood.__main__ import whole


@pytest.mark.slow
def test_a_small_flood() -> None:
    figures = whole(60, 25)
    assert figures["checked"] <= 60 * 16
    assert figures["replay"] == figures["storm"] == 0
    assert figures["third"] == 0
    assert figures["down"] == 0
    assert figures["shown"] > 10
    assert figures["slots"] <= 200
    assert figures["stored"] <= 200 * 1024
