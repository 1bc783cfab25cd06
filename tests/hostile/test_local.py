"""The local API with values no program of ours would send: an answer with a word, never a bug.

Whoever holds a token may be hostile to the node of a group: what it sends must not end a request
in the log as `request-failed`, and must not end the node.
"""

from typing import Any

import trio

from node.localapi.app import LocalApi
from tests.fakes.world import world
from tests.localapi.client import call

NAMES = (
    *("action", "after", "before", "confirmed", "contact", "device", "dry", "id", "keep"),
    *("keep_sent", "limit", "link", "messages", "name", "of", "open", "quota", "recover", "ref"),
    *("refs", "seconds", "to", "valid", "wait", "watch"),
)
"""Every name that a call looks at."""
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1.5, 2**53, 2**64, 10**400, "", "\0", "\n", "x" * 70_000, "\u202e"),
    *([], [None], [[]], [""], ["a"] * 300, {}, {"a": 1}, "-1", "1" * 15, "1" * 5_000, "9" * 16),
    *("did:key:", "did:key:z6Mk", "@", "a@b", "..", "../..", "%00", "7d", "99999999999d", "∞"),
    *("http://a:1/i/z6Mk#", "all", "b" * 59, "bafyrei" + "a" * 52),
)


async def test_odd_values(autojump_clock: object) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        api = LocalApi(anna.on)
        asked = 0
        for name in sorted(api.calls):
            for odd in ODD:
                query = dict.fromkeys(NAMES, odd) if isinstance(odd, str) else {}
                words = (odd,) if isinstance(odd, str) and len(odd) < 1_000 else ()
                for said in (dict.fromkeys(NAMES, odd), {"to": ["ben"], "ref": "1"} | query):
                    body = {} if name.startswith("GET") else said
                    with trio.move_on_after(600):  # a wait is ended by whoever asked
                        answer = await call(api, name, *words, query=query, body=body)
                        assert answer.status < 500 or answer.status == 507, (name, odd, answer)
                        asked += 1
        assert asked > 2_000
