"""`archives.json`, read by code that shares nothing with what made it."""

import hashlib
from typing import Any

import dag_cbor
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from multiformats import CID
from nacl import bindings

from tests.archive import independent
from tests.spec import form

VECTORS: Any = form.load("archives.json")


def contents() -> list[bytes]:
    return [VECTORS["content"].format(n=n).encode() for n in range(VECTORS["messages_count"])]


def message(content: bytes) -> bytes:
    """The root of a message of this archive, made from page 12 alone."""
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["owner_seed"]))
    value: Any = {
        "kind": "message", "v": 1, "author": key.public_key().public_bytes_raw(), "created": 0,
        "size": len(content), "cipher": "none", "body": content,
    }  # fmt: skip
    text = b"willcall/v1/message\0" + dag_cbor.encode(value)
    return dag_cbor.encode(value | {"sig": key.sign(text)})


def entries() -> list[bytes]:
    found, links = [], []
    for content in contents():
        digest = hashlib.sha256(message(content)).digest()
        links.append(CID("base32", 1, "dag-cbor", ("sha2-256", digest)))
        found.append(
            dag_cbor.encode(
                {
                    "kind": "entry",
                    "v": 1,
                    "message": links[-1],
                    "size": len(content),
                    "date": 1_577_966_400_000,
                }
            )
        )
    gone: Any = {
        "kind": "removal", "v": 1, "index": 7, "message": links[7], "reason": "asked for",
        "at": 1_577_966_400_001,
    }  # fmt: skip
    return [*found, dag_cbor.encode(gone)]


def test_every_byte_of_the_log() -> None:
    raw = entries()
    for each in VECTORS["entries"]:
        assert raw[each["index"]].hex() == each["bytes"]
    for each in VECTORS["messages"]:
        block = message(contents()[each["number"]])
        assert block.hex() == each["block"]
        digest = hashlib.sha256(block).digest()
        assert independent.show(b"\x01\x71\x12\x20" + digest) == each["cid"]
    hashes = [independent.leaf(each) for each in raw]
    for head in VECTORS["heads"]:
        size, root = independent.checkpoint(head["note"].encode(), VECTORS["vkey"])
        assert (size, root.hex()) == (head["size"], head["root"])
        assert independent.mth(hashes[:size]) == root
    assert {tile["path"]: tile["sha256"] for tile in VECTORS["tiles"]} == _tiles(raw, hashes)


def _tiles(raw: list[bytes], hashes: list[bytes]) -> dict[str, str]:
    found = {}
    for at in range(0, len(raw), 256):
        part = raw[at : at + 256]
        data = b"".join(len(each).to_bytes(2, "big") + each for each in part)
        found[independent.tile_path("entries", at // 256, len(part))] = data
        part = hashes[at : at + 256]
        found[independent.tile_path("0", at // 256, len(part))] = b"".join(part)
    found["tile/1/000.p/1"] = independent.mth(hashes[:256])
    return {path: hashlib.sha256(data).hexdigest() for path, data in found.items()}


def test_what_the_owner_says() -> None:
    about = independent.about(bytes.fromhex(VECTORS["about"]))
    assert (about["name"], about["epoch"], about["vkey"]) == ("cats", 2, VECTORS["vkey"])
    damaged = bytearray.fromhex(VECTORS["about"])
    damaged[-1] ^= 1
    with pytest.raises((independent.Wrong, InvalidSignature)):
        independent.about(bytes(damaged))


def test_a_sealed_entry() -> None:
    sealed = VECTORS["sealed"]
    value: Any = dag_cbor.decode(bytes.fromhex(sealed["bytes"]))
    line = b"127.0.0.1:4625/archives/cats/2"
    place = b"willcall/v1/sealed-entry\0" + line + (5).to_bytes(8, "big")
    opened = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
        value["data"], place, value["nonce"], bytes.fromhex(sealed["key"])
    )
    assert opened.hex() == sealed["opens_to"]
