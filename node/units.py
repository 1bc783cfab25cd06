"""Units as types, so that no name needs a suffix."""

from typing import NewType

Instant = NewType("Instant", int)
"""A moment: integer milliseconds since 1970-01-01 UTC."""

Millis = NewType("Millis", int)
"""A length of time in milliseconds."""

ByteCount = NewType("ByteCount", int)
"""A size in bytes."""

Key = NewType("Key", bytes)
"""A public key: 32 raw bytes."""

SECOND = Millis(1_000)
MINUTE = Millis(60 * SECOND)
HOUR = Millis(60 * MINUTE)
DAY = Millis(24 * HOUR)

LAST = Instant(253_402_300_799_999)
"""The last moment that a year of four digits has; what others sign may say 2^53 - 1."""

KIB = ByteCount(1024)
MIB = ByteCount(1024 * KIB)
GIB = ByteCount(1024 * MIB)


def after(start: Instant, length: int) -> Instant:
    """The moment `length` milliseconds after `start`."""
    return Instant(start + length)
