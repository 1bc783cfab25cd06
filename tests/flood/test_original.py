"""Each rule of the original proposal, against a real DNS server, a real registry, real TLS.

Whoever writes has confirmed reverse DNS under a public suffix, a domain of some age, an origin
that can be traced, is reachable, and there is one accountable system.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from node.crypto import spki
from node.encoding import names
from tests.client.knot import knot
from tests.e2e.homes import Home, until
from tests.flood.bots import Bot, Homes, Line
from tests.flood.registry import registry
from tests.server.certificates import Authority, der_of

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
WORDS = ("good", "young", "noreverse", "liar", "lan", "down", "elsewhere")
SOURCES = {word: f"127.77.{n}.1" for n, word in enumerate(WORDS)}
ZONES = {
    "com": "".join(f"{word} A {at}\n" for word, at in SOURCES.items() if word != "elsewhere")
    + "elsewhere A 127.99.99.99\n",
    "lan": f"host A {SOURCES['lan']}\n",
    "127.in-addr.arpa": "1.0.77 PTR good.com.\n1.1.77 PTR young.com.\n"
    "1.3.77 PTR good.com.\n1.4.77 PTR host.lan.\n1.5.77 PTR down.com.\n1.6.77 PTR good.com.\n",
}
AGES = {
    "good.com": "1999-01-01T00:00:00Z",
    "young.com": YESTERDAY,
    "down.com": "1999-01-01T00:00:00Z",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, list[str]]]:
    made = Home(tmp_path_factory.mktemp("original"), "anna")
    with knot(ZONES) as dns, registry(AGES) as (url, asked):
        made.init()
        made.configure(
            network={"dns": [dns]},
            strangers={"policy": "strict", "again": "1s", "rdap": url},
        )
        made.start(60.0)
        try:
            yield made, asked
        finally:
            made.end()


def test_the_rules(home: tuple[Home, list[str]], tmp_path: Path) -> None:
    anna, asked = home
    port = 20_000 + os.getpid() % 20_000
    bots = {
        word: Bot(number=n + 1, host=f"{word}.com", source=SOURCES[word], port=port)
        for n, word in enumerate(WORDS)
    }
    bots["down"].up = False
    key = names.parse_did(anna.json("whoami")["did"])
    files = Authority(tmp_path / "ca").issue("bots.com")
    answering = Homes(list(bots.values()), spki.pin(der_of(files)))

    async def story() -> dict[str, Any]:
        async with trio.open_nursery() as nursery:
            await nursery.start(answering.serve, port, files.context())
            for bot in bots.values():
                async with Line.opened(bot.source, anna.port) as line:
                    assert b"held" in await line.ask(bot.request(key))
            local = anna.local()

            def shown() -> dict[str, Any] | None:
                rows = {row["did"]: row for row in local.get("held")}
                wanted = [names.did(bots[word].key) for word in ("good", "young")]
                known = all(each in rows for each in wanted)
                aged = known and all(rows[each]["facts"]["registered"] for each in wanted)
                return rows if aged else None

            rows: dict[str, Any] = await trio.to_thread.run_sync(lambda: until(shown, 90))
            nursery.cancel_scope.cancel()
        return rows

    rows = trio.run(story)
    found: dict[str, Any] = {word: rows.get(names.did(bot.key)) for word, bot in bots.items()}
    # Reverse DNS: none, a lie, or a name under no public suffix: nothing is kept, nobody called.
    for word in ("noreverse", "liar", "lan", "elsewhere"):
        assert found[word] is None
        assert bots[word].called == 0
    # Must be reachable: it was called, did not answer, and is not shown.
    assert found["down"] is None
    assert bots["down"].called >= 1
    # Traceable origin, of some age.
    good, young = found["good"]["facts"], found["young"]["facts"]
    assert (good["domain"], good["proven"], good["iprev"]) == ("good.com", "address", "pass")
    assert (good["registered"][:4], good["young"], good["marks"]) == ("1999", False, [])
    assert bots["good"].called >= 2
    # Domain age.
    assert (young["young"], young["marks"], young["rule"]) == (True, ["suspicious"], "young-domain")
    assert asked.count("good.com") == 1
    # One accountable system: what is reported is its own, signed, and can be shown to it.
    told = anna.json("report", found["good"]["message"])
    file = tmp_path / "report.json"
    file.write_text(json.dumps(told))
    proved = anna.json("report", "--verify", str(file))
    assert proved["author"] == found["good"]["did"]
    assert proved["origin"] == f"good.com:{port}"
    assert proved["said"]["domain"] == "good.com"
    why = anna.json("policy", "explain", found["young"]["message"])
    assert (why["verdict"], why["rule"]) == ("hold", "young-domain")
    seen = tmp_path / "held.json"
    seen.write_text(json.dumps(list(rows.values())))
    tried = {row["did"]: row for row in anna.json("policy", "try", str(seen))}
    assert tried[found["young"]["did"]]["personal"]["rule"] == "strangers-wait"
    assert tried[found["young"]["did"]]["strict"]["rule"] == "young-domain"
    replayed(anna, found["good"]["did"], tmp_path / "raw.json")
    assert anna.json("contact", "block", "good.com") == {"word": "good.com", "blocked": True}
    left = {row["did"] for row in anna.local().get("held")}
    assert found["good"]["did"] not in left
    assert anna.json("storm", "on")["storm"] is True
    assert anna.json("storm", "off")["storm"] is False


def replayed(anna: Home, did: str, file: Path) -> None:
    """A notification as it came is judged anew: from where it came, from elsewhere, and spoiled."""
    (kept,) = (row for row in anna.json("held", "--raw") if row["did"] == did)
    proof = kept["notification"]
    spoiled = proof[:-8] + ("A" if proof[-8] != "A" else "B") + proof[-7:]
    rows = [kept, kept | {"source": SOURCES["noreverse"]}, kept | {"notification": spoiled}]
    file.write_text(json.dumps(rows))
    came, elsewhere, forged = anna.json("policy", "try", str(file))
    assert came["strict"]["rule"] == came["personal"]["rule"] == "strangers-wait"
    assert "good.com is proven" in came["strict"]["why"]
    assert (elsewhere["strict"]["verdict"], elsewhere["strict"]["rule"]) == (
        "refuse",
        "no-reverse-dns",
    )
    assert elsewhere["personal"]["verdict"] == "hold"
    assert forged["strict"]["verdict"] == forged["personal"]["verdict"] == "refuse"
    assert forged["strict"]["rule"] in ("forged", "malformed")
