"""What a monitor is told: true numbers in the standard form, and nobody's name."""

import json
import re
from dataclasses import replace

import trio

from node.asgi import Traffic
from node.limits import DISK_LOW
from node.localapi.app import LocalApi
from node.localapi.monitor import Watched
from node.localapi.rights import MONITOR, RIGHTS
from node.ports import Process
from node.server.peer import PeerFace
from node.services import vitals
from node.services.core import Tally
from tests.fakes.world import world
from tests.localapi.client import bearer, call
from tests.services.test_delivery import key_of

SAMPLE = re.compile(r'(\w+)(\{(?:\w+="(?:[^"\\\n]|\\.)*",?)+\})? (-?\d+(?:\.\d+)?(?:e-?\d+)?)')
WELL = Process(
    memory=50 << 20,
    cpu=1.5,
    threads=3,
    descriptors=20,
    descriptors_most=1024,
    disk_free=1 << 40,
    disk_size=1 << 41,
)


def read(text: str) -> dict[str, float]:
    """The samples of a page of metrics, by name and labels; it must be of the form 0.0.4."""
    found: dict[str, float] = {}
    family = kind = ""
    seen: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in seen, family
            seen.add(family)
            assert len(line.split()) > 3, line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == family
            assert kind in ("counter", "gauge")
            assert name.endswith("_total") or kind == "gauge" or name.endswith("_bytes")
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            assert sample[1] == family
            key = sample[1] + (sample[2] or "")
            assert key not in found, key
            found[key] = float(sample[3])
    return found


async def metrics(api: LocalApi) -> dict[str, float]:
    answer = await call(api, "GET metrics")
    assert answer.status == 200
    assert answer.headers[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"
    return read(answer.body.decode())


async def test_numbers_follow_the_mail(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await anna.join(await ben.invite())
        traffic = Traffic()
        face = PeerFace(anna.on.peers, (), traffic)
        watched = Watched(traffic={"public": traffic}, process=lambda: WELL)
        api = LocalApi(anna.on, watched=watched)
        before = await metrics(api)
        assert before["willcall_owners"] == 1
        assert before['willcall_deliveries_open{state="stored"}'] == 0
        assert before["willcall_oldest_open_seconds"] == 0
        assert before["process_resident_memory_bytes"] == 50 << 20
        assert before["willcall_verified_backup_timestamp_seconds"] == 0
        assert before["willcall_clock_believed"] == 1
        to = key_of(ben)
        await w.off(ben)
        await anna.send([to], b"x" * 1000)
        await trio.sleep(3 * 3600)
        after = await metrics(api)
        assert after['willcall_deliveries_open{state="stored"}'] == 1
        assert after["willcall_oldest_open_seconds"] >= 3 * 3600
        assert after["willcall_sent_messages"] == 1
        assert after['willcall_quota_used_bytes{by="waiting"}'] > 1000
        assert sum(v for k, v in after.items() if k.startswith("willcall_unanswered_total")) > 3
        # Calls are counted by route: what a caller writes into a path is nobody's label.
        for path in ("v1", "a", "b", "c" * 100):
            assert (await call(face, f"GET {path}")).status == 404
        calls = await metrics(api)
        assert calls['willcall_requests_total{method="other",call="other",status="404"}'] == 4
        assert len(calls) - len(after) == 1
        text = (await call(api, "GET metrics")).body.decode()
        for word in ("z6Mk", "bafy", "anna", "ben", anna.origin, ben.origin):
            assert word not in text


async def test_health(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        process = WELL
        api = LocalApi(anna.on, watched=Watched(process=lambda: process))
        answer = await call(api, "GET health")
        document = answer.document()
        assert document["ok"] is True
        assert document["problems"] == []
        process = replace(WELL, disk_free=DISK_LOW - 1)
        answer = await call(api, "GET health")
        assert answer.status == 503
        assert json.loads(answer.body)["problems"] == ["disk-low"]


async def test_a_monitor_s_token_opens_numbers_and_nothing_else(autojump_clock: object) -> None:
    async with world() as w:
        api = LocalApi((await w.add("anna")).on)
        body = {"device": "prometheus", "monitor": True}
        made = (await call(api, "POST token", "anna", body=body)).document()
        assert made["opens"] == "monitor"
        plain = (await call(api, "POST token", "anna", body={})).document()
        assert plain["opens"] == "owner"
        for name, right in RIGHTS.items():
            answer = await call(api, name, headers=bearer(made["token"]))
            assert (answer.status == 403) is (right != MONITOR), name
            if right == MONITOR:
                refused = await call(api, name, headers=bearer(plain["token"]))
                assert (refused.status, refused.reason()) == (403, "administrator")


def test_words_of_a_kind_are_bounded() -> None:
    tally = Tally()
    for number in range(10_000):
        tally.add("unanswered", f"status-{number}")
    assert len(tally.of("unanswered")) == Tally.MOST + 1
    assert tally.of("unanswered")["other"] == 10_000 - Tally.MOST
    assert tally.of("nothing") == {}


def test_every_state_that_is_not_the_end_is_counted() -> None:
    from node.machines import outbox
    from node.machines.rows import Delivery

    fields = Delivery.__doc__ or ""
    states = re.search(r"state: ([a-z, ]+)\.", fields)
    assert states
    ended = ("confirmed", "retracted", "expired")
    assert set(vitals.OPEN) == set(states[1].split(", ")) - set(ended)
    assert set(vitals.OPEN) >= outbox.PAUSED
