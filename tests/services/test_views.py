"""Rows as people and programs see them."""

import pytest

from node.services import views
from node.units import LAST


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        (None, None),
        (0, None),
        (1_577_966_429_999, "2020-01-02T12:00:29.999Z"),
        (LAST, "9999-12-31T23:59:59.999Z"),
        (LAST + 1, None),
        (2**53 - 1, None),
    ],
)
def test_a_time_that_no_calendar_has_is_not_known(instant: int | None, shown: str | None) -> None:
    """Others may say any up to 2^53 - 1."""
    assert views.time(instant) == shown
    assert views.date(instant or 0) == (shown and shown[:10])
