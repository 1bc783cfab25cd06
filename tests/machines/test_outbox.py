"""A delivery at its author: the table of facts, and what no sequence of facts can do."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node import limits
from node.machines import outbox
from node.machines.rows import Attempt, Delivery
from node.units import DAY, HOUR, MINUTE, SECOND, Instant
from tests import factories as make
from tests import strategies as some
from tests.factories import KEEP, NOW

OPEN = ("stored", "notified", "held", "refused", "fetched")
OVER = ("confirmed", "retracted", "expired")


def row(state: str = "stored", **changes: Any) -> Delivery:
    """A delivery in a state, announced unless it is only stored."""
    fields: dict[str, Any] = {"state": state, "announced": state != "stored"}
    if state == "confirmed":
        fields |= {"receipted": NOW, "first_receipt": NOW, "confirmed_at": NOW, "next_at": None}
    if state in OVER:
        fields["next_at"] = None
    return make.delivery(**(fields | changes))


def at(length: int) -> Instant:
    return Instant(NOW + length)


# --- attempts and the schedule --------------------------------------------------------


def test_the_schedule() -> None:
    found, now, pauses = row(), NOW, []
    for _ in range(13):
        found = outbox.on_attempt(found, now, 0.0)
        assert found.next_at is not None
        pauses.append(found.next_at - now)
        now = found.next_at
    minutes = [30 * SECOND, 2 * MINUTE, 450 * SECOND, 15 * MINUTE, 30 * MINUTE]
    hours = [1 * HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR]
    assert pauses == [5 * SECOND, *minutes, *hours, DAY, DAY, DAY]


@given(some.jitters, st.integers(0, 30))
def test_pauses_move_by_a_fifth(jitter: float, step: int) -> None:
    found = outbox.on_attempt(row(step=step), NOW, jitter)
    usual = limits.RETRIES[min(step, 10)]
    assert found.next_at is not None
    assert 0.8 * usual - 1 <= found.next_at - NOW <= 1.2 * usual


def test_attempts_are_noted_before_they_leave() -> None:
    found = outbox.on_attempt(row(), NOW, 0)
    assert found.announced
    assert found.attempts == (Attempt(at=NOW),)
    assert (found.state, found.step) == ("stored", 1)


def test_attempts_kept_are_bounded() -> None:
    found = row()
    for number in range(50):
        found = outbox.on_attempt(found, at(number), 0)
    assert len(found.attempts) == limits.ATTEMPTS_KEPT
    assert found.attempts[-1].at == at(49)


def test_no_attempt_is_planned_after_keep_until() -> None:
    found = outbox.on_attempt(row(step=10, keep_until=at(HOUR)), NOW, 0)
    assert found.next_at == at(HOUR)


def test_what_was_not_answered_stays_due() -> None:
    tried = outbox.on_attempt(row(step=9), NOW, 0)
    assert tried.next_at == at(8 * HOUR)
    found = outbox.on_unanswered(tried, "timeout")
    assert found.attempts == (Attempt(at=NOW, answer="timeout"),)
    assert found.next_at == NOW
    assert found.step == tried.step
    assert outbox.on_unanswered(found, "again") == found
    assert outbox.on_unanswered(row(), "no attempt") == row()


def test_no_answer_opens_nothing() -> None:
    over = outbox.on_retract(outbox.on_attempt(row(), NOW, 0))
    found = outbox.on_unanswered(over, "timeout")
    assert (found.state, found.next_at) == ("retracted", None)
    assert found.attempts[-1].answer == "timeout"


# --- answers --------------------------------------------------------------------------

WEEK = 7 * DAY


@pytest.mark.parametrize(
    ("before", "state", "reason", "contact", "after", "pause"),
    [
        ("stored", "accepted", None, True, "notified", None),
        ("notified", "accepted", None, True, "notified", None),
        ("held", "accepted", None, True, "notified", None),
        ("refused", "accepted", None, True, "notified", None),
        ("fetched", "accepted", None, True, "fetched", None),
        ("stored", "held", None, True, "held", WEEK),
        ("stored", "held", None, False, "held", WEEK),
        ("notified", "held", "waiting", True, "held", WEEK),
        ("stored", "held", "over-quota", True, "held", WEEK),
        ("fetched", "held", None, True, "fetched", None),
        ("stored", "refused", "not-here", True, "refused", DAY),
        ("stored", "refused", "too-large", False, "refused", WEEK),
        ("notified", "refused", "unreadable", True, "refused", DAY),
        ("fetched", "refused", "unreadable", True, "refused", DAY),
        ("stored", "refused", "busy", True, "stored", None),
        ("notified", "refused", "busy", False, "notified", None),
        ("stored", "something", None, True, "stored", None),
        ("stored", "receipt", None, True, "stored", None),
        ("stored", "retracted", None, True, "stored", None),
    ],
)
def test_answers(
    before: str, state: str, reason: str | None, contact: bool, after: str, pause: int | None
) -> None:
    tried = outbox.on_attempt(row(before), NOW, 0)
    for jitter, share in ((0.0, 1.0), (-1.0, 0.8), (0.999, 1.1998)):
        found = outbox.on_answer(tried, state, reason, NOW, jitter, contact=contact)
        assert found.state == after
        assert found.attempts[-1].answer == (f"{state} {reason}" if reason else state)
        if pause is None:
            assert found.next_at == tried.next_at
        else:
            assert found.next_at == at(int(pause * share))
            assert found.reason == reason


def test_a_better_answer_takes_the_reason_away() -> None:
    tried = outbox.on_attempt(row("refused", reason="not-here"), NOW, 0)
    assert outbox.on_answer(tried, "accepted", None, NOW, 0, contact=True).reason is None
    assert outbox.on_answer(tried, "held", None, NOW, 0, contact=True).reason is None


def test_long_pauses_end_at_keep_until() -> None:
    tried = outbox.on_attempt(row(keep_until=at(DAY)), NOW, 0)
    assert outbox.on_answer(tried, "held", None, NOW, 0, contact=True).next_at == at(DAY)


@pytest.mark.parametrize("state", OVER)
def test_answers_end_nothing_and_open_nothing(state: str) -> None:
    for word in ("accepted", "held", "refused"):
        assert outbox.on_answer(row(state), word, "x", NOW, 0, contact=True) == row(state)


def test_a_newer_record_is_sent_to_at_once() -> None:
    for state in OPEN:
        assert outbox.on_newer_record(row(state, next_at=at(DAY)), NOW).next_at == NOW
    for state in OVER:
        assert outbox.on_newer_record(row(state), NOW) == row(state)


def test_a_nudge_is_for_what_was_held_or_refused() -> None:
    for state in ("held", "refused"):
        assert outbox.on_nudge(row(state, next_at=at(WEEK)), NOW).next_at == NOW
    for state in ("stored", "notified", "fetched", *OVER):
        assert outbox.on_nudge(row(state, next_at=at(DAY)), NOW) == row(state, next_at=at(DAY))


# --- fetching -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 8, 9, 1025])
@pytest.mark.parametrize("state", OPEN[:4])
def test_fetched_is_every_block(count: int, state: str) -> None:
    found = row(state)
    for index in range(count - 1):
        found = outbox.on_fetched(found, [index], count, at(index))
        found = outbox.on_fetched(found, [index], count, at(index))
        assert found.state == state
        assert len(found.got) == (count + 7) // 8
    found = outbox.on_fetched(found, [count - 1], count, at(5))
    assert (found.state, found.fetched_at, found.got) == ("fetched", at(5), b"")


def test_fetched_in_any_order_and_at_once() -> None:
    one = outbox.on_fetched(row("notified"), [2], 3, NOW)
    assert outbox.on_fetched(one, [0, 1], 3, NOW).state == "fetched"
    assert outbox.on_fetched(row("notified"), [0, 1, 2], 3, NOW).state == "fetched"
    assert outbox.on_fetched(row("notified"), [], 3, NOW).state == "notified"


def test_fetching_needs_an_open_delivery() -> None:
    for state in (*OVER, "fetched"):
        assert outbox.on_fetched(row(state), [0], 1, NOW) == row(state)


def test_fetched_is_told_again() -> None:
    found = outbox.on_fetched(outbox.on_attempt(row(), NOW, 0), [0], 1, NOW)
    assert found.next_at == at(5 * SECOND)


# --- the three ends -------------------------------------------------------------------


@pytest.mark.parametrize("state", OPEN)
def test_a_receipt_confirms(state: str) -> None:
    found = outbox.on_receipt(row(state, announced=True, reason="x"), at(-5), at(7))
    assert (found.state, found.reason, found.next_at) == ("confirmed", None, None)
    assert (found.confirmed_at, found.receipted, found.first_receipt) == (at(7), at(-5), at(7))
    assert found.ended_as is None


@pytest.mark.parametrize("state", ["retracted", "expired"])
def test_a_receipt_beats_the_other_ends(state: str) -> None:
    found = outbox.on_receipt(row(state), NOW, at(1))
    assert (found.state, found.ended_as) == ("confirmed", state)


@pytest.mark.parametrize("state", [*OPEN, "retracted", "expired"])
def test_a_receipt_before_the_announcement_is_nothing(state: str) -> None:
    assert outbox.on_receipt(row(state, announced=False), NOW, NOW) == row(state, announced=False)


def test_an_announcement_in_a_polls_answer_counts() -> None:
    found = outbox.on_polled(row())
    assert found.announced
    assert found.next_at == row().next_at
    assert outbox.on_receipt(found, NOW, NOW).state == "confirmed"
    for state in OVER:
        assert outbox.on_polled(row(state, announced=False)) == row(state, announced=False)


def test_a_second_receipt_changes_nothing() -> None:
    once = outbox.on_receipt(row("notified"), NOW, at(1))
    assert outbox.on_receipt(once, at(9), at(9)) == once


def test_void_receipts() -> None:
    assert outbox.on_receipt(row("notified", void_before=NOW), at(-1), NOW).state == "notified"
    assert outbox.on_receipt(row("notified", void_before=NOW), NOW, NOW).state == "confirmed"


def test_retracting() -> None:
    for state in OPEN:
        found = outbox.on_retract(row(state, got=b"\1"))
        assert (found.state, found.next_at, found.got) == ("retracted", None, b"")
    for state in OVER:
        assert outbox.on_retract(row(state)) == row(state)


def test_expiring() -> None:
    for state in OPEN:
        assert outbox.on_clock(row(state), at(KEEP - 1)) == row(state)
        assert outbox.on_clock(row(state), at(KEEP)).state == "expired"
    for state in OVER:
        assert outbox.on_clock(row(state), at(KEEP)) == row(state)


def test_delayed_is_shown_after_two_hours() -> None:
    for state in ("stored", "notified", "fetched"):
        assert not outbox.is_delayed(row(state), at(2 * HOUR))
        assert outbox.is_delayed(row(state), at(2 * HOUR + 1))
    for state in ("held", "refused", *OVER):
        assert not outbox.is_delayed(row(state), at(DAY))


# --- a restored recipient -------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "start", "opens"),
    [
        (-1, 1, True),
        (0, 1, True),
        (1, 2, False),
        (-9, 0, False),
        (5, -5, False),
        (-int(NOW), 1, True),
    ],
)
def test_lost(memory: int, start: int, opens: bool) -> None:
    before = row("confirmed", step=9)
    found = outbox.on_lost(before, at(memory), at(start), at(50), at(DAY))
    if not opens:
        assert found == before
        return
    assert (found.state, found.stamp, found.next_at, found.step) == ("notified", at(50), at(DAY), 0)
    assert (found.void_before, found.confirmed_at, found.receipted) == (at(start), None, None)
    assert found.first_receipt == NOW
    assert outbox.on_receipt(found, at(start - 1), at(DAY)) == found
    again = outbox.on_receipt(found, at(start), at(DAY))
    assert (again.state, again.first_receipt) == ("confirmed", NOW)


@pytest.mark.parametrize(
    ("dated", "opens"),
    [
        (-400 * DAY, True),
        (-DAY - 1, True),
        (-DAY, False),
        (10 * MINUTE, False),
        (10 * MINUTE + 1, True),
        (400 * DAY, True),
    ],
)
def test_a_receipt_by_a_wrong_clock_may_be_lost_whenever_it_says(dated: int, opens: bool) -> None:
    confirmed = outbox.on_receipt(row("notified"), at(dated), NOW)
    assert confirmed.state == "confirmed"
    found = outbox.on_lost(confirmed, at(HOUR), at(2 * HOUR), at(50), at(3 * HOUR))
    assert found.state == ("notified" if opens else "confirmed")


@pytest.mark.parametrize("state", [*OPEN, *OVER])
def test_a_clock_that_is_put_right_moves_what_is_open(state: str) -> None:
    before = row(state)
    after = outbox.on_step(before, 40 * DAY)
    moved = 40 * DAY if outbox.is_open(before) else 0
    assert after == before.but(keep_until=Instant(before.keep_until + moved))


def test_a_receipt_from_the_future_may_be_of_the_life_before() -> None:
    lost = outbox.on_lost(row("confirmed"), at(-1), at(1), at(9), at(DAY))
    ahead = at(2 * DAY)
    assert outbox.on_receipt(lost, Instant(ahead + 1), at(DAY)) == lost
    assert outbox.on_receipt(lost, ahead, at(DAY)).state == "confirmed"


def test_lost_within_the_grace_only() -> None:
    before = row("confirmed")
    last = at(limits.GRACE - 1)
    assert outbox.on_lost(before, at(-1), at(1), at(9), last).state == "notified"
    assert outbox.on_lost(before, at(-1), at(1), at(9), at(limits.GRACE)) == before


def test_lost_mail_waits_though_keep_until_has_passed() -> None:
    before = row("confirmed", keep_until=at(HOUR))
    found = outbox.on_lost(before, at(-1), at(1), at(9), at(DAY))
    assert found.state == "notified"
    assert found.keep_until == at(limits.GRACE)
    assert outbox.on_clock(found, at(DAY)).state == "notified"
    long = outbox.on_lost(row("confirmed"), at(-1), at(1), at(9), at(DAY))
    assert long.keep_until == at(KEEP)


@pytest.mark.parametrize("ended", ["retracted", "expired"])
def test_what_was_over_and_is_gone_is_over_again(ended: str) -> None:
    confirmed = outbox.on_receipt(row(ended), at(0), at(1))
    assert (confirmed.state, confirmed.ended_as) == ("confirmed", ended)
    found = outbox.on_lost(confirmed, at(-1), at(1), at(9), at(DAY), kept=False)
    assert (found.state, found.confirmed_at, found.next_at) == (ended, None, None)
    assert outbox.on_receipt(found, at(0), at(DAY)) == found  # of the life before
    plain = row("confirmed")
    assert outbox.on_lost(plain, at(-1), at(1), at(9), at(DAY), kept=False) == plain


def test_lost_a_second_time() -> None:
    once = outbox.on_lost(row("confirmed"), at(-1), at(100), at(9), at(DAY))
    back = outbox.on_receipt(once, at(200), at(DAY))
    again = outbox.on_lost(back, at(150), at(300), at(10), at(2 * DAY))
    assert again.void_before == at(300)
    old = outbox.on_lost(back.but(void_before=at(500)), at(150), at(300), at(10), at(2 * DAY))
    assert old.void_before == at(500)


def test_a_life_that_begins_in_the_future_does_not_keep_its_receipts_out() -> None:
    found = outbox.on_lost(row("confirmed"), at(-1), at(400 * DAY), at(9), at(DAY))
    ahead = DAY + limits.CLOCK_SKEW
    assert found.void_before == at(ahead)
    assert outbox.on_receipt(found, at(ahead), at(ahead)).state == "confirmed"


@pytest.mark.parametrize("state", [*OPEN, "retracted", "expired"])
def test_lost_opens_only_what_was_confirmed(state: str) -> None:
    for announced in (False, True):
        before = row(state, announced=announced)
        found = outbox.on_lost(before, at(-1), at(1), at(9), NOW)
        assert found.but(void_before=before.void_before) == before
        told = announced and outbox.is_open(before)
        assert found.void_before == (at(1) if told else before.void_before)
        assert outbox.on_receipt(found, at(0), at(2)) == found or not told


def test_what_is_open_is_not_voided_into_the_future() -> None:
    found = outbox.on_lost(row("notified"), at(-1), at(400 * DAY), at(9), NOW)
    assert found.void_before == at(limits.CLOCK_SKEW)


# --- any sequence of facts ------------------------------------------------------------

Fact = tuple[str, Callable[[Delivery, Instant], Delivery]]

words = st.sampled_from(["accepted", "held", "refused", "receipt", "retracted", "expired", "x"])
reasons = st.none() | st.sampled_from(["busy", "waiting", "not-here", "stale-record"])


def _fact(name: str, *, answers: bool = True) -> st.SearchStrategy[Fact]:
    return {
        "attempt": some.jitters.map(
            lambda jitter: ("attempt", lambda r, now: outbox.on_attempt(r, now, jitter))
        ),
        "answer": st.tuples(words, reasons, st.booleans()).map(
            lambda a: (
                "answer",
                lambda r, now: outbox.on_answer(r, a[0], a[1], now, 0, contact=a[2]),
            )
        ),
        "polled": st.just(("polled", lambda r, now: outbox.on_polled(r))),
        "silence": st.just(("silence", lambda r, now: outbox.on_unanswered(r, "timeout"))),
        "record": st.just(("record", outbox.on_newer_record)),
        "nudge": st.just(("nudge", outbox.on_nudge)),
        "fetch": st.integers(0, 2).map(
            lambda i: ("fetch", lambda r, now: outbox.on_fetched(r, [i], 3, now))
        ),
        "clock": st.just(("clock", outbox.on_clock)),
        "lost": st.tuples(some.near, some.near).map(
            lambda a: ("lost", lambda r, now: outbox.on_lost(r, a[0], a[1], now, now))
        ),
        "receipt": some.near.map(
            lambda when: ("receipt", lambda r, now: outbox.on_receipt(r, when, now))
        ),
        "retract": st.just(("retract", lambda r, now: outbox.on_retract(r))),
    }[name]


HARMLESS = ("attempt", "answer", "polled", "silence", "record", "nudge", "fetch")
ALL = (*HARMLESS, "clock", "lost", "receipt", "retract")
steps = st.integers(0, DAY)


def sequence(names: tuple[str, ...]) -> st.SearchStrategy[list[tuple[int, Fact]]]:
    return st.lists(
        st.tuples(steps, st.sampled_from(names).flatmap(_fact)), min_size=1, max_size=30
    )


@given(sequence(HARMLESS))
def test_nothing_but_the_three_ends_a_delivery(facts: list[tuple[int, Fact]]) -> None:
    found, now = row(), NOW
    for pause, (_, apply) in facts:
        now = Instant(now + pause)
        found = apply(found, now)
        assert outbox.is_open(found)
        # What is open is tried again, and never after keep_until only.
        assert found.next_at is not None
        assert found.next_at <= max(found.keep_until, now)


@given(some.deliveries(OPEN), sequence(ALL))
@example(row("notified"), [(0, ("x", lambda r, now: r))])
def test_each_change_of_state_has_its_fact(start: Delivery, facts: list[tuple[int, Fact]]) -> None:
    found, now = start, NOW
    for pause, (name, apply) in facts:
        now = Instant(now + pause)
        before, found = found, apply(found, now)
        assert outbox.is_open(found) == (found.state in OPEN)
        assert (found.next_at is None) == (not outbox.is_open(found))
        if outbox.is_open(before) and not outbox.is_open(found):
            ends = {"receipt": "confirmed", "retract": "retracted", "clock": "expired"}
            assert found.state == ends[name]
            if name == "clock":
                assert now >= before.keep_until
            if name == "receipt":
                assert before.announced
        if not outbox.is_open(before) and outbox.is_open(found):
            assert name == "lost"
            assert before.state == "confirmed"
        if before.announced:
            assert found.announced
        assert found.void_before >= before.void_before
        assert found.keep_until >= before.keep_until
        if before.first_receipt is not None:
            assert found.first_receipt == before.first_receipt


@given(some.deliveries(), st.sampled_from(ALL).flatmap(_fact))
def test_repeating_a_fact_is_harmless(start: Delivery, fact: Fact) -> None:
    name, apply = fact
    once = apply(start, NOW)
    if name != "attempt":
        assert apply(once, NOW) == once
    else:
        assert apply(once, NOW).state == once.state


# --- a key that was replaced ----------------------------------------------------------


@pytest.mark.parametrize("state", [*OPEN, *OVER])
def test_what_is_open_goes_to_the_new_key(state: str) -> None:
    """It begins anew there: nothing that the old key was told, or fetched, counts for the new."""
    before = row(state, got=b"\x01", fetched_at=NOW, step=7, attempts=(Attempt(at=NOW),))
    after = outbox.on_heir(before, make.CAROL.key, bytes(16), at(1), at(2))
    if state in OVER:
        assert after == before
        return
    assert (after.to, after.ticket, after.stamp) == (make.CAROL.key, bytes(16), at(1))
    assert (after.state, after.announced, after.next_at) == ("stored", False, at(2))
    assert (after.got, after.fetched_at, after.step, after.attempts) == (b"", None, 0, ())
    assert (after.message, after.keep_until) == (before.message, before.keep_until)
    assert outbox.on_receipt(after, at(3), at(3)) == after
    late = outbox.on_heir(before, make.CAROL.key, bytes(16), at(1), Instant(before.keep_until + 1))
    assert late.next_at == before.keep_until
