"""The catalogue of bad inputs: data files in `bytes/`, whose form README.md tells."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "bytes"

Case = dict[str, Any]


def load(name: str) -> list[Case]:
    """The cases of a file."""
    found: list[Case] = json.loads((FOLDER / name).read_text("utf-8"))["cases"]
    return found


def joined(pieces: Sequence[str | Case]) -> str:
    """A text in pieces, each a text or `{"repeat", "times"}`."""
    return "".join(
        piece if isinstance(piece, str) else piece["repeat"] * piece["times"] for piece in pieces
    )


def latin(pieces: Sequence[str | Case]) -> bytes:
    """Bytes that are written as Latin-1 text."""
    return joined(pieces).encode("latin-1")


def hexed(written: str | Sequence[str | Case]) -> bytes:
    """Bytes that are written in hexadecimal, as one text or in pieces."""
    return bytes.fromhex(joined([written] if isinstance(written, str) else written))


def title(case: Case) -> str:
    """How a test is called."""
    return " ".join(str(case[key]) for key in ("door", "method", "why") if key in case)
