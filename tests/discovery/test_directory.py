"""Who is asked, which record counts, how much is too much."""

from hypothesis import given
from hypothesis import strategies as st

from node.discovery import directory
from node.discovery.directory import Allowance
from node.objects.record import Endpoint, Record
from node.units import Instant, Key, Millis

SEEDS = [Endpoint(origin=f"s{n}.example:443") for n in range(40)]


def made(seq: int, recovery: int = 0, successor: bool = False) -> Record:
    return Record(
        id=Key(bytes(32)),
        sealing=bytes(32),
        recovery=Key(bytes([recovery]) * 32),
        nodes=(SEEDS[0],),
        seq=seq,
        issued=Instant(0),
        expires=Instant(0),
        successor=Key(b"s" * 32) if successor else None,
    )


@given(st.binary(min_size=32, max_size=32), st.sets(st.sampled_from(SEEDS), max_size=4))
def test_two_lists_that_differ_a_little_choose_alike(key: bytes, missing: set[Endpoint]) -> None:
    did = Key(key)
    mine = directory.chosen(SEEDS, did, 5)
    theirs = directory.chosen([seed for seed in SEEDS[::-1] if seed not in missing], did, 5)
    assert len(mine) == len(set(mine)) == 5
    assert set(mine) - missing <= set(theirs)


def test_keys_spread_over_the_seeds() -> None:
    keys = [Key(n.to_bytes(32, "big")) for n in range(400)]
    used = [seed for key in keys for seed in directory.chosen(SEEDS, key, 5)]
    assert all(20 <= used.count(seed) <= 90 for seed in SEEDS)  # 50 each, if chance were even
    assert directory.chosen(SEEDS[:2], keys[0], 5) in (tuple(SEEDS[:2]), tuple(SEEDS[1::-1]))
    assert directory.chosen([], keys[0], 5) == ()


def test_the_newest_counts() -> None:
    one, two, three = made(1), made(2), made(3)
    assert directory.newest([one, three, two], None) is three
    assert directory.newest([one, three, two], two) is three
    assert directory.newest([one, two], three) is None
    assert directory.newest([two], two) is None
    assert directory.newest([], None) is None
    # Only its own recovery key can replace an identity; it beats every number, and is final.
    assert directory.newest([made(9, recovery=1)], one) is None
    last = made(0, successor=True)
    assert directory.newest([three, last], two) is last
    assert directory.newest([three], last) is None


def test_an_allowance_is_for_a_window() -> None:
    few = Allowance(2, Millis(1000), 3)
    assert [few.take("a", Instant(5000)) for _ in range(3)] == [True, True, False]
    assert not few.take("a", Instant(5999))
    assert few.take("a", Instant(6000))
    # A clock that goes back opens another window, and no more than that.
    assert [few.take("a", Instant(5500)) for _ in range(3)] == [True, True, False]


def test_many_keys_buy_nothing() -> None:
    few = Allowance(1, Millis(1000), 3)
    assert [few.take(n, Instant(0)) for n in range(5)] == [True, True, True, False, False]
    assert not few.take(0, Instant(1))
    assert few.take(4, Instant(1000))
