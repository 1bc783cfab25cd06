"""The refused objects: each breaks one rule and is right in all else.

A *door* says as what the bytes came: a kind, `item` (of a batch), `answer`, `answers` (two),
`poll-answer`, `blocks` (the body of that call) or `car`.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from node.crypto import batch as tree
from node.crypto import keys, signed
from node.encoding import car, cbor, cid
from node.encoding.cid import Cid
from node.objects import answer, notification, record
from node.objects.answer import Wanted
from node.units import DAY
from tests import factories as make
from tests.factories import ALICE, BOB, CAROL, MALLORY, NOW, Person
from tests.spec import good

Map = dict[str, Any]
Case = tuple[str, Any, str, str]
"""Door, bytes (or pieces of them), expected family, why."""

MIB = 1 << 20
ROOT = make.letter(ALICE)
ROOT_NAME = cid.of_object(ROOT)
LOW_ORDER = tuple(
    number.to_bytes(32, "little")
    for number in (
        0,
        1,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        1 + 2**255,
    )
)
KINDS: dict[str, tuple[bytes, Person]] = {
    "message": (ROOT, ALICE),
    "receipt": (make.receipt(BOB, ALICE, [ROOT_NAME, make.named(1)]), BOB),
    "retraction": (make.retraction(ALICE, BOB, ROOT_NAME), ALICE),
    "record": (make.record_block(ALICE), ALICE),
    "introduction": (make.introduction_block(ALICE, BOB), ALICE),
    "poll": (make.poll_block(BOB, ALICE, lost=(NOW - 9, NOW)), BOB),
}


def opened(block: bytes) -> Map:
    """The map of a block."""
    value = cbor.decode(block, levels=64)
    assert isinstance(value, dict)
    return value


def resigned(kind: str, value: Map, who: Person) -> bytes:
    """The map, rightly signed whatever it says."""
    return cbor.encode(signed.sign(kind, value, who.keys.signing))


def without(value: Map, *names: str) -> Map:
    """The map without some fields."""
    return {name: item for name, item in value.items() if name not in names}


def refused() -> list[dict[str, Any]]:
    """All cases, as the file has them."""
    found = []
    for source in SOURCES:
        for door, data, family, why in source():
            written = data.hex() if isinstance(data, bytes) else data
            found.append({"door": door, "bytes": written, "reason": family, "why": why})
    return found


# --- what holds for every signed kind -------------------------------------------------


def every_kind() -> Iterator[Case]:
    """Frame, canonical form and signature, kind by kind."""
    for kind, (block, who) in KINDS.items():
        value = opened(block)
        for name in sorted(value.keys() - {"body", "commitment", "name", "lost", "sig"}):
            yield kind, resigned(kind, without(value, name), who), "malformed", f"no {name}"
        yield kind, cbor.encode(without(value, "sig")), "malformed", "no sig"
        yield from _frames(kind, value, who)
        yield from _forms(kind, block)
        yield from _signatures(kind, block, value)


def _frames(kind: str, value: Map, who: Person) -> Iterator[Case]:
    for change, why in (
        ({"v": 2}, "version 2"),
        ({"v": True}, "version true"),
        ({"kind": "notification"}, "another kind"),
        ({"kind": kind.encode()}, "kind is bytes"),
        ({"note": 1}, "an unknown field"),
        ({"Kind": kind}, "an unknown field that differs in case"),
    ):
        yield kind, resigned(kind, value | change, who), "malformed", why
    yield kind, cbor.encode(value | {"sig": bytes(63)}), "malformed", "sig of 63 bytes"
    yield kind, cbor.encode(value | {"sig": None}), "malformed", "sig is null"


def _forms(kind: str, block: bytes) -> Iterator[Case]:
    yield kind, block + b"\0", "malformed", "a byte too many"
    yield kind, block[:-1], "malformed", "a byte too few"
    yield kind, b"", "malformed", "no bytes"
    yield kind, cbor.encode([opened(block)]), "malformed", "inside an array"
    yield kind, bytes([0xB8, block[0] - 0xA0]) + block[1:], "malformed", "a long head of the map"
    version = block.index(b"\x61v\x01")
    long_one = block[:version] + b"\x61v\x18\x01" + block[version + 3 :]
    yield kind, long_one, "malformed", "v: 1 in two bytes"
    # "v" is the shortest key and comes first: moved to the end the order is wrong.
    moved = block[:version] + block[version + 3 :] + b"\x61v\x01"
    yield kind, moved, "malformed", "keys out of order"


def _signatures(kind: str, block: bytes, value: Map) -> Iterator[Case]:
    yield kind, cbor.encode(value | {"sig": bytes(64)}), "forged", "a signature of zeros"
    yield kind, resigned(kind, value, MALLORY), "forged", "signed by another key"
    for domain in ("note", kind + "s"):
        who = KINDS[kind][1]
        other = signed.sign(domain, value, who.keys.signing)
        yield kind, cbor.encode(other), "forged", f"signed under the domain of {domain}"
    changed = dict(value)
    field = next(name for name in ("created", "at", "issued") if name in value)
    changed[field] += 1
    yield kind, cbor.encode(changed), "forged", f"{field} altered after signing"
    high = value["sig"][:32] + _plus_order(value["sig"][32:])
    yield kind, cbor.encode(value | {"sig": high}), "forged", "a scalar that is not reduced"


def _plus_order(scalar: bytes) -> bytes:
    order = 2**252 + 27742317777372353535851937790883648493
    return (int.from_bytes(scalar, "little") + order).to_bytes(32, "little")


# --- messages -------------------------------------------------------------------------


def messages() -> Iterator[Case]:
    """Sizes that disagree at each boundary, ciphers, body and parts."""
    value = opened(ROOT)
    size, body = value["size"], value["body"]
    for change, why in (
        ({"size": size + 1}, "size is 1 more than the body's"),
        ({"size": size - 1}, "size is 1 less than the body's"),
        ({"size": 0}, "size 0 with a body"),
        ({"size": 2**53 - 1}, "size 2^53 - 1 with a small body"),
        ({"size": True}, "size is true"),
        ({"body": body[:-1]}, "body is a byte short"),
        ({"body": b""}, "an empty body, sealed"),
        ({"body": body.hex()}, "body is text"),
        ({"body": ROOT_NAME}, "body is a link"),
        ({"cipher": "none"}, "cipher none with a commitment"),
        ({"cipher": "aes-gcm"}, "an unknown cipher"),
        ({"cipher": "XChaCha20Poly1305"}, "a cipher in another case"),
        ({"commitment": bytes(31)}, "a commitment of 31 bytes"),
        ({"author": bytes(31)}, "an author of 31 bytes"),
        ({"created": 2**53 - 1, "parts": []}, "parts empty, beside a body"),
        ({"ext": {"x": 1}}, "ext, which messages don't carry"),
    ):
        yield "message", resigned("message", value | change, ALICE), "malformed", why
    bare = without(value, "commitment")
    yield "message", resigned("message", bare, ALICE), "malformed", "sealed, no commitment"
    plain = without(value, "commitment") | {"cipher": "none", "size": size + 1}
    yield "message", resigned("message", plain, ALICE), "malformed", "public: body is not size"
    neither = without(value, "body")
    yield "message", resigned("message", neither, ALICE), "malformed", "neither body nor parts"
    yield from _shapes(neither)
    yield from _parts()


def _shapes(value: Map) -> Iterator[Case]:
    """A body where parts belong, and the reverse; not signed, sizes come first."""
    for size, seal, cipher in ((49_137, 16, None), (49_153, 0, "none")):
        kept = without(value, "commitment") if cipher else value
        named = kept | {"size": size, "cipher": cipher or value["cipher"]}
        whole = cbor.encode(named | {"body": bytes(size + seal), "sig": bytes(64)})
        yield "message", _zeros(whole, size + seal), "malformed", f"a body of {size} bytes"
    for size, seal, cipher in ((0, 16, None), (49_136, 16, None), (49_152, 0, "none")):
        kept = without(value, "commitment") if cipher else value
        parts = [{"cid": cid.of_raw(b""), "size": size + seal}]
        named = kept | {"size": size, "cipher": cipher or value["cipher"], "parts": parts}
        why = f"parts of {size} bytes, which fit a body"
        yield "message", resigned("message", named, ALICE), "malformed", why
    large = cbor.encode(value | {"size": 70_000, "body": bytes(70_016), "sig": bytes(64)})
    yield "message", _zeros(large, 70_016), "malformed", "a root over 64 KiB"


def _zeros(block: bytes, run: int) -> list[Any]:
    """A block with its long run of zeros written short."""
    at = block.index(bytes(run))
    return [block[:at].hex(), {"repeat": "00", "times": run}, block[at + run :].hex()]


def _parts() -> Iterator[Case]:
    value = opened(good.two_parts()[0])
    first, last = value["parts"]
    seal = 16
    both = opened(ROOT)["body"]
    rows: list[tuple[Map, str]] = [
        ({"body": both}, "body and parts together"),
        ({"parts": []}, "no parts in the array"),
        ({"parts": [first]}, "a part is missing"),
        ({"parts": [first, last, last]}, "a part too many"),
        ({"parts": [last, first]}, "the short part first"),
        ({"parts": [first, last | {"size": 16}]}, "the last part empty"),
        ({"parts": [first, last | {"size": 18}]}, "the last part a byte too long"),
        ({"parts": [first | {"size": MIB}, last]}, "the first part without its seal"),
        ({"parts": [first, last | {"size": MIB + seal + 1}]}, "the last part over 1 MiB"),
        ({"size": MIB}, "1 MiB in two parts"),
        ({"size": MIB + 2}, "size is 1 more than the parts'"),
        ({"size": 2 * MIB + 1}, "size needs three parts"),
        ({"size": 2**53 - 1}, "size 2^53 - 1 in two parts"),
        ({"size": 2**30 + 1}, "size over 1 GiB"),
        ({"parts": [first, last | {"cid": ROOT_NAME}]}, "a part named as an object"),
        ({"parts": [first, last | {"cid": bytes(last["cid"])}]}, "a part's name as bytes"),
        ({"parts": [first, last | {"note": 1}]}, "an unknown field in a part"),
        ({"parts": [first, without(last, "size")]}, "a part without size"),
        ({"parts": {"0": first}}, "parts is a map"),
        ({"cipher": "none"}, "cipher none with a commitment, in parts"),
    ]
    for change, why in rows:
        yield "message", resigned("message", value | change, ALICE), "malformed", why
    public = without(value, "commitment") | {"cipher": "none"}
    yield "message", resigned("message", public, ALICE), "malformed", "public parts with seals"


# --- notifications and evidence -------------------------------------------------------

ITEM = notification.encode(make.item(ALICE, BOB, ROOT_NAME))


def items() -> Iterator[Case]:
    """Single items of a batch."""
    value = opened(ITEM)
    for name in sorted(value.keys() - {"capability"}):
        yield "item", cbor.encode(without(value, name)), "malformed", f"no {name}"
    for change, why in (
        ({"sig": bytes(64)}, "a sig of its own"),
        ({"subject": "hello"}, "a subject"),
        ({"kind": "message"}, "another kind"),
        ({"v": 2}, "version 2"),
        ({"from": bytes(31)}, "from of 31 bytes"),
        ({"to": bytes(33)}, "to of 33 bytes"),
        ({"to": BOB.did}, "to is text"),
        ({"message": cid.of_raw(b"")}, "message names a raw block"),
        ({"message": bytes(ROOT_NAME)}, "message is bytes"),
        ({"key": bytes(79)}, "key of 79 bytes"),
        ({"key": bytes(81)}, "key of 81 bytes"),
        ({"ticket": bytes(15)}, "ticket of 15 bytes"),
        ({"ticket": bytes(17)}, "ticket of 17 bytes"),
        ({"capability": bytes(15)}, "capability of 15 bytes"),
        ({"capability": None}, "capability is null"),
        ({"size": "24"}, "size is text"),
        ({"keep_until": NOW + 400 * DAY + 1}, "kept for 400 days and 1 ms"),
        ({"origin": "Alice.example:4625"}, "a capital in origin"),
        ({"origin": "alice.example"}, "origin without port"),
        ({"origin": ""}, "origin empty"),
    ):
        yield "item", cbor.encode(value | change), "malformed", why
    yield "item", b"", "malformed", "empty"
    yield "item", bytes(513), "malformed", "513 bytes"
    yield "item", ITEM + b"\0", "malformed", "a byte too many"
    yield from _exts("item", value, cbor.encode)


def _exts(door: str, value: Map, encode: Callable[[Map], bytes]) -> Iterator[Case]:
    deep: Any = 1
    for _ in range(5):
        deep = {"x": deep}
    for ext, why in (
        ({}, "ext empty"),
        ({"x": bytes(60)}, "ext of 65 bytes"),
        ({"x": None}, "null in ext"),
        ({"x": True}, "a boolean in ext"),
        ({"x": []}, "an empty array in ext"),
        ({"x": {"y": [None]}}, "null deep in ext"),
        ([1], "ext is an array"),
        (b"x", "ext is bytes"),
        ({"x": deep}, "7 levels"),
    ):
        yield door, encode(value | {"ext": ext}), "malformed", why


def batches() -> Iterator[Case]:
    """Batches that are refused as a whole."""
    block = notification.encode_batch(make.batch(ALICE, BOB, 3))
    value = opened(block)
    for change, why in (
        ({"items": []}, "no items in the array"),
        ({"items": [opened(ITEM)]}, "an item that is a map"),
        ({"items": [ROOT_NAME]}, "an item that is a link"),
        ({"items": ITEM}, "items is bytes"),
        ({"to": BOB.key}, "an unknown field"),
        ({"sig": bytes(65)}, "sig of 65 bytes"),
        ({"v": 0}, "version 0"),
    ):
        yield "notifications", cbor.encode(value | change), "malformed", why
    for name in sorted(value):
        yield "notifications", cbor.encode(without(value, name)), "malformed", f"no {name}"
    yield "notifications", _many(257, b""), "malformed", "257 items"
    large = cbor.encode(value | {"items": [bytes(132_097)]})
    yield "notifications", _zeros(large, 132_097), "malformed", "over 132,096 bytes"
    yield from _batch_forgeries(value)


def _many(count: int, each: bytes) -> bytes:
    whole = notification.sign_batch(ALICE.key, [each] * count, ALICE.keys.signing)
    return notification.encode_batch(whole)


def _batch_forgeries(value: Map) -> Iterator[Case]:
    parts = value["items"]
    root = tree.root(parts)
    order = [parts[1], parts[0], parts[2]]
    altered = [parts[0], parts[1][:-1] + bytes([parts[1][-1] ^ 1]), parts[2]]
    sigs = {
        "signed for one item less": tree.signing_input(2, root),
        "signed for one item more": tree.signing_input(4, root),
        "signed without the count": b"willcall/v1/notifications\0" + root,
        "signed with the count in 4 bytes": b"willcall/v1/notifications\0\0\0\0\3" + root,
        "signed as a single object": signed.domain("notifications")
        + cbor.encode(without(value, "sig")),
        "signed over one hash of all leaves": tree.signing_input(
            3, sha256(b"".join(map(tree.leaf, parts))).digest()
        ),
        "signed under the domain of receipts": b"willcall/v1/receipt\0\0\0\0\0\0\0\0\3" + root,
    }
    for why, message in sigs.items():
        sig = keys.sign(ALICE.keys.signing, message)
        yield "notifications", cbor.encode(value | {"sig": sig}), "forged", why
    for change, why in (
        ({"items": order}, "items in another order"),
        ({"items": parts[:2]}, "an item left out"),
        ({"items": [*parts, parts[2]]}, "the last item twice (CVE-2012-2459's trick)"),
        ({"items": altered}, "an item altered"),
        ({"from": CAROL.key}, "another key in from"),
        ({"sig": bytes(64)}, "a signature of zeros"),
    ):
        yield "notifications", cbor.encode(value | change), "forged", why


def evidence() -> Iterator[Case]:
    """Places outside the batch, paths of a wrong length, altered items."""
    proofs = notification.evidence_of(make.batch(ALICE, BOB, 3))
    block = notification.encode_evidence(proofs[1])
    value = opened(block)
    lone = opened(notification.encode_evidence(notification.evidence_of(make.batch(ALICE, BOB))[0]))
    path = value["path"]
    for base, change, why in (
        (value, {"index": 3}, "index equals size"),
        (value, {"index": 256}, "index 256"),
        (value, {"size": 0}, "size 0"),
        (value, {"size": 257}, "size 257"),
        (value, {"path": [*path, *[bytes(32)] * 7]}, "9 hashes in the path"),
        (value, {"path": [path[0][:31], path[1]]}, "a hash of 31 bytes"),
        (lone, {"path": []}, "an empty path that is there"),
        (value, {"item": b""}, "no item"),
        (value, {"item": bytes(513)}, "an item of 513 bytes"),
        (value, {"item": opened(value["item"])}, "the item as a map"),
        (value, {"from": ALICE.key}, "an unknown field"),
        (value, {"sig": bytes(63)}, "sig of 63 bytes"),
    ):
        yield "evidence", cbor.encode(base | change), "malformed", why
    for name in sorted(value.keys() - {"path"}):
        yield "evidence", cbor.encode(without(value, name)), "malformed", f"no {name}"
    yield from _evidence_forgeries(value, lone)


def _evidence_forgeries(value: Map, lone: Map) -> Iterator[Case]:
    path = value["path"]
    other = notification.encode(make.item(ALICE, BOB, make.named(9)))
    foreign = notification.encode(make.item(CAROL, BOB, make.named(1)))
    for base, change, why in (
        (without(value, "path"), {}, "no path in a batch of 3"),
        (value, {"path": path[:1]}, "the path is too short"),
        (value, {"path": [*path, bytes(32)]}, "the path is too long"),
        (lone, {"path": [bytes(32)]}, "a path in a batch of 1"),
        (value, {"path": path[::-1]}, "the path reversed"),
        (value, {"index": 0}, "another index"),
        (value, {"index": 2}, "another index, with a shorter path"),
        (value, {"size": 4}, "another size, the path fits"),
        (value, {"size": 2}, "another size"),
        (value, {"item": other}, "another item"),
        (value, {"item": foreign}, "an item of another author"),
        (value, {"sig": bytes(64)}, "a signature of zeros"),
    ):
        yield "evidence", cbor.encode(base | change), "forged", why


# --- receipts, retractions, records ---------------------------------------------------


def receipts() -> Iterator[Case]:
    """Order and number of messages."""
    value = opened(KINDS["receipt"][0])
    one, two = value["messages"]
    many = [Cid(cid.OBJECT_PREFIX + i.to_bytes(32, "big")) for i in range(257)]
    for change, why in (
        ({"messages": [two, one]}, "not sorted"),
        ({"messages": [one, one]}, "a message twice"),
        ({"messages": []}, "no message in the array"),
        ({"messages": many}, "257 messages"),
        ({"messages": [bytes(one), two]}, "a message as bytes"),
        ({"messages": [cid.of_raw(b"")]}, "a message that is a raw block"),
        ({"messages": one}, "messages is a link"),
        ({"at": "now"}, "at is text"),
        ({"to": None}, "to is null"),
        ({"ext": {"x": 1}}, "ext, which receipts don't carry"),
    ):
        yield "receipt", resigned("receipt", value | change, BOB), "malformed", why
    by_author = resigned("receipt", value, ALICE)
    yield "receipt", by_author, "forged", "signed by the author of the messages"
    gone = opened(KINDS["retraction"][0])
    for change, why in (
        ({"message": [gone["message"]]}, "message is an array"),
        ({"message": cid.of_raw(b"")}, "message names a raw block"),
        ({"messages": [gone["message"]]}, "messages beside message"),
        ({"at": True}, "at is true"),
    ):
        yield "retraction", resigned("retraction", gone | change, ALICE), "malformed", why
    yield "retraction", resigned("retraction", gone, BOB), "forged", "signed by the addressee"


def records() -> Iterator[Case]:
    """Nodes, names, sealing keys, succession."""
    value = opened(KINDS["record"][0])
    node = {"origin": ALICE.origin}
    pin = bytes(32)
    rows: list[tuple[Map, str]] = [
        ({"nodes": []}, "no node in the array"),
        ({"nodes": [node] * 5}, "5 nodes"),
        ({"nodes": [node | {"pin": bytes(31)}]}, "a pin of 31 bytes"),
        ({"nodes": [node | {"pin": None}]}, "a pin that is null"),
        ({"nodes": [{"pin": pin}]}, "a node without origin"),
        ({"nodes": [node | {"port": 1}]}, "an unknown field in a node"),
        ({"nodes": node}, "nodes is a map"),
        ({"nodes": [{"origin": "alice.example"}]}, "an origin without port"),
        ({"nodes": [{"origin": "ALICE.example:1"}]}, "an origin with capitals"),
        ({"nodes": [{"origin": "127.1:4625"}]}, "an origin in an old spelling"),
        ({"name": ""}, "an empty name"),
        ({"name": "x" * 65}, "a name of 65 bytes"),
        ({"name": "a b"}, "a blank in the name"),
        ({"name": "a@b"}, "an at sign in the name"),
        ({"name": "a\u202e"}, "a bidirectional control in the name"),
        ({"name": b"alice"}, "a name that is bytes"),
        ({"sealing": bytes(31)}, "a sealing key of 31 bytes"),
        ({"recovery": bytes(33)}, "a recovery key of 33 bytes"),
        ({"seq": 2**53}, "seq 2^53"),
        ({"cosig": bytes(64)}, "cosig without successor"),
        ({"successor": CAROL.key}, "successor without cosig"),
    ]
    for change, why in rows:
        if change.get("seq") == 2**53:
            shorter = cbor.encode(value | {"seq": 2**53 - 1})
            grown = shorter.replace(
                b"\x63seq\x1b\x00\x1f" + b"\xff" * 6, b"\x63seq\x1b\x00\x20" + bytes(6)
            )
            yield "record", grown, "malformed", why
        else:
            yield "record", resigned("record", value | change, ALICE), "malformed", why
    for point in LOW_ORDER:
        made = resigned("record", value | {"sealing": point}, ALICE)
        yield "record", made, "malformed", "a sealing key of low order"
    decomposed = cbor.encode(value | {"name": "xxx"}).replace(b"cxxx", b"cu\xcc\x88")
    yield "record", decomposed, "malformed", "a name that is not NFC"
    newer = cbor.encode(value | {"name": "xxxx"}).replace(b"dxxxx", b"d\xf0\x9f\xab\xa8")
    yield "record", newer, "malformed", "a name with a code point of Unicode 15"
    yield from _exts("record", value, lambda each: resigned("record", each, ALICE))
    yield from _successions()


def _successions() -> Iterator[Case]:
    block = make.successor_block(ALICE, CAROL, seq=NOW + 1)
    value = opened(block)
    body = without(value, "sig", "cosig")
    recovery = record._RECOVERY + cbor.encode(body)
    plain = b"willcall/v1/record\0" + cbor.encode(body)
    by_id = keys.sign(ALICE.keys.signing, recovery)
    by_recovery = keys.sign(ALICE.keys.recovery, recovery)
    for change, why in (
        ({"sig": by_id, "cosig": by_recovery}, "sig and cosig exchanged"),
        ({"sig": by_id}, "both signatures by id"),
        ({"cosig": by_recovery}, "both signatures by recovery"),
        ({"sig": keys.sign(ALICE.keys.recovery, plain)}, "sig in the domain of plain records"),
        ({"cosig": keys.sign(ALICE.keys.signing, plain)}, "cosig in the domain of plain records"),
        ({"cosig": keys.sign(CAROL.keys.signing, recovery)}, "cosig by the successor"),
        ({"sig": keys.sign(MALLORY.keys.recovery, recovery)}, "sig by a foreign recovery key"),
        ({"successor": MALLORY.key}, "the successor altered"),
    ):
        yield "record", cbor.encode(value | change), "forged", why
    covered = record._RECOVERY + cbor.encode(without(value, "sig"))
    nested = keys.sign(ALICE.keys.recovery, covered)
    yield "record", cbor.encode(value | {"sig": nested}), "forged", "sig covers cosig"
    named = make.plain_record(ALICE, successor=CAROL.key, name="alice")
    extended = make.plain_record(ALICE, successor=CAROL.key, name=None, ext={"x": 1})
    for made, why in ((named, "a successor and a name"), (extended, "a successor and ext")):
        found = record.sign_successor(made, ALICE.keys.signing, ALICE.keys.recovery)
        yield "record", found, "malformed", why


# --- introductions, polls -------------------------------------------------------------


def meetings() -> Iterator[Case]:
    """Invite and proof, the record inside, lost."""
    value = opened(KINDS["introduction"][0])
    invited = make.invited(ALICE, BOB)
    inside = value["record"]
    for change, why in (
        ({"invite": invited["invite"]}, "invite without proof"),
        ({"proof": invited["proof"]}, "proof without invite"),
        (invited | {"invite": bytes(3)}, "an invite of 3 bytes"),
        (invited | {"proof": bytes(31)}, "a proof of 31 bytes"),
        ({"capability": bytes(17)}, "a capability of 17 bytes"),
        ({"record": opened(inside)}, "the record as a map"),
        ({"record": b""}, "an empty record"),
        ({"record": inside + b"\0"}, "a record with a byte too many"),
        ({"record": cbor.encode(without(opened(inside), "sig"))}, "a record without sig"),
        ({"record": bytes(1025)}, "a record over 1 KiB"),
        ({"record": ROOT}, "a message in the record's place"),
        ({"name": "alice"}, "an unknown field"),
    ):
        made = resigned("introduction", value | change, ALICE)
        yield "introduction", made, "malformed", why
    yield from _exts("introduction", value, lambda each: resigned("introduction", each, ALICE))
    poll = opened(KINDS["poll"][0])
    for change, why in (
        ({"lost": [NOW]}, "lost of 1"),
        ({"lost": [1, 2, 3]}, "lost of 3"),
        ({"lost": []}, "lost empty"),
        ({"lost": NOW}, "lost is a number"),
        ({"lost": [None, NOW]}, "null in lost"),
        ({"since": None}, "since is null"),
        ({"since": "0"}, "since is text"),
        ({"ext": {"x": 1}}, "ext, which polls don't carry"),
    ):
        yield "poll", resigned("poll", poll | change, BOB), "malformed", why
    yield "poll", _long_poll(poll), "malformed", "over 512 bytes"


def _long_poll(value: Map) -> bytes:
    return resigned("poll", value | {"pad": bytes(512)}, BOB)


# --- what is not signed ---------------------------------------------------------------


def answers() -> Iterator[Case]:
    """Answers whose fields don't belong to their state."""
    given = opened(make.receipt(BOB, ALICE, [ROOT_NAME]))
    gone = opened(make.retraction(ALICE, BOB, ROOT_NAME))
    newer = opened(make.record_block(BOB))
    ours = opened(make.introduction_block(ALICE, BOB))
    rows: list[tuple[Any, str]] = [
        ({}, "no state"),
        ({"state": "done"}, "an unknown state"),
        ({"state": "expired"}, "a state of deliveries, not of answers"),
        ({"state": None}, "state is null"),
        ({"state": "accepted", "note": 1}, "an unknown field"),
        ({"state": "refused"}, "refused without reason"),
        ({"state": "receipt"}, "receipt without the receipt"),
        ({"state": "retracted"}, "retracted without the retraction"),
        ({"state": "accepted", "reason": "busy"}, "accepted with a reason"),
        ({"state": "accepted", "receipt": given}, "accepted with a receipt"),
        ({"state": "held", "retraction": gone}, "held with a retraction"),
        ({"state": "held", "record": newer}, "held with a record"),
        ({"state": "held", "reason": "busy"}, "held, a reason of a refusal"),
        ({"state": "held", "reason": "later"}, "held, a reason that is not known"),
        ({"state": "refused", "reason": "busy", "record": newer}, "refused as busy, with a record"),
        ({"state": "refused", "reason": "spent", "introduction": ours}, "refused, introduction"),
        ({"state": "refused", "reason": ""}, "an empty reason"),
        ({"state": "refused", "reason": "Buy now"}, "a reason of two words"),
        ({"state": "refused", "reason": "x" * 33}, "a reason of 33 letters"),
        ({"state": "refused", "reason": 1}, "a reason that is a number"),
        ({"state": "receipt", "receipt": without(given, "sig")}, "a receipt without sig"),
        ({"state": "receipt", "receipt": cbor.encode(given)}, "a receipt as bytes"),
        ({"state": "receipt", "receipt": gone}, "a retraction in the receipt's place"),
        ({"state": "receipt", "receipt": None}, "a receipt that is null"),
        ([{"state": "accepted"}], "an array for one answer"),
    ]
    for value, why in rows:
        yield "answer", cbor.encode(value), "malformed", why
    accepted = {"state": "accepted"}
    for value, why in (
        ([accepted], "one answer to two items"),
        ([accepted] * 3, "three answers to two items"),
        ([], "no answers"),
        ([accepted, {}], "an answer without state"),
        (accepted, "an answer that is no array"),
    ):
        yield "answers", cbor.encode(value), "malformed", why
    altered = given | {"at": given["at"] + 1}
    block = cbor.encode({"state": "receipt", "receipt": altered})
    yield "answer", block, "forged", "an altered receipt"


