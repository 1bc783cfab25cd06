"""The positive vectors: what every implementation makes and accepts."""

from collections.abc import Sequence
from typing import Any

from node.crypto import batch as tree
from node.crypto import keys, phrase, sealed, tokens
from node.encoding import car, cbor, cid, names
from node.encoding.cid import Cid
from node.objects import answer, message, notification, record
from node.objects.answer import Answer, Wanted
from node.objects.introduction import INTRODUCTION
from node.objects.receipt import RECEIPT, RETRACTION
from node.units import DAY, Instant
from tests import factories as make
from tests.factories import ALICE, BOB, CAROL, NOW, Person

Entry = dict[str, Any]
PEOPLE = (ALICE, BOB, CAROL)
MIB = 1 << 20
LONG_ORIGIN = f"{'a' * 60}.{'b' * 26}.example:4625"
"""100 bytes."""
FULL_EXT = {"x": bytes(59)}
"""64 bytes with its head."""


def shown(value: Any) -> Any:
    """A value as the files write it."""
    if isinstance(value, Cid):
        return {"link": cid.show(value)}
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    return [shown(item) for item in value] if isinstance(value, list | tuple) else value


def person(who: Person) -> Entry:
    """A person with all that follows from the seed."""
    return {
        "name": who.word,
        "seed": who.seed.hex(),
        "phrase": phrase.words(who.seed),
        "signing": who.keys.signing.hex(),
        "sealing": who.keys.sealing.hex(),
        "recovery": who.keys.recovery.hex(),
        "id": who.key.hex(),
        "sealing_public": who.sealing.hex(),
        "recovery_public": who.recovery.hex(),
        "did": who.did,
        "ticket_key": who.ticket_key.hex(),
        "capability_key": who.capability_key.hex(),
        "invite_key": who.invite_key.hex(),
    }


def compared() -> list[Entry]:
    """The six words of each two."""
    return [
        {"between": [one.word, other.word], "words": phrase.compared(one.key, other.key)}
        for one, other in ((ALICE, BOB), (BOB, CAROL), (CAROL, ALICE))
    ]


# --- objects --------------------------------------------------------------------------


def entry(name: str, signer: Person | None, block: bytes) -> Entry:
    """One object."""
    value = cbor.decode(block)
    assert isinstance(value, dict)
    made: Entry = {"name": name, "kind": value["kind"]}
    if signer is not None:
        made["signer"] = signer.word
    made["fields"] = shown(value)
    made["bytes"] = block.hex()
    named = cid.of_object(block)
    return made | {"cid": cid.show(named), "cid_bytes": named.hex()}


def objects() -> list[Entry]:
    """Every kind, smallest, usual and largest."""
    return [*_messages(), *_items(), *_words(), *_records(), *_introductions(), *_polls()]


def _messages() -> list[Entry]:
    public = make.public_message(ALICE)
    empty = make.public_message(ALICE, b"")
    sign = ALICE.keys.signing
    return [
        entry("message, sealed body", ALICE, make.letter(ALICE)),
        entry("message, sealed empty body", ALICE, make.letter(ALICE, b"")),
        entry("message, 1 part", ALICE, make.parcel(ALICE, make.pattern(49_137))[0]),
        entry("message, 1 full part", ALICE, make.parcel(ALICE, make.pattern(MIB))[0]),
        entry("message, 2 parts, the last 1 byte", ALICE, two_parts()[0]),
        entry("message, 3 parts", ALICE, three_parts()[0]),
        entry("message, public body", ALICE, message.KIND.sign(public, sign)),
        entry("message, public empty body", ALICE, message.KIND.sign(empty, sign)),
        entry("message, public, 1 part of 48 KiB and 1 byte", ALICE, public_part()),
    ]


def two_parts() -> tuple[bytes, list[bytes]]:
    """1 MiB and 1 byte."""
    return make.parcel(ALICE, make.pattern(MIB + 1))


