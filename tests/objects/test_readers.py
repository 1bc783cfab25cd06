"""Readers of private archives: the chain of keys, and what has no form."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Malformed, Unverified
from node.objects import readers as objects
from tests.factories import ALICE, BOB, CAROL
from tests.spec import private
from tests.spec.archives import SEED

SAID = private.readers()
BLOCK = objects.sign(SAID, SEED)
SECRETS = [ALICE.keys.sealing]


def test_the_newest_key_gives_all_before() -> None:
    assert objects.opened(SAID, ALICE.key, SECRETS) == private.KEYS
    assert objects.opened(SAID, CAROL.key, [CAROL.keys.sealing]) == ()  # a mirror
    assert objects.opened(SAID, BOB.key, [BOB.keys.sealing]) == ()  # who is no reader
    with pytest.raises(Unverified, match="none of the sealing keys"):
        objects.opened(SAID, ALICE.key, [BOB.keys.sealing])


def test_a_chain_that_is_broken_gives_nothing() -> None:
    one, two, three = SAID.keys
    assert two.older is not None
    bad = two.older[:-1] + bytes((two.older[-1] ^ 1,))
    for spans in (
        (one, replace(two, older=bad), three),
        (one, replace(two, start=3), three),  # bound to where it begins
        (one, replace(two, older=three.older), three),
    ):
        with pytest.raises(Unverified, match="the one before"):
            objects.opened(replace(SAID, keys=spans), ALICE.key, SECRETS)
    with pytest.raises(Unverified, match="the one before"):  # and to its log
        objects.opened(replace(SAID, log=SAID.log + "1"), ALICE.key, SECRETS)


@given(st.integers(0, len(BLOCK) - 1), st.integers(1, 255))
def test_a_changed_byte_never_verifies(at: int, by: int) -> None:
    changed = BLOCK[:at] + bytes((BLOCK[at] ^ by,)) + BLOCK[at + 1 :]
    with pytest.raises((Malformed, Unverified)):
        objects.decode(changed).verify()


@given(st.binary(max_size=300))
def test_other_bytes_are_refused(data: bytes) -> None:
    for kind in (objects.KIND, objects.READING):
        with pytest.raises(Malformed):
            kind.decode(data)
