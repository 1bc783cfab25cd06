"""A tenth of the flood, real in every part: the goals that no busy machine excuses."""

import pytest

from tests.flood.__main__ import whole


@pytest.mark.slow
def test_a_tenth_of_the_flood() -> None:
    figures = whole(100, 100)
    assert figures["said"] == 100 * 100
    assert figures["checked"] <= 100 * 16
    assert figures["replay"] <= figures["capped"]
    assert figures["storm"] == 0
    assert figures["third"] == 0
    assert figures["down"] == 0
    assert figures["shown"] > 10
    assert figures["slots"] <= 200
    assert figures["stored"] <= 200 * 1024
    # Without defences the same bots get all of it: else the rest would prove little.
    assert figures["open boxes of strangers opened"] == 100 * 25
    assert figures["open in the inbox, unasked"] > 1_000
    assert figures["open connections to a third party"] > 0
    assert figures["open bytes in the store"] > 10 * 200 * 1024
