"""Which column a message is charged to, and that no byte is counted twice or lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import limits
from node.machines import inbox, outbox, retention
from node.machines.rows import Account, Delivery, Sent
from node.units import DAY, Instant
from tests import factories as make
from tests import strategies as some
from tests.factories import NOW


def at(length: int) -> Instant:
    return Instant(NOW + length)


OPEN = make.delivery(state="notified", announced=True)


def test_a_receipt_starts_the_grace() -> None:
    done = outbox.on_receipt(OPEN, NOW, at(5))
    found = retention.on_change(make.sent_row(), OPEN, done)
    assert (found.open, found.grace_until) == (0, at(5 + limits.GRACE))
    assert retention.charge(found, at(5), True) == "grace"
    assert retention.charge(found, at(4 + limits.GRACE), True) == "grace"
    assert retention.charge(found, at(5 + limits.GRACE), True) == "sent"
    assert retention.charge(found, at(5 + limits.GRACE), False) == "gone"


def test_the_last_first_receipt_counts() -> None:
    done = outbox.on_receipt(OPEN, NOW, at(5))
    row = retention.on_change(make.sent_row(open=2), OPEN, done)
    assert retention.charge(row, at(6), False) == "waiting"
    later = outbox.on_receipt(OPEN, NOW, at(DAY))
    row = retention.on_change(row, OPEN, later)
    assert (row.open, row.grace_until) == (0, at(DAY + limits.GRACE))
    earlier = retention.on_change(row.but(open=1), OPEN, done)
    assert earlier.grace_until == at(DAY + limits.GRACE)


@pytest.mark.parametrize("end", [outbox.on_retract, lambda row: outbox.on_clock(row, at(99 * DAY))])
def test_without_a_receipt_there_is_no_grace(end: object) -> None:
    over = end(OPEN)  # type: ignore[operator]
    found = retention.on_change(make.sent_row(), OPEN, over)
    assert (found.open, found.grace_until) == (0, None)
    assert retention.charge(found, at(99 * DAY), True) == "sent"
    assert retention.charge(found, at(99 * DAY), False) == "gone"


def test_lost_mail_is_charged_as_waiting_again() -> None:
    done = outbox.on_receipt(OPEN, NOW, NOW)
    row = retention.on_change(make.sent_row(), OPEN, done)
    again = outbox.on_lost(done, at(-1), at(1), at(2), at(2))
    row = retention.on_change(row.but(charge="grace"), done, again)
    assert row.open == 1
    assert retention.charge(row, at(30 * DAY), False) == "waiting"


@pytest.mark.parametrize(
    ("own", "configured", "column"),
    [
        (None, True, "sent"),
        (None, False, "gone"),
        (True, False, "sent"),
        (False, True, "gone"),
    ],
)
def test_keep_sent_overrides_the_configuration(
    own: bool | None, configured: bool, column: str
) -> None:
    assert retention.charge(make.sent_row(open=0, keep_sent=own), NOW, configured) == column


def test_what_is_gone_stays_gone() -> None:
    for count in (0, 1):
        assert retention.charge(make.sent_row(open=count, charge="gone"), NOW, True) == "gone"


def test_when_to_sweep() -> None:
    assert retention.next_sweep(make.sent_row()) is None
    graced = make.sent_row(open=0, charge="grace", grace_until=at(9))
    assert retention.next_sweep(graced) == at(9)
    assert retention.next_sweep(graced.but(open=1)) is None
    assert retention.next_sweep(graced.but(charge="sent")) is None


def test_all_over() -> None:
    over = outbox.on_retract(OPEN)
    assert retention.all_over([])
    assert retention.all_over([over, over])
    assert not retention.all_over([over, OPEN])


columns = st.sampled_from([*retention.COLUMNS, "gone"])


@given(some.accounts, columns, columns, st.integers(0, 10**9))
def test_moving_conserves_the_sum(account: Account, before: str, after: str, size: int) -> None:
    found = retention.moved(account, before, after, size)
    lost = size if before != "gone" and after == "gone" else 0
    gained = size if before == "gone" and after != "gone" else 0
    assert inbox.used(found) == inbox.used(account) - lost + gained
    assert retention.moved(found, after, before, size) == account
    untouched = set(retention.COLUMNS) - {before, after}
    assert all(getattr(found, word) == getattr(account, word) for word in untouched)


facts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["attempt", "receipt", "retract", "clock", "lost", "sweep"]),
        st.integers(0, 20 * DAY),
    ),
    max_size=40,
)


def applied(row: Delivery, fact: str, now: Instant) -> Delivery:
    if fact == "attempt":
        return outbox.on_attempt(row, now, 0)
    if fact == "receipt":
        return outbox.on_receipt(row, now, now)
    if fact == "retract":
        return outbox.on_retract(row)
    if fact == "lost":
        return outbox.on_lost(row, Instant(now - DAY), now, now, now)
    return outbox.on_clock(row, now) if fact == "clock" else row


@given(facts, st.booleans())
def test_a_message_is_in_one_column_until_it_is_gone(
    happened: list[tuple[int, str, int]], keep_sent: bool
) -> None:
    """I6: nothing is freed while an addressee is open, nor within anybody's grace."""
    rows = [make.delivery() for _ in range(3)]
    sent: Sent = make.sent_row(open=3)
    account, now = Account(owner=sent.owner, limit=10**9, waiting=sent.stored), NOW
    for which, fact, pause in happened:
        now = Instant(now + pause)
        before = rows[which]
        if sent.charge != "gone" or fact != "lost":
            rows[which] = applied(before, fact, now)
        sent = retention.on_change(sent, before, rows[which])
        column = retention.charge(sent, now, keep_sent)
        if column == "gone" != sent.charge:
            assert retention.all_over(rows)
            firsts = [row.first_receipt for row in rows if row.first_receipt is not None]
            assert all(now >= first + limits.GRACE for first in firsts)
        account = retention.moved(account, sent.charge, column, sent.stored)
        sent = sent.but(charge=column)
        assert sent.open == sum(map(outbox.is_open, rows))
        if column == "gone":
            assert inbox.used(account) == 0
        else:
            assert inbox.used(account) == getattr(account, column) == sent.stored


# --- sealing keys -------------------------------------------------------------------------

YEAR = limits.SEALING_KEPT


@pytest.mark.parametrize(
    ("made", "now", "kept"),
    [
        ([0], 10 * YEAR, [0]),  # the present one, however old
        ([5, 0], 5 + YEAR - 1, [5, 0]),  # counted from when it was replaced, not made
        ([5, 0], 5 + YEAR, [5]),
        ([9, 5, 0], 5 + YEAR, [9, 5]),
        ([9, 8, 7, 6, 5], 9, [9, 8, 7, 6]),  # never more than are tried
    ],
)
def test_how_long_old_sealing_keys_stay(made: list[int], now: int, kept: list[int]) -> None:
    sealing = tuple((bytes([each]), each) for each in made)
    found = retention.kept_keys(sealing, Instant(now))
    assert [each for _, each in found] == kept


@pytest.mark.parametrize(
    ("verified", "since", "days", "overdue"),
    [
        (0, 0, 30, False),
        (0, 0, 31, True),
        (0, 20, 31, False),
        (20, 0, 50, False),
        (20, 0, 51, True),
    ],
)
def test_a_backup_is_due_a_month_after_the_last(
    verified: int, since: int, days: int, overdue: bool
) -> None:
    at = [Instant(each * DAY) for each in (verified, since, days)]
    assert retention.backup_overdue(at[0], at[1], at[2]) is overdue