def poll_answers() -> Iterator[Case]:
    """Answers to polls."""
    whole = opened(notification.encode_batch(make.batch(ALICE, BOB, 2)))
    usual = {"now": NOW, "more": False, "batches": [whole]}
    full = opened(notification.encode_batch(make.batch(ALICE, BOB, 255)))
    rows: list[tuple[Any, str]] = [
        (without(usual, "now"), "no now"),
        (without(usual, "more"), "no more"),
        (usual | {"more": 0}, "more is a number"),
        (usual | {"more": None}, "more is null"),
        (usual | {"batches": []}, "no batch in the array"),
        (usual | {"batches": [cbor.encode(whole)]}, "a batch as bytes"),
        (usual | {"batches": whole}, "batches is a map"),
        (usual | {"state": "accepted"}, "an answer and a poll's answer in one"),
        (usual | {"next": 1}, "an unknown field"),
        ({"state": "accepted"}, "an answer that refuses nothing"),
        ({"state": "refused", "reason": "spent"}, "a refusal that polls don't get"),
        ([usual], "inside an array"),
    ]
    for value, why in rows:
        yield "poll-answer", cbor.encode(value), "malformed", why
    over = cbor.encode(usual | {"batches": [full, whole]})
    yield "poll-answer", over, "malformed", "257 notifications in two batches"
    altered = whole | {"items": whole["items"][:1]}
    block = cbor.encode(usual | {"batches": [altered]})
    yield "poll-answer", block, "forged", "a batch with an item left out"


