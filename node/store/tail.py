"""Where a log of LevelDB was torn by a power cut.

A cut in the midst of a write may leave a log (or manifest) whose last record is there in part:
some sectors written, zeros in others. LevelDB takes a record that simply ends too early for the
end of the log, but one whose checksum is wrong for damage, and with `paranoid_checks` opens
nothing. Here the two are told apart: every write is synced before the next one begins, so a cut
can only tear the last record. A whole record behind a broken one is damage.

Form of a log: blocks of 32 KiB; in them pieces of a record, each with checksum (CRC-32C over type
and data, masked), length and type. Source: LevelDB, doc/log_format.md.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 32_768
HEAD = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4

_MASK = 0xA282EAD8


@dataclass(frozen=True, slots=True, kw_only=True)
class Torn:
    """A log whose last record is broken.

    Attributes:
        length: bytes up to the end of the last whole record.
        last: the last bytes of that record; none: there is no whole one.
    """

    length: int
    last: bytes


def torn(log: bytes) -> Torn | None:
    """What is whole of a log; None: it is all whole, or damaged otherwise than by a cut."""
    whole, last, held, broken, inside = 0, b"", b"", False, False
    for piece in _pieces(log):
        if piece is None:
            broken, inside = True, False
            continue
        kind, data, end = piece
        begins = kind in (FULL, FIRST)
        if broken:
            if begins:
                return None
            continue
        if begins is inside:  # a record ends too early, or never began
            broken = True
            if begins:
                return None
            continue
        held = ((b"" if begins else held) + data)[-8:]  # the last piece may be a short one
        inside = kind in (FIRST, MIDDLE)
        if not inside:
            whole, last = end, held
    return Torn(length=whole, last=last) if broken else None


def _pieces(log: bytes) -> Iterator[tuple[int, bytes, int] | None]:
    """Type, data and end of each piece; None for what is none."""
    at = 0
    while at < len(log):
        room = BLOCK - at % BLOCK
        if room < HEAD.size:
            at += room
            continue
        if len(log) - at < HEAD.size:
            return  # LevelDB takes it for the end
        check, length, kind = HEAD.unpack_from(log, at)
        start, end = at + HEAD.size, at + HEAD.size + length
        if length > room - HEAD.size:
            yield None
            at += room
            continue
        if end > len(log):
            return
        data = log[start:end]
        if FULL <= kind <= LAST and _masked(_crc(bytes([kind]) + data)) == check:
            yield kind, data, end
            at = end
        else:
            yield None
            # Zeros have no length to believe: what follows them in their block is unknown.
            at = end if length else at + room


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _table() -> tuple[int, ...]:
    made = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        made.append(value)
    return tuple(made)


_TABLE = _table()


def _crc(data: bytes) -> int:
    """CRC-32C. Slow, and run only over a log that LevelDB refuses: at most some 8 MiB."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
