"""What is said of a stranger's message: held, allowed, and gone before it was fetched."""

import json
from typing import Any

import pytest
import trio

from node import limits
from node.encoding import cid, names
from node.localapi.app import LocalApi
from node.objects import notification, report
from node.ports import Response
from node.services import views
from node.services.mailbox import Mailbox
from tests.fakes.world import Machine, until, world
from tests.localapi.client import call
from tests.services.puppet import Puppet
from tests.services.test_callback import Stranger, slot, slots, wrote
from tests.services.test_delivery import key_of


async def asked(machine: Machine, what: str, ref: str) -> Any:
    return (await call(LocalApi(machine.on), f"GET {what}", ref)).document()


def promise(machine: Machine) -> str:
    rows = machine.on.core.db.read(lambda tx: list(tx.promises.scan()))
    return rows[0].state if rows else ""


async def test_a_broken_promise_is_reported_explained_and_told(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        name = cid.show((await slot(anna)).message or b"")
        eve.says["/v1/blocks"] = Response(status=404)
        eve.says[f"/v1/blocks/{name}"] = Response(status=410)
        await Mailbox(anna.on.core).allow_message(anna.owner(), name)
        await until(lambda: promise(anna) == "broken", 7200)

        told = await asked(anna, "report", name[-8:])
        proved = report.verify(json.dumps(told).encode())
        assert (proved["author"], proved["message"]) == (names.did(eve.key), name)
        assert proved["keep_until"] > anna.now()
        assert proved["lists_origin"] is True
        assert proved["said"]["promise"] == "broken"
        assert (proved["said"]["source"], proved["said"]["domain"]) == ("192.0.2.7", "eve.org")

        why = await asked(anna, "explain", name)
        assert (why["did"], why["verdict"], why["rule"]) == (
            names.did(eve.key), "accept", "allowed",
        )  # fmt: skip
        assert "does not keep it any more" in why["why"]

        steps = await asked(anna, "log", name[-8:])
        assert [step["step"] for step in steps][-2:] == ["pickup-failed", "failed"]
        assert "does not keep it any more" in steps[-1]["detail"]
        assert "signed" in steps[-1]["detail"]


async def test_a_report_says_when_it_came_from_there(autojump_clock: object) -> None:
    """An address is accused of what came from it, at that time and no other."""
    async with world() as w:
        anna = await w.add("anna")
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.8", resolves=False)
        message = (await slot(anna)).message
        assert message is not None
        await trio.sleep(3600)
        eve.source, second = "192.0.2.7", views.time(anna.now())
        w.net.dns.hosts["node.eve.org"] = ("192.0.2.7",)
        await eve.notify(anna, eve.item(anna, message))
        await until(lambda: slots(anna)[0].source == "192.0.2.7", 60)
        assert second is not None
        for allowed in (False, True):
            said = (await asked(anna, "report", cid.show(message)))["said"]
            assert said["source"] == "192.0.2.7"
            assert second[:16] == said["received"][:16], allowed
            if not allowed:
                await trio.sleep(3 * 3600)
                await Mailbox(anna.on.core).allow_message(anna.owner(), cid.show(message))
                await until(lambda: len(anna.inbox()) == 1, 600)


@pytest.mark.parametrize("what", ["report", "explain"])
async def test_mail_of_the_inbox_is_named_by_its_number(autojump_clock: object, what: str) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        message = await ben.send([key_of(anna)], b"hello")
        await until(lambda: len(anna.inbox()) == 1)
        assert (await asked(anna, what, "1"))["message"] == cid.show(message)
        answer = await call(LocalApi(anna.on), f"GET {what}", "2")
        assert (answer.status, answer.reason()) == (404, "absent")
        answer = await call(LocalApi(anna.on), f"GET {what}", "nonsense")
        assert (answer.status, answer.reason()) == (404, "absent")


def line(eve: Puppet, machine: Machine, number: int) -> dict[str, Any]:
    """A recorded notification, as `held --raw` gives them."""
    word = str(number)
    raw = notification.encode(eve.item(machine, eve.letter(word=word), word=word))
    proof = notification.evidence_of(eve.batch(raw))[0]
    return {
        "source": "192.0.2.7",
        "notification": names.b64(notification.encode_evidence(proof)),
    }


async def tried(machine: Machine, rows: list[dict[str, Any]]) -> Any:
    return (await call(LocalApi(machine.on), "POST try", body={"rows": rows})).document()


async def test_trying_a_policy_takes_no_look_ups_from_those_who_write(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        api = LocalApi(anna.on)
        rows = []
        for number in range(limits.LOOKUP_DOMAIN + 5):
            host = f"w{number}.eve.org"
            w.net.dns.hosts[host] = ("192.0.2.7",)
            mallory = Stranger(w, f"mallory {number}", 50 + number)
            rows.append(line(mallory.at(host, "192.0.2.7"), anna, number))
        made = (await call(api, "POST try", body={"rows": rows})).document()
        assert "eve.org is proven" in made[0]["personal"]["why"]
        assert "no domain answers" in made[-1]["personal"]["why"]  # bounded all the same
        await wrote(w, anna, "node.eve.org", "192.0.2.8")
        assert (await slot(anna)).by == "address"


@pytest.mark.parametrize(("iprev", "asked_then"), [(None, False), ("pass", True)])
async def test_what_was_not_asked_that_day_is_said(
    autojump_clock: object, iprev: str | None, asked_then: bool
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        facts = {"source": "192.0.2.7", "domain": "eve.org", "proven": "address", "iprev": iprev}
        facts |= {"reverse_domain": "eve.org"} if iprev else {}
        (made,) = await tried(anna, [{"did": "d", "message": "m", "facts": facts}])
        assert made["strict"]["verdict"] == made["personal"]["verdict"] == "hold"
        assert ("held --raw" in made["strict"]["why"]) is not asked_then
        assert "held --raw" not in made["personal"]["why"]