def requests() -> Iterator[Case]:
    """Bodies of the call for many blocks."""
    ticket = bytes(16)
    one, two = make.named(1), make.named(2)
    many = [make.named(i) for i in range(257)]
    rows: list[tuple[Any, str]] = [
        ([], "nothing asked for"),
        ([[ticket, []]], "no block in the array"),
        ([[ticket]], "no array of blocks"),
        ([[ticket, [one], 1]], "three in a line"),
        ([[bytes(15), [one]]], "a ticket of 15 bytes"),
        ([["", [one]]], "a ticket that is text"),
        ([[False, [one]]], "a ticket that is false"),
        ([[ticket, [bytes(one)]]], "a name as bytes"),
        ([[ticket, [one, one]]], "a block twice in a line"),
        ([[ticket, [one]], [None, [two, one]]], "a block twice in two lines"),
        ([[ticket, many]], "257 blocks in a line"),
        ([[ticket, many[:200]], [None, many[200:]]], "257 blocks in two lines"),
        ({"ticket": ticket, "cids": [one]}, "a map"),
    ]
    for value, why in rows:
        yield "blocks", cbor.encode(value), "malformed", why
    usual = answer.encode_wanted([Wanted(ticket=ticket, cids=(one,))])
    yield "blocks", usual + b"\0", "malformed", "a byte too many"


