"""Checkpoints: signed notes as the specification writes them, and nothing else."""

from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from node.archive import note
from node.archive.note import Checkpoint, Verifier
from node.crypto import keys
from node.errors import Malformed, Unverified
from node.units import Key

SEED = bytes(range(32))
NAME = "127.0.0.1:4625/archives/cats/1"
VERIFIER = Verifier(name=NAME, key=keys.public(SEED))
SAID = Checkpoint(origin=NAME, size=70_000, root=b"r" * 32)
NOTE = note.sign(SAID, SEED)


def test_what_was_signed_is_read() -> None:
    assert note.verify(NOTE, VERIFIER) == SAID
    assert NOTE.startswith(f"{NAME}\n70000\n{b64encode(b'r' * 32).decode()}\n\n— {NAME} ".encode())


def test_the_signature_is_one_of_ed25519_over_the_text() -> None:
    text, _, signed = NOTE.decode().rpartition("\n\n")
    raw = b64decode(signed.split(" ")[2])
    public = Ed25519PublicKey.from_public_bytes(VERIFIER.key)
    public.verify(raw[4:], (text + "\n").encode())
    assert raw[:4] == VERIFIER.hash


def test_a_published_key() -> None:
    # From the documentation of golang.org/x/mod/sumdb/note.
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert str(note.parse_verifier(text)) == text


def test_a_published_note() -> None:
    verifier = note.parse_verifier(
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    signature = (
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqf"
        "qdngotpRZb6KE6RyyBwJnAM="
    )
    assert signature.startswith(b64encode(verifier.hash).decode()[:5])
    keys.verify(verifier.key, text.encode(), b64decode(signature)[4:])


def test_other_signatures_and_lines_are_left_alone() -> None:
    other = note.sign(Checkpoint(origin="witness", size=1, root=b"x" * 32), b"w" * 32)
    line = other.decode().split("\n\n")[1]
    assert note.verify(NOTE + line.encode(), VERIFIER) == SAID
    more = Checkpoint(origin=NAME, size=0, root=b"r" * 32, extra=("more", "— like a signature"))
    assert note.verify(note.sign(more, SEED), VERIFIER) == more


def changed(old: str, new: str) -> bytes:
    assert old in NOTE.decode()
    return NOTE.decode().replace(old, new, 1).encode()


@pytest.mark.parametrize(
    "bad",
    [
        changed("70000", "70001"),
        changed("70000", "7000"),
        note.sign(SAID, b"another key of 32 bytes, not ours"[:32]),
        note.sign(Checkpoint(origin="another", size=1, root=b"r" * 32), SEED),
        changed("— ", "— x"),
    ],
)
def test_forged(bad: bytes) -> None:
    with pytest.raises(Unverified):
        note.verify(bad, VERIFIER)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\n",
        b"\n\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE + b"no signature\n",
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace(b"\n", b"\r\n"),
        changed("70000", "070000"),
        changed("70000", "-1"),
        changed("70000", "7e4"),
        changed("70000", str(2**48)),
        changed("70000", "7" * 4000),
        changed("cnJy", "cnJyc"),
        changed("\n70000\n", "\n"),
        changed("70000", "70000\n"),
        b"\xff" + NOTE,
        b"\0" + NOTE,
        NOTE + (NOTE.split(b"\n\n")[1] * 200),
        b"x" * 20_000,
    ],
)
def test_no_checkpoint(bad: bytes) -> None:
    with pytest.raises(Malformed):
        note.verify(bad, VERIFIER)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "a+b",
        "a+00000000+",
        str(VERIFIER).replace("+" + VERIFIER.hash.hex(), "+00000000"),
        str(VERIFIER).upper(),
        " " + str(VERIFIER),
        str(VERIFIER) + "=",
        str(VERIFIER)[:-4],
        f"{NAME}+{VERIFIER.hash.hex()}+{b64encode(b'x02' + b'k' * 32).decode()}",
    ],
)
def test_no_key(bad: str) -> None:
    with pytest.raises(Malformed):
        note.parse_verifier(bad)


def test_a_key_is_printed_and_read() -> None:
    assert note.parse_verifier(str(VERIFIER)) == VERIFIER
    assert Verifier(name=NAME, key=Key(b"k" * 32)) != VERIFIER
