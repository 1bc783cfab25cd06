"""A run's calls to the system that change a disk, as `strace` saw them.

A call is seen twice where another thread's came in between: when it begins and when it is over.
What a sync makes durable is what was there when it *began*; what an acknowledgement promises has
to be durable when it *begins*. Every write here goes to a file's end (LevelDB's log, tables and
manifests, blocks, settings), except the lock's, which says nothing that has to last.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

CALLS = (
    "openat", "open", "creat", "write", "pwrite64", "writev", "fsync", "fdatasync", "rename",
    "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "ftruncate",
    "link", "linkat",
)  # fmt: skip

_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_AT = re.compile(r'(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>, "((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"^\(\d+<((?:\\x[0-9a-f]{2})*)>(\(deleted\))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, or the moment it begins.

    Attributes:
        name: of the call, without `at`, `64`; a sync is always `fsync`.
        begins: it has not been done yet.
        path: what it is about; to: another name.
        data: what is written.
        flags: of an `open`.
    """

    name: str
    begins: bool
    path: str
    to: str = ""
    data: bytes = b""
    flags: str = ""


def need_strace() -> None:
    """Skips where no program may be traced."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace (Debian package strace)")
    tried = subprocess.run(["strace", "-f", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()[-200:]}")


def traced(words: Sequence[str], into: Path, data: bytes = b"") -> str:
    """Runs a program to its end; what it said. Its calls are in `into`."""
    command = [
        "strace", "-f", "--seccomp-bpf", "-y", "-xx", "-s", "3000000", "-o", str(into),
        "-e", f"trace={','.join(CALLS)}", *words,
    ]  # fmt: skip
    done = subprocess.run(
        command, input=data, capture_output=True, check=False, cwd=CHECKOUT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.decode()


def calls(trace: Path, *inside: Path) -> list[Call]:
    """The calls about files below these, in order."""
    heads = tuple(str(path) for path in inside)
    return [call for call in _parsed(trace) if call.path.startswith(heads)]


def _parsed(trace: Path) -> Iterator[Call]:
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            thread, name, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                begun[thread] = rest.removesuffix("<unfinished ...>")
                yield _call(name, begun[thread], begins=True)
            elif rest.startswith(" resumed>"):
                whole = begun.pop(thread) + rest.removeprefix(" resumed>")
                if not _failed(whole):
                    yield _call(name, whole, begins=False)
            elif not _failed(rest):
                yield _call(name, rest, begins=True)
                yield _call(name, rest, begins=False)


def _failed(rest: str) -> bool:
    return " = -1 " in rest[-80:]


def _call(name: str, rest: str, *, begins: bool) -> Call:
    texts = [_bytes(text) for text in _TEXT.findall(rest)]
    known = {"creat": "open", "openat": "open", "fdatasync": "fsync", "writev": "write"}
    plain = known.get(name, name.removesuffix("64").removesuffix("at2").removesuffix("at"))
    paths: list[str] = []
    if name.removesuffix("2").endswith("at"):
        # A name is looked for in a folder that is open, unless it is a whole path.
        paths = [str(Path(_bytes(a).decode(), _bytes(b).decode())) for a, b in _AT.findall(rest)]
    elif (held := _FD.match(rest)) is not None:
        path = "" if held[2] else _bytes(held[1]).decode()
        return Call(name=plain, begins=begins, path=path, data=b"".join(texts))
    else:
        paths = [text.decode() for text in texts]
    flags = "O_CREAT|O_TRUNC" if name == "creat" else rest
    if "AT_REMOVEDIR" in rest:
        plain = "rmdir"
    return Call(name=plain, begins=begins, path=paths[0], to="".join(paths[1:2]), flags=flags)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
