"""The same bots at two nodes: one as it is, one without defences (`tests.flood.defenceless`).

Each has an owner of its own whom nobody knows. Every bot says the same to both, with real letters
that it serves; what was stored, opened, called and shown is counted.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import trio

from node.encoding import names
from node.objects import record
from node.store.leveldb import LevelDbKv
from tests.e2e.homes import Home
from tests.flood.bots import Bot, Homes, Line
from tests.flood.table import cpu, row

BOTS, ITEMS = 100, 25
"""How much of the crowd comes: a node without defences fetches, opens and keeps all of it."""
QUIET = 3.0
"""Seconds without a call of the node: it is done with what it can do at once."""
PATIENCE = 120.0
"""Seconds that are waited for that."""


class Crowd(Protocol):
    """Of a flood, what is needed here.

    Attributes:
        bots: who speaks; items: how often each.
        third: connections to a third party so far.
    """

    bots: list[Bot]
    items: int
    third: int

    async def victim(self, port: int, *, task_status: trio.TaskStatus[Any]) -> None:
        """The third party."""
        ...


def configure(home: Home, dns: str) -> None:
    """Asks this DNS, believes a proxy, shows within seconds whoever answers twice."""
    home.configure(
        network={"dns": [dns], "trusted_proxies": ["127.0.0.1"]},
        strangers={"again": "5s", "rdap": "none"},
    )


@contextmanager
def pair(folder: Path, dns: str) -> Iterator[list[Home]]:
    """The node as it is, and the one without defences."""
    nodes = [Home(folder, "guarded"), Home(folder, "open")]
    try:
        for home in nodes:
            home.init()
            configure(home, dns)
            if home.name == "open":
                home.before = (sys.executable, "-m", "tests.flood.defenceless")
                home.env = {"FLOOD_OPENED": str(folder / "opened")}
            home.start(60.0)
        yield nodes
    finally:
        for home in nodes:
            if home.node is not None:
                home.kill()


async def run(
    crowd: Crowd, nodes: Sequence[Home], homes: Homes, home: int, third: int, files: Any
) -> dict[str, int]:
    """Two columns; of the node without defences, what a test may look at."""
    bots, items = crowd.bots[:BOTS], min(ITEMS, crowd.items)
    found = []
    async with trio.open_nursery() as nursery:
        await nursery.start(homes.serve, home, files.context())
        await nursery.start(crowd.victim, third)
        for each in nodes:
            found.append(await _at(each, crowd, bots, items, homes))
        nursery.cancel_scope.cancel()
    opened = await trio.Path(nodes[1].env["FLOOD_OPENED"]).read_text()
    found[0]["boxes of strangers opened"], found[1]["boxes of strangers opened"] = 0, int(opened)
    print()
    row(f"{len(bots)} bots x {items}, letters that open", "as it is", "without defences")
    for what in found[0]:
        row(what, f"{found[0][what]:,}", f"{found[1][what]:,}")
    return {f"open {what}": figure for what, figure in found[1].items()}


async def _at(
    node: Home, crowd: Crowd, bots: Sequence[Bot], items: int, homes: Homes
) -> dict[str, int]:
    homes.came = crowd.third = 0
    local, did = node.local(), node.local().get("whoami")["did"]
    async with Line.opened("127.0.0.1", node.port) as line:
        path = f"/v1/owners/{names.z(names.parse_did(did))}"
        known = record.decode(await line.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))
    worked = cpu(node)
    for bot in bots:
        source = "127.0.0.1" if bot.proxied else bot.source
        async with Line.opened(source, node.port) as line:
            for _ in range(items):
                await line.ask(bot.request(known.claim.id, known.claim.sealing))
    await _quiet(homes, crowd)
    found = {
        "signature checks": local.get("strangers")["checked"],
        "connections to the bots": homes.came,
        "connections to a third party": crowd.third,
        "in the inbox, unasked": len(local.get("inbox")),
        "shown as a line of facts": len(local.get("held")),
        "processor time, ms": round((cpu(node) - worked) * 1000),
    }
    node.end()
    kv = LevelDbKv.open(node.path / "db")
    found["bytes in the store"] = sum(len(key) + len(value) for key, value in kv.scan(b"", b"\xff"))
    kv.close()
    return found


async def _quiet(homes: Homes, crowd: Crowd) -> None:
    with trio.move_on_after(PATIENCE):
        before = -1
        while before != (before := homes.came + crowd.third):  # noqa: ASYNC110  # another process
            await trio.sleep(QUIET)
