"""Schemas of maps: which fields, of which form, and nothing else.

A `Shape` is declared once for a kind; `parse` gives its checked fields or says which one is
wrong. A check takes a decoded value and gives it back, typed, or raises `Malformed`.

Decides: presence and form of single fields. Leaves to `objects` what fields mean together.
Spec: design §2 (`ext`), §3 and small print.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from node import limits
from node.encoding import cbor, cid, origin
from node.encoding import text as texts
from node.encoding.cbor import Value
from node.encoding.cid import Cid
from node.errors import Malformed
from node.units import Instant, Key

T = TypeVar("T")
Check: TypeAlias = Callable[[Value], T]
"""Gives the value back, typed, or raises `Malformed`."""


class Shape:
    """The fields of one kind of object, `kind` and `v: 1` understood.

    Args:
        kind: the word under `kind`.
        required: checks by field name; leave `kind` and `v` out.
        optional: checks of fields that may be missing.
    """

    __slots__ = ("_fields", "kind")

    def __init__(
        self,
        kind: str,
        required: Mapping[str, Check[Any]],
        optional: Mapping[str, Check[Any]] | None = None,
    ) -> None:
        self.kind = kind
        frame = {"kind": one_of(kind), "v": _version}
        self._fields = _Fields(kind, {**frame, **required}, optional or {})

    def parse(self, value: Value) -> dict[str, Any]:
        """The declared fields that are there, checked, without `kind` and `v`.

        Raises:
            Malformed: not a map, another kind or version, a field missing, unknown, or not of
                its form. The text names the field.
        """
        found = self._fields.parse(value)
        del found["kind"], found["v"]
        return found


class _Fields:
    """Required and optional fields of a map."""

    __slots__ = ("_checks", "_required", "_what")

    def __init__(
        self, what: str, required: Mapping[str, Check[Any]], optional: Mapping[str, Check[Any]]
    ) -> None:
        self._what = what
        self._required = frozenset(required)
        self._checks = {**required, **optional}

    def parse(self, value: Value) -> dict[str, Any]:
        if type(value) is not dict:
            raise Malformed(f"{self._what}: not a map")
        if not self._required <= value.keys():
            raise Malformed(f"{self._what}: {self._first_missing(value)} is missing")
        found: dict[str, Any] = {}
        checks, name = self._checks, ""
        try:
            for name, item in value.items():
                found[name] = checks[name](item)
        except Malformed as error:
            wrong = type(error)(f"{self._what}, {name}: {error.text}", reason=error.reason)
            raise wrong from error
        except KeyError:
            raise Malformed(f"{self._what}: unknown field {name[:40]!r}") from None
        return found

    def _first_missing(self, value: dict[str, Value]) -> str:
        return next(name for name in self._checks if name in self._required - value.keys())


def group(
    what: str, required: Mapping[str, Check[Any]], optional: Mapping[str, Check[Any]] | None = None
) -> Check[dict[str, Any]]:
    """A check for a map without `kind` and `v`: a part, a node of a record, an answer.

    Args:
        what: its name in texts of errors.
        required: checks by field name.
        optional: checks of fields that may be missing.
    """
    return _Fields(what, required, optional or {}).parse


# --- numbers --------------------------------------------------------------------------


def uint(value: Value) -> int:
    """An integer, 0 to 2**53 - 1; not a boolean.

    Raises:
        Malformed: anything else.
    """
    if type(value) is not int or not 0 <= value <= limits.INTEGER:
        raise Malformed("not an integer from 0 to 2**53 - 1")
    return value


def instant(value: Value) -> Instant:
    """A moment in milliseconds UTC. Raises Malformed for anything but such an integer."""
    return Instant(uint(value))


def flag(value: Value) -> bool:
    """A boolean. Raises Malformed for anything else."""
    if type(value) is not bool:
        raise Malformed("not true or false")
    return value


def _version(value: Value) -> int:
    # True == 1: ask for the type too.
    if type(value) is not int or value != 1:
        raise Malformed("another version than 1")
    return value


# --- bytes ----------------------------------------------------------------------------


def blob(value: Value) -> bytes:
    """Bytes of any length, not a link. Raises Malformed for anything else."""
    if type(value) is not bytes:
        raise Malformed("not a byte string")
    return value


def exactly(size: int) -> Check[bytes]:
    """A check for a byte string of `size` bytes."""

    def check(value: Value) -> bytes:
        if type(value) is not bytes or len(value) != size:
            raise Malformed(f"not a byte string of {size} bytes")
        return value

    return check


def at_most(size: int) -> Check[bytes]:
    """A check for a byte string of at most `size` bytes."""

    def check(value: Value) -> bytes:
        if type(value) is not bytes or len(value) > size:
            raise Malformed(f"not a byte string of at most {size} bytes")
        return value

    return check


def key(value: Value) -> Key:
    """A public key, 32 bytes. Raises Malformed for anything else."""
    if type(value) is not bytes or len(value) != 32:
        raise Malformed("not a key of 32 bytes")
    return Key(value)


# --- links ----------------------------------------------------------------------------


def link(value: Value) -> Cid:
    """A link to a block of either codec. Raises Malformed for anything else."""
    if type(value) is not Cid:
        raise Malformed("not a link")
    return value


def object_link(value: Value) -> Cid:
    """A link to a DAG-CBOR object. Raises Malformed for anything else."""
    if type(value) is not Cid or not cid.is_object(value):
        raise Malformed("not a link to an object")
    return value


def raw_link(value: Value) -> Cid:
    """A link to a raw block. Raises Malformed for anything else."""
    if type(value) is not Cid or not cid.is_raw(value):
        raise Malformed("not a link to a raw block")
    return value


# --- text -----------------------------------------------------------------------------


def text(value: Value) -> str:
    """Text of any length; the codec has checked its form. Raises Malformed for anything else."""
    if type(value) is not str:
        raise Malformed("not text")
    return value


def name(value: Value) -> str:
    """A display name (design §9). Raises Malformed for anything else."""
    found = text(value)
    texts.check_name(found)
    return found


def origin_text(value: Value) -> str:
    """An origin, `host:port` (design §5). Raises Malformed for anything else."""
    found = text(value)
    origin.check(found)
    return found


def one_of(*words: str) -> Check[str]:
    """A check for one of these words."""

    def check(value: Value) -> str:
        if type(value) is not str or value not in words:
            raise Malformed(f"not {' or '.join(words)}")
        return value

    return check


# --- containers -----------------------------------------------------------------------


def array(of: Check[T], low: int, high: int) -> Check[tuple[T, ...]]:
    """A check for an array of `low` to `high` items, each checked by `of`; gives a tuple."""

    def check(value: Value) -> tuple[T, ...]:
        if type(value) is not list or not low <= len(value) <= high:
            raise Malformed(f"not an array of {low} to {high} items")
        return tuple(map(of, value))

    return check


def ext(value: Value) -> dict[str, Value]:
    """Fields of tomorrow: a map, not empty, of at most 64 bytes with its head, signed over.

    Raises:
        Malformed: anything else, or null, a boolean or an empty array anywhere in it.
    """
    if type(value) is not dict or not value or len(cbor.encode(value)) > limits.EXT:
        raise Malformed(f"ext is a map of at most {limits.EXT} bytes, and not empty")
    _check_extension(value)
    return value


_FORBIDDEN: Final = "ext holds null, a boolean or an empty array"


def _check_extension(value: Value) -> None:
    """Small by now: at most 64 bytes, so at most 64 items, `cbor.DEEPEST` levels deep."""
    if value is None or type(value) is bool or value == []:
        raise Malformed(_FORBIDDEN)
    if type(value) is dict:
        for item in value.values():
            _check_extension(item)
    elif type(value) is list:
        for item in value:
            _check_extension(item)
