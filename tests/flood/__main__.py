"""`make flood`: bots against one real node, each goal beside its figure.

    python -m tests.flood [BOTS] [ITEMS]      1,000 × 1,000 unless told otherwise

A fifth of the bots is down when called back, a quarter comes through a trusted proxy, one in fifty
names a third party as its origin. All have a proven domain (or claim one, behind the proxy): a real
DNS server knows them. Goals on time are of this machine: a busy one fails them.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from node.crypto import spki
from node.encoding import names
from node.services.gate import Seen
from node.store import keyspace
from node.store.keyspace import stop_of
from node.store.leveldb import LevelDbKv
from tests.client.knot import knot
from tests.e2e.homes import Home, meet
from tests.flood.bots import Bot, Homes, Line
from tests.server.certificates import Authority, der_of

LETTERS = 60
"""Letters of a contact, idle and during the flood."""
AT_ONCE = 16
"""Bots that speak at the same time: more only wait."""


def row(what: str, figure: str, goal: str) -> None:
    """One line of the table."""
    print(f"{what:<62} {figure:>16}   {goal}", flush=True)


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


class Flood:
    """One run."""

    def __init__(self, folder: Path, bots: list[Bot], items: int) -> None:
        self.bots, self.items = bots, items
        self.anna, self.ben = Home(folder, "anna"), Home(folder, "ben")
        self.third = self.strangers = 0

    def start(self, dns: str) -> None:
        """Two homes that know each other; anna's asks this DNS and believes a proxy."""
        for home in (self.anna, self.ben):
            home.init()
        self.anna.configure(
            network={"dns": [dns], "trusted_proxies": ["127.0.0.1"]},
            strangers={"again": "5s", "rdap": "none"},
        )
        for home in (self.anna, self.ben):
            home.start(60.0)
        meet(self.anna, self.ben)
        self.key = names.parse_did(self.anna.json("whoami")["did"])

    def memory(self) -> float:
        """MiB that the node holds."""
        assert self.anna.node is not None
        text = Path(f"/proc/{self.anna.node.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu(self) -> float:
        """Seconds that the node has worked."""
        assert self.anna.node is not None
        fields = Path(f"/proc/{self.anna.node.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tally(self, word: str) -> int:
        """What the node counted: signatures of strangers that were checked, calls of origins."""
        found: dict[str, int] = self.anna.local().get("strangers")
        return found[word]

    async def letters(self, count: int) -> list[float]:
        """Seconds until a contact's letter was confirmed, each."""
        local, times = self.ben.local(), []
        did = self.anna.json("whoami")["did"]

        def one() -> None:
            body = b"Subject: hello\r\n\r\nhello\r\n"
            made = local.upload("send", {"to": [did]}, body, len(body))
            local.post("wait", messages=[made["message"]], seconds=60)

        for _ in range(count):
            began = time.perf_counter()
            await trio.to_thread.run_sync(one)
            times.append(time.perf_counter() - began)
        return times

    async def speak(self, *, replay: bool = False) -> int:
        """All bots say all they have to say; how many requests that were."""
        limiter, done = trio.CapacityLimiter(AT_ONCE), 0

        async def one(bot: Bot) -> None:
            nonlocal done
            async with limiter:
                source = "127.0.0.1" if bot.proxied else bot.source
                line = await Line.open(source, self.anna.port)
                for n in range(self.items):
                    request = bot.sent[n % len(bot.sent)] if replay else bot.request(self.key)
                    if not replay and len(bot.sent) < 50:
                        bot.sent.append(request)
                    await line.ask(request)
                    done += 1
                await line.close()

        async with trio.open_nursery() as nursery:
            for bot in self.bots:
                nursery.start_soon(one, bot)
        return done

    async def fresh(self, count: int) -> None:
        """So many strangers nobody heard of, one item each, by one line through the proxy."""
        line = await Line.open("127.0.0.1", self.anna.port)
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
            await line.ask(bot.request(self.key))
        await line.close()

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


def p99(times: list[float]) -> float:
    """Milliseconds."""
    return sorted(times)[max(0, int(len(times) * 0.99) - 1)] * 1000


async def run(flood: Flood, home: int, third: int, folder: Path) -> dict[str, int]:
    """The whole story, with its table; what a test can hold against the goals."""
    figures: dict[str, int] = {}
    files = Authority(folder / "ca").issue("bots.com")
    homes = Homes(flood.bots, spki.pin(der_of(files)))
    async with trio.open_nursery() as nursery:
        await nursery.start(homes.serve, home, files.context())
        await nursery.start(flood.victim, third)
        row("what", "figure", "goal")
        idle = await flood.letters(LETTERS)
        memory = flood.memory()
        cpu, began = flood.cpu(), time.perf_counter()
        busy: list[float] = []
        async with trio.open_nursery() as work:

            async def letters() -> None:
                busy.extend(await flood.letters(LETTERS))

            work.start_soon(letters)
            count = await flood.speak()
        seconds = time.perf_counter() - began
        spent = (flood.cpu() - cpu) / count * 1000
        row("notifications of bots", f"{count:,}", f"{count / seconds:,.0f} /s here")
        row("contact mail, p99, idle", f"{p99(idle):.0f} ms", "")
        row("contact mail, p99, in the flood", f"{p99(busy):.0f} ms", f"<= {2 * p99(idle):.0f} ms")
        row("contact mail, median", f"{statistics.median(busy) * 1000:.0f} ms", "")
        row("processor time of the node for each, mail and all", f"{spent:.3f} ms", "")
        row("memory, more than idle", f"{flood.memory() - memory:.1f} MiB", "<= 30 MiB")
        checked = figures["checked"] = flood.tally("checked")
        most = 16 * len(flood.bots)
        row("signature checks", f"{checked:,}", f"<= {most:,} (16 for a key)")
        await flood.speak(replay=True)
        figures["replay"] = flood.tally("checked") - checked
        row("signature checks in a replay", f"{figures['replay']}", "0")
        await trio.sleep(15)
        shown = {each["did"] for each in flood.anna.local().get("held")}
        down = sum(1 for b in flood.bots if names.did(b.key) in shown and not b.up)
        figures |= {"down": down, "shown": len(shown), "third": flood.third}
        row("bots shown that answered no call", f"{down} of {len(shown)}", "0")
        row("connections to a third party", f"{flood.third}", "0")
        called = sum(bot.called for bot in flood.bots)
        row("call-backs", f"{called}", "<= 720 an hour")
        worked = flood.cpu()
        await flood.fresh(1_000)
        worked = flood.cpu() - worked
        row("processor time, one new stranger's on a kept line", f"{worked:.2f} ms", "<= 0.20 ms")
        flood.anna.local().post("storm", on=True)
        before = flood.tally("checked")
        await flood.fresh(200)
        figures["storm"] = flood.tally("checked") - before
        row("signature checks in a storm", f"{figures['storm']}", "0")
        flood.anna.end()
        flood.ben.end()
        slots, stored = flood.slots()
        figures |= {"slots": slots, "stored": stored}
        row("slots taken", f"{slots}", "<= 200")
        row("stored of strangers", f"{stored:,} bytes", f"<= {200 * 1024:,} bytes")
        repeated()
        nursery.cancel_scope.cancel()
    return figures


def repeated() -> None:
    """What a repeated batch costs beyond its request."""
    seen, block = Seen(), os.urandom(500)
    seen.note(block, good=True, answer=b"held")
    began = time.process_time()
    for _ in range(100_000):
        seen.known(block)
    spent = (time.process_time() - began) * 10
    row("a repeated one, beyond the request", f"{spent:.1f} us", "<= 5 us")


def whole(count: int, items: int) -> dict[str, int]:
    """One flood of `count` bots with `items` notifications each."""
    with tempfile.TemporaryDirectory(prefix="willcall-flood-") as name:
        folder = Path(name)
        home, third = 20_000 + os.getpid() % 20_000, 41_000 + os.getpid() % 9_000
        bots = crowd(count, home, third)
        with knot(zone(bots)) as dns:
            flood = Flood(folder, bots, items)
            try:
                flood.start(dns)
                return trio.run(run, flood, home, third, folder)
            finally:
                for each in (flood.anna, flood.ben):
                    if each.node is not None:
                        each.kill()


def main(words: list[str]) -> None:
    """As the Makefile calls it."""
    count, items = (int(words[0]), int(words[1])) if len(words) > 1 else (1_000, 1_000)
    whole(count, items)


if __name__ == "__main__":
    main(sys.argv[1:])
