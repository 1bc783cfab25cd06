"""Proofs of forwarded messages, good and bad."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import keys
from node.encoding import cbor
from node.mail import original
from node.mail.compose import Attachment
from node.objects import content
from node.objects.message import Part
from node.units import Instant

SEED, K = bytes(range(32)), bytes(32)
AUTHOR = keys.public(SEED)
TEXT = b"Subject: said\r\n\r\nwords\r\n"
ROOT = content.seal_body(K, AUTHOR, Instant(5), TEXT, SEED)
PROOF = original.proof(ROOT, K)
RAW = b"Subject: Fwd\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n" + TEXT + b"\r\n--x--\r\n"


def look(proof: bytes, raw: bytes = RAW, *more: Attachment) -> tuple[list[str], int]:
    files = [Attachment(name="p", type=original.TYPE, data=proof), *more]
    found, marks = original.proven(raw, files)
    return [each.subject for each in found], len(marks)


def test_it_holds_wherever_the_original_lies() -> None:
    assert look(PROOF) == (["said"], 0)
    file = Attachment(name="f", type="application/octet-stream", data=TEXT)
    assert look(PROOF, b"nothing", file) == (["said"], 0)
    assert original.proven(RAW, []) == ([], [])


@pytest.mark.parametrize(
    "proof",
    [
        b"",
        PROOF[:-1],
        original.proof(ROOT, bytes([1]) * 32),
        original.proof(ROOT[:-1] + bytes([ROOT[-1] ^ 1]), K),
        cbor.encode({"kind": "original", "v": 2, "key": K, "root": ROOT}),
        cbor.encode({"kind": "original", "v": 1, "key": K, "root": ROOT, "more": 1}),
        original.proof(content.seal_body(K, AUTHOR, Instant(5), TEXT + b"!", SEED), K),
        original.proof(b"x" * original.LARGEST, K),
    ],
)
def test_it_does_not_hold(proof: bytes) -> None:
    assert look(proof) == ([], 1)


def test_another_text_of_the_same_size() -> None:
    assert look(PROOF, RAW.replace(b"words", b"sword")) == ([], 1)


def test_a_large_original() -> None:
    text = b"Subject: large\r\n\r\n" + b"x" * (3 << 20)
    pieces = [text[at : at + (1 << 20)] for at in range(0, len(text), 1 << 20)]
    sealed = [content.seal_part(K, AUTHOR, i, 4, piece) for i, piece in enumerate(pieces)]
    parts = [Part(cid=each.cid, size=len(each.block)) for each in sealed]
    proof = original.proof(content.seal_root(K, AUTHOR, Instant(5), len(text), parts, SEED), K)
    head = b"Content-Type: message/rfc822\r\n\r\n"
    assert look(proof, head + text + b"\r\n--x--") == (["large"], 0)
    assert look(proof, head + text[:-1] + b"y\r\n--x--") == ([], 1)


def test_not_more_proofs_are_looked_at_than_is_cheap() -> None:
    files = [Attachment(name="p", type=original.TYPE, data=b"")] * 50
    assert len(original.proven(RAW, files)[1]) == original.MOST


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_give_an_answer(proof: bytes, raw: bytes) -> None:
    assert look(proof, b"message/rfc822\r\n\r\n" + raw) == ([], 1)
