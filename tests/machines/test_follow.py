"""When a followed archive is asked again."""

from hypothesis import given
from hypothesis import strategies as st

from node.limits import FOLLOW_EVERY, FOLLOW_LONGEST
from node.machines import follow
from node.machines.rows import Archive
from node.units import HOUR, MINUTE, Instant, Key, Millis

NOW = Instant(1_000_000_000_000)
ROW = Archive(
    owner=Key(bytes(32)), id=bytes(16), name="cats", publisher=Key(bytes(32)), created=NOW,
    urls=("http://a/archives/cats/",),
)  # fmt: skip


def pause(row: Archive) -> int:
    assert row.poll_at is not None
    return row.poll_at - NOW


@given(st.floats(-1, 1, exclude_max=True), st.integers(0, 30), st.integers(0, 40 * HOUR))
def test_never_sooner_than_said(jitter: float, failures: int, kept: int) -> None:
    """Spec 12.5: at most every 15 minutes, not before the last answer's lifetime is over."""
    row = ROW.but(failures=failures)
    polled = pause(follow.on_polled(row, NOW, jitter, Millis(kept)))
    least = min(max(FOLLOW_EVERY, kept), FOLLOW_LONGEST)
    assert least <= polled <= least * 1.2
    failed = pause(follow.on_failed(row, NOW, jitter, "silent"))
    least = min(FOLLOW_EVERY << failures, FOLLOW_LONGEST)
    assert least <= failed <= least * 1.2


def test_they_spread() -> None:
    pauses = {pause(follow.on_polled(ROW, NOW, j / 10, Millis(0))) for j in range(-10, 10)}
    assert max(pauses) - min(pauses) > 2 * MINUTE
