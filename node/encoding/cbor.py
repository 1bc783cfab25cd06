"""Canonical DAG-CBOR, narrowed to what willcall's objects need: one value, one spelling.

Of DAG-CBOR this leaves out floats, negative integers, integers above 2**53 - 1, every CID but
the two forms of `cid`, and text that `text.check` refuses. Everything has its shortest head,
map keys are unique text sorted by length and then by bytes, lengths are definite, nothing
trails. What `decode` accepts, `encode` prints back byte for byte.

Decides: bytes to values and back. Leaves to `fields` which values a kind may hold (null,
booleans and empty arrays decode here; the schemas refuse them) and to callers the cap on the
size. Depth is checked before recursion and every length against the bytes that are left
before anything is allocated.

Own code, because content addressing is what willcall exists for: published decoders are lax
or recurse without bound. Spec: design §2; RFC 8949; https://ipld.io/specs/codecs/dag-cbor/spec/.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NoReturn, TypeAlias

from node import limits
from node.encoding import text
from node.encoding.cid import LENGTH, OBJECT_PREFIX, RAW_PREFIX, Cid
from node.errors import Malformed

Value: TypeAlias = int | bytes | str | bool | list["Value"] | dict[str, "Value"] | None
"""What `decode` gives. A link is a `Cid`, which is bytes too: ask for it first."""

DEEPEST = 64
"""Levels that no caller can exceed: far above any object, far below Python's recursion limit."""

# --- encoding -------------------------------------------------------------------------

_UINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 0x00, 0x40, 0x60, 0x80, 0xA0, 0xC0, 0xE0
_LINK = b"\xd8\x2a\x58\x25\x00"
"""Tag 42 and a byte string of 37: the identity multibase prefix 0x00, then the CID."""
_PACK2, _PACK4, _PACK8 = Struct(">BH").pack, Struct(">BI").pack, Struct(">BQ").pack


def _long_head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major | argument,))
    if argument < 1 << 8:
        return bytes((major | 24, argument))
    if argument < 1 << 16:
        return _PACK2(major | 25, argument)
    if argument < 1 << 32:
        return _PACK4(major | 26, argument)
    return _PACK8(major | 27, argument)


# Nearly every head in an object is one of these; a table look-up halves the cost of a field.
_BYTES_HEADS: Final = tuple(_long_head(_BYTES, n) for n in range(256))
_TEXT_HEADS: Final = tuple(_long_head(_TEXT, n) for n in range(256))


def encode(value: object) -> bytes:
    """The one spelling of a value.

    Args:
        value: integers 0 to 2**53 - 1, bytes, str, bool, None, `Cid` (a link), lists or tuples
            of these, and dicts with str keys, in any order. Never changed.

    Raises:
        Malformed: anything else in it (floats and negative numbers too), text that is not in
            its form, or more than `DEEPEST` levels.
    """
    return _encoder(value)(value, DEEPEST)


def _encoder(value: object) -> Callable[[Any, int], bytes]:
    found = _ENCODERS.get(type(value))
    if found is None:
        # Subclasses (enums, named tuples) are rare: they may cost more.
        for kind in (Cid, bytes, str, int, list, tuple, dict):
            if isinstance(value, kind):
                return _ENCODERS[kind]
        raise Malformed(f"{type(value).__name__} has no canonical encoding")
    return found


def _encode_uint(value: int, levels: int) -> bytes:
    if not 0 <= value <= limits.INTEGER:
        raise Malformed("integers go from 0 to 2**53 - 1")
    return _long_head(_UINT, value)


def _encode_bytes(value: bytes, levels: int) -> bytes:
    size = len(value)
    return (_BYTES_HEADS[size] if size < 256 else _long_head(_BYTES, size)) + value


def _encode_text(value: str, levels: int) -> bytes:
    text.check(value)
    raw = value.encode()
    size = len(raw)
    return (_TEXT_HEADS[size] if size < 256 else _long_head(_TEXT, size)) + raw


