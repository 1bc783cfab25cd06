"""Who gets a slot: chances that nobody can buy, whoever comes first, often or fast."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.crypto import tokens
from node.machines.ring import Enter, Full, Ring, Slot
from node.units import Instant, Key

DRAWS = 2_000
HONEST = 10


def slot(number: int, group: str, since: int = 0, *, proven: bool = True) -> Slot:
    return Slot(
        key=Key(number.to_bytes(32, "big")), group=group, proven=proven, since=Instant(since)
    )


def come(ring: Ring, new: Slot, secret: bytes, week: int = 0) -> bool:
    verdict = ring.judge(new, lambda group: tokens.rank(secret, b"o" * 32, group, week), week)
    if isinstance(verdict, Full):
        return False
    if verdict.instead is not None:
        ring.leave(verdict.instead)
    ring.enter(new)
    return True


def draw(secret: bytes, attackers: int, unproven: int, order: str) -> int:
    """How many of ten honest domains have a slot in the end."""
    dice, ring = random.Random(secret), Ring()
    bad = [(f"bad{n}.com", True) for n in range(attackers)]
    bad += [(f"10.{n >> 8}.{n & 255}.0/24", False) for n in range(unproven)]
    good = [(f"good{n}.org", True) for n in range(HONEST)]
    dice.shuffle(bad)
    people = {"last": bad + good, "first": good + bad}.get(order, bad + good)
    if order == "mixed":
        dice.shuffle(people)
    for number, (group, proven) in enumerate(people):
        come(ring, slot(number, group, number, proven=proven), secret)
    assert len(ring.slots) == min(limits.RING, len(people))
    return sum(1 for each in ring.slots.values() if each.group.startswith("good"))


@pytest.mark.parametrize("attackers", [50, 190])
@pytest.mark.parametrize("order", ["last", "first"])
def test_up_to_190_attackers_push_nobody_out(attackers: int, order: str) -> None:
    for number in range(DRAWS // 100):  # it is certain: the rank plays no part
        assert draw(b"%d" % number, attackers, 300, order) == HONEST


@pytest.mark.slow
def test_a_thousand_attacking_domains_leave_everybody_the_same_chance() -> None:
    """min(1, 200 / (K + 10)), within 5 %; those who come last draw like everybody.

    Whether a bottom-200 sample holds a domain is decided by ranks alone, so that one pass over
    ranks stands for a draw; a hundred whole draws show that the ring gives that very sample.
    """
    attackers, wanted = 1_000, limits.RING / (1_000 + HONEST)
    whole = sum(draw(b"whole %d" % n, attackers, 0, "last") for n in range(100))
    assert abs(whole / (100 * HONEST) / wanted - 1) < 0.25
    got = 0
    for number in range(DRAWS):
        secret = b"%d" % number
        ranks = sorted(
            (tokens.rank(secret, b"o" * 32, f"{word}{n}.com", 0), word)
            for word, count in (("bad", attackers), ("good", HONEST))
            for n in range(count)
        )
        got += sum(1 for _, word in ranks[: limits.RING] if word == "good")
    assert abs(got / (DRAWS * HONEST) / wanted - 1) < 0.05


def test_the_ring_is_the_sample_of_the_lowest_ranks_whatever_the_order() -> None:
    secret, groups = b"s", [f"d{n}.com" for n in range(700)]
    lowest = set(sorted(groups, key=lambda g: tokens.rank(secret, b"o" * 32, g, 0))[: limits.RING])
    for seed in range(5):
        order, ring = groups.copy(), Ring()
        random.Random(seed).shuffle(order)
        for turn in range(2):  # and whoever was refused comes again
            for number, group in enumerate(order):
                if group not in {each.group for each in ring.slots.values()}:
                    come(ring, slot(turn * 1000 + number, group, number), secret)
        assert {each.group for each in ring.slots.values()} == lowest


def test_any_number_of_unproven_ones_counts_for_nothing() -> None:
    ring = Ring()
    for number in range(5_000):
        come(ring, slot(number, f"10.0.{number % 250}.0/24", proven=False), b"s")
    assert all(come(ring, slot(10_000 + n, f"good{n}.org"), b"s") for n in range(limits.RING))
    assert all(each.proven for each in ring.slots.values())
    assert not come(ring, slot(99_999, "10.9.9.0/24", proven=False), b"s")


def test_unproven_ones_share_fairly_among_networks() -> None:
    ring = Ring()
    for number in range(1_000):
        come(ring, slot(number, "10.0.0.0/24", number, proven=False), b"s")
    assert come(ring, slot(5_000, "10.0.1.0/24", 5_000, proven=False), b"s")
    groups = [each.group for each in ring.slots.values()]
    assert groups.count("10.0.0.0/24") == limits.RING - 1
    # Whoever came last of the largest went.
    assert max(each.since for each in ring.slots.values() if each.group == "10.0.0.0/24") == 198


def test_one_domain_with_many_keys_gives_way() -> None:
    ring = Ring()
    for number in range(1_000):
        come(ring, slot(number, "bad.com", number), b"s")
    for number in range(99):
        assert come(ring, slot(2_000 + number, f"good{number}.org", 2_000), b"s")
    assert sum(each.group == "bad.com" for each in ring.slots.values()) == 101
    # The older stay.
    assert max(e.since for e in ring.slots.values() if e.group == "bad.com") == 100


def test_ranks_are_drawn_anew_each_week() -> None:
    lucky = set()
    for week in range(12):
        ring = Ring()
        for number in range(600):
            come(ring, slot(number, f"d{number}.com"), b"s", week)
        lucky |= {each.group for each in ring.slots.values()}
    assert len(lucky) > 580


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 8), st.booleans()), min_size=1, max_size=200
    )
)
def test_it_never_grows_and_proven_ones_never_give_way_to_others(
    moves: list[tuple[int, int, bool]],
) -> None:
    ring = Ring(6)
    for since, (number, group, proven) in enumerate(moves):
        new = slot(number, f"g{group}", since, proven=proven)
        if new.key in ring.slots:
            ring.leave(new.key)
            continue
        before = sum(each.proven for each in ring.slots.values())
        verdict = ring.judge(new, lambda g: g.encode(), 0)
        if isinstance(verdict, Enter):
            if verdict.instead is not None:
                ring.leave(verdict.instead)
            ring.enter(new)
        after = sum(each.proven for each in ring.slots.values())
        assert len(ring.slots) <= 6
        assert after >= before
