"""The recovery phrase: a seed as 24 English words; and six words by which two people compare keys.

BIP-39 used as a spelling of 32 bytes: the entropy itself, no stretching, no passphrase.
Spec: 03 §3.1, 08 §8.5; https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from nacl import pwhash

from node.errors import Malformed
from node.units import MIB, Key

if TYPE_CHECKING:
    from mnemonic import Mnemonic

_WORDS = 24
"""256 bits of seed and 8 of checksum, 11 bits a word."""
_COMPARED = 6
"""66 bits: what two people will read to each other."""
_SALT = b"willcall/compare"
"""The domain of compared words: exactly the 16 bytes that Argon2 takes for a salt."""
_NUMBER = re.compile(r"^[(#]?\d{1,2}(?:[.):]|$)")
_MAYBE = 3
"""Corrections that are worth showing; more would be guessing."""


def words(seed: bytes) -> str:
    """The 24 words of a seed, lower case, one blank between.

    Raises:
        Malformed: the seed is not 32 bytes.
    """
    if len(seed) != 32:
        raise Malformed("a seed has 32 bytes")
    return _english().to_mnemonic(seed)


def seed(text: str) -> bytes:
    """The 32 bytes that a phrase spells.

    Capitals, white space, commas and the numbers of a numbered list don't matter.

    Raises:
        Malformed: another number of words; a word that is not on the list (it is named, with
            its place and the words that it may have been); or words that don't belong together
            (the checksum), with the place where a single slip would explain it.
    """
    found = _split(text)
    for place, word in enumerate(found, 1):
        if word not in _known():
            near = " or ".join(repr(each) for each in sorted(_near(word))[:_MAYBE])
            maybe = f"; is it {near}?" if near else ""
            raise Malformed(
                f"word {place}, {word[:20]!r}, is not a word of recovery phrases{maybe}"
            )
    if len(found) != _WORDS:
        raise Malformed(f"a recovery phrase has {_WORDS} words, this one has {len(found)}")
    spelt = _spelt(found)
    if spelt is None:
        raise Malformed(f"the checksum is wrong: {_slips(found)}")
    return spelt


def compared(one: Key, other: Key) -> str:
    """Six words that both sides compute alike from both keys, 66 bits.

    Argon2id makes each try cost a tenth of a second and 64 MiB: who stands between two people
    and may choose both keys that they see needs only a collision, 2**33 tries for each side.
    """
    first, second = sorted((one, other))
    made = pwhash.argon2id.kdf(16, first + second, _SALT, opslimit=3, memlimit=64 * MIB)
    bits = int.from_bytes(made, "big") >> (128 - 11 * _COMPARED)
    places = [bits >> 11 * at & 2047 for at in reversed(range(_COMPARED))]
    return " ".join(_english().wordlist[place] for place in places)


def _split(text: str) -> list[str]:
    bare = (_NUMBER.sub("", piece) for piece in re.split(r"[\s,;]+", text.lower()))
    return [word for word in (piece.strip(".:\"'`") for piece in bare) if word]


def _spelt(found: Sequence[str]) -> bytes | None:
    """The entropy; None: the checksum is wrong."""
    try:
        return bytes(_english().to_entropy(list(found)))
    except ValueError:
        return None


def _slips(found: Sequence[str]) -> str:
    """What would make the checksum right: one word mistaken, or two neighbours exchanged."""
    said = [text for changed, text in _changes(found) if _spelt(changed) is not None]
    if not 0 < len(said) <= _MAYBE:
        return "a word is mistaken for another, or the order is wrong"
    return "perhaps " + ", or ".join(said)


def _changes(found: Sequence[str]) -> Iterator[tuple[list[str], str]]:
    for at, word in enumerate(found):
        for near in sorted(_near(word)):
            yield [*found[:at], near, *found[at + 1 :]], f"word {at + 1}, {word!r}, is {near!r}"
    for at, (word, after) in enumerate(pairwise(found)):
        if word != after:
            changed = [*found[:at], after, word, *found[at + 2 :]]
            yield changed, f"words {at + 1} and {at + 2} are exchanged"


def _near(word: str) -> set[str]:
    """Words of the list one slip away: a letter more, less, another, or two exchanged."""
    if len(word) > 12:
        return set()
    letters = "abcdefghijklmnopqrstuvwxyz"
    cuts = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    slips = {a + b[1:] for a, b in cuts if b}
    slips |= {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    slips |= {a + c + b[1:] for a, b in cuts if b for c in letters}
    slips |= {a + c + b for a, b in cuts for c in letters}
    return (slips & _known()) - {word}


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(_english().wordlist)


@lru_cache(maxsize=1)
def _english() -> "Mnemonic":
    # Needed at `init`, recovery and comparing only.
    from mnemonic import Mnemonic

    return Mnemonic("english")
