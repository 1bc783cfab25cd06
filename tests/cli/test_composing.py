"""What is read from files that are none."""

import os

from cli import composing


def test_a_pipe_has_a_size() -> None:
    """As a shell gives it: `willcall import <(zcat old.mbox.gz)`."""
    out, into = os.pipe()
    os.write(into, b"From x\n")
    os.close(into)
    try:
        with composing.opened(f"/dev/fd/{out}") as file:
            assert file.seek(0, os.SEEK_END) == 7
            file.seek(0)
            assert file.read() == b"From x\n"
    finally:
        os.close(out)
