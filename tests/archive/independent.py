"""A verifier of archives written from the public texts alone; it shares nothing with `node`.

RFC 6962 §2.1 (tree), https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint,
https://c2sp.org/tlog-tiles, https://ipld.io/specs/codecs/dag-cbor/spec/, docs/spec/12 for what
is in the entries. It is given `get(path)`, which answers the bytes at a path, or raises.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dag_cbor
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from multiformats import CID

Get = Callable[[str], bytes]


@dataclass
class Verified:
    """What was found, all of it checked."""

    size: int
    root: bytes
    entries: list[dict[str, Any]]
    contents: dict[str, bytes]
    requests: int


class Wrong(Exception):
    """Something does not hold."""


def need(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def mth(hashes: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node(mth(hashes[:k]), mth(hashes[k:]))


def checkpoint(note: bytes, vkey: str) -> tuple[int, bytes]:
    """Size and root of a signed checkpoint."""
    name, hashed, encoded = vkey.split("+", 2)
    key = base64.b64decode(encoded)
    need(key[0] == 1 and len(key) == 33, "the vkey is no Ed25519 key")
    id = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    need(id.hex() == hashed, "the vkey's hash is another key's")
    text, _, signatures = note.decode().rpartition("\n\n")
    text += "\n"
    good = 0
    for line in signatures.splitlines():
        dash, who, value = line.split(" ")
        need(dash == "—", "no signature line")
        raw = base64.b64decode(value)
        if who == name and raw[:4] == id:
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(raw[4:], text.encode())
            good += 1
    need(good == 1, "not signed by the log's key")
    origin, size, root = text.splitlines()[:3]
    need(origin == name, "another log's checkpoint")
    return int(size), base64.b64decode(root)


def number(index: int) -> str:
    """tlog-tiles: 3-digit groups, all but the last with an x."""
    digits = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        digits = f"x{index % 1000:03d}/{digits}"
    return digits


def tile_path(row: str, index: int, width: int) -> str:
    return f"tile/{row}/{number(index)}" + (f".p/{width}" if width < 256 else "")


def entries_of(data: bytes) -> list[bytes]:
    found = []
    while data:
        length = int.from_bytes(data[:2], "big")
        need(len(data) >= 2 + length, "a bundle is cut off")
        found.append(data[2 : 2 + length])
        data = data[2 + length :]
    return found


def cid_bytes(link: Any) -> bytes:
    return bytes(link)


def show(cid: bytes) -> str:
    return "b" + base64.b32encode(cid).decode().rstrip("=").lower()


def about(block: bytes) -> dict[str, Any]:
    """The signed description."""
    value = _decoded(block)
    need(value["kind"] == "archive" and value["v"] == 1, "no description of an archive")
    _signed(value, value["owner"])
    return value


def _decoded(block: bytes) -> dict[str, Any]:
    value: Any = dag_cbor.decode(block)
    need(isinstance(value, dict) and dag_cbor.encode(value) == block, "not canonical")
    return value  # type: ignore[no-any-return]


def _signed(value: dict[str, Any], key: bytes) -> None:
    body = {name: item for name, item in value.items() if name != "sig"}
    text = b"willcall/v1/" + value["kind"].encode() + b"\0" + dag_cbor.encode(body)
    Ed25519PublicKey.from_public_bytes(key).verify(value["sig"], text)


def verify(get: Get, base: str, ipfs: str = "/ipfs/", *, bodies: bool = True) -> Verified:
    """Everything that is served of an archive, held against its key and itself."""
    seen = 0

    def fetch(path: str) -> bytes:
        nonlocal seen
        seen += 1
        return get(path)

    said = about(fetch(base + "about"))
    size, root = checkpoint(fetch(base + "checkpoint"), said["vkey"])
    raw: list[bytes] = []
    for index in range(-(-size // 256)):
        width = min(256, size - index * 256)
        bundle = entries_of(fetch(base + tile_path("entries", index, width)))
        need(len(bundle) == width, "a bundle holds another number of entries")
        raw += bundle
    hashes = [leaf(each) for each in raw]
    need(mth(hashes) == root, "the entries have another root than the checkpoint")
    _check_tiles(fetch, base, hashes)
    entries = [_decoded(each) for each in raw]
    contents = _contents(fetch, ipfs, entries) if bodies else {}
    return Verified(size=size, root=root, entries=entries, contents=contents, requests=seen)


def _check_tiles(fetch: Get, base: str, hashes: list[bytes]) -> None:
    """Every hash tile is what the entries give."""
    level, row = 0, hashes
    while row:
        for index in range(-(-len(row) // 256)):
            part = row[index * 256 : index * 256 + 256]
            served = fetch(base + tile_path(str(level), index, len(part)))
            need(served == b"".join(part), f"tile {level}/{index} is not that of the entries")
        row = [mth(row[at : at + 256]) for at in range(0, len(row) - 255, 256)]
        level += 1


def _contents(fetch: Get, ipfs: str, entries: list[dict[str, Any]]) -> dict[str, bytes]:
    """The bytes of every message that was not removed, by its CID."""
    found: dict[str, bytes] = {}
    removed = set()
    for at, each in enumerate(entries):
        if each["kind"] == "removal":
            need(each["index"] < at, "a removal of what is not there yet")
            need(entries[each["index"]]["message"] == each["message"], "a removal of another one")
            removed.add(cid_bytes(each["message"]))
    for each in entries:
        if each["kind"] != "entry" or cid_bytes(each["message"]) in removed:
            continue
        name = show(cid_bytes(each["message"]))
        found[name] = content(lambda cid: fetch(ipfs + show(cid)), cid_bytes(each["message"]))
        need(len(found[name]) == each["size"], "a message of another size than its entry says")
    return found


def content(block_of: Callable[[bytes], bytes], cid: bytes) -> bytes:
    """The content of a plain message, out of its blocks."""
    root = _block(block_of, cid)
    value = _decoded(root)
    need(value["kind"] == "message" and value["cipher"] == "none", "no plain message")
    _signed(value, value["author"])
    if "body" in value:
        body: bytes = value["body"]
        need(len(body) == value["size"], "a body of another size")
        return body
    whole = b"".join(_block(block_of, cid_bytes(part["cid"])) for part in value["parts"])
    need(len(whole) == value["size"], "parts of another size")
    return whole


def _block(block_of: Callable[[bytes], bytes], cid: bytes) -> bytes:
    data = block_of(cid)
    need(bytes(CID.decode(cid).raw_digest) == hashlib.sha256(data).digest(), "not what it is named")
    return data
