"""Encoded words (RFC 2047) in header fields, read and written.

Reading is one pass that gives up on nothing but the word at hand: the standard library's
takes seconds for 20,000 words and raises on some.
"""

import binascii
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from node.mail import text as texts

MOST = 64
"""Words decoded in one field; at 75 characters each more than is ever shown."""
_CHARSET = 60
"""Characters of charset and language (`utf-8*en-GB`)."""
_CHUNK = 42
"""UTF-8 bytes of one written word: 56 of base64 and its frame stay below RFC 2047's 75."""


class _Word(NamedTuple):
    start: int
    end: int
    charset: str
    data: bytes


def decode(value: str) -> str:
    """A field value with its encoded words replaced by what they say.

    Neighbours in one charset are joined before decoding: many mailers cut characters in two.
    """
    if "=?" not in value:
        return value
    out: list[str] = []
    at, charset, run = 0, "", b""
    for word in _words(value):
        gap = value[at : word.start]
        touching = bool(charset) and not gap.strip()
        if not touching or word.charset != charset:
            out += [_said(run, charset), "" if touching else gap]
            charset, run = word.charset, b""
        run += word.data
        at = word.end
    return "".join([*out, _said(run, charset), value[at:]])


def _said(data: bytes, charset: str) -> str:
    return texts.decode(data, charset)[0] if data else ""


def _words(value: str) -> Iterator[_Word]:
    """The encoded words of a value, at most `MOST` of them.

    Linear: a search that finds nothing ends the whole walk.
    """
    at = value.find("=?")
    found = 0
    while at >= 0 and found < MOST:
        middle = value.find("?", at + 2, at + 2 + _CHARSET)
        end = value.find("?=", middle + 3) if middle > 0 and value[middle + 2 : middle + 3] else -1
        word = _word(value, at, middle, end) if middle > 0 else None
        if middle > 0 and end < 0:
            return
        if word:
            found += 1
            yield word
        at = value.find("=?", word.end if word else at + 2)


def _word(value: str, start: int, middle: int, end: int) -> _Word | None:
    """One word, or None if the charset, the encoding or the data are not of their form."""
    charset = value[start + 2 : middle].partition("*")[0]
    encoding = value[middle + 1 : middle + 3].lower()
    if not charset or end < 0 or encoding not in ("q?", "b?"):
        return None
    coded = value[middle + 3 : end].encode("ascii", "replace")
    if encoding == "q?":
        return _Word(start, end + 2, charset, binascii.a2b_qp(coded, header=True))
    try:
        # Padding is what mailers forget; too much of it does no harm.
        return _Word(start, end + 2, charset, binascii.a2b_base64(coded + b"=="))
    except binascii.Error:
        return None


def encode(value: str) -> list[str]:
    """Text as encoded words of at most 75 characters, to be joined by folding white space."""
    return [f"=?utf-8?B?{b64encode(chunk).decode()}?=" for chunk in _chunks(value)]


def _chunks(value: str) -> Iterator[bytes]:
    """UTF-8 in pieces that don't cut a character (RFC 2047 §5)."""
    data = value.encode()
    start = 0
    while start < len(data):
        end = min(start + _CHUNK, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end