def _encode_link(value: Cid, levels: int) -> bytes:
    if len(value) != LENGTH or (value[:4] != OBJECT_PREFIX and value[:4] != RAW_PREFIX):
        raise Malformed("a link needs a CID of the forms used here")
    return _LINK + value


def _encode_bool(value: bool, levels: int) -> bytes:
    return b"\xf5" if value else b"\xf4"


def _encode_null(value: None, levels: int) -> bytes:
    return b"\xf6"


def _encode_array(value: list[Any] | tuple[Any, ...], levels: int) -> bytes:
    if not levels:
        raise Malformed(f"more than {DEEPEST} levels")
    parts = [_long_head(_ARRAY, len(value))]
    parts += [_encoder(item)(item, levels - 1) for item in value]
    return b"".join(parts)


def _encode_map(value: dict[Any, Any], levels: int) -> bytes:
    if not levels:
        raise Malformed(f"more than {DEEPEST} levels")
    parts = [_long_head(_MAP, len(value))]
    encoders = _ENCODERS
    for key, printed in _sorted_keys(tuple(value)):
        item = value[key]
        encoder = encoders.get(type(item)) or _encoder(item)
        parts.append(printed)
        parts.append(encoder(item, levels - 1))
    return b"".join(parts)


@lru_cache(maxsize=256)
def _sorted_keys(keys: tuple[Any, ...]) -> tuple[tuple[str, bytes], ...]:
    """Keys with their encoding, in canonical order.

    The same few key sets come again and again, so this is remembered. The head of a longer
    text is larger, so the order of the encoded keys is: by length, then by bytes.
    """
    if not all(isinstance(key, str) for key in keys):
        raise Malformed("keys of a map are text")
    return tuple(sorted(((key, _encode_text(key, 0)) for key in keys), key=lambda pair: pair[1]))


_ENCODERS: Final[dict[type, Callable[[Any, int], bytes]]] = {
    bytes: _encode_bytes,
    int: _encode_uint,
    str: _encode_text,
    Cid: _encode_link,
    dict: _encode_map,
    list: _encode_array,
    tuple: _encode_array,
    bool: _encode_bool,
    type(None): _encode_null,
}

# --- decoding -------------------------------------------------------------------------

_LEAST = (24, 1 << 8, 1 << 16, 1 << 32)
"""The smallest argument that needs 1, 2, 4, 8 bytes."""


def decode(data: bytes, *, levels: int = limits.LEVELS, values: int = limits.VALUES) -> Value:
    """The value that these bytes spell.

    Args:
        data: the whole of one encoded value. The caller has checked its size.
        levels: maps and arrays that may lie inside each other, the outermost counted; at most
            `DEEPEST` counts.
        values: items of arrays and entries of maps, in all. A byte can be a value, and a value
            is 50 bytes of memory: the size alone does not bound what decoding costs.

    Raises:
        Malformed: anything but the one spelling of a value, for every input.
    """
    try:
        value, end = _READERS[data[0] >> 5](data, 0, min(levels, DEEPEST), [values])
    except IndexError:
        # Only `data[at]` beyond the end raises it: lengths of strings are checked in place.
        raise Malformed("the encoding is cut short") from None
    if end != len(data):
        raise Malformed(f"{len(data) - end} bytes too many after the value")
    return value


def _refuse(at: int, what: str) -> NoReturn:
    raise Malformed(f"encoding, byte {at}: {what}")


def _argument(data: bytes, at: int) -> tuple[int, int]:
    """The number in the head at `at`, and where the head ends."""
    low = data[at] & 31
    if low < 24:
        return low, at + 1
    if low > 27:
        _refuse(at, "indefinite length or reserved head")
    end = at + 1 + (1 << (low - 24))
    if end > len(data):
        _refuse(at, "cut short")
    argument = int.from_bytes(data[at + 1 : end], "big")
    if argument < _LEAST[low - 24]:
        _refuse(at, "not the shortest head")
    return argument, end


