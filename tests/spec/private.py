"""The vectors of 12.8: a private archive with three keys, from given seeds."""

from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from typing import Any

from node.archive import entry
from node.archive.entry import Entry, Removal
from node.crypto import keys
from node.encoding import cid as cids
from node.encoding import names
from node.objects import readers as objects
from node.objects.readers import Granted, Readers, Reading, Span
from node.services import grants
from node.services.publish import Plain, sealed
from node.units import Instant
from tests import factories as make
from tests.factories import ALICE, BOB, CAROL
from tests.spec import archives
from tests.spec.archives import CONTENT, DATE, SEED

LINE = "127.0.0.1:4625/archives/family/1"
AT = "127.0.0.1:4625"
STARTS = (0, 2, 5)
KEYS = tuple((start, make.some(f"archive key {start}")) for start in STARTS)
SIZE = 6
"""Five messages, the last of them large, and the removal of the second."""
REMOVED = 1
OWNER_SEALING = make.some("owner sealing")


def content(number: int) -> bytes:
    """What message `number` is."""
    small = CONTENT.format(n=number).encode()
    return small if number < 4 else small + make.pattern(1_100_000)


def nonce(index: int) -> bytes:
    return make.some(f"nonce {index}")[:24]


def key_at(index: int) -> bytes:
    return [key for start, key in KEYS if start <= index][-1]


def message(index: int) -> Plain:
    return sealed(archives.owner(), content(index), DATE, key_at(index), nonce(index))


def said(index: int) -> Entry | Removal:
    """The entry in clear."""
    if index == SIZE - 1:
        gone = message(REMOVED)
        return Removal(
            index=REMOVED, message=gone.message, reason="asked for", at=Instant(DATE + 1)
        )
    made = message(index)
    return Entry(message=made.message, size=made.size, date=made.date)


def readers() -> Readers:
    """Alice reads, Carol mirrors, Bob was removed."""
    spans = [Span(start=0)]
    for (_, before), (start, key) in pairwise(KEYS):
        older = objects.older(key, before, make.some(f"older {start}")[:24], LINE, start)
        spans.append(Span(start=start, older=older))
    boxes = [
        Granted(to=keys.public(SEED), box=_box(keys.sealing_public(OWNER_SEALING), "owner")),
        Granted(to=ALICE.key, box=_box(ALICE.sealing, "alice")),
        Granted(to=CAROL.key),
    ]
    return Readers(
        owner=keys.public(SEED),
        log=LINE,
        issued=Instant(DATE + 2),
        keys=tuple(spans),
        readers=tuple(sorted(boxes, key=lambda each: each.to)),
    )


def _box(sealing: bytes, who: str) -> bytes:
    return make.box(KEYS[-1][1], sealing, make.some(f"ephemeral {who}"))


def document() -> Any:
    """What `private.json` holds."""
    whole = readers()
    return {
        "content": CONTENT,
        "owner_seed": SEED.hex(),
        "owner_sealing_secret": OWNER_SEALING.hex(),
        "log": LINE,
        "reader": ALICE.word,
        "mirror": CAROL.word,
        "removed": BOB.word,
        "keys": [{"from": start, "key": key.hex()} for start, key in KEYS],
        "readers": {
            "bytes": objects.sign(whole, SEED).hex(),
            "ephemeral": {who: make.some(f"ephemeral {who}").hex() for who in ("owner", "alice")},
        },
        "entries": [_entry(index) for index in range(SIZE)],
        "names": b"".join(grants.name_of(said(index)) for index in range(SIZE)).hex(),
        "reading": _reading(Reading(by=ALICE.key, at=AT, issued=DATE)),
        "refused": _refused(whole),
    }


def _entry(index: int) -> dict[str, Any]:
    clear, key = said(index), key_at(index)
    made = {
        "index": index,
        "bytes": entry.encode(entry.seal(clear, key, nonce(index), LINE, index)).hex(),
        "opens_to": entry.encode(clear).hex(),
    }
    if isinstance(clear, Removal):
        return made
    found = message(index)
    return made | {
        "k": entry.message_key(key, nonce(index)).hex(),
        "size": found.size,
        "content_sha256": sha256(content(index)).hexdigest(),
        "root": found.block.hex(),
        "cid": cids.show(found.message),
        "parts": [{"cid": cids.show(part.cid), "size": part.size} for part, _ in found.parts],
    }


def _reading(made: Reading) -> dict[str, str]:
    block = objects.READING.sign(made, ALICE.keys.signing)
    return {"bytes": block.hex(), "header": f"Willcall {names.b64(block)}"}


def _refused(whole: Readers) -> list[dict[str, str]]:
    """Objects that verify nowhere, or must not be believed for this log."""
    one, two, three = whole.keys
    rows = {
        "keys that do not begin at 0": replace(whole, keys=(Span(start=1),)),
        "a first key with one before it": replace(whole, keys=(Span(start=0, older=two.older),)),
        "a later key without the one before": replace(whole, keys=(one, Span(start=2))),
        "keys out of order": replace(whole, keys=(one, three, two)),
        "the same key twice": replace(whole, keys=(one, two, two)),
        "readers out of order": replace(whole, readers=whole.readers[::-1]),
        "the same reader twice": replace(whole, readers=whole.readers[:1] * 2),
        "no readers": replace(whole, readers=()),
        "another log": replace(whole, log=LINE[:-1] + "2"),
        "a box of 79 bytes": replace(
            whole, readers=tuple(_short(each) for each in whole.readers)
        ),
    }  # fmt: skip
    made = [{"why": why, "bytes": objects.sign(bad, SEED).hex()} for why, bad in rows.items()]
    forged = objects.sign(whole, BOB.keys.signing)
    return [*made, {"why": "signed by another key", "bytes": forged.hex()}]


def _short(granted: Granted) -> Granted:
    return granted if granted.box is None else replace(granted, box=granted.box[:79])
