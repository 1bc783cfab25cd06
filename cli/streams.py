"""Standard input, output and error as a shell leaves them: closed, full, or in another encoding."""

import errno
import io
import os
import sys
from typing import TextIO

from node.errors import DiskFull, StoreFailed, WillcallError

NAMES = ("stdin", "stdout", "stderr")
FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""How writing to standard output fails; none of these errors names a file there."""


def prepare() -> None:
    """Makes the three usable: a closed one is /dev/null, and a letter it has not is escaped."""
    for name in NAMES:
        if getattr(sys, name) is None:
            setattr(sys, name, _nothing(name))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _nothing(name: str) -> TextIO:
    # The lowest free number is the closed one's: no file of ours is taken for it.
    fd = os.open(os.devnull, os.O_RDONLY if name == "stdin" else os.O_WRONLY)
    return os.fdopen(fd, "r" if name == "stdin" else "w", encoding="utf-8")


def plain(stream: TextIO) -> bool:
    """Whether a stream has not every letter, so that a document has to spell them in ASCII."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return str(encoding).lower().replace("-", "") != "utf8"


def drop() -> None:
    """What is still to be written to standard output goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def failed(error: OSError) -> WillcallError | None:
    """What standard output's failing is to a person; None: it is something else."""
    if error.filename is not None or error.errno not in FAILED:
        return None
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    kind = DiskFull if full else StoreFailed
    return kind(
        f"standard output can't be written: {error.strerror}",
        next="make room where it goes, and call again" if full else None,
    )
