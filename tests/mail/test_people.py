import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail import people, thread
from node.mail.compose import Mailbox, compose
from node.units import Instant

Z = "z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
ADDRESSES = [
    f"did:key:{Z}@{at}"
    for at in (
        "127.0.0.1:4625",
        "127.0.0.1:47197",
        "[2001:db8::1]:4625",
        "[2001:db8::1]:443",
        "node.example:4625",
        "node.example:8443",
    )
]


@pytest.mark.parametrize("address", [*ADDRESSES, "ann@example.org", "a.b+c@xn--bcher-kva.example"])
@pytest.mark.parametrize("around", ["{}", "<{}>", "Ann <{}>", '"a, b@c <d@e>" <{}>', "(x@y) <{}>"])
def test_what_is_written_is_read_again(address: str, around: str) -> None:
    assert people.read(around.format(people.spell(address))) == [address]


def test_a_whole_field() -> None:
    value = (
        f"friends: Ann <{people.spell(ADDRESSES[1])}>, b@c.d, Ann@x, {Z}@[willcall:h:1], <b@c.d>;"
    )
    assert people.read(value) == [ADDRESSES[1], "b@c.d", "Ann@x", f"did:key:{Z}@h:1"]


@pytest.mark.parametrize("value", ["", "a@", "@b", "undisclosed-recipients:;", "a b c", "x@[", "@"])
def test_nobody(value: str) -> None:
    assert people.read(value) == []


@given(st.text())
def test_anything_is_read(value: str) -> None:
    people.read(value)


@pytest.mark.parametrize("unit", ["a", "a@", '"', "(", "a.", "<a@b>,", '"\\', "a@[", Z])
def test_in_linear_time(unit: str) -> None:
    start = time.perf_counter()
    assert len(people.read(unit * (65_536 // len(unit)))) <= 1_000
    assert time.perf_counter() - start < 1


def test_those_in_to_and_cc() -> None:
    boxes = [Mailbox(name=f"Ben {n}", address=f"did:key:{Z}@h{n}.example:4625") for n in range(300)]
    content = compose(
        sender=boxes[0],
        to=boxes[:200],
        cc=boxes[200:],
        subject="many",
        text="",
        date=Instant(0),
        message_id="<1@x>",
    )
    to, cc = thread.addressed(content)
    assert to == [box.address for box in boxes[:200]]
    assert cc == [box.address for box in boxes[200:]]
    assert thread.addressed(b"Subject: x\n\nTo: a@b\n") == ([], [])
