"""The worked example: one message from Alice to Bob, every byte of it.

The steps are a vector file; the page 09 is written from them, so that it can't be wrong.
"""

import textwrap
from typing import Any

from node.crypto import batch as tree
from node.crypto import phrase, sealed
from node.encoding import car, cbor, cid, names
from node.objects import answer, notification
from node.objects.answer import Wanted
from tests import factories as make
from tests.factories import ALICE, BOB, NOW, Person
from tests.spec.form import FOLDER
from tests.spec.good import shown

PAGE = FOLDER.parent / "09-worked-example.md"
PLAIN = b"Subject: hi\r\n\r\nhello\r\n"

Step = tuple[str, str, bytes]
"""Name, what to say about it, bytes."""


def steps() -> list[Step]:
    """Everything that is computed or sent, in order."""
    return [*_people(ALICE), *_people(BOB), *_message(), *_told(), *_fetched(), *_confirmed()]


def _people(who: Person) -> list[Step]:
    name = who.word.capitalize()
    body = {k: v for k, v in _map(make.record_block(who)).items() if k != "sig"}
    return [
        (f"{name}: seed", f"In words: *{phrase.words(who.seed)}*.", who.seed),
        (
            f"{name}: signing seed",
            '`HMAC-SHA-256(seed, "willcall/v1/seed/signing")`.',
            who.keys.signing,
        ),
        (
            f"{name}: id",
            f"The Ed25519 public key of that seed. In print `{who.did}`.",
            who.key,
        ),
        (
            f"{name}: sealing secret",
            '`HMAC-SHA-256(seed, "willcall/v1/seed/sealing")`, the X25519 scalar itself.',
            who.keys.sealing,
        ),
        (f"{name}: sealing key", "X25519 of that secret and the base point.", who.sealing),
        (
            f"{name}: recovery seed",
            '`HMAC-SHA-256(seed, "willcall/v1/seed/recovery")`.',
            who.keys.recovery,
        ),
        (f"{name}: recovery key", "Its Ed25519 public key.", who.recovery),
        (
            f"{name}: what the record's signature covers",
            '`"willcall/v1/record"`, a NUL, and the canonical map without `sig`.',
            b"willcall/v1/record\0" + cbor.encode(body),
        ),
        (
            f"{name}: record",
            f"With `sig`. Its CID is `{_cid(make.record_block(who))}`.",
            make.record_block(who),
        ),
    ]


def _message() -> list[Step]:
    key, root = make.content_key_of("1"), make.letter(ALICE, PLAIN)
    body = _map(root)["body"]
    associated = b"willcall/v1/part\0" + ALICE.key + (0).to_bytes(8, "big") + (1).to_bytes(8, "big")
    unsigned = {name: value for name, value in _map(root).items() if name != "sig"}
    return [
        ("Content", "Exactly as it was submitted.", PLAIN),
        ("K", "In real life 32 random bytes.", key),
        (
            "Commitment",
            '`HMAC-SHA-256(K, "willcall/v1/commitment" NUL id)`, Alice\'s id.',
            sealed.commitment(key, ALICE.key),
        ),
        (
            "Content key",
            '`HMAC-SHA-256(K, "willcall/v1/content" NUL id)`.',
            sealed.content_key(key, ALICE.key),
        ),
        ("Nonce", "16 zero bytes and the part's number, 0.", bytes(24)),
        ("Associated data", "Domain, author, part 0 of 1.", associated),
        ("Ciphertext", "XChaCha20-Poly1305, tag at the end.", body),
        (
            "What the root's signature covers",
            "`created` is 1750000000000.",
            b"willcall/v1/message\0" + cbor.encode(unsigned),
        ),
        ("Root", f"Its CID is `{_cid(root)}`: the message's name.", root),
        ("The name in bytes", "This is what is hashed, compared and sorted.", cid.of_object(root)),
    ]


def batch() -> notification.Batch:
    """The batch that tells Bob."""
    item = make.item(ALICE, BOB, cid.of_object(make.letter(ALICE, PLAIN)), len(PLAIN))
    return notification.sign_batch(ALICE.key, [notification.encode(item)], ALICE.keys.signing)