def three_parts() -> tuple[bytes, list[bytes]]:
    """2 MiB and 5 bytes."""
    return make.parcel(ALICE, make.pattern(2 * MIB + 5))


def public_part() -> bytes:
    """The smallest public message with parts."""
    plain = make.pattern(48 * 1024 + 1)
    parts = (message.Part(cid=cid.of_raw(plain), size=len(plain)),)
    made = message.Message(
        author=ALICE.key, created=Instant(0), size=len(plain), cipher="none", parts=parts
    )
    return message.KIND.sign(made, ALICE.keys.signing)


def _items() -> list[Entry]:
    named = cid.of_object(make.letter(ALICE))
    usual = make.item(ALICE, BOB, named)
    stranger = make.item(ALICE, BOB, named, capability=None)
    largest = make.item(
        ALICE,
        BOB,
        named,
        size=2**53 - 1,
        origin=LONG_ORIGIN,
        ext=FULL_EXT,
        keep_until=Instant(NOW + 400 * DAY),
    )
    found = [
        ("notification, to a contact", usual),
        ("notification, no capability", stranger),
        ("notification, 512 bytes", largest),
    ]
    return [entry(name, None, notification.encode(item)) for name, item in found]


def _words() -> list[Entry]:
    named = cid.of_object(make.letter(ALICE))
    many = [make.named(i) for i in range(256)]
    return [
        entry("receipt, 1 message", BOB, make.receipt(BOB, ALICE, [named])),
        entry("receipt, 2 messages", BOB, make.receipt(BOB, ALICE, many[:2])),
        entry("receipt, 256 messages", BOB, make.receipt(BOB, ALICE, many)),
        entry("retraction", ALICE, make.retraction(ALICE, BOB, named)),
    ]


def _records() -> list[Entry]:
    places = tuple(
        record.Endpoint(origin=origin, pin=pin)
        for origin, pin in (
            ("carol.example:443", make.some("pin/1")),
            ("[2001:db8::1]:8443", None),
            ("192.0.2.7:4625", make.some("pin/2")),
            ("xn--bcher-kva.example:4625", None),
        )
    )
    full = make.record_block(CAROL, nodes=places, name="Carol·Ω", ext={"x": 1})
    far = tuple(record.Endpoint(origin=LONG_ORIGIN, pin=make.some("pin/1")) for _ in range(4))
    largest = make.record_block(CAROL, nodes=far, seq=2**53 - 1, name="x" * 64, ext=FULL_EXT)
    return [
        entry("record, every field at its largest", CAROL, largest),
        entry("record, usual", ALICE, make.record_block(ALICE)),
        entry("record, no name", BOB, make.record_block(BOB, name=None)),
        entry("record, 4 nodes, 2 pins, name, ext", CAROL, full),
        entry("record, successor", ALICE, make.successor_block(ALICE, CAROL, seq=NOW + 1)),
    ]


def _introductions() -> list[Entry]:
    vouching = make.introduction_block(ALICE, BOB, record=make.record_block(CAROL))
    invited = make.introduction_block(BOB, ALICE, **make.invited(BOB, ALICE))
    ext = make.introduction_block(ALICE, BOB, ext=FULL_EXT)
    return [
        entry("introduction", ALICE, make.introduction_block(ALICE, BOB)),
        entry("introduction, invited", BOB, invited),
        entry("introduction of a third key", ALICE, vouching),
        entry("introduction, full ext", ALICE, ext),
    ]


def _polls() -> list[Entry]:
    lost = (Instant(NOW - DAY), NOW)
    return [
        entry("poll, all", BOB, make.poll_block(BOB, ALICE)),
        entry("poll, since", BOB, make.poll_block(BOB, ALICE, since=NOW - 5)),
        entry("poll, restored recipient", BOB, make.poll_block(BOB, ALICE, lost=lost)),
        entry("poll, phrase alone", BOB, make.poll_block(BOB, ALICE, lost=(Instant(0), NOW))),
    ]


