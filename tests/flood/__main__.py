"""`make flood`: bots against one real node, each goal beside its figure.

    python -m tests.flood [BOTS] [ITEMS] [SECONDS]      1,000 × 1,000 unless told otherwise

A fifth of the bots is down when called back, a quarter comes through a trusted proxy, one in fifty
names a third party as its origin. All have a proven domain (or claim one, behind the proxy): a real
DNS server knows them. After SECONDS the bots that still speak fall silent, and the table counts
what was said. Then a part of the same crowd, with letters that open, comes to two nodes: one as it
is, and one without defences (`tests.flood.beside`).

The bots' process is nice: a real flood does not compute on its victim's processors. Goals on
time are of this machine all the same: a busy one fails them. Processor time is the scheduler's
count for the node's process, which waiting does not change; it still is higher where others
empty the caches.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

import trio

from node import limits
from node.crypto import spki
from node.encoding import address, names
from node.services.gate import Seen
from node.store import keyspace
from node.store.keyspace import stop_of
from node.store.leveldb import LevelDbKv
from tests.client.knot import knot
from tests.conftest import CHECKOUT
from tests.e2e.homes import Home, clean_env, meet
from tests.flood import beside
from tests.flood.bots import Bot, Homes, Line
from tests.flood.table import cpu, memory, p99, row
from tests.server.certificates import Authority, der_of

LETTERS = 100
"""Letters of a contact before the flood; during it they go on as long as it does."""
AT_ONCE = 16
"""Bots that speak at the same time: more only wait."""
FRESH = 1_000
"""Strangers nobody heard of, to see what one costs; first so many to fill the ring."""
NICE = 2
"""How far the bots stand back for the nodes."""


def zone(bots: list[Bot]) -> dict[str, str]:
    """The names of the bots that come by themselves: each domain is one's own."""
    lines = [f"{b.host.removesuffix('.com')} A {b.source}" for b in bots if not b.proxied]
    return {"com": "\n".join(lines) + "\nvictim A 127.9.9.9\n"}


def crowd(count: int, port: int, victim: int) -> list[Bot]:
    """The bots."""
    made = []
    for n in range(count):
        proxied = n % 4 == 3
        source = f"198.18.{n >> 8}.{n & 255}" if proxied else f"127.{1 + (n >> 8)}.{n & 255}.1"
        bot = Bot(number=n + 1, host=f"bot{n}.com", source=source, port=port, proxied=proxied)
        bot.up = n % 5 != 0
        if n % 50 == 7:
            bot.origin = f"victim.com:{victim}"
        made.append(bot)
    return made


