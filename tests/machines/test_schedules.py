"""Pauses, a peer's clock, and the guard over the wall clock."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.machines import clock, peer, retry
from node.machines.rows import Peer
from node.units import DAY, HOUR, SECOND, Instant, Millis
from tests import factories as make
from tests import strategies as some
from tests.factories import NOW


def at(length: int) -> Instant:
    return Instant(NOW + length)


# --- retry ----------------------------------------------------------------------------


@given(st.integers(0, 1000), some.jitters)
def test_pauses(step: int, jitter: float) -> None:
    pause = retry.pause(step, jitter)
    usual = limits.RETRIES[min(step, len(limits.RETRIES) - 1)]
    assert 0.8 * usual - 1 <= pause <= 1.2 * usual
    assert retry.at(NOW, step, jitter) == NOW + pause
    assert retry.pause(step, 0.0) == usual


def test_the_figures() -> None:
    minutes = [5 / 60, 0.5, 2, 7.5, 15, 30, 60, 120, 240, 480, 1440]
    assert [pause / 60_000 for pause in limits.RETRIES] == pytest.approx(minutes)
    assert limits.HELD_RETRY == 7 * DAY
    assert limits.REFUSED_RETRY == DAY
    assert limits.HEARD_PAUSE == HOUR


# --- a peer ---------------------------------------------------------------------------


def row(**changes: Any) -> Peer:
    return make.peer_row(**changes)


def test_what_is_due_now_wakes_a_silent_peer() -> None:
    silent = row(silent=3, wake_at=at(HOUR))
    assert peer.on_owed(silent, NOW, NOW) == row(wake_at=NOW)
    assert peer.on_owed(row(), NOW, NOW) == row(wake_at=NOW)
    assert peer.on_owed(row(wake_at=at(-5)), NOW, NOW) == row(wake_at=at(-5))


def test_what_is_due_later_does_not_press_a_silent_peer() -> None:
    silent = row(silent=3, wake_at=at(HOUR))
    assert peer.on_owed(silent, at(5), NOW) == silent
    assert peer.on_owed(row(), at(5), NOW) == row(wake_at=at(5))
    assert peer.on_owed(row(wake_at=at(9)), at(5), NOW).wake_at == at(5)
    assert peer.on_owed(row(wake_at=at(2)), at(5), NOW).wake_at == at(2)


def test_silence_follows_the_schedule() -> None:
    found, now = row(wake_at=NOW), NOW
    for step in range(13):
        found = peer.on_silence(found, now, 0.0, "timeout")
        assert found.wake_at == now + limits.RETRIES[min(step, 10)]
        assert (found.silent, found.silent_since) == (step + 1, NOW)
        now = found.wake_at
    answered = peer.on_answered(found, None)
    assert (answered.silent, answered.silent_since, answered.wake_at) == (0, None, None)
    assert peer.on_answered(found, at(9)).wake_at == at(9)


def test_pickups_have_their_own_clock() -> None:
    found = peer.on_wanted(row(), NOW)
    assert (found.pickup_at, found.wake_at) == (NOW, None)
    found = peer.on_pickup_silence(found, NOW, 0.0, "timeout")
    found = peer.on_pickup_silence(found, NOW, 0.0, "timeout")
    assert (found.pickup_silent, found.pickup_at) == (2, at(30 * SECOND))
    assert peer.on_wanted(found, at(5)).pickup_at == at(5)
    assert peer.on_wanted(found, at(5)).pickup_silent == 0
    done = peer.on_picked(found, None)
    assert (done.pickup_silent, done.pickup_at) == (0, None)


def test_whoever_is_heard_from_is_called_at_once() -> None:
    silent = row(silent=7, wake_at=at(DAY), pickup_silent=2, pickup_at=at(DAY))
    found, _ = peer.on_heard(silent, NOW)
    assert (found.silent, found.wake_at) == (0, NOW)
    assert (found.pickup_silent, found.pickup_at) == (0, NOW)
    quiet = row(nudged_at=NOW)
    assert peer.on_heard(quiet, NOW) == (quiet, False)


def test_held_and_refused_are_nudged_hourly_at_most() -> None:
    found, nudge = peer.on_heard(row(), NOW)
    assert nudge
    for length, expected in ((1, False), (HOUR - 1, False), (HOUR, True), (HOUR + 1, False)):
        found, nudge = peer.on_heard(found, at(length))
        assert nudge == expected


@given(st.lists(st.integers(0, 2 * HOUR), max_size=60))
def test_nudges_are_an_hour_apart(pauses: list[int]) -> None:
    found, now, nudges = row(), NOW, []
    for pause in pauses:
        now = Instant(now + pause)
        found, nudge = peer.on_heard(found, now)
        if nudge:
            nudges.append(now)
    assert all(b - a >= HOUR for a, b in pairwise(nudges))


def test_an_answered_poll() -> None:
    found = peer.on_poll_answer(row(lost=(at(-9), NOW)), at(1), at(DAY))
    assert (found.since, found.poll_at, found.lost) == (at(1), at(DAY), None)


def test_who_does_not_know_us_yet_has_not_heard_what_was_lost() -> None:
    found = peer.on_poll_answer(row(lost=(at(-9), NOW), met=False), at(1), at(DAY))
    assert (found.since, found.lost) == (at(1), (at(-9), NOW))


# --- the wall clock -------------------------------------------------------------------

STEADY = Millis(1_000)


def test_a_new_home_believes_its_clock() -> None:
    assert clock.believed(clock.on_start(NOW, STEADY, Instant(0)))


@pytest.mark.parametrize(
    ("last", "believed"),
    [
        (0, True),
        (-DAY, True),
        (-DAY - 1, False),
        (DAY, True),
        (DAY + 1, False),
        (-365 * DAY, False),
        (365 * DAY, False),
    ],
)
def test_starting(last: int, believed: bool) -> None:
    assert clock.believed(clock.on_start(NOW, STEADY, at(last))) == believed


@pytest.mark.parametrize("step", [DAY + 1, -DAY - 1, 365 * DAY, -365 * DAY])
def test_a_step_is_not_believed_for_a_day(step: int) -> None:
    guard = clock.on_start(NOW, STEADY, NOW)
    assert clock.stepped(guard, at(step), STEADY) == step
    guard = clock.on_look(guard, at(step), STEADY)
    assert clock.stepped(guard, at(step + DAY + 9), Millis(STEADY + DAY)) == 0
    assert not clock.believed(guard)
    for passed in (1, DAY - 1):
        guard = clock.on_look(guard, at(step + passed), Millis(STEADY + passed))
        assert not clock.believed(guard)
    guard = clock.on_look(guard, at(step + DAY), Millis(STEADY + DAY))
    assert clock.believed(guard)


def test_another_step_begins_the_day_anew() -> None:
    guard = clock.on_start(NOW, STEADY, at(-2 * DAY))
    guard = clock.on_look(guard, at(20 * DAY), Millis(STEADY + DAY - 1))
    guard = clock.on_look(guard, at(20 * DAY + 2), Millis(STEADY + DAY + 1))
    assert not clock.believed(guard)


@given(st.lists(st.tuples(st.integers(0, 3 * DAY), st.integers(-HOUR, HOUR)), max_size=30))
def test_a_clock_that_runs_is_believed(looks: list[tuple[int, int]]) -> None:
    guard, now, steady = clock.on_start(NOW, STEADY, NOW), NOW, STEADY
    for passed, drift in looks:
        steady = Millis(steady + passed)
        now = Instant(now + passed + drift)
        guard = clock.on_look(guard, now, steady)
        assert clock.believed(guard)
