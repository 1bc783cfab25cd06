"""Vectors of backups: whole files from given secrets, and files that must be refused."""

from hashlib import sha256
from typing import Any

from nacl import bindings

from node.crypto import stream
from node.encoding import cid
from node.objects import backup
from node.objects.backup import BACKUP, Header, HomeFile, LargeBlock, Record, StoredRow
from node.units import Instant
from tests import factories as make
from tests.factories import ALICE, BOB, NOW

Entry = dict[str, Any]

MADE = Instant(NOW)
KEY, STREAM, EPHEMERAL = make.some("backup"), make.some("stream")[:24], make.some("ephemeral")
FULL = backup.PIECE
BLOCK = make.pattern(70_000)

SMALL: list[Record] = [
    HomeFile(path="config.toml", data=b'[network]\nlisten = "127.0.0.1:4625"\n'),
    StoredRow(key=b"!node", value=b"\x81\xa6schema\x02"),
    StoredRow(key=b"A\0" + ALICE.key, value=b""),
]


def backups() -> Entry:
    """What `backup.json` holds."""
    exact = FULL - sum(len(backup.encode(each)) for each in [*SMALL, _end(SMALL)])
    head = len(backup.encode(HomeFile(path="f", data=bytes(100_000)))) - 100_000
    full = HomeFile(path="f", data=make.pattern(exact - head))
    return {
        "person": ALICE.word,
        "backups": [
            _entry("small", SMALL),
            _entry("one piece exactly", [full, *SMALL]),
            _entry(
                "two pieces, a large block and one that was missing",
                [
                    *SMALL,
                    StoredRow(key=b"Z", value=make.pattern(200_000)),
                    LargeBlock(cid=cid.of_raw(BLOCK), data=BLOCK),
                    LargeBlock(cid=cid.of_raw(b"missing"), data=None),
                ],
            ),
        ],
        "refused": _refused(),
    }  # fmt: skip


def _end(records: list[Record]) -> Record:
    counter = backup.Counter()
    for each in records:
        if isinstance(each, StoredRow):
            counter.row(backup.encode(each))
        elif isinstance(each, LargeBlock):
            counter.block(each)
    return counter.end()


def _header() -> bytes:
    curve = bindings.crypto_sign_ed25519_pk_to_curve25519(ALICE.recovery)
    header = Header(
        owner=ALICE.key,
        recovery=ALICE.recovery,
        made=MADE,
        schema=2,
        key=make.box(KEY, curve, EPHEMERAL),
        stream=STREAM,
    )
    return BACKUP.sign(header, ALICE.keys.signing)


def _file(records: list[Record], *more: bytes) -> bytes:
    head, cutter, sealing = _header(), backup.Cutter(), stream.Sealing(KEY, STREAM)
    out = [backup.begin(head)]
    for data in [*map(backup.encode, [*records, _end(records)]), *more]:
        out += [sealing.piece(piece, head) for piece in cutter.add(data)]
    out.append(sealing.piece(cutter.rest(), head, last=True))
    return b"".join(out)


def _entry(name: str, records: list[Record]) -> Entry:
    data = _file(records)
    made: Entry = {
        "name": name,
        "made": MADE,
        "schema": 2,
        "k": KEY.hex(),
        "ephemeral": EPHEMERAL.hex(),
        "stream": STREAM.hex(),
        "header": _header().hex(),
        "records": [_written(each) for each in records],
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
    }
    return made | ({"file": data.hex()} if len(data) < 4096 else {})


def _written(record: Record) -> Entry:
    match record:
        case HomeFile():
            return {"word": "file", "path": record.path, "data": _bytes(record.data)}
        case StoredRow():
            return {"word": "row", "key": record.key.hex(), "value": _bytes(record.value)}
        case LargeBlock(data=None):
            return {"word": "missing", "cid": cid.show(record.cid)}
        case LargeBlock():
            return {"word": "block", "cid": cid.show(record.cid), "data": _bytes(record.data)}
        case _:
            raise AssertionError(record)


def _bytes(data: bytes | None) -> Any:
    assert data is not None
    return [{"pattern": len(data)}] if len(data) > 1000 else data.hex()


def _refused() -> list[Entry]:
    data, start = _file(SMALL), len(backup.begin(_header()))
    rows = [
        (b"", "malformed", "nothing"),
        (data.replace(b"backup 1", b"backup 2", 1), "malformed", "another form"),
        (data[: start - 1], "malformed", "cut in the header"),
        (data[:start], "malformed", "no piece"),
        (data[:-1], "forged", "cut in a piece"),
        (data + b"\0", "forged", "a byte behind the end"),
        (_turned(data, start - 10), "forged", "a bit of the header turned"),
        (_turned(data, start + 9), "forged", "a bit of a piece turned"),
        (_file(SMALL, b"\0"), "malformed", "the plaintext goes on behind `end`"),
        (_file(SMALL, backup.encode(SMALL[1])), "malformed", "a record behind `end`"),
        (_file(SMALL, b"\0\0\0\1\xa0"), "malformed", "a record that is no array"),
    ]
    found = [
        {"person": ALICE.word, "file": each.hex(), "reason": reason, "why": why}
        for each, reason, why in rows
    ]
    other = {"person": BOB.word, "file": data.hex(), "reason": "forged", "why": "another's words"}
    return [*found, other]


def _turned(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
