"""The list of seeds: directories to begin with, signed for a release.

    willcall seeds v1
    1795132800000
    directory.example.org:4625
    other.example.net:4625 CaIP3LULG7kgQ8hXPVrUPAtBTKdv9lZvqoM3rWtrjXA

    — willcall-seeds 5O2rZ…

A signed note (C2SP): what it is, when it was made, then an origin a line, with its pin if it
has a certificate of its own. Spec: 08 §8.8.
"""

import re
from dataclasses import dataclass

from node.crypto import note
from node.crypto.note import Verifier
from node.encoding import names, origin
from node.errors import Malformed
from node.objects.record import Endpoint
from node.units import Instant, Key

NAME = "willcall-seeds"
VKEY = "willcall-seeds+65fe99e9+AWm9N7gE0+GXcMc1aEJIKx8TvRdOPcwIXcc0qaMItwm3"
"""Whoever signs releases. A new key goes in together with a list that it signed."""
TITLE = "willcall seeds v1"
MOST = 64
"""Directories of one list: each is a promise of an operator to be there for years."""
_ISSUED = re.compile("0|[1-9][0-9]{0,14}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """A list of directories.

    Attributes:
        issued: when it was made.
        places: where they are; distinct.
    """

    issued: Instant
    places: tuple[Endpoint, ...] = ()


def verify(signed: bytes, vkey: str = VKEY) -> Seeds:
    """The list, if it is signed by that key.

    Raises:
        Malformed: not such a list.
        Unverified: its signature is missing, or does not hold.
    """
    text, signatures = note.split(signed)
    note.check(text, signatures, note.parse_verifier(vkey))
    return parse(text)


def sign(seeds: Seeds, signing: bytes) -> bytes:
    """The signed list.

    Args:
        seeds: what is said.
        signing: the release key's 32-byte Ed25519 seed.
    """
    return note.sign(text_of(seeds), NAME, signing)


def vkey(public: Key) -> str:
    """The release key as it stands in the code."""
    return str(Verifier(name=NAME, key=public))


def text_of(seeds: Seeds) -> bytes:
    """The list before it is signed."""
    lines = (TITLE, str(seeds.issued), *map(line_of, seeds.places))
    return "".join(f"{line}\n" for line in lines).encode()


def parse(text: bytes) -> Seeds:
    """The list that is written so.

    Raises:
        Malformed: another title, a bad line, one place twice, or too many.
    """
    lines = text.decode("utf-8", "replace").removesuffix("\n").split("\n")
    title, issued, rest = lines[0], "".join(lines[1:2]), lines[2:]
    if title != TITLE or not _ISSUED.fullmatch(issued):
        raise Malformed("not a list of seeds")
    places = tuple(parse_line(line) for line in rest)
    if len(places) > MOST or len({place.origin for place in places}) != len(places):
        raise Malformed(f"a list of seeds has at most {MOST} distinct places")
    return Seeds(issued=Instant(int(issued)), places=places)


def parse_line(line: str) -> Endpoint:
    """A directory as a list or the configuration names it: `host:port`, and its pin if it has one.

    Raises:
        Malformed: neither.
    """
    at, _, pin = line.partition(" ")
    origin.check(at)
    if not pin:
        return Endpoint(origin=at)
    raw = names.unb64(pin)
    if len(raw) != 32:
        raise Malformed("a pin is the base64url of 32 bytes")
    return Endpoint(origin=at, pin=raw)


def line_of(place: Endpoint) -> str:
    """A directory as `parse_line` reads it."""
    return place.origin if place.pin is None else f"{place.origin} {names.b64(place.pin)}"
