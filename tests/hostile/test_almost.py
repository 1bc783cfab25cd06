"""Objects that are almost right, at every call of a node: an error or an answer, nothing stored.

Right objects of people whom nobody here knows go the same way: they may take a slot, no more.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.encoding import names
from node.errors import Malformed, Unverified
from node.objects import registry
from node.ports import Request
from tests import strategies as some
from tests.factories import ALICE
from tests.fakes.world import world
from tests.services.test_receipts import everything

CALLS = ("notifications", "receipts", "retractions", "introductions", "poll", "blocks")


def is_right(block: bytes) -> bool:
    """Whether it is a verified object after all: a changed field may be one that was as good."""
    try:
        registry.decode(block).verify()
    except (Malformed, Unverified):
        return False
    return True


@pytest.mark.parametrize("kind", sorted(some.BLOCKS))
@given(st.data())
def test_a_block_prints_back_or_is_refused(kind: str, data: st.DataObject) -> None:
    block = data.draw(some.BLOCKS[kind] | some.altered_maps(kind) | some.touched(some.BLOCKS[kind]))
    try:
        found = registry.decode(block)
    except (Malformed, Unverified):
        return
    assert found.block == block
    assert registry.KINDS[kind](block).claim == found.claim


blocks: st.SearchStrategy[list[bytes]] = st.lists(
    some.almost.filter(lambda block: not is_right(block)), min_size=1, max_size=10
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blocks)
async def test_what_is_almost_right_changes_nothing(
    autojump_clock: object, made: list[bytes]
) -> None:
    async with world() as w:
        anna, ben = await w.add("anna"), await w.add("ben")
        await w.friends(anna, ben)
        await anna.flushed()
        before = everything(anna)
        for block in made:
            requests = [Request(method="POST", path=f"/v1/{call}", body=block) for call in CALLS]
            path = f"/v1/records/{names.z(ALICE.key)}"
            for request in (*requests, Request(method="PUT", path=path, body=block)):
                answer = await anna.on.peers.answer(request, "127.0.9.9")
                # A receipt, a retraction, a poll that belong to nothing are not looked at closer.
                assert answer.status in (200, 204, 400, 413, 422), (request.path, answer)
                # Nor is what comes from a network that had its share: `held`, unread.
                capped = request.path in CAPPED and b"held" in answer.body
                assert answer.status not in (200, 204) or request.path in UNREAD or capped, answer
        await anna.flushed()
        assert everything(anna) == before


CAPPED = ("/v1/notifications", "/v1/introductions")
UNREAD = ("/v1/receipts", "/v1/retractions", "/v1/poll")