def _told() -> list[Step]:
    name, whole = cid.of_object(make.letter(ALICE, PLAIN)), batch()
    ephemeral, key = make.some("ephemeral"), make.content_key_of("1")
    root = tree.root(whole.items)
    return [
        (
            "Box",
            f"K sealed to Bob. Here the ephemeral secret is `{ephemeral.hex()}`; in real life it "
            "is random, and forgotten.",
            make.box(key, BOB.sealing, ephemeral),
        ),
        (
            "Ticket",
            f"By Alice's node, whose ticket key is `{ALICE.ticket_key.hex()}`.",
            ALICE.ticket(name, BOB),
        ),
        (
            "Capability",
            "Which Bob's node gave Alice when they met; its capability key is "
            f"`{BOB.capability_key.hex()}`.",
            BOB.capability(ALICE),
        ),
        ("Notification", "It has no signature of its own.", whole.items[0]),
        ("Leaf", "`SHA-256(0x00 + notification)`; of one item also the root.", root),
        (
            "What the batch's signature covers",
            '`"willcall/v1/notifications"`, a NUL, the number of items in 8 bytes, the root.',
            tree.signing_input(1, root),
        ),
        (
            "Batch",
            "`POST /v1/notifications` to Bob's node.",
            notification.encode_batch(whole),
        ),
        (
            "Answer",
            "An array of one: `accepted`.",
            answer.encode_all([answer.ACCEPTED]),
        ),
        (
            "Evidence",
            "What Bob's node may keep of it: the notification, provable alone.",
            notification.encode_evidence(notification.evidence_of(whole)[0]),
        ),
    ]


def _fetched() -> list[Step]:
    root = make.letter(ALICE, PLAIN)
    name = cid.of_object(root)
    ticket = ALICE.ticket(name, BOB)
    wanted = answer.encode_wanted([Wanted(ticket=ticket, cids=(name,))])
    return [
        ("Block request", "`POST /v1/blocks` to Alice's node.", wanted),
        (
            "CAR",
            "Its answer. The same block alone: "
            f"`GET /v1/blocks/{cid.show(name)}` with "
            f"`Authorization: Willcall {names.b64(ticket)}`.",
            car.write([(name, root)]),
        ),
    ]


def _confirmed() -> list[Step]:
    name = cid.of_object(make.letter(ALICE, PLAIN))
    receipt = make.receipt(BOB, ALICE, [name], NOW)
    return [
        ("Receipt", "`POST /v1/receipts` to Alice's node, signed by Bob.", receipt),
        ("Answer to the receipt", "`accepted`.", answer.encode(answer.ACCEPTED)),
    ]


def _map(block: bytes) -> dict[str, Any]:
    value = cbor.decode(block)
    assert isinstance(value, dict)
    return value


def _cid(block: bytes) -> str:
    return cid.show(cid.of_object(block))


def document() -> Any:
    """The vector file."""
    return {"steps": [{"name": name, "bytes": data.hex()} for name, _, data in steps()]}


HEAD = """# 9 A worked example

Alice sends Bob 22 bytes. Everything that is computed or sent stands here in full; the same
bytes are in `vectors/example.json`, and a test holds this page against the implementation.
The seeds are counted (from 00 and from 20), `created`, `issued` and `at` are 1750000000000, and the
mail waits for 30 days. Alice's node is at `alice.example:4625`, Bob's at `127.0.0.1:4625`.

Below each object stand its fields, in canonical order, long ones cut.
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
    for name, words, data in steps():
        parts.append(f"## {name}\n\n{words} {len(data)} bytes.\n\n```\n{_lines(data)}\n```\n")
        if data[:1] > b"\xa0" and data[:1] < b"\xb8" and b"\x64kind" in data:
            parts.append(f"```\n{_fields(data)}\n```\n")
    return "\n".join(parts)


def _lines(data: bytes) -> str:
    return "\n".join(textwrap.wrap(data.hex(), 96))


def _fields(block: bytes) -> str:
    """The fields of an object, one a line."""
    return "\n".join(f"{name:<11}{_short(value)}" for name, value in shown(_map(block)).items())


def _short(value: Any) -> str:
    if isinstance(value, dict) and "hex" in value:
        text: str = value["hex"]
        shortened = text if len(text) <= 64 else f"{text[:32]}…{text[-8:]}"
        return f"bytes({len(text) // 2}) {shortened}"
    if isinstance(value, dict) and "link" in value:
        return f"link {value['link']}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)
