"""Vectors of what a recipient must not believe: parts, boxes and whole pickups."""

from typing import Any

from node.crypto import sealed
from node.encoding import cid
from node.objects import content, message
from node.objects.message import Message, Part
from tests import factories as make
from tests.factories import ALICE, BOB, MALLORY, NOW
from tests.spec import bad, good
from tests.spec.good import Entry

K = make.content_key_of("1")
OTHER_K = make.content_key_of("2")
PLAIN = make.pattern(24)
EPHEMERAL = make.some("ephemeral")

STEPS = ("hash", "author", "sizes", "signature", "box", "commitment", "parts")
"""The order in which a recipient checks."""


def parts() -> list[Entry]:
    """Single parts that must not open."""
    usual = sealed.seal_part(sealed.content_key(K, ALICE.key), ALICE.key, 0, 1, PLAIN)
    second = sealed.seal_part(sealed.content_key(K, ALICE.key), ALICE.key, 1, 2, PLAIN)
    rows = [
        (ALICE, K, 0, 1, usual, None, "opens"),
        (MALLORY, K, 0, 1, usual, "forged", "another author"),
        (ALICE, OTHER_K, 0, 1, usual, "forged", "another K"),
        (ALICE, K, 1, 2, usual, "forged", "another place"),
        (ALICE, K, 0, 2, usual, "forged", "another number of parts"),
        (ALICE, K, 0, 1, usual[:-1], "forged", "a byte too few"),
        (ALICE, K, 0, 1, usual + b"\0", "forged", "a byte too many"),
        (ALICE, K, 0, 1, usual[:15], "forged", "shorter than a seal"),
        (ALICE, K, 0, 1, b"", "forged", "nothing"),
        (ALICE, K, 0, 1, bytes([usual[0] ^ 1]) + usual[1:], "forged", "a bit turned"),
        (ALICE, K, 1, 2, second, None, "opens, part 1 of 2"),
        (ALICE, K, 0, 2, second, "forged", "part 1 as part 0"),
        (ALICE, K, 1, 3, second, "forged", "part 1 of 2 as 1 of 3"),
    ]
    return [
        {"author": who.key.hex(), "k": k.hex(), "index": index, "count": count}
        | {"ciphertext": data.hex(), "reason": reason, "why": why}
        for who, k, index, count, data, reason, why in rows
    ]


def boxes() -> list[Entry]:
    """Boxes that must not open for Bob."""
    usual = make.box(K, BOB.sealing, EPHEMERAL)
    rows = [
        (make.box(K, ALICE.sealing, EPHEMERAL), "to somebody else"),
        (make.box(K[:31], BOB.sealing, EPHEMERAL), "31 bytes inside"),
        (make.box(K + b"\0", BOB.sealing, EPHEMERAL), "33 bytes inside"),
        (usual[:-1], "79 bytes"),
        (bytes(32) + usual[32:], "an ephemeral key of low order"),
        (usual[:79] + bytes([usual[79] ^ 1]), "a bit turned"),
        (bytes(80), "zeros"),
    ]
    return [
        {"secret": BOB.keys.sealing.hex(), "box": box.hex(), "reason": "forged", "why": why}
        for box, why in rows
    ]


def pickups() -> list[Entry]:
    """Whole pickups by Bob; `step` names the check that must refuse, null: readable."""
    root, two = make.letter(ALICE, PLAIN), good.two_parts()
    box = make.box(K, BOB.sealing, EPHEMERAL)
    usual: Entry = {
        "from": ALICE.key,
        "size": 24,
        "message": cid.of_object(root),
        "root": root,
        "key": box,
        "parts": [],
    }
    rows: list[tuple[Entry, str | None, str]] = [
        ({}, None, "as it should be"),
        ({"root": root[:-1] + b"\0"}, "hash", "other bytes than the name says"),
        ({"from": MALLORY.key}, "author", "announced by somebody else"),
        ({"size": 25}, "sizes", "the notification names another size"),
        (_named(_unsigned()), "signature", "a root signed by another key"),
        ({"key": make.box(K, ALICE.sealing, EPHEMERAL)}, "box", "a box to somebody else"),
        ({"key": make.box(OTHER_K, BOB.sealing, EPHEMERAL)}, "commitment", "another K"),
        (_stolen(recommit=False), "commitment", "a stolen ciphertext, re-rooted as it is"),
        (_stolen(recommit=True), "parts", "a stolen ciphertext under the thief's commitment"),
        (_named(_two_faced()), "parts", "a ciphertext for another K than the commitment's"),
        (_public(), "commitment", "a public root is never mail"),
        (_large(two), None, "two parts"),
        (_large(two, swap=True), "parts", "the parts exchanged"),
        (_large(two, cut=True), "parts", "a part a byte short"),
        (_large(two, lose=True), "parts", "a part missing"),
    ]
    return [
        {"to": BOB.word}
        | {name: _written(item) for name, item in (usual | change).items()}
        | {"step": step, "why": why}
        for change, step, why in rows
    ]


def _written(item: Any) -> Any:
    return item.hex() if isinstance(item, bytes) else item


def _named(root: bytes) -> Entry:
    return {"root": root, "message": cid.of_object(root)}


def _unsigned() -> bytes:
    return bad.resigned("message", bad.opened(make.letter(ALICE, PLAIN)), MALLORY)


def _stolen(*, recommit: bool) -> Entry:
    """Mallory, once a reader of Alice's, sends her ciphertext on as her own."""
    theirs = message.KIND.decode(make.letter(ALICE, PLAIN)).claim
    made = Message(
        author=MALLORY.key,
        created=NOW,
        size=24,
        commitment=sealed.commitment(K, MALLORY.key) if recommit else theirs.commitment,
        body=theirs.body,
    )
    return {"from": MALLORY.key} | _named(message.KIND.sign(made, MALLORY.keys.signing))


def _two_faced() -> bytes:
    other = sealed.seal_part(sealed.content_key(OTHER_K, ALICE.key), ALICE.key, 0, 1, PLAIN)
    made = Message(
        author=ALICE.key,
        created=NOW,
        size=24,
        commitment=sealed.commitment(K, ALICE.key),
        body=other,
    )
    return message.KIND.sign(made, ALICE.keys.signing)


def _public() -> Entry:
    made = make.public_message(ALICE, PLAIN)
    return _named(message.KIND.sign(made, ALICE.keys.signing))


def _large(
    two: tuple[bytes, list[bytes]], *, swap: bool = False, cut: bool = False, lose: bool = False
) -> Entry:
    """Two parts, by rule: `parts` says how they follow from `sealing.json`."""
    root, blocks = two
    told: list[str] = ["0", "1"]
    if swap:
        found = message.KIND.decode(root).claim
        # The sizes have to agree, so the thief keeps them and exchanges what opens.
        first = content.seal_part(K, ALICE.key, 1, 2, make.pattern(1 << 20))
        second = Part(cid=found.parts[1].cid, size=17)
        one = Part(cid=first.cid, size=len(first.block))
        root = content.seal_root(K, ALICE.key, NOW, found.size, (one, second), ALICE.keys.signing)
        told = ["0 sealed as part 1", "1"]
    told = ["0", "1 without its last byte"] if cut else ["0"] if lose else told
    return {"size": len(blocks[0]) + 1 - 16} | _named(root) | {"parts": told}