def archives() -> Iterator[Case]:
    """CARs that are refused whole."""
    a, b = b"\xa0", b"\x80"
    na, nb = cid.of_object(a), cid.of_object(b)
    usual = car.write([(na, a), (nb, b)])
    header = cbor.encode({"roots": [na, nb], "version": 1})
    tail = usual[1 + len(header) + 1 :] if len(header) > 127 else usual[1 + len(header) :]

    def with_header(value: Any) -> bytes:
        made = cbor.encode(value)
        size = len(made)
        frame = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        return frame + made + tail

    yield "car", b"", "malformed", "nothing"
    yield "car", usual + b"\0", "malformed", "a byte too many"
    yield "car", usual[:-1], "malformed", "a byte too few"
    yield "car", with_header({"roots": [nb, na], "version": 1}), "malformed", "another order"
    yield "car", with_header({"roots": [na], "version": 1}), "malformed", "a block too many"
    yield "car", with_header({"roots": [na, nb], "version": 2}), "malformed", "version 2"
    yield "car", with_header({"roots": [], "version": 1}), "malformed", "no roots"
    yield "car", with_header({"version": 1}), "malformed", "no roots in the header"
    yield "car", with_header({"roots": [na, na], "version": 1}), "malformed", "a root twice"
    yield "car", with_header({"roots": [na, nb], "version": 1, "x": 1}), "malformed", "unknown"
    padded = bytes([len(header) & 127 | 128, len(header) >> 7 | 128, 0]) + header + tail
    yield "car", padded, "malformed", "a padded length"
    yield "car", usual[: -len(b)] + b"\x81", "forged", "a block that is not what it is named"


SOURCES: tuple[Callable[[], Iterator[Case]], ...] = (
    every_kind,
    messages,
    items,
    batches,
    evidence,
    receipts,
    records,
    meetings,
    answers,
    poll_answers,
    requests,
    archives,
)
