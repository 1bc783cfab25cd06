"""How the vector files write bytes and values. Nothing here knows the implementation.

bytes as a member of an entry   "00ff…", or an array of pieces, each "00ff…",
                                {"pattern": n} or {"repeat": "00", "times": n}
a value of an object            numbers, text, true, null, arrays and maps as JSON has them;
                                bytes {"hex": "00ff…"}, links {"link": "b…"}
"""

import base64
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "spec" / "vectors"


def pattern(size: int) -> bytes:
    """Byte i is i * 7 mod 251."""
    cycle = bytes(i * 7 % 251 for i in range(251))
    return (cycle * (size // 251 + 1))[:size]


def raw(written: Any) -> bytes:
    """The bytes of a member."""
    pieces = [written] if isinstance(written, str) else written
    return b"".join(map(_piece, pieces))


def _piece(piece: Any) -> bytes:
    if isinstance(piece, str):
        return bytes.fromhex(piece)
    if "pattern" in piece:
        return pattern(piece["pattern"])
    unit, times = str(piece["repeat"]), int(piece["times"])
    return bytes.fromhex(unit) * times


def link_bytes(printed: str) -> bytes:
    """The 36 bytes of a printed CID."""
    assert printed[0] == "b"
    return base64.b32decode(printed[1:].upper() + "======")


def load(name: str) -> Any:
    """A vector file."""
    return json.loads((FOLDER / name).read_text("utf-8"))


def dump(document: Any) -> str:
    """The one way a vector file is written."""
    return json.dumps(document, indent=1, ensure_ascii=True) + "\n"
