"""A reader of private archives written from docs/spec/12 §12.8 and 05 alone."""

import hashlib
import hmac
from typing import Any

import dag_cbor
from nacl import bindings

from tests.archive import independent
from tests.archive.independent import Get, cid_bytes, need, show


def signed(block: bytes, signer: str) -> dict[str, Any]:
    """An object whose signature holds, by the key in field `signer`."""
    value: Any = dag_cbor.decode(block)
    need(dag_cbor.encode(value) == block, "not canonical")
    independent._signed(value, value[signer])
    return dict(value)


def keys(said: dict[str, Any], to: bytes, secret: bytes) -> list[tuple[int, bytes]]:
    """The keys of a log, the newest first, out of one reader's box."""
    box = next(each["box"] for each in said["readers"] if each["to"] == to)
    key = bindings.crypto_box_seal_open(box, bindings.crypto_scalarmult_base(secret), secret)
    found = []
    for span in reversed(said["keys"]):
        found.append((span["from"], key))
        if "older" in span:
            place = b"willcall/v1/older-key\0" + said["log"].encode() + u64(span["from"])
            key = _open(span["older"][24:], place, span["older"][:24], key)
    return found


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def entry(
    sealed: dict[str, Any], log: str, index: int, held: list[tuple[int, bytes]]
) -> tuple[dict[str, Any], bytes]:
    """What a sealed entry says, and K of the message that it names."""
    key = next(key for start, key in held if start <= index)
    place = b"willcall/v1/sealed-entry\0" + log.encode() + u64(index)
    value: Any = dag_cbor.decode(_open(sealed["data"], place, sealed["nonce"], key))
    text = b"willcall/v1/archive-message\0" + sealed["nonce"]
    return dict(value), hmac.digest(key, text, "sha256")


def content(get: Get, root: bytes, key: bytes) -> bytes:
    """The content of a sealed message, out of its blocks (05 §5.2)."""
    block = get(f"/ipfs/{show(root)}")
    need(hashlib.sha256(block).digest() == root[4:], "a block is not what it is named")
    value = signed(block, "author")
    author = value["author"]
    said = hmac.digest(key, b"willcall/v1/commitment\0" + author, "sha256")
    need(value["commitment"] == said, "the message is committed to another key")
    opens = hmac.digest(key, b"willcall/v1/content\0" + author, "sha256")
    if "body" in value:
        blocks = [value["body"]]
    else:
        blocks = [get(f"/ipfs/{show(cid_bytes(part['cid']))}") for part in value["parts"]]
    made = b""
    for index, part in enumerate(blocks):
        place = b"willcall/v1/part\0" + author + u64(index) + u64(len(blocks))
        made += _open(part, place, bytes(16) + u64(index), opens)
    need(len(made) == value["size"], "a message of another size")
    return made


def read(get: Get, base: str, to: bytes, secret: bytes) -> list[bytes]:
    """Every message of a private archive, as one of its readers: the log verified first."""
    found = independent.verify(get, base, bodies=False)
    said = signed(get(base + "readers"), "owner")
    held = keys(said, to, secret)
    opened = [entry(each, said["log"], n, held) for n, each in enumerate(found.entries)]
    gone = {cid_bytes(each["message"]) for each, _ in opened if each["kind"] == "removal"}
    wanted = [
        (cid_bytes(each["message"]), key)
        for each, key in opened
        if each["kind"] == "entry" and cid_bytes(each["message"]) not in gone
    ]
    return [content(get, root, key) for root, key in wanted]


def _open(data: bytes, place: bytes, nonce: bytes, key: bytes) -> bytes:
    return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(data, place, nonce, key)
