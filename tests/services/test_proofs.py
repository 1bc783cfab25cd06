"""What proves a domain is for one place, is looked for again, and can't be used up by others."""

import pytest
import trio

from node.objects.record import Endpoint
from node.ports import Request, Response
from tests.fakes.world import Machine, World, until, world
from tests.services.test_callback import HOUR, Stranger, calls, slots, strict, wrote


async def again(eve: Stranger, to: Machine) -> None:
    """The same message, announced once more."""
    await trio.sleep(1)
    message = slots(to)[0].message
    assert message is not None
    await eve.notify(to, eve.item(to, message))


# --- proven later ----------------------------------------------------------------------------


async def test_who_wrote_from_elsewhere_first_is_called_when_proven(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = Stranger(w, "eve", 7).at("node.eve.org", "192.0.2.7")
        eve.source = "203.0.113.5"
        await eve.notify(anna, eve.item(anna, eve.letter()))
        await until(lambda: len(slots(anna)) == 1, 60)
        await trio.sleep(60)
        assert (slots(anna)[0].by, calls(eve)) == (None, 0)
        eve.source = "192.0.2.7"
        await again(eve, anna)
        await until(lambda: calls(eve) == 1, 600)
        await until(lambda: slots(anna)[0].shown > 0, 2 * HOUR)


async def test_whose_dns_was_down_for_all_tries_is_called_when_told_again(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        w.net.dns.broken["node.eve.org"] = "temporary"
        eve = await wrote(w, anna, "node.eve.org", "192.0.2.7")
        await trio.sleep(30 * HOUR)
        assert calls(eve) == 0
        del w.net.dns.broken["node.eve.org"]
        await again(eve, anna)
        await until(lambda: calls(eve) == 2, 2 * HOUR)


# --- what others claim -----------------------------------------------------------------------


@pytest.mark.parametrize("hosts", ["others", "the very one"])
async def test_a_network_that_claims_a_domain_does_not_keep_its_owner_out(
    autojump_clock: object, hosts: str
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        w.net.dns.hosts["mail.honest.org"] = ("192.0.2.7",)
        for n in range(60):
            bot = Stranger(w, f"bot-{n}", 100 + n)
            host = f"h{n}.honest.org" if hosts == "others" else "mail.honest.org"
            bot.origin, bot.source = f"{host}:4625", "198.51.100.1"
            await bot.notify(anna, bot.item(anna, bot.letter()))
        await trio.sleep(60)
        honest = await wrote(w, anna, "mail.honest.org", "192.0.2.7")
        await until(lambda: calls(honest) == 1, 600)


async def test_many_networks_that_claim_a_domain_do_not_keep_out_whose_address_has_its_name(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        for n in range(200):
            bot = Stranger(w, f"bot-{n}", 100 + n)
            bot.origin, bot.source = f"h{n}.honest.org:4625", f"198.51.{n}.1"
            await bot.notify(anna, bot.item(anna, bot.letter()))
        await trio.sleep(60)
        w.net.dns.reverse["192.0.2.7"] = ("mail.honest.org",)
        honest = await wrote(w, anna, "mail.honest.org", "192.0.2.7")
        await until(lambda: calls(honest) == 1, 600)


async def test_nobody_s_name_servers_are_flooded(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        began = trio.current_time()
        for n in range(400):
            bot = Stranger(w, f"bot-{n}", 100 + n)
            bot.origin, bot.source = f"h{n}.honest.org:4625", f"198.{n % 200}.{n}.1"
            await bot.notify(anna, bot.item(anna, bot.letter()))
            await trio.sleep(1)
        asked = [name for name in w.net.dns.asked if name.endswith("honest.org")]
        assert 100 < len(asked) <= 121 + (trio.current_time() - began) / 30


# --- one proof, one place --------------------------------------------------------------------


@pytest.mark.parametrize("first", ["message", "introduction"])
async def test_the_proof_of_one_origin_is_none_for_another(
    autojump_clock: object, first: str
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        victim = Stranger(w, "victim", 99).at("www.victim.org", "198.51.100.9")
        eve = Stranger(w, "eve", 98).at("node.eve.org", "192.0.2.7")

        async def message() -> None:
            await eve.notify(anna, eve.item(anna, eve.letter(), origin=victim.origin))

        async def introduction() -> None:
            await eve.introduce(anna, record=eve.record(nodes=(Endpoint(origin=eve.origin),)))

        steps = (message, introduction) if first == "message" else (introduction, message)
        for step in steps:
            await step()
            await trio.sleep(60)
        row = slots(anna)[0]
        assert (row.origin, row.domain, row.by) == (victim.origin, "victim.org", None)
        await trio.sleep(10 * HOUR)
        await w.off(anna)
        await w.back(anna)
        await trio.sleep(10 * HOUR)
        assert victim.heard == []


async def test_the_domain_s_own_word_is_asked_for_at_the_proven_address(
    autojump_clock: object,
) -> None:
    async with world() as w:
        anna = await w.add("anna")
        asked: list[str | None] = []

        def watch(source: str, to: str, request: Request, answer: Response) -> None:
            if "webfinger" in request.path:
                asked.append(request.only)

        w.net.watchers.append(watch)
        eve = Stranger(w, "eve", 7).at("node.eve.org", "192.0.2.7")
        w.net.machines["node.eve.org:443"] = w.net.machines[eve.origin]
        await eve.notify(anna, eve.item(anna, eve.letter()))
        await until(lambda: bool(asked), 600)
        assert set(asked) == {"192.0.2.7"}


# --- strict ----------------------------------------------------------------------------------


async def doubtful(w: World) -> tuple[Machine, Stranger]:
    """To the strict policy eve's domain is proven, and her reverse DNS does not answer."""
    anna = await w.add("anna")
    strict(anna)
    w.net.dns.broken["192.0.2.7"] = "temporary"
    return anna, await wrote(w, anna, "node.eve.org", "192.0.2.7")


async def test_strict_shows_nobody_whose_reverse_dns_is_not_known(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await doubtful(w)
        await trio.sleep(3 * HOUR)
        assert calls(eve) == 0
        await trio.sleep(30 * HOUR)
        assert (slots(anna), calls(eve)) == ([], 0)


async def test_strict_waits_for_a_reverse_dns_that_is_down(autojump_clock: object) -> None:
    async with world() as w:
        anna, eve = await doubtful(w)
        await trio.sleep(0.5 * HOUR)
        del w.net.dns.broken["192.0.2.7"]
        w.net.dns.reverse["192.0.2.7"] = ("node.eve.org",)
        await until(lambda: calls(eve) == 2, 9 * HOUR)
        assert slots(anna)[0].shown


async def test_strict_is_not_passed_by_many_of_one_network(autojump_clock: object) -> None:
    async with world() as w:
        anna = await w.add("anna")
        strict(anna)
        crowd = [await wrote(w, anna, f"n{n}.eve.org", f"192.0.2.{n}") for n in range(60)]
        await trio.sleep(30 * HOUR)
        assert (slots(anna), sum(map(calls, crowd))) == ([], 0)


# --- a node that starts again ----------------------------------------------------------------


@pytest.mark.parametrize("up", [True, False])
async def test_a_start_calls_nobody_before_the_time(autojump_clock: object, up: bool) -> None:
    async with world() as w:
        anna = await w.add("anna")
        eve = Stranger(w, "eve", 7).at("node.eve.org", "192.0.2.7")
        if not up:
            del w.net.machines[eve.origin]
        await eve.notify(anna, eve.item(anna, eve.letter()))

        def tried() -> int:
            return sum(1 for _, to, _ in w.net.calls if to == eve.origin)

        await until(lambda: tried() == 1, 600)
        for _ in range(5):
            await trio.sleep(300)
            await w.off(anna)
            await w.back(anna)
        assert tried() == 1
        assert len(slots(anna)) == 1
