"""The recovery phrase: a seed as 24 English words.

BIP-39 used as a spelling of 32 bytes: the entropy itself, no stretching, no passphrase.
Spec: design §2; https://github.com/bitcoin/bips/blob/master/bip-0039.mediawiki.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from node.errors import Malformed

if TYPE_CHECKING:
    from mnemonic import Mnemonic

_WORDS = 24
"""256 bits of seed and 8 of checksum, 11 bits a word."""


def words(seed: bytes) -> str:
    """The 24 words of a seed, lower case, one blank between.

    Raises:
        Malformed: the seed is not 32 bytes.
    """
    if len(seed) != 32:
        raise Malformed("a seed has 32 bytes")
    return _english().to_mnemonic(seed)


def seed(text: str) -> bytes:
    """The 32 bytes that a phrase spells; capitals and white space don't matter.

    Raises:
        Malformed: another number of words, a word that is not on the list (it is named, with
            its place), or words that don't belong together (the checksum).
    """
    found = text.lower().split()
    if len(found) != _WORDS:
        raise Malformed(f"a recovery phrase has {_WORDS} words, this one has {len(found)}")
    known = set(_english().wordlist)
    for place, word in enumerate(found, 1):
        if word not in known:
            raise Malformed(f"word {place}, {word[:20]!r}, is not a word of recovery phrases")
    try:
        return bytes(_english().to_entropy(found))
    except ValueError:
        raise Malformed(
            "the checksum is wrong: a word is mistaken for another, or the order is wrong"
        ) from None


@lru_cache(maxsize=1)
def _english() -> "Mnemonic":
    # Needed at `init` and recovery only.
    from mnemonic import Mnemonic

    return Mnemonic("english")