# --- batches --------------------------------------------------------------------------


def batches() -> Entry:
    """Batches of 1, 2, 3, 255 and 256 items, and one whose items differ in worth."""
    rule = notification.encode(make.item(ALICE, BOB, make.named(0)))
    return {
        "rule": "item i is `item` with the digest of `message` replaced by SHA-256(u64be(i))",
        "item": rule.hex(),
        "batches": [_batch(count) for count in (1, 2, 3, 255, 256)],
        "mixed": mixed(),
    }


def _batch(count: int) -> Entry:
    whole = make.batch(ALICE, BOB, count)
    block = notification.encode_batch(whole)
    root = tree.root(whole.items)
    wrong = [
        keys.sign(ALICE.keys.signing, tree.signing_input(size, root)).hex()
        for size in (count - 1, count + 1)
    ]
    proofs = notification.evidence_of(whole)
    places = sorted({0, count // 2, count - 1})
    made: Entry = {
        "count": count,
        "signer": ALICE.word,
        "root": root.hex(),
        "signing_input": tree.signing_input(count, root).hex(),
        "sig": whole.signature.hex(),
        "wrong_count_sigs": wrong,
        "size": len(block),
        "cid": cid.show(cid.of_object(block)),
    }
    if count <= 3:
        made["bytes"] = block.hex()
    made["evidence"] = [_evidence(proofs[place]) for place in places]
    return made


def _evidence(proof: notification.Evidence) -> Entry:
    block = notification.encode_evidence(proof)
    return {
        "index": proof.index,
        "leaf": tree.leaf(proof.item).hex(),
        "path": [node.hex() for node in proof.path],
        "bytes": block.hex(),
        "cid": cid.show(cid.of_object(block)),
    }


def mixed() -> Entry:
    """A rightly signed batch whose items are judged one by one."""
    good = notification.encode(make.item(ALICE, BOB, make.named(0)))
    later = notification.encode(make.item(ALICE, BOB, make.named(0), issued=NOW + 1))
    other = notification.encode(make.item(ALICE, CAROL, make.named(0)))
    foreign = notification.encode(make.item(CAROL, BOB, make.named(1)))
    long = notification.encode(
        make.item(ALICE, BOB, make.named(2), keep_until=Instant(NOW + 400 * DAY))
    )
    too_long = cbor.encode(
        notification_map(good) | {"message": make.named(3), "keep_until": NOW + 400 * DAY + 1}
    )
    rows = [
        (good, "ok", "well formed"),
        (later, "malformed", "the same (to, message) as item 0"),
        (other, "ok", "the same message to somebody else"),
        (foreign, "forged", "from is another key than the batch's"),
        (b"", "malformed", "empty"),
        (bytes(513), "malformed", "513 bytes"),
        (b"\xa0", "malformed", "no fields"),
        (good[:-1], "malformed", "cut short"),
        (long, "ok", "kept for exactly 400 days"),
        (too_long, "malformed", "kept for 400 days and 1 ms"),
    ]
    items = [item for item, _, _ in rows]
    whole = notification.sign_batch(ALICE.key, items, ALICE.keys.signing)
    return {
        "bytes": notification.encode_batch(whole).hex(),
        "items": [{"verdict": verdict, "why": why} for _, verdict, why in rows],
    }


def notification_map(item: bytes) -> dict[str, Any]:
    """The map of an item."""
    found = cbor.decode(item)
    assert isinstance(found, dict)
    return found


# --- sealing --------------------------------------------------------------------------


def sealing() -> Entry:
    """K, what follows from it, and content of every shape."""
    key = make.content_key_of("1")
    ephemeral = make.some("ephemeral")
    return {
        "author": ALICE.word,
        "k": key.hex(),
        "commitment": sealed.commitment(key, ALICE.key).hex(),
        "content_key": sealed.content_key(key, ALICE.key).hex(),
        "boxes": [
            {
                "to": who.word,
                "ephemeral": ephemeral.hex(),
                "box": make.box(key, who.sealing, ephemeral).hex(),
            }
            for who in PEOPLE
        ],
        "messages": [_contents(size) for size in SIZES],
    }


SIZES = (0, 1, 24, 49_135, 49_136, 49_137, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 5)
"""Every boundary: the largest body is 48 KiB less the seal."""


def _contents(size: int) -> Entry:
    plain = make.pattern(size)
    if message.fits_body(size):
        root, parts = make.letter(ALICE, plain), list[bytes]()
    else:
        root, parts = make.parcel(ALICE, plain)
    found = message.KIND.decode(root).claim
    ciphertexts = [found.body] if found.body is not None else parts
    rows = [
        {"size": len(part), "sha256": cid.of_raw(part)[4:].hex(), "head": part[:16].hex()}
        | ({} if found.body is not None else {"cid": cid.show(cid.of_raw(part))})
        for part in ciphertexts
    ]
    made: Entry = {"plaintext": [{"pattern": size}], "created": NOW}
    if size == 24:
        made["nonce"], made["associated"] = bytes(24).hex(), associated(0, 1).hex()
    made["form"] = "body" if found.body is not None else "parts"
    made["ciphertexts"] = rows
    if len(root) < 1024:
        made["root"] = root.hex()
    return made | {"root_size": len(root), "root_cid": cid.show(cid.of_object(root))}


def associated(index: int, count: int) -> bytes:
    """The associated data of one of Alice's parts."""
    return b"willcall/v1/part\0" + ALICE.key + index.to_bytes(8, "big") + count.to_bytes(8, "big")


# --- tokens, records, transfer --------------------------------------------------------


def token_entries() -> Entry:
    """Ticket, capability, invite, proof, link."""
    named, id = cid.of_object(make.letter(ALICE)), b"\0\0\0\1"
    token = tokens.invite(ALICE.invite_key, ALICE.key, id)
    link = f"https://{ALICE.origin}/i/{names.z(ALICE.key)}#{names.b64(token)}"
    return {
        "tickets": [
            {
                "node": ALICE.word,
                "message": cid.show(named),
                "to": who.word,
                "ticket": ALICE.ticket(named, who).hex(),
                "authorization": f"Willcall {names.b64(ALICE.ticket(named, who))}",
            }
            for who in (BOB, CAROL)
        ],
        "capabilities": [
            {"issuer": a.word, "holder": b.word, "capability": a.capability(b).hex()}
            for a, b in ((ALICE, BOB), (BOB, ALICE), (CAROL, ALICE))
        ],
        "invites": [
            {
                "owner": ALICE.word,
                "id": id.hex(),
                "token": token.hex(),
                "link": link,
                "from": BOB.word,
                "issued": NOW,
                "proof": tokens.proof(token, BOB.key, ALICE.key, NOW).hex(),
            }
        ],
    }


def successions() -> list[Entry]:
    """Which of two valid records of one id is kept."""
    usual = make.record_block(ALICE)
    newer = make.record_block(ALICE, seq=NOW + 1, name="alice-2")
    expired = make.record_block(ALICE, seq=NOW + 1, expires=Instant(NOW - 1))
    same = make.record_block(ALICE, name="other")
    swapped = make.record_block(ALICE, seq=NOW + 1, recovery=CAROL.recovery)
    heir = make.successor_block(ALICE, CAROL, seq=0)
    heir_again = make.successor_block(ALICE, BOB, seq=NOW + 9)
    rows = [
        (usual, newer, True, "a higher seq"),
        (newer, usual, False, "a lower seq"),
        (usual, same, False, "an equal seq changes nothing"),
        (usual, expired, True, "the newest wins, past expires too"),
        (usual, swapped, False, "recovery never changes"),
        (newer, heir, True, "a successor beats every seq"),
        (heir, newer, False, "a successor is final"),
        (heir, heir_again, False, "a successor is final, for another successor too"),
    ]
    return [
        {"known": known.hex(), "offered": offered.hex(), "replaces": replaces, "why": why}
        for known, offered, replaces, why in rows
    ]


def transfer() -> Entry:
    """Bodies that are no signed objects: archives, requests, answers."""
    root, parts = make.letter(ALICE), make.pattern(40)
    cids = [cid.of_object(root), cid.of_raw(parts)]
    archive = car.write([(cids[0], root), (cids[1], parts)])
    ticket = ALICE.ticket(cids[0], BOB)
    requests = [
        ("one block, one ticket", [Wanted(ticket=ticket, cids=(cids[0],))]),
        ("two tickets", [wanted(ticket, cids[:1]), wanted(None, cids[1:])]),
        ("256 blocks", [wanted(ticket, [make.named(i) for i in range(256)])]),
    ]
    return {
        "archives": [
            {"blocks": [[cid.show(n), b.hex()] for n, b in zip(cids, (root, parts), strict=True)]}
            | {"bytes": archive.hex()}
        ],
        "requests": [_request(name, each) for name, each in requests],
        "answers": [_answer(name, each) for name, each in answers()],
        "batch_answers": [_answers([each for _, each in answers()])],
        "poll_answers": _poll_answers(),
    }


def wanted(ticket: bytes | None, cids: Sequence[Cid]) -> Wanted:
    """A line of a request."""
    return Wanted(ticket=ticket, cids=tuple(cids))


def _request(name: str, lines: list[Wanted]) -> Entry:
    block = answer.encode_wanted(lines)
    return {"name": name, "value": shown(cbor.decode(block)), "bytes": block.hex()}


def answers() -> list[tuple[str, Answer]]:
    """Every answer there is."""
    named = cid.of_object(make.letter(ALICE))
    refusals = [
        *("malformed", "forged", "too-large", "clock", "expired"),
        *("not-here", "unreadable", "busy", "spent"),
    ]
    newer = record.decode(make.record_block(BOB, seq=NOW + 1))
    return [
        ("accepted", answer.ACCEPTED),
        ("held", answer.HELD),
        ("held, waiting", Answer(state="held", reason="waiting")),
        ("held, over-quota", Answer(state="held", reason="over-quota")),
        (
            "receipt",
            Answer(
                state="receipt",
                receipt=RECEIPT.decode(make.receipt(BOB, ALICE, [named])),
            ),
        ),
        (
            "retracted",
            Answer(
                state="retracted",
                retraction=RETRACTION.decode(make.retraction(ALICE, BOB, named)),
            ),
        ),
        *((f"refused, {word}", answer.refused(word)) for word in refusals),
        ("refused, stale-record", answer.refused("stale-record", record=newer)),
        (
            "accepted, with the inviter's introduction",
            Answer(
                state="accepted",
                introduction=INTRODUCTION.decode(make.introduction_block(ALICE, BOB)),
            ),
        ),
    ]


def _answer(name: str, one: Answer) -> Entry:
    block = answer.encode(one)
    return {"name": name, "value": shown(cbor.decode(block, levels=8)), "bytes": block.hex()}


def _answers(several: list[Answer]) -> Entry:
    return {"count": len(several), "bytes": answer.encode_all(several).hex()}


def _poll_answers() -> list[Entry]:
    full = answer.encode_poll(Instant(NOW + 7), True, [make.batch(ALICE, BOB, 2)])
    none = answer.encode_poll(Instant(NOW - 5), False, [])
    two = [make.batch(ALICE, BOB, 1), make.batch(ALICE, BOB, 3)]
    both = answer.encode_poll(Instant(NOW + 9), False, two)
    rows = [
        ("two deliveries, and more", full),
        ("nothing", none),
        ("two batches", both),
        ("refused", answer.encode(answer.refused("clock"))),
    ]
    return [
        {"name": name, "value": shown(cbor.decode(block, levels=8)), "bytes": block.hex()}
        for name, block in rows
    ]
