"""Text that two nodes read alike: NFC, and only code points assigned in Unicode 14.

Python 3.11 ships Unicode 14, Python 3.12 ships 15.0. Without the fixed version one node would
call an object canonical that another calls malformed. Assigned code points never change their
normal form (Unicode stability policy), so NFC over them is the same in every later version.

Spec: design §2 and §9; https://www.unicode.org/policies/stability_policy.html.
"""

import re
import unicodedata

from node import limits
from node.errors import Malformed

_NEWER = (
    # Assigned in Unicode 15.0, not yet in 14.0: https://www.unicode.org/Public/15.0.0/ucd/.
    (0x0CF3, 0x0CF3),
    (0x0ECE, 0x0ECE),
    (0x10EFD, 0x10EFF),
    (0x1123F, 0x11241),
    (0x11B00, 0x11B09),
    (0x11F00, 0x11F10),
    (0x11F12, 0x11F3A),
    (0x11F3E, 0x11F59),
    (0x1342F, 0x1342F),
    (0x13439, 0x13455),
    (0x1B132, 0x1B132),
    (0x1B155, 0x1B155),
    (0x1D2C0, 0x1D2D3),
    (0x1DF25, 0x1DF2A),
    (0x1E030, 0x1E06D),
    (0x1E08F, 0x1E08F),
    (0x1E4D0, 0x1E4F9),
    (0x1F6DC, 0x1F6DC),
    (0x1F774, 0x1F776),
    (0x1F77B, 0x1F77F),
    (0x1F7D9, 0x1F7D9),
    (0x1FA75, 0x1FA77),
    (0x1FA87, 0x1FA88),
    (0x1FAAD, 0x1FAAF),
    (0x1FABB, 0x1FABD),
    (0x1FABF, 0x1FABF),
    (0x1FACE, 0x1FACF),
    (0x1FADA, 0x1FADB),
    (0x1FAE8, 0x1FAE8),
    (0x1FAF7, 0x1FAF8),
    (0x2B739, 0x2B739),
    (0x31350, 0x323AF),
)
_IS_NEWER = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in _NEWER) + "]")

# Cn: unassigned and noncharacters. Cs: surrogates, which UTF-8 can't carry.
_NOT_TEXT = frozenset({"Cn", "Cs"})

# Characters that turn the direction of what is printed after them, or hide.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Separators of the command line (`--to a,b`), of addresses (`did@origin`) and of paths.
_SEPARATORS = frozenset("@,/")
_NOT_IN_NAMES = frozenset({"Cc", "Zs", "Zl", "Zp"})


def check(text: str) -> None:
    """Hold text against the form every object demands.

    Raises:
        Malformed: not NFC, or a code point that Unicode 14 does not assign.
    """
    if text.isascii():
        return
    # Code points first: the normal form is only fixed for assigned ones.
    if _IS_NEWER.search(text) or not _NOT_TEXT.isdisjoint(map(unicodedata.category, text)):
        raise Malformed("text holds a code point that Unicode 14 does not assign")
    if not unicodedata.is_normalized("NFC", text):
        raise Malformed("text is not in Unicode normal form C")


def check_name(text: str) -> None:
    """Hold a display name against design §9: 1 to 64 bytes that print in place, as one word.

    Raises:
        Malformed: empty, longer than 64 bytes of UTF-8, not `check`ed text, or with a control
            or bidirectional control character, a blank (any Unicode white space), `@`, `,`
            or `/`.
    """
    if not text or len(text) > limits.NAME:
        raise Malformed(f"a name has 1 to {limits.NAME} bytes")
    check(text)
    if len(text.encode()) > limits.NAME:
        raise Malformed(f"a name has 1 to {limits.NAME} bytes")
    if not all(map(_fits_a_name, text)):
        raise Malformed("a name has no blank, no control character and none of @ , /")


def _fits_a_name(char: str) -> bool:
    if char in _SEPARATORS or char in _BIDI:
        return False
    # White space is exactly: some of Cc, and all of Zs, Zl, Zp (PropList White_Space).
    return unicodedata.category(char) not in _NOT_IN_NAMES
