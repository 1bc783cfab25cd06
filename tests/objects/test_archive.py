"""What an owner says of an archive."""

from dataclasses import replace
from typing import Any

import pytest

from node.crypto import keys
from node.crypto.note import Verifier
from node.errors import Malformed, TooLarge, Unverified
from node.objects import archive
from node.objects.archive import About, Previous
from node.units import Instant
from tests.archive import independent

SEED, LOG = b"o" * 32, b"l" * 32
LINE = "127.0.0.1:4625/archives/cats/2"
ABOUT = About(
    owner=keys.public(SEED),
    name="cats",
    epoch=2,
    vkey=str(Verifier(name=LINE, key=keys.public(LOG))),
    origins=("127.0.0.1:4625", "example.org:443"),
    access="public",
    issued=Instant(7),
    previous=Previous(epoch=1, size=3, root=b"r" * 32),
)


def test_round_trip_and_signature() -> None:
    block = archive.sign(ABOUT, SEED)
    assert archive.decode(block).verify() == ABOUT
    assert independent.about(block)["name"] == "cats"
    assert ABOUT.verifier == Verifier(name=LINE, key=keys.public(LOG))
    first = replace(ABOUT, previous=None)
    assert archive.decode(archive.sign(first, SEED)).verify() == first


def test_another_key() -> None:
    with pytest.raises(Unverified):
        archive.decode(archive.sign(ABOUT, LOG)).verify()


def line(text: str) -> str:
    return str(Verifier(name=text, key=keys.public(LOG)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"vkey": line("127.0.0.1:4625/archives/cats/1")},
        {"vkey": line("127.0.0.1:4625/archives/dogs/2")},
        {"vkey": "cats"},
        {"epoch": 0, "vkey": line("a/archives/cats/0")},
        {"previous": Previous(epoch=2, size=3, root=b"r" * 32)},
        {"previous": Previous(epoch=1, size=3, root=b"r" * 31)},
        {"origins": ()},
        {"origins": ("a:1", "b:1", "c:1", "d:1", "e:1")},
        {"origins": ("nowhere",)},
        {"access": "secret"},
        {"name": "a/b"},
    ],
)
def test_what_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        archive.decode(archive.sign(replace(ABOUT, **wrong), SEED))


def test_the_largest_fits() -> None:
    name = "n" * 64
    at = f"{'h' * 60}.{'o' * 32}:65535"
    huge = replace(
        ABOUT,
        name=name,
        epoch=10**8,
        vkey=line(f"{at}/archives/{name}/{10**8}"),
        origins=tuple(f"{n}{at[1:]}" for n in "abcd"),
        previous=Previous(epoch=2**26, size=2**53 - 1, root=b"r" * 32),
        issued=Instant(2**53 - 1),
    )
    assert archive.decode(archive.sign(huge, SEED)).verify() == huge
    with pytest.raises(TooLarge):
        archive.decode(b"x" * 1025)