class Pen:
    """The process that writes a contact's letters."""

    def __init__(self, home: Home, did: str, to: Home) -> None:
        self._writer = subprocess.Popen(
            [sys.executable, "-m", "tests.flood.letters", str(home.path), did, str(to.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env=clean_env(),
            text=True,
        )

    def say(self, line: str) -> None:
        """One line to it."""
        pen: IO[str] | None = self._writer.stdin
        assert pen is not None
        pen.write(line + "\n")
        pen.flush()

    async def times(self) -> tuple[list[float], list[float]]:
        """Of the letters that it wrote: seconds, and the node's on a processor meanwhile."""
        told = self._writer.stdout
        assert told is not None
        found = json.loads(await trio.to_thread.run_sync(told.readline))
        return [each for each, _ in found], [each for _, each in found]

    def end(self) -> None:
        """Nobody tells it anything any more."""
        self._writer.communicate(timeout=60)


class Flood:
    """One run."""

    def __init__(self, folder: Path, bots: list[Bot], items: int, seconds: float) -> None:
        self.bots, self.items, self.seconds = bots, items, seconds
        self.anna, self.ben = Home(folder, "anna"), Home(folder, "ben")
        self.third = self.strangers = 0

    def start(self, dns: str) -> None:
        """Two homes that know each other; anna's asks this DNS and believes a proxy."""
        for home in (self.anna, self.ben):
            home.init()
        beside.configure(self.anna, dns)
        for home in (self.anna, self.ben):
            home.start(60.0)
        meet(self.anna, self.ben)
        did = self.anna.json("whoami")["did"]
        self.key = names.parse_did(did)
        self.pen = Pen(self.ben, did, self.anna)

    def tally(self, word: str) -> int:
        """What the node counted: signatures of strangers that were checked, calls of origins."""
        found: dict[str, int] = self.anna.local().get("strangers")
        return found[word]

    async def speak(self, *, replay: bool = False) -> int:
        """All bots say all they have to say; how many requests that were."""
        limiter, done = trio.CapacityLimiter(AT_ONCE), 0
        end = trio.current_time() + self.seconds

        async def one(bot: Bot) -> None:
            nonlocal done
            source = "127.0.0.1" if bot.proxied else bot.source
            async with limiter, Line.opened(source, self.anna.port) as line:
                for _ in range(share):
                    request = bot.request(self.key)
                    if len(bot.sent) < 50:
                        bot.sent.append(request)
                    await line.ask(request)
                    done += 1

        async def again(bot: Bot) -> None:
            nonlocal done
            source = "127.0.0.1" if bot.proxied else bot.source
            async with limiter, Line.opened(source, self.anna.port) as line:
                for request in bot.sent:
                    await line.ask(request)
                    done += 1

        # In turns of a tenth, so that whoever is last has spoken too when the time is over.
        turns = 1 if replay else min(10, self.items)
        for turn in range(turns):
            share = self.items * (turn + 1) // turns - self.items * turn // turns
            if not replay and trio.current_time() > end:
                break
            async with trio.open_nursery() as nursery:
                for bot in self.bots:
                    nursery.start_soon(again if replay else one, bot)
        return done

    async def fresh(self, count: int) -> list[bytes]:
        """So many strangers nobody heard of, one item each, by one line through the proxy."""
        requests = []
        for _ in range(count):
            self.strangers += 1
            source = f"240.{self.strangers >> 8}.{self.strangers & 255}.1"
            bot = Bot(
                number=1_000_000 + self.strangers,
                host="",
                source=source,
                port=4625,
                proxied=True,
                origin=f"{source}:4625",
            )
            requests.append(bot.request(self.key))
        await self.ask(requests)
        return requests

    async def ask(self, requests: list[bytes]) -> None:
        """All of these by one line, until the node has done what follows from them."""
        async with Line.opened("127.0.0.1", self.anna.port) as line:
            for request in requests:
                await line.ask(request)
        while self.tally("waiting"):  # noqa: ASYNC110  # the node is another process
            await trio.sleep(0.05)

    async def victim(
        self, port: int, *, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """A third party, which counts who comes."""

        async def came(stream: trio.SocketStream) -> None:
            self.third += 1

        await trio.serve_tcp(came, port, host="127.9.9.9", task_status=task_status)

    def slots(self) -> tuple[int, int]:
        """Slots of the ring, and bytes of all that is stored of strangers; the node is down."""
        kv = LevelDbKv.open(self.anna.path / "db")
        try:
            head = keyspace.HELD.primary(b"")
            kept = [len(k) + len(v) for k, v in kv.scan(head, stop_of(head))]
            return len(kept), sum(kept)
        finally:
            kv.close()


async def run(flood: Flood, homes: Homes, home: int, third: int, files: Any) -> dict[str, int]:
    """The whole story, with its table; what a test can hold against the goals."""
    figures: dict[str, int] = {}
    async with trio.open_nursery() as nursery:
        await nursery.start(homes.serve, home, files.context())
        await nursery.start(flood.victim, third)
        row("what", "figure", "goal")
        await with_letters(flood, figures)
        await afterwards(flood, figures)
        await costs(flood, figures)
        flood.pen.end()
        flood.anna.end()
        flood.ben.end()
        slots, stored = flood.slots()
        figures |= {"slots": slots, "stored": stored}
        row("slots taken", f"{slots}", "<= 200")
        row("stored of strangers", f"{stored:,} bytes", f"<= {200 * 1024:,} bytes")
        repeated()
        nursery.cancel_scope.cancel()
    return figures


async def with_letters(flood: Flood, figures: dict[str, int]) -> None:
    """A contact's letters alone, then in the flood."""
    flood.pen.say("10")
    await flood.pen.times()
    flood.pen.say(str(LETTERS))
    idle, alone = await flood.pen.times()
    held = memory(flood.anna)
    flood.pen.say("on")
    before, began = cpu(flood.anna), time.perf_counter()
    count = await flood.speak()
    seconds = time.perf_counter() - began
    spent = (cpu(flood.anna) - before) / count * 1000
    flood.pen.say("off")
    busy, beset = await flood.pen.times()
    row("notifications of bots", f"{count:,}", f"{count / seconds:,.0f} /s here")
    row("contact mail, p99, idle", f"{p99(idle):.0f} ms", f"median {p99(idle, 50):.0f} ms")
    goal = f"<= {2 * p99(idle):.0f} ms; median {p99(busy, 50):.0f} ms, {len(busy)} letters"
    row("contact mail, p99, in the flood", f"{p99(busy):.0f} ms", goal)
    row("the node's own work while a letter passes, p99, idle", f"{p99(alone):.0f} ms", "")
    row("    in the flood", f"{p99(beset):.0f} ms", f"median {p99(beset, 50):.0f} ms")
    row("processor time of the node for each, mail and all", f"{spent:.3f} ms", "")
    row("memory, more than idle", f"{memory(flood.anna) - held:.1f} MiB", "<= 30 MiB")
    figures |= {"said": count, "seconds": int(seconds)}
    checked = figures["checked"] = flood.tally("checked")
    row("signature checks", f"{checked:,}", f"<= {16 * len(flood.bots):,} (16 for a key)")


async def afterwards(flood: Flood, figures: dict[str, int]) -> None:
    """The same bytes again; who is shown, and who was called."""
    checked, began = flood.tally("checked"), time.monotonic()
    count = await flood.speak(replay=True)
    figures["replay"] = flood.tally("checked") - checked
    # What was capped was never checked, and may be when its network has a token again: those behind
    # the proxy share one or a few. Who comes by itself had all of its sixteen.
    networks = {address.network(bot.source) for bot in flood.bots if bot.proxied}
    seconds = time.monotonic() - began + figures["seconds"]
    figures["capped"] = len(networks) * (1 + int(seconds * 1000) // limits.NETWORK_EVERY)
    goal = f"0 of what was checked, <= {figures['capped']} of what was capped"
    row(f"signature checks in a replay of {count:,}", f"{figures['replay']}", goal)
    await trio.sleep(15)
    shown = {each["did"] for each in flood.anna.local().get("held")}
    down = sum(1 for b in flood.bots if names.did(b.key) in shown and not b.up)
    figures |= {"down": down, "shown": len(shown), "third": flood.third}
    row("bots shown that answered no call", f"{down} of {len(shown)}", "0")
    row("connections to a third party", f"{flood.third}", "0")
    called = figures["called"] = sum(bot.called for bot in flood.bots)
    row("call-backs", f"{called}", "<= 720 an hour")


async def costs(flood: Flood, figures: dict[str, int]) -> None:
    """What one stranger's item costs, and a repeated one; the storm."""
    worked = cpu(flood.anna)
    await flood.fresh(FRESH)
    turmoil = (cpu(flood.anna) - worked) / FRESH * 1000
    worked = cpu(flood.anna)
    requests = await flood.fresh(FRESH)
    steady = (cpu(flood.anna) - worked) / FRESH * 1000
    worked = cpu(flood.anna)
    await flood.ask(requests)
    request = (cpu(flood.anna) - worked) / FRESH * 1000
    row("processor time, a new stranger's item on a kept line", f"{steady:.3f} ms", "<= 0.20 ms")
    row("    the first ones, while slots change hands", f"{turmoil:.3f} ms", "")
    row("    a repeated one: the request alone", f"{request:.3f} ms", "")
    row("    a new one beyond its request", f"{steady - request:.3f} ms", "")
    flood.anna.local().post("storm", on=True)
    before = flood.tally("checked")
    await flood.fresh(200)
    figures["storm"] = flood.tally("checked") - before
    row("signature checks in a storm", f"{figures['storm']}", "0")


def repeated() -> None:
    """What a repeated batch costs beyond its request."""
    seen, block = Seen(), os.urandom(500)
    seen.note(block, good=True, answer=b"held")
    began = time.process_time()
    for _ in range(100_000):
        seen.known(block)
    spent = (time.process_time() - began) * 10
    row("a repeated one, beyond the request", f"{spent:.1f} us", "<= 5 us")


def whole(count: int, items: int, seconds: float = float("inf"), nice: int = 0) -> dict[str, int]:
    """One flood of `count` bots with `items` notifications each, for so many seconds at most.

    Args:
        nice: how far this process stands back from then on, for ever: not in a test's.
    """
    with tempfile.TemporaryDirectory(prefix="willcall-flood-") as name:
        folder = Path(name)
        home, third = 20_000 + os.getpid() % 20_000, 41_000 + os.getpid() % 9_000
        bots = crowd(count, home, third)
        files = Authority(folder / "ca").issue("bots.com")
        homes = Homes(bots, spki.pin(der_of(files)))
        with knot(zone(bots)) as dns, beside.pair(folder, dns) as nodes:
            flood = Flood(folder, bots, items, seconds)
            try:
                flood.start(dns)
                os.nice(nice)
                figures = trio.run(run, flood, homes, home, third, files)
                return figures | trio.run(beside.run, flood, nodes, homes, home, third, files)
            finally:
                for each in (flood.anna, flood.ben):
                    if each.node is not None:
                        each.kill()


def main(words: list[str]) -> None:
    """As the Makefile calls it."""
    count, items = (int(words[0]), int(words[1])) if len(words) > 1 else (1_000, 1_000)
    whole(count, items, float(words[2]) if len(words) > 2 else float("inf"), NICE)


if __name__ == "__main__":
    main(sys.argv[1:])
