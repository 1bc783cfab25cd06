"""Verdicts on notifications, pickups, and what they charge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.machines import inbox, pickup
from node.machines.inbox import (
    Accept,
    Busy,
    Declined,
    Known,
    Lane,
    Taken,
    Unreadable,
    Verdict,
    Wait,
)
from node.machines.rows import Account, Mail, Pickup, Withdrawn
from node.objects.notification import Notification
from node.units import DAY, GIB, MIB, SECOND, Instant
from tests import factories as make
from tests import strategies as some
from tests.factories import ALICE, BOB, KEEP, NOW

ITEM = make.item(ALICE, BOB, make.named(0))
ROOM = Account(owner=BOB.key, limit=GIB)
GONE = Withdrawn(
    owner=BOB.key, sender=ALICE.key, message=make.named(0), block=b"", until=Instant(NOW + KEEP)
)


def at(length: int) -> Instant:
    return Instant(NOW + length)


def item(**changes: object) -> Notification:
    return make.item(ALICE, BOB, make.named(0), **changes)  # type: ignore[arg-type]


# --- what anyone is told --------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "now", "reason"),
    [
        ({}, NOW, None),
        ({"size": 64 * MIB}, NOW, None),
        ({"size": 64 * MIB + 1}, NOW, "too-large"),
        ({"size": 2**53 - 1}, NOW, "too-large"),
        ({}, NOW - limits.CLOCK_SKEW, None),
        ({}, NOW - limits.CLOCK_SKEW - 1, "clock"),
        ({}, NOW + KEEP - 1, None),
        ({}, NOW + KEEP, "expired"),
        ({"keep_until": at(-1)}, NOW, "expired"),
        ({"issued": 0, "keep_until": at(1)}, NOW, None),
    ],
)
def test_shown(changes: dict[str, object], now: int, reason: str | None) -> None:
    assert inbox.shown(item(**changes), Instant(now), limits.MESSAGE_DEFAULT) == reason


def test_lanes() -> None:
    contact = make.peer_row(BOB, ALICE)
    unnamed = make.peer_row(BOB, ALICE, name=None)
    blocked = make.peer_row(BOB, ALICE, blocked=True)
    for holds in (True, False):
        assert inbox.lane(contact, holds) == Lane.CONTACT
        assert inbox.lane(blocked, holds) == Lane.STRANGER
        assert inbox.lane(blocked.but(name=None), holds) == Lane.STRANGER
        replaced = contact.but(heir=make.CAROL.key)
        assert inbox.lane(replaced, holds) == (Lane.REPLACED if holds else Lane.STRANGER)
        assert inbox.lane(replaced.but(blocked=True), holds) == Lane.STRANGER
    for nobody in (None, unnamed):
        assert inbox.lane(nobody, True) == Lane.BEFORE
        assert inbox.lane(nobody, False) == Lane.STRANGER


# --- verdicts -------------------------------------------------------------------------

NEW = make.mail_row()
SHOWN_WAITING = make.mail_row(state="waiting")
FAILED = make.mail_row(state="failed")
WANTED = make.pickup_row()
WAITING = make.pickup_row(state="waiting", reason="waiting")
BROKEN = make.pickup_row(failures=3)
LARGE = {"size": limits.ASK_OVER + 1}
FULL = Account(owner=BOB.key, limit=77 + inbox.needed(23), inbox=77)
MISSED = make.mail_row(state="deleted", missed=True, keep_until=NOW)
FAILED_AND_DELETED = make.mail_row(state="deleted", missed=True)


@pytest.mark.parametrize(
    ("changes", "mail", "gone", "row", "account", "expected"),
    [
        ({}, None, None, None, ROOM, Accept()),
        ({}, NEW, None, None, ROOM, Known()),
        ({}, make.mail_row(state="read"), None, None, ROOM, Known()),
        ({}, make.mail_row(state="deleted"), None, None, ROOM, Known()),
        ({}, MISSED, None, None, ROOM, Declined()),
        ({}, MISSED, GONE, None, ROOM, Taken()),
        ({}, NEW, GONE, None, ROOM, Known()),
        ({}, NEW, None, BROKEN, FULL, Known()),
        ({}, None, GONE, None, ROOM, Taken()),
        ({}, SHOWN_WAITING, GONE, WAITING, ROOM, Taken()),
        ({}, FAILED, None, None, ROOM, Accept()),
        ({}, FAILED_AND_DELETED, None, None, ROOM, Accept()),
        ({}, FAILED_AND_DELETED, GONE, None, ROOM, Taken()),
        (LARGE, FAILED_AND_DELETED, None, None, ROOM, Wait(reason="waiting")),
        ({}, None, None, BROKEN, ROOM, Unreadable()),
        ({}, None, None, make.pickup_row(failures=2), ROOM, Accept()),
        ({"size": limits.ASK_OVER}, None, None, None, ROOM, Accept()),
        (LARGE, None, None, None, ROOM, Wait(reason="waiting")),
        (LARGE, SHOWN_WAITING, None, WAITING, ROOM, Wait(reason="waiting")),
        (LARGE, SHOWN_WAITING, None, WANTED, ROOM, Accept()),
        ({"size": 23}, None, None, None, FULL, Accept()),
        ({"size": 24}, None, None, None, FULL, Wait(reason="over-quota")),
        (LARGE, None, None, None, FULL, Wait(reason="waiting")),
        ({"size": 24}, None, None, WANTED, FULL, Accept()),
        ({"size": 0}, None, None, None, FULL, Accept()),
    ],
)
def test_verdicts(
    changes: dict[str, object],
    mail: Mail | None,
    gone: Withdrawn | None,
    row: Pickup | None,
    account: Account,
    expected: Verdict,
) -> None:
    found = inbox.verdict(item(**changes), mail, gone, row, account, limits.ASK_OVER, 0)
    assert found == expected


@pytest.mark.parametrize(
    ("changes", "mail", "gone", "row", "expected"),
    [
        ({}, None, None, None, Busy()),
        (LARGE, None, None, None, Busy()),
        ({}, FAILED, None, None, Busy()),
        ({}, NEW, None, None, Known()),
        ({}, MISSED, None, None, Declined()),
        ({}, None, GONE, None, Taken()),
        ({}, None, None, WANTED, Accept()),
        (LARGE, SHOWN_WAITING, None, WAITING, Wait(reason="waiting")),
    ],
)
def test_verdicts_where_a_contact_told_of_too_much(
    changes: dict[str, object],
    mail: Mail | None,
    gone: Withdrawn | None,
    row: Pickup | None,
    expected: Verdict,
) -> None:
    """What is known goes on; nothing is added."""
    most = limits.MADE_BY_ONE
    found = inbox.verdict(item(**changes), mail, gone, row, ROOM, limits.ASK_OVER, most)
    assert found == expected
    fewer = inbox.verdict(item(**changes), mail, gone, row, ROOM, limits.ASK_OVER, most - 1)
    assert fewer != Busy()


@given(some.accounts)
def test_used_is_the_sum_of_the_columns(account: Account) -> None:
    columns = (account.waiting, account.grace, account.sent, account.inbox)
    assert inbox.used(account) == sum(columns)


# --- the pickup row -------------------------------------------------------------------


def test_a_first_notification_makes_a_pickup() -> None:
    found = inbox.pickup_of(ITEM, None, Accept(), at(5))
    assert (found.state, found.reason, found.next_at) == ("wanted", None, at(5))
    assert (found.boxed, found.ticket, found.origin) == (ITEM.key, ITEM.ticket, ITEM.origin)
    assert found.received == at(5)
    waits = inbox.pickup_of(ITEM, None, Wait(reason="waiting"), at(5))
    assert (waits.state, waits.reason, waits.next_at) == ("waiting", "waiting", None)


def test_the_newest_issued_replaces_the_older() -> None:
    first = inbox.pickup_of(ITEM, None, Accept(), NOW)
    newer = item(
        issued=at(1),
        key=bytes(80),
        ticket=bytes(16),
        origin="b.example:1",
        keep_until=at(DAY),
    )
    found = inbox.pickup_of(newer, first, Accept(), at(9))
    assert (found.boxed, found.ticket, found.origin) == (bytes(80), bytes(16), "b.example:1")
    assert (found.issued, found.keep_until) == (at(1), at(DAY))
    assert (found.received, found.next_at) == (NOW, first.next_at)
    for old in (ITEM, newer):
        assert inbox.pickup_of(old, found, Wait(reason="waiting"), at(10)) == found


def test_failures_outlive_a_newer_notification() -> None:
    found = inbox.pickup_of(item(issued=at(1)), BROKEN, Accept(), at(9))
    assert found.failures == 3


@given(st.lists(st.integers(0, 100), min_size=1, max_size=10))
def test_the_order_of_arrival_does_not_matter(issued: list[int]) -> None:
    found = None
    for each in issued:
        told = item(issued=at(each), keep_until=at(DAY + each))
        found = inbox.pickup_of(told, found, Accept(), NOW)
    assert found is not None
    assert (found.issued, found.keep_until) == (at(max(issued)), at(DAY + max(issued)))


# --- picking up -----------------------------------------------------------------------


@given(st.integers(0, 20), some.jitters)
def test_pickups_follow_the_schedule(step: int, jitter: float) -> None:
    found = pickup.on_attempt(make.pickup_row(step=step), NOW, jitter)
    usual = limits.RETRIES[min(step, 10)]
    assert found.next_at is not None
    assert 0.8 * usual - 1 <= found.next_at - NOW <= 1.2 * usual
    assert found.step == step + 1


def test_three_failures_and_no_more() -> None:
    found = pickup.on_attempt(make.pickup_row(), NOW, 0)
    for failures in (1, 2):
        found = pickup.on_unverified(found)
        assert (found.failures, found.next_at) == (failures, at(5 * SECOND))
    found = pickup.on_unverified(found)
    assert (found.failures, found.next_at) == (3, None)


def test_called_for_and_full() -> None:
    found = pickup.on_called(make.pickup_row(state="waiting", reason="waiting", step=4), at(3))
    assert (found.state, found.reason, found.next_at, found.step) == ("wanted", None, at(3), 0)
    full = pickup.on_full(found)
    assert (full.state, full.reason, full.next_at) == ("waiting", "over-quota", None)
    assert pickup.on_called(full, at(4)).state == "wanted"
