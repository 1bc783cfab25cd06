"""Buckets: a burst, then one every so often, and no more memory than was said."""

from hypothesis import given
from hypothesis import strategies as st

from node.machines.bucket import Buckets
from node.units import Millis

EVERY = Millis(1_000)


def at(seconds: float) -> Millis:
    return Millis(int(seconds * 1000))


def test_a_burst_then_one_every_second() -> None:
    made = Buckets(3, EVERY, 10)
    assert [made.take(b"a", at(0)) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert made.left(b"b", at(0)) == 3
    assert made.take(b"a", at(0.999)) == 0
    assert [made.take(b"a", at(1)) for _ in range(2)] == [1, 0]
    assert made.take(b"a", at(60), count=9) == 3


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 4)), min_size=1, max_size=60),
)
def test_never_more_than_burst_and_rate(burst: int, steps: list[tuple[int, int]]) -> None:
    made, now, taken = Buckets(burst, EVERY, 4), 0, 0
    for pause, count in steps:
        now += pause
        taken += made.take(b"a", Millis(now), count)
        assert taken <= burst + now / EVERY


def test_many_keys_share_one_bucket_when_there_is_no_room() -> None:
    made = Buckets(2, EVERY, 8)
    got = sum(made.take(b"%d" % n, at(0), 2) for n in range(1_000))
    assert got == 8 * 2 + 2
    assert len(made) <= 9
    # What is full again makes room.
    later = sum(made.take(b"new %d" % n, at(100)) for n in range(4))
    assert later == 4
    assert len(made) <= 9
