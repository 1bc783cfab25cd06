"""What `doctor` makes of facts: every check says what is so, and what to do."""

import pytest

from node import doctor, limits
from node.config import Config, Network
from node.doctor import Finding
from node.units import DAY, GIB, MIB, MINUTE, Instant

NOW = Instant(1_800_000_000_000)


def ahead(*millis: int) -> list[dict[str, object]]:
    return [{"contact": "ben", "ahead": each} for each in millis]


def at(origin: str) -> Config:
    return Config(network=Network(origin=origin, private=True))


@pytest.mark.parametrize(
    ("made", "state", "words"),
    [
        (doctor.disk(100 * GIB, 200 * GIB), "ok", "100.0 GiB of 200.0 GiB"),
        (doctor.disk(GIB // 2, 200 * GIB), "warn", "512.0 MiB"),
        (doctor.disk(limits.DISK_LOW - 1, 200 * GIB), "fail", "64.0 MiB"),
        (doctor.disk(5 * MIB, 100 * MIB), "fail", "5.0 MiB of 100.0 MiB are free"),
        (doctor.descriptors(8192), "ok", "8,192"),
        (doctor.descriptors(1024), "warn", "1,024"),
        (doctor.descriptors(None), "unknown", "running node"),
        (doctor.clock(ahead(100, -300, 50), believed=True), "ok", "0.3 s of that of 3 contacts"),
        (doctor.clock(ahead(20 * MINUTE), believed=True), "fail", "20 min behind that of 1 cont"),
        (doctor.clock(ahead(-DAY, -DAY, 0), believed=False), "fail", "1440 min ahead of"),
        (doctor.clock(ahead(0, 0, 90 * MINUTE), believed=True), "ok", "3 contacts"),
        (doctor.clock(ahead(0), believed=False), "warn", "jumped"),
        (doctor.clock([], believed=True), "unknown", "no contact"),
        (doctor.clock(None, believed=True), "unknown", "running node"),
        (doctor.place(at("127.0.0.1:4625")), "ok", "this machine alone"),
        (doctor.place(at("127.0.0.1:4625")), "ok", "can't be picked up"),
        (doctor.place(at("10.0.0.1:4625")), "ok", "this network alone"),
        (doctor.place(at("anna.example:443")), "ok", "anna.example:443"),
        (doctor.place(at("anna.example:4700")), "warn", "port 4700"),
        (doctor.certificate(Instant(NOW + 90 * DAY), NOW, own=True), "ok", "90 more days"),
        (doctor.certificate(Instant(NOW + 3 * DAY), NOW, own=False), "warn", "3 more days"),
        (doctor.certificate(NOW, NOW, own=False), "fail", "expired"),
        (doctor.certificate(NOW, NOW, own=True), "fail", "expired"),
    ],
)
def test_findings(made: Finding, state: str, words: str) -> None:
    assert made.state == state
    assert words in made.detail
    assert made.next or state == "ok"


def test_archives_that_need_somebody() -> None:
    forked = {"name": "cats", "forked": True, "owner": None}
    behind = {"name": "dogs", "forked": False, "owner": "ben"}
    one, two = doctor.archives([forked, behind])
    assert (one.state, two.state) == ("warn", "warn")
    assert "cats: its key signed two histories" in one.detail
    assert (one.next or "").startswith("willcall archive show cats")
    assert "dogs: restored from a backup" in two.detail
    assert (two.next or "").startswith("willcall --owner ben archive poll dogs --from URL")


@pytest.mark.parametrize(
    ("days", "state"), [(None, "warn"), (0, "ok"), (29, "ok"), (30, "ok"), (31, "warn")]
)
def test_backups_grow_old(days: int | None, state: str) -> None:
    verified = None if days is None else "then"
    made = doctor.backup(verified, NOW, lambda _: Instant(NOW - (days or 0) * DAY))
    assert made.state == state
    assert (made.next is None) is (state == "ok")


def came(**facts: object) -> list[Finding]:
    row = {"contact": "ben", "state": "reached", "source": "11.22.33.2", "from": "outside"}
    return doctor.reached({"origin": "11.22.33.1:4625", "tried": [row | {"why": None} | facts]})


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ({}, "ok", "can be picked up from there"),
        ({"from": "this network", "source": "10.0.0.2"}, "unknown", "says nothing of others"),
        ({"from": "this machine", "source": "127.0.0.1"}, "unknown", "says nothing of others"),
        ({"state": "unknown", "why": "timeout"}, "unknown", "timeout"),
        ({"state": "not-reached"}, "fail", "did not come to 11.22.33.1:4625"),
    ],
)
def test_what_a_contact_s_coming_proves(facts: dict[str, object], state: str, words: str) -> None:
    """Never more than it does: from the same network it says nothing of the rest."""
    (made,) = came(**facts)
    assert made.state == state
    assert words in made.detail
    assert (made.next is None) is (state == "ok")