def _read_uint(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    argument, end = _argument(data, at)
    if argument > limits.INTEGER:
        _refuse(at, "integer above 2**53 - 1")
    return argument, end


def _read_negative(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    _refuse(at, "negative integer")


def _read_bytes(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    size, at = _argument(data, at)
    end = at + size
    if end > len(data):
        _refuse(at, "byte string cut short")
    return data[at:end], end


def _read_text(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    size, at = _argument(data, at)
    end = at + size
    if end > len(data):
        _refuse(at, "text cut short")
    return _decode_text(data[at:end]), end


def _decode_text(raw: bytes) -> str:
    try:
        found = raw.decode()
    except UnicodeDecodeError:
        raise Malformed("text is not UTF-8") from None
    text.check(found)
    return found


def _spend(left: list[int], count: int, at: int) -> None:
    """Before any of them is read: `left` is what may still come."""
    left[0] -= count
    if left[0] < 0:
        _refuse(at, "too many values")


def _read_array(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    if levels < 1:
        _refuse(at, "too many levels")
    count, at = _argument(data, at)
    if count > len(data) - at:  # every item needs a byte
        _refuse(at, "array cut short")
    _spend(left, count, at)
    found: list[Value] = []
    for _ in range(count):
        item, at = _READERS[data[at] >> 5](data, at, levels - 1, left)
        found.append(item)
    return found, at


def _read_map(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    if levels < 1:
        _refuse(at, "too many levels")
    count, at = _argument(data, at)
    if 2 * count > len(data) - at:  # every key and every value needs a byte
        _refuse(at, "map cut short")
    _spend(left, count, at)
    found: dict[str, Value] = {}
    last = b""
    for _ in range(count):
        end = _key_end(data, at)
        printed = data[at:end]
        # With their heads, keys sort by length and then by bytes; equal ones are doubles.
        if printed <= last:
            _refuse(at, "keys out of order, or one twice")
        last = printed
        key = _short_key(printed) if len(printed) <= 24 else _long_key(printed)
        found[key], at = _READERS[data[end] >> 5](data, end, levels - 1, left)
    return found, at


def _key_end(data: bytes, at: int) -> int:
    initial = data[at]
    if _TEXT <= initial < _TEXT + 24:
        end = at + 1 + initial - _TEXT
    elif initial >> 5 == 3:
        size, start = _argument(data, at)
        end = start + size
    else:
        _refuse(at, "keys of a map are text")
    if end >= len(data):  # a value has to follow
        _refuse(at, "map cut short")
    return end


@lru_cache(maxsize=512)
def _short_key(printed: bytes) -> str:
    """The text of a key of at most 23 bytes, head included: field names come again and again."""
    return _decode_text(printed[1:])


def _long_key(printed: bytes) -> str:
    return _decode_text(printed[_argument(printed, 0)[1] :])


def _read_link(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    start, end = at + len(_LINK), at + len(_LINK) + LENGTH
    raw = data[start:end]
    if data[at:start] != _LINK or len(raw) != LENGTH:
        _refuse(at, "a tag other than 42 with a CID of 36 bytes")
    if raw[:4] != OBJECT_PREFIX and raw[:4] != RAW_PREFIX:
        _refuse(at, "a CID of another form")
    return Cid(raw), end


def _read_simple(data: bytes, at: int, levels: int, left: list[int]) -> tuple[Value, int]:
    try:
        return _SIMPLES[data[at]], at + 1
    except KeyError:
        _refuse(at, "a float, or a simple value other than null and booleans")


_SIMPLES: Final[dict[int, Value]] = {0xF4: False, 0xF5: True, 0xF6: None}

_READERS: Final[tuple[Callable[[bytes, int, int, list[int]], tuple[Value, int]], ...]] = (
    _read_uint,
    _read_negative,
    _read_bytes,
    _read_text,
    _read_array,
    _read_map,
    _read_link,
    _read_simple,
)
"""By major type, the top three bits of the first byte (RFC 8949 §3.1)."""
