"""A forwarded message: its author's signature is inside, for any reader to verify.

The reader here is not ours: Python's own MIME parser, `dag-cbor`, and libsodium by its bare
calls, after section 5.5 of the specification.
"""

import hashlib
import hmac
from email import message_from_bytes
from pathlib import Path
from typing import Any

import dag_cbor
import pytest
from nacl import bindings
from nacl.signing import VerifyKey

from tests.e2e.homes import Home

Friends = tuple[Home, Home]
PLAIN = b"From: anna\r\nSubject: plain\r\n\r\n" + b"As it was written.\r\n" * 20
ODD = b"From: anna\nSubject: odd\n\nGr\xfc\xdfe \x00 \r no end"
LARGE = b"Subject: large\r\n\r\n" + b"0123456789" * 250_000


def parts(raw: bytes) -> dict[str, bytes]:
    """Files of a message by their type."""
    message: Any = message_from_bytes(raw)
    found = {}
    for part in message.get_payload():
        kind = part.get_content_type()
        if kind != "message/rfc822":
            found[kind] = part.get_payload(decode=True)
    return found


def verified(proof: bytes, original: bytes) -> bytes:
    """The author's key, after sections 5.1 and 5.5."""
    told: Any = dag_cbor.decode(proof)
    assert (told["kind"], told["v"], set(told)) == ("original", 1, {"kind", "v", "root", "key"})
    root: Any = dag_cbor.decode(told["root"])
    author, key = root["author"], told["key"]
    claim = dag_cbor.encode({name: root[name] for name in root if name != "sig"})
    VerifyKey(author).verify(b"willcall/v1/message\0" + claim, root["sig"])

    def mac(word: bytes) -> bytes:
        return hmac.digest(key, b"willcall/v1/" + word + b"\0" + author, "sha256")

    assert root["commitment"] == mac(b"commitment")
    assert root["size"] == len(original)
    pieces = [original[at : at + 2**20] for at in range(0, len(original), 2**20)] or [b""]
    sealed = []
    for i, piece in enumerate(pieces):
        place = i.to_bytes(8, "big")
        associated = b"willcall/v1/part\0" + author + place + len(pieces).to_bytes(8, "big")
        sealed.append(
            bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
                piece, associated, bytes(16) + place, mac(b"content")
            )
        )
    if "body" in root:
        assert [root["body"]] == sealed
    else:
        digests = [part["cid"].raw_digest for part in root["parts"]]
        assert digests == [hashlib.sha256(part).digest() for part in sealed]
    return bytes(author)


@pytest.mark.parametrize("letter", [PLAIN, ODD, LARGE], ids=["plain", "odd", "large"])
def test_the_signature_stays_verifiable_inside(friends: Friends, letter: bytes) -> None:
    anna, ben = friends
    me: Any = anna.json("whoami")
    anna.settled(anna.send("ben", letter), "confirmed")
    row = ben.json("inbox")[-1]
    passed = ben.json("forward", str(row["n"]), "--to", "anna", "-m", "See.", "--wait", "20")
    raw = anna.raw(passed["message"])
    files = parts(raw)
    original = files.get("application/octet-stream", letter)
    assert original == letter
    assert letter in raw or "application/octet-stream" in files
    author = verified(files["application/vnd.willcall.original"], original)
    assert author == bytes(_key(me["did"]))

    shown = anna.json("read", passed["message"])
    (proven,) = shown["originals"]
    assert (proven["did"], proven["message"]) == (me["did"], row["message"])
    assert proven["subject"] == row["subject"]
    assert b"signature holds" in anna.run("read", passed["message"]).out


def _key(did: str) -> bytes:
    from multiformats import multibase

    return bytes(multibase.decode(did.removeprefix("did:key:"))[2:])


def test_another_text_under_a_proof_is_noticed(friends: Friends) -> None:
    anna, ben = friends
    anna.settled(anna.send("ben", PLAIN), "confirmed")
    row = ben.json("inbox")[-1]
    passed = ben.json("forward", str(row["n"]), "--to", "anna", "-m", "x", "--wait", "20")
    raw = anna.raw(passed["message"])
    forged = raw.replace(b"As it was written.", b"As it wasn't said.")
    assert forged != raw
    again = ben.json("send", "--to", "anna", "--raw", "-", "--wait", "20", data=forged)
    shown = anna.json("read", again["message"])
    assert shown["originals"] == []
    assert any("does not hold" in mark for mark in shown["marks"])


def test_what_was_imported_is_passed_on_without_proof(friends: Friends, tmp_path: Path) -> None:
    anna, ben = friends
    anna.json("import", "-", data=b"From x\nSubject: imported\n\nfrom elsewhere\n")
    n = str(anna.json("inbox")[-1]["n"])
    passed = anna.json("forward", n, "--to", "ben", "-m", "x", "--wait", "20")
    shown = ben.json("read", passed["message"])
    assert shown["originals"] == []
    assert "application/vnd.willcall.original" not in parts(ben.raw(passed["message"]))
