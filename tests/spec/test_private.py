"""`private.json`, read by code that shares nothing with what made it."""

import base64
import hashlib
from typing import Any

import dag_cbor
import pytest
from cryptography.exceptions import InvalidSignature
from nacl import bindings
from nacl.exceptions import CryptoError

from node.errors import Malformed, Unverified
from node.objects import readers as objects
from tests import factories as make
from tests.archive import independent, sealed
from tests.spec import form

VECTORS: Any = form.load("private.json")
PEOPLE = {who.word: who for who in (make.ALICE, make.BOB, make.CAROL)}
SAID = bytes.fromhex(VECTORS["readers"]["bytes"])


def held() -> list[tuple[int, bytes]]:
    """Every key of the log, newest first."""
    return [(each["from"], bytes.fromhex(each["key"])) for each in reversed(VECTORS["keys"])]


def content(number: int) -> bytes:
    text: bytes = VECTORS["content"].format(n=number).encode()
    return text if number < 4 else text + make.pattern(1_100_000)


def test_a_reader_gets_every_key() -> None:
    said, reader = sealed.signed(SAID, "owner"), PEOPLE[VECTORS["reader"]]
    assert said["log"] == VECTORS["log"]
    assert sealed.keys(said, reader.key, reader.keys.sealing) == held()
    secret = bytes.fromhex(VECTORS["owner_sealing_secret"])
    assert sealed.keys(said, said["owner"], secret) == held()
    by = {each["to"]: each.get("box") for each in said["readers"]}
    assert by[PEOPLE[VECTORS["mirror"]].key] is None
    assert PEOPLE[VECTORS["removed"]].key not in by
    for box in filter(None, by.values()):
        other = PEOPLE[VECTORS["removed"]].keys.sealing
        with pytest.raises(CryptoError):
            bindings.crypto_box_seal_open(box, bindings.crypto_scalarmult_base(other), other)


def test_boxes_follow_from_their_ephemeral_secrets() -> None:
    said = sealed.signed(SAID, "owner")
    begins = {each["box"][:32] for each in said["readers"] if "box" in each}
    secrets = VECTORS["readers"]["ephemeral"].values()
    assert begins == {bindings.crypto_scalarmult_base(bytes.fromhex(each)) for each in secrets}


def test_entries_and_messages_open() -> None:
    gone: bytes = b""
    for each in VECTORS["entries"]:
        raw: Any = dag_cbor.decode(bytes.fromhex(each["bytes"]))
        assert (raw["kind"], raw["v"], len(raw["nonce"])) == ("sealed", 1, 24)
        clear, key = sealed.entry(raw, VECTORS["log"], each["index"], held())
        assert dag_cbor.encode(clear).hex() == each["opens_to"]
        if clear["kind"] == "removal":
            gone = independent.cid_bytes(clear["message"])
            assert clear["index"] == 1
            continue
        assert key.hex() == each["k"]
        root = independent.cid_bytes(clear["message"])
        assert independent.show(root) == each["cid"]
        if not each["parts"]:
            block = bytes.fromhex(each["root"])
            read = sealed.content({f"/ipfs/{each['cid']}": block}.__getitem__, root, key)
            assert read == content(each["index"])
        assert hashlib.sha256(content(each["index"])).hexdigest() == each["content_sha256"]
    assert independent.show(gone) == VECTORS["entries"][1]["cid"]


def test_a_key_of_before_opens_nothing_later() -> None:
    for start, key in held():
        for each in VECTORS["entries"]:
            raw: Any = dag_cbor.decode(bytes.fromhex(each["bytes"]))
            right = key == next(k for s, k in held() if s <= each["index"])
            if not right:
                with pytest.raises(CryptoError):
                    sealed.entry(raw, VECTORS["log"], each["index"], [(0, key)])
        assert start in (0, 2, 5)


def test_names() -> None:
    raw = bytes.fromhex(VECTORS["names"])
    told = [raw[at : at + 37] for at in range(0, len(raw), 37)]
    assert [each[0] for each in told] == [0, 0, 0, 0, 0, 1]
    shown = [independent.show(each[1:]) for each in told]
    assert shown[:5] == [each["cid"] for each in VECTORS["entries"][:5]]
    assert shown[5] == shown[1]


def test_a_reading() -> None:
    block = bytes.fromhex(VECTORS["reading"]["bytes"])
    said = sealed.signed(block, "from")
    assert (said["kind"], said["at"]) == ("reading", "127.0.0.1:4625")
    assert said["from"] == PEOPLE[VECTORS["reader"]].key
    word = base64.urlsafe_b64encode(block).rstrip(b"=").decode()
    assert VECTORS["reading"]["header"] == f"Willcall {word}"
    with pytest.raises((InvalidSignature, independent.Wrong)):
        sealed.signed(block[:-1] + bytes((block[-1] ^ 1,)), "from")


@pytest.mark.parametrize("bad", VECTORS["refused"], ids=lambda bad: bad["why"])
def test_what_is_refused(bad: dict[str, str]) -> None:
    block = bytes.fromhex(bad["bytes"])
    if bad["why"] == "another log":
        assert objects.decode(block).verify().log != VECTORS["log"]
        return
    with pytest.raises((Malformed, Unverified)):
        objects.decode(block).verify()
