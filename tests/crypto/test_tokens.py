"""Tokens, by hand from the words of the design."""

import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import tokens
from node.encoding import cid

SECRET = bytes(range(32))
A, B = bytes([1]) * 32, bytes([2]) * 32
MESSAGE = cid.of_object(b"\xa0")


def mac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, "sha256").digest()


def test_ticket() -> None:
    made = tokens.ticket(SECRET, MESSAGE, A)
    assert made == mac(SECRET, b"willcall/v1/ticket\0" + MESSAGE + A)[:16]


def test_capability() -> None:
    made = tokens.capability(SECRET, A, B)
    assert made == mac(SECRET, b"willcall/v1/capability\0" + A + B)[:16]
    assert made != tokens.capability(SECRET, B, A)


def test_invite_and_proof() -> None:
    token = tokens.invite(SECRET, A, b"\0\0\0\7")
    assert token == b"\0\0\0\7" + mac(SECRET, b"willcall/v1/invite\0" + A + b"\0\0\0\7")[:12]
    assert len(token) == tokens.TOKEN == 16
    issued = 1_790_000_000_000
    expected = mac(token, b"willcall/v1/introduction\0" + B + A + issued.to_bytes(8, "big"))
    assert tokens.proof(token, B, A, issued) == expected
    assert len(expected) == 32


@pytest.mark.parametrize(
    "make",
    [
        lambda secret: tokens.ticket(secret, MESSAGE, A),
        lambda secret: tokens.capability(secret, A, B),
        lambda secret: tokens.invite(secret, A, b"\0\0\0\1"),
        lambda secret: tokens.proof(secret, A, B, 1),
    ],
)
def test_the_secret_matters(make: Callable[[bytes], bytes]) -> None:
    assert make(SECRET) == make(SECRET)
    assert make(SECRET) != make(bytes(32))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_equal(a: bytes, b: bytes) -> None:
    assert tokens.equal(a, b) == (a == b)
    assert tokens.equal(a, bytes(a))
